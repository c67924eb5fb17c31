import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileFor } from '../../src/compiler/compile';
import { DIAGNOSTIC_CODES } from '../../src/compiler/diagnostics';
import { type CompileContext, compile } from '../../src/compiler/index';
import type { Action, FlowList, MatchItem } from '../../src/compiler/ir';
import { type Target, targets } from '../../src/compiler/target';
import { argument, CONTEXT, natList, type Shape } from './flows';

const eth: MatchItem = { type: 'eth' };
const ipv4: MatchItem = { type: 'ipv4' };
const udp: MatchItem = { type: 'udp' };
const out: Action = { type: 'output', port: 1 };
const checksum: Action = { type: 'checksum' };
const push: Action = {
  type: 'push-vxlan',
  sourceMac: 1,
  destinationMac: 2,
  source: 3,
  destination: 4,
  udpSourcePort: 5,
  udpDestinationPort: 4789,
  vni: 6,
};
const list = (match: readonly MatchItem[], actions: readonly Action[], ingress = 1): FlowList => {
  return { name: 'list', ingress, match, actions };
};
const tunnel: MatchItem[] = [eth, ipv4, udp, { type: 'vxlan' }, eth, ipv4, udp];

const softflow = targets().get('softflow') as Target;
const without = (change: (target: { -readonly [K in keyof Target]: Target[K] }) => void): Target => {
  const target = structuredClone(softflow) as { -readonly [K in keyof Target]: Target[K] };
  target.name = 'less';
  change(target);
  return target;
};

type Where = { itemIndex: number } | { actionIndex: number } | null;
const seen = new Set<string>();

function refused(given: FlowList, target: Target, context: CompileContext = CONTEXT) {
  const result = compileFor(given, target, context);
  if (result.ok) return [];
  for (const diagnostic of result.diagnostics) {
    seen.add(diagnostic.code);
    expect(diagnostic).toMatchObject({ rule: given.name, target: target.name });
    expect(diagnostic.message).not.toBe('');
    expect(diagnostic.hint).not.toBe('');
  }
  return result.diagnostics;
}

function expectRefusal(given: FlowList, code: string, where: Where, target = softflow, context = CONTEXT) {
  const found = refused(given, target, context);
  expect(found.map((diagnostic) => diagnostic.code)).toEqual([code]);
  const { itemIndex, actionIndex } = found[0];
  expect(itemIndex === undefined ? (actionIndex === undefined ? null : { actionIndex }) : { itemIndex }).toEqual(where);
}

