import type { ActionType, FlowArguments, ItemType } from '../native/records.js';

/**
 * One pattern item of a rule template.
 *
 * `spec`, `mask` and `last` are the protocol header as on the wire (network order): eth 14 bytes (no tag), vlan 4
 * (TCI, EtherType), ipv4 20, ipv6 40, udp 8, tcp 20, icmp 8, vxlan 8. `represented-port`: u16 LE gateway port index
 * (mask ffff). `tag`: u32 LE value, u8 register index. `integrity`: u8 level, u8 bits (1 l3_ok, 2 ipv4_csum_ok); bits of the mask select, level is spec's.
 * Absent mask = the item's presence only.
 */
export interface TemplateItem {
  readonly type: ItemType;
  readonly spec?: Uint8Array;
  readonly mask?: Uint8Array;
  readonly last?: Uint8Array;
}

/**
 * One action of a rule template, `conf` in this layout: age u32 LE seconds (the context is the addon's); jump u32 LE
 * group; mark u32 LE; queue u16 LE; port-representor, represented-port u16 LE gateway port index; vxlan-encap 50
 * bytes Ethernet+IPv4+UDP+VXLAN as on the wire (lengths and checksum 0: filled per packet); raw-encap, raw-decap the
 * header bytes; set-mac-* 6 bytes; set-ipv4-* 4 bytes network order; set-tp-* and set-icmp-ident 2 bytes network
 * order; set-ttl 1 byte; of-push-vlan EtherType and of-set-vlan-vid VID, 2 bytes network order; modify-field 24
 * bytes: u8 operation (0 set, 1 add, 2 sub), u8 width in bits, u8 destination level, u8 destination offset in bits,
 * u16 LE enum rte_flow_field_id, u16 0, then the 16 value bytes; set-tag u32 LE value, u32 LE mask, u8 register index.
 * Others: empty.
 */
export interface TemplateAction {
  readonly type: ActionType;
  readonly conf: Uint8Array;
}

/** Copies an argument of the flow's row into a template's spec or conf. */
export interface TemplatePatch {
  readonly target: 'item' | 'action';
  /** Index into `items` or `actions`. */
  readonly index: number;
  /** Byte offset inside spec or conf. */
  readonly offset: number;
  /** Bytes to write: 1, 2, 3 (VNI), 4 or 6 (MAC). */
  readonly width: number;
  /** Name of the FlowArguments field that is copied. */
  readonly argument: Exclude<keyof typeof FlowArguments, 'size'>;
  /** Whether the number is written in network order (MACs are copied as they are). */
  readonly bigEndian: boolean;
}

/** A rule whose values are filled per flow: what a shape is compiled to, once per target. */
export interface RuleTemplate {
  readonly name: string;
  /** Gateway port (index) on whose device the rule is created, and on whose wire its packets arrive. */
  readonly ingress: number;
  readonly group: number;
  readonly priority: number;
  readonly domain: 'transfer' | 'ingress';
  readonly items: readonly TemplateItem[];
  readonly actions: readonly TemplateAction[];
  readonly patches: readonly TemplatePatch[];
  /** The rule that its packets jump to, found by `ruleTag`: what a NIC cannot do in one rule. Created first, removed last. */
  readonly second?: RuleTemplate;
}
