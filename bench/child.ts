import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { join } from 'node:path';

/** File descriptor on which a child tells its result: stdout stays for whatever libraries print. */
const RESULT_FD = 3;

/** One run in a process of its own: EAL starts once a process, and no run inherits another's memory. */
export type Part = (options: never) => Promise<unknown>;

export interface ChildOptions {
  /** Flags of Node. */
  readonly flags?: readonly string[];
  /** A program and its arguments, under which Node runs. */
  readonly under?: readonly string[];
}

/**
 * Flags by which V8 writes /tmp/perf-PID.map. They make it open a log too, in the working directory unless told where.
 *
 * @param folder Where the log goes; to be removed by the caller.
 */
export function perfMapFlags(folder: string): readonly string[] {
  return ['--perf-basic-prof', '--no-logfile-per-isolate', `--logfile=${join(folder, 'v8.log')}`];
}

/** Runs one part of a bench in a child. @throws Error with the child's stderr when it fails */
export function runInChild<Result>(
  bench: string,
  part: string,
  options: unknown,
  { flags = [], under = [] }: ChildOptions = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const node = [process.execPath, '--expose-gc', ...flags, process.argv[1]];
    const [program, ...args] = [...under, ...node, '--part', bench, part, JSON.stringify(options)];
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'pipe', 'pipe'] });
    let told = '';
    let said = '';
    child.stdio[RESULT_FD]?.on('data', (chunk) => {
      told += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      said += chunk;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0 && told !== '') resolve(JSON.parse(told) as Result);
      else reject(new Error(`${bench} ${part} ended with ${signal ?? code}:\n${said.slice(-4000)}`));
    });
  });
}

/** In the child. */
export async function answer(part: Part, options: string): Promise<void> {
  try {
    const result = await part(JSON.parse(options) as never);
    writeSync(RESULT_FD, JSON.stringify(result));
  } catch (error) {
    // A gateway that is still open would keep the process for ever.
    writeSync(2, `${error instanceof Error ? error.stack : error}\n`);
    process.exit(1);
  }
}
