import { execFile } from 'node:child_process';

/**
 * Runs the operator's program for a change of state and waits for it, up to a time.
 *
 * @returns Null, or what went wrong: the failover goes on all the same.
 */
export function runHook(
  hook: { readonly command: string; readonly timeoutMs: number },
  words: readonly string[],
): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(hook.command, [...words], { timeout: hook.timeoutMs }, (error, _stdout, stderr) => {
      if (error === null) resolve(null);
      else if (error.killed === true) resolve(`${hook.command}: took longer than ${hook.timeoutMs} ms`);
      else resolve(`${hook.command}: ${stderr.trim() || error.message}`);
    });
  });
}
