import { parseIpv4 } from '../config/address.js';
import { type DecodedAction, type DecodedItem, type DecodedRule, decode } from './decode.js';
import { instantiate } from './instantiate.js';
import type { RuleTemplate } from './template.js';

/** A line of testpmd holds at most this many characters before DPDK 24.07 (lib/cmdline/cmdline_rdline.h, RDLINE_BUF_SIZE). */
export const TESTPMD_LINE_LENGTH = 512;
/** From DPDK 24.07 on RDLINE_BUF_SIZE is LINE_MAX. */
export const TESTPMD_LONG_LINE_LENGTH = 2048;

/** Actions that testpmd, and rte_flow, do not know. */
const PRIVATE_ACTIONS: ReadonlySet<string> = new Set(['set-icmp-ident']);

/**
 * The rule as it is installed, as commands of DPDK 22.11's testpmd: what it needs beforehand first, of a rule that is two the
 * second half. For lines that it does not fit see print-chain.ts.
 *
 * @param row        FlowArguments of one flow; without it, arguments stand as `<name>`.
 * @param portIds    Ethdev port id of each gateway port; absent: the gateway's indexes.
 * @param lineLength Of the testpmd that will read it. What it cannot hold is printed as comments.
 */
export function printTestpmd(
  template: RuleTemplate,
  row?: DataView,
  portIds?: readonly number[],
  lineLength = TESTPMD_LONG_LINE_LENGTH,
): string[] {
  const first = template.second === undefined ? [] : printTestpmd(template.second, row, portIds, lineLength);
  const rule = decode(row ? instantiate(template, row) : template);
  return [...first, ...preambles(rule.actions), ...fitted(createCommand(template, rule, portIds), lineLength)];
}

/** The command that makes the rule, its second half apart, however long it is. */
export function createCommand(template: RuleTemplate, rule: DecodedRule, portIds?: readonly number[]): string {
  const port = (text: string): string => (portIds ? String(portIds[Number(text)]) : text);
  const attributes = [
    ...(template.group === 0 ? [] : [`group ${template.group}`]),
    ...(template.priority === 0 ? [] : [`priority ${template.priority}`]),
    template.domain,
  ];
  const pattern = rule.items.map((item) => printItem(item, port)).join(' / ');
  const actions = rule.actions.map((action) => printAction(action, port)).join(' / ');
  return `flow create ${port(String(template.ingress))} ${attributes.join(' ')} pattern ${pattern} / end actions ${actions} / end`;
}

/** Commands that testpmd needs before those of a rule with these actions. */
export function preambles(actions: readonly DecodedAction[]): string[] {
  const lines: string[] = [];
  for (const action of actions) {
    if (PRIVATE_ACTIONS.has(action.type)) lines.push(`# ${word(action.type)} is not rte_flow's: software table only`);
    if (action.type === 'vxlan-encap') lines.push(...vxlanPreamble(action));
    if (action.type === 'raw-encap') lines.push(rawEncapPreamble(action));
    if (action.type === 'raw-decap') lines.push(`set raw_decap ${RAW_INDEX} eth / ipv4 / udp / vxlan / end_set`);
  }
  return lines;
}

/** What testpmd takes for granted (cmdline_flow.c zeroes configurations). */
const DEFAULTS = [' dst_offset 0', ' index 0'];

/**
 * The command as a line of at most so many characters: if it must be with shorter MACs and addresses, or without what testpmd
 * takes for granted; spelt for every testpmd where that can be. Null: it is longer however it is spelt.
 */
export function spelt(create: string, lineLength: number): string | null {
  const short = create
    .replace(
      /\b([0-9a-f]{2}):([0-9a-f]{2}):([0-9a-f]{2}):([0-9a-f]{2}):([0-9a-f]{2}):([0-9a-f]{2})\b/g,
      '$1$2:$3$4:$5$6',
    )
    .replace(/\b\d+\.\d+\.\d+\.\d+\b/g, (address) => {
      const hex = `0x${(parseIpv4(address) ?? 0).toString(16)}`;
      return hex.length < address.length ? hex : address;
    });
  const bare = DEFAULTS.reduce((line, words) => line.replaceAll(`${words} `, ' '), short);
  const spellings = [create, short, bare];
  const within = (length: number) => spellings.find((line) => line.length <= length);
  return within(Math.min(TESTPMD_LINE_LENGTH, lineLength)) ?? within(lineLength) ?? null;
}

