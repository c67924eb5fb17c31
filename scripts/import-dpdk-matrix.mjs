// Takes DPDK's own matrix of rte_flow items and actions out of a source tree, and holds the target tables to it.
//
//   node scripts/import-dpdk-matrix.mjs TREE            writes schemas/dpdk/RELEASE.json; RELEASE is TREE/VERSION's year and month
//   node scripts/import-dpdk-matrix.mjs TREE --check    says in what that file differs from the tree, and exits 1 then
//   node scripts/import-dpdk-matrix.mjs --tables        exits 1 when a target table claims what its driver's matrix lacks, or lacks
//                                                       what the matrix has and does not say why
//
// TREE: an unpacked DPDK source, e.g. that of `apt-get source dpdk`; read: doc/guides/nics/features/*.ini.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const STORE = join(root, 'schemas/dpdk');
const TARGETS = join(root, 'schemas/targets');
const SECTIONS = { '[rte_flow items]': 'items', '[rte_flow actions]': 'actions' };

/** `name = Y` lines of the two sections; P and I (partial, indirect too) are kept as they are. */
function readIni(text) {
  const found = { items: {}, actions: {} };
  let section = null;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line.startsWith('[')) section = SECTIONS[line] ?? null;
    else if (section !== null) {
      const [name, value] = line.split('=').map((part) => part.trim());
      if (value && !name.startsWith(';')) found[section][name] = value;
    }
  }
  return found;
}

/** Of a stable release, the newest has the most faults mended: 22.11.11's txgbe no longer lists a MARK that it never had. */
function importTree(tree) {
  const version = readFileSync(join(tree, 'VERSION'), 'utf8').trim();
  const release = version.split('.').slice(0, 2).join('.');
  const folder = join(tree, 'doc/guides/nics/features');
  const drivers = {};
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.ini') || file === 'default.ini') continue;
    const { items, actions } = readIni(readFileSync(join(folder, file), 'utf8'));
    if (Object.keys(items).length > 0 || Object.keys(actions).length > 0) {
      drivers[file.slice(0, -'.ini'.length)] = { items, actions };
    }
  }
  const source =
    'doc/guides/nics/features/*.ini, [rte_flow items] and [rte_flow actions]; Y yes, P partial, I indirect too';
  return { release, version, source, drivers };
}

/** One line for each driver, item and action that two matrices tell differently. */
function differences(stored, found) {
  const flat = (drivers) =>
    new Map(
      Object.entries(drivers).flatMap(([driver, lists]) =>
        Object.entries(lists).flatMap(([list, names]) =>
          Object.entries(names).map(([name, value]) => [`${driver}: ${list.slice(0, -1)} ${name}`, value]),
        ),
      ),
    );
  const [ours, theirs] = [flat(stored), flat(found)];
  return [...new Set([...ours.keys(), ...theirs.keys()])]
    .sort()
    .filter((key) => ours.get(key) !== theirs.get(key))
    .map((key) => `${key} is ${ours.get(key) ?? 'not there'} here, ${theirs.get(key) ?? 'not there'}`);
}

/** rte_flow actions that each form of a target table needs. */
const ACTIONS_OF_FORM = {
  'vxlan-decap': ['vxlan_decap'],
  'vxlan-encap': ['vxlan_encap'],
  'raw-decap': ['raw_decap'],
  'raw-encap': ['raw_encap'],
  'of-pop-vlan': ['of_pop_vlan'],
  'of-push-vlan': ['of_push_vlan', 'of_set_vlan_vid'],
  'set-mac': ['set_mac_src', 'set_mac_dst'],
  'set-ipv4': ['set_ipv4_src', 'set_ipv4_dst'],
  'set-tp': ['set_tp_src', 'set_tp_dst'],
  'dec-ttl': ['dec_ttl'],
  'modify-field': ['modify_field'],
  'modify-add': ['modify_field'],
  'modify-sub': ['modify_field'],
  count: ['count'],
  age: ['age'],
  mark: ['mark'],
  'represented-port': ['represented_port'],
  'port-representor': ['port_representor'],
  queue: ['queue'],
  drop: ['drop'],
  jump: ['jump'],
};

