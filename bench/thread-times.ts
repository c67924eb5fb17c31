import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Names that DPDK's versions give an lcore's thread. */
export const LCORE = /^(rte|lcore|dpdk)-worker/;

/** CPU seconds of the threads of this process, by name; those of one name together. */
export function threadSeconds(): Map<string, number> {
  const perSecond = clockTicks();
  const out = new Map<string, number>();
  for (const thread of readdirSync('/proc/self/task')) {
    let stat: string;
    try {
      stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
    } catch {
      continue; // it has ended since
    }
    const { name, seconds } = told(stat, perSecond);
    out.set(name, (out.get(name) ?? 0) + seconds);
  }
  return out;
}

const LOOK_MS = 100;
const QUIET_LOOKS = 3;
const MOST_LOOKS = 600;

/**
 * Waits until the pages of all tables are cleared, which a thread of their own does from the start: as they are in a
 * gateway that was started some seconds ago. Without it a bench that begins at once measures the kernel.
 */
export async function pagesCleared(): Promise<void> {
  let before = -1;
  let quiet = 0;
  for (let look = 0; look < MOST_LOOKS && quiet < QUIET_LOOKS; look++) {
    const now = threadSeconds().get('sluice-pages') ?? 0;
    quiet = now === before ? quiet + 1 : 0;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** CPU seconds of this process's first thread. */
export function mainThreadSeconds(): number {
  return told(readFileSync(`/proc/self/task/${process.pid}/stat`, 'utf8'), clockTicks()).seconds;
}

/** CPU seconds of another process so far; 0 when it has ended. */
export function processSeconds(pid: number): number {
  try {
    return told(readFileSync(`/proc/${pid}/stat`, 'utf8'), clockTicks()).seconds;
  } catch {
    return 0;
  }
}

function told(stat: string, perSecond: number): { readonly name: string; readonly seconds: number } {
  // proc(5): the name is in parentheses and may hold anything; utime and stime are the 14th and 15th fields.
  const close = stat.lastIndexOf(')');
  const fields = stat.slice(close + 2).split(' ');
  const seconds = (Number(fields[11]) + Number(fields[12])) / perSecond;
  return { name: stat.slice(stat.indexOf('(') + 1, close), seconds };
}

let ticks = 0;
/** Clock ticks a second, in which /proc counts. */
function clockTicks(): number {
  if (ticks === 0) ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ticks;
}