/**
 * The command {@link spelt}, with a word of warning where only newer lines hold it; as comments where it is too long. A long one
 * with `<name>` in it is for reading: as it is.
 */
export function fitted(create: string, lineLength: number): string[] {
  const line = spelt(create, lineLength);
  if (line !== null && line.length <= TESTPMD_LINE_LENGTH) return [line];
  if (create.includes('<')) return [create];
  if (line !== null)
    return [`# ${line.length} characters: testpmd before DPDK 24.07 holds ${TESTPMD_LINE_LENGTH} a line`, line];
  const lines = [`# ${create.length} characters, more than a line of testpmd holds:`];
  const room = TESTPMD_LINE_LENGTH - '# '.length;
  for (let rest = create; rest.length > 0; ) {
    const space = rest.length <= room ? rest.length : rest.lastIndexOf(' ', room);
    lines.push(`# ${rest.slice(0, space)}`);
    rest = rest.slice(space + 1);
  }
  return lines;
}

/** Where testpmd keeps the header of the rule that follows. */
const RAW_INDEX = 0;

/** raw_encap takes its header, all of it, from `set raw_encap`. */
function rawEncapPreamble(action: DecodedAction): string {
  const value = Object.fromEntries(action.values);
  return [
    `set raw_encap ${RAW_INDEX} eth src is ${value['eth-src']} dst is ${value['eth-dst']} type is 0x0800`,
    `ipv4 tos is ${value['ip-tos']} ttl is ${value['ip-ttl']} fragment_offset is 0x4000 proto is 17 src is ${value['ip-src']} dst is ${value['ip-dst']}`,
    `udp src is ${value['udp-src']} dst is ${value['udp-dst']}`,
    `vxlan vni is ${value.vni} / end_set`,
  ].join(' / ');
}

export const word = (type: string): string => type.replaceAll('-', '_');

function printItem(item: DecodedItem, port: (text: string) => string): string {
  const words = [word(item.type)];
  for (const { testpmd, spec, mask, last } of item.fields) {
    const value = item.type === 'represented-port' ? port(spec) : spec;
    if (mask === null && last === null) words.push(`${testpmd} is ${value}`);
    else {
      words.push(`${testpmd} spec ${value}`);
      if (last !== null) words.push(`${testpmd} last ${last}`);
      if (mask !== null) words.push(`${testpmd} mask ${mask}`);
    }
  }
  return words.join(' ');
}

export const ACTION_WORDS: Readonly<Record<string, string>> = {
  'set-mac-source': 'set_mac_src',
  'set-mac-destination': 'set_mac_dst',
  'set-ipv4-source': 'set_ipv4_src',
  'set-ipv4-destination': 'set_ipv4_dst',
  'set-tp-source': 'set_tp_src',
  'set-tp-destination': 'set_tp_dst',
};

export function printAction(action: DecodedAction, port: (text: string) => string): string {
  const words = [ACTION_WORDS[action.type] ?? word(action.type)];
  if (action.type === 'vxlan-encap') return words[0];
  if (action.type === 'raw-encap' || action.type === 'raw-decap') return `${words[0]} index ${RAW_INDEX}`;
  const isPort = action.type === 'represented-port' || action.type === 'port-representor';
  for (const [name, value] of action.values) words.push(name, isPort ? port(value) : value);
  return words.join(' ');
}

/** vxlan_encap takes its header from `set vxlan`. DF, which our header sets, has no word there. */
function vxlanPreamble(action: DecodedAction): string[] {
  const words = action.values.map(([name, value]) => `${name} ${value}`);
  return [
    '# the header also sets DF, for which set vxlan has no word',
    `set vxlan-tos-ttl ip-version ipv4 ${words.join(' ')}`,
  ];
}
