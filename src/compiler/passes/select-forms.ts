import { ActionType } from '../../native/records.js';
import { isArgument, writeBigEndian, writeLittleEndian } from '../fields.js';
import type { Action, ArgumentName, Value } from '../ir.js';
import type { Placement, Rule } from '../rule.js';
import type { ActionForm, Target } from '../target.js';

export interface ConfPatch {
  readonly offset: number;
  readonly width: number;
  readonly argument: ArgumentName;
  readonly bigEndian: boolean;
}

/** One rte_flow action with the values that vary. */
export interface FormedAction {
  readonly type: ActionType;
  /** The action of the list that it comes from, and its place there. */
  readonly of: Action['type'];
  readonly index: number;
  readonly conf: Uint8Array;
  readonly patches: readonly ConfPatch[];
}

export interface FormedRule {
  readonly rule: Rule;
  readonly placement: Placement;
  readonly formed: readonly FormedAction[];
  /** Whether the rule itself says on which port packets arrive. */
  readonly matchesPort: boolean;
  /** Where the rule is two: what the second one does to the packets that carry the flow's tag, and the group it stands in. */
  readonly second?: { readonly group: number; readonly formed: readonly FormedAction[] };
}

/** An action as the builders below make it, before it is known where it comes from. */
type Encoded = Omit<FormedAction, 'of' | 'index'>;

/**
 * Chooses for each action the rte_flow actions that the target knows for it, and encodes their configurations.
 *
 * Precondition: legal for the target, so each action has a form.
 */
export function selectForms(rule: Rule, placement: Placement, target: Target): FormedRule {
  const formed = rule.actions.flatMap(({ node, index }) =>
    formedActions(node, target).map((encoded) => ({ ...encoded, of: node.type, index })),
  );
  return { rule, placement, formed, matchesPort: target.domain === 'transfer' };
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

  build(): Encoded {
    return { type: this.type, conf: this.conf, patches: this.patches };
  }
}

/** The register that carries a flow's tag from the first half of its rule to the second. */
export const TAG_REGISTER = 0;

/** Ends the first half of a rule that is two. @param fate Of the list, whose place the jump takes. */
export function joinActions(group: number, fate: FormedAction): readonly FormedAction[] {
  const tag = new ConfBuilder(ActionType.setTag, 9)
    .hostOrder(0, 4, { argument: 'ruleTag' })
    .hostOrder(4, 4, 0xffff_ffff)
    .hostOrder(8, 1, TAG_REGISTER)
    .build();
  return [tag, host(ActionType.jump, 4, group)].map((encoded) => ({ ...encoded, of: fate.of, index: fate.index }));
}

const bare = (type: ActionType): Encoded => ({ type, conf: new Uint8Array(0), patches: [] });
const network = (type: ActionType, width: number, value: Value): Encoded =>
  new ConfBuilder(type, width).networkOrder(0, width, value).build();
const host = (type: ActionType, width: number, value: Value): Encoded =>
  new ConfBuilder(type, width).hostOrder(0, width, value).build();

function optional(pairs: readonly (readonly [ActionType, number, Value | undefined])[]): Encoded[] {
  const formed: Encoded[] = [];
  for (const [type, width, value] of pairs) if (value !== undefined) formed.push(network(type, width, value));
  return formed;
}

/** enum rte_flow_field_id of DPDK's rte_flow.h; the numbers are the same from 22.11 on. */
export const FIELD_ID = {
  macDestination: 1,
  macSource: 2,
  ipv4Ttl: 7,
  ipv4Source: 8,
  ipv4Destination: 9,
  tcpPortSource: 14,
  tcpPortDestination: 15,
  udpPortSource: 19,
  udpPortDestination: 20,
  vxlanVni: 21,
} as const;

export const ModifyOperation = { set: 0, add: 1, sub: 2 } as const;

/** Bytes of MODIFY_FIELD's configuration; see TemplateAction. */
export const MODIFY_FIELD_OFFSETS = {
  operation: 0,
  width: 1,
  level: 2,
  bitOffset: 3,
  field: 4,
  value: 8,
  size: 24,
} as const;

