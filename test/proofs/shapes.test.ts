import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT as CONTEXT } from '../../src/compiler/parse-list';
import { offer } from '../../src/compiler/partial';
import { chain, linksOf } from '../../src/compiler/passes/chain';
import { staticRulesFor } from '../../src/compiler/static-rules';
import { type Target, targets } from '../../src/compiler/target';
import type { RuleTemplate } from '../../src/compiler/template';
import { ItemType } from '../../src/native/records';
import { type Arguments, listMatches, runList } from './list-semantics';
import { anyFrame, type Packet, samePacket } from './packet';
import { runRule } from './rule-semantics';
import { is, refutation, satisfiable, solver, stopSolver, type Truth, type Z } from './solver';

/*
 * Whole NAT directions, for all packets of their headers and all values of their flows: the compiled rules of a target,
 * read from their bytes, against the list that they were made from.
 */

let z: Z;
beforeAll(async () => {
  z = await solver();
});
afterAll(stopSolver);

const LISTS = sampleShapes()
  .filter(({ protocol }) => protocol !== 'icmp')
  .map(({ list }) => list);
const nics = [...targets().values()].filter(({ kind }) => kind === 'nic');

/** One value a name, whatever asks for it. */
const given: Arguments = (name, width) => z.BitVec.const(`argument.${name}`, width);

/** Packets of the headers that a list matches. */
function packetOf(list: FlowList): Packet {
  const inner = list.match.findLastIndex(({ type }) => type === 'eth');
  const types = list.match.slice(inner).map(({ type }) => type);
  const l4 = (['udp', 'tcp'] as const).find((kind) => types.includes(kind)) ?? null;
  const innermost = anyFrame(z, 'inner', l4, types.includes('vlan'), false);
  return inner === 0 ? [innermost] : [anyFrame(z, 'outer', 'udp', false, true), innermost];
}

/** What a parser has made sure of before any rule is asked: IPv4, and a header of at least five words. */
const wellFormed = (packet: Packet): Truth =>
  z.And(...packet.flatMap(({ ipv4 }) => [is(z, ipv4.versionIhl.and(0xf0), 0x40), ipv4.versionIhl.and(0x0f).uge(5)]));

/** What a NIC rule may serve, of the packet that is forwarded. */
function servable(packet: Packet): Truth {
  const { ipv4, l4 } = packet[packet.length - 1];
  const conditions = [ipv4.ttl.uge(2), is(z, ipv4.fragment.and(0x3fff), 0), is(z, ipv4.versionIhl, 0x45), ipv4.sound];
  if (l4?.kind === 'tcp') conditions.push(is(z, l4.flags.and(0x07), 0));
  return z.And(...conditions);
}

/** Sent to the gateway, and nothing about the outer headers that would hold it up. */
function addressed(list: FlowList, packet: Packet): Truth {
  const [outer] = packet;
  if (packet.length === 1) return outer.ethDestination.eq(z.BitVec.val(CONTEXT.ports[list.ingress].mac, 48));
  const { ipv4 } = outer;
  return z.And(
    outer.ethDestination.eq(z.BitVec.val(CONTEXT.underlay.mac, 48)),
    is(z, ipv4.destination, CONTEXT.underlay.vtep),
    is(z, ipv4.versionIhl, 0x45),
    is(z, ipv4.fragment.and(0x3fff), 0),
    ipv4.sound,
  );
}

/** That a packet gets through the constant rules to the NAT rules' group and hits there. */
function reaches(target: Target, rule: RuleTemplate, packet: Packet): Truth {
  const hit = runRule(z, rule, packet, rule.ingress, given);
  const constant = staticRulesFor(target, CONTEXT)
    .filter(({ ingress }) => ingress === rule.ingress)
    .map((each) => ({ each, outcome: runRule(z, each, packet, rule.ingress, given) }));
  const gates = constant.filter(({ outcome }) => outcome.jump === rule.group);
  const punts = constant.filter(({ outcome }) => outcome.jump === null);
  const before = punts.map(({ outcome }) => z.Not(outcome.hits));
  return z.And(z.Or(...gates.map(({ outcome }) => outcome.hits)), ...before, hit.hits);
}

