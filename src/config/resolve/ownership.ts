import { formatIpv4, formatRange, prefixRange, rangesOverlap } from '../address.js';
import { type Field, rangeAt } from '../field.js';
import { overlaps } from '../intervals.js';
import type { Ipv4Range, Peering, Vpc } from '../types.js';

/** Scope of a claim on the external side; other scopes are the index of the VPC whose peering addresses they are. */
export const EXTERNAL = -2;

/** Public addresses that one part of the configuration takes for itself. */
export interface PublicClaim extends Ipv4Range {
  readonly field: Field;
  /** For messages: whose it is. */
  readonly owner: string;
  /** EXTERNAL or a VPC's index. */
  readonly scope: number;
  readonly form: 'pool' | 'address' | 'port';
  /** Of static bindings and services. `privateFirst` null: several hosts. */
  readonly vpc?: number;
  readonly privateFirst?: number | null;
  readonly protocol?: 6 | 17 | null;
  readonly port?: number | null;
}

/** An address of the gateway or a neighbour that cannot be anybody's public address. */
export interface OwnAddress {
  readonly address: number;
  /** For messages, as in "the next hop's address". */
  readonly what: string;
  /** Whether peering addresses may not contain it either. */
  readonly forPeering: boolean;
}

/**
 * Checks that no public address has two owners.
 *
 * External addresses are one space, and so are the peering addresses of all VPCs: a packet's destination alone tells
 * which VPC it is for. Static bindings may lie inside a pool of their own scope, whose tuples they withhold.
 */
export function checkOwnership(claims: readonly PublicClaim[], own: readonly OwnAddress[]): void {
  for (const claim of claims) {
    for (const { address, what, forPeering } of own) {
      if (claim.first <= address && address <= claim.last && (claim.scope === EXTERNAL || forPeering)) {
        const single = claim.first === claim.last;
        claim.field.fault(
          `${single ? 'is' : `${formatRange(claim)} contains ${formatIpv4(address)},`} ${what}`,
          'leave it out',
        );
      }
    }
  }
  for (const [earlier, later] of overlaps(claims, (claim) => claim.scope)) {
    later.field.fault(
      `${formatRange(later)} overlaps ${rangeAt(earlier, earlier.field.path)}`,
      earlier.scope === EXTERNAL || later.scope === EXTERNAL
        ? 'external and peering addresses are disjoint'
        : 'the peering addresses of different VPCs are disjoint',
    );
  }
  const scopes = new Map<number, PublicClaim[]>();
  for (const claim of claims) {
    const list = scopes.get(claim.scope);
    if (list) list.push(claim);
    else scopes.set(claim.scope, [claim]);
  }
  for (const list of scopes.values()) checkScope(list);
}

function checkScope(claims: readonly PublicClaim[]): void {
  for (const [earlier, later] of overlaps(claims.filter((claim) => claim.form === 'pool'))) {
    later.field.fault(
      `${formatRange(later)} overlaps ${rangeAt(earlier, earlier.field.path)}`,
      'an address belongs to one pool, once',
    );
  }
  const addresses = claims.filter((claim) => claim.form === 'address');
  for (const [earlier, later] of overlaps(addresses)) {
    later.field.fault(`${formatRange(later)} is bound at ${earlier.owner} already`, 'a public address has one host');
  }
  const byTuple = new Map<string, PublicClaim>();
  const byFirst = [...addresses].sort((a, b) => a.first - b.first);
  for (const claim of claims) {
    if (claim.form !== 'port') continue;
    const tuple = `${claim.protocol} ${claim.first} ${claim.port}`;
    const before = byTuple.get(tuple);
    if (before) claim.field.fault(`is mapped at ${before.owner} already`, 'take another port or address');
    else byTuple.set(tuple, claim);
    const whole = lastAtOrBefore(byFirst, claim.first);
    if (whole && rangesOverlap(whole, claim) && !isSameHost(whole, claim)) {
      claim.field.fault(
        `${formatIpv4(claim.first)} is bound as a whole to another host at ${whole.owner}`,
        'take another address for the port mapping',
      );
    }
  }
}

function isSameHost(whole: PublicClaim, mapping: PublicClaim): boolean {
  if (whole.vpc !== mapping.vpc || whole.privateFirst == null || mapping.privateFirst == null) return false;
  return whole.privateFirst + (mapping.first - whole.first) === mapping.privateFirst;
}

function lastAtOrBefore(sorted: readonly PublicClaim[], address: number): PublicClaim | null {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle].first <= address) low = middle + 1;
    else high = middle;
  }
  return low > 0 ? sorted[low - 1] : null;
}

/** A peering address that lies in a peered VPC's own subnets could never be reached from there. */
export function checkPeeringReach(
  claims: readonly PublicClaim[],
  vpcs: readonly Vpc[],
  peerings: readonly Peering[],
): void {
  const byVpc = new Map<number, PublicClaim[]>();
  for (const claim of claims) {
    if (claim.scope === EXTERNAL) continue;
    byVpc.set(claim.scope, [...(byVpc.get(claim.scope) ?? []), claim]);
  }
  for (const { a, b } of peerings) {
    for (const [owner, peer] of [
      [a, b],
      [b, a],
    ]) {
      for (const claim of byVpc.get(owner) ?? []) {
        const subnet = vpcs[peer].subnets.map(prefixRange).find((range) => rangesOverlap(range, claim));
        if (!subnet) continue;
        claim.field.fault(
          `${formatRange(claim)} overlaps the subnet ${formatRange(subnet)} of the peered VPC "${vpcs[peer].name}"`,
          'its hosts could not reach the peering address',
        );
      }
    }
  }
}
