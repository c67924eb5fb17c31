import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compile, staticRules } from '../../src/compiler/index';
import { instantiate } from '../../src/compiler/instantiate';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { groupsBeside } from '../../src/compiler/passes/chain';
import { printCreates } from '../../src/compiler/print-chain';
import { printJson } from '../../src/compiler/print-json';
import { printTestpmd, TESTPMD_LINE_LENGTH, TESTPMD_LONG_LINE_LENGTH } from '../../src/compiler/print-testpmd';
import { type Target, targetNamed } from '../../src/compiler/target';
import { argumentValues, CONTEXT, compiled, natList, rowOf, shapes } from './flows';
import { expectGolden, GOLDEN } from './golden';
import { EXAMPLE, softflow, testpmd, testpmdOutput, times } from './testpmd';

/** Each wire takes a port id after its device: the gateway's ports are 0 and 2. */
const PORT_IDS = [0, 2];

function sections(lists: readonly FlowList[], target: string): string {
  return lists
    .map((list) => {
      const result = compile(list, target, DEFAULT_CONTEXT);
      const lines = result.ok
        ? printTestpmd(result.template, rowOf(EXAMPLE), PORT_IDS)
        : result.diagnostics.map(({ code, itemIndex, actionIndex, message, hint }) => {
            const where =
              itemIndex === undefined
                ? actionIndex === undefined
                  ? ''
                  : ` action ${actionIndex}`
                : ` item ${itemIndex}`;
            return `# refused: ${code}${where}: ${message} (${hint})`;
          });
      return `# ${list.name}\n${lines.join('\n')}\n`;
    })
    .join('\n');
}

describe('goldens: every NAT direction as testpmd commands', () => {
  const targets = ['software', 'softflow'];
  const protocols = ['udp', 'tcp', 'icmp', 'other'];
  test.each(targets.flatMap((target) => protocols.map((protocol) => [target, protocol])))(
    '%s, %s',
    (target, protocol) => {
      const lists = sampleShapes().filter((shape) => shape.protocol === protocol);
      expectGolden(
        `${target}-${protocol}.testpmd`,
        sections(
          lists.map(({ list }) => list),
          target,
        ),
      );
    },
  );
  test('the constant rules of softflow, untagged and tagged', () => {
    const ports = CONTEXT.ports.map((port) => (port.role === 'external' ? { ...port, vlan: 77 } : port));
    const printed = [CONTEXT, { ...CONTEXT, ports }].flatMap((context) =>
      staticRules('softflow', context).flatMap((rule) => [
        `# ${rule.name}`,
        ...printTestpmd(rule, undefined, PORT_IDS),
      ]),
    );
    expectGolden('softflow-static.testpmd', `${printed.join('\n')}\n`);
  });
  test('as a template and as JSON', () => {
    const [forward, reverse] = ['forward', 'reverse'].map((way) => {
      const shape = sampleShapes().find(
        ({ direction, protocol }) => direction === `vpc-to-external, ${way}` && protocol === 'udp',
      );
      return compiled(shape?.list as FlowList, 'softflow', DEFAULT_CONTEXT);
    });
    const nextGroup = groupsBeside([forward, reverse], targetNamed('softflow') as Target);
    expectGolden(
      'softflow-udp-template.testpmd',
      `${[forward, reverse].flatMap((rule) => printCreates(rule, { lineLength: TESTPMD_LINE_LENGTH, nextGroup })).join('\n')}\n`,
    );
    expectGolden(
      'softflow-udp.json',
      `${JSON.stringify([printJson(forward, rowOf(EXAMPLE)), printJson(reverse)], null, 2)}\n`,
    );
  });
  test('writing goldens is refused in CI', () => {
    const before = { ...process.env };
    Object.assign(process.env, { UPDATE_GOLDEN: '1', CI: 'true' });
    try {
      expect(() => expectGolden('never.testpmd', '')).toThrow('refused');
    } finally {
      process.env = before;
    }
  });
});

