import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { ACTION_FIELDS, ITEM_LAYOUTS } from '../../src/compiler/fields';
import { compile, nativeTemplate, staticRules, targetOfDriver, targets } from '../../src/compiler/index';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { ActionType, FlowArguments, ItemType, PatchTarget } from '../../src/native/records';
import { compiled } from './flows';

const folder = join(__dirname, '../../schemas/targets');
const read = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));

describe('target tables', () => {
  const validate = new Ajv2020().compile(read('target.schema.json'));

  test('know software and softflow', () => {
    expect([...targets().keys()]).toEqual(['softflow', 'software']);
    expect(targetOfDriver('net_softflow')?.name).toBe('softflow');
    expect(targetOfDriver('net_null')).toBeNull();
  });
  test('speak of the items, fields and actions that lists have', () => {
    for (const target of targets().values()) {
      expect(Object.keys(target.actions).sort()).toEqual(Object.keys(ACTION_FIELDS).sort());
      for (const [item, { fields }] of Object.entries(target.items)) {
        if (item === 'integrity') continue;
        const known = Object.keys(ITEM_LAYOUTS[item as keyof typeof ITEM_LAYOUTS].fields);
        expect(known).toEqual(expect.arrayContaining(Object.keys(fields)));
      }
    }
  });
  test.each([
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
