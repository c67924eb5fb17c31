// Takes DPDK's own matrix of rte_flow items and actions out of a source tree, and holds the target tables to it.
//
//   node scripts/import-dpdk-matrix.mjs TREE            writes schemas/dpdk/RELEASE.json; RELEASE is TREE/VERSION's year and month
//   node scripts/import-dpdk-matrix.mjs TREE --check    exits 1 when that file differs from the tree
//   node scripts/import-dpdk-matrix.mjs --tables        exits 1 when a target table claims what its driver's matrix lacks
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
  return { release, text: `${JSON.stringify({ release, source, drivers }, null, 1)}\n` };
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
  const { release, text } = importTree(tree);
  const path = join(STORE, `${release}.json`);
  if (flags.includes('--check')) {
    if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
      process.stderr.write(`schemas/dpdk/${release}.json is not what ${tree} says; run without --check\n`);
      process.exitCode = 1;
    }
  } else {
    mkdirSync(STORE, { recursive: true });
    writeFileSync(path, text);
    process.stdout.write(`schemas/dpdk/${release}.json\n`);
  }
}
