import type { FlowEntry } from '../flow-dump.js';
import { type FlowSort, sortKey } from '../flow-sort.js';
import type { TopTalkers } from '../flow-top.js';
import { Largest } from '../largest.js';
import type { RecentDrop } from '../recent-drops.js';

// Answers of several engines to one request, made the answer of their gateway. All of them have the form that the
// control API gives them.

export interface Status {
  readonly sessions: number;
  readonly mappings: number;
}

/** @param sessionsMax Of all together. */
export function mergeStatus<T extends Status>(all: readonly T[], sessionsMax: number, version: string): T {
  // The NIC's rules are counted together already.
  return { ...all[0], sessions: sum(all, 'sessions'), mappings: sum(all, 'mappings'), sessionsMax, version };
}

export interface Drops {
  readonly seconds: number;
  readonly last: Readonly<Record<string, number>>;
  readonly total: Readonly<Record<string, number>>;
  readonly packets: readonly RecentDrop[];
}

/** @param most Packets that are told. */
export function mergeDrops(all: readonly Drops[], most: number): Drops {
  const packets = all.flatMap((one) => one.packets).sort((a, b) => a.agoMs - b.agoMs);
  return {
    seconds: Math.max(...all.map(({ seconds }) => seconds)),
    last: addCounts(all.map(({ last }) => last)),
    total: addCounts(all.map(({ total }) => total)),
    packets: packets.slice(0, most),
  };
}

export interface VpcSessions {
  readonly sessions: number;
  readonly opened: number;
  readonly ended: number;
}

/** All tell the same VPCs in the same order. */
export function mergeVpcs<T extends VpcSessions>(all: readonly (readonly T[])[]): T[] {
  return all[0].map((vpc, at) => {
    const same = all.map((list) => list[at]);
    return { ...vpc, sessions: sum(same, 'sessions'), opened: sum(same, 'opened'), ended: sum(same, 'ended') };
  });
}

export interface Pool {
  readonly kind: string;
  readonly pool: string;
  readonly towards: string | null;
  readonly protocol: string;
  readonly ports: number;
  readonly owned: number;
}

/** Each tells the whole pool's size, and what its own mappings own of it; of peering only what it has had. */
export function mergePools<T extends Pool>(all: readonly (readonly T[])[]): T[] {
  const found = new Map<string, T>();
  for (const pool of all.flat()) {
    const key = JSON.stringify([pool.kind, pool.pool, pool.towards, pool.protocol]);
    const owned = pool.owned + (found.get(key)?.owned ?? 0);
    found.set(key, { ...pool, owned, share: pool.ports === 0 ? 0 : owned / pool.ports });
  }
  return [...found.values()];
}

/** Static bindings are told by every one. */
export function mergeHolders<T extends { readonly holders: readonly object[] }>(all: readonly T[]): T {
  const holders = new Map(all.flatMap((one) => one.holders).map((holder) => [JSON.stringify(holder), holder]));
  return { ...all[0], holders: [...holders.values()] };
}

export function mergeTop(all: readonly TopTalkers[], most: number): TopTalkers {
  const largest = new Largest<TopTalkers['top'][number]>(most);
  for (const rate of all.flatMap(({ top }) => top)) largest.add(rate.bitsPerSecond, rate);
  return {
    seconds: Math.max(...all.map(({ seconds }) => seconds)),
    flows: sum(all, 'flows'),
    packetsPerSecond: sum(all, 'packetsPerSecond'),
    bitsPerSecond: sum(all, 'bitsPerSecond'),
    top: largest.inOrder(),
  };
}

/** @param lists Each in this order, with what is to be left out. */
export function mergeSorted(
  lists: readonly (readonly FlowEntry[])[],
  { sort, order, offset, limit }: { sort: FlowSort; order: 'desc' | 'asc'; offset: number; limit: number },
): FlowEntry[] {
  const sign = order === 'desc' ? 1 : -1;
  const largest = new Largest<FlowEntry>(offset + limit);
  for (const flow of lists.flat()) largest.add(sign * sortKey(flow, sort), flow);
  return largest.inOrder().slice(offset);
}

function addCounts(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [name, count] of all.flatMap((one) => Object.entries(one))) counts[name] = (counts[name] ?? 0) + count;
  return counts;
}

function sum<K extends string>(all: readonly Readonly<Record<K, number>>[], name: K): number {
  return all.reduce((total, one) => total + one[name], 0);
}
