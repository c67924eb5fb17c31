import { ActionType } from '../../native/records.js';
import { isArgument, writeBigEndian, writeLittleEndian } from '../fields.js';
import type { Action, ArgumentName, Value } from '../ir.js';
import type { Target } from '../target.js';
import type { PlacedRule } from './split-groups.js';

export interface ConfPatch {
  readonly offset: number;
  readonly width: number;
  readonly argument: ArgumentName;
  readonly bigEndian: boolean;
}

/** One rte_flow action with the values that vary. */
export interface FormedAction {
  readonly type: ActionType;
  readonly conf: Uint8Array;
  readonly patches: readonly ConfPatch[];
}

export interface FormedRule extends PlacedRule {
  readonly formed: readonly FormedAction[];
}

/**
 * Chooses for each action the rte_flow actions that the target knows for it, and encodes their configurations.
 *
 * Precondition: legal for the target, so each action has a form.
 */
export function selectForms(placed: PlacedRule, target: Target): FormedRule {
  return { ...placed, formed: placed.rule.actions.flatMap((at) => formedActions(at.node, target)) };
}

class ConfBuilder {
  readonly conf: Uint8Array;
  private readonly patches: ConfPatch[] = [];

  constructor(
    private readonly type: ActionType,
    bytes: number,
  ) {
    this.conf = new Uint8Array(bytes);
  }

  /** Network order. `mac`: the argument's bytes are copied as they are. */
  networkOrder(offset: number, width: number, value: Value): this {
    return this.place(offset, width, value, width !== 6 && width !== 1);
  }

  hostOrder(offset: number, width: number, value: Value): this {
    return this.place(offset, width, value, false);
  }

  private place(offset: number, width: number, value: Value, bigEndian: boolean): this {
    if (isArgument(value)) this.patches.push({ offset, width, argument: value.argument, bigEndian });
    else if (bigEndian || width === 6) writeBigEndian(this.conf, offset, width, value);
    else writeLittleEndian(this.conf, offset, width, value);
    return this;
  }

  build(): FormedAction {
    return { type: this.type, conf: this.conf, patches: this.patches };
  }
}

const bare = (type: ActionType): FormedAction => ({ type, conf: new Uint8Array(0), patches: [] });
const network = (type: ActionType, width: number, value: Value): FormedAction =>
  new ConfBuilder(type, width).networkOrder(0, width, value).build();
const host = (type: ActionType, width: number, value: Value): FormedAction =>
  new ConfBuilder(type, width).hostOrder(0, width, value).build();

function optional(pairs: readonly (readonly [ActionType, number, Value | undefined])[]): FormedAction[] {
  const formed: FormedAction[] = [];
  for (const [type, width, value] of pairs) if (value !== undefined) formed.push(network(type, width, value));
  return formed;
}

function formedActions(action: Action, target: Target): readonly FormedAction[] {
  const form = target.actions[action.type].forms[0];
  if (form === undefined) throw new Error(`${target.name} has no form of ${action.type}`);
  switch (action.type) {
    case 'pop-vxlan':
      return [bare(ActionType.vxlanDecap)];
    case 'push-vxlan':
      return [vxlanEncap(action)];
    case 'set-vni':
      return [modifyVni(action.vni)];
    case 'pop-vlan':
      return [bare(ActionType.ofPopVlan)];
    case 'push-vlan':
      return [network(ActionType.ofPushVlan, 2, ETHERTYPE_VLAN), network(ActionType.ofSetVlanVid, 2, action.vid)];
    case 'set-ethernet':
      return optional([
        [ActionType.setMacSource, 6, action.source],
        [ActionType.setMacDestination, 6, action.destination],
      ]);
    case 'set-ipv4':
      return optional([
        [ActionType.setIpv4Source, 4, action.source],
        [ActionType.setIpv4Destination, 4, action.destination],
      ]);
    case 'set-l4':
      return optional([
        [ActionType.setTpSource, 2, action.source],
        [ActionType.setTpDestination, 2, action.destination],
      ]);
    case 'set-icmp-identifier':
      return [network(ActionType.setIcmpIdent, 2, action.identifier)];
    case 'decrement-ttl':
      return [bare(ActionType.decTtl)];
    case 'checksum':
      return [];
    case 'count':
      return [bare(ActionType.count)];
    case 'age':
      return [host(ActionType.age, 4, action.seconds)];
    case 'mark':
      return [host(ActionType.mark, 4, action.id)];
    case 'output':
      return [host(ActionType.representedPort, 2, action.port)];
    case 'punt':
      return [host(ActionType.portRepresentor, 2, action.port)];
    case 'drop':
      return [bare(ActionType.drop)];
    case 'jump':
      return [host(ActionType.jump, 4, action.group)];
  }
}

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_VLAN = 0x8100;
const PROTOCOL_UDP = 17;
const DONT_FRAGMENT = 0x4000; // RFC 791 section 3.1; a VTEP never fragments, RFC 7348 section 4.3
const OUTER_TTL = 64;
const VXLAN_FLAG_I = 0x08; // RFC 7348 section 5

/** Offsets of the 50-byte encapsulation header: Ethernet, IPv4, UDP, VXLAN. */
export const ENCAP_OFFSETS = {
  destinationMac: 0,
  sourceMac: 6,
  etherType: 12,
  versionIhl: 14,
  tos: 15,
  fragmentOffset: 20,
  ttl: 22,
  protocol: 23,
  source: 26,
  destination: 30,
  udpSourcePort: 34,
  udpDestinationPort: 36,
  vxlanFlags: 42,
  vni: 46,
  size: 50,
} as const;

/** Lengths and the IPv4 checksum stay 0: they are filled per packet. TOS 0, UDP checksum 0. */
function vxlanEncap(push: Extract<Action, { type: 'push-vxlan' }>): FormedAction {
  const at = ENCAP_OFFSETS;
  return new ConfBuilder(ActionType.vxlanEncap, at.size)
    .networkOrder(at.destinationMac, 6, push.destinationMac)
    .networkOrder(at.sourceMac, 6, push.sourceMac)
    .networkOrder(at.etherType, 2, ETHERTYPE_IPV4)
    .networkOrder(at.versionIhl, 1, 0x45)
    .networkOrder(at.fragmentOffset, 2, DONT_FRAGMENT)
    .networkOrder(at.ttl, 1, OUTER_TTL)
    .networkOrder(at.protocol, 1, PROTOCOL_UDP)
    .networkOrder(at.source, 4, push.source)
    .networkOrder(at.destination, 4, push.destination)
    .networkOrder(at.udpSourcePort, 2, push.udpSourcePort)
    .networkOrder(at.udpDestinationPort, 2, push.udpDestinationPort)
    .networkOrder(at.vxlanFlags, 1, VXLAN_FLAG_I)
    .networkOrder(at.vni, 3, push.vni)
    .build();
}

const RTE_FLOW_FIELD_VXLAN_VNI = 21; // rte_flow.h, enum rte_flow_field_id
const MODIFY_SET = 0;

/** MODIFY_FIELD set of the outermost VNI; the immediate is in network order, as the item's field. */
function modifyVni(vni: Value): FormedAction {
  return new ConfBuilder(ActionType.modifyField, 24)
    .hostOrder(0, 1, MODIFY_SET)
    .hostOrder(1, 1, 24)
    .hostOrder(4, 2, RTE_FLOW_FIELD_VXLAN_VNI)
    .networkOrder(8, 3, vni)
    .build();
}
