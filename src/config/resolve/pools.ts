import { formatIpv4, formatPrefix, formatRange, parseIpv4, prefixRange } from '../address.js';
import type { Field, NameTable } from '../field.js';
import { isCovered, overlaps } from '../intervals.js';
import {
  type Bypass,
  type ExternalPool,
  type Ipv4Range,
  NONE,
  type PeerGateway,
  type PeeringPool,
  type Service,
  type StaticBinding,
  type TwiceNatPool,
} from '../types.js';
import { EXTERNAL, type PublicClaim } from './ownership.js';
import type { ParsedVpc } from './vpcs.js';

const PROTOCOL = { tcp: 6, udp: 17 } as const;
const DEFAULT_PORTS = { first: 1024, last: 65535 };
const NO_RANGE: Ipv4Range = { first: 0, last: 0 };

/** What the parts below resolve names and check addresses with, and where they register the addresses they take. */
export interface VpcContext {
  readonly vpcs: readonly ParsedVpc[];
  readonly names: NameTable;
  readonly peerGateways: readonly PeerGateway[];
  readonly claims: PublicClaim[];
}

export function resolvePeeringPools(field: Field, context: VpcContext): readonly PeeringPool[] {
  return field.items().map((item) => {
    const vpc = context.names.resolve(item.at('vpc')) ?? NONE;
    const ranges = claimPool(item.at('ranges'), vpc, `the peering pool of VPC "${context.vpcs[vpc]?.name}"`, context);
    return { vpc, ranges, portRange: item.at('ports').portRange(DEFAULT_PORTS) ?? DEFAULT_PORTS };
  });
}

export function resolveExternalPools(field: Field, context: VpcContext, poolNames: NameTable): readonly ExternalPool[] {
  return field.items().map((item, index) => {
    poolNames.define(item.at('name'), index);
    const name = item.at('name').text() ?? '';
    const vpcs: number[] = [];
    for (const member of item.at('vpcs').items()) {
      const vpc = context.names.resolve(member);
      if (vpc === null) continue;
      if (vpcs.includes(vpc))
        member.fault(`VPC "${context.vpcs[vpc].name}" stands here already`, 'remove one of the two');
      else vpcs.push(vpc);
      refuseRemote(member, vpc, 'uses external addresses there', context);
    }
    const ranges = claimPool(item.at('ranges'), EXTERNAL, `external pool "${name}"`, context);
    return { index, name, vpcs, ranges, portRange: item.at('ports').portRange(DEFAULT_PORTS) ?? DEFAULT_PORTS };
  });
}

function claimPool(field: Field, scope: number, owner: string, context: VpcContext): readonly Ipv4Range[] {
  return field.items().map((item) => {
    const range = item.range();
    if (range !== null && scope !== NONE) {
      context.claims.push({ ...range, field: item, owner, scope, form: 'pool' });
    }
    return range ?? NO_RANGE;
  });
}

function refuseRemote(field: Field, vpc: number, what: string, context: VpcContext): void {
  const remote = context.vpcs[vpc]?.remoteGateway ?? NONE;
  if (remote === NONE) return;
  const { name } = context.vpcs[vpc];
  field.fault(
    `VPC "${name}" belongs to gateway "${context.peerGateways[remote].name}" and ${what}`,
    'only the VPCs of this gateway may stand here',
  );
}

/** One end of a static binding. */
interface BindingEnd {
  readonly range: Ipv4Range;
  readonly port: number | null;
}

function bindingEnd(field: Field): BindingEnd | null {
  const text = field.text();
  if (text === null) return null;
  if (text.includes(':')) {
    const endpoint = field.endpoint();
    return endpoint && { range: { first: endpoint.address, last: endpoint.address }, port: endpoint.port };
  }
  if (text.includes('/')) {
    const prefix = field.prefix();
    return prefix && { range: prefixRange(prefix), port: null };
  }
  const address = parseIpv4(text);
  if (address !== null) return { range: { first: address, last: address }, port: null };
  field.fault(
    `"${text}" is neither an address, an address:port nor a prefix`,
    'a.b.c.d, a.b.c.d:port or a.b.c.d/length',
  );
  return null;
}

export function resolveStaticBindings(field: Field, context: VpcContext): readonly StaticBinding[] {
  const bindings = field.items().map((item, index) => resolveStaticBinding(item, index, context));
  checkPrivateEnds(field, bindings);
  return bindings;
}

