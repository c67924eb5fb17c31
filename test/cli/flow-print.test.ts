import { Readable } from 'node:stream';
import fc from 'fast-check';
import { JsonArray, TableLines } from '../../src/cli/flow-print.js';
import { SAMPLE_ROWS } from '../../src/cli/flow-table.js';

const direction = { path: 'offloaded', reason: null, packets: 1, bytes: 100 };
const flow = (vpc: string, port: number) => ({
  id: `${port}.1`,
  class: 'vpc-to-external',
  vpc,
  protocol: 'tcp',
  state: 'established',
  inside: { address: '10.0.1.5', port },
  nat: { address: '203.0.113.16', port: 50000 },
  remote: { address: '198.51.100.9', port: 443 },
  underlay: { vni: 100, vtep: '172.30.0.11' },
  forward: direction,
  reverse: direction,
  ageMs: 0,
  idleMs: 0,
  expiresInMs: 1000,
});

/** As a socket may hand it over: cut anywhere, also inside a character. */
function cutUp(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
  // Every other one at a line's end, where the gateway itself cuts.
  const place = (cut: number, i: number) =>
    i % 2 === 0 || ends.length === 0 ? cut % (bytes.length + 1) : ends[cut % ends.length];
  const places = [...new Set(cuts.map(place))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

async function through(chunks: readonly Buffer[], step: JsonArray | TableLines): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of Readable.from(chunks.filter(({ length }) => length > 0)).pipe(step)) parts.push(part);
  return Buffer.concat(parts).toString();
}

const names = fc.array(fc.constantFrom('red', 'größe', '青', '"quoted"', '🙂'), { maxLength: 12 });
const cuts = fc.array(fc.nat(5000), { maxLength: 20 });

test('an array has every line, wherever the stream was cut', async () => {
  await fc.assert(
    fc.asyncProperty(names, cuts, async (vpcs, places) => {
      const flows = vpcs.map(flow);
      const text = flows.map((one) => `${JSON.stringify(one)}\n`).join('');
      expect(JSON.parse(await through(cutUp(text, places), new JsonArray()))).toEqual(flows);
    }),
  );
});

test('a table has every line, wherever the stream was cut', async () => {
  const plain = { width: null, height: 24, colours: false };
  await fc.assert(
    fc.asyncProperty(names, cuts, async (vpcs, places) => {
      const text = vpcs.map((vpc, i) => `${JSON.stringify(flow(vpc, i))}\n`).join('');
      const table = await through(cutUp(text, places), new TableLines(plain));
      expect(table).toBe(await through([Buffer.from(text)], new TableLines(plain)));
      expect(table.trimEnd().split('\n')).toHaveLength(vpcs.length + 1);
    }),
  );
});

test('lines come before the list has ended, once widths are known', async () => {
  const table = new TableLines({ width: null, height: 24, colours: false });
  const line = Buffer.from(`${JSON.stringify(flow('red', 1))}\n`);
  for (let i = 0; i < SAMPLE_ROWS - 1; i++) table.write(line);
  expect(table.read()).toBeNull();
  table.write(line);
  expect(String(table.read())).toMatch(/^ID /);
});
