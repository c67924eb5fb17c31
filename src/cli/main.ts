import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../config/package-root.js';
import { formatFault, UserFault } from './errors.js';

interface CommandModule {
  register(program: Command): void;
}

/**
 * What registers each sub-command, in the order of the help. Only the one that is called is loaded, and it imports what
 * it runs on inside its action, so that `check` never loads the addon and a list's first line comes soon: `import()` is
 * compiled to a call of `require` too, for Node's loader of ECMAScript modules takes a third of its own start again.
 */
const COMMANDS: Readonly<Record<string, () => CommandModule>> = {
  gateway: () => require('./gateway.js'),
  standby: () => require('./standby.js'),
  ha: () => require('./ha.js'),
  replay: () => require('./replay.js'),
  flows: () => require('./flows.js'),
  trace: () => require('./trace.js'),
  who: () => require('./who.js'),
  drops: () => require('./drops.js'),
  capture: () => require('./capture.js'),
  reconcile: () => require('./reconcile.js'),
  check: () => require('./check.js'),
  compile: () => require('./compile.js'),
  targets: () => require('./targets.js'),
  completion: () => require('./completion.js'),
};
/** What is made of all of them. */
const NEEDS_ALL = new Set(['completion']);

const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

/**
 * Runs one command line.
 *
 * @param argv Arguments after the program's name.
 * @returns The exit code: 0 success, 1 refused input or failure, 2 usage error. Never throws.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const [named] = argv;
  const program = createProgram(Object.hasOwn(COMMANDS, named) && !NEEDS_ALL.has(named) ? [named] : undefined);
  try {
    await program.parseAsync(argv, { from: 'user' });
    // A command that ran but found something wrong has said so and set the exit code.
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    process.stderr.write(`${describeError(error)}\n`);
    return EXIT_REFUSED;
  }
}

/** @param names Commands that it has, none of them run; all of them unless given. */
export function createProgram(names = Object.keys(COMMANDS)): Command {
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as Record<string, string>;
  const program = new Command('sluice')
    .description(manifest.description)
    .version(manifest.version)
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError();
  for (const name of names) COMMANDS[name]().register(program);
  throwInsteadOfExit(program);
  return program;
}

/** Sub-commands inherit exitOverride only when it is set before them, and nested ones are made by their own modules. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}

function describeError(error: unknown): string {
  if (error instanceof UserFault) return error.faults.map(formatFault).join('\n');
  if (!(error instanceof Error)) return String(error);
  // An error with a code comes from the system, Redis or the addon and explains itself; anything else is a bug.
  return 'code' in error ? `${error.message}` : (error.stack ?? error.message);
}

/** A reader that closes the pipe early (`sluice flows | head`) is no error. */
export function ignoreClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}
