import type { PortRange } from '../../config/types.js';

/** Most ports of a block; of an address with few a part, so that every shard can have some. */
const MOST = 512;
const SMALLEST_PART = 32;

/**
 * @param portBlockSize nat.portBlockSize.
 * @returns Ports of a block that is dealt to a shard: down to one, so that a pool of one port serves whoever comes.
 */
export function blockSizeOf({ first, last }: PortRange, portBlockSize: number): number {
  return Math.max(1, Math.min(MOST, portBlockSize, Math.floor((last - first + 1) / SMALLEST_PART)));
}
