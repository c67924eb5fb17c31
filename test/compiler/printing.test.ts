import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compile, staticRules } from '../../src/compiler/index';
import { instantiate } from '../../src/compiler/instantiate';
import type { FlowList } from '../../src/compiler/ir';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import { printJson } from '../../src/compiler/print-json';
import { printTestpmd, TESTPMD_LINE_LENGTH } from '../../src/compiler/print-testpmd';
import { argumentValues, CONTEXT, compiled, natList, rowOf, shapes } from './flows';
import { expectGolden, GOLDEN } from './golden';
import type { Arguments } from './reference-interpreter';

/** One flow of the examples: host 10.0.1.5 of a VPC, and whom it talks to. */
const EXAMPLE: Required<Arguments> = {
  matchSourceAddress: 0x0a00_0105,
  matchDestinationAddress: 0xc633_6407,
  matchSourcePort: 40000,
  matchDestinationPort: 53,
  matchVni: 100,
  matchOuterSourceAddress: 0xac1e_0002,
  newSourceAddress: 0xcb00_7110,
  newDestinationAddress: 0x0a00_0209,
  newSourcePort: 1024,
  newDestinationPort: 8080,
  newVni: 200,
  outerDestinationAddress: 0xac1e_000c,
  outerDestinationMac: 0x0200_0000_0012,
  innerDestinationMac: 0x0200_0002_0012,
  outerUdpSourcePort: 50123,
  protocol: 47,
  ageSeconds: 300,
};

function sections(lists: readonly FlowList[], target: string): string {
  return lists
    .map((list) => {
      const result = compile(list, target, DEFAULT_CONTEXT);
      const lines = result.ok
        ? printTestpmd(result.template, rowOf(EXAMPLE))
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
      staticRules('softflow', context).flatMap((rule) => [`# ${rule.name}`, ...printTestpmd(rule)]),
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
    expectGolden(
      'softflow-udp-template.testpmd',
      `${[...printTestpmd(forward), ...printTestpmd(reverse)].join('\n')}\n`,
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
  test('never exceed a line of testpmd, whatever the values', () => {
    let longest = 0;
    fc.assert(
      fc.property(shapes, argumentValues, fc.constantFrom(-1, 4095), (shape, values, vlan) => {
        for (const line of printTestpmd(compiled(natList(shape, vlan), 'software'), rowOf(values))) {
          longest = Math.max(longest, line.length);
          expect(line.length).toBeLessThanOrEqual(TESTPMD_LINE_LENGTH);
        }
      }),
      { numRuns: 2000 },
    );
    expect(longest).toBeGreaterThan(480);
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

const testpmd = spawnSync('sh', ['-c', 'command -v dpdk-testpmd']).status === 0;

(testpmd ? describe : describe.skip)('Debian’s testpmd', () => {
  /** Its answers: a driver without flows refuses what was understood, the parser what was not. */
  function answers(commands: readonly string[]): { understood: number; misunderstood: number } {
    const folder = mkdtempSync(join(homedir(), '.sluice-testpmd-'));
    try {
      const { stdout, stderr } = spawnSync(
        'dpdk-testpmd',
        [
          ...['--no-huge', '-m', '192', '--no-pci', '--no-shconf', '--lcores', '0@0,1@0'],
          ...['--vdev=net_null0', '--vdev=net_null1', '--', '-i', '--total-num-mbufs=2048'],
        ],
        {
          input: [...commands, 'quit', ''].join('\n'),
          env: { ...process.env, XDG_RUNTIME_DIR: folder },
          encoding: 'utf8',
        },
      );
      const output = stdout + stderr;
      return {
        understood: output.split('Function not implemented: Function not implemented').length - 1,
        misunderstood: output.split(/Bad arguments|Command not found|Ambiguous command/).length - 1,
      };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  test('understands every golden line but those of actions that only software has', () => {
    const lines = readdirSync(GOLDEN)
      .filter((name) => name.endsWith('.testpmd') && !name.includes('template'))
      .flatMap((name) => readFileSync(join(GOLDEN, name), 'utf8').split('\n'))
      .filter((line) => line !== '' && !line.includes('set_icmp_ident'));
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
