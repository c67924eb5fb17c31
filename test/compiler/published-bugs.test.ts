import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import { nativeTemplate, staticRules } from '../../src/compiler/index';
import type { FlowList, MatchItem } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { type Target, targets } from '../../src/compiler/target';
import type { RuleTemplate } from '../../src/compiler/template';
import { ActionType, ItemType } from '../../src/native/records';

/* Faults that offload compilers and drivers have had in public, by the name of the mistake. */

const named = (name: string) => targets().get(name) as Target;
const executing = ['softflow', 'mlx5-hws', 'mlx5-sws'].map(named);
const full = (target: Target): RuleTemplate[] =>
  sampleShapes().flatMap(({ list }) => {
    const result = compileFor(list, target, DEFAULT_CONTEXT);
    return result.ok ? [result.template] : [];
  });
const types = (rule: RuleTemplate) => rule.actions.map(({ type }) => type);
const DECAP: readonly ActionType[] = [ActionType.vxlanDecap, ActionType.rawDecap];
const ENCAP: readonly ActionType[] = [ActionType.vxlanEncap, ActionType.rawEncap];
const MODIFY: readonly ActionType[] = [
  ActionType.modifyField,
  ActionType.setMacSource,
  ActionType.setMacDestination,
  ActionType.setIpv4Source,
  ActionType.setIpv4Destination,
  ActionType.setTpSource,
  ActionType.setTpDestination,
  ActionType.decTtl,
];

describe('identity without mask: rules of the same values under different masks are taken for one', () => {
  test('they are two', () => {
    const template = (mask: number) => {
      const match: MatchItem[] = [{ type: 'eth' }, { type: 'ipv4', ttl: { value: 0, mask } }];
      const list: FlowList = { name: 'list', ingress: 0, match, actions: [{ type: 'drop' }] };
      const result = compileFor(list, named('softflow'), DEFAULT_CONTEXT);
      if (!result.ok) throw new Error(result.diagnostics[0].message);
      return JSON.stringify(nativeTemplate(result.template));
    };
    const all = [0xfe, 0xff, 0xf0, 0x01].map(template);
    expect(new Set(all).size).toBe(all.length);
    expect(template(0xfe)).toBe(template(0xfe));
  });
});

describe('spec bits outside the mask: the rule is made and never hit', () => {
  test('no rule has any, whatever the list says', () => {
    const u8 = fc.integer({ min: 0, max: 255 });
    const u16 = fc.integer({ min: 0, max: 65535 });
    fc.assert(
      fc.property(
        u8,
        u8,
        u16,
        u16,
        fc.constantFrom(...executing.filter(({ budgets }) => budgets?.matchDwords === undefined)),
        (ttl, ttlMask, word, wordMask, target) => {
          const match: MatchItem[] = [
            { type: 'eth', etherType: { value: word, mask: wordMask } },
            { type: 'ipv4', ttl: { value: ttl, mask: ttlMask }, fragmentOffset: { value: word, mask: wordMask } },
            { type: 'udp', source: { value: word, mask: wordMask } },
          ];
          const list: FlowList = { name: 'list', ingress: 0, match, actions: [{ type: 'drop' }] };
          const result = compileFor(list, target, DEFAULT_CONTEXT);
          if (!result.ok) throw new Error(result.diagnostics[0].message);
          for (const { spec, mask } of result.template.items) {
            spec?.forEach((byte, i) => {
              expect(byte & ~(mask?.[i] ?? 0)).toBe(0);
            });
          }
        },
      ),
    );
  });
  test('nor has a constant rule or one of the NAT engine’s', () => {
    for (const target of executing) {
      for (const { items } of [...staticRules(target.name, DEFAULT_CONTEXT), ...full(target)]) {
        for (const { type, spec, mask } of items) {
          if (type === ItemType.integrity) continue; // its level has no mask
          spec?.forEach((byte, i) => {
            expect(byte & ~(mask?.[i] ?? 0)).toBe(0);
          });
        }
      }
    }
  });
});

describe('SUB compiled as ADD on mlx5 with hardware steering: the TTL grows', () => {
  test('that target gets ADD of 255, and never SUB', () => {
    const rules = full(named('mlx5-hws'));
    expect(rules.length).toBeGreaterThan(10);
    for (const rule of rules) {
      const ttl = rule.actions.filter(({ type, conf }) => type === ActionType.modifyField && conf[4] === 7);
      expect(ttl.map(({ conf }) => [conf[0], conf[1], conf[8]])).toEqual([[1, 8, 0xff]]);
    }
  });
});

describe('level 0 after decapsulation: the field of a header that is gone', () => {
  test('every MODIFY_FIELD says level 1, but for a NIC that takes 0 alone', () => {
    let seen = 0;
    for (const target of executing) {
      for (const { actions } of full(target)) {
        for (const { type, conf } of actions) {
          if (type !== ActionType.modifyField) continue;
          expect(conf[2]).toBe(1);
          seen++;
        }
      }
    }
    expect(seen).toBeGreaterThan(50);
    expect(named('nfp').modifyField?.level).toBe(0);
  });
});

describe('encapsulation before modification: the outer header is translated', () => {
  test('no rewrite follows a push, and none stands before a pop', () => {
    let both = 0;
    for (const target of executing) {
      for (const rule of full(target)) {
        const order = types(rule);
        const push = order.findIndex((type) => ENCAP.includes(type));
        const pop = order.findIndex((type) => DECAP.includes(type));
        order.forEach((type, i) => {
          if (!MODIFY.includes(type)) return;
          if (push >= 0) expect(i).toBeLessThan(push);
          expect(i).toBeGreaterThan(pop);
        });
        if (push >= 0 && pop >= 0) both++;
      }
    }
    expect(both).toBeGreaterThan(10);
  });
});

const updates = join(__dirname, '../../build/native/test/native/rule_update_test');
(existsSync(updates) ? describe : describe.skip)(
  'an update that is a deletion and an insertion: packets in between find no rule',
  () => {
    // The slow path's own code updates rules of net_softflow while another thread has packets of the flow received.
    test.each([
      'an_updated_rule_is_made_before_the_old_one_goes_through_a_flow_queue',
      'an_updated_rule_is_made_before_the_old_one_goes_one_by_one',
      'an_updated_rule_of_two_halves_is_made_before_the_old_one_goes',
      'a_rule_that_is_deleted_and_inserted_leaves_a_gap',
      'a_rule_that_is_replaced_waits_for_the_completion_of_the_new_one',
      'a_full_nic_has_the_old_rule_taken_out_first',
    ])('%s', (name) => {
      const { status, stdout } = spawnSync(updates, [name], { encoding: 'utf8' });
      expect([status, stdout]).toEqual([0, `ok   ${name}\n0 failed\n`]);
    });
  },
);
