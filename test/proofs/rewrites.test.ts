import type { Action, FlowList, MatchItem, Value } from '../../src/compiler/ir';
import { canonicalise } from '../../src/compiler/passes/canonicalise';
import { commute } from '../../src/compiler/passes/order';
import { selectForms } from '../../src/compiler/passes/select-forms';
import { toRule } from '../../src/compiler/rule';
import { type ActionForm, type Target, targets } from '../../src/compiler/target';
import type { TemplateAction } from '../../src/compiler/template';
import { ActionType } from '../../src/native/records';
import { type Arguments, act, listMatches, runList } from './list-semantics';
import { anyFrame, type Packet, samePacket } from './packet';
import { execute } from './rule-semantics';
import { type Bits, is, refutation, satisfiable, solver, stopSolver, type Truth, type Z } from './solver';

/* Every rewrite that the compiler may make, over all packets and values. */

let z: Z;
beforeAll(async () => {
  z = await solver();
});
afterAll(stopSolver);

const softflow = targets().get('softflow') as Target;
const given: Arguments = (name, width) => z.BitVec.const(`argument.${name}`, width);
const argument = (name: Parameters<Arguments>[0]) => ({ argument: name });

/** A tunnelled packet of plain UDP, one of tagged UDP, and either protocol without a tunnel. */
const packets = (): Packet[] => [
  [anyFrame(z, 'outer', 'udp', false, true), anyFrame(z, 'inner', 'udp', false, false)],
  [anyFrame(z, 'outer', 'udp', false, true), anyFrame(z, 'inner', 'udp', true, false)],
  [anyFrame(z, 'only', 'udp', false, false)],
  [anyFrame(z, 'only', 'tcp', true, false)],
];

/** The rte_flow actions of a form, run on a packet. Constant values: where arguments go, the shapes' proofs tell. */
function formed(action: Action, form: ActionForm, packet: Packet): Packet {
  const actions = { ...softflow.actions, [action.type]: { forms: [form], source: 'proof' } };
  const list: FlowList = { name: 'one', ingress: 0, match: [], actions: [action] };
  const rule = selectForms(toRule(list), { group: 0, priority: 0, domain: 'transfer' }, { ...softflow, actions });
  return rule.formed.reduce((before, each) => {
    const bytes = Array.from(each.conf, (byte) => z.BitVec.val(byte, 8) as Bits);
    return execute(z, each satisfies TemplateAction, bytes, before);
  }, packet);
}

const PUSH: Action = {
  type: 'push-vxlan',
  sourceMac: 0x0200_0000_f001,
  destinationMac: 0x0200_0000_0012,
  source: 0xac1e_0001,
  destination: 0xac1e_000c,
  udpSourcePort: 50123,
  udpDestinationPort: 4789,
  vni: 0xabcdef,
};
/** Values whose bytes all differ, so that none can stand for another. */
const FORMS: readonly (readonly [Action, ActionForm])[] = [
  [{ type: 'set-ethernet', source: 0x010203040506, destination: 0xf1f2f3f4f5f6 }, 'set-mac'],
  [{ type: 'set-ethernet', source: 0x010203040506, destination: 0xf1f2f3f4f5f6 }, 'modify-field'],
  [{ type: 'set-ipv4', source: 0x01020304, destination: 0xf1f2f3f4 }, 'set-ipv4'],
  [{ type: 'set-ipv4', source: 0x01020304, destination: 0xf1f2f3f4 }, 'modify-field'],
  [{ type: 'set-ipv4', source: 0x01020304 }, 'modify-field'],
  [{ type: 'set-l4', protocol: 'udp', source: 0x0102, destination: 0xf1f2 }, 'set-tp'],
  [{ type: 'set-l4', protocol: 'udp', source: 0x0102, destination: 0xf1f2 }, 'modify-field'],
  [{ type: 'set-l4', protocol: 'tcp', source: 0x0102, destination: 0xf1f2 }, 'set-tp'],
  [{ type: 'set-l4', protocol: 'tcp', source: 0x0102, destination: 0xf1f2 }, 'modify-field'],
  [{ type: 'set-vni', vni: 0x010203 }, 'modify-field'],
  [{ type: 'decrement-ttl' }, 'dec-ttl'],
  [{ type: 'decrement-ttl' }, 'modify-add'],
  [{ type: 'decrement-ttl' }, 'modify-sub'],
  [{ type: 'pop-vxlan' }, 'vxlan-decap'],
  [{ type: 'pop-vxlan' }, 'raw-decap'],
  [PUSH, 'vxlan-encap'],
  [PUSH, 'raw-encap'],
  [{ type: 'push-vlan', vid: 0x123 }, 'of-push-vlan'],
  [{ type: 'pop-vlan' }, 'of-pop-vlan'],
];

