import fc from 'fast-check';
import { compileFor } from '../../src/compiler/compile';
import { staticRules, targetNamed } from '../../src/compiler/index';
import type { Target } from '../../src/compiler/target';
import type { RuleTemplate } from '../../src/compiler/template';
import { interpretList } from '../../src/compiler/trial/list-interpreter';
import { interpretRule, type RuleOutcome } from '../../src/compiler/trial/rule-interpreter';
import {
  argumentValues,
  CONTEXT,
  natList,
  type PacketNoise,
  packetNoise,
  packetOf,
  rowOf,
  type Shape,
  shapes,
} from './flows';

/** All tables of the NIC: constant rules first, and the rule where their jump leads. */
function throughNic(target: Target, rule: RuleTemplate, port: number, frame: Uint8Array, row: DataView): RuleOutcome {
  const constant = staticRules(target.name, CONTEXT)
    .filter(({ ingress }) => ingress === port)
    .map((each) => ({ priority: each.priority, outcome: interpretRule(each, port, frame) }))
    .filter(({ outcome }) => outcome.fate !== 'miss');
  constant.sort((a, b) => a.priority - b.priority);
  const first = constant[0]?.outcome;
  if (first?.fate !== 'jump') return first ?? { ...interpretRule(rule, 1 - port, frame), fate: 'miss' };
  expect(first.frame).toEqual(frame);
  if (first.to !== rule.group) return { ...first, fate: 'miss' };
  return interpretRule(rule, port, frame, row);
}

const PLAIN = { ipError: 0, l4Error: 0, options: false };
/** What the NIC may serve: addressed to the gateway, whole, with a TTL, established. */
const served = (noise: PacketNoise): PacketNoise => {
  return { ...noise, ...PLAIN, tcpFlags: noise.tcpFlags & 0xf8, macs: [CONTEXT.ports[1].mac, noise.macs[1]] };
};

describe.each(['softflow', 'mlx5-hws', 'mlx5-sws'])('the tables of %s', (name) => {
  const target = targetNamed(name) as Target;
  const rules = (shape: Shape) => compileFor(natList(shape), target, CONTEXT);

  test('do to every packet that they serve what the list says', () => {
    let translated = 0;
    let refused = 0;
    fc.assert(
      fc.property(shapes, argumentValues, packetNoise, (shape, values, noise) => {
        const result = rules(shape);
        if (!result.ok) {
          refused++;
          return;
        }
        const list = natList(shape);
        const frame = packetOf(shape, { ...values, matchOuterSourceAddress: 5 }, served(noise));
        const given = { ...values, matchOuterSourceAddress: 5 };
        const wanted = interpretList(list, list.ingress, frame, given);
        const got = throughNic(target, result.template, list.ingress, frame, rowOf(given));
        expect({ ...got, countedBytes: null }).toEqual({ ...wanted, countedBytes: null });
        translated++;
      }),
      { numRuns: 1500 },
    );
    expect(translated).toBeGreaterThan(300);
    expect(refused).toBeGreaterThan(100);
  });
  test('serve no fragment, option, TTL of 0 or 1, TCP SYN, FIN or RST, nor a bad header', () => {
    const noServe = fc.constantFrom('ttl', 'flag', 'option', 'checksum', 'fragment');
    let kept = 0;
    fc.assert(
      fc.property(shapes, argumentValues, packetNoise, noServe, fc.nat(2), (shape, values, noise, why, n) => {
        const result = rules(shape);
        if (!result.ok || (why === 'flag' && shape.l4 !== 'tcp')) return;
        const sound = served(noise);
        const broken: PacketNoise = {
          ...sound,
          ...(why === 'ttl' ? { ttl: n & 1 } : {}),
          ...(why === 'flag' ? { tcpFlags: sound.tcpFlags | (1 << n) } : {}),
          ...(why === 'option' ? { options: true } : {}),
          ...(why === 'checksum' ? { ipError: 1 + n } : {}),
        };
        const list = natList(shape);
        const frame = packetOf(shape, values, broken);
        const ip = (shape.from === 'vxlan' ? 50 : 0) + 14;
        if (why === 'fragment') {
          // First, middle, last; the header checksum stays right.
          const word = [0x2000, 0x2005, 0x0005][n];
          frame.set([word >> 8, word & 0xff], ip + 6);
          const sum = ((frame[ip + 10] << 8) | frame[ip + 11]) - word;
          const fixed = ((sum % 65535) + 65535) % 65535;
          frame.set([fixed >> 8, fixed & 0xff], ip + 10);
        }
        const { fate, frame: after } = throughNic(target, result.template, list.ingress, frame, rowOf(values));
        expect(['punt', 'miss']).toContain(fate);
        expect(after).toEqual(frame);
        kept++;
      }),
      { numRuns: 1500 },
    );
    expect(kept).toBeGreaterThan(200);
  });
  test('serve nothing that is another flow’s, another port’s, or not to the gateway', () => {
    let hits = 0;
    let misses = 0;
    const names = [
      'matchSourceAddress',
      'matchDestinationAddress',
      'matchSourcePort',
      'matchDestinationPort',
      'matchVni',
      'protocol',
    ] as const;
    fc.assert(
      fc.property(
        shapes,
        argumentValues,
        argumentValues,
        packetNoise,
        fc.nat(7),
        (shape, values, others, noise, which) => {
          const result = rules(shape);
          if (!result.ok) return;
          const near = which < names.length ? { ...values, [names[which]]: others[names[which]] } : values;
          const sound = served(noise);
          const frame = packetOf(shape, near, which === 6 ? { ...sound, macs: [1, 2] } : sound);
          const list = natList(shape);
          const port = which === 7 ? 1 - list.ingress : list.ingress;
          const wanted = interpretList(list, port, frame, values).fate;
          const { fate } = throughNic(target, result.template, port, frame, rowOf(values));
          // Not to the gateway's MAC: the list alone would take it, the way to the NAT rules does not.
          if (which === 6 && shape.from === 'plain') expect(fate).toBe('miss');
          else expect(fate === 'output').toBe(wanted === 'output');
          if (fate === 'output') hits++;
          else misses++;
        },
      ),
      { numRuns: 1500 },
    );
    expect(hits).toBeGreaterThan(50);
    expect(misses).toBeGreaterThan(200);
  });
});
