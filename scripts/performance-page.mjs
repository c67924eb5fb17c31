// Makes the generated parts of docs/performance.md and the plots beside it from docs/performance/results/*.json, which
// `npm run bench -- NAME --save docs/performance/results/NAME.json` writes.
//   node scripts/performance-page.mjs            writes them
//   node scripts/performance-page.mjs --check    exits 1 when one is not as it would be written
//   … --docs FOLDER                              those of another folder
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parse, View } from 'vega';
import { compile } from 'vega-lite';
import * as plots from './performance-plots.mjs';

const { values: options } = parseArgs({ options: { check: { type: 'boolean' }, docs: { type: 'string' } } });
const docs = options.docs ?? join(fileURLToPath(import.meta.url), '../../docs');
const page = join(docs, 'performance.md');
const folder = join(docs, 'performance');

/** Files of plots and their functions. */
const PLOTS = {
  'setup-rate.svg': plots.setupRate,
  'first-packet.svg': plots.firstPacket,
  'forward.svg': plots.forwardRates,
  'peers.svg': plots.peers,
  'memory.svg': plots.memory,
};

function readResults() {
  const results = {};
  for (const file of readdirSync(join(folder, 'results'))) {
    if (!file.endsWith('.json')) continue;
    const result = JSON.parse(readFileSync(join(folder, 'results', file), 'utf8'));
    results[result.name] = result;
  }
  return results;
}

async function svgOf(specification) {
  const view = new View(parse(compile(specification).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return `${svg}\n`;
}

const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');

/** A bench's table: what it measured, what that includes, under which conditions. */
function table({ command, taken, commit, lines, conditions, remarks }) {
  const out = ['| figure | median (least–most, runs) | what it is |', '|---|---|---|'];
  for (const { label, value, means } of lines) out.push(`| ${cell(label)} | ${cell(value)} | ${cell(means)} |`);
  const conditionText = Object.entries(conditions).map(([key, value]) => `${key} ${value}`);
  out.push('', `\`${command}\`, ${taken}, commit ${commit}; ${conditionText.join(', ')}.`);
  for (const remark of remarks) out.push('', `**Note:** ${remark}.`);
  return out.join('\n');
}

/** Replaces what stands between `<!-- begin results NAME -->` and `<!-- end results NAME -->`. */
function fill(text, results) {
  const places = new Set();
  const filled = text.replace(/<!-- begin results (\w+) -->\n[\s\S]*?<!-- end results \1 -->/g, (_, name) => {
    places.add(name);
    const inside = results[name] === undefined ? 'Not run yet.' : table(results[name]);
    return `<!-- begin results ${name} -->\n${inside}\n<!-- end results ${name} -->`;
  });
  for (const name of Object.keys(results)) {
    if (!places.has(name)) throw new Error(`docs/performance.md has no place for the results of ${name}`);
  }
  return filled;
}

async function wanted() {
  const results = readResults();
  const files = new Map([[page, fill(readFileSync(page, 'utf8'), results)]]);
  for (const [file, plot] of Object.entries(PLOTS)) {
    const specification = plot(results);
    files.set(join(folder, file), specification === null ? null : await svgOf(specification));
  }
  return files;
}

let stale = 0;
for (const [path, content] of await wanted()) {
  const before = existsSync(path) ? readFileSync(path, 'utf8') : null;
  if (before === content) continue;
  if (options.check) {
    console.error(`${path} is stale: npm run performance`);
    stale++;
  } else if (content === null) {
    rmSync(path);
  } else {
    writeFileSync(path, content);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
