// Writes src/native/records.ts and addon/generated/records.h from schemas/records.json, and src/mirror/records.ts from
// schemas/mirror-records.json.
// `--check` writes nothing and exits 1 when a file on disk differs.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'));
const spec = read('schemas/records.json');
const mirrorSpec = read('schemas/mirror-records.json');
const banner = (file) => `Generated from ${file} by scripts/generate-records.mjs. Do not edit.`;

const sizes = { u8: 1, u16: 2, u32: 4, i32: 4, f64: 8, mac: 6 };
const sizeOf = (type) => sizes[type] ?? spec.records[type].size;
const pascal = (name) =>
  name
    .split(/[-_]/)
    .map((w) => w[0].toUpperCase() + w.slice(1))
    .join('');
const camel = (name) => {
  const p = pascal(name);
  return p[0].toLowerCase() + p.slice(1);
};
const snake = (name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

const kConstant = (name) =>
  `k${name
    .toLowerCase()
    .split('_')
    .map((w) => w[0].toUpperCase() + w.slice(1))
    .join('')}`;

for (const [name, record] of [...Object.entries(spec.records), ...Object.entries(mirrorSpec.records)]) {
  let end = 0;
  for (const field of [...record.fields].sort((a, b) => a.offset - b.offset)) {
    if (field.offset < end) throw new Error(`${name}.${field.name} overlaps the field before it`);
    end = field.offset + sizeOf(field.type);
    const alignment = field.type === 'mac' ? 1 : Math.min(sizeOf(field.type), 8);
    if (field.offset % alignment) throw new Error(`${name}.${field.name} is not aligned`);
  }
  if (end > record.size) throw new Error(`${name} is larger than its size`);
}

function transitions() {
  const states = spec.enums.TcpState.values;
  const events = spec.enums.TcpEvent.values;
  const next = [];
  const restart = [];
  const timers = [];
  for (const state of states) {
    const row = spec.tcp.states[state];
    for (const direction of ['forward', 'reverse']) {
      for (const event of events) {
        const to = row[direction][event] ?? state;
        if (!states.includes(to)) throw new Error(`records.json: tcp state ${to}`);
        next.push(states.indexOf(to));
        const again = row.restart?.[direction]?.includes(event) ?? false;
        const moved = to !== state && spec.tcp.states[to].keepTimer !== true;
        restart.push(again || moved ? 1 : 0);
      }
    }
    timers.push(['other', 'transitory', 'established'].indexOf(row.timer));
  }
  return { next, restart, timers, events: events.length };
}
const tcp = transitions();

/** Enums, constants and offsets, as TypeScript. */
function declarations({ enums, constants, records }) {
  const out = [];
  for (const [name, e] of Object.entries(enums)) {
    out.push(`/** ${e.doc} */`, `export const ${name} = {`);
    out.push(...e.values.map((v, i) => `  ${camel(v)}: ${i},`));
    out.push('} as const;', `export type ${name} = (typeof ${name})[keyof typeof ${name}];`);
    out.push(`export const ${name}Names: readonly string[] = [`, ...e.values.map((v) => `  '${v}',`), '];', '');
  }
  for (const [name, c] of Object.entries(constants)) out.push(`/** ${c.doc} */`, `export const ${name} = ${c.value};`);
  out.push('');
  for (const [name, r] of Object.entries(records)) {
    out.push(`/** ${r.doc} Offsets in bytes. */`, `export const ${name} = {`, `  size: ${r.size},`);
    for (const f of r.fields) {
      if (f.doc) out.push(`  /** ${f.doc} */`);
      out.push(`  ${f.name}: ${f.offset},`);
    }
    out.push('} as const;', '');
  }
  return out;
}

const mirrorTypescript = () =>
  [`// ${banner('schemas/mirror-records.json')}`, '', ...declarations(mirrorSpec)].join('\n');

function typescript() {
  const out = [`// ${banner('schemas/records.json')}`, '', ...declarations(spec)];
  out.push(
    '/** Next TcpState by [state * 2 * events + direction * events + event]. */',
    `export const TCP_NEXT: readonly number[] = [${tcp.next.join(', ')}];`,
  );
  out.push(
    "/** 1 where the transition restarts the state's timer; same index. */",
    `export const TCP_RESTART: readonly number[] = [${tcp.restart.join(', ')}];`,
  );
  out.push(
    '/** Idle time that governs a TcpState: 0 other, 1 transitory, 2 established. */',
    `export const TCP_TIMER: readonly number[] = [${tcp.timers.join(', ')}];`,
    '',
  );
  out.push('/** Wire width of each FlowArguments field, bytes. */', 'export const FlowArgumentWidths = {');
  for (const f of spec.records.FlowArguments.fields) out.push(`  ${f.name}: ${sizeOf(f.type)},`);
  out.push('} as const;', '');
  return out.join('\n');
}

function cpp() {
  const types = { u8: 'uint8_t', u16: 'uint16_t', u32: 'uint32_t', i32: 'int32_t', f64: 'double' };
  const out = [
    `// ${banner('schemas/records.json')}`,
    '#pragma once',
    '',
    '#include <cstddef>',
    '#include <cstdint>',
    '',
    'namespace sluice {',
    '',
  ];
  for (const [name, e] of Object.entries(spec.enums)) {
    out.push(`// ${e.doc}`, `enum class ${name} : uint8_t {`);
    out.push(...e.values.map((v, i) => `  k${pascal(v)} = ${i},`));
    out.push('};', `inline constexpr size_t k${name}Count = ${e.values.length};`);
    out.push(`inline constexpr const char* k${name}Names[] = {${e.values.map((v) => `"${v}"`).join(', ')}};`, '');
  }
  for (const [name, c] of Object.entries(spec.constants))
    out.push(`// ${c.doc}`, `inline constexpr uint32_t ${kConstant(name)} = ${c.value}u;`);
  out.push('');
  for (const name of Object.keys(spec.records).sort((a, b) => (a === 'Decision') - (b === 'Decision'))) {
    const r = spec.records[name];
    out.push(`// ${r.doc}`, `struct alignas(8) ${name} {`);
    let at = 0;
    let pads = 0;
    for (const f of [...r.fields].sort((a, b) => a.offset - b.offset)) {
      if (f.offset > at) out.push(`  uint8_t reserved${pads++}[${f.offset - at}];`);
      out.push(f.type === 'mac' ? `  uint8_t ${snake(f.name)}[6];` : `  ${types[f.type] ?? f.type} ${snake(f.name)};`);
      at = f.offset + sizeOf(f.type);
    }
    if (at < r.size) out.push(`  uint8_t reserved${pads++}[${r.size - at}];`);
    out.push('};', `static_assert(sizeof(${name}) == ${r.size});`);
    for (const f of r.fields) out.push(`static_assert(offsetof(${name}, ${snake(f.name)}) == ${f.offset});`);
    out.push('');
  }
  out.push(
    '// Next TcpState by [state][direction][TcpEvent].',
    `inline constexpr uint8_t kTcpNext[] = {${tcp.next.join(', ')}};`,
  );
  out.push(
    '// 1 where the transition restarts the timer of the state; same index.',
    `inline constexpr uint8_t kTcpRestart[] = {${tcp.restart.join(', ')}};`,
  );
  out.push(`inline constexpr size_t kTcpEvents = ${tcp.events};`, '', '}  // namespace sluice', '');
  return out.join('\n');
}

const check = process.argv.includes('--check');
let stale = 0;
for (const [path, text] of [
  ['src/native/records.ts', typescript()],
  ['addon/generated/records.h', cpp()],
  ['src/mirror/records.ts', mirrorTypescript()],
]) {
  const file = join(root, path);
  let old = '';
  try {
    old = readFileSync(file, 'utf8');
  } catch {
    /* first run */
  }
  if (old === text) continue;
  if (check) {
    console.error(`${path} is stale: run npm run generate`);
    stale = 1;
  } else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    console.error(`wrote ${path}`);
  }
}
process.exitCode = stale;
