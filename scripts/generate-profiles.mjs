// Writes addon/generated/profiles.h from schemas/targets: what net_softflow refuses with profile=NAME.
//
//   node scripts/generate-profiles.mjs [--check]      --check: exits 1 when the file is stale
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'schemas/targets');
const OUTPUT = join(root, 'addon/generated/profiles.h');
const RELEASES = JSON.parse(readFileSync(join(folder, 'target.schema.json'), 'utf8')).$defs.release.enum;

/** rte_flow actions of a form; those of MODIFY_FIELD say field and operation too. */
const ACTIONS = {
  'vxlan-decap': ['VXLAN_DECAP'],
  'raw-decap': ['RAW_DECAP'],
  'vxlan-encap': ['VXLAN_ENCAP'],
  'raw-encap': ['RAW_ENCAP'],
  'of-pop-vlan': ['OF_POP_VLAN'],
  'of-push-vlan': ['OF_PUSH_VLAN', 'OF_SET_VLAN_VID'],
  'set-mac': ['SET_MAC_SRC', 'SET_MAC_DST'],
  'set-ipv4': ['SET_IPV4_SRC', 'SET_IPV4_DST'],
  'set-tp': ['SET_TP_SRC', 'SET_TP_DST'],
  'dec-ttl': ['DEC_TTL'],
  count: ['COUNT'],
  age: ['AGE'],
  mark: ['MARK'],
  'represented-port': ['REPRESENTED_PORT'],
  'port-representor': ['PORT_REPRESENTOR'],
  queue: ['QUEUE'],
  drop: ['DROP'],
  jump: ['JUMP'],
};
const FIELDS = {
  'set-ethernet': ['MAC_SRC', 'MAC_DST'],
  'set-ipv4': ['IPV4_SRC', 'IPV4_DST'],
  'set-l4': ['TCP_PORT_SRC', 'TCP_PORT_DST', 'UDP_PORT_SRC', 'UDP_PORT_DST'],
  'set-vni': ['VXLAN_VNI'],
};
const OPERATIONS = { 'modify-add': 'ADD', 'modify-sub': 'SUB' };
/** Action names of the tables (ActionTypeNames) that are not rte_flow's in lower case. */
const WORDS = {
  'set-mac-source': 'SET_MAC_SRC',
  'set-mac-destination': 'SET_MAC_DST',
  'set-ipv4-source': 'SET_IPV4_SRC',
  'set-ipv4-destination': 'SET_IPV4_DST',
  'set-tp-source': 'SET_TP_SRC',
  'set-tp-destination': 'SET_TP_DST',
};
const constant = (name) => WORDS[name] ?? name.toUpperCase().replaceAll('-', '_');
const ITEM_FIELDS = {
  eth: { source: 'src_addr', destination: 'dst_addr', etherType: 'ether_type' },
  vlan: { vid: 'vlan_tci' },
  ipv4: {
    source: 'src_addr',
    destination: 'dst_addr',
    protocol: 'next_proto_id',
    ttl: 'time_to_live',
    fragmentOffset: 'fragment_offset',
    versionIhl: 'version_ihl',
  },
  udp: { source: 'src_port', destination: 'dst_port' },
  tcp: { source: 'src_port', destination: 'dst_port', flags: 'tcp_flags' },
  icmp: { icmpType: 'icmp_type', icmpCode: 'icmp_code', identifier: 'icmp_ident' },
  vxlan: { vni: 'vx_vni' },
};
const REWRITTEN = { source: 1, destination: 2, sport: 4, dport: 8 };

const covers = (release, since) =>
  since !== null && RELEASES.indexOf(release) >= RELEASES.indexOf(since ?? RELEASES[0]);

/** The item as {type, lengths of the fields that may be matched}: offsets are the compiler's to know. */
function itemOf(name, { fields }) {
  const known = Object.keys(fields).map((field) => {
    const member = `hdr.${ITEM_FIELDS[name][field]}`;
    return `SLUICE_FIELD(rte_flow_item_${name}, ${member})`;
  });
  return { name, known };
}

