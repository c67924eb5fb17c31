import fc from 'fast-check';
import { compile } from '../../src/compiler/index';
import { instantiate } from '../../src/compiler/instantiate';
import { chain, linksOf } from '../../src/compiler/passes/chain';
import type { RuleTemplate } from '../../src/compiler/template';
import { interpretList, takeApart } from '../../src/compiler/trial/list-interpreter';
import { interpretRule } from '../../src/compiler/trial/rule-interpreter';
import { ActionType, ItemType } from '../../src/native/records';
import { argumentValues, CONTEXT, compiled, natList, packetNoise, packetOf, rowOf, shapes } from './flows';

const runs = { numRuns: 1500 };

/** A wrong checksum may come out as 0 or as 65535: one's complement has two zeros. Right ones may not. */
function withOneZero(frame: Uint8Array): Uint8Array {
  const copy = frame.slice();
  const zero = (at: number) => {
    if (copy[at] === 0xff && copy[at + 1] === 0xff) copy.fill(0, at, at + 2);
  };
  const from = copy.length > 42 && copy[23] === 17 && copy[36] === 0x12 && copy[37] === 0xb5 ? 50 : 0;
  const tag = copy[from + 12] === 0x81 ? 4 : 0;
  const ip = from + tag + 14;
  zero(ip + 10);
  const l4 = ip + (copy[ip] & 15) * 4;
  const protocol = copy[ip + 9];
  if (protocol === 6) zero(l4 + 16);
  if (protocol === 17) zero(l4 + 6);
  if (protocol === 1) zero(l4 + 2);
  return copy;
}

describe.each(['software', 'softflow'])('a list compiled for %s', (target) => {
  const offloaded = target === 'software' ? shapes : shapes.filter(({ l4 }) => l4 !== 'icmp');

  test('does to every packet of its flow what the list says', () => {
    let translated = 0;
    fc.assert(
      fc.property(
        offloaded,
        argumentValues,
        packetNoise,
        fc.constantFrom(-1, 0, 77, 4095),
        (shape, values, noise, vlan) => {
          const list = natList(shape, vlan);
          const frame = packetOf(shape, values, noise, vlan);
          const wanted = interpretList(list, list.ingress, frame, values);
          const got = interpretRule(compiled(list, target), list.ingress, frame, rowOf(values));
          expect(wanted.fate).toBe('output');
          translated++;
          expect({ ...got, frame: null, countedBytes: null }).toEqual({ ...wanted, frame: null, countedBytes: null });
          const exact = noise.ipError === 0 && noise.l4Error === 0;
          expect(exact ? got.frame : withOneZero(got.frame)).toEqual(exact ? wanted.frame : withOneZero(wanted.frame));
        },
      ),
      runs,
    );
    expect(translated).toBeGreaterThan(0);
  });

  test('counts the innermost packet and what stands before it on the ingress side, never on the egress side', () => {
    fc.assert(
      fc.property(offloaded, argumentValues, packetNoise, (shape, values, noise) => {
        const list = natList(shape);
        const frame = packetOf(shape, values, noise);
        const wanted = interpretList(list, list.ingress, frame, values);
        const got = interpretRule(compiled(list, target), list.ingress, frame, rowOf(values));
        const overhead = shape.from === 'vxlan' ? 14 + 20 + 8 + 8 + 14 : 14;
        expect((got.countedBytes ?? 0) - overhead).toBe(wanted.countedBytes);
      }),
      { numRuns: 200 },
    );
  });

  test('misses a packet that differs in any one value it matches', () => {
    let misses = 0;
    const different = fc.tuple(argumentValues, argumentValues);
    fc.assert(
      fc.property(offloaded, different, packetNoise, fc.nat(6), (shape, [values, others], noise, which) => {
        const list = natList(shape);
        const near = { ...values };
        const matched = [
          'matchSourceAddress',
          'matchDestinationAddress',
          'matchSourcePort',
          'matchDestinationPort',
        ] as const;
        const tunnel = ['matchVni', 'matchOuterSourceAddress', 'protocol'] as const;
        const name = [...matched, ...tunnel][which];
        near[name] = others[name];
        const frame = packetOf(shape, near, noise);
        const wanted = interpretList(list, list.ingress, frame, values);
        const got = interpretRule(compiled(list, target), list.ingress, frame, rowOf(values));
        expect(got.fate).toBe(wanted.fate);
        if (got.fate === 'miss') {
          misses++;
          expect(got.frame).toEqual(frame);
        }
      }),
      runs,
    );
    expect(misses).toBeGreaterThan(100);
  });

  test('misses what comes in on another port, and every fragment', () => {
    fc.assert(
      fc.property(offloaded, argumentValues, packetNoise, (shape, values, noise) => {
        const list = natList(shape);
        const rule = compiled(list, target);
        const frame = packetOf(shape, values, noise);
        expect(interpretRule(rule, 1 - list.ingress, frame, rowOf(values)).fate).toBe('miss');
        expect(interpretList(list, 1 - list.ingress, frame, values).fate).toBe('miss');
        if (shape.l4 === 'other') return;
        const innermost = shape.from === 'vxlan' ? 50 : 0;
        for (const bits of [0x20, 0x01]) {
          const fragment = frame.slice();
          fragment[innermost + 14 + 6] |= bits;
          expect(interpretRule(rule, list.ingress, fragment, rowOf(values)).fate).toBe('miss');
          expect(interpretList(list, list.ingress, fragment, values).fate).toBe('miss');
        }
      }),
      { numRuns: 100 },
    );
  });
});

