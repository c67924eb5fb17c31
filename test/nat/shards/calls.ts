import { parseIpv4 } from '../../../src/config/address.js';
import type { ValidatedConfig } from '../../../src/config/types.js';
import { hasPorts } from '../../../src/nat/mapping-table.js';
import type { Random } from '../../../src/nat/random.js';
import { NO_VNI } from '../../../src/native/records.js';
import { type Cluster, missOf, type Opened } from './cluster.js';

const address = (text: string) => parseIpv4(text) as number;
const pick = <T>(random: Random, list: readonly T[]) => list[random.below(list.length)];

const REMOTES = ['198.51.100.9', '198.51.100.10', '192.0.2.7'].map(address);
/** Public ends of static bindings. */
const FIXED = [
  { address: address('203.0.113.10'), port: 80 },
  { address: address('203.0.113.11'), port: 80 },
  { address: address('100.64.2.9'), port: 80 },
];

/** The internal endpoint of a mapping, by which gateways that gave it different ports are compared. */
interface Inside {
  readonly protocol: number;
  readonly scope: number;
  readonly vpc: number;
  readonly address: number;
  readonly port: number;
}

/** A packet that can be sent to any gateway: where it calls a mapping, to the endpoint that it has there. */
export interface Call {
  readonly context: number;
  readonly protocol: number;
  readonly source: number;
  readonly sourcePort: number;
  readonly to: { readonly address: number; readonly port: number } | Inside;
  readonly tcpFlags: number;
}

export interface CallOptions {
  readonly protocols: readonly number[];
  readonly hosts: number;
  readonly ports: number;
  /** Whether mappings are called. */
  readonly calls: boolean;
  /** Whether the host of a static binding is called often: such an address alone is known before it calls. */
  readonly callsFixed: boolean;
}

const OUTSIDE = -1;

export function keyOf({ protocol, scope, vpc, address: own, port }: Inside): string {
  return `${protocol} ${scope} ${vpc} ${own} ${hasPorts(protocol) ? port : 0}`;
}

/** The mappings that a cluster's live sessions have. */
export function endpointsOf(cluster: Cluster): Map<string, Inside & { publicAddress: number; publicPort: number }> {
  const known = new Map<string, Inside & { publicAddress: number; publicPort: number }>();
  for (const { facts, shard } of cluster.live) {
    if (facts.sourceMapping < 0) continue;
    const { mappings } = cluster.engines[shard];
    const one = {
      protocol: facts.protocol,
      scope: mappings.scope(facts.sourceMapping),
      vpc: facts.vpc,
      address: facts.forwardSource,
      port: facts.forwardSourcePort,
      publicAddress: facts.translatedSource,
      publicPort: facts.translatedSourcePort,
    };
    known.set(keyOf(one), one);
  }
  return known;
}

/** A first packet of some kind, given what mappings there are. */
export function randomCall(random: Random, known: readonly Inside[], options: CallOptions): Call {
  const protocol = pick(random, options.protocols);
  const context = pick(random, [0, 0, 1, 1, OUTSIDE]);
  const host = random.below(options.hosts);
  const network = context === 0 ? address('10.0.1.4') : address('10.0.2.4');
  const source = context === OUTSIDE ? pick(random, REMOTES) : network + host;
  const sourcePort = hasPorts(protocol) ? 1000 + random.below(options.ports) : 0;
  const callable = known.filter((one) => one.protocol === protocol && hasPorts(protocol));
  const calls = options.calls && callable.length > 0 && random.below(context === OUTSIDE ? 4 : 2) > 0;
  const fixed = options.callsFixed ? random.below(4) > 0 : random.below(4) === 0;
  const remote = { address: pick(random, REMOTES), port: 443 };
  const to = calls
    ? pick(random, callable)
    : fixed
      ? pick(random, options.callsFixed ? FIXED.slice(0, 2) : FIXED)
      : remote;
  return { context, protocol, source, sourcePort, to, tcpFlags: random.below(8) === 0 ? 16 : 2 };
}

/** @returns The call's packet for a cluster. */
export function missOfCall(cluster: Cluster, call: Call, hold: number, seconds: number): Int32Array {
  const { config } = cluster;
  const { protocol, context, source, sourcePort, to, tcpFlags } = call;
  const end = 'vpc' in to ? endpointsOf(cluster).get(keyOf(to)) : undefined;
  const destination = end?.publicAddress ?? to.address;
  const port = hasPorts(protocol) ? (end?.publicPort ?? to.port) : 0;
  // An echo's identifier stands in both ports.
  const isIcmp = protocol === 1;
  return missOf({
    hold,
    port: context === OUTSIDE ? config.externalPort : config.fabricPort,
    protocol,
    seconds,
    vni: context === OUTSIDE ? NO_VNI : config.vpcs[context].vni,
    source,
    destination,
    sourcePort: isIcmp && end !== undefined ? port : sourcePort,
    destinationPort: isIcmp ? (end === undefined ? sourcePort : port) : port,
    tcpFlags,
  });
}

/** A packet of a session as its direction's sender sends it. */
export function packetOf(config: ValidatedConfig, { facts }: Opened, reverse: boolean): Int32Array {
  const context = reverse ? facts.reverseContext : facts.forwardContext;
  const outside = context === 0xffff;
  return missOf({
    hold: 0,
    port: outside ? config.externalPort : config.fabricPort,
    protocol: facts.protocol,
    seconds: 0,
    vni: outside ? NO_VNI : config.vpcs[context].vni,
    source: reverse ? facts.translatedDestination : facts.forwardSource,
    destination: reverse ? facts.translatedSource : facts.forwardDestination,
    sourcePort: reverse ? facts.translatedDestinationPort : facts.forwardSourcePort,
    destinationPort: reverse ? facts.translatedSourcePort : facts.forwardDestinationPort,
  });
}
