import { type DecodedAction, type DecodedItem, decode } from './decode.js';
import { instantiate } from './instantiate.js';
import { ACTION_WORDS, fitted, preambles, printAction, TESTPMD_LONG_LINE_LENGTH, word } from './print-testpmd.js';
import type { RuleTemplate } from './template.js';

/** Rules that the table of a printed template has room for; drivers take their memory when the table is made. */
const TABLE_RULES = 64;
/** Of the flow queue and of the port's counters and ages. */
const QUEUE_SIZE = 64;
const OBJECTS = 1024;

/** What each port needs once, before its first template. @param portId Of the ethdev. */
export function printFlowConfigure(portId: number): string[] {
  return [
    `port stop ${portId}`,
    `flow configure ${portId} queues_number 1 queues_size ${QUEUE_SIZE} counters_number ${OBJECTS} aging_counters_number ${OBJECTS} meters_number 0 flags 0`,
    `port start ${portId}`,
  ];
}

/**
 * The rule by templates, as commands of DPDK 22.11's testpmd: the pattern's and the actions' template, their table, one row
 * put into it through flow queue 0.
 *
 * In the templates stands what is the same for all flows, masked; the row says the rest. Ranges are not for templates: `last`
 * is left out. Precondition: a rule that is one, with {@link printFlowConfigure} before. For lines that it does not fit see
 * print-chain.ts.
 *
 * @param id         Of the templates and their table, unique on the port.
 * @param row        FlowArguments of the flow; without it, arguments stand as `<name>`.
 * @param portIds    Ethdev port id of each gateway port; absent: the gateway's indexes.
 * @param lineLength Of the testpmd that will read it. What it cannot hold is printed as comments.
 */
export function printTemplate(
  template: RuleTemplate,
  id: number,
  row?: DataView,
  portIds?: readonly number[],
  lineLength = TESTPMD_LONG_LINE_LENGTH,
): string[] {
  const on = portIds ? portIds[template.ingress] : template.ingress;
  const beforehand = preambles(decode(row ? instantiate(template, row) : template).actions);
  const commands = templateCommands(template, id, row, portIds).flatMap((command) => fitted(command, lineLength));
  return [...beforehand, ...commands, `flow push ${on} queue 0`, `flow pull ${on} queue 0`];
}

/** The commands that make the templates, their table and the row, however long they are. */
export function templateCommands(
  template: RuleTemplate,
  id: number,
  row?: DataView,
  portIds?: readonly number[],
): readonly string[] {
  const port = (text: string): string => (portIds ? String(portIds[Number(text)]) : text);
  const on = port(String(template.ingress));
  const shape = decode(template);
  const rule = row ? decode(instantiate(template, row)) : shape;
  const { domain, group, priority } = template;

  const pattern = rule.items.map((item) => [word(item.type), ...item.fields.map(maskOf)].join(' '));
  const shown = rule.actions.map((action, i) => templateAction(action, varies(shape.actions[i]), port));
  const values = rule.items.map((item) => rowItem(item, port));
  const actions = rule.actions.map((action, i) => rowAction(action, varies(shape.actions[i]), port));
  return [
    `flow pattern_template ${on} create pattern_template_id ${id} relaxed no ${domain} template ${pattern.join(' / ')} / end`,
    `flow actions_template ${on} create ${domain} actions_template_id ${id} template ${shown.map(([value]) => value).join(' / ')} / end mask ${shown.map(([, mask]) => mask).join(' / ')} / end`,
    `flow template_table ${on} create table_id ${id} group ${group} priority ${priority} ${domain} rules_number ${TABLE_RULES} pattern_template ${id} actions_template ${id}`,
    `flow queue ${on} create 0 template_table ${id} pattern_template 0 actions_template 0 postpone no pattern ${values.join(' / ')} / end actions ${actions.join(' / ')} / end`,
  ];
}

const maskOf = ({ testpmd, mask, whole }: DecodedItem['fields'][number]): string => `${testpmd} mask ${mask ?? whole}`;

function rowItem(item: DecodedItem, port: (text: string) => string): string {
  const isPort = item.type === 'represented-port';
  const fields = item.fields.map(({ testpmd, spec }) => `${testpmd} spec ${isPort ? port(spec) : spec}`);
  return [word(item.type), ...fields].join(' ');
}

/** Rewrites that flows differ in, whether a list written by hand says so or not. */
const FLOW_REWRITES: ReadonlySet<string> = new Set([
  'set-ipv4-source',
  'set-ipv4-destination',
  'set-tp-source',
  'set-tp-destination',
]);

/** Whether a flow's arguments go into it. */
const varies = ({ type, values }: DecodedAction): boolean =>
  FLOW_REWRITES.has(type) || values.some(([, value]) => value.startsWith('<'));

/** Actions whose configuration lies behind pointers, or is the flow's: each row brings it. */
const OF_ROWS: ReadonlySet<string> = new Set(['vxlan-encap', 'raw-encap', 'raw-decap', 'age']);

/** The action in the template, and its mask: what is the same for all flows is masked. */
function templateAction(
  action: DecodedAction,
  ofFlow: boolean,
  port: (text: string) => string,
): readonly [string, string] {
  const name = ACTION_WORDS[action.type] ?? word(action.type);
  if (action.type === 'modify-field') return modifyTemplate(action, ofFlow);
  if (action.values.length === 0 || (ofFlow && !OF_ROWS.has(action.type))) return [name, name];
  const value = printAction(action, port);
  if (OF_ROWS.has(action.type)) return [value, action.type === 'age' ? name : value];
  return [value, [name, ...action.values.map(([field, text]) => `${field} ${wholeOf(field, text)}`)].join(' ')];
}

/** All but the value is the template's: operation and fields by their names, numbers by ones (rte_flow.h). */
function modifyTemplate(action: DecodedAction, ofFlow: boolean): readonly [string, string] {
  const { op, dst_type, dst_level, dst_offset, src_type, src_value, width } = Object.fromEntries(action.values);
  const digits = Number(width) / 4;
  const none = '0'.repeat(digits);
  const head = `modify_field op ${op} dst_type ${dst_type}`;
  return [
    `${head} dst_level ${dst_level} dst_offset ${dst_offset} src_type ${src_type} src_value ${ofFlow ? none : src_value} width ${width}`,
    `${head} dst_level 0xff dst_offset 0xffffffff src_type ${src_type} src_value ${ofFlow ? none : 'f'.repeat(digits)} width 0xffffffff`,
  ];
}

function rowAction(action: DecodedAction, ofFlow: boolean, port: (text: string) => string): string {
  const name = ACTION_WORDS[action.type] ?? word(action.type);
  if (action.type === 'modify-field') {
    const { op, dst_type, src_type, src_value, width } = Object.fromEntries(action.values);
    return `modify_field op ${op} dst_type ${dst_type} src_type ${src_type} src_value ${src_value} width ${width}`;
  }
  return ofFlow || OF_ROWS.has(action.type) ? printAction(action, port) : name;
}

/** The mask of a whole configuration field, in the value's manner. */
function wholeOf(field: string, value: string): string {
  if (value.includes(':')) return 'ff:ff:ff:ff:ff:ff';
  if (/^\d+\.\d+\.\d+\.\d+$/.test(value)) return '255.255.255.255';
  if (field === 'ttl_value') return '0xff';
  return field === 'group' || field === 'id' ? '0xffffffff' : '0xffff';
}