const compiled = (target: Target) =>
  LISTS.flatMap((list) => {
    const result = compileFor(list, target, CONTEXT);
    return result.ok ? [{ list, rule: result.template }] : [];
  });

/** Cut wherever a rule may be: every chain that is printed has some of these cuts. */
function cutUp(rule: RuleTemplate): RuleTemplate {
  let group = 1000;
  const chained = chain(
    rule,
    ({ actions }) => actions.length <= 2,
    () => group++,
  );
  if (chained === null) throw new Error(`${rule.name} has no chain`);
  return chained;
}

/** That the chain goes where the rule goes, is hit by the same packets, and leaves them alike. */
async function chainFault(list: FlowList, rule: RuleTemplate, chained: RuleTemplate): Promise<string | null> {
  const packet = packetOf(list);
  const wanted = runRule(z, rule, packet, list.ingress, given);
  const got = runRule(z, chained, packet, list.ingress, given);
  if (got.jump !== wanted.jump) return `jumps to ${got.jump}, not ${wanted.jump}`;
  const claim = z.And(got.hits.eq(wanted.hits) as Truth, samePacket(z, got.packet, wanted.packet));
  return refutation(z, claim, wellFormed(packet));
}

describe.each(nics.filter((target) => compiled(target).length > 0).map((target) => [target.name, target] as const))(
  'every rule of %s, for all packets and all flows',
  (_, target) => {
    const rules = compiled(target);

    test('leaves the packet as the list says', async () => {
      for (const { list, rule } of rules) {
        const packet = packetOf(list);
        const wanted = runList(z, list, packet, given);
        const got = runRule(z, rule, packet, list.ingress, given);
        expect([list.name, await refutation(z, samePacket(z, got.packet, wanted.packet))]).toEqual([list.name, null]);
      }
    });
    test('does the same as a chain, cut wherever it may be', async () => {
      for (const { list, rule } of rules) {
        const chained = cutUp(rule);
        expect(linksOf(chained).length).toBeGreaterThan(linksOf(rule).length + 3);
        expect([list.name, await chainFault(list, rule, chained)]).toEqual([list.name, null]);
      }
    });
    test('is hit by nothing but packets of its flow that a NIC may serve', async () => {
      for (const { list, rule } of rules) {
        const packet = packetOf(list);
        const claim = z.And(listMatches(z, list.match, packet, given), servable(packet));
        const found = await refutation(z, claim, wellFormed(packet), reaches(target, rule, packet));
        expect([list.name, found]).toEqual([list.name, null]);
      }
    });
    test('is hit by all of them that are sent to the gateway', async () => {
      for (const { list, rule } of rules) {
        const packet = packetOf(list);
        const premises = [
          wellFormed(packet),
          listMatches(z, list.match, packet, given),
          servable(packet),
          addressed(list, packet),
        ];
        expect(await satisfiable(z, ...premises)).toBe(true);
        const found = await refutation(z, reaches(target, rule, packet), ...premises);
        expect([list.name, found]).toEqual([list.name, null]);
      }
    });
  },
);

describe('what a partial rule leaves to the CPU', () => {
  test('is the rest of the list: rule and rest together are the whole, on every NIC', async () => {
    let proved = 0;
    const seen = new Set<string>();
    for (const target of nics) {
      for (const list of LISTS) {
        const offered = offer(list, target, CONTEXT);
        if (offered.kind === 'full' || offered.kind === 'none') continue;
        // NICs of one domain and the same forms emit the same bytes: once is enough.
        const { template, rest } = offered;
        const key = JSON.stringify([template.items, template.actions, template.patches, rest]);
        if (seen.has(key)) continue;
        seen.add(key);
        const packet = packetOf(list);
        const handed = runRule(z, template, packet, list.ingress, given);
        const whole = runList(z, list, packet, given);
        const after = runList(z, rest, handed.packet, given);
        const matches = whole.matches.eq(z.And(handed.hits, after.matches)) as Truth;
        const same = samePacket(z, after.packet, whole.packet);
        expect([target.name, list.name, await refutation(z, z.And(matches, same))]).toEqual([
          target.name,
          list.name,
          null,
        ]);
        proved++;
      }
    }
    expect(proved).toBeGreaterThan(60);
  });
});

