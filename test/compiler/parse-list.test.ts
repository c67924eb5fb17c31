import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020';
import fc from 'fast-check';
import { compile } from '../../src/compiler/index';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT, parseLists } from '../../src/compiler/parse-list';

const schema = JSON.parse(readFileSync(join(__dirname, '../../schemas/flow-list.schema.json'), 'utf8'));
const fitsSchema = new Ajv2020({ allErrors: false }).compile(schema);

const GOOD = {
  ports: [
    { name: 'fab', role: 'fabric', mtu: 9000 },
    { name: 'ext', role: 'external', mac: '02:00:00:00:E0:02', vlan: 77 },
  ],
  underlay: { vtep: '172.30.0.9', mac: '02:00:00:00:f0:09', udpPort: 8472 },
  tcpWithoutFlags: true,
  lists: [
    {
      name: 'snat',
      ingress: 'fab',
      match: [
        { type: 'eth', etherType: '0x0800' },
        { type: 'ipv4', source: '172.30.0.0/16', fragmentOffset: { first: 0, last: '0x3fff', mask: '0x3fff' } },
        { type: 'udp', destination: 8472 },
        { type: 'vxlan', vni: { argument: 'matchVni' } },
        { type: 'eth', destination: { value: '02:00:00:00:f0:09', mask: 'ff:ff:ff:00:00:00' } },
        { type: 'ipv4', source: { value: '10.0.0.0', mask: '255.0.0.0' }, ttl: { first: 2, last: 255 } },
        { type: 'tcp', flags: { value: 0, mask: 7 } },
        { type: 'integrity', layer: 2, ipv4ChecksumOk: true },
      ],
      actions: [
        { type: 'pop-vxlan' },
        { type: 'set-l4', protocol: 'tcp', source: { argument: 'newSourcePort' } },
        { type: 'checksum' },
        {
          type: 'push-vxlan',
          destinationMac: '02:00:00:00:00:12',
          destination: '172.30.0.12',
          udpSourcePort: 50000,
          vni: 9,
        },
        { type: 'output', port: 1 },
      ],
      arguments: { matchVni: 100, newSourcePort: '0x400', outerDestinationMac: '02:00:00:00:00:12' },
    },
    { ingress: 1, match: [{ type: 'eth' }], actions: [{ type: 'punt' }] },
    { ingress: 1, match: [{ type: 'eth' }], actions: [{ type: 'jump', group: 3 }] },
  ],
};

const faultsOf = (document: unknown): string[] => {
  const result = parseLists(typeof document === 'string' ? document : JSON.stringify(document));
  return result.ok ? [] : result.faults.map(({ path }) => path);
};

