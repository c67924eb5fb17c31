import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { type Target, targets } from '../../src/compiler/target';
import { tryRule } from '../../src/compiler/trial/trial';

const executing = ['software', 'softflow', 'mlx5-hws', 'mlx5-sws'].map((name) => targets().get(name) as Target);

describe.each(executing.map((target) => [target.name, target] as const))('each rule of %s, tried', (_, target) => {
  test('serves a packet of its flow as the list says, and none that just misses it or that is software’s', () => {
    let tried = 0;
    for (const { list } of sampleShapes()) {
      const result = compileFor(list, target, DEFAULT_CONTEXT);
      if (!result.ok) continue;
      const trial = tryRule(list, result.template, target, DEFAULT_CONTEXT, null);
      expect([list.name, trial?.faults]).toEqual([list.name, []]);
      expect(trial?.hits).toBe(1);
      expect(trial?.misses).toBeGreaterThan(target.kind === 'nic' ? 8 : 1);
      tried++;
    }
    expect(tried).toBeGreaterThan(20);
  });
});

describe('the trial notices', () => {
  const target = targets().get('mlx5-hws') as Target;
  const { list } = sampleShapes()[1];
  const compiled = () => {
    const result = compileFor(list, target, DEFAULT_CONTEXT);
    if (!result.ok) throw new Error(result.diagnostics[0].message);
    return result.template;
  };
  const faults = (template: ReturnType<typeof compiled>, by: Target = target) =>
    tryRule(list, template, by, DEFAULT_CONTEXT, null)?.faults.map(({ odd }) => odd);

  test('nothing in the sound rule', () => expect(faults(compiled())).toEqual([]));
  test('a match that leaves out a field', () => {
    const rule = compiled();
    const last = rule.items.length - 1;
    const items = rule.items.map((item, i) => (i === last ? { type: item.type } : item));
    const patches = rule.patches.filter((patch) => patch.target !== 'item' || patch.index !== last);
    expect(faults({ ...rule, items, patches })).toEqual([
      'tcp.source of layer 2 off by 1',
      'tcp.destination of layer 2 off by 1',
    ]);
  });
  test('a rewrite that is not there', () => {
    const rule = compiled();
    expect(
      faults({ ...rule, patches: rule.patches.filter(({ argument }) => argument !== 'newSourceAddress') }),
    ).toEqual(['']);
  });
  test('a NIC that serves SYN, FIN and RST', () => {
    const without = { ...target.punts, 'tcp-flags': { means: 'unmatched', source: 'changed by a test' } } as const;
    expect(faults(compiled(), { ...target, punts: without })).toEqual(['SYN', 'FIN', 'RST']);
  });
});
