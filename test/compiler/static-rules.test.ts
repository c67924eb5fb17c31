import fc from 'fast-check';
import { type CompileContext, staticRules } from '../../src/compiler/index';
import { interpretRule, type RuleOutcome } from '../../src/compiler/trial/rule-interpreter';
import { argumentValues, CONTEXT, packetNoise, packetOf, type Shape } from './flows';

const TAGGED: CompileContext = {
  ...CONTEXT,
  ports: CONTEXT.ports.map((port) => (port.role === 'external' ? { ...port, vlan: 77 } : port)),
};

/** What the first group does: the best priority wins. */
function firstGroup(frame: Uint8Array, port: number, context = CONTEXT): RuleOutcome['fate'] {
  const hits = staticRules('softflow', context)
    .map((rule) => ({ rule, outcome: interpretRule(rule, port, frame) }))
    .filter(({ outcome }) => outcome.fate !== 'miss');
  hits.sort((a, b) => a.rule.priority - b.rule.priority);
  for (const { outcome } of hits) expect(outcome.frame).toEqual(frame);
  return hits[0]?.outcome.fate ?? 'miss';
}

const shape = (from: 'vxlan' | 'plain', l4: Shape['l4']): Shape => {
  return { from, to: 'plain', l4, source: true, destination: false, ports: true, outerSource: false };
};
const [values] = fc.sample(argumentValues, { numRuns: 1, seed: 3 });
const [sample] = fc.sample(packetNoise, { numRuns: 1, seed: 3 });
const quiet = {
  ...sample,
  ipError: 0,
  l4Error: 0,
  options: false,
  ttl: 64,
  tcpFlags: 0x10,
  macs: [CONTEXT.ports[1].mac, 9] as const,
};

describe.each([
  ['fabric', 'vxlan', 0, 50],
  ['external', 'plain', 1, 0],
] as const)('packets that come in on the %s port', (_, from, port, inner) => {
  const ip = inner + 14;
  const packet = (l4: Shape['l4'], change: (frame: Uint8Array) => void = () => {}, noise = quiet) => {
    const frame = packetOf(shape(from, l4), values, noise);
    change(frame);
    return frame;
  };

  test.each(['udp', 'tcp', 'other'] as const)('plain data to the gateway (%s) jumps to the NAT rules', (l4) => {
    expect(firstGroup(packet(l4), port)).toBe('jump');
  });
  test('on the other port they miss', () => {
    expect(firstGroup(packet('udp'), 1 - port)).not.toBe('jump');
  });
  test('TTL 0 and 1 are punted, 2 and 255 are not', () => {
    const fates = [0, 1, 2, 255].map((ttl) =>
      firstGroup(
        packet('udp', () => {}, { ...quiet, ttl }),
        port,
      ),
    );
    expect(fates).toEqual(['punt', 'punt', 'jump', 'jump']);
  });
  test.each([0x01, 0x02, 0x04])('TCP flag %i is punted whatever else is set', (flag) => {
    for (const others of [0, 0x10, 0xf8]) {
      const noise = { ...quiet, tcpFlags: flag | others };
      expect(
        firstGroup(
          packet('tcp', () => {}, noise),
          port,
        ),
      ).toBe('punt');
    }
  });
  test('TCP without SYN, FIN and RST is not punted', () => {
    expect(
      firstGroup(
        packet('tcp', () => {}, { ...quiet, tcpFlags: 0xf8 }),
        port,
      ),
    ).toBe('jump');
  });
  test('first, middle and last fragments are punted, DF alone is not', () => {
    const fates = [0x2000, 0x2001, 0x0001, 0x1fff, 0x4000].map((word) =>
      firstGroup(
        packet('other', (frame) => {
          // A right header checksum: the word is the only one that changes.
          const before = (frame[ip + 6] << 8) | frame[ip + 7];
          frame.set([word >> 8, word & 255], ip + 6);
          const sum = ((frame[ip + 10] << 8) | frame[ip + 11]) + before - word;
          const fixed = ((sum % 65535) + 65535) % 65535;
          frame.set([fixed >> 8, fixed & 255], ip + 10);
        }),
        port,
      ),
    );
    expect(fates).toEqual(['punt', 'punt', 'punt', 'punt', 'jump']);
  });
  test('IPv4 options are punted', () => {
    expect(
      firstGroup(
        packet('udp', () => {}, { ...quiet, options: true }),
        port,
      ),
    ).toBe('punt');
  });
  test('a wrong IPv4 header checksum is punted', () => {
    expect(
      firstGroup(
        packet('udp', () => {}, { ...quiet, ipError: 5 }),
        port,
      ),
    ).toBe('punt');
  });
  test('a wrong UDP checksum is not the gateway’s to judge', () => {
    expect(
      firstGroup(
        packet('udp', () => {}, { ...quiet, l4Error: 5 }),
        port,
      ),
    ).toBe('jump');
  });
  test('another destination MAC than the gateway’s misses', () => {
    expect(
      firstGroup(
        packet('udp', (frame) => frame.set([2, 9, 9, 9, 9, 9], 0)),
        port,
      ),
    ).toBe('miss');
  });
  test('what is not IPv4 misses', () => {
    expect(
      firstGroup(
        packet('udp', (frame) => frame.set([0x08, 0x06], 12)),
        port,
      ),
    ).toBe('miss');
  });
  test('a tag where none is configured misses', () => {
    const tagged = Uint8Array.from([...packet('udp').slice(0, 12), 0x81, 0, 0, 77, ...packet('udp').slice(12)]);
    expect(firstGroup(tagged, port)).toBe('miss');
  });
});

