import { createHash } from 'node:crypto';
import type { PeerGateway, ValidatedConfig, Vpc } from '../config/types.js';
import { isRetired } from '../nat/alignment.js';

/**
 * VPCs and peer gateways as records name them: by their place among the names of the configuration, which is the same
 * on both gateways of a pair however often each has followed a new configuration.
 */
export interface ConfigRanks {
  /** By index; -1: no longer in the configuration. */
  readonly rankOfVpc: Int32Array;
  readonly rankOfPeer: Int32Array;
  /** By rank. */
  readonly vpcOfRank: Int32Array;
  readonly peerOfRank: Int32Array;
}

export function configRanks(config: ValidatedConfig): ConfigRanks {
  const [rankOfVpc, vpcOfRank] = ranksOf(config.vpcs);
  const [rankOfPeer, peerOfRank] = ranksOf(config.peerGateways);
  return { rankOfVpc, vpcOfRank, rankOfPeer, peerOfRank };
}

function ranksOf(parts: readonly (Vpc | PeerGateway)[]): readonly [Int32Array, Int32Array] {
  const present = parts.filter((part) => !isRetired(part));
  const sorted = [...present].sort((a, b) => (a.name < b.name ? -1 : 1));
  const rankOf = new Int32Array(parts.length).fill(-1);
  sorted.forEach((part, rank) => {
    rankOf[part.index] = rank;
  });
  return [rankOf, Int32Array.from(sorted, ({ index }) => index)];
}

/** Parts that are a node's own, or that sessions do not depend on. */
const OWN_PARTS = ['offload', 'control', 'metrics', 'log', 'mirror', 'ha'];
const OWN_NAT = ['seed', 'maxSessions', 'log'];

/** The configuration's document without what is this node's own: what a reader of the mirror needs to name things. */
export function sharedDocument(config: ValidatedConfig): Record<string, unknown> {
  const document = structuredClone(config.raw) as Record<string, unknown>;
  for (const part of OWN_PARTS) delete document[part];
  const ports = document.ports as Record<string, Record<string, unknown>> | undefined;
  for (const port of Object.values(ports ?? {})) delete port.device;
  return document;
}

/**
 * What both gateways of a pair must agree on, as a hash: whatever decides a session or names a part of it. Written
 * differently, the same configuration counts as another one.
 *
 * @returns 32 hexadecimal digits.
 */
export function mirrorConfigHash(config: ValidatedConfig): string {
  const document = sharedDocument(config);
  delete document.name;
  const nat = document.nat as Record<string, unknown> | undefined;
  for (const name of OWN_NAT) if (nat !== undefined) delete nat[name];
  return createHash('sha256').update(canonical(document)).digest('hex').slice(0, 32);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join()}}`;
}
