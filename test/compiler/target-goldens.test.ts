import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compileFor } from '../../src/compiler/compile';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { offer } from '../../src/compiler/partial';
import { groupsBeside } from '../../src/compiler/passes/chain';
import { printCreates } from '../../src/compiler/print-chain';
import { printTestpmd, TESTPMD_LINE_LENGTH } from '../../src/compiler/print-testpmd';
import { singleActions } from '../../src/compiler/single-actions';
import { staticRulesFor } from '../../src/compiler/static-rules';
import { type Target, targets } from '../../src/compiler/target';
import type { RuleTemplate } from '../../src/compiler/template';
import { rowOf } from './flows';
import { expectGolden, GOLDEN } from './golden';
import { EXAMPLE, softflow, testpmd, testpmdOutput, times } from './testpmd';

const nics = [...targets().values()].filter(({ kind, name }) => kind === 'nic' && name !== 'softflow');
const ROW = rowOf(EXAMPLE);
/** Each softflow port takes its own ethdev, then its wire's. */
const PORT_IDS = [0, 2];
/** Prints rules that are entered beside each other, for testpmd of DPDK 22.11. */
function printer(target: Target): (rule: RuleTemplate) => string[] {
  const nextGroup = groupsBeside([], target);
  return (rule) => printCreates(rule, { lineLength: TESTPMD_LINE_LENGTH, nextGroup, row: ROW, portIds: PORT_IDS });
}

const commandsOf = (section: string): string[] =>
  section.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const rules = (commands: readonly string[]): number => commands.filter((line) => line.startsWith('flow create')).length;

/** Every NAT direction: its rule, or what is offered instead, and why it is not full. */
function sections(target: Target): string[][] {
  const lines = printer(target);
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

test('what a driver of DPDK 22.11 takes by flow create fits a line of its testpmd, each rule as it is', () => {
  let printed = 0;
  for (const target of targets('22.11').values()) {
    if (!target.api.sync) continue;
    const offered = sampleShapes().map(({ list }) => offer(list, target, DEFAULT_CONTEXT));
    const found = offered.flatMap((each) => (each.kind === 'none' ? [] : printTestpmd(each.template, ROW, PORT_IDS)));
    printed += rules(found);
    expect(found.filter((line) => line.length > TESTPMD_LINE_LENGTH)).toEqual([]);
  }
  expect(printed).toBeGreaterThan(200);
});

const NAT: readonly FlowList[] = sampleShapes()
  .filter(({ protocol }) => protocol !== 'icmp')
  .map(({ list }) => list);
const permissive = targets().get('softflow') as Target;

/** The same list as the software NIC would execute it in the target's domain: what the target has to refuse. */
function unlimited(list: FlowList, target: Target): string[] {
  const free: Target = { ...permissive, domain: target.domain, groups: { ...permissive.groups, nat: 0, static: 1 } };
  const result = compileFor(list, free, DEFAULT_CONTEXT);
  return result.ok ? printTestpmd(result.template, ROW, PORT_IDS) : [];
}

let tried = 0;

(testpmd && existsSync(softflow) ? describe : describe.skip)('Debian’s testpmd on net_softflow', () => {
  test.each(nics.map((target) => [target.name, target] as const))(
    'with the profile of %s takes every golden rule verbatim, and refuses what the compiler refuses',
    (name, target) => {
      const flush = ['flow flush 0', 'flow flush 2'];
      // Rules of one match would collide, as they would in a gateway: each direction is tried alone.
      const golden = readFileSync(join(GOLDEN, `targets/${name}.testpmd`), 'utf8')
        .split('\n\n')
        .map(commandsOf);
      const groups = golden.map((section) => [...section, ...flush]);
      const refused: string[] = [];
      for (const list of singleActions(target)) {
        // The software NIC itself cannot write a VNI.
        if (list.name === 'set-vni') continue;
        const result = compileFor(list, target, DEFAULT_CONTEXT);
        if (result.ok) groups.push([...printTestpmd(result.template, ROW, PORT_IDS), ...flush]);
        else if (list.actions.at(-1)?.type !== 'output') refused.push(...unlimited(list, target));
      }
      for (const list of NAT) {
        if (!compileFor(list, target, DEFAULT_CONTEXT).ok) refused.push(...unlimited(list, target));
      }
      const ports = [0, 1].map((port) => `--vdev=net_softflow${port},wire=net_null${port},profile=${name}`);
      const output = testpmdOutput(['-d', softflow, ...ports], [...groups.flat(), ...refused]);
      const taken = groups.flat();
      expect({
        created: times(output, /Flow rule #\d+ created/),
        refused: times(output, 'port_flow_complain'),
        misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command/),
      }).toEqual({ created: rules(taken), refused: rules(refused), misunderstood: 0 });
      expect(rules(taken) + rules(refused)).toBeGreaterThan(10);
      tried += rules(golden.flat());
    },
  );

  test('that was every rule of the goldens: none is a comment, none was left out', () => {
    const golden = nics.flatMap(({ name }) =>
      readFileSync(join(GOLDEN, `targets/${name}.testpmd`), 'utf8').split('\n'),
    );
    expect(golden.filter((line) => /^#.*\bflow (create|queue)\b/.test(line) || line.includes('than a line'))).toEqual(
      [],
    );
    expect(golden.filter((line) => line.length > TESTPMD_LINE_LENGTH)).toEqual([]);
    // A direction that is offered something has a rule or two, all others have none.
    const offered = nics.map(
      (target) => sampleShapes().filter(({ list }) => offer(list, target, DEFAULT_CONTEXT).kind !== 'none').length,
    );
    const constant = nics.map((target) => staticRulesFor(target, DEFAULT_CONTEXT).length);
    const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one);
    const headings = golden.filter((line) => /^# \S+: (full|decapsulate|classify)$/.test(line)).length;
    expect(headings).toBe(sum(offered));
    expect(rules(golden)).toBeGreaterThanOrEqual(sum(offered) + sum(constant));
    expect(tried).toBe(rules(golden));
    // 406 rules; those of mlx5 with hardware steering are chains of two.
    const links = golden.filter((line) => /^flow create \d group 1\d{3} /.test(line)).length;
    expect({ links, rules: rules(golden) - links }).toEqual({ links: 24, rules: 406 });
    expect(golden.filter((line) => line.startsWith('# 2 rules that do what one does'))).toHaveLength(links);
  });
});