describe('a list that is wrong for any target', () => {
  const software = targets().get('software') as Target;
  const wrong = (name: string, given: FlowList, code: string, where: Where) =>
    test(name, () => expectRefusal(given, code, where, software));

  wrong('headers in an impossible order', list([eth, udp], [out]), 'match-order', { itemIndex: 1 });
  wrong('no match at all', list([], [out]), 'match-order', null);
  wrong('a tunnel in the tunnel', list([...tunnel, { type: 'vxlan' }], [out]), 'match-order', { itemIndex: 7 });
  wrong(
    'integrity of a layer that is not matched',
    list([eth, ipv4, { type: 'integrity', layer: 2, ipv4ChecksumOk: true }], [out]),
    'match-order',
    { itemIndex: 2 },
  );
  wrong('a value too large for its field', list([eth, ipv4, { ...udp, source: 65536 }], [out]), 'value-range', {
    itemIndex: 2,
  });
  wrong('a VNI of 25 bits', list([eth, ipv4, udp], [{ ...push, vni: 2 ** 24 }, out]), 'value-range', {
    actionIndex: 0,
  });
  wrong('an age of nothing', list([eth, ipv4], [{ type: 'age', seconds: 0 }, out]), 'value-range', { actionIndex: 0 });
  wrong(
    'an argument of another kind',
    list([eth, { ...ipv4, source: argument('newSourcePort') }], [out]),
    'argument-kind',
    { itemIndex: 1 },
  );
  wrong(
    'a range that ends before it begins',
    list([eth, { ...ipv4, ttl: { first: 2, last: 1 } }], [out]),
    'range-empty',
    {
      itemIndex: 1,
    },
  );
  wrong('an ingress port that does not exist', list([eth, ipv4], [{ type: 'drop' }], 2), 'port-unknown', null);
  wrong('an egress port that does not exist', list([eth, ipv4], [{ type: 'output', port: 9 }]), 'port-unknown', {
    actionIndex: 0,
  });
  wrong(
    'a rewrite of a header that was not matched',
    list([eth], [{ type: 'set-ipv4', source: 1 }, checksum, out]),
    'header-missing',
    {
      actionIndex: 0,
    },
  );
  wrong(
    'a rewrite of the other L4 protocol',
    list([eth, ipv4, udp], [{ type: 'set-l4', protocol: 'tcp', source: 1 }, checksum, out]),
    'header-missing',
    { actionIndex: 0 },
  );
  wrong('a pop of a tunnel that is not there', list([eth, ipv4, udp], [{ type: 'pop-vxlan' }, out]), 'header-missing', {
    actionIndex: 0,
  });
  wrong('an untagged frame loses a tag', list([eth, ipv4], [{ type: 'pop-vlan' }, out]), 'header-missing', {
    actionIndex: 0,
  });
  wrong('a push onto a tunnel', list(tunnel, [push, out]), 'tunnel-nested', { actionIndex: 0 });
  wrong('a second tag', list([eth, { type: 'vlan' }, ipv4], [{ type: 'push-vlan', vid: 5 }, out]), 'vlan-nested', {
    actionIndex: 0,
  });
  wrong('two counts', list([eth, ipv4], [{ type: 'count' }, { type: 'count' }, out]), 'action-repeated', {
    actionIndex: 1,
  });
  wrong('a rewrite of nothing', list([eth, ipv4], [{ type: 'set-ipv4' }, checksum, out]), 'rewrite-empty', {
    actionIndex: 0,
  });
  wrong('no fate', list([eth, ipv4], [{ type: 'count' }]), 'fate-missing', null);
  wrong('something after the fate', list([eth, ipv4], [out, { type: 'count' }]), 'action-after-fate', {
    actionIndex: 1,
  });
  wrong('a stale checksum that leaves', list([eth, ipv4], [{ type: 'decrement-ttl' }, out]), 'checksum-missing', {
    actionIndex: 0,
  });
  wrong(
    'a stale checksum that a tunnel hides',
    list([eth, ipv4], [{ type: 'set-ipv4', source: 1 }, push, checksum, out]),
    'checksum-missing',
    { actionIndex: 0 },
  );

  test('all faults are told in one run', () => {
    const faulty = list([eth, udp], [{ type: 'pop-vxlan' }, { type: 'count' }, { type: 'count' }]);
    const codes = refused(faulty, software).map(({ code }) => code);
    expect(codes).toEqual(['match-order', 'header-missing', 'action-repeated', 'fate-missing']);
  });
  test('an unknown target is told with those there are', () => {
    const result = compile(list([eth, ipv4], [out]), 'connectx', CONTEXT);
    expect(result).toMatchObject({
      ok: false,
      diagnostics: [
        {
          code: 'target-unknown',
          hint: expect.stringMatching(/^targets: bnxt, .*, softflow, software, .*NAME@22\.11/),
        },
      ],
    });
    seen.add('target-unknown');
  });
});

const nat = (from: Shape['from'], to: Shape['to'], l4: Shape['l4']): FlowList =>
  natList({ from, to, l4, source: true, destination: false, ports: true, outerSource: false });

