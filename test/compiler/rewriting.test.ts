import fc from 'fast-check';
import { instantiate } from '../../src/compiler/instantiate';
import type { RuleTemplate } from '../../src/compiler/template';
import { interpretList, takeApart } from '../../src/compiler/trial/list-interpreter';
import { interpretRule } from '../../src/compiler/trial/rule-interpreter';
import { ActionType } from '../../src/native/records';
import { argumentValues, compiled, natList, packetNoise, packetOf, rowOf, shapes } from './flows';

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
