import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { CodeMap, readProfile } from '../../bench/callgrind';
import { type Baseline, type Counts, judge } from '../../bench/instruction-baseline';

const root = join(__dirname, '../..');

test('new flows, packets and ends of flows cost no more instructions than the baseline says', () => {
  // What costs less is told, and kept with `npm run bench -- instructions --update`.
  const output = execFileSync(process.execPath, [join(root, 'dist/bench/main.js'), 'instructions', '--json'], {
    encoding: 'utf8',
    cwd: root,
  });
  const { figures } = JSON.parse(output.trimEnd().split('\n').at(-1) as string) as { figures: Record<string, Counts> };
  expect(Object.keys(figures).sort()).toEqual(
    ['Nic', 'Software', 'Nic2Shards']
      .flatMap((where) => ['endFlow', 'forward', 'newFlow'].map((phase) => `${phase}${where}`))
      .sort(),
  );
  // Each part did its share, so that none is judged by what never ran.
  expect(figures.newFlowNic.javascript).toBeGreaterThan(100);
  expect(figures.newFlowNic.softwareNic).toBeGreaterThan(100);
  expect(figures.forwardNic.softwareNic).toBeGreaterThan(100);
  expect(figures.forwardNic.slowPath).toBeLessThan(50);
  expect(figures.forwardSoftware.slowPath).toBeGreaterThan(100);
  expect(figures.endFlowNic.softwareNic).toBeGreaterThan(100);
  expect(figures.newFlowNic2Shards.softwareNic).toBeGreaterThan(100);
}, 360_000);

describe('judging', () => {
  const counts: Counts = { javascript: 1000, slowPath: 2000, softwareNic: 0, libraries: 100, heapBytes: 40 };
  const then: Baseline = { node: '20.0.0', compiler: 'GCC 12', figures: { newFlow: counts } };
  const with_ = (change: Partial<Counts>): Baseline => ({ ...then, figures: { newFlow: { ...counts, ...change } } });

  test('the same is neither worse nor better', () => {
    expect(judge(then, then)).toEqual({ worse: [], better: [], skipped: [] });
  });

  test('one percent more of native code is let through, three of JavaScript; beyond it is worse', () => {
    expect(judge(with_({ slowPath: 2028, javascript: 1038 }), then).worse).toEqual([]);
    expect(judge(with_({ slowPath: 2029 }), then).worse).toEqual(['newFlow.slowPath: 2000 → 2029 (+1.4%)']);
    expect(judge(with_({ javascript: 1040 }), then).worse).toEqual(['newFlow.javascript: 1000 → 1040 (+4.0%)']);
  });

  test('where there was nothing, a few instructions are let through and more are worse', () => {
    expect(judge(with_({ softwareNic: 8 }), then).worse).toEqual([]);
    expect(judge(with_({ softwareNic: 9 }), then).worse).toHaveLength(1);
  });

  test('far less is told', () => {
    expect(judge(with_({ javascript: 900 }), then)).toEqual({
      worse: [],
      better: ['newFlow.javascript: 1000 → 900 (-10.0%)'],
      skipped: [],
    });
  });

  test('garbage counts like instructions of JavaScript', () => {
    expect(judge(with_({ heapBytes: 60 }), then).worse).toHaveLength(1);
    expect(judge({ ...with_({ heapBytes: 60 }), node: '22.0.0' }, then).worse).toEqual([]);
  });

  test('another Node or another compiler leaves its part unjudged, and says so', () => {
    const other = with_({ javascript: 5000, slowPath: 5000 });
    expect(judge({ ...other, node: '22.0.0' }, then).worse).toEqual(['newFlow.slowPath: 2000 → 5000 (+150.0%)']);
    expect(judge({ ...other, compiler: 'GCC 14' }, then).worse).toEqual(['newFlow.javascript: 1000 → 5000 (+400.0%)']);
    expect(judge({ ...other, node: '22.0.0', compiler: 'GCC 14' }, then).skipped).toHaveLength(2);
  });

  test('a figure without a baseline is a fault', () => {
    expect(judge(then, { ...then, figures: {} }).worse).toEqual(['newFlow: has no baseline']);
  });
});

test("a profile's own costs are added up by object and function, callees' are not counted twice", () => {
  const profile = readProfile(
    [
      'desc: Trigger: Client Request: newFlow',
      'events: Ir',
      'ob=(1) /usr/lib/one.so',
      'fl=(1) a.cc',
      'fn=(1) first',
      '0 10',
      'cob=(2) /opt/two.so',
      'cfn=(2) second',
      'calls=3 0',
      '0 7000',
      '+2 5',
      'ob=(2)',
      'fn=(2)',
      '* 30',
      'ob=(1)',
      'fn=(1)',
      '-1 100',
    ].join('\n'),
  );
  expect(profile.name).toBe('newFlow');
  expect([...profile.objects]).toEqual([
    ['one.so', 115],
    ['two.so', 30],
  ]);
  expect([...profile.functions]).toEqual([
    ['one.so:first', 115],
    ['two.so:second', 30],
  ]);
});

test('code is found by any address in it; what came last at a place counts', () => {
  const map = new CodeMap('100 10 JS:old\n200 20 JS:*other\n100 8 JS:*new\nnot a line\n');
  expect([0xff, 0x100, 0x107, 0x108, 0x21f, 0x220].map((address) => map.at(address))).toEqual([
    null,
    'JS:*new',
    'JS:*new',
    null,
    'JS:*other',
    null,
  ]);
});
