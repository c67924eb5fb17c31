import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { offer } from '../../src/compiler/partial';
import { type Target, targets } from '../../src/compiler/target';
import { ItemType } from '../../src/native/records';

const softflow = targets().get('softflow') as Target;
const TCP_FLAGS_OFFSET = 13; // RFC 9293 section 3.1

describe('a NIC that keeps TCP SYN, FIN and RST away by a condition of each rule', () => {
  const conditions: Target['punts'] = {
    ...softflow.punts,
    'tcp-flags': { means: 'condition', source: 'changed by a test' },
  };
  const target: Target = { ...softflow, punts: conditions };
  const lists = sampleShapes().filter(({ protocol }) => protocol === 'tcp');
  test.each(lists.map(({ list }) => [list.name, list] as const))('%s matches none of the three', (_, list) => {
    const result = compileFor(list, target, DEFAULT_CONTEXT);
    if (!result.ok) throw new Error(result.diagnostics[0].message);
    const tcp = result.template.items.find(({ type }) => type === ItemType.tcp);
    expect([tcp?.spec?.[TCP_FLAGS_OFFSET], tcp?.mask?.[TCP_FLAGS_OFFSET]]).toEqual([0, 0x07]);
  });
});

describe('peers that share a VNI', () => {
  const partial: Target = { ...softflow, actions: { ...softflow.actions, age: { forms: [], source: 'none' } } };
  const kinds = (fromPeers: boolean) =>
    sampleShapes()
      .filter(({ list }) => list.match[0].type === 'eth' && list.match.some(({ type }) => type === 'vxlan'))
      .filter(({ list }) => list.name.startsWith('peer-') === fromPeers)
      .map(({ list }) => offer(list, partial, DEFAULT_CONTEXT).kind);
  test('are not decapsulated: the application could not tell them apart by the VNI that is left', () => {
    expect(kinds(true).length).toBeGreaterThan(3);
    expect(new Set(kinds(true))).toEqual(new Set(['classify']));
  });
  test('and VPCs are: their VNI is all that tells them apart', () => {
    expect(new Set(kinds(false))).toEqual(new Set(['decapsulate']));
  });
});