describe('the outer headers of the fabric', () => {
  const frame = (change: (frame: Uint8Array) => void) => {
    const made = packetOf(shape('vxlan', 'udp'), values, quiet);
    change(made);
    return made;
  };

  test('an outer fragment is punted', () => {
    expect(
      firstGroup(
        frame((f) => f.set([0x20, 0x00], 20)),
        0,
      ),
    ).toBe('punt');
  });
  test('outer options are punted', () => {
    const made = frame(() => {});
    const longer = Uint8Array.from([...made.slice(0, 34), 1, 1, 1, 0, ...made.slice(34)]);
    longer[14] = 0x46;
    longer[17] += 4;
    expect(firstGroup(longer, 0)).toBe('punt');
  });
  test('outer TTL 1 and a clear outer DF do not matter', () => {
    const made = frame((f) => {
      // TTL 64 → 1 and DF off, header checksum adjusted by the same amounts.
      f[22] = 1;
      f[20] = 0;
      const sum = ((f[24] << 8) | f[25]) + (63 << 8) + 0x4000;
      f.set([((sum % 65535) >> 8) & 255, (sum % 65535) & 255], 24);
    });
    expect(firstGroup(made, 0)).toBe('jump');
  });
  test('a wrong outer checksum is punted', () => {
    expect(
      firstGroup(
        frame((f) => f.set([f[24] ^ 1], 24)),
        0,
      ),
    ).toBe('punt');
  });
  test('another outer destination, another UDP port and a clear I flag miss', () => {
    const repaired = (at: number, to: number[]) =>
      frame((f) => {
        const word = (f[at] << 8) | f[at + 1];
        f.set(to, at);
        const sum = ((f[24] << 8) | f[25]) + word - ((to[0] << 8) | to[1]);
        const fixed = ((sum % 65535) + 65535) % 65535;
        if (at < 34) f.set([fixed >> 8, fixed & 255], 24);
      });
    expect(firstGroup(repaired(32, [9, 9]), 0)).toBe('miss');
    expect(
      firstGroup(
        frame((f) => f.set([0x12, 0xb6], 36)),
        0,
      ),
    ).toBe('miss');
    expect(
      firstGroup(
        frame((f) => f.set([0], 42)),
        0,
      ),
    ).toBe('miss');
  });
});

describe('a tagged external port', () => {
  const frame = packetOf(shape('plain', 'udp'), values, quiet, 77);

  test('frames with the tag jump, with another or none miss', () => {
    const other = packetOf(shape('plain', 'udp'), values, quiet, 78);
    const none = packetOf(shape('plain', 'udp'), values, quiet);
    expect([frame, other, none].map((f) => firstGroup(f, 1, TAGGED))).toEqual(['jump', 'miss', 'miss']);
  });
  test('fragments, low TTL and flags are punted behind the tag too', () => {
    const noise = { ...quiet, ttl: 1 };
    expect(firstGroup(packetOf(shape('plain', 'udp'), values, noise, 77), 1, TAGGED)).toBe('punt');
    const syn = { ...quiet, tcpFlags: 2 };
    expect(firstGroup(packetOf(shape('plain', 'tcp'), values, syn, 77), 1, TAGGED)).toBe('punt');
  });
});

test('software needs no constant rules', () => {
  expect(staticRules('software', CONTEXT)).toEqual([]);
});
test('all stand in group 0 of the transfer domain, without arguments', () => {
  for (const rule of staticRules('softflow', CONTEXT)) {
    expect(rule).toMatchObject({ group: 0, domain: 'transfer', patches: [] });
  }
});
