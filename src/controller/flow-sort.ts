import type { FlowEntry } from './flow-dump.js';

/** What flows can be put in order by. */
export const FLOW_SORTS = ['packets', 'bytes', 'age', 'idle', 'expires'] as const;
export type FlowSort = (typeof FLOW_SORTS)[number];

/** Both directions together. */
export function sortKey(flow: FlowEntry, sort: FlowSort): number {
  switch (sort) {
    case 'packets':
      return flow.forward.packets + flow.reverse.packets;
    case 'bytes':
      return flow.forward.bytes + flow.reverse.bytes;
    case 'age':
      return flow.ageMs;
    case 'idle':
      return flow.idleMs;
    case 'expires':
      return flow.expiresInMs;
  }
}