/** Whether the packet has what the action needs. */
function applies(action: Action, packet: Packet): boolean {
  const [outer] = packet;
  if (action.type === 'set-l4') return outer.l4?.kind === action.protocol;
  if (action.type === 'pop-vxlan' || action.type === 'set-vni') return outer.vxlan !== null;
  if (action.type === 'push-vxlan') return outer.vxlan === null;
  if (action.type === 'pop-vlan') return outer.tag !== null;
  return action.type !== 'push-vlan' || outer.tag === null;
}

describe('every form of an action does what the action says', () => {
  test.each(FORMS.map(([action, form]) => [action.type, form, action] as const))(
    '%s as %s',
    async (_, form, action) => {
      let proved = 0;
      for (const packet of packets()) {
        if (!applies(action, packet)) continue;
        const claim = samePacket(z, formed(action, form, packet), act(z, action, packet, given));
        expect(await refutation(z, claim)).toBeNull();
        proved++;
      }
      expect(proved).toBeGreaterThan(0);
    },
  );
  test('all forms of the tables’ are among them', () => {
    const known = new Set(FORMS.map(([action, form]) => `${action.type} ${form}`));
    const headerless = new Set([
      'count',
      'age',
      'mark',
      'output',
      'punt',
      'drop',
      'jump',
      'checksum',
      'set-icmp-identifier',
    ]);
    for (const target of targets().values()) {
      for (const [action, { forms }] of Object.entries(target.actions)) {
        if (!headerless.has(action)) for (const form of forms) expect(known).toContain(`${action} ${form}`);
      }
    }
  });
  test('SET_TTL is a decrement only where the rule matches that TTL', async () => {
    const [, , packet] = packets();
    const set: TemplateAction = { type: ActionType.setTtl, conf: Uint8Array.of(63) };
    const after = execute(z, set, [z.BitVec.val(63, 8)], packet);
    const claim = samePacket(z, after, act(z, { type: 'decrement-ttl' }, packet, given));
    expect(await refutation(z, claim, is(z, packet[0].ipv4.ttl, 64))).toBeNull();
    expect(await refutation(z, claim)).not.toBeNull();
  });
  test('mlx5’s hardware steering, which adds whatever it is told, decrements by ADD and not by SUB', async () => {
    const adds = (conf: Uint8Array): Packet => {
      const added = Uint8Array.from(conf);
      added[0] = conf[0] === 0 ? 0 : 1;
      const bytes = Array.from(added, (byte) => z.BitVec.val(byte, 8) as Bits);
      return execute(z, { type: ActionType.modifyField, conf: added }, bytes, packets()[2]);
    };
    const wanted = act(z, { type: 'decrement-ttl' }, packets()[2], given);
    const conf = (form: ActionForm) => {
      const actions = { ...softflow.actions, 'decrement-ttl': { forms: [form], source: 'proof' } };
      const list: FlowList = { name: 'ttl', ingress: 0, match: [], actions: [{ type: 'decrement-ttl' }] };
      const placement = { group: 0, priority: 0, domain: 'transfer' } as const;
      return selectForms(toRule(list), placement, { ...softflow, actions }).formed[0].conf;
    };
    const hws = targets().get('mlx5-hws') as Target;
    expect(await refutation(z, samePacket(z, adds(conf(hws.actions['decrement-ttl'].forms[0])), wanted))).toBeNull();
    expect(await refutation(z, samePacket(z, adds(conf('modify-sub')), wanted))).not.toBeNull();
  });
});

