import { existsSync } from 'node:fs';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { offer } from '../../src/compiler/partial';
import { printTestpmd } from '../../src/compiler/print-testpmd';
import { singleActions } from '../../src/compiler/single-actions';
import { staticRulesFor } from '../../src/compiler/static-rules';
import { type Target, targets } from '../../src/compiler/target';
import type { RuleTemplate } from '../../src/compiler/template';
import { rowOf } from './flows';
import { expectGolden } from './golden';
import { EXAMPLE, softflow, testpmd, testpmdOutput, times } from './testpmd';

const nics = [...targets().values()].filter(({ kind, name }) => kind === 'nic' && name !== 'softflow');
const ROW = rowOf(EXAMPLE);
/** Each softflow port takes its own ethdev, then its wire's. */
const PORT_IDS = [0, 2];
const lines = (rule: RuleTemplate): string[] => printTestpmd(rule, ROW, PORT_IDS);

/** Every NAT direction: its rule, or what is offered instead, and why it is not full. */
function sections(target: Target): string[][] {
  const constant = staticRulesFor(target, DEFAULT_CONTEXT).flatMap(lines);
  const directions = sampleShapes().map(({ list }) => {
    const offered = offer(list, target, DEFAULT_CONTEXT);
    const rule = offered.kind === 'none' ? [] : lines(offered.template);
    const reasons =
      offered.kind === 'full' ? [] : offered.diagnostics.map(({ code, message }) => `#   ${code}: ${message}`);
    return [`# ${list.name}: ${offered.kind}`, ...new Set(reasons), ...rule];
  });
  return [['# constant rules; the fabric port is ethdev 0, the external one ethdev 2', ...constant], ...directions];
}

describe('goldens: every NAT direction on every NIC, refusals included', () => {
  test.each(nics.map((target) => [target.name, target] as const))('%s', (name, target) => {
    expectGolden(
      `targets/${name}.testpmd`,
      `${sections(target)
        .map((section) => section.join('\n'))
        .join('\n\n')}\n`,
    );
  });
});

const NAT: readonly FlowList[] = sampleShapes()
  .filter(({ protocol }) => protocol !== 'icmp')
  .map(({ list }) => list);
const permissive = targets().get('softflow') as Target;

/** The same list as the software NIC would execute it in the target's domain: what the target has to refuse. */
function unlimited(list: FlowList, target: Target): string[] {
  const free: Target = { ...permissive, domain: target.domain, groups: { ...permissive.groups, nat: 0, static: 1 } };
  const result = compileFor(list, free, DEFAULT_CONTEXT);
  return result.ok ? lines(result.template) : [];
}

(testpmd && existsSync(softflow) ? describe : describe.skip)('Debian’s testpmd on net_softflow', () => {
  test.each(nics.map((target) => [target.name, target] as const))(
    'with the profile of %s takes every golden rule verbatim, and refuses what the compiler refuses',
    (name, target) => {
      const taken: string[] = [];
      const refused: string[] = [];
      const tooLong: string[] = [];
      for (const section of sections(target)) {
        // Rules of one match would collide, as they would in a gateway: each direction is tried alone.
        taken.push(...section.filter((line) => !line.startsWith('#')), 'flow flush 0', 'flow flush 2');
        if (section.some((line) => line.includes('more than a line of testpmd holds'))) tooLong.push(section[0]);
      }
      for (const list of singleActions(target)) {
        // The software NIC itself cannot write a VNI.
        if (list.name === 'set-vni') continue;
        const result = compileFor(list, target, DEFAULT_CONTEXT);
        if (result.ok) taken.push(...lines(result.template), 'flow flush 0', 'flow flush 2');
        else if (list.actions.at(-1)?.type !== 'output') refused.push(...unlimited(list, target));
      }
      for (const list of NAT) {
        if (!compileFor(list, target, DEFAULT_CONTEXT).ok) refused.push(...unlimited(list, target));
      }
      const ports = [0, 1].map((port) => `--vdev=net_softflow${port},wire=net_null${port},profile=${name}`);
      const output = testpmdOutput(['-d', softflow, ...ports], [...taken, ...refused]);
      const rules = (commands: readonly string[]) => commands.filter((line) => line.startsWith('flow create')).length;
      expect({
        created: times(output, /Flow rule #\d+ created/),
        refused: times(output, 'port_flow_complain'),
        misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command/),
      }).toEqual({ created: rules(taken), refused: rules(refused), misunderstood: 0 });
      expect(rules(taken) + rules(refused)).toBeGreaterThan(10);
      // Five MODIFY_FIELDs are more than a line holds; replays under that profile install these rules.
      if (name !== 'mlx5-hws') expect(tooLong).toEqual([]);
    },
  );
});
