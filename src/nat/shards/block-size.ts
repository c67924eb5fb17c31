import type { PortRange } from '../../config/types.js';

/** Ports of a block, of an address with many; of one with few a part, so that every shard can have some. */
const USUAL_SIZE = 512;
const SMALLEST_PART = 32;

/** @returns Ports of a block that is dealt to a shard: down to one, so that a pool of one port serves whoever comes. */
export function blockSizeOf({ first, last }: PortRange): number {
  return Math.max(1, Math.min(USUAL_SIZE, Math.floor((last - first + 1) / SMALLEST_PART)));
}
