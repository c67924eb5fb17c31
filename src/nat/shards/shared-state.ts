import type { ValidatedConfig } from '../../config/types.js';
import {
  BLOCK_SHAPE,
  BLOCK_SIZE_BITS,
  PAIR_FACTOR,
  REMOTE_PROTOCOL_BITS,
  SHARED_HASH_B,
  SHARED_HASH_C,
} from '../../native/records.js';
import { shardObstacles } from './obstacles.js';
import { type LimitsMemory, limitsMemory } from './shared-limits.js';
import { beginSharedTable, SharedTable, sharedTableBytes } from './shared-table.js';

/** Most blocks of ports that are dealt at once; a block has a port at least. */
const MOST_BLOCKS = 2 ** 20;
/** Rows that a shard has beyond its part of nat.maxSessions, for hosts are never spread evenly. */
const ROWS_MORE = 1024;
const PART_MORE = 1.25;

/** Tables that lcores read as well (BlockOwners, SharedRemotes): of a dataplane, where there is one. */
export interface ShardTables {
  readonly blocks: ArrayBufferLike;
  readonly remotes: ArrayBufferLike;
}

/** Memory that the threads of all shards see. */
export interface ShardMemory extends ShardTables {
  readonly shards: number;
  readonly limits: LimitsMemory;
}

/** @returns Sizes of ShardTables, as ShardOptions of the dataplane has them. */
export function shardTableBytes(config: ValidatedConfig): {
  readonly blockBytes: number;
  readonly remoteBytes: number;
} {
  const { maxSessions } = config.nat;
  return {
    blockBytes: sharedTableBytes(Math.min(maxSessions, MOST_BLOCKS) + 4096),
    remoteBytes: sharedTableBytes(maxSessions),
  };
}

/** Once a gateway. @param tables Zeros of these sizes. @param seed u32, of the tables' hashes: hard to guess. */
export function beginShardTables({ blocks, remotes }: ShardTables, seed: number): void {
  beginSharedTable(blocks, seed);
  beginSharedTable(remotes, seed);
}

/**
 * What all shards have together, once a gateway.
 *
 * @param seed u32, of the tables' hashes: hard to guess.
 * @param tables Of shardTableBytes(), zeros; without a dataplane memory of its own.
 * @throws RangeError naming what shardObstacles() finds.
 */
export function shardMemory(
  config: ValidatedConfig,
  shards: number,
  seed: number,
  tables: ShardTables = ownTables(config),
): ShardMemory {
  const obstacles = shardObstacles(config);
  if (shards > 1 && obstacles.length > 0)
    throw new RangeError(`${shards} shards: ${obstacles.map(({ path, message }) => `${path}: ${message}`).join('; ')}`);
  beginShardTables(tables, seed);
  const { blocks, remotes } = tables;
  return { shards, limits: limitsMemory(config.vpcs, config.nat.maxSessions, seed), blocks, remotes };
}

function ownTables(config: ValidatedConfig): ShardTables {
  const { blockBytes, remoteBytes } = shardTableBytes(config);
  return { blocks: new SharedArrayBuffer(blockBytes), remotes: new SharedArrayBuffer(remoteBytes) };
}

/** @returns Rows of one shard's sessions. */
export function rowsOfShard(maxSessions: number, shards: number): number {
  if (shards === 1) return maxSessions;
  return Math.min(maxSessions, Math.ceil((maxSessions / shards) * PART_MORE) + ROWS_MORE);
}

/** A block's owner, by any port of it. What every lcore and engine knows of the ports that were dealt. */
export class BlockOwners {
  private readonly table: SharedTable;

  constructor(memory: ArrayBufferLike) {
    this.table = new SharedTable(memory);
  }

  /** An address comes into use. @param first Of its ports. @param size Ports of a block. */
  begin(protocol: number, address: number, first: number, size: number): boolean {
    return this.table.set(protocol, address, BLOCK_SHAPE, (first << BLOCK_SIZE_BITS) | size);
  }

  /** @returns False: the table is full. */
  set(protocol: number, address: number, block: number, shard: number): boolean {
    return this.table.set(protocol, address, block, shard + 1);
  }

  clear(protocol: number, address: number, block: number): void {
    this.table.delete(protocol, address, block);
  }

  /** An address is not in use any more; its blocks have been cleared. */
  end(protocol: number, address: number): void {
    this.table.delete(protocol, address, BLOCK_SHAPE);
  }

  /** Whether so many blocks and addresses fit, if there are no others. */
  hasRoomFor(entries: number): boolean {
    return entries <= this.table.capacity;
  }

  /** Nobody sees anything between what is changed. */
  together(change: () => void): void {
    this.table.together(change);
  }

  /** @returns Shard, or -1: nobody's. */
  of(protocol: number, address: number, port: number): number {
    const shape = this.table.get(protocol, address, BLOCK_SHAPE);
    const first = shape >>> BLOCK_SIZE_BITS;
    if (shape === 0 || port < first) return -1;
    return this.table.get(protocol, address, Math.floor((port - first) / (shape & BLOCK_SIZE_MASK))) - 1;
  }
}

const BLOCK_SIZE_MASK = 2 ** BLOCK_SIZE_BITS - 1;

/** Remotes of public addresses in protocols without ports, which alone tell replies apart there: one session each. */
export class SharedRemotes {
  private readonly table: SharedTable;

  constructor(memory: ArrayBufferLike) {
    this.table = new SharedTable(memory);
  }

  /** @param shard Whose the mapping is. @returns Whether nobody had it, and there was room. */
  claim(reverseContext: number, protocol: number, remote: number, address: number, shard: number): boolean {
    return this.table.claim((reverseContext << REMOTE_PROTOCOL_BITS) | protocol, remote, address, shard + 1);
  }

  /** @returns Shard of the mapping, or -1. */
  of(reverseContext: number, protocol: number, remote: number, address: number): number {
    return this.table.get((reverseContext << REMOTE_PROTOCOL_BITS) | protocol, remote, address) - 1;
  }

  release(reverseContext: number, protocol: number, remote: number, address: number): void {
    this.table.delete((reverseContext << REMOTE_PROTOCOL_BITS) | protocol, remote, address);
  }
}

/**
 * A host's shard is told by its private address alone: a NIC can spread packets by that, and what comes back to a host that
 * is not translated (`bypass`) says nothing of its VPC.
 *
 * @returns The shard that a host's mappings towards the outside are in.
 */
export function homeOf(address: number, shards: number): number {
  let hash = Math.imul(address ^ (address >>> 15), SHARED_HASH_B);
  hash = Math.imul(hash ^ (hash >>> 13), SHARED_HASH_C);
  return ((hash ^ (hash >>> 16)) >>> 0) % shards;
}

/** @returns The shard that the peering of two VPCs is in, with all mappings of both scopes; of a VPC with itself too. */
export function homeOfPair(a: number, b: number, shards: number): number {
  return homeOf(Math.min(a, b) * PAIR_FACTOR + Math.max(a, b), shards);
}
