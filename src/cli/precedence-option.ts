export const NO_PRECEDENCE = '--no-precedence';
export const NO_PRECEDENCE_HELP =
  'never let threads that packets wait for go before others on their CPUs (SCHED_FIFO for a millisecond at a time)';
