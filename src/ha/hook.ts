import { spawn } from 'node:child_process';

/** Of what the program says, for the check. */
const MOST_SAID = 2000;

/**
 * Runs the operator's program for a change of state and waits for it, up to a time. What it leaves running in the
 * background is not waited for.
 *
 * @returns Null, or what went wrong: the failover goes on all the same.
 */
export function runHook(
  hook: { readonly command: string; readonly timeoutMs: number },
  words: readonly string[],
): Promise<string | null> {
  const { command, timeoutMs } = hook;
  return new Promise((resolve) => {
    let said = '';
    const child = spawn(command, [...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    const end = (fault: string | null) => {
      clearTimeout(timer);
      child.stderr.destroy(); // Whoever it has started may hold the other end for long.
      resolve(fault);
    };
    const timer = setTimeout(() => {
      child.kill();
      end(`${command}: took longer than ${timeoutMs} ms`);
    }, timeoutMs);
    child.stderr.on('data', (part: Buffer) => {
      if (said.length < MOST_SAID) said += part.toString();
    });
    child.on('error', (error) => end(`${command}: ${error.message}`));
    // Not 'close', which waits for everybody who has its standard error; one turn later what it said is here.
    child.on('exit', (code, signal) =>
      setImmediate(() => {
        const how = code === null ? `ended by ${signal}` : `exit ${code}`;
        end(code === 0 ? null : `${command}: ${said.trim() || how}`);
      }),
    );
  });
}