/** A chain whose links have at most so many actions, the jump to the next one included. */
function chainOf(rule: RuleTemplate, actions: number): RuleTemplate | null {
  let group = 1000;
  return chain(
    rule,
    (link) => link.actions.length <= actions,
    () => group++,
  );
}

describe('a chain of rules', () => {
  test('does, counts and ages what the rule does, whatever the packet, the flow and the length of its links', () => {
    let hits = 0;
    let misses = 0;
    let links = 0;
    fc.assert(
      fc.property(
        fc.constantFrom('software', 'softflow', 'mlx5-hws', 'mlx5-sws'),
        ...[shapes, argumentValues, packetNoise, fc.constantFrom(-1, 77), fc.integer({ min: 2, max: 9 }), fc.boolean()],
        (target, shape, values, noise, vlan, length, near) => {
          const list = natList(shape, vlan);
          const result = compile(list, target, CONTEXT);
          if (!result.ok) return;
          const rule = result.template;
          const chained = chainOf(rule, length);
          if (chained === null) throw new Error(`${list.name} has no chain`);
          const other = near ? { ...values, matchDestinationAddress: values.matchDestinationAddress ^ 1 } : values;
          const frame = packetOf(shape, other, noise, vlan);
          const wanted = interpretRule(rule, list.ingress, frame, rowOf(values));
          expect(interpretRule(chained, list.ingress, frame, rowOf(values))).toEqual(wanted);
          if (wanted.fate === 'miss') misses++;
          else hits++;
          links += linksOf(chained).length - linksOf(rule).length;
        },
      ),
      runs,
    );
    expect(hits).toBeGreaterThan(300);
    expect(misses).toBeGreaterThan(200);
    expect(links).toBeGreaterThan(1000);
  });

  const values = fc.sample(argumentValues, { numRuns: 1, seed: 7 })[0];
  const noise = { ...fc.sample(packetNoise, { numRuns: 1, seed: 7 })[0], noUdpChecksum: false };
  const shape = {
    from: 'vxlan',
    to: 'vxlan',
    l4: 'udp',
    source: true,
    destination: true,
    ports: true,
    outerSource: false,
  } as const;
  const rule = instantiate(compiled(natList(shape), 'mlx5-hws'), rowOf(values));
  const frame = packetOf(shape, values, noise);
  const whole = (chained: RuleTemplate) => interpretRule(chained, 0, frame);
  const links = linksOf(chainOf(rule, 3) as RuleTemplate);
  /** The links one after another, whatever they say. */
  const joined = (parts: readonly RuleTemplate[]): RuleTemplate =>
    parts.length === 1 ? parts[0] : { ...parts[0], second: joined(parts.slice(1)) };

  test('has links of the rule’s actions in its order, each in a group of its own, and what matches first', () => {
    expect(links.map(({ group }) => group)).toEqual([rule.group, 1000, 1001, 1002, 1003, 1004]);
    expect(links[0].items).toBe(rule.items);
    for (const link of links.slice(1)) {
      expect(link.items.map(({ type }) => type)).toEqual([ItemType.eth, ItemType.ipv4, ItemType.udp]);
      expect(link.items.filter(({ spec }) => spec)).toEqual([]);
      expect(link).toMatchObject({ domain: rule.domain, ingress: rule.ingress, priority: 0 });
    }
    const jumps = links.slice(0, -1).map(({ actions }) => actions[actions.length - 1].type);
    expect(jumps.every((type) => type === ActionType.jump)).toBe(true);
    const own = links.flatMap(({ actions }, i) => (i < links.length - 1 ? actions.slice(0, -1) : actions));
    expect(own).toEqual(rule.actions);
    expect(links[links.length - 1].actions.map(({ type }) => type)).toEqual([
      ActionType.vxlanEncap,
      ActionType.representedPort,
    ]);
    expect(whole(joined(links))).toEqual(whole(rule));
  });
  test('that lacks an action, or has its links in another order or in another group, is found out', () => {
    expect(whole(rule).fate).toBe('output');
    for (const [i, link] of links.entries()) {
      for (const [j, { type }] of link.actions.entries()) {
        const actions = link.actions.filter((_, k) => k !== j);
        const broken = joined(links.map((each) => (each === link ? { ...link, actions } : each)));
        // Without a fate there is no rule.
        if (type === ActionType.jump || i + j === links.length) expect(() => whole(broken)).toThrow();
        else expect(whole(broken)).not.toEqual(whole(rule));
      }
    }
    // The decapsulation after rewrites, which are then the outer header's.
    const [first, second, third, ...rest] = links;
    const own = ({ actions }: RuleTemplate) => actions.slice(0, -1);
    const jump = ({ actions }: RuleTemplate) => actions[actions.length - 1];
    const early = { ...first, actions: [...own(third), jump(first)] };
    const late = { ...third, actions: [...own(first), jump(third)] };
    expect(whole(joined([early, second, late, ...rest]))).not.toEqual(whole(rule));
    expect(whole(joined([first, { ...second, group: 7 }, third, ...rest])).fate).toBe('jump');
  });
  test('is none where a link cannot hold an action and a jump, or an encapsulation and its fate', () => {
    expect(chainOf(rule, 1)).toBeNull();
    expect(chainOf(rule, 2)).not.toBeNull();
    expect(chainOf(rule, rule.actions.length)).toBe(rule);
  });
});

