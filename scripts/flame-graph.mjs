// Draws a flame graph: folded stacks on stdin ("outermost;…;innermost COUNT" a line), SVG on stdout.
//   node scripts/flame-graph.mjs TITLE <folded >out.svg
import { readFileSync } from 'node:fs';
import { parse, View } from 'vega';

const WIDTH = 1400;
const ROW = 17;
/** Frames with a smaller share of all samples are left out: nobody could read them. */
const LEAST_SHARE = 0.001;

const SHADES = { script: '#e0a458', kernel: '#9c89b8', native: '#d1603d', other: '#c9b79c' };

/** @returns Nodes of the tree of all stacks: id, parent, name, samples of its own and below, depth. */
function nodesOf(folded) {
  const root = { id: 0, parent: null, name: 'all', all: 0, own: 0, depth: 0, children: new Map() };
  const nodes = [root];
  for (const line of folded.split('\n')) {
    const space = line.lastIndexOf(' ');
    if (space <= 0) continue;
    const count = Number(line.slice(space + 1));
    let node = root;
    node.all += count;
    for (const name of line.slice(0, space).split(';')) {
      let child = node.children.get(name);
      if (child === undefined) {
        child = { id: nodes.length, parent: node.id, name, all: 0, own: 0, depth: node.depth + 1, children: new Map() };
        node.children.set(name, child);
        nodes.push(child);
      }
      node = child;
      node.all += count;
    }
    node.own += count;
  }
  const kept = nodes.filter(({ all }) => all >= root.all * LEAST_SHARE);
  // What is left out counts as its parent's own.
  const keptIds = new Set(kept.map(({ id }) => id));
  for (const node of nodes) if (!keptIds.has(node.id) && keptIds.has(node.parent)) nodes[node.parent].own += node.all;
  return kept.map(({ id, parent, name, all, own, depth }) => ({
    id,
    parent,
    name,
    all,
    own,
    depth,
    shade: shadeOf(name),
  }));
}

function shadeOf(name) {
  if (/^(JS|LazyCompile|Function|Script|Eval):/.test(name)) return SHADES.script;
  if (name.endsWith('_[k]')) return SHADES.kernel;
  if (name.includes('sluice::')) return SHADES.native;
  return SHADES.other;
}

const nodes = nodesOf(readFileSync(0, 'utf8'));
const height = ROW * (1 + Math.max(...nodes.map(({ depth }) => depth)));
const share = "format(datum.all / data('tree')[0].all, '.1%')";
const specification = {
  $schema: 'https://vega.github.io/schema/vega/v6.json',
  width: WIDTH,
  height,
  padding: 8,
  background: 'white',
  title: { text: process.argv[2] ?? '', anchor: 'start' },
  data: [
    {
      name: 'tree',
      values: nodes,
      transform: [
        { type: 'stratify', key: 'id', parentKey: 'parent' },
        { type: 'partition', field: 'own', sort: { field: 'all', order: 'descending' }, size: [WIDTH, height] },
      ],
    },
  ],
  marks: [
    {
      type: 'rect',
      from: { data: 'tree' },
      encode: {
        enter: {
          x: { field: 'x0' },
          x2: { field: 'x1' },
          y: { signal: `${height} - datum.y1` },
          y2: { signal: `${height} - datum.y0` },
          fill: { field: 'shade' },
          stroke: { value: 'white' },
          strokeWidth: { value: 0.5 },
          description: { signal: `datum.name + ' ' + ${share}` },
        },
      },
    },
    {
      type: 'text',
      from: { data: 'tree' },
      encode: {
        enter: {
          x: { signal: 'datum.x0 + 3' },
          y: { signal: `${height} - (datum.y0 + datum.y1) / 2` },
          baseline: { value: 'middle' },
          font: { value: 'sans-serif' },
          fontSize: { value: 10 },
          limit: { signal: 'max(1, datum.x1 - datum.x0 - 6)' },
          text: { signal: `datum.x1 - datum.x0 < 24 ? '' : datum.name + ' ' + ${share}` },
        },
      },
    },
  ],
};
const view = new View(parse(specification), { renderer: 'none' });
process.stdout.write(`${await view.toSVG()}\n`);