describe('actions that are exchanged', () => {
  const one: readonly Action[] = [
    { type: 'set-ethernet', source: argument('outerDestinationMac') },
    { type: 'set-ethernet', destination: argument('innerDestinationMac') },
    { type: 'set-ipv4', source: argument('newSourceAddress') },
    { type: 'set-ipv4', destination: argument('newDestinationAddress') },
    { type: 'set-l4', protocol: 'udp', source: argument('newSourcePort') },
    { type: 'set-l4', protocol: 'udp', destination: argument('newDestinationPort') },
    { type: 'decrement-ttl' },
    { type: 'push-vlan', vid: 7 },
    { type: 'pop-vlan' },
    { type: 'pop-vxlan' },
    { type: 'count' },
    { type: 'mark', id: 5 },
  ];
  /** null: an order is impossible in that packet. */
  function both(a: Action, b: Action, packet: Packet): Truth | null {
    if (!applies(a, packet) || !applies(b, packet)) return null;
    const [ab, ba] = [act(z, a, packet, given), act(z, b, packet, given)];
    if (!applies(b, ab) || !applies(a, ba)) return z.Bool.val(false);
    return samePacket(z, act(z, b, ab, given), act(z, a, ba, given));
  }
  test('leave the same packet in either order, for every pair that the order pass may exchange', async () => {
    let proved = 0;
    let kept = 0;
    for (const [i, a] of one.entries()) {
      for (const b of one.slice(i + 1)) {
        const claims = packets().flatMap((packet) => both(a, b, packet) ?? []);
        if (claims.length === 0) continue;
        const broken = await refutation(z, z.And(...claims));
        if (commute(a.type, b.type)) {
          expect([a, b, broken]).toEqual([a, b, null]);
          proved++;
        } else if (broken !== null) kept++;
      }
    }
    expect(proved).toBeGreaterThan(25);
    // Those that are not exchanged would differ in some packet: the pass is no stricter than it must be, but for tunnels.
    expect(kept).toBeGreaterThan(5);
  });
});

describe('canonicalise', () => {
  const eth: MatchItem = { type: 'eth' };
  const inner: MatchItem[] = [{ type: 'ipv4', source: argument('matchSourceAddress') }, { type: 'udp' }];
  const tunnel: MatchItem[] = [eth, { type: 'ipv4' }, { type: 'udp' }, { type: 'vxlan' }, eth, ...inner];
  const fate: Action[] = [{ type: 'checksum' }, { type: 'output', port: 1 }];
  const set = (source: Value): Action => ({ type: 'set-ipv4', source });
  const LISTS: readonly (readonly [string, readonly MatchItem[], readonly Action[]])[] = [
    ['a rewrite that is overwritten', [eth, ...inner], [set(1), set(argument('newSourceAddress')), ...fate]],
    ['a rewrite of what is popped', tunnel, [set(1), { type: 'checksum' }, { type: 'pop-vxlan' }, set(2), ...fate]],
    ['a rewrite that writes what is matched', [eth, ...inner], [set(argument('matchSourceAddress')), ...fate]],
    [
      'a TTL of what is popped',
      tunnel,
      [{ type: 'decrement-ttl' }, { type: 'checksum' }, { type: 'pop-vxlan' }, ...fate],
    ],
    ['bits outside the mask', [eth, { type: 'ipv4', ttl: { value: 0x41, mask: 0xfe } }, { type: 'udp' }], fate],
    ['a mask of everything', [eth, { type: 'ipv4', ttl: { value: 0x41, mask: 0xff } }, { type: 'udp' }], fate],
    ['a mask of nothing', [eth, { type: 'ipv4', ttl: { value: 0x41, mask: 0 } }, { type: 'udp' }], fate],
    ['a range of one value', [eth, { type: 'ipv4', ttl: { first: 9, last: 9 } }, { type: 'udp' }], fate],
    ['a range of all values', [eth, { type: 'ipv4', ttl: { first: 0, last: 255 } }, { type: 'udp' }], fate],
    [
      'a range under a mask',
      [eth, { type: 'ipv4', fragmentOffset: { first: 0xc001, last: 0xffff, mask: 0x3fff } }, { type: 'udp' }],
      fate,
    ],
  ];
  test.each(LISTS)('%s: the list means the same, and is another', async (_, match, actions) => {
    const list: FlowList = { name: 'list', ingress: 0, match, actions };
    const made = canonicalise(toRule(list));
    const other = { match: made.match.map((at) => at.node), actions: made.actions.map((at) => at.node) };
    expect(JSON.stringify(other)).not.toBe(JSON.stringify({ match, actions }));
    const packet = match.length > 4 ? packets()[0] : packets()[2];
    const before = runList(z, list, packet, given);
    const after = runList(z, other, packet, given);
    const sameMatch = before.matches.eq(after.matches) as Truth;
    expect(await refutation(z, sameMatch)).toBeNull();
    expect(
      await refutation(z, samePacket(z, before.packet, after.packet), listMatches(z, match, packet, given)),
    ).toBeNull();
  });
});

