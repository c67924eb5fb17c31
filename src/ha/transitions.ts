/** Stages of a failover, in the order in which a gateway that takes over goes through them. */
export const FAILOVER_STATES = ['INIT', 'START', 'VIP_ACQUIRED', 'DONE', 'E2E_CONN_DONE'] as const;
export type FailoverState = (typeof FAILOVER_STATES)[number];

export type Role = 'standby' | 'active';

/** What moves a gateway from one stage to another. */
export const FAILOVER_EVENTS = [
  /** The lease is ours, in a new epoch. */
  'lease-won',
  /** The mirror is fenced, its log applied, the rules are there and packets may leave. */
  'taken-over',
  /** The addresses have been announced and sessions are written in the new epoch. */
  'announced',
  /** A synthetic flow was translated both ways, and a session from before. */
  'probe-passed',
  /** The end-to-end probe fails. */
  'probe-failed',
  /** The lease is no longer ours, whatever the reason. */
  'lease-lost',
] as const;
export type FailoverEvent = (typeof FAILOVER_EVENTS)[number];

/** Everything that can happen. What has no entry cannot. */
const TRANSITIONS: Readonly<Record<FailoverState, Readonly<Partial<Record<FailoverEvent, FailoverState>>>>> = {
  INIT: { 'lease-won': 'START' },
  START: { 'taken-over': 'VIP_ACQUIRED', 'lease-lost': 'INIT' },
  VIP_ACQUIRED: { announced: 'DONE', 'lease-lost': 'INIT' },
  DONE: { 'probe-passed': 'E2E_CONN_DONE', 'lease-lost': 'INIT' },
  E2E_CONN_DONE: { 'probe-failed': 'DONE', 'lease-lost': 'INIT' },
};

/** The stage that an event leads to; null: the event cannot come in that stage. */
export function next(state: FailoverState, event: FailoverEvent): FailoverState | null {
  return TRANSITIONS[state][event] ?? null;
}

/** A gateway is active from the moment that it holds the lease. */
export function roleIn(state: FailoverState): Role {
  return state === 'INIT' ? 'standby' : 'active';
}

/** Whether packets may leave. */
export function speaksIn(state: FailoverState): boolean {
  return state !== 'INIT' && state !== 'START';
}

export interface Transition {
  readonly from: FailoverState;
  readonly to: FailoverState;
  readonly event: FailoverEvent;
  /** For an operator: why. */
  readonly cause: string;
  readonly epoch: number;
  /** Wall clock, ms since 1970. */
  readonly at: number;
  /** Since the stage before was entered. */
  readonly afterMs: number;
}

/** Thrown for an event that cannot come: a bug of the caller, never a state of the world. */
export class IllegalTransition extends Error {
  override readonly name = 'IllegalTransition';
  readonly code = 'TRANSITION';
  constructor(state: FailoverState, event: FailoverEvent) {
    super(`${event} cannot come in ${state}`);
  }
}

/** Where a gateway stands, how it came there and how long each stage took. */
export class Failover {
  private current: FailoverState = 'INIT';
  private enteredMs: number;
  private startedMs = 0;
  /** The last one; null: none yet. */
  last: Transition | null = null;
  /** Milliseconds from winning the lease to each stage of the latest takeover. */
  readonly phases = new Map<FailoverState, number>();

  constructor(private readonly nowMs: () => number) {
    this.enteredMs = nowMs();
  }

  get state(): FailoverState {
    return this.current;
  }

  get role(): Role {
    return roleIn(this.current);
  }

  /** @throws IllegalTransition; nothing has changed then */
  happen(event: FailoverEvent, cause: string, epoch: number): Transition {
    const to = next(this.current, event);
    if (to === null) throw new IllegalTransition(this.current, event);
    const nowMs = this.nowMs();
    const transition = {
      from: this.current,
      to,
      event,
      cause,
      epoch,
      at: Date.now(),
      afterMs: nowMs - this.enteredMs,
    };
    if (to === 'START') {
      this.startedMs = nowMs;
      this.phases.clear();
    }
    if (to !== 'INIT' && !this.phases.has(to)) this.phases.set(to, nowMs - this.startedMs);
    this.current = to;
    this.enteredMs = nowMs;
    this.last = transition;
    return transition;
  }
}
