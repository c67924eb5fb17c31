import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { ACTION_FIELDS, ITEM_LAYOUTS } from '../../src/compiler/fields';
import {
  compile,
  nativeTemplate,
  releaseOf,
  staticRules,
  targetNamed,
  targetOfDriver,
  targets,
} from '../../src/compiler/index';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { nicTarget } from '../../src/controller/nic-target';
import { ActionType, FlowArguments, ItemType, PatchTarget } from '../../src/native/records';
import { compiled } from './flows';

const folder = join(__dirname, '../../schemas/targets');
const read = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));

describe('target tables', () => {
  const validate = new Ajv2020({ strict: false }).compile(read('target.schema.json'));

  test('are there for every driver of DPDK’s matrix', () => {
    const drivers = new Set(
      ['22.11', '26.07'].flatMap((release) => {
        const path = join(folder, '../dpdk', `${release}.json`);
        return Object.keys(JSON.parse(readFileSync(path, 'utf8')).drivers);
      }),
    );
    // One driver, three lists: vector and VF paths of cnxk.
    for (const part of ['cnxk_vec', 'cnxk_vf']) drivers.delete(part);
    const tables = [...targets().keys()].map((name) => read(`${name}.json`).matrix);
    expect(new Set(tables.filter((matrix) => matrix !== null))).toEqual(drivers);
    expect(tables.filter((matrix) => matrix === 'mlx5').length).toBe(2);
  });
  test('claim no action or item that the matrix of a release lacks', () => {
    const script = join(__dirname, '../../scripts/import-dpdk-matrix.mjs');
    expect(spawnSync('node', [script, '--tables'], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });
  test('are chosen by driver, device arguments and DPDK release', () => {
    expect(targetOfDriver('net_softflow')?.name).toBe('softflow');
    expect(targetOfDriver('net_null')).toBeNull();
    expect(targetOfDriver('mlx5_pci')?.name).toBe('mlx5-sws');
    expect(targetOfDriver('mlx5_pci', 'representor=[0],dv_flow_en=2')?.name).toBe('mlx5-hws');
    const forms = (name: string) => targetNamed(name)?.actions['set-l4'].forms;
    expect(forms('sfc')).toEqual(['set-tp']);
    expect(forms('sfc@22.11')).toEqual([]);
    expect(targetNamed('ntnic@22.11')?.items).toEqual({});
    expect(targetNamed('sfc@21.11')).toBeNull();
    expect([releaseOf('DPDK 22.11.11'), releaseOf('DPDK 26.03.0'), releaseOf('DPDK 26.11.0-rc0')]).toEqual([
      '22.11',
      '22.11',
      '26.07',
    ]);
  });
  test('auto takes a software NIC for the NIC of its profile', () => {
    expect(nicTarget('auto', 'net_softflow')).toBe('softflow');
    expect(nicTarget('auto', 'net_softflow', 'wire=net_null0,profile=sfc@22.11')).toBe('sfc@22.11');
    expect(nicTarget('auto', 'mlx5_pci', 'dv_flow_en=2', '22.11')).toBe('mlx5-hws@22.11');
    expect(nicTarget('auto', 'net_virtio')).toBeNull();
    expect(nicTarget('software', 'net_softflow')).toBeNull();
    expect(() => nicTarget('sfc@1', 'net_softflow')).toThrow(RangeError);
  });
  test('speak of the items, fields and actions that lists have', () => {
    for (const target of targets().values()) {
      expect(Object.keys(target.actions).sort()).toEqual(Object.keys(ACTION_FIELDS).sort());
      for (const [item, { fields }] of Object.entries(target.items)) {
        if (item === 'integrity' || item === 'represented-port') continue;
        const known = Object.keys(ITEM_LAYOUTS[item as keyof typeof ITEM_LAYOUTS].fields);
        expect(known).toEqual(expect.arrayContaining(Object.keys(fields)));
      }
    }
  });
  test.each([
    [
      'with a form of a release that there is not',
      (target: { actions: { age: object } }) => Object.assign(target.actions.age, { since: { age: '21.11' } }),
    ],
    ['without a source', (target: { items: { eth: { source?: string } } }) => delete target.items.eth.source],
    [
      'with an unknown form',
      (target: { actions: { drop: { forms: string[] } } }) => target.actions.drop.forms.push('reject'),
    ],
    [
      'with an unknown item',
      (target: { items: Record<string, unknown> }) => (target.items.gre = { fields: {}, source: 'x' }),
    ],
    ['without an action', (target: { actions: Record<string, unknown> }) => delete target.actions.count],
    [
      'with an unknown punt',
      (target: { punts: Record<string, unknown> }) => (target.punts.ipv6 = { means: 'rule', source: 'x' }),
    ],
  ])('%s are refused by the schema', (_, break_) => {
    const target = read('softflow.json');
    expect(validate(target)).toBe(true);
    break_(target);
    expect(validate(target)).toBe(false);
  });
});

describe('the NAT engine’s own lists', () => {
  test.each(sampleShapes().map(({ direction, protocol, list }) => [direction, protocol, list] as const))(
    '%s, %s: all in software, on softflow all but ICMP',
    (_, protocol, list) => {
      expect(compile(list, 'software', DEFAULT_CONTEXT).ok).toBe(true);
      const onNic = compile(list, 'softflow', DEFAULT_CONTEXT);
      if (protocol !== 'icmp') expect(onNic.ok).toBe(true);
      else expect(onNic).toMatchObject({ ok: false, diagnostics: [{ code: 'icmp-in-software' }] });
    },
  );
});

describe('native templates', () => {
  const rules = [
    ...sampleShapes().map(({ list }) => compiled(list, 'software', DEFAULT_CONTEXT)),
    ...staticRules('softflow', DEFAULT_CONTEXT),
  ];

  test('carry patches as quintuples inside spec and conf, on whole arguments', () => {
    let patches = 0;
    const offsets = new Set<number>(Object.values(FlowArguments));
    for (const rule of rules) {
      const native = nativeTemplate(rule);
      expect(native.patches.length % 5).toBe(0);
      for (let i = 0; i < native.patches.length; i += 5) {
        const [target, index, offset, width, argument] = native.patches.slice(i, i + 5);
        const bytes = target === PatchTarget.item ? native.items[index].spec : native.actions[index].conf;
        expect(offset + (width % 256)).toBeLessThanOrEqual(bytes?.length ?? 0);
        expect(offsets).toContain(argument);
        // Patched bytes are empty in the template.
        expect([...(bytes ?? []).slice(offset, offset + (width % 256))].every((byte) => byte === 0)).toBe(true);
        patches++;
      }
    }
    expect(patches).toBeGreaterThan(200);
  });
  test('have spec and mask of the layouts’ sizes, or neither, and spec within mask', () => {
    const sizes: Partial<Record<ItemType, number>> = {
      [ItemType.representedPort]: 2,
      [ItemType.eth]: 14,
      [ItemType.vlan]: 4,
      [ItemType.ipv4]: 20,
      [ItemType.udp]: 8,
      [ItemType.tcp]: 20,
      [ItemType.icmp]: 8,
      [ItemType.vxlan]: 8,
      [ItemType.integrity]: 2,
    };
    for (const { items } of rules) {
      for (const { type, spec, mask, last } of items) {
        expect(spec === undefined).toBe(mask === undefined);
        if (!spec || !mask) continue;
        expect([spec.length, mask.length, last?.length ?? sizes[type]]).toEqual([
          sizes[type],
          sizes[type],
          sizes[type],
        ]);
        if (type !== ItemType.integrity) expect(spec.every((byte, i) => (byte & ~mask[i]) === 0)).toBe(true);
      }
    }
  });
  test('count before anything changes the frame, and end with their only fate', () => {
    const fates: ActionType[] = [
      ActionType.representedPort,
      ActionType.portRepresentor,
      ActionType.jump,
      ActionType.drop,
    ];
    for (const { actions, items } of rules) {
      expect(items[0].type).toBe(ItemType.representedPort);
      const types = actions.map(({ type }) => type);
      if (types.includes(ActionType.count)) expect(types[0]).toBe(ActionType.count);
      expect(types.filter((type) => fates.includes(type))).toEqual([types.at(-1)]);
    }
  });
  test('the encapsulation header has DF, TTL 64, TOS 0, the I flag and no lengths', () => {
    const reverse = sampleShapes().find(
      ({ direction, protocol }) => direction === 'vpc-to-external, reverse' && protocol === 'udp',
    );
    if (!reverse) throw new Error('no such shape');
    const rule = compiled(reverse.list, 'softflow', DEFAULT_CONTEXT);
    const header = rule.actions.find(({ type }) => type === ActionType.vxlanEncap)?.conf ?? new Uint8Array();
    expect(Buffer.from(header).toString('hex')).toBe(
      `${'000000000000' + '02000000f001'}0800` +
        '4500' +
        '0000' +
        '0000' +
        '4000' +
        '4011' +
        '0000' +
        'ac1e0001' +
        '00000000' +
        '0000' +
        '12b5' +
        '0000' +
        '0000' +
        '08000000' +
        '00000000',
    );
  });
});