describe('checksums (RFC 1624, equation 3: HC’ = ~(~HC + ~m + m’))', () => {
  const word = (name: string, bits = 16): Bits => z.BitVec.const(`${name}${bits}`, bits);
  /** One's complement sum: the carry comes back in. */
  const sum = (a: Bits, b: Bits): Bits => {
    const bits = a.size();
    const wide = z.Concat(z.BitVec.val(0, 1), a).add(z.Concat(z.BitVec.val(0, 1), b)) as Bits;
    const carry = z.Concat(z.BitVec.val(0, bits - 1), z.Extract(bits, bits, wide));
    return z.Extract(bits - 1, 0, wide).add(carry) as Bits;
  };
  const not = (a: Bits): Bits => a.not() as Bits;
  const update = (checksum: Bits, before: Bits, after: Bits): Bits => not(sum(sum(not(checksum), not(before)), after));
  /** Equal, or the two zeros of one's complement. */
  const same = (a: Bits, b: Bits): Truth => {
    const zero = (bits: Bits) => z.Or(is(z, bits, 0), bits.eq(not(z.BitVec.val(0, bits.size()))));
    return z.Or(a.eq(b), z.And(zero(a), zero(b)));
  };

  test('a right checksum is right after a word has changed, as if computed anew', async () => {
    const [rest, before, after] = [word('rest'), word('before'), word('after')];
    const right = (changed: Bits) => not(sum(rest, changed));
    const updated = update(right(before), before, after);
    expect(await refutation(z, same(updated, right(after)))).toBeNull();
    // The words that do not change are never all 0: version and header length, or protocol and ports.
    const premise = z.Not(is(z, rest, 0));
    expect(await satisfiable(z, premise)).toBe(true);
    expect(await refutation(z, updated.eq(right(after)), premise)).toBeNull();
  });
  /*
   * With these laws, ~HC' = ~HC + ~m + m' is a sum whose terms can be put in any order. So the order of rewrites does not
   * matter, and a distance e from the right checksum stays.
   */
  test('the sum is commutative and associative, and a word and its complement add up to nothing', async () => {
    const [a, b, c] = [word('a'), word('b'), word('c')];
    expect(await refutation(z, sum(a, b).eq(sum(b, a)))).toBeNull();
    expect(await refutation(z, sum(sum(a, b), c).eq(sum(a, sum(b, c))))).toBeNull();
    expect(await refutation(z, is(z, sum(a, not(a)), 0xffff))).toBeNull();
    expect(await refutation(z, same(sum(a, z.BitVec.val(0xffff, 16)), a))).toBeNull();
  });
  test('so a wrong checksum stays wrong by as much, and the order of rewrites does not matter: all words of four bits', () => {
    const add = (a: number, b: number): number => ((a + b) & 15) + ((a + b) >> 4);
    const turned = (checksum: number, before: number, after: number): number =>
      15 - add(add(15 - checksum, 15 - before), after);
    const oneZero = (a: number): number => a % 15;
    for (let all = 0; all < 2 ** 16; all++) {
      const [a, b, c, d] = [all & 15, (all >> 4) & 15, (all >> 8) & 15, all >> 12];
      const right = (changed: number): number => 15 - add(a, changed);
      const wrong = add(right(b), d);
      if (oneZero(turned(wrong, b, c)) !== oneZero(add(right(c), d)))
        throw new Error(`wrong by another amount: ${all}`);
      for (const checksum of [0, 7, 15]) {
        const [one, other] = [turned(turned(checksum, a, b), c, d), turned(turned(checksum, c, d), a, b)];
        if (oneZero(one) !== oneZero(other)) throw new Error(`order matters: ${all}`);
      }
    }
  });
  test('equation 2 of RFC 1141, HC + m + ~m’, is found to differ where RFC 1624 says so', async () => {
    const [rest, before, after] = [word('rest'), word('before'), word('after')];
    const right = (changed: Bits) => not(sum(rest, changed));
    const old = sum(sum(right(before), before), not(after));
    expect(await refutation(z, old.eq(right(after)), z.Not(is(z, rest, 0)))).not.toBeNull();
  });
});
