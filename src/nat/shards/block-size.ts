import type { PortRange } from '../../config/types.js';

/** Most ports of a block; of an address with few a part, so that every shard can have some. */
const MOST = 512;
const SMALLEST_PART = 32;
const LAST_PORT = 65535;

/**
 * @param portBlockSize nat.portBlockSize.
 * @returns Ports of a block that is dealt to a shard, a power of two: down to one, so that a pool of one port serves
 *          whoever comes.
 */
export function blockSizeOf({ first, last }: PortRange, portBlockSize: number): number {
  const most = Math.max(1, Math.min(MOST, portBlockSize, Math.floor((last - first + 1) / SMALLEST_PART)));
  return 2 ** Math.floor(Math.log2(most));
}

/**
 * Blocks are numbered from port 0 on, so that they keep their numbers when a pool gets other ports.
 *
 * @returns The ports of all blocks that have some of the range.
 */
export function wholeBlocks({ first, last }: PortRange, size: number): PortRange {
  return { first: first - (first % size), last: Math.min(LAST_PORT, last - (last % size) + size - 1) };
}
