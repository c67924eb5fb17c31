import type { Action, ArgumentName, FlowList, MatchItem, Value } from '../compiler/ir.js';
import type { ValidatedConfig } from '../config/types.js';
import { IcmpType } from './packet.js';
import { OUTSIDE_CONTEXT, peerContext, type SessionFacts } from './session-table.js';

// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const OUTSIDE = OUTSIDE_CONTEXT;
/** Contexts below are VPCs'. */
const FIRST_PEER = peerContext(0);
const ICMP = 1;

/**
 * A shape is what is left of one direction of a session when its values are taken away: eleven bits. The compiler sees
 * a shape once for a target; a flow brings the values (FlowArguments).
 */
const INGRESS_VPC = 0;
const INGRESS_PEER = 1;
const INGRESS_OUTSIDE = 2;
const L4 = 2;
const L4_TCP = 0;
const L4_UDP = 1;
const L4_ICMP = 2;
const L4_OTHER = 3;
const SOURCE_ADDRESS = 1 << 4;
const DESTINATION_ADDRESS = 1 << 5;
const SOURCE_PORT = 1 << 6;
const DESTINATION_PORT = 1 << 7;
const EGRESS_FABRIC = 1 << 8;
/** Echo through a dynamic identifier: requests one way, replies the other. A static address serves both both ways. */
const ECHO_REQUESTS = 1 << 9;
const ECHO_REPLIES = 1 << 10;

function ingressOf(context: number): number {
  if (context < FIRST_PEER) return INGRESS_VPC;
  return context === OUTSIDE ? INGRESS_OUTSIDE : INGRESS_PEER;
}

function l4Of(protocol: number): number {
  if (protocol === 6) return L4_TCP;
  if (protocol === 17) return L4_UDP;
  return protocol === 1 ? L4_ICMP : L4_OTHER;
}

/** @returns The shapes of a session: of the initiator's direction (low half) and of the replies' (high half). */
export function shapesOf(f: SessionFacts): number {
  const { forwardContext, reverseContext, protocol } = f;
  const l4 = l4Of(protocol) << L4;
  let forward = ingressOf(forwardContext) | l4 | (reverseContext === OUTSIDE ? 0 : EGRESS_FABRIC);
  let reverse = ingressOf(reverseContext) | l4 | (forwardContext === OUTSIDE ? 0 : EGRESS_FABRIC);
  if (f.translatedSource !== f.forwardSource) {
    forward |= SOURCE_ADDRESS;
    reverse |= DESTINATION_ADDRESS;
  }
  if (f.translatedDestination !== f.forwardDestination) {
    forward |= DESTINATION_ADDRESS;
    reverse |= SOURCE_ADDRESS;
  }
  if (f.translatedSourcePort !== f.forwardSourcePort) {
    forward |= SOURCE_PORT;
    reverse |= DESTINATION_PORT;
  }
  if (f.translatedDestinationPort !== f.forwardDestinationPort) {
    forward |= DESTINATION_PORT;
    reverse |= SOURCE_PORT;
  }
  if (protocol === ICMP) {
    // A request opens a session through a mapping of its sender; through one of its receiver only a reply does.
    if (f.destinationMapping >= 0) {
      forward |= ECHO_REPLIES;
      reverse |= ECHO_REQUESTS;
    } else if (f.sourceMapping >= 0) {
      forward |= ECHO_REQUESTS;
      reverse |= ECHO_REPLIES;
    }
  }
  return forward | (reverse << 16);
}

const argument = (name: ArgumentName): Value => ({ argument: name });

const L4_NAMES = ['tcp', 'udp', 'icmp', 'other'];
const INGRESS_NAMES = ['vpc', 'peer', 'outside'];

/** A readable name of a shape: `vpc-udp-source-to-outside`. */
export function shapeName(shape: number): string {
  const rewrites = [
    [SOURCE_ADDRESS, 'source'],
    [SOURCE_PORT, 'sport'],
    [DESTINATION_ADDRESS, 'destination'],
    [DESTINATION_PORT, 'dport'],
  ] as const;
  return [
    INGRESS_NAMES[shape & 3],
    L4_NAMES[(shape >> L4) & 3],
    ...rewrites.filter(([bit]) => (shape & bit) !== 0).map(([, name]) => name),
    ...(shape & (ECHO_REQUESTS | ECHO_REPLIES) ? [shape & ECHO_REQUESTS ? 'requests' : 'replies'] : []),
    'to',
    shape & EGRESS_FABRIC ? 'fabric' : 'outside',
  ].join('-');
}

