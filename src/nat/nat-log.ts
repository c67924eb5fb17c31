import type { PortRange } from '../config/types.js';
import type { SessionFacts } from './session-table.js';

/** A block of public ports that a subscriber got or gave back. */
export interface PortBlockEvent {
  readonly vpc: number;
  /** 0: external; n+1: peering towards VPC n. */
  readonly scope: number;
  readonly protocol: number;
  /** Private address, u32 host order. */
  readonly inside: number;
  readonly address: number;
  readonly range: PortRange;
  /** Gateway clock. */
  readonly seconds: number;
}

/** What an operator must be able to say later: who had a public endpoint. Without destinations (RFC 6888 REQ-12). */
export interface NatLog {
  portBlock(allocated: boolean, event: PortBlockEvent): void;
  session(created: boolean, facts: SessionFacts, seconds: number): void;
}

export const NO_LOG: NatLog = { portBlock: () => undefined, session: () => undefined };
