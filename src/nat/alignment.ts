import type { Bypass, ExternalPool, Index, PeerGateway, ValidatedConfig, Vpc } from '../config/types.js';
import { NONE } from '../config/types.js';

/** What stands at the index of a VPC that the configuration no longer has: nothing is in it, nothing finds it. */
function retiredVpc(index: number): Vpc {
  const limits = { sessions: 0, sessionsPerAddress: 0, newSessionsPerSecond: 0 };
  return { index, name: '', vni: -1, remoteGateway: NONE, subnets: [], routes: [], limits, gatewayAddress: null };
}

function retiredPeer(index: number): PeerGateway {
  return { index, name: '', vtep: 0, mac: 0, vni: -1 };
}

export function isRetired(part: Vpc | PeerGateway): boolean {
  return part.vni < 0;
}

/** What makes a VPC the same one: sessions are known by its VNI, and a remote one by its gateway. */
function vpcIdentity(vpc: Vpc, config: ValidatedConfig): string {
  const gateway = vpc.remoteGateway === NONE ? '' : peerIdentity(config.peerGateways[vpc.remoteGateway]);
  return JSON.stringify([vpc.name, vpc.vni, gateway]);
}

function peerIdentity(peer: PeerGateway): string {
  return JSON.stringify([peer.name, peer.vni, peer.vtep]);
}

/**
 * Numbers the VPCs and peer gateways of a new configuration as the old one does, so that sessions, which know them by
 * index, need no change. A part that is gone leaves a retired one in its place; new parts come after, or in the place of
 * parts that were retired before and that nothing refers to any more.
 *
 * @param vpcIsFree  Whether a retired VPC's index may be given to another.
 * @param peerIsFree The same for peer gateways.
 */
export function alignConfig(
  old: ValidatedConfig,
  next: ValidatedConfig,
  vpcIsFree: (index: number) => boolean,
  peerIsFree: (index: number) => boolean,
): ValidatedConfig {
  const peers = align(old.peerGateways, next.peerGateways, peerIdentity, peerIdentity, retiredPeer, peerIsFree);
  const peerIndex = (index: number) => (index === NONE ? NONE : peers.indexOf[index]);
  const vpcs = align(
    old.vpcs,
    next.vpcs,
    (vpc) => vpcIdentity(vpc, old),
    (vpc) => vpcIdentity(vpc, next),
    retiredVpc,
    vpcIsFree,
  );
  const vpcIndex = (index: number) => vpcs.indexOf[index];
  const ofVpc = <T extends { readonly vpc: Index<'vpc'> }>(parts: readonly T[]): T[] =>
    parts.map((part) => ({ ...part, vpc: vpcIndex(part.vpc) }));
  return {
    ...next,
    peerGateways: peers.parts,
    vpcs: vpcs.parts.map((vpc) => (isRetired(vpc) ? vpc : { ...vpc, remoteGateway: peerIndex(vpc.remoteGateway) })),
    peerings: next.peerings.map(({ a, b }) => {
      const [first, second] = [vpcIndex(a), vpcIndex(b)].sort((x, y) => x - y);
      return { a: first, b: second };
    }),
    peeringPools: ofVpc(next.peeringPools),
    externalPools: next.externalPools.map((pool): ExternalPool => ({ ...pool, vpcs: pool.vpcs.map(vpcIndex) })),
    staticBindings: ofVpc(next.staticBindings),
    bypass: ofVpc<Bypass>(next.bypass),
    services: ofVpc(next.services),
    twiceNatPools: ofVpc(next.twiceNatPools),
  };
}

interface Aligned<T> {
  readonly parts: readonly T[];
  /** New index by the index in the unaligned configuration. */
  readonly indexOf: readonly number[];
}

function align<T extends Vpc | PeerGateway>(
  old: readonly T[],
  next: readonly T[],
  oldIdentity: (part: T) => string,
  nextIdentity: (part: T) => string,
  retired: (index: number) => T,
  isFree: (index: number) => boolean,
): Aligned<T> {
  const places = new Map<string, number>();
  for (const part of old) if (!isRetired(part)) places.set(oldIdentity(part), part.index);
  const parts = old.map((part) => retired(part.index));
  const indexOf = next.map((part) => places.get(nextIdentity(part)) ?? -1);
  const free = old.filter((part) => isRetired(part) && isFree(part.index)).map(({ index }) => index);
  let end: number = old.length;
  next.forEach((part, i) => {
    if (indexOf[i] < 0) indexOf[i] = free.shift() ?? end++;
    parts[indexOf[i]] = { ...part, index: indexOf[i] };
  });
  return { parts, indexOf };
}