/** A copy of GOOD with one place changed; undefined removes it. */
function changed(path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(GOOD) as unknown as Record<string | number, unknown>;
  let at = copy;
  for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
  const last = path[path.length - 1];
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

describe('lists written by hand', () => {
  test('become what they say', () => {
    const result = parseLists(JSON.stringify(GOOD));
    if (!result.ok) throw new Error(JSON.stringify(result.faults));
    expect(result.context).toEqual({
      ports: [
        { name: 'fab', role: 'fabric', mac: 0x0200_0000_f009, mtu: 9000, vlan: -1 },
        { name: 'ext', role: 'external', mac: 0x0200_0000_e002, mtu: 1500, vlan: 77 },
      ],
      underlay: { vtep: 0xac1e_0009, mac: 0x0200_0000_f009, udpPort: 8472 },
      tcpWithoutFlags: true,
    });
    const wanted: FlowList = {
      name: 'snat',
      ingress: 0,
      match: [
        { type: 'eth', etherType: 0x800 },
        {
          type: 'ipv4',
          source: { value: 0xac1e_0000, mask: 0xffff_0000 },
          fragmentOffset: { first: 0, last: 0x3fff, mask: 0x3fff },
        },
        { type: 'udp', destination: 8472 },
        { type: 'vxlan', vni: { argument: 'matchVni' } },
        { type: 'eth', destination: { value: 0x0200_0000_f009, mask: 0xffff_ff00_0000 } },
        { type: 'ipv4', source: { value: 0x0a00_0000, mask: 0xff00_0000 }, ttl: { first: 2, last: 255 } },
        { type: 'tcp', flags: { value: 0, mask: 7 } },
        { type: 'integrity', layer: 2, ipv4ChecksumOk: true },
      ],
      actions: [
        { type: 'pop-vxlan' },
        { type: 'set-l4', protocol: 'tcp', source: { argument: 'newSourcePort' } },
        { type: 'checksum' },
        {
          type: 'push-vxlan',
          sourceMac: 0x0200_0000_f009,
          source: 0xac1e_0009,
          udpDestinationPort: 8472,
          destinationMac: 0x0200_0000_0012,
          destination: 0xac1e_000c,
          udpSourcePort: 50000,
          vni: 9,
        },
        { type: 'output', port: 1 },
      ],
    };
    expect(result.lists[0].list).toEqual(wanted);
    expect(result.lists[0].path).toBe('/lists/0');
    expect(result.lists[0].row?.getUint32(12, true)).toBe(100);
    expect(result.lists[0].row?.getUint16(28, true)).toBe(1024);
    expect(result.lists[1].list).toEqual({
      name: 'list-1',
      ingress: 1,
      match: [{ type: 'eth' }],
      actions: [{ type: 'punt', port: 1 }],
    });
    expect(result.lists[1].row).toBeNull();
  });
  test('may be a bare array, of the usual ports', () => {
    const result = parseLists(
      JSON.stringify([{ ingress: 'fabric', match: [{ type: 'eth' }], actions: [{ type: 'drop' }] }]),
    );
    expect(result).toMatchObject({ ok: true, context: DEFAULT_CONTEXT, lists: [{ path: '/0', list: { ingress: 0 } }] });
  });
  test('may be none at all', () => {
    expect(parseLists('[]')).toMatchObject({ ok: true, lists: [] });
  });
});

/** One fault each: where it is put, what is put there, where it is found. */
const FAULTS: readonly (readonly [string, readonly (string | number)[], unknown, string])[] = [
  ['an unknown field', ['list'], [], '/list'],
  ['an unknown field of a port', ['ports', 0, 'speed'], 5, '/ports/0/speed'],
  ['a role that is none', ['ports', 0, 'role'], 'inside', '/ports/0/role'],
  ['a port without a name', ['ports', 1, 'name'], 5, '/ports/1/name'],
  ['a MAC with dashes', ['ports', 1, 'mac'], '02-00-00-00-e0-01', '/ports/1/mac'],
  ['an MTU that is too large', ['ports', 1, 'mtu'], 70000, '/ports/1/mtu'],
  ['an address of three numbers', ['underlay', 'vtep'], '172.30.1', '/underlay/vtep'],
  ['a flag that is a word', ['tcpWithoutFlags'], 'yes', '/tcpWithoutFlags'],
  ['lists that are none', ['lists'], {}, '/lists'],
  ['a list that is none', ['lists', 0], 5, '/lists/0'],
  ['a list without ingress', ['lists', 0, 'ingress'], undefined, '/lists/0/ingress'],
  ['a match that is none', ['lists', 0, 'match'], {}, '/lists/0/match'],
  ['an item that is none', ['lists', 0, 'match', 0], 'eth', '/lists/0/match/0'],
  ['an unknown item', ['lists', 0, 'match', 0], { type: 'ether' }, '/lists/0/match/0/type'],
  [
    'an item whose name is a method of objects',
    ['lists', 0, 'match', 0],
    { type: 'toString' },
    '/lists/0/match/0/type',
  ],
  ['a field of another item', ['lists', 0, 'match', 0, 'vni'], 5, '/lists/0/match/0/vni'],
  ['an address that is a number', ['lists', 0, 'match', 5, 'source'], 5, '/lists/0/match/5/source'],
  ['a prefix that is too long', ['lists', 0, 'match', 5, 'source'], '10.0.0.0/33', '/lists/0/match/5/source'],
  ['a negative number', ['lists', 0, 'match', 2, 'destination'], -1, '/lists/0/match/2/destination'],
  ['a fraction', ['lists', 0, 'match', 2, 'destination'], 1.5, '/lists/0/match/2/destination'],
  ['a mask without value', ['lists', 0, 'match', 5, 'source'], { mask: '255.0.0.0' }, '/lists/0/match/5/source/value'],
  ['a range without end', ['lists', 0, 'match', 5, 'ttl'], { first: 1 }, '/lists/0/match/5/ttl/last'],
  ['an unknown argument', ['lists', 0, 'match', 3, 'vni'], { argument: 'vni' }, '/lists/0/match/3/vni/argument'],
  ['a third integrity layer', ['lists', 0, 'match', 7, 'layer'], 3, '/lists/0/match/7/layer'],
  [
    'integrity without a wish',
    ['lists', 0, 'match', 7, 'ipv4ChecksumOk'],
    undefined,
    '/lists/0/match/7/ipv4ChecksumOk',
  ],
  ['an unknown action', ['lists', 0, 'actions', 0], { type: 'pop' }, '/lists/0/actions/0/type'],
  [
    'an action whose name is a method of objects',
    ['lists', 0, 'actions', 0],
    { type: 'constructor' },
    '/lists/0/actions/0/type',
  ],
  ['an unknown field of an action', ['lists', 0, 'actions', 0, 'vni'], 5, '/lists/0/actions/0/vni'],
  ['an action without a value it needs', ['lists', 0, 'actions', 3, 'vni'], undefined, '/lists/0/actions/3/vni'],
  ['set-l4 of no protocol', ['lists', 0, 'actions', 1, 'protocol'], undefined, '/lists/0/actions/1/protocol'],
  ['an output without port', ['lists', 0, 'actions', 4, 'port'], undefined, '/lists/0/actions/4/port'],
  ['a jump nowhere', ['lists', 2, 'actions', 0, 'group'], 'x', '/lists/2/actions/0/group'],
  ['an unknown argument of the example', ['lists', 0, 'arguments', 'vni'], 5, '/lists/0/arguments/vni'],
  [
    'a bad value of the example',
    ['lists', 0, 'arguments', 'matchSourceAddress'],
    'x',
    '/lists/0/arguments/matchSourceAddress',
  ],
];

describe('a fault', () => {
  test.each(FAULTS)('%s is found at its place, and refused by the schema too', (_, path, value, where) => {
    const document = changed(path, value);
    expect(faultsOf(document)).toEqual([where]);
    expect(fitsSchema(document)).toBe(false);
  });
  test('a port name that nobody has, or two have', () => {
    expect(faultsOf(changed(['lists', 0, 'ingress'], 'fabric'))).toEqual(['/lists/0/ingress']);
    expect(faultsOf(changed(['lists', 0, 'actions', 4, 'port'], 2))).toEqual(['/lists/0/actions/4/port']);
    expect(faultsOf(changed(['ports', 1, 'name'], 'fab'))).toContain('/ports/1/name');
  });
  test('several are told at once', () => {
    const document = structuredClone(GOOD) as unknown as { lists: { match: unknown[]; actions: unknown[] }[] };
    document.lists[0].match[0] = { type: 'ether' };
    document.lists[0].actions[0] = { type: 'pop' };
    expect(faultsOf(document)).toEqual(['/lists/0/match/0/type', '/lists/0/actions/0/type']);
  });
  test('what is not JSON, or neither object nor array', () => {
    expect(faultsOf('{"lists": [')).toEqual(['']);
    expect(faultsOf('5')).toEqual(['']);
    expect(faultsOf('{"lists": [], "lists": []}')).toEqual(['/lists']);
  });
});

describe('the schema and the parser', () => {
  test('both accept the good document', () => {
    expect(faultsOf(GOOD)).toEqual([]);
    expect(fitsSchema(GOOD)).toBe(true);
  });
  test('both accept the schema’s example, and what executes all of NAT compiles it', () => {
    for (const example of schema.examples) {
      expect(fitsSchema(example)).toBe(true);
      const result = parseLists(JSON.stringify(example));
      if (!result.ok) throw new Error(JSON.stringify(result.faults));
      for (const { list } of result.lists) {
        for (const target of ['software', 'softflow', 'mlx5-sws'])
          expect(compile(list, target, result.context).ok).toBe(true);
      }
    }
  });
  test('never throws, whatever it is given', () => {
    const text = JSON.stringify(GOOD);
    fc.assert(fc.property(fc.nat(text.length), (end) => void parseLists(text.slice(0, end))));
    fc.assert(fc.property(fc.jsonValue(), (value) => void parseLists(JSON.stringify(value))));
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, noise) => {
        parseLists(text.slice(0, at) + noise + text.slice(at + 1));
      }),
      { numRuns: 2000 },
    );
  });
});
