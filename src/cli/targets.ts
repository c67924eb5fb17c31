import type { Command } from 'commander';
import type { Target } from '../compiler/target.js';
import type { SampleShape } from './sample-shapes.js';

export function register(program: Command): void {
  program
    .command('targets')
    .description('what each NIC can offload, and what of NAT it cannot, with the reason')
    .argument('[target]', 'one target in full')
    .action(async (name: string | undefined, _options: object, command: Command) => {
      const { targets } = await import('../compiler/target.js');
      const known = targets();
      if (name === undefined) {
        process.stdout.write(await overview([...known.values()]));
        return;
      }
      const target = known.get(name);
      if (target) process.stdout.write(await inFull(target));
      else command.error(`error: unknown target '${name}' (targets: ${[...known.keys()].join(', ')})`, { exitCode: 2 });
    });
}

async function table(head: readonly string[], rows: readonly (readonly string[])[]): Promise<string> {
  const { default: Table } = await import('cli-table3');
  const made = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) made.push([...row]);
  return `${made.toString()}\n`;
}

async function overview(all: readonly Target[]): Promise<string> {
  const summary = all.map((target) => [target.name, target.title, target.drivers.join(', ') || '—']);
  const shapes = await Promise.all(all.map((target) => offloads(target)));
  const rows = shapes[0].map(({ shape }, i) => [
    shape.direction,
    shape.protocol,
    ...shapes.map((verdicts) => {
      const { codes } = verdicts[i];
      return codes.length === 0 ? 'full' : `none: ${codes.join(', ')}`;
    }),
  ]);
  return [
    await table(['target', 'what', 'drivers'], summary),
    await table(['NAT direction', 'protocol', ...all.map((target) => target.name)], rows),
  ].join('\n');
}

async function inFull(target: Target): Promise<string> {
  const items = Object.entries(target.items).map(([name, { fields, source }]) => {
    const shown = Object.entries(fields).map(([field, forms]) => `${field}: ${forms.join(', ')}`);
    return [name, shown.join('\n') || 'presence', source];
  });
  const actions = Object.entries(target.actions).map(([name, { forms, note, source }]) => {
    return [name, forms.length === 0 ? 'no' : forms.join(', '), note ?? '', source];
  });
  const punts = Object.entries(target.punts).map(([name, { means, source }]) => [name, means, source]);
  const verdicts = await offloads(target);
  const shapes = verdicts.map(({ shape, codes, reasons }) => [
    shape.direction,
    shape.protocol,
    codes.length === 0 ? 'full' : 'none',
    reasons.join('\n'),
  ]);
  const groups = `group ${target.groups.static} constant rules, group ${target.groups.nat} NAT rules`;
  const first = target.actionOrder.first.join(', ');
  return [
    `${target.name}: ${target.title}. ${target.domain} domain, ${groups}. First actions: ${first}.\n`,
    await table(['item', 'matched by', 'source'], items),
    await table(['action', 'as', 'note', 'source'], actions),
    await table(['kept from NAT rules', 'by', 'source'], punts),
    await table(['NAT direction', 'protocol', 'offload', 'reason'], shapes),
  ].join('\n');
}

interface Verdict {
  readonly shape: SampleShape;
  readonly codes: readonly string[];
  readonly reasons: readonly string[];
}

/** Compiles every direction for the target, with MTUs that leave room for VXLAN. */
async function offloads(target: Target): Promise<readonly Verdict[]> {
  const { compileFor } = await import('../compiler/compile.js');
  const { DEFAULT_CONTEXT } = await import('../compiler/parse-list.js');
  const { sampleShapes } = await import('./sample-shapes.js');
  return sampleShapes().map((shape) => {
    const result = compileFor(shape.list, target, DEFAULT_CONTEXT);
    if (result.ok) return { shape, codes: [], reasons: [] };
    const codes = [...new Set(result.diagnostics.map((diagnostic) => diagnostic.code))];
    const reasons = [...new Set(result.diagnostics.map((diagnostic) => diagnostic.message))];
    return { shape, codes, reasons };
  });
}
