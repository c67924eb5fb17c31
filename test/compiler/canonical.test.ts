import fc from 'fast-check';
import type { Action, FlowList } from '../../src/compiler/ir';
import { canonicalise } from '../../src/compiler/passes/canonicalise';
import { type Rule, toRule } from '../../src/compiler/rule';
import { interpretList } from '../../src/compiler/trial/list-interpreter';
import { argument, argumentValues, natList, packetNoise, packetOf, shapes } from './flows';

const back = (rule: Rule): FlowList => ({
  name: rule.name,
  ingress: rule.ingress,
  match: rule.match.map(({ node }) => node),
  actions: rule.actions.map(({ node }) => node),
});
const canonical = (list: FlowList): FlowList => back(canonicalise(toRule(list)));

const udp: FlowList = {
  name: 'udp',
  ingress: 0,
  match: [{ type: 'eth' }, { type: 'ipv4' }, { type: 'udp' }],
  actions: [{ type: 'output', port: 1 }],
};
const actionsOf = (actions: readonly Action[], match = udp.match) => canonical({ ...udp, match, actions }).actions;

describe('canonical matches', () => {
  const ipv4 = (value: object) => canonical({ ...udp, match: [{ type: 'eth' }, { type: 'ipv4', ...value }] }).match[1];

  test('bits outside the mask are cleared', () => {
    expect(ipv4({ source: { value: 0x0a00_0105, mask: 0xff00_0000 } })).toEqual({
      type: 'ipv4',
      source: { value: 0x0a00_0000, mask: 0xff00_0000 },
    });
  });
  test('a MAC is masked beyond 32 bits', () => {
    const eth = { type: 'eth', source: { value: 0xffff_ffff_ffff, mask: 0xff00_0000_00f0 } } as const;
    expect(canonical({ ...udp, match: [eth] }).match[0]).toEqual({
      type: 'eth',
      source: { value: 0xff00_0000_00f0, mask: 0xff00_0000_00f0 },
    });
  });
  test('a full mask is an exact value', () => {
    expect(ipv4({ ttl: { value: 9, mask: 255 } })).toEqual({ type: 'ipv4', ttl: 9 });
  });
  test('a mask of nothing is no condition', () => {
    expect(ipv4({ ttl: { value: 9, mask: 0 } })).toEqual({ type: 'ipv4' });
  });
  test('a range of everything is no condition, one of a single value is the value', () => {
    expect(ipv4({ ttl: { first: 0, last: 255 } })).toEqual({ type: 'ipv4' });
    expect(ipv4({ ttl: { first: 3, last: 3 } })).toEqual({ type: 'ipv4', ttl: 3 });
    expect(ipv4({ fragmentOffset: { first: 1, last: 0x3fff, mask: 0x3fff } })).toEqual({
      type: 'ipv4',
      fragmentOffset: { first: 1, last: 0x3fff, mask: 0x3fff },
    });
  });
});

describe('canonical actions', () => {
  const out: Action = { type: 'output', port: 1 };
  const checksum: Action = { type: 'checksum' };

  test('a rewrite that is overwritten goes', () => {
    expect(
      actionsOf([{ type: 'set-ipv4', source: 1, destination: 2 }, { type: 'set-ipv4', source: 3 }, checksum, out]),
    ).toEqual([{ type: 'set-ipv4', destination: 2 }, { type: 'set-ipv4', source: 3 }, checksum, out]);
  });
  test('a rewrite of what is popped later goes, with its checksum', () => {
    const tunnel: FlowList['match'] = [...udp.match, { type: 'vxlan' }, { type: 'eth' }];
    const actions: Action[] = [
      { type: 'set-ipv4', source: 1 },
      { type: 'decrement-ttl' },
      checksum,
      { type: 'pop-vxlan' },
      out,
    ];
    expect(actionsOf(actions, tunnel)).toEqual([{ type: 'pop-vxlan' }, out]);
  });
  test('a rewrite of what is dropped goes', () => {
    expect(actionsOf([{ type: 'set-ipv4', source: 1 }, { type: 'count' }, { type: 'drop' }])).toEqual([
      { type: 'count' },
      { type: 'drop' },
    ]);
  });
  test('a rewrite to the matched value goes, constant or argument', () => {
    const source = argument('matchSourceAddress');
    const match: FlowList['match'] = [{ type: 'eth' }, { type: 'ipv4', source, destination: 7 }];
    expect(actionsOf([{ type: 'set-ipv4', source, destination: 7 }, checksum, out], match)).toEqual([out]);
  });
  test('a rewrite to a value matched under a mask stays', () => {
    const match: FlowList['match'] = [
      { type: 'eth' },
      { type: 'ipv4', source: { value: 0x0a00_0000, mask: 0xff00_0000 } },
    ];
    const rewrite: Action = { type: 'set-ipv4', source: 0x0a00_0000 };
    expect(actionsOf([rewrite, checksum, out], match)).toEqual([rewrite, checksum, out]);
  });
  test('a rewrite back to the matched value after another one leaves nothing', () => {
    const match: FlowList['match'] = [{ type: 'eth' }, { type: 'ipv4', source: 7 }];
    expect(actionsOf([{ type: 'set-ipv4', source: 1 }, { type: 'set-ipv4', source: 7 }, checksum, out], match)).toEqual(
      [out],
    );
  });
  test('the same field of the inner and of a pushed header are two', () => {
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
    const actions: Action[] = [
      { type: 'set-ipv4', source: 1 },
      checksum,
      push,
      { type: 'set-ipv4', source: 2 },
      checksum,
      out,
    ];
    expect(actionsOf(actions)).toEqual(actions);
  });
});

describe('canonicalise', () => {
  /** Rewrites that add up to nothing, thrown in anywhere before the list's own. */
  const clutter = fc.array(
    fc.constantFrom<Action>(
      { type: 'set-ethernet', source: 5 },
      { type: 'set-ethernet', destination: 6 },
      { type: 'set-ipv4', source: 0x0102_0304 },
      { type: 'set-ipv4', destination: argument('newDestinationAddress') },
      { type: 'set-ipv4', destination: argument('matchDestinationAddress') },
      { type: 'decrement-ttl' },
      { type: 'checksum' },
    ),
    { maxLength: 6 },
  );

  test('keeps the meaning of every list, and does nothing the second time', () => {
    let shorter = 0;
    fc.assert(
      fc.property(shapes, clutter, clutter, argumentValues, packetNoise, (shape, before, after, values, noise) => {
        const sound = natList(shape);
        const pop = shape.from === 'vxlan' ? 1 : 0;
        const actions = [
          ...before,
          { type: 'checksum' } as const,
          ...sound.actions.slice(0, pop),
          ...after,
          ...sound.actions.slice(pop),
        ];
        const list = { ...sound, actions };
        const once = canonical(list);
        if (once.actions.length < actions.length) shorter++;
        expect(canonical(once)).toEqual(once);
        const frame = packetOf(shape, values, { ...noise, ttl: 200 });
        expect(interpretList(once, list.ingress, frame, values)).toEqual(
          interpretList(list, list.ingress, frame, values),
        );
      }),
      { numRuns: 1000 },
    );
    expect(shorter).toBeGreaterThan(100);
  });
});