describe('a list that a NIC may or can not execute', () => {
  test('ICMP stays in software, by item or by protocol number', () => {
    const ping = refused(nat('vxlan', 'plain', 'icmp'), softflow);
    expect(ping.map(({ code }) => code)).toContain('icmp-in-software');
    expectRefusal(list([eth, { ...ipv4, protocol: 1 }], [out]), 'icmp-in-software', { itemIndex: 1 });
    expect(compile(nat('vxlan', 'plain', 'icmp'), 'software', CONTEXT).ok).toBe(true);
  });
  test('a list of no protocol, which would serve ICMP, is refused', () => {
    expectRefusal(list([eth, ipv4], [out]), 'protocol-unmatched', { itemIndex: 1 });
    expectRefusal(list([eth, { ...ipv4, protocol: { first: 0, last: 9 } }], [out]), 'protocol-unmatched', {
      itemIndex: 1,
    });
  });
  test('a result that could exceed the egress MTU is refused, naming both numbers', () => {
    const ports = CONTEXT.ports.map((port) => ({ ...port, mtu: 1500 }));
    const small = { ...CONTEXT, ports };
    expectRefusal(nat('plain', 'vxlan', 'udp'), 'egress-mtu', { actionIndex: 8 }, softflow, small);
    const [{ message }] = refused(nat('plain', 'vxlan', 'udp'), softflow, small);
    expect(message).toContain('1550');
    expect(message).toContain('egress MTU 1500');
    expect(compile(nat('vxlan', 'plain', 'udp'), 'softflow', small).ok).toBe(true);
    expect(compile(nat('vxlan', 'vxlan', 'udp'), 'softflow', small).ok).toBe(true);
    expect(compile(nat('plain', 'vxlan', 'udp'), 'software', small).ok).toBe(true);
  });
  test.each([
    [1549, true],
    [1550, true],
    [1551, false],
  ])('a fabric MTU of %i and an external one of 1500: offloaded is %s', (mtu, ok) => {
    const ports = CONTEXT.ports.map((port) => (port.role === 'fabric' ? { ...port, mtu } : port));
    expect(compile(nat('vxlan', 'plain', 'udp'), 'softflow', { ...CONTEXT, ports }).ok).toBe(ok);
  });
  test('TCP is refused where flags cannot be matched, unless the configuration wants it', () => {
    const blind = without((target) => {
      target.punts = { ...target.punts, 'tcp-flags': { means: 'none', source: 'test' } };
    });
    expectRefusal(nat('vxlan', 'plain', 'tcp'), 'tcp-flags-unmatched', null, blind);
    expect(compileFor(nat('vxlan', 'plain', 'udp'), blind, CONTEXT).ok).toBe(true);
    expect(compileFor(nat('vxlan', 'plain', 'tcp'), blind, { ...CONTEXT, tcpWithoutFlags: true }).ok).toBe(true);
  });
  test.each(['fragments', 'options', 'ttl', 'ipv4-checksum'] as const)(
    'a target that lets %s pass offloads nothing',
    (punt) => {
      const leaky = without((target) => {
        target.punts = { ...target.punts, [punt]: { means: 'none', source: 'test' } };
      });
      expectRefusal(nat('vxlan', 'plain', 'udp'), 'punt-unavailable', null, leaky);
    },
  );
  test('stale checksums are refused where the target leaves them', () => {
    const stale = without((target) => {
      target.actions = { ...target.actions, checksum: { forms: [], source: 'test' } };
    });
    expectRefusal(nat('vxlan', 'plain', 'udp'), 'checksum-unsupported', { actionIndex: 4 }, stale);
  });
});

describe('a target that lacks something', () => {
  const everything: FlowList[] = [
    ...(['udp', 'tcp', 'other'] as const).flatMap((l4) =>
      (['vxlan', 'plain'] as const).flatMap((from) => (['vxlan', 'plain'] as const).map((to) => nat(from, to, l4))),
    ),
    natList(
      { from: 'plain', to: 'plain', l4: 'udp', source: true, destination: true, ports: true, outerSource: false },
      7,
    ),
    list(
      [eth, ipv4, udp],
      [
        { type: 'mark', id: 3 },
        { type: 'jump', group: 2 },
      ],
    ),
    list([eth, ipv4, udp], [{ type: 'drop' }]),
    list([eth, ipv4, udp], [{ type: 'punt', port: 1 }]),
  ];
  /** A list that leaves by a port also needs the constant rules before it, and these punt and jump. */
  const uses = (given: FlowList, action: string) =>
    given.actions.some(({ type }) => type === action) ||
    ((action === 'jump' || action === 'punt') && given.actions.at(-1)?.type === 'output');
  const actions = Object.keys(softflow.actions).filter(
    (name) => softflow.actions[name as Action['type']].forms.length > 0 && name !== 'checksum',
  );

  test.each(actions)('without %s refuses exactly the lists that need it, naming it', (name) => {
    const less = without((target) => {
      target.actions = { ...target.actions, [name]: { forms: [], source: 'test' } };
    });
    let needed = 0;
    for (const given of everything) {
      if (!uses(given, name)) expect(refused(given, less)).toEqual([]);
      else {
        needed++;
        const actionIndex = given.actions.findIndex(({ type }) => type === name);
        expectRefusal(given, 'action-unsupported', actionIndex < 0 ? null : { actionIndex }, less);
        expect(refused(given, less)[0].message).toContain(name);
      }
    }
    expect(needed).toBeGreaterThan(0);
  });

  test('without an item, or a field of it, refuses the lists that match it', () => {
    const noVxlan = without((target) => {
      const { vxlan: _, ...items } = target.items;
      target.items = items;
    });
    expectRefusal(nat('vxlan', 'plain', 'udp'), 'item-unsupported', { itemIndex: 3 }, noVxlan);
    expect(compileFor(nat('plain', 'vxlan', 'udp'), noVxlan, CONTEXT).ok).toBe(true);

    const noVni = without((target) => {
      target.items = { ...target.items, vxlan: { fields: {}, source: 'test' } };
    });
    expectRefusal(nat('vxlan', 'plain', 'udp'), 'field-unsupported', { itemIndex: 3 }, noVni);

    const exactOnly = without((target) => {
      target.items = { ...target.items, ipv4: { fields: { ttl: ['exact'], protocol: ['exact'] }, source: 'test' } };
    });
    const masked = list([eth, { ...ipv4, protocol: 17, ttl: { value: 0, mask: 0xfe } }], [out]);
    expectRefusal(masked, 'field-unsupported', { itemIndex: 1 }, exactOnly);
  });
});

