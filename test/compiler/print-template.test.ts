import { existsSync } from 'node:fs';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { printFlowConfigure, printTemplate } from '../../src/compiler/print-template';
import { TESTPMD_LINE_LENGTH } from '../../src/compiler/print-testpmd';
import { type Target, targets } from '../../src/compiler/target';
import { rowOf } from './flows';
import { expectGolden } from './golden';
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
      for (const line of sections(target).flat()) expect(line.length).toBeLessThanOrEqual(TESTPMD_LINE_LENGTH);
    });
  },
);

(testpmd && existsSync(softflow) ? describe : describe.skip)('Debian’s testpmd on net_softflow', () => {
  test('makes every template and table, and puts a row into each', () => {
    const target = targets().get('softflow') as Target;
    const ports = [0, 1].map((port) => `--vdev=net_softflow${port},wire=net_null${port}`);
    const all = sections(target);
    expect(all.length).toBe(30);
    // Both addresses, a port and a tunnel both ways: such a row is more than a line of testpmd holds, and is a comment.
    const rules = all.filter((section) => !section.some((line) => line.includes('more than a line')));
    expect(rules.length).toBeGreaterThanOrEqual(24);
    const lines = rules.flat().filter((line) => !line.startsWith('#'));
    // Directions of the same match would collide: each port is configured anew after each direction.
    const commands = rules.flatMap((section) => [
      ...PORT_IDS.flatMap(printFlowConfigure),
      ...section.filter((line) => !line.startsWith('#')),
    ]);
    // At its end testpmd destroys templates that went with their configuration, and complains.
    const [output] = testpmdOutput(['-d', softflow, ...ports], commands).split('Shutting down port');
    expect({
      templates: times(output, /(?:Pattern|Actions) template #\d+ created/),
      tables: times(output, /Template table #\d+ created/),
      rows: times(output, 'pulled 1 operations (0 failed, 1 succeeded)'),
      misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command|port_flow_complain/),
    }).toEqual({ templates: 2 * rules.length, tables: rules.length, rows: rules.length, misunderstood: 0 });
    expect(lines.length).toBeGreaterThan(140);
  });
});