describe('the two interpreters find faults', () => {
  const shape = {
    from: 'vxlan',
    to: 'plain',
    l4: 'udp',
    source: true,
    destination: false,
    ports: true,
    outerSource: false,
  } as const;
  const [values] = fc.sample(argumentValues, { numRuns: 1, seed: 7 });
  const [noise] = fc.sample(packetNoise, { numRuns: 1, seed: 7 });
  const right = { ...noise, ipError: 0, l4Error: 0, noUdpChecksum: false };
  const list = natList(shape);
  const frame = packetOf(shape, values, right);
  const wanted = interpretList(list, 0, frame, values).frame;
  const rule = compiled(list, 'softflow');
  const mutated = (change: (rule: RuleTemplate) => RuleTemplate) =>
    interpretRule(change(instantiate(rule, rowOf(values))), 0, frame);

  test('the sound rule agrees', () => {
    expect(mutated((sound) => sound).frame).toEqual(wanted);
  });

  test('a rule without one of its rewrites disagrees', () => {
    const rewrites = rule.actions.filter(({ type }) => type >= ActionType.vxlanEncap);
    expect(rewrites.length).toBe(7);
    for (const missing of rewrites) {
      const without = mutated((sound) => ({
        ...sound,
        actions: sound.actions.filter(({ type }) => type !== missing.type),
      }));
      expect(without.frame).not.toEqual(wanted);
    }
  });

  test('a rule whose decapsulation comes last disagrees', () => {
    const late = mutated((sound) => {
      const decap = sound.actions.filter(({ type }) => type === ActionType.vxlanDecap);
      const others = sound.actions.filter(({ type }) => type !== ActionType.vxlanDecap);
      return { ...sound, actions: [...others.slice(0, -1), ...decap, ...others.slice(-1)] };
    });
    expect(late.frame).not.toEqual(wanted);
  });

  test('a patch in the wrong byte order disagrees', () => {
    const swapped = { ...rule, patches: rule.patches.map((patch) => ({ ...patch, bigEndian: false })) };
    expect(interpretRule(swapped, 0, frame, rowOf(values)).fate).toBe('miss');
  });
});

describe('the reference interpreter', () => {
  test('repairs right checksums and leaves wrong ones wrong', () => {
    let wrong = 0;
    fc.assert(
      fc.property(shapes, argumentValues, packetNoise, (shape, values, noise) => {
        const list = natList(shape);
        const out = takeApart(interpretList(list, list.ingress, packetOf(shape, values, noise), values).frame);
        const innermost = out?.frames.at(-1)?.ipv4;
        expect(innermost?.checksumError).toBe(noise.ipError);
        if (shape.l4 !== 'other' && innermost?.l4Error !== null) expect(innermost?.l4Error).toBe(noise.l4Error);
        if (noise.ipError !== 0) wrong++;
        if (shape.to === 'vxlan') expect(out?.frames[0].ipv4?.checksumError).toBe(0);
      }),
      runs,
    );
    expect(wrong).toBeGreaterThan(50);
  });

  test('undoes a translation by the reverse list', () => {
    // reverse ∘ forward restores the tuple
    const shape = {
      from: 'vxlan',
      to: 'plain',
      l4: 'tcp',
      source: true,
      destination: false,
      ports: true,
      outerSource: false,
    } as const;
    fc.assert(
      fc.property(argumentValues, packetNoise, (values, noise) => {
        const forward = { ...values, newDestinationPort: values.matchDestinationPort };
        const there = interpretList(natList(shape), 0, packetOf(shape, forward, noise), forward).frame;
        const out = takeApart(there)?.frames[0].ipv4;
        expect(out?.source).toBe(values.newSourceAddress);
        const back = {
          ...forward,
          matchSourceAddress: forward.newSourceAddress,
          matchSourcePort: forward.newSourcePort,
          newSourceAddress: forward.matchSourceAddress,
          newSourcePort: forward.matchSourcePort,
          newDestinationPort: forward.matchDestinationPort,
        };
        const again = interpretList(natList({ ...shape, from: 'plain' }), 1, there, back).frame;
        const restored = takeApart(again)?.frames[0].ipv4;
        expect(restored?.source).toBe(values.matchSourceAddress);
        expect(restored?.payload.slice(0, 2)).toEqual(
          Uint8Array.from([values.matchSourcePort >> 8, values.matchSourcePort & 255]),
        );
      }),
      { numRuns: 200 },
    );
  });
});
