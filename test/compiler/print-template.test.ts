import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { groupsBeside } from '../../src/compiler/passes/chain';
import { printTemplates } from '../../src/compiler/print-chain';
import { printFlowConfigure } from '../../src/compiler/print-template';
import { TESTPMD_LINE_LENGTH, TESTPMD_LONG_LINE_LENGTH } from '../../src/compiler/print-testpmd';
import { type Target, targets } from '../../src/compiler/target';
import { rowOf } from './flows';
import { expectGolden, GOLDEN } from './golden';
import { EXAMPLE, softflow, testpmd, testpmdOutput, times } from './testpmd';

const ROW = rowOf(EXAMPLE);
const PORT_IDS = [0, 2];

/** Every direction that the target executes, as templates with one row each. */
function sections(target: Target, lineLength = TESTPMD_LINE_LENGTH): string[][] {
  const lists: FlowList[] = sampleShapes().map(({ list }) => list);
  const nextGroup = groupsBeside([], target);
  let id = 0;
  return lists.flatMap((list) => {
    const result = compileFor(list, target, DEFAULT_CONTEXT);
    if (!result.ok) return [];
    const printing = { lineLength, nextGroup, row: ROW, portIds: PORT_IDS };
    return [[`# ${list.name}`, ...printTemplates(result.template, () => ++id, printing)]];
  });
}

const starting = (lines: readonly string[], start: string): number =>
  lines.filter((line) => line.startsWith(start)).length;

const withTemplates = [...targets().values()].filter(
  (target) => target.api.template && sections(target).length > 0 && target.kind === 'nic',
);

test('softflow and mlx5 with hardware steering have template tables and execute NAT', () => {
  expect(withTemplates.map(({ name }) => name)).toEqual(['mlx5-hws', 'softflow']);
});

describe.each(withTemplates.map((target) => [target.name, target] as const))(
  'rules of %s by templates',
  (name, target) => {
    test('golden', () => {
      expectGolden(
        `${name}-templates.testpmd`,
        `${sections(target)
          .map((lines) => lines.join('\n'))
          .join('\n\n')}\n`,
      );
    });

    test('no line is longer than one of testpmd', () => {
      for (const line of sections(target).flat()) expect(line.length).toBeLessThanOrEqual(TESTPMD_LINE_LENGTH);
    });

    test('of DPDK 24.07 and later each direction is one table', () => {
      for (const lines of sections(target, TESTPMD_LONG_LINE_LENGTH)) {
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(TESTPMD_LONG_LINE_LENGTH);
        expect(starting(lines, 'flow template_table')).toBe(1);
      }
    });
  },
);

(testpmd && existsSync(softflow) ? describe : describe.skip)('Debian’s testpmd on net_softflow', () => {
  test.each(withTemplates.map((target) => [target.name, target] as const))(
    'makes every template and table of %s verbatim, and puts a row into each',
    (name, target) => {
      const profile = name === 'softflow' ? '' : `,profile=${name}`;
      const ports = [0, 1].map((port) => `--vdev=net_softflow${port},wire=net_null${port}${profile}`);
      const golden = readFileSync(join(GOLDEN, `${name}-templates.testpmd`), 'utf8').split('\n\n');
      // Directions of the same match would collide: each port is configured anew after each direction.
      const commands = golden.flatMap((section) => [
        ...PORT_IDS.flatMap(printFlowConfigure),
        ...section.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
      ]);
      const count = golden.length;
      expect(count).toBe(sections(target).length);
      expect(count).toBe(name === 'softflow' ? 30 : 24);
      // At its end testpmd destroys templates that went with their configuration, and complains.
      const [output] = testpmdOutput(['-d', softflow, ...ports], commands).split('Shutting down port');
      const tables = starting(commands, 'flow template_table');
      expect(tables).toBe(name === 'softflow' ? 36 : 112);
      expect({
        templates: times(output, /(?:Pattern|Actions) template #\d+ created/),
        tables: times(output, /Template table #\d+ created/),
        rows: times(output, 'pulled 1 operations (0 failed, 1 succeeded)'),
        misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command|port_flow_complain/),
      }).toEqual({ templates: 2 * tables, tables, rows: tables, misunderstood: 0 });
      expect(golden.join('\n')).not.toMatch(/^# flow |than a line/m);
    },
  );
});
