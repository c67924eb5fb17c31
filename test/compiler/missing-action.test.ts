import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { ActionName } from '../../src/compiler/fields';
import type { CompileResult } from '../../src/compiler/index';
import type { FlowList, MatchItem } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { singleActions } from '../../src/compiler/single-actions';
import { type Target, targets } from '../../src/compiler/target';

/** That of an echo which is not sent on: those that are, are refused as ICMP on every NIC. */
const ECHO: FlowList = {
  name: 'set-icmp-identifier',
  ingress: 0,
  match: [{ type: 'eth' }, { type: 'ipv4' }, { type: 'icmp' }],
  actions: [{ type: 'set-icmp-identifier', identifier: 18 }, { type: 'checksum' }, { type: 'punt', port: 0 }],
};

const VNI: FlowList = {
  name: 'set-vni',
  ingress: 0,
  match: ['eth', 'ipv4', 'udp', 'vxlan', 'eth'].map((type) => ({ type }) as MatchItem),
  actions: [
    { type: 'set-vni', vni: 7 },
    { type: 'punt', port: 0 },
  ],
};

/** Lists with one action each, and every list of the NAT engine. */
const lists = (target: Target): readonly FlowList[] => [
  ...singleActions(target),
  ECHO,
  VNI,
  ...sampleShapes().map(({ list }) => list),
];

const forwards = (list: FlowList, target: Target): boolean =>
  target.kind === 'nic' && list.actions.at(-1)?.type === 'output';

/** What nobody sees who drops the packet: the compiler leaves it out. */
const REWRITES: ReadonlySet<ActionName> = new Set([
  'set-ethernet',
  'set-ipv4',
  'set-l4',
  'set-icmp-identifier',
  'set-vni',
  'decrement-ttl',
  'checksum',
]);

/** A list that leaves by a port relies on constant rules, which punt and jump. */
function needs(list: FlowList, action: ActionName, target: Target): boolean {
  if (action === 'set-icmp-identifier' && forwards(list, target)) return false;
  if (REWRITES.has(action) && list.actions.at(-1)?.type === 'drop') return false;
  if (list.actions.some(({ type }) => type === action)) return true;
  if (!forwards(list, target)) return false;
  if (action === 'jump') return target.groups.static !== target.groups.nat;
  return action === 'punt' && Object.values(target.punts).some(({ means }) => means === 'rule');
}

/** Whether a refusal is for want of the action, by name. */
function isNamed(action: ActionName, result: CompileResult): boolean {
  if (result.ok) return false;
  const words = action === 'checksum' ? /leaves checksums stale/ : new RegExp(`cannot execute ${action}(,|$)`);
  const code = action === 'checksum' ? 'checksum-unsupported' : 'action-unsupported';
  return result.diagnostics.some((diagnostic) => diagnostic.code === code && words.test(diagnostic.message));
}

const cases = [...targets().values()].flatMap((target) =>
  (Object.keys(target.actions) as ActionName[]).map((name) => [target.name, name, target] as const),
);

describe('a table that lacks an action', () => {
  let taken = 0;
  let refusals = 0;
  test.each(cases)('%s without %s does not offload exactly the lists that need it, and names it', (_, name, target) => {
    const has = target.actions[name].forms.length > 0;
    const none = { forms: [], source: 'taken away by a test' };
    const less: Target = has ? { ...target, actions: { ...target.actions, [name]: none } } : target;
    let needed = 0;
    for (const list of lists(target)) {
      const before = compileFor(list, target, DEFAULT_CONTEXT);
      const result = compileFor(list, less, DEFAULT_CONTEXT);
      if (!needs(list, name, target)) {
        expect({ list: list.name, ok: result.ok, named: isNamed(name, result) }).toEqual({
          list: list.name,
          ok: before.ok,
          named: false,
        });
        continue;
      }
      needed++;
      expect({ list: list.name, ok: result.ok, named: isNamed(name, result) }).toEqual({
        list: list.name,
        ok: false,
        named: true,
      });
      if (!before.ok || result.ok) continue;
      // It was offloaded, so there is no other reason.
      refusals++;
      expect(new Set(result.diagnostics.map(({ code }) => code)).size).toBe(1);
    }
    expect(needed).toBeGreaterThan(0);
    if (has) taken++;
  });
  test('that was every action of every table', () => {
    expect(cases.length).toBe(31 * 18);
    expect(taken).toBe(
      [...targets().values()].flatMap(({ actions }) => Object.values(actions).filter(({ forms }) => forms.length > 0))
        .length,
    );
    expect(taken).toBeGreaterThan(200);
    expect(refusals).toBeGreaterThan(1500);
  });
});