function profile(table, release) {
  const there = covers(release, table.since);
  const actions = new Set();
  const fields = [];
  for (const [action, { forms, since }] of Object.entries(table.actions)) {
    for (const form of forms) {
      if (!there || !covers(release, since?.[form])) continue;
      for (const name of ACTIONS[form] ?? []) actions.add(name);
      for (const field of form === 'modify-field' ? FIELDS[action] : []) fields.push([field, 'SET']);
      if (OPERATIONS[form]) fields.push(['IPV4_TTL', OPERATIONS[form]]);
    }
  }
  if (fields.length > 0) actions.add('MODIFY_FIELD');
  const joins = there && table.groups.joined !== undefined;
  if (joins) actions.add('SET_TAG');
  const { steps, strict, free = [] } = table.actionOrder;
  const rank = (name) => {
    const step = strict ? steps.findIndex((names) => names.some((word) => constant(word) === name)) : -1;
    return step < 0 || free.some((word) => constant(word) === name) ? 0 : step + 1;
  };
  const items = Object.entries(table.items).filter(([, { since }]) => there && covers(release, since));
  const { budgets = {} } = table;
  return {
    name: release === RELEASES.at(-1) ? [table.name, `${table.name}@${release}`] : [`${table.name}@${release}`],
    sync: there && covers(release, table.api.sync),
    templates: there && covers(release, table.api.template),
    transfer: table.domain === 'transfer',
    groups: actions.has('JUMP'),
    staticGroup: table.groups.static,
    integrity: items.some(([name]) => name === 'integrity'),
    positive: table.punts['ipv4-checksum'].means === 'condition',
    actions: [...actions].map((name) => `{RTE_FLOW_ACTION_TYPE_${name}, ${rank(name)}}`),
    fields: fields.map(([field, operation]) => `{RTE_FLOW_FIELD_${field}, RTE_FLOW_MODIFY_${operation}}`),
    items: [
      ...items.map(([name, capability]) => itemOf(name, capability)),
      ...(joins ? [{ name: 'tag', known: [] }] : []),
    ],
    exclusive: (table.exclusive?.pairs ?? []).map(
      (pair) => `{${pair.map((word) => `RTE_FLOW_ACTION_TYPE_${constant(word)}`).join(', ')}}`,
    ),
    sets: (table.rewriteSets?.sets ?? []).map((set) => set.reduce((bits, field) => bits | REWRITTEN[field], 0)),
    level: table.modifyField?.level ?? 0,
    matchDwords: budgets.matchDwords ?? 0,
    modifyCommands: budgets.modifyCommands ?? 0,
    encapBytes: budgets.encapBytes ?? 0,
  };
}

function text(profiles) {
  const lines = [
    '// Generated by scripts/generate-profiles.mjs from schemas/targets. Do not edit.',
    '#pragma once',
    '',
    '#include "softflow_pmd/profile.h"',
    '',
    '#define SLUICE_FIELD(item, member) {offsetof(item, member), sizeof(item::member)}',
    '',
    'namespace sluice::softflow::profiles {',
    '',
  ];
  const rows = [];
  const known = new Map(); // what tables have in common is written once
  const list = (type, name, entries) => {
    if (entries.length === 0) return '{}';
    const content = `${type} ${entries.join(', ')}`;
    if (!known.has(content)) {
      known.set(content, `k${name}${known.size}`);
      lines.push(`inline constexpr ${type} ${known.get(content)}[] = {${entries.join(', ')}};`);
    }
    return known.get(content);
  };
  profiles.forEach((p) => {
    const items = p.items.map(({ name, known: fieldsOf }) => {
      const fields = list('ProfileItem::Field', 'MatchFields', fieldsOf);
      return `{RTE_FLOW_ITEM_TYPE_${constant(name)}, ${fields}}`;
    });
    const parts = [
      list('ProfileItem', 'Items', items),
      list('ProfileAction', 'Actions', p.actions),
      list('ProfileField', 'ModifyFields', p.fields),
      list('ProfilePair', 'Exclusive', p.exclusive),
      list('uint8_t', 'Sets', p.sets),
    ];
    const flags = [p.sync, p.templates, p.transfer, p.groups, p.positive].join(', ');
    const numbers = [p.staticGroup, p.level, p.matchDwords, p.modifyCommands, p.encapBytes].join(', ');
    for (const name of p.name) rows.push(`    {"${name}", ${parts.join(', ')}, ${flags}, ${numbers}},`);
  });
  lines.push(
    '',
    'inline constexpr Profile kAll[] = {',
    ...rows,
    '};',
    '',
    '}  // namespace sluice::softflow::profiles',
    '',
    '#undef SLUICE_FIELD',
    '',
  );
  return lines.join('\n');
}

const profiles = [];
for (const file of readdirSync(folder).sort()) {
  if (file === 'target.schema.json') continue;
  const table = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  if (table.kind !== 'nic' || table.name === 'softflow') continue;
  for (const release of RELEASES) profiles.push(profile(table, release));
}
const wanted = text(profiles);
if (!process.argv.includes('--check')) writeFileSync(OUTPUT, wanted);
else if (readFileSync(OUTPUT, 'utf8') !== wanted) {
  process.stderr.write('addon/generated/profiles.h is stale: node scripts/generate-profiles.mjs\n');
  process.exitCode = 1;
}
