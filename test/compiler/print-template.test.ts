import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { printFlowConfigure, printTemplate } from '../../src/compiler/print-template';
import { TESTPMD_LONG_LINE_LENGTH } from '../../src/compiler/print-testpmd';
import { type Target, targets } from '../../src/compiler/target';
import { rowOf } from './flows';
import { expectGolden, GOLDEN } from './golden';
import { EXAMPLE, softflow, testpmd, testpmdOutput, times } from './testpmd';

const ROW = rowOf(EXAMPLE);
const PORT_IDS = [0, 2];

/** Every direction that the target executes, as templates with one row each. */
function sections(target: Target): string[][] {
  const lists: FlowList[] = sampleShapes().map(({ list }) => list);
  return lists.flatMap((list, i) => {
    const result = compileFor(list, target, DEFAULT_CONTEXT);
    return result.ok ? [[`# ${list.name}`, ...printTemplate(result.template, i + 1, ROW, PORT_IDS)]] : [];
  });
}

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
      for (const line of sections(target).flat()) expect(line.length).toBeLessThanOrEqual(TESTPMD_LONG_LINE_LENGTH);
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
      const [output] = testpmdOutput(['-d', softflow, ...ports], commands, 'long-lines').split('Shutting down port');
      expect({
        templates: times(output, /(?:Pattern|Actions) template #\d+ created/),
        tables: times(output, /Template table #\d+ created/),
        rows: times(output, 'pulled 1 operations (0 failed, 1 succeeded)'),
        misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command|port_flow_complain/),
      }).toEqual({ templates: 2 * count, tables: count, rows: count, misunderstood: 0 });
      expect(golden.join('\n')).not.toMatch(/^# flow |than a line/m);
    },
  );
});
