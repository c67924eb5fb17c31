import type { PortBlock } from './types.js';

/** A block's field in `{G}:blocks`: `SCOPE:PROTOCOL:ADDRESS:FIRST-LAST`, the address as a number. */
export function blockText(block: PortBlock): string {
  return `${block.scope}:${block.protocol}:${block.address}:${block.firstPort}-${block.lastPort}`;
}

/** @returns Null for what no version of this wrote. */
export function readBlock(text: string): PortBlock | null {
  const match = /^(\d+):(\d+):(\d+):(\d+)-(\d+)$/.exec(text);
  if (match === null) return null;
  const [scope, protocol, address, firstPort, lastPort] = match.slice(1).map(Number);
  return { scope, protocol, address, firstPort, lastPort };
}

/** Whether revision `a` (`EPOCH.COUNT`) of the blocks comes after `b`; none ('') comes first. */
export function isNewer(a: string, b: string): boolean {
  const [epochA = 0, countA = 0] = a.split('.').map(Number);
  const [epochB = 0, countB = 0] = b.split('.').map(Number);
  return epochA > epochB || (epochA === epochB && countA > countB);
}