function resolveStaticBinding(item: Field, index: number, context: VpcContext): StaticBinding {
  const vpc = context.names.resolve(item.at('vpc')) ?? NONE;
  const hasExternal = item.at('external').isPresent;
  const hasPeering = item.at('peering').isPresent;
  if (hasExternal && hasPeering) {
    item.at('peering').fault('stands beside external', 'make it a binding of its own');
  } else if (!hasExternal && !hasPeering) {
    item.at('external').fault('is missing', 'a binding has either external or peering');
  }
  const side = hasPeering && !hasExternal ? 'peering' : 'external';
  const publicField = item.at(side);
  const privateEnd = bindingEnd(item.at('private'));
  const publicEnd = bindingEnd(publicField);
  const protocolName = item.at('protocol').choice(['tcp', 'udp']);
  const protocol = protocolName === null ? null : PROTOCOL[protocolName];
  if (hasExternal) refuseRemote(item.at('vpc'), vpc, 'has its external addresses there', context);

  if (privateEnd !== null && publicEnd !== null) {
    const size = (range: Ipv4Range) => range.last - range.first + 1;
    if ((privateEnd.port === null) !== (publicEnd.port === null)) {
      const without = privateEnd.port === null ? item.at('private') : publicField;
      without.fault(
        `has no port, but ${privateEnd.port === null ? side : 'private'} has one`,
        'a port mapping has a port on both sides',
      );
    } else if (size(privateEnd.range) !== size(publicEnd.range)) {
      publicField.fault(
        `has ${size(publicEnd.range)} addresses, private has ${size(privateEnd.range)}`,
        'both prefixes have the same length',
      );
    }
  }
  const port = privateEnd?.port ?? publicEnd?.port ?? null;
  if (port !== null && !item.at('protocol').isPresent) {
    item.at('protocol').fault('is missing', 'a port mapping needs "tcp" or "udp"');
  } else if (privateEnd !== null && publicEnd !== null && port === null && item.at('protocol').isPresent) {
    item.at('protocol').fault('belongs to port mappings only', 'give both sides a port, or leave the protocol out');
  }
  if (privateEnd !== null && vpc !== NONE) checkPrivate(item.at('private'), privateEnd.range, vpc, context);
  const scope = side === 'external' ? EXTERNAL : vpc;
  if (publicEnd !== null && vpc !== NONE && publicField.isUnicast(publicEnd.range)) {
    context.claims.push({
      ...publicEnd.range,
      field: publicField,
      owner: item.path,
      scope,
      form: publicEnd.port === null ? 'address' : 'port',
      vpc,
      privateFirst: privateEnd?.range.first ?? 0,
      protocol,
      port: publicEnd.port,
    });
  }
  return {
    index,
    vpc,
    side,
    protocol,
    private: privateEnd?.range ?? NO_RANGE,
    privatePort: privateEnd?.port ?? null,
    public: publicEnd?.range ?? NO_RANGE,
    publicPort: publicEnd?.port ?? null,
  };
}

function checkPrivate(field: Field, range: Ipv4Range, vpc: number, context: VpcContext): void {
  const { name, subnets, hasAllSubnets, gatewayAddress, remoteGateway } = context.vpcs[vpc];
  if (gatewayAddress !== null && range.first === range.last && range.first === gatewayAddress) {
    field.fault(
      `${formatIpv4(gatewayAddress)} is the gateway's own address in VPC "${name}"`,
      'give the address of a host',
    );
  }
  if (!hasAllSubnets || (remoteGateway !== NONE && subnets.length === 0)) return;
  if (!isCovered(range, subnets.map(prefixRange))) {
    field.fault(
      `${formatRange(range)} is not in the subnets of VPC "${name}"`,
      subnets.map(formatPrefix).join(', ') || 'it has none',
    );
  }
}

/** A host has one static address on each side: two would leave open which it uses going out. */
function checkPrivateEnds(field: Field, bindings: readonly StaticBinding[]): void {
  const items = field.items();
  const groups = new Map<string, (Ipv4Range & { index: number })[]>();
  for (const binding of bindings) {
    if (binding.vpc === NONE || binding.privatePort !== null || binding.private === NO_RANGE) continue;
    const key = `${binding.vpc} ${binding.side}`;
    const group = groups.get(key) ?? [];
    group.push({ ...binding.private, index: binding.index });
    groups.set(key, group);
  }
  for (const group of groups.values()) {
    for (const [earlier, later] of overlaps(group)) {
      items[later.index]
        .at('private')
        .fault(
          `${formatRange(later)} has a binding at ${items[earlier.index].path} already`,
          'one address binding on each side, external and peering',
        );
    }
  }
}

