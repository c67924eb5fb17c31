import type { ValidatedConfig } from '../../config/types.js';
import type { EndAnswer, ShardMail } from './messages.js';
import type { ShardPools } from './shard-pools.js';
import { SharedLimits } from './shared-limits.js';
import { BlockOwners, homeOf, rowsOfShard, type ShardMemory, SharedRemotes } from './shared-state.js';

/** `untilSeconds` of a port that was taken and never used. */
export const UNUSED = -2;

/** What makes an engine one of several. */
export interface ShardSeat {
  readonly index: number;
  readonly memory: ShardMemory;
  readonly mail: ShardMail;
  /** Told of a miss that had been put by, once it is decided on: its MissEvent. */
  readonly onDecided?: (words: Int32Array) => void;
}

/** An end of a hairpin that another shard has, as its mapping stands here for one session. */
export interface Guest {
  readonly shard: number;
  readonly answer: EndAnswer;
  /** Mapping here, -1: there is none, for the reason of the answer. */
  readonly row: number;
}

/** What of the other ends of the packet that is being decided on is known. */
export interface KnownEnds {
  source: Guest | null;
  destination: Guest | null;
}

/** One of several engines, to its parts: what they share with the others, and what the packet at hand needs of them. */
export class Shard {
  readonly index: number;
  readonly count: number;
  readonly rows: number;
  readonly mail: ShardMail;
  readonly onDecided: ((words: Int32Array) => void) | null;
  readonly limits: SharedLimits;
  readonly blocks: BlockOwners;
  readonly remotes: SharedRemotes;
  /** Set by whoever makes them. */
  pools!: ShardPools;
  /** By mapping: ends of hairpins that others have. */
  readonly guests = new Map<number, Guest>();
  /** Of the packet that is being decided on. */
  known: KnownEnds = { source: null, destination: null };
  /** Shard of the public endpoint that the packet calls, when another has it and has not been asked; -1. */
  foreignEnd = -1;

  constructor({ index, memory, mail, onDecided }: ShardSeat, config: ValidatedConfig) {
    this.index = index;
    this.count = memory.shards;
    this.mail = mail;
    this.onDecided = onDecided ?? null;
    this.rows = rowsOfShard(config.nat.maxSessions, memory.shards);
    this.limits = new SharedLimits(memory.limits, config.nat.maxSessions);
    this.blocks = new BlockOwners(memory.blocks);
    this.remotes = new SharedRemotes(memory.remotes);
  }

  /** @returns The shard of a host's external mappings. */
  homeOf(address: number): number {
    return homeOf(address, this.count);
  }
}
