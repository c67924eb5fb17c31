import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { ActionName } from '../../src/compiler/fields';
import type { Action, FlowList, MatchItem } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { type Target, targets } from '../../src/compiler/target';

/** A list that is little but the action, of each that a target has a form for. */
const ALONE: Readonly<Record<Exclude<ActionName, 'checksum' | 'set-icmp-identifier'>, readonly Action[]>> = {
  'pop-vxlan': [{ type: 'pop-vxlan' }],
  'push-vxlan': [
    {
      type: 'push-vxlan',
      sourceMac: 1,
      destinationMac: 2,
      source: 3,
      destination: 4,
      udpSourcePort: 5,
      udpDestinationPort: 4789,
      vni: 6,
    },
  ],
  'set-vni': [{ type: 'set-vni', vni: 7 }],
  'pop-vlan': [{ type: 'pop-vlan' }],
  'push-vlan': [{ type: 'push-vlan', vid: 8 }],
  'set-ethernet': [{ type: 'set-ethernet', source: 9, destination: 10 }],
  'set-ipv4': [{ type: 'set-ipv4', source: 11, destination: 12 }, { type: 'checksum' }],
  'set-l4': [{ type: 'set-l4', protocol: 'udp', source: 13, destination: 14 }, { type: 'checksum' }],
  'decrement-ttl': [{ type: 'decrement-ttl' }, { type: 'checksum' }],
  count: [{ type: 'count' }],
  age: [{ type: 'age', seconds: 15 }],
  mark: [{ type: 'mark', id: 16 }],
  output: [{ type: 'output', port: 1 }],
  punt: [{ type: 'punt', port: 0 }],
  drop: [{ type: 'drop' }],
  jump: [{ type: 'jump', group: 17 }],
};
const FATES: ReadonlySet<string> = new Set(['output', 'punt', 'drop', 'jump']);
const TUNNEL: readonly MatchItem[] = ['eth', 'ipv4', 'udp', 'vxlan', 'eth'].map((type) => ({ type }) as MatchItem);
const MATCHES: Readonly<Record<string, readonly MatchItem[]>> = {
  'pop-vxlan': TUNNEL,
  'set-vni': TUNNEL,
  'pop-vlan': [{ type: 'eth' }, { type: 'vlan' }, { type: 'ipv4' }],
};

/** Lists with one action each and whatever fate the target knows, and every list of the NAT engine. */
function lists(target: Target): readonly FlowList[] {
  const fate = (['punt', 'drop', 'jump'] as const).find((name) => target.actions[name].forms.length > 0) ?? 'drop';
  const plain = (['eth', 'ipv4', 'udp'] as const).filter((type) => type === 'eth' || target.items[type]);
  const alone = Object.entries(ALONE).map(([name, actions]): FlowList => {
    return {
      name,
      ingress: 0,
      match: MATCHES[name] ?? plain.map((type) => ({ type }) as MatchItem),
      actions: FATES.has(name) ? actions : [...actions, ...ALONE[fate]],
    };
  });
  return [...alone, ...sampleShapes().map(({ list }) => list)];
}

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