export function resolveServices(
  field: Field,
  context: VpcContext,
  twiceNatPools: readonly TwiceNatPool[],
): readonly Service[] {
  return field.items().map((item, index) => {
    const vpc = context.names.resolve(item.at('vpc')) ?? NONE;
    refuseRemote(item.at('vpc'), vpc, 'publishes its services there', context);
    const protocolName = item.at('protocol').choice(['tcp', 'udp']);
    const protocol = PROTOCOL[protocolName ?? 'tcp'];
    const external = item.at('external').endpoint();
    if (
      external !== null &&
      vpc !== NONE &&
      protocolName !== null &&
      item.at('external').isUnicast({ first: external.address, last: external.address })
    ) {
      context.claims.push({
        first: external.address,
        last: external.address,
        field: item.at('external'),
        owner: item.path,
        scope: EXTERNAL,
        form: 'port',
        vpc,
        privateFirst: null,
        protocol,
        port: external.port,
      });
    }
    const twiceNat = item.at('twiceNat').flag() ?? item.at('twiceNat').choice(['self']) ?? false;
    if (twiceNat !== false && vpc !== NONE && !twiceNatPools.some((pool) => pool.vpc === vpc)) {
      item.at('twiceNat').fault(`VPC "${context.vpcs[vpc].name}" has no twice NAT pool`, 'add one to twiceNatPools');
    }
    return {
      index,
      vpc,
      protocol,
      externalAddress: external?.address ?? 0,
      externalPort: external?.port ?? 0,
      backends: resolveBackends(item.at('backends'), vpc, context),
      affinitySeconds: item.at('affinitySeconds').integer() ?? 0,
      twiceNat: twiceNat === 'self' ? 'self' : twiceNat ? 'always' : 'never',
      outToInOnly: item.at('outToInOnly').flag() ?? false,
    };
  });
}

function resolveBackends(field: Field, vpc: number, context: VpcContext): Service['backends'] {
  const seen = new Map<string, string>();
  const backends = field.items().map((item) => {
    const end = item.at('private').endpoint();
    if (end !== null) {
      const key = `${end.address}:${end.port}`;
      const before = seen.get(key);
      if (before !== undefined)
        item.at('private').fault(`is the backend at ${before} already`, 'give it more weight instead');
      else seen.set(key, item.path);
      if (vpc !== NONE) checkPrivate(item.at('private'), { first: end.address, last: end.address }, vpc, context);
    }
    return { address: end?.address ?? 0, port: end?.port ?? 0, weight: item.at('weight').integer() ?? 1 };
  });
  if (backends.length > 0 && backends.every((backend) => backend.weight === 0)) {
    field.fault('no backend has a weight above 0', 'give one a weight of at least 1');
  }
  return backends;
}

export function resolveTwiceNatPools(field: Field, context: VpcContext): readonly TwiceNatPool[] {
  const claims = new Map<number, (Ipv4Range & { item: Field })[]>();
  const pools = field.items().map((pool) => {
    const vpc = context.names.resolve(pool.at('vpc')) ?? NONE;
    refuseRemote(pool.at('vpc'), vpc, 'publishes its services there', context);
    const ranges = pool
      .at('ranges')
      .items()
      .map((item) => {
        const range = item.range();
        if (range !== null && vpc !== NONE) claims.set(vpc, [...(claims.get(vpc) ?? []), { ...range, item }]);
        return range ?? NO_RANGE;
      });
    return { vpc, ranges };
  });
  for (const list of claims.values()) {
    for (const [earlier, later] of overlaps(list)) {
      later.item.fault(`${formatRange(later)} overlaps ${earlier.item.path}`, 'the ranges of one VPC are disjoint');
    }
  }
  return pools;
}

export function resolveBypass(field: Field, context: VpcContext): readonly Bypass[] {
  return field.items().map((item) => {
    const vpc = context.names.resolve(item.at('vpc')) ?? NONE;
    refuseRemote(item.at('vpc'), vpc, 'goes out there', context);
    return {
      vpc,
      destinations: item
        .at('destinations')
        .items()
        .flatMap((entry) => entry.prefix() ?? []),
    };
  });
}