describe('printed rules', () => {
  const software = targetNamed('software') as Target;
  test('never exceed a line of testpmd, whatever the values; what is longer is a chain, and one rule from DPDK 24.07 on', () => {
    let chains = 0;
    fc.assert(
      fc.property(shapes, argumentValues, fc.constantFrom(-1, 4095), fc.boolean(), (shape, values, vlan, filled) => {
        const rule = compiled(natList(shape, vlan), 'software');
        const printed = (lineLength: number) =>
          printCreates(rule, {
            lineLength,
            nextGroup: groupsBeside([], software),
            ...(filled && { row: rowOf(values) }),
          });
        const now = printed(TESTPMD_LONG_LINE_LENGTH);
        expect(now.filter((line) => line.startsWith('flow create'))).toHaveLength(1);
        const old = printed(TESTPMD_LINE_LENGTH);
        for (const line of old) expect(line.length).toBeLessThanOrEqual(TESTPMD_LINE_LENGTH);
        const links = old.filter((line) => line.startsWith('flow create')).length;
        expect(links > 1).toBe(now.some((line) => line.length > TESTPMD_LINE_LENGTH));
        if (links > 1) chains++;
      }),
      { numRuns: 400 },
    );
    expect(chains).toBeGreaterThan(10);
  });
  test('longer than a line are chains in the order of entry, or as they are with a warning', () => {
    const list = sampleShapes().find(
      ({ list: { name } }) => name === 'vpc-udp-source-sport-destination-to-fabric',
    )?.list;
    const rule = compiled(list as FlowList, 'mlx5-hws', DEFAULT_CONTEXT);
    const target = targetNamed('mlx5-hws') as Target;
    const printed = (lineLength: number, nextGroup = groupsBeside([rule], target)) =>
      printCreates(rule, { lineLength, nextGroup, row: rowOf(EXAMPLE) });
    const old = printed(TESTPMD_LINE_LENGTH);
    expect(old.slice(0, 2).join(' ')).toMatch(/^# 2 rules that do what one does of 907 characters, .* In this order: /);
    expect(old.at(-2)).toMatch(
      /^flow create 0 group 1000 transfer pattern eth \/ ipv4 \/ udp \/ end .* \/ vxlan_encap \/ /,
    );
    expect(old.at(-1)).toMatch(/^flow create 0 group 1 .* \/ vxlan vni is 100 \/ .* \/ jump group 1000 \/ end$/);
    // Rules beside each other have no group in common.
    const beside = groupsBeside([rule], target);
    expect([1, 2].map(() => /group \d+/.exec(printed(TESTPMD_LINE_LENGTH, beside).at(-2) ?? '')?.[0])).toEqual([
      ...['group 1000', 'group 1001'],
    ]);
    const now = printed(TESTPMD_LONG_LINE_LENGTH);
    expect(now.at(-2)).toMatch(/^# \d+ characters: testpmd before DPDK 24.07 holds 512 a line$/);
    expect(now.at(-1)).toMatch(/^flow create 0 group 1 .* \/ end$/);
    // A NIC that cannot jump has no chains: a comment, and nothing is lost in it.
    const cannot = printed(TESTPMD_LINE_LENGTH, null);
    expect(cannot.filter((line) => !/^(#|set vxlan)/.test(line))).toEqual([]);
    const commented = cannot.slice(cannot.findIndex((line) => line.includes('more than a line')) + 1);
    expect(commented.map((line) => line.slice(2)).join(' ')).toBe(now.at(-1));
  });
  test('say the flow’s values where arguments stood, and nothing else changes', () => {
    const rule = compiled(sampleShapes()[0].list, 'softflow', DEFAULT_CONTEXT);
    const [blank] = printTestpmd(rule);
    const [filled] = printTestpmd(rule, rowOf(EXAMPLE));
    expect(blank).toContain('vni is <matchVni>');
    expect(filled).toContain('vni is 100');
    expect(filled).toContain('set_ipv4_src ipv4_addr 203.0.113.16');
    expect(filled).not.toContain('<');
    expect(blank.replace(/<\w+>/g, '').split(' ').length).toBe(filled.split(' ').length);
  });
  test('name the ethdevs that the gateway’s ports are', () => {
    const rule = compiled(sampleShapes()[0].list, 'softflow', DEFAULT_CONTEXT);
    const [line] = printTestpmd(rule, rowOf(EXAMPLE), [4, 2]);
    expect(line).toMatch(/^flow create 4 .*ethdev_port_id is 4 .*ethdev_port_id 2 \/ end$/);
  });
  test('of an instantiated rule are those of the template with its row', () => {
    fc.assert(
      fc.property(shapes, argumentValues, (shape, values) => {
        const rule = compiled(natList(shape), 'software');
        expect(printTestpmd(instantiate(rule, rowOf(values)))).toEqual(printTestpmd(rule, rowOf(values)));
      }),
      { numRuns: 200 },
    );
  });
});

(testpmd ? describe : describe.skip)('Debian’s testpmd', () => {
  /** A driver without flows refuses what was understood, the parser what was not. */
  function answers(commands: readonly string[]): { understood: number; misunderstood: number } {
    const output = testpmdOutput(
      [0, 1, 2].map((port) => `--vdev=net_null${port}`),
      commands,
    );
    return {
      understood: times(output, 'Function not implemented: Function not implemented'),
      misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command/),
    };
  }

  test('understands every golden line but those of actions that only software has', () => {
    const lines = readdirSync(GOLDEN)
      .filter((name) => name.endsWith('.testpmd') && !name.includes('template'))
      .flatMap((name) => readFileSync(join(GOLDEN, name), 'utf8').split('\n'))
      .filter((line) => line !== '' && !line.includes('set_icmp_ident'));
    expect(lines.filter((line) => line.length > TESTPMD_LINE_LENGTH)).toEqual([]);
    const rules = lines.filter((line) => line.startsWith('flow')).length;
    expect(rules).toBeGreaterThan(60);
    expect(answers(lines)).toEqual({ understood: rules, misunderstood: 0 });
  });
  test('does not understand a line that is wrong, or one character too long', () => {
    const rule = 'flow create 0 transfer pattern eth / end actions drop /';
    const padded = (length: number) => `${rule.padEnd(length - 4)} end`;
    expect(answers([padded(TESTPMD_LINE_LENGTH)])).toEqual({ understood: 1, misunderstood: 0 });
    expect(answers([padded(TESTPMD_LINE_LENGTH + 1)])).toEqual({ understood: 0, misunderstood: 1 });
    expect(answers(['flow create 0 transfer pattern ether / end actions drop / end'])).toEqual({
      understood: 0,
      misunderstood: 1,
    });
  });
});

(testpmd && existsSync(softflow) ? describe : describe.skip)('net_softflow in Debian’s testpmd', () => {
  const eal = ['-d', softflow, '--vdev=net_softflow0,wire=net_null0', '--vdev=net_softflow1,wire=net_null1'];
  const answers = (commands: readonly string[]) => {
    const output = testpmdOutput(eal, commands);
    return {
      created: times(output, /Flow rule #\d+ created/),
      refused: times(output, 'port_flow_complain'),
      misunderstood: times(output, /Bad arguments|Command not found|Ambiguous command/),
    };
  };

  test('accepts every golden rule verbatim', () => {
    const golden = ['udp', 'tcp', 'icmp', 'other', 'static'].flatMap((name) =>
      readFileSync(join(GOLDEN, `softflow-${name}.testpmd`), 'utf8').split('\n'),
    );
    // Rules of one match would collide, as they would in a gateway: each list is tried alone, constant rules with and without a tag.
    const commands = golden.flatMap((line) =>
      line.startsWith('#') ? PORT_IDS.map((port) => `flow flush ${port}`) : line === '' ? [] : [line],
    );
    const rules = commands.filter((line) => line.startsWith('flow create')).length;
    expect(rules).toBe(30 + 2 * 19);
    expect(golden.filter((line) => /^# .*flow create/.test(line))).toEqual([]);
    expect(answers(commands)).toEqual({ created: rules, refused: 0, misunderstood: 0 });
  });
  test('refuses a rule that its table says it cannot execute', () => {
    const vni =
      'modify_field op set dst_type vxlan_vni dst_level 0 dst_offset 0 src_type value src_value 000064 width 24';
    const rule = `flow create 0 transfer pattern eth / ipv4 / udp / vxlan / end actions ${vni} / represented_port ethdev_port_id 2 / end`;
    expect(answers([rule])).toEqual({ created: 0, refused: 1, misunderstood: 0 });
  });
});