/** @returns The match+action list of a shape: what software and NIC alike do with the packets of such a direction. */
export function shapeList(shape: number, config: ValidatedConfig): FlowList {
  const ingress = shape & 3;
  const l4 = (shape >> L4) & 3;
  const plain = ingress === INGRESS_OUTSIDE;
  const externalPort = config.ports[config.externalPort];
  return {
    name: shapeName(shape),
    ingress: plain ? config.externalPort : config.fabricPort,
    match: [...matchOutside(ingress, config), ...matchInside(l4, shape)],
    actions: [
      { type: 'count' },
      { type: 'age', seconds: argument('ageSeconds') },
      ...(plain
        ? externalPort.vlan === null
          ? []
          : [{ type: 'pop-vlan' } as const]
        : [{ type: 'pop-vxlan' } as const]),
      ...rewrite(shape, l4),
      { type: 'decrement-ttl' },
      { type: 'checksum' },
      ...leave((shape & EGRESS_FABRIC) !== 0, config),
    ],
  };
}

/** Headers up to the IPv4 header that is translated. */
function matchOutside(ingress: number, config: ValidatedConfig): MatchItem[] {
  if (ingress === INGRESS_OUTSIDE) {
    const { vlan } = config.ports[config.externalPort];
    return vlan === null ? [{ type: 'eth' }] : [{ type: 'eth' }, { type: 'vlan', vid: vlan }];
  }
  return [
    { type: 'eth' },
    ingress === INGRESS_PEER ? { type: 'ipv4', source: argument('matchOuterSourceAddress') } : { type: 'ipv4' },
    { type: 'udp', destination: config.underlay.udpPort },
    { type: 'vxlan', vni: argument('matchVni') },
    { type: 'eth', destination: config.underlay.mac },
  ];
}

function matchInside(l4: number, shape: number): MatchItem[] {
  const source = argument('matchSourceAddress');
  const destination = argument('matchDestinationAddress');
  const ports = { source: argument('matchSourcePort'), destination: argument('matchDestinationPort') };
  switch (l4) {
    case L4_TCP:
      return [
        { type: 'ipv4', source, destination },
        { type: 'tcp', ...ports },
      ];
    case L4_UDP:
      return [
        { type: 'ipv4', source, destination },
        { type: 'udp', ...ports },
      ];
    case L4_ICMP:
      return [
        { type: 'ipv4', source, destination },
        { type: 'icmp', ...echoType(shape), identifier: argument('matchSourcePort') },
      ];
    default:
      return [{ type: 'ipv4', source, destination, protocol: argument('protocol') }];
  }
}

function echoType(shape: number): { readonly icmpType?: number } {
  if ((shape & ECHO_REQUESTS) !== 0) return { icmpType: IcmpType.echoRequest };
  return (shape & ECHO_REPLIES) !== 0 ? { icmpType: IcmpType.echoReply } : {};
}

function rewrite(shape: number, l4: number): Action[] {
  const actions: Action[] = [];
  const has = (bit: number) => (shape & bit) !== 0;
  if (has(SOURCE_ADDRESS | DESTINATION_ADDRESS)) {
    actions.push({
      type: 'set-ipv4',
      ...(has(SOURCE_ADDRESS) ? { source: argument('newSourceAddress') } : {}),
      ...(has(DESTINATION_ADDRESS) ? { destination: argument('newDestinationAddress') } : {}),
    });
  }
  if (!has(SOURCE_PORT | DESTINATION_PORT)) return actions;
  if (l4 === L4_ICMP) actions.push({ type: 'set-icmp-identifier', identifier: argument('newSourcePort') });
  else {
    actions.push({
      type: 'set-l4',
      protocol: l4 === L4_TCP ? 'tcp' : 'udp',
      ...(has(SOURCE_PORT) ? { source: argument('newSourcePort') } : {}),
      ...(has(DESTINATION_PORT) ? { destination: argument('newDestinationPort') } : {}),
    });
  }
  return actions;
}

function leave(toFabric: boolean, config: ValidatedConfig): Action[] {
  if (!toFabric) {
    const port = config.ports[config.externalPort];
    return [
      { type: 'set-ethernet', source: port.mac, destination: argument('outerDestinationMac') },
      ...(port.vlan === null ? [] : [{ type: 'push-vlan', vid: port.vlan } as const]),
      { type: 'output', port: config.externalPort },
    ];
  }
  return [
    { type: 'set-ethernet', source: config.underlay.mac, destination: argument('innerDestinationMac') },
    {
      type: 'push-vxlan',
      sourceMac: config.underlay.mac,
      destinationMac: argument('outerDestinationMac'),
      source: config.underlay.vtep,
      destination: argument('outerDestinationAddress'),
      udpSourcePort: argument('outerUdpSourcePort'),
      udpDestinationPort: config.underlay.udpPort,
      vni: argument('newVni'),
    },
    { type: 'output', port: config.fabricPort },
  ];
}
