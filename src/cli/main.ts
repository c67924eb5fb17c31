import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../config/package-root.js';
import { register as registerCapture } from './capture.js';
import { register as registerCheck } from './check.js';
import { register as registerCompile } from './compile.js';
import { register as registerCompletion } from './completion.js';
import { register as registerDrops } from './drops.js';
import { formatFault, UserFault } from './errors.js';
import { register as registerFlows } from './flows.js';
import { register as registerGateway } from './gateway.js';
import { register as registerHa } from './ha.js';
import { register as registerReconcile } from './reconcile.js';
import { register as registerReplay } from './replay.js';
import { register as registerStandby } from './standby.js';
import { register as registerTargets } from './targets.js';
import { register as registerTrace } from './trace.js';
import { register as registerWho } from './who.js';

/**
 * What registers each sub-command, in the order of the help. A command imports what it runs on inside its action, so
 * that `check` never loads the addon.
 */
const COMMANDS: readonly ((program: Command) => void)[] = [
  registerGateway,
  registerStandby,
  registerHa,
  registerReplay,
  registerFlows,
  registerTrace,
  registerWho,
  registerDrops,
  registerCapture,
  registerReconcile,
  registerCheck,
  registerCompile,
  registerTargets,
  registerCompletion,
];

const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

/**
 * Runs one command line.
 *
 * @param argv Arguments after the program's name.
 * @returns The exit code: 0 success, 1 refused input or failure, 2 usage error. Never throws.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const program = createProgram();
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

/** All commands, none of them run. */
export function createProgram(): Command {
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as Record<string, string>;
  const program = new Command('sluice')
    .description(manifest.description)
    .version(manifest.version)
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError();
  for (const register of COMMANDS) register(program);
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
