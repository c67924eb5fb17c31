import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { ActionName } from '../../src/compiler/fields';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { ALONE, singleActions } from '../../src/compiler/single-actions';
import { type Target, targets } from '../../src/compiler/target';

/** Lists with one action each, and every list of the NAT engine. */
const lists = (target: Target): readonly FlowList[] => [
  ...singleActions(target),
  ...sampleShapes().map(({ list }) => list),
];

/** A list that leaves by a port relies on constant rules, which punt and jump. */
function needs(list: FlowList, action: string, target: Target): boolean {
  if (list.actions.some(({ type }) => type === action)) return true;
  if (target.kind !== 'nic' || list.actions.at(-1)?.type !== 'output') return false;
  if (action === 'jump') return target.groups.static !== target.groups.nat;
  return action === 'punt' && Object.values(target.punts).some(({ means }) => means === 'rule');
}

const cases = [...targets().values()].flatMap((target) =>
  (Object.keys(ALONE) as ActionName[])
    .filter((name) => target.actions[name].forms.length > 0)
    .map((name) => [target.name, name, target] as const),
);

describe('a table that lacks an action', () => {
  let refusals = 0;
  test.each(cases)('%s without %s does not offload exactly the lists that need it, and names it', (_, name, target) => {
    const less: Target = {
      ...target,
      actions: { ...target.actions, [name]: { forms: [], source: 'taken away by a test' } },
    };
    let needed = 0;
    let others = 0;
    for (const list of lists(target)) {
      if (!compileFor(list, target, DEFAULT_CONTEXT).ok) continue;
      const result = compileFor(list, less, DEFAULT_CONTEXT);
      if (!needs(list, name, target)) {
        expect(result.ok).toBe(true);
        others++;
        continue;
      }
      if (result.ok) throw new Error(`${list.name} is offloaded without ${name}`);
      expect(result.diagnostics.map(({ code }) => code)).toEqual(['action-unsupported']);
      expect(result.diagnostics[0].message).toContain(`cannot execute ${name}`);
      needed++;
    }
    // Where only a whole NAT rule could be shown to need it, the target is none that executes one.
    if (needed === 0 && target.items.eth)
      expect([
        'output',
        'set-vni',
        'pop-vxlan',
        'pop-vlan',
        'set-ipv4',
        'set-l4',
        'set-ethernet',
        'push-vxlan',
        'push-vlan',
      ]).toContain(name);
    refusals += needed;
    // Lists begin with Ethernet.
    if (target.items.eth) expect(needed + others).toBeGreaterThan(0);
  });
  test('there were many', () => {
    expect(cases.length).toBeGreaterThan(150);
    expect(refusals).toBeGreaterThan(300);
  });
});