describe('a target with rules about whole rules', () => {
  const named = (name: string) => targets().get(name) as Target;
  const hws = named('mlx5-hws');
  const narrowed = (budgets: Partial<Target['budgets']>): Target => {
    return { ...hws, budgets: { source: 'test', ...budgets } };
  };
  test('knows only some sets of fields to rewrite', () => {
    const cxgbe: Target = { ...softflow, name: 'less', rewriteSets: named('cxgbe').rewriteSets as never };
    expectRefusal(nat('vxlan', 'plain', 'other'), 'rewrite-set', null, cxgbe);
    expect(refused(nat('vxlan', 'plain', 'other'), cxgbe)[0].message).toContain('source and nothing else');
    // More than a known set is no known set: address and port of one side, and the other's.
    const sfc: Target = { ...softflow, name: 'less', rewriteSets: named('sfc').rewriteSets as never };
    expectRefusal(nat('vxlan', 'plain', 'udp'), 'rewrite-set', null, sfc);
    const all = { from: 'plain', to: 'plain', l4: 'udp', source: true, destination: true, ports: true } as const;
    expect(refused(natList({ ...all, outerSource: false }), cxgbe)).toEqual([]);
  });
  test('insists on an order that the list cannot take', () => {
    const late: Action = { type: 'set-ethernet', source: 1 };
    const toFabric: Action = { type: 'output', port: 0 };
    expectRefusal(list([eth, ipv4, udp], [push, late, toFabric]), 'order-impossible', { actionIndex: 1 }, hws);
    expect(refused(list([eth, ipv4, udp], [late, push, toFabric]), hws)).toEqual([]);
  });
  test('cannot do two things in one rule', () => {
    const given = nat('vxlan', 'vxlan', 'udp');
    const actionIndex = given.actions.findIndex(({ type }) => type === 'push-vxlan');
    expectRefusal(given, 'actions-exclusive', { actionIndex }, { ...named('mlx5-sws'), groups: hws.groups });
    expect(refused(nat('vxlan', 'plain', 'udp'), named('mlx5-sws'))).toEqual([]);
  });
  test('has room for so much matching, rewriting and encapsulating', () => {
    const peer = natList({
      from: 'vxlan',
      to: 'plain',
      l4: 'udp',
      source: true,
      destination: false,
      ports: true,
      outerSource: true,
    });
    expectRefusal(peer, 'match-budget', null, hws);
    expect(refused(nat('vxlan', 'plain', 'udp'), hws)).toEqual([]);
    expectRefusal(nat('vxlan', 'plain', 'udp'), 'modify-budget', null, narrowed({ modifyCommands: 7 }));
    expect(refused(nat('vxlan', 'plain', 'udp'), narrowed({ modifyCommands: 8 }))).toEqual([]);
    const given = nat('plain', 'vxlan', 'udp');
    const actionIndex = given.actions.findIndex(({ type }) => type === 'push-vxlan');
    expectRefusal(given, 'encap-budget', { actionIndex }, narrowed({ encapBytes: 49 }));
    expect(refused(given, narrowed({ encapBytes: 50 }))).toEqual([]);
  });
});

describe('docs/diagnostics.md', () => {
  const page = readFileSync(join(__dirname, '../../docs/diagnostics.md'), 'utf8');
  test('explains every code, and no other', () => {
    const sections = [...page.matchAll(/^### `([a-z0-9-]+)`$/gm)].map(([, code]) => code);
    expect(sections.sort()).toEqual([...DIAGNOSTIC_CODES].sort());
  });
  test('every code has occurred in these tests', () => {
    expect([...seen].sort()).toEqual([...DIAGNOSTIC_CODES].sort());
  });
});