/** A note that says no more than the matrix. */
const IS_ABSENCE = /^[A-Z_]+ is not known\.$|^The driver rewrites no header field\.$/;
/** Items that lists know; that of the port is for rules which see all ports. */
const ITEMS = ['eth', 'vlan', 'ipv4', 'ipv6', 'udp', 'tcp', 'icmp', 'vxlan', 'integrity', 'represented-port'];
/** The action of lists that an rte_flow action would serve. */
const ACTION_OF = {
  ...{ raw_decap: 'pop-vxlan', vxlan_decap: 'pop-vxlan', raw_encap: 'push-vxlan', vxlan_encap: 'push-vxlan' },
  ...{ of_pop_vlan: 'pop-vlan', of_push_vlan: 'push-vlan', set_mac_src: 'set-ethernet' },
  ...{ set_ipv4_src: 'set-ipv4', set_tp_src: 'set-l4', modify_field: 'set-ipv4', dec_ttl: 'decrement-ttl' },
  ...{ represented_port: 'output', port_representor: 'punt', queue: 'punt' },
  ...{ count: 'count', age: 'age', mark: 'mark', drop: 'drop', jump: 'jump' },
};

/** What a driver's matrix has and its table denies without a word. */
function unexplained(file, table, release, driver) {
  const actions = Object.entries(ACTION_OF)
    .filter(([name, action]) => driver.actions[name] && table.actions[action].forms.length === 0)
    .filter(([, action]) => IS_ABSENCE.test(table.actions[action].note ?? ''))
    .map(
      ([name, action]) => `${file}: ${action} lacks ${name}, which the matrix of ${release} has, and does not say why`,
    );
  const items = ITEMS.filter((item) => driver.items[item.replaceAll('-', '_')] && !table.items[item])
    .filter((item) => item !== 'represented-port' || table.domain === 'transfer')
    .map((item) => `${file}: item ${item} is missing, which the matrix of ${release} has`);
  return [...actions, ...items];
}

/** What tables claim and DPDK's matrix does not know, but for the listed disagreements with the driver's code. */
function checkTables() {
  const faults = [];
  const matrices = Object.fromEntries(
    readdirSync(STORE).map((file) => [
      file.slice(0, -'.json'.length),
      JSON.parse(readFileSync(join(STORE, file), 'utf8')),
    ]),
  );
  for (const file of readdirSync(TARGETS).sort()) {
    if (file === 'target.schema.json') continue;
    const table = JSON.parse(readFileSync(join(TARGETS, file), 'utf8'));
    if (!table.matrix) continue;
    for (const [release, { drivers }] of Object.entries(matrices)) {
      if (table.since && Number(release) < Number(table.since)) continue;
      const driver = drivers[table.matrix];
      if (!driver) {
        faults.push(`${file}: DPDK ${release} has no driver ${table.matrix}`);
        continue;
      }
      const disputed = new Set((table.disputes ?? []).map(({ name }) => name));
      for (const [item, { since }] of Object.entries(table.items)) {
        const name = item.replaceAll('-', '_');
        if (since && Number(release) < Number(since)) continue;
        if (!driver.items[name] && !disputed.has(name))
          faults.push(`${file}: item ${name} is not in the matrix of ${release}`);
      }
      faults.push(...unexplained(file, table, release, driver));
      for (const [action, { forms, since }] of Object.entries(table.actions)) {
        for (const form of forms) {
          if (since?.[form] && Number(release) < Number(since[form])) continue;
          for (const name of ACTIONS_OF_FORM[form] ?? []) {
            if (!driver.actions[name] && !disputed.has(name)) {
              faults.push(`${file}: ${action} as ${form}: action ${name} is not in the matrix of ${release}`);
            }
          }
        }
      }
    }
  }
  return faults;
}

const [tree, ...flags] = process.argv.slice(2);
if (tree === '--tables') {
  const faults = checkTables();
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  process.exitCode = faults.length > 0 ? 1 : 0;
} else if (tree === undefined || !existsSync(join(tree, 'VERSION'))) {
  process.stderr.write(
    'usage: node scripts/import-dpdk-matrix.mjs TREE [--check] | --tables      TREE: a DPDK source tree\n',
  );
  process.exitCode = 2;
} else {
  const found = importTree(tree);
  const name = `schemas/dpdk/${found.release}.json`;
  const path = join(root, name);
  if (flags.includes('--check')) {
    const stored = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { version: 'nothing', drivers: {} };
    const lines = differences(stored.drivers, found.drivers);
    for (const line of lines) process.stderr.write(`${name} (${stored.version}): ${line} in ${found.version}\n`);
    if (lines.length > 0) process.exitCode = 1;
    else process.stdout.write(`${name} (${stored.version}) is what ${found.version} says\n`);
  } else {
    mkdirSync(STORE, { recursive: true });
    writeFileSync(path, `${JSON.stringify(found, null, 1)}\n`);
    process.stdout.write(`${name}\n`);
  }
}