/** MODIFY_FIELD of a whole field by a value, which stands as in the field's item. */
function modify(operation: number, field: number, bits: number, value: Value, target: Target): Encoded {
  const at = MODIFY_FIELD_OFFSETS;
  return new ConfBuilder(ActionType.modifyField, at.size)
    .hostOrder(at.operation, 1, operation)
    .hostOrder(at.width, 1, bits)
    .hostOrder(at.level, 1, target.modifyField?.level ?? 0)
    .hostOrder(at.field, 2, field)
    .networkOrder(at.value, bits / 8, value)
    .build();
}

function fields(target: Target, triples: readonly (readonly [number, number, Value | undefined])[]): Encoded[] {
  const formed: Encoded[] = [];
  for (const [field, bits, value] of triples) {
    if (value !== undefined) formed.push(modify(ModifyOperation.set, field, bits, value, target));
  }
  return formed;
}

function formedActions(action: Action, target: Target): readonly Encoded[] {
  const form = target.actions[action.type].forms[0];
  if (form === undefined) throw new Error(`${target.name} has no form of ${action.type}`);
  switch (action.type) {
    case 'pop-vxlan':
      return [form === 'raw-decap' ? rawDecap() : bare(ActionType.vxlanDecap)];
    case 'push-vxlan':
      return [encapsulation(action, form === 'raw-encap' ? ActionType.rawEncap : ActionType.vxlanEncap)];
    case 'set-vni':
      return fields(target, [[FIELD_ID.vxlanVni, 24, action.vni]]);
    case 'pop-vlan':
      return [bare(ActionType.ofPopVlan)];
    case 'push-vlan':
      return [network(ActionType.ofPushVlan, 2, ETHERTYPE_VLAN), network(ActionType.ofSetVlanVid, 2, action.vid)];
    case 'set-ethernet':
      if (form === 'modify-field') {
        return fields(target, [
          [FIELD_ID.macSource, 48, action.source],
          [FIELD_ID.macDestination, 48, action.destination],
        ]);
      }
      return optional([
        [ActionType.setMacSource, 6, action.source],
        [ActionType.setMacDestination, 6, action.destination],
      ]);
    case 'set-ipv4':
      if (form === 'modify-field') {
        return fields(target, [
          [FIELD_ID.ipv4Source, 32, action.source],
          [FIELD_ID.ipv4Destination, 32, action.destination],
        ]);
      }
      return optional([
        [ActionType.setIpv4Source, 4, action.source],
        [ActionType.setIpv4Destination, 4, action.destination],
      ]);
    case 'set-l4':
      if (form === 'modify-field') {
        const tcp = action.protocol === 'tcp';
        return fields(target, [
          [tcp ? FIELD_ID.tcpPortSource : FIELD_ID.udpPortSource, 16, action.source],
          [tcp ? FIELD_ID.tcpPortDestination : FIELD_ID.udpPortDestination, 16, action.destination],
        ]);
      }
      return optional([
        [ActionType.setTpSource, 2, action.source],
        [ActionType.setTpDestination, 2, action.destination],
      ]);
    case 'set-icmp-identifier':
      return [network(ActionType.setIcmpIdent, 2, action.identifier)];
    case 'decrement-ttl':
      return [decrementTtl(form, target)];
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
      return [form === 'queue' ? host(ActionType.queue, 2, 0) : host(ActionType.portRepresentor, 2, action.port)];
    case 'drop':
      return [bare(ActionType.drop)];
    case 'jump':
      return [host(ActionType.jump, 4, action.group)];
  }
}

/** Adding 255 to an 8-bit field is subtracting 1. A TTL of 0 or 1 never gets here: constant rules punt it. */
function decrementTtl(form: ActionForm, target: Target): Encoded {
  if (form === 'modify-add') return modify(ModifyOperation.add, FIELD_ID.ipv4Ttl, 8, 0xff, target);
  if (form === 'modify-sub') return modify(ModifyOperation.sub, FIELD_ID.ipv4Ttl, 8, 1, target);
  return bare(ActionType.decTtl);
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
function encapsulation(push: Extract<Action, { type: 'push-vxlan' }>, type: ActionType): Encoded {
  const at = ENCAP_OFFSETS;
  return new ConfBuilder(type, at.size)
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

/** RAW_DECAP takes off as many bytes as its data has: up to the inner Ethernet header of an untagged outer frame. */
const rawDecap = (): Encoded => ({ type: ActionType.rawDecap, conf: new Uint8Array(ENCAP_OFFSETS.size), patches: [] });
