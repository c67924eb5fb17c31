import { sampleConfig } from '../../src/cli/sample-shapes';
import { compile } from '../../src/compiler/index';
import { nativeTemplate } from '../../src/compiler/native-template';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';
import type { ValidatedConfig } from '../../src/config/types';
import { natDirections } from '../../src/nat/directions';
import { shapeList, shapeName } from '../../src/nat/shapes';
import { expectGolden } from './golden';

const TAG = 20;
/** All four rewrites between any two sides, and echoes of one direction only: sessions through static bindings have them. */
const FURTHER =
  /^(vpc|peer|outside)-(udp|icmp)-source-sport-destination-dport(-requests|-replies)?-to-(fabric|outside)$/;

function shapes(): number[] {
  const all = new Set<number>(natDirections().map(({ shape }) => shape));
  for (let shape = 0; shape < 1 << 11; shape++) {
    if ((shape & 3) < 3 && FURTHER.test(shapeName(shape))) all.add(shape);
  }
  return [...all];
}

function tagged(config: ValidatedConfig): ValidatedConfig {
  return {
    ...config,
    ports: config.ports.map((port, i) => (i === config.externalPort ? { ...port, vlan: TAG } : port)),
  };
}

const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? '-' : `=${Buffer.from(bytes).toString('hex')}`);

/** Lines of words; read by test/native/row_plan_test.cc. */
function print(shape: number, config: ValidatedConfig): string {
  const context = {
    ...DEFAULT_CONTEXT,
    ports: DEFAULT_CONTEXT.ports.map((port, i) => ({ ...port, vlan: config.ports[i].vlan ?? -1 })),
  };
  const list = shapeList(shape, config);
  const compiled = compile(list, 'software', context);
  if (!compiled.ok) throw new Error(`${list.name}: ${compiled.diagnostics[0].message}`);
  const { group, priority, transfer, items, actions, patches } = nativeTemplate(compiled.template);
  const patchLines: string[] = [];
  for (let i = 0; i < patches.length; i += 5) patchLines.push(`patch ${[...patches.slice(i, i + 5)].join(' ')}`);
  return [
    `template ${list.name}${config.ports[config.externalPort].vlan === null ? '' : '-tagged'}`,
    `attributes ${group} ${priority} ${Number(transfer)}`,
    ...items.map(({ type, spec, mask, last }) => `item ${type} ${hex(spec)} ${hex(mask)} ${hex(last)}`),
    ...actions.map(({ type, conf }) => `action ${type} ${hex(conf)}`),
    ...patchLines,
    'end',
  ].join('\n');
}

test('golden: templates of sessions for the software table, as the native tests read them', () => {
  const config = sampleConfig();
  const plain = shapes().map((shape) => print(shape, config));
  const withTag = shapes()
    .filter((shape) => shapeName(shape).includes('outside'))
    .map((shape) => print(shape, tagged(config)));
  expectGolden('software-templates.txt', `${[...plain, ...withTag].join('\n')}\n`);
});
