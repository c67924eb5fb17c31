import { type Command, Option } from 'commander';
import type { Offer } from '../compiler/partial.js';
import type { Release, Target } from '../compiler/target.js';
import type { SampleShape } from './sample-shapes.js';

export function register(program: Command): void {
  program
    .command('targets')
    .description('what each NIC can offload, and what of NAT it cannot, with the reason')
    .argument('[target]', 'one target in full; NAME@22.11 is its table as of DPDK 22.11')
    .option(
      '--probe <device...>',
      'try the table in a device, and say where they differ: net_softflow0,wire=net_null0 or 0000:03:00.0,dv_flow_en=2; a second one is where packets go',
    )
    .addOption(new Option('--format <format>', 'of tables and reports').choices(['text', 'json']).default('text'))
    .action(async (name: string | undefined, options: TargetsOptions, command: Command) => {
      const { targetNamed, targets } = await import('../compiler/target.js');
      const target = name === undefined ? null : targetNamed(name);
      if (name !== undefined && target === null) {
        command.error(`error: unknown target '${name}' (targets: ${[...targets().keys()].join(', ')})`, {
          exitCode: 2,
        });
      }
      if (options.probe !== undefined) await probe(options.probe, name ?? null, options.format);
      else if (options.format === 'json') process.stdout.write(`${JSON.stringify(await asData(target), null, 2)}\n`);
      else process.stdout.write(target === null ? await overview() : await inFull(target));
    });
}

interface TargetsOptions {
  readonly probe?: readonly string[];
  readonly format: 'text' | 'json';
}

/** @throws UserFault Where device and table differ, after the report */
async function probe(devices: readonly string[], target: string | null, format: 'text' | 'json'): Promise<void> {
  const { probeDevices, probeText } = await import('./probe-device.js');
  const report = await probeDevices({ devices, target });
  process.stdout.write(format === 'json' ? `${JSON.stringify(report, null, 2)}\n` : probeText(report));
  if (report.agree === report.tried) return;
  const { UserFault } = await import('./errors.js');
  throw UserFault.of('', `${report.tried - report.agree} of ${report.tried} rules are not as the table says`);
}

async function table(head: readonly string[], rows: readonly (readonly string[])[]): Promise<string> {
  const { default: Table } = await import('cli-table3');
  const made = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) made.push([...row]);
  return `${made.toString()}\n`;
}

/** A line a target: how many of the NAT engine's directions the gateway offloads to it, and what the others lack. */
async function overview(): Promise<string> {
  const { RELEASES, targets } = await import('../compiler/target.js');
  const rows: string[][] = [];
  for (const name of targets().keys()) {
    const cells = [name, targets().get(name)?.title ?? ''];
    for (const release of RELEASES) cells.push(await summary(targets(release).get(name) as Target));
    cells.push(await lacks(targets().get(name) as Target));
    rows.push(cells);
  }
  const head = ['target', 'what', ...RELEASES.map((release: Release) => `DPDK ${release}`), 'why not all'];
  return [
    'NAT directions (UDP, TCP and other protocols; ICMP stays in software) that the gateway puts into a NIC.\n',
    'In part: the NIC could begin them and leave the rest to software; the gateway does not install such rules.\n',
    await table(head, rows),
    'Tables are modelled from source; `sluice targets NAME` cites it for each line, and devices that the table was tried in.\n',
  ].join('');
}

/** For programs: one target with its table, or of each target what it makes of the NAT directions. */
async function asData(target: Target | null): Promise<unknown> {
  const { RELEASES, targets } = await import('../compiler/target.js');
  if (target !== null) {
    const table = Object.entries(target).filter(([key]) => key !== '$schema');
    return { ...Object.fromEntries(table), directions: await directions(target) };
  }
  const all = RELEASES.flatMap((release) => [...targets(release).values()]);
  return Promise.all(
    all.map(async (one) => {
      const { name, title, release } = one;
      return { name, title, release, directions: await directions(one) };
    }),
  );
}

async function directions(target: Target) {
  return (await offers(target)).map(({ shape, offer }) => ({
    direction: shape.direction,
    protocol: shape.protocol,
    offload: offer.kind,
    cost: offer.cost,
    reasons: offer.kind === 'full' ? [] : offer.diagnostics.map(({ code, message, hint }) => ({ code, message, hint })),
  }));
}

/** Of the directions, those whose rules the gateway installs, which are whole ones; those that the NIC could begin in brackets. */
async function summary(target: Target): Promise<string> {
  const verdicts = (await offers(target)).filter(({ shape }) => shape.protocol !== 'icmp');
  const count = (kinds: readonly Offer['kind'][]) => verdicts.filter(({ offer }) => kinds.includes(offer.kind)).length;
  const full = count(['full']);
  if (full === verdicts.length) return 'full';
  const partial = count(['decapsulate', 'classify']);
  const installed = full === 0 ? 'none' : `${full} of ${verdicts.length}`;
  return partial === 0 ? installed : `${installed} (${partial} in part)`;
}

