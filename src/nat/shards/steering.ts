import type { Ipv4Range, ValidatedConfig } from '../../config/types.js';
import type { Steering } from '../../native/binding.js';
import { isRetired } from '../alignment.js';
import { type LeftOver, NOTHING_LEFT } from './following.js';

interface Peering {
  readonly first: number;
  readonly last: number;
  readonly vpc: number;
}

/**
 * @param leftOver What live sessions have of older configurations.
 * @returns What the configuration says of whose a packet is, for lcores; whose ports are stands in tables (BlockOwners,
 *          SharedRemotes).
 */
export function steeringOf(config: ValidatedConfig, leftOver: LeftOver = NOTHING_LEFT): Steering {
  const vpcs = config.vpcs.filter((vpc) => !isRetired(vpc) && vpc.remoteGateway < 0);
  const peers = config.peerGateways.filter((peer) => !isRetired(peer));
  return {
    vpcs: vpcs.map(({ vni, index }) => ({ vni, index })),
    peerVnis: [...new Set(peers.map(({ vni }) => vni))],
    peering: peeringRanges(config),
    external: externalRanges(config),
    bindings: config.staticBindings
      .filter(({ side }) => side === 'external')
      .map(({ public: { first, last }, private: { first: host }, protocol, publicPort }) => ({
        first,
        last,
        private: host,
        protocol: protocol ?? 0,
        port: publicPort ?? 0,
      })),
    formerEnds: leftOver.addresses,
    formerPeering: [...new Map(leftOver.peering.map((one) => [`${one.address} ${one.vpc}`, one])).values()],
  };
}

/** As Topology.isExternal() has it. */
function externalRanges({ externalPools, staticBindings }: ValidatedConfig): Ipv4Range[] {
  const bindings = staticBindings.filter(({ side }) => side === 'external').map((binding) => binding.public);
  const all = [...externalPools.flatMap(({ ranges }) => ranges), ...bindings].sort((a, b) => a.first - b.first);
  const joined: Ipv4Range[] = [];
  for (const { first, last } of all) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before.last + 1)
      joined[joined.length - 1] = { first: before.first, last: Math.max(before.last, last) };
    else joined.push({ first, last });
  }
  return joined;
}

/** As Topology.peeringOwner() has it: a static binding's public address says more than the pool that it lies in. */
function peeringRanges(config: ValidatedConfig): Peering[] {
  const byFirst = (a: Peering, b: Peering) => a.first - b.first;
  const bindings = config.staticBindings.filter(({ side }) => side === 'peering');
  const of = ({ public: { first, last }, vpc }: (typeof bindings)[number]): Peering => ({ first, last, vpc });
  // Of several mappings of ports at one address the last counts, and one of addresses before all of them.
  const ports = new Map(bindings.filter((b) => b.protocol !== null).map((b) => [b.public.first, of(b)]));
  const addresses = bindings.filter((b) => b.protocol === null).map(of);
  const single = without([...ports.values()].sort(byFirst), addresses.sort(byFirst));
  const fixed = [...addresses, ...single].sort(byFirst);
  const pools = config.peeringPools.flatMap(({ vpc, ranges }) => ranges.map((range) => ({ ...range, vpc })));
  return joined([...fixed, ...without(pools.sort(byFirst), fixed)].sort(byFirst));
}

/** Ranges less what others cover. @param ranges Disjoint, in order, as `others`. */
function without(ranges: readonly Peering[], others: readonly Peering[]): Peering[] {
  const left: Peering[] = [];
  let at = 0;
  for (const range of ranges) {
    while (at < others.length && others[at].last < range.first) at++;
    let { first } = range;
    for (let next = at; next < others.length && others[next].first <= range.last; next++) {
      if (others[next].first > first) left.push({ ...range, first, last: others[next].first - 1 });
      first = others[next].last + 1;
    }
    if (first <= range.last) left.push({ ...range, first });
  }
  return left;
}

/** Neighbours of one VPC in one piece. */
function joined(ranges: readonly Peering[]): Peering[] {
  const all: Peering[] = [];
  for (const range of ranges) {
    const before = all.at(-1);
    if (before !== undefined && before.vpc === range.vpc && before.last + 1 === range.first)
      all[all.length - 1] = { ...before, last: range.last };
    else all.push(range);
  }
  return all;
}