describe('the proofs find', () => {
  const target = targets().get('mlx5-hws') as Target;
  const [list] = LISTS;
  const rule = () => {
    const result = compileFor(list, target, CONTEXT);
    if (!result.ok) throw new Error('the list compiles');
    return result.template;
  };
  const differs = async (changed: RuleTemplate) => {
    const packet = packetOf(list);
    const wanted = runList(z, list, packet, given);
    return refutation(z, samePacket(z, runRule(z, changed, packet, 0, given).packet, wanted.packet));
  };
  const withAction = (index: number, change: (conf: Uint8Array) => void): RuleTemplate => {
    const actions = rule().actions.map((action) => ({ ...action, conf: action.conf.slice() }));
    change(actions[index].conf);
    return { ...rule(), actions };
  };
  const ttl = () => rule().actions.findIndex(({ conf }) => conf.length === 24 && conf[4] === 7);

  test('nothing in the sound rule', async () => expect(await differs(rule())).toBeNull());
  test('a TTL that is subtracted 255 from', async () =>
    expect(await differs(withAction(ttl(), (conf) => conf.fill(2, 0, 1)))).not.toBeNull());
  test('a rewrite of the wrong field', async () =>
    expect(await differs(withAction(ttl() - 2, (conf) => conf.fill(9, 4, 5)))).not.toBeNull());
  test('a value in the wrong byte order', async () => {
    const patches = rule().patches.map((patch) => ({ ...patch, bigEndian: false }));
    expect(await differs({ ...rule(), patches })).not.toBeNull();
  });
  test('a match that leaves out a field', async () => {
    const packet = packetOf(list);
    for (const [index, item] of rule().items.entries()) {
      if (!item.mask) continue;
      const items = rule().items.map((each, i) => (i === index ? { type: each.type } : each));
      const patches = rule().patches.filter((patch) => patch.target !== 'item' || patch.index !== index);
      const looser = { ...rule(), items, patches };
      const claim = listMatches(z, list.match, packet, given);
      expect(await refutation(z, claim, wellFormed(packet), reaches(target, looser, packet))).not.toBeNull();
    }
  });
  test('a chain without one of its actions, in another order, or with a link that packets miss or never get to', async () => {
    const whole = rule();
    const links = linksOf(cutUp(whole));
    const joined = ([first, ...rest]: readonly RuleTemplate[]): RuleTemplate =>
      rest.length === 0 ? first : { ...first, second: joined(rest) };
    const with_ = (index: number, change: Partial<RuleTemplate>) =>
      chainFault(list, whole, joined(links.map((link, i) => (i === index ? { ...link, ...change } : link))));
    expect(await chainFault(list, whole, joined(links))).toBeNull();
    const rewrites = links.flatMap(({ actions: [own] }, i) => (own.conf.length === 24 || i === 0 ? [i] : []));
    expect(rewrites).toHaveLength(6);
    for (const i of rewrites)
      expect(await with_(i, { actions: links[i].actions.slice(1), patches: [] })).not.toBeNull();
    const [first, ...others] = links;
    const afterRewrite = [
      { ...first, actions: links[3].actions.slice(0, 1).concat(first.actions.slice(1)) },
      ...others,
    ];
    const late = afterRewrite.map((link, i) =>
      i === 3 ? { ...link, actions: first.actions.slice(0, 1).concat(link.actions.slice(1)) } : link,
    );
    expect(await chainFault(list, whole, joined(late))).not.toBeNull();
    expect(await with_(3, { group: 7 })).not.toBeNull();
    const tcp = [ItemType.eth, ItemType.ipv4, ItemType.tcp].map((type) => ({ type }));
    expect(await with_(3, { items: tcp })).not.toBeNull();
  });
});
