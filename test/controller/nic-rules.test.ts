import { pino } from 'pino';
import type { ValidatedConfig } from '../../src/config/types.js';
import { NicRules } from '../../src/controller/nic-rules.js';
import type { Repair, RuleKeeping } from '../../src/controller/rule-keeper.js';
import type { Dataplane } from '../../src/native/binding.js';

const ROWS = 100;
const log = pino({ enabled: false });
/** As AGE carries it. */
const context = (row: number, generation = 1) => (BigInt(generation) << 32n) | BigInt(row);

/** Engines that note what they are asked, and NICs that tell what they are given. */
function several(own: readonly bigint[][], installed: readonly bigint[]) {
  const said: string[] = [];
  const state = { resets: [] as number[], fails: '', reopens: 0, isRunning: true };
  const keepers = own.map((rules, index): RuleKeeping => {
    const note = async (what: string, detail = '') => {
      said.push(`${index} ${what}${detail}`);
      await null;
      if (state.fails === `${index} ${what}`) throw new Error(`shard ${index} has ended`);
    };
    return {
      async ownRules() {
        await note('own');
        return BigUint64Array.from(rules);
      },
      async repair(_port: number, what: Repair, list: BigUint64Array) {
        if (list.length > 0) await note(what, ` ${[...list].filter((_, i) => i % 2 === 0).join(' ')}`);
        return { done: list.length / 2, failed: 0 };
      },
      closePort: () => note('close'),
      async portReopened() {
        await note('reopened');
        return 1;
      },
    };
  });
  const dataplane = {
    installedRules: () => {
      said.push('installed');
      return { next: null, rules: BigUint64Array.from(installed) };
    },
    recoveredPorts: () => [],
    portsToReset: () => state.resets.splice(0),
    reopenPort: () => {
      said.push('reset');
      if (state.reopens-- > 0) throw new Error('refused');
    },
  } as unknown as Dataplane;
  const config = () => ({ ports: [{ index: 0, name: 'fabric' }] }) as unknown as ValidatedConfig;
  const rules = new NicRules({ dataplane, keepers, rowsOfEach: ROWS, config, isRunning: () => state.isRunning, log });
  return { rules, said, state };
}

test('each rule is judged by the engine of its row, those of nobody by the first; stale ones of all go before any is made', async () => {
  const { rules, said } = several(
    [
      [10n, context(1), 11n, 0n],
      [20n, context(ROWS + 1), 21n, context(ROWS + 2)],
    ],
    [20n, context(ROWS + 1), 90n, context(ROWS + 9), 91n, 0n, 92n, context(5 * ROWS)],
  );
  expect(await rules.reconcile()).toEqual([{ installed: 4, stale: 3, missing: 3, failed: 0 }]);
  expect(said).toEqual([
    '0 own',
    '1 own',
    'installed',
    '0 stale 91 92',
    '1 stale 90',
    '0 missing 10 11',
    '1 missing 21',
  ]);
});

test('a row of one engine is no row of another: the same handle is stale with one and missing with the other', async () => {
  const { rules, said } = several([[10n, context(1)], []], [10n, context(ROWS + 1)]);
  expect(await rules.reconcile()).toEqual([{ installed: 1, stale: 1, missing: 1, failed: 0 }]);
  expect(said.slice(3)).toEqual(['1 stale 10', '0 missing 10']);
});

test('an engine that ends meanwhile is told, and nothing more is done; the next comparison is not kept out', async () => {
  const { rules, said, state } = several(
    [
      [10n, context(1)],
      [20n, context(ROWS + 1)],
    ],
    [90n, context(ROWS + 9)],
  );
  state.fails = '1 stale';
  await expect(rules.reconcile()).rejects.toThrow('shard 1 has ended');
  expect(said.at(-1)).toBe('1 stale 90');
  state.fails = '';
  expect(await rules.reconcile()).toEqual([{ installed: 1, stale: 1, missing: 2, failed: 0 }]);
});

test('a port is reset once all engines have closed it, again until it works, and they are told', async () => {
  const { rules, said, state } = several([[], []], []);
  state.resets = [0];
  state.reopens = 1;
  await Promise.all([rules.look(0), rules.look(1)]);
  expect(said).toEqual(['0 close', '1 close', 'reset']);
  await rules.look(500);
  expect(said).toHaveLength(3);
  await rules.look(1000);
  expect(said.slice(3)).toEqual(['reset', '0 reopened', '1 reopened']);
  await rules.look(5000);
  expect(said).toHaveLength(6);
});

test('a port that an engine could not close is not reset', async () => {
  const { rules, said, state } = several([[], []], []);
  state.resets = [0];
  state.fails = '1 close';
  await expect(rules.look(0)).rejects.toThrow('shard 1 has ended');
  await rules.look(5000);
  expect(said).toEqual(['0 close', '1 close']);
});

test('what was listed before a port was closed is not repaired afterwards', async () => {
  const { rules, said, state } = several([[10n, context(1)]], [90n, context(9)]);
  const comparing = rules.reconcile();
  state.resets = [0];
  await rules.look(0);
  expect(await comparing).toEqual([{ installed: null, stale: 0, missing: 0, failed: 0 }]);
  expect(said).not.toContain('0 stale 90');
  expect(said).toContain('0 reopened');
});
