/** CLOCK_MONOTONIC in milliseconds: the clock of the lcore, and the only one that a gateway judges its own lease by. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