async function lacks(target: Target): Promise<string> {
  const reasons = new Map<string, Set<string>>();
  for (const { shape, offer } of await offers(target)) {
    if (offer.kind === 'full' || shape.protocol === 'icmp') continue;
    for (const { message } of offer.diagnostics) {
      const [, kind, what] = /^\S+ (cannot \w+) (.*)$/.exec(message) ?? [message, message, ''];
      const known = reasons.get(kind) ?? new Set();
      reasons.set(kind, known.add(what.replace(/ from the rule|, so .*|, which .*/, '')));
    }
  }
  const lines = [...reasons].map(([kind, what]) => `${kind} ${[...what].join(', ')}`);
  return lines.map((line) => wrapped(line, 80)).join('\n');
}

/** Lines of at most `width` characters, broken at spaces. */
function wrapped(text: string, width: number): string {
  return text.replace(new RegExp(`(.{1,${width}})(?: |$)`, 'g'), '$1\n').trimEnd();
}

async function inFull(target: Target): Promise<string> {
  const items = Object.entries(target.items).map(([name, { fields, source }]) => {
    const shown = Object.entries(fields).map(([field, forms]) => `${field}: ${forms.join(', ')}`);
    return [name, shown.join('\n') || 'presence', wrapped(source, 60)];
  });
  const actions = Object.entries(target.actions).map(([name, { forms, note, source }]) => {
    return [name, forms.length === 0 ? 'no' : forms.join(', '), wrapped(note ?? '', 50), wrapped(source, 60)];
  });
  const punts = Object.entries(target.punts).map(([name, { means, source }]) => [name, means, wrapped(source, 60)]);
  const shapes = (await offers(target)).map(({ shape, offer }) => {
    const reasons = offer.kind === 'full' ? [] : [...new Set(offer.diagnostics.map(({ message }) => message))];
    const verdict = offer.kind === 'decapsulate' || offer.kind === 'classify' ? `partial: ${offer.kind}` : offer.kind;
    return [shape.direction, shape.protocol, verdict, reasons.map((reason) => wrapped(reason, 80)).join('\n')];
  });
  return [
    `${target.name}: ${target.title}, DPDK ${target.release}. ${await evidence(target)}\n`,
    await table(['rule', 'what', 'source'], rules(target)),
    await table(['item', 'matched by', 'source'], items),
    await table(['action', 'as', 'note', 'source'], actions),
    await table(['kept from NAT rules', 'by', 'source'], punts),
    await table(['NAT direction', 'protocol', 'offload', 'reason'], shapes),
  ].join('\n');
}

/** Where the table comes from: the source alone, or devices that it was tried in. */
async function evidence({ name }: Target): Promise<string> {
  const { citedReports } = await import('../compiler/probe-reports.js');
  const reports = citedReports().filter(({ target }) => target.split('@')[0] === name);
  if (reports.length === 0) return 'Modelled from source: no report of `sluice targets --probe` cites a device.';
  return reports
    .map(({ device, driver, dpdk, tried, agree, file }) => {
      return `Tried in ${device} (${driver}, ${dpdk}): ${agree} of ${tried} rules as the table says (target-reports/${file}).`;
    })
    .join('\n');
}

/** What holds for whole rules. */
function rules(target: Target): string[][] {
  const { api, groups, actionOrder, exclusive, rewriteSets, modifyField, budgets } = target;
  const steps = actionOrder.steps.map((step) => step.join(' | ')).join(', ');
  const calls = [api.sync ? 'synchronous' : '', api.template ? 'template tables' : ''].filter((call) => call !== '');
  const nat = groups.perPort ? `${groups.nat} + port` : String(groups.nat);
  const rows = [
    ['calls', calls.join(', ') || 'none', api.source],
    ['domain', target.domain, groups.source],
    ['groups', `constant rules ${groups.static}, NAT rules ${nat}`, groups.source],
    ['order', `${actionOrder.strict ? 'strict' : 'free'}; emitted: ${steps}, the rest, fate`, actionOrder.source],
  ];
  if (exclusive) {
    rows.push(['not in one rule', exclusive.pairs.map((pair) => pair.join(' with ')).join(', '), exclusive.source]);
  }
  if (rewriteSets) {
    rows.push(['rewritten together', rewriteSets.sets.map((set) => set.join('+')).join(', '), rewriteSets.source]);
  }
  if (modifyField) rows.push(['level of MODIFY_FIELD', String(modifyField.level), modifyField.source]);
  if (budgets) {
    const { source, ...limits } = budgets;
    rows.push([
      'budgets',
      Object.entries(limits)
        .map((limit) => limit.join(' '))
        .join(', '),
      source,
    ]);
  }
  return rows.map(([rule, what, source]) => [rule, wrapped(what, 60), wrapped(source, 60)]);
}

interface Verdict {
  readonly shape: SampleShape;
  readonly offer: Offer;
}

/** What the target offers for every direction, with MTUs that leave room for VXLAN. */
async function offers(target: Target): Promise<readonly Verdict[]> {
  const { offer } = await import('../compiler/partial.js');
  const { DEFAULT_CONTEXT } = await import('../compiler/parse-list.js');
  const { sampleShapes } = await import('./sample-shapes.js');
  return sampleShapes().map((shape) => ({ shape, offer: offer(shape.list, target, DEFAULT_CONTEXT) }));
}
