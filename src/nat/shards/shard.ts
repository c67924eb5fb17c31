import type { ValidatedConfig } from '../../config/types.js';
import { type LeftOver, NOTHING_LEFT } from './following.js';
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
  /** Whether sessions of any shard have an external address, where they can be asked at once; else as they have last said. */
  isStillUsed?(address: number): boolean;
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
  /** Another one with each change of configuration. */
  limits: SharedLimits;
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
  /** What sessions of any shard have that the configuration as it is would look up elsewhere. */
  private leftOver: LeftOver = NOTHING_LEFT;
  /** Of `leftOver`: peering endpoints that mappings of other shards own. */
  private foreignPeering = new Set<string>();

  constructor(
    private readonly seat: ShardSeat,
    config: ValidatedConfig,
  ) {
    const { index, memory, mail, onDecided } = seat;
    this.index = index;
    this.count = memory.shards;
    this.mail = mail;
    this.onDecided = onDecided ?? null;
    this.rows = rowsOfShard(config.nat.maxSessions, memory.shards);
    this.limits = new SharedLimits(memory.limits, config.nat.maxSessions);
    this.blocks = new BlockOwners(memory.blocks);
    this.remotes = new SharedRemotes(memory.remotes);
  }

  know(leftOver: LeftOver): void {
    this.leftOver = leftOver;
    const foreign = leftOver.peering.filter(({ shard }) => shard !== this.index);
    this.foreignPeering = new Set(foreign.map((one) => endpoint(one.scope, one.protocol, one.address, one.port)));
  }

  /** Whether another shard's mapping owns a peering endpoint that this one's pools have by now. */
  isForeignPeering(scope: number, protocol: number, address: number, port: number): boolean {
    return this.foreignPeering.size > 0 && this.foreignPeering.has(endpoint(scope, protocol, address >>> 0, port));
  }

  /** Whether sessions of any shard have an external address that the configuration may not name any more. */
  isStillUsed(address: number): boolean {
    return this.seat.isStillUsed?.(address) ?? this.leftOver.addresses.includes(address);
  }

  /** @returns The shard of a host's external mappings. */
  homeOf(address: number): number {
    return homeOf(address, this.count);
  }
}

function endpoint(scope: number, protocol: number, address: number, port: number): string {
  return `${scope} ${protocol} ${address} ${port}`;
}
