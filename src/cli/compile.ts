import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CompileContext, Diagnostic } from '../compiler/index.js';
import type { ParsedList } from '../compiler/parse-list.js';
import type { NextGroup } from '../compiler/passes/chain.js';
import type { Target } from '../compiler/target.js';
import type { RuleTemplate } from '../compiler/template.js';
import { type Fault, UserFault } from './errors.js';

interface CompileOptions {
  readonly target: string;
  readonly format: 'testpmd' | 'template' | 'json';
  readonly static?: boolean;
  readonly trial?: boolean;
  readonly lineLength: number;
}

/** What testpmd of DPDK 22.11 holds, and that of 24.07 and later (print-testpmd.ts; said here, as commands are read before any module). */
const LINE_LENGTH = 512;
const LONG_LINE_LENGTH = 2048;

export function register(program: Command): void {
  program
    .command('compile')
    .description('compile match+action lists to rules of a NIC, or say why not')
    .argument('<file>', 'lists as JSON (schemas/flow-list.schema.json)')
    .requiredOption('--target <name>', 'what to compile for; `sluice targets` lists them')
    .addOption(
      new Option(
        '--format <format>',
        'how to print rules: as testpmd’s flow create, as its templates, tables and queues, or as JSON',
      )
        .choices(['testpmd', 'template', 'json'])
        .default('testpmd'),
    )
    .option('--static', 'print first the constant rules that the others rely on: punts, and the jump to their group')
    .option(
      '--trial',
      'execute each rule on a packet of its flow and on several that just miss it, and compare with its list',
    )
    .addOption(
      new Option(
        '--line-length <characters>',
        `what a line of the testpmd holds that will read the rules: a longer rule is printed as several that do the same; ${LONG_LINE_LENGTH} since DPDK 24.07`,
      )
        .argParser(lineLength)
        .default(LINE_LENGTH),
    )
    .action(async (file: string, options: CompileOptions, command: Command) => {
      const { targetNamed, targets } = await import('../compiler/target.js');
      if (targetNamed(options.target) === null) {
        command.error(`error: unknown target '${options.target}' (targets: ${[...targets().keys()].join(', ')})`, {
          exitCode: 2,
        });
      }
      await run(file, options);
    });
}

/** Accepted lists are printed whatever becomes of the others. @throws UserFault with every diagnostic */
async function run(file: string, options: CompileOptions): Promise<void> {
  const { parseLists } = await import('../compiler/parse-list.js');
  const { compile } = await import('../compiler/compile.js');
  const { staticRules } = await import('../compiler/static-rules.js');

  const parsed = parseLists(read(file));
  if (!parsed.ok) throw new UserFault(parsed.faults.map((fault) => ({ ...fault, path: at(file, fault.path) })));

  const rules: { template: RuleTemplate; row: DataView | null }[] = [];
  const faults: Fault[] = [];
  if (options.static) {
    for (const template of staticRules(options.target, parsed.context)) rules.push({ template, row: null });
  }
  for (const list of parsed.lists) {
    const result = compile(list.list, options.target, parsed.context);
    if (result.ok) {
      rules.push({ template: result.template, row: list.row });
      if (options.trial) faults.push(...(await trial(list, result.template, options.target, parsed.context, file)));
    } else faults.push(...result.diagnostics.map((diagnostic) => faultOf(diagnostic, file, list)));
  }
  await print(rules, options);
  if (faults.length > 0) throw new UserFault(faults);
}

/** Says on stderr what a rule was tried with. @returns Where rule and list differ */
async function trial(
  { list, row, path }: ParsedList,
  template: RuleTemplate,
  name: string,
  context: CompileContext,
  file: string,
): Promise<Fault[]> {
  const { targetNamed } = await import('../compiler/target.js');
  const { tryRule } = await import('../compiler/trial/trial.js');
  const target = targetNamed(name);
  const found = target && tryRule(list, template, target, context, row);
  if (!found) {
    process.stderr.write(`${list.name}: not tried: no packet of such headers is made\n`);
    return [];
  }
  process.stderr.write(`${list.name}: tried with ${found.hits + found.misses} packets, ${found.hits} hit\n`);
  return found.faults.map(({ odd, wanted, got }) => ({
    path: at(file, path),
    message: `${list.name}: ${odd === '' ? 'a packet of the flow' : odd}: ${got}, not ${wanted}`,
    hint: 'the compiler is wrong: please report it with the list',
  }));
}

function lineLength(text: string): number {
  const length = Number(text);
  if (Number.isInteger(length) && length >= LINE_LENGTH && length <= LONG_LINE_LENGTH) return length;
  throw new InvalidArgumentError(`a number from ${LINE_LENGTH} to ${LONG_LINE_LENGTH}`);
}

async function print(rules: readonly { template: RuleTemplate; row: DataView | null }[], options: CompileOptions) {
  const { groupsBeside } = await import('../compiler/passes/chain.js');
  const { printCreates } = await import('../compiler/print-chain.js');
  const { printJson } = await import('../compiler/print-json.js');
  const { targetNamed } = await import('../compiler/target.js');
  if (options.format === 'json') {
    const printed = rules.map(({ template, row }) => printJson(template, row ?? undefined));
    process.stdout.write(`${JSON.stringify({ target: options.target, rules: printed }, null, 2)}\n`);
    return;
  }
  const target = targetNamed(options.target);
  if (target === null) throw new Error(`no target ${options.target}`);
  const nextGroup = groupsBeside(
    rules.map(({ template }) => template),
    target,
  );
  if (options.format === 'template') return printByTemplates(rules, options, target, nextGroup);
  for (const { template, row } of rules) {
    const printed = printCreates(template, { lineLength: options.lineLength, nextGroup, ...(row && { row }) });
    process.stdout.write([`# ${template.name}`, ...printed, ''].join('\n'));
  }
}

/** Rules by templates. Constant rules have ranges, which are not for templates: they are printed one by one. @throws UserFault */
async function printByTemplates(
  rules: readonly { template: RuleTemplate; row: DataView | null }[],
  options: CompileOptions,
  target: Target,
  nextGroup: NextGroup | null,
) {
  const { printCreates, printTemplates } = await import('../compiler/print-chain.js');
  const { printFlowConfigure } = await import('../compiler/print-template.js');
  if (!target.api.template) {
    throw UserFault.of('--format', `${options.target} has no template tables`, 'use --format testpmd');
  }
  let id = 0;
  const ports = [...new Set(rules.map(({ template }) => template.ingress))];
  const lines = ports.flatMap(printFlowConfigure);
  for (const { template, row } of rules) {
    const printing = { lineLength: options.lineLength, nextGroup, ...(row && { row }) };
    const hasRange = template.items.some(({ last }) => last !== undefined);
    const printed = hasRange ? printCreates(template, printing) : printTemplates(template, () => ++id, printing);
    lines.push(`# ${template.name}`, ...printed);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw UserFault.of(
      file,
      `cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`,
      'a JSON file of match+action lists',
    );
  }
}

const at = (file: string, pointer: string): string => (pointer === '' ? file : `${file}#${pointer}`);

function faultOf(diagnostic: Diagnostic, file: string, list: ParsedList): Fault {
  const { code, rule, itemIndex, actionIndex, message, hint } = diagnostic;
  let path = list.path;
  if (itemIndex !== undefined) path += `/match/${itemIndex}`;
  if (actionIndex !== undefined) path += `/actions/${actionIndex}`;
  return { path: at(file, path), message: `${rule}: ${code}: ${message}`, hint };
}
