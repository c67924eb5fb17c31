import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Instructions of one flow or packet, by who executes them. */
export const PARTS = ['javascript', 'slowPath', 'softwareNic', 'libraries', 'heapBytes'] as const;
export type Part = (typeof PARTS)[number];
export type Counts = Readonly<Record<Part, number>>;

export interface Baseline {
  /** What the instructions of JavaScript depend on beside the sources. */
  readonly node: string;
  /** What those of the rest do. */
  readonly compiler: string;
  readonly figures: Readonly<Record<string, Counts>>;
}

/**
 * More than this share above the baseline is a fault, and as much below it worth a new baseline. Native code repeats
 * itself to a few in ten thousand; V8 places and inlines a little differently from run to run; which variant of memcpy
 * glibc takes is the CPU's affair. Of a phase's heap a few bytes a flow are the scenario's own loop.
 */
export const TOLERANCE: Counts = {
  javascript: 0.03,
  slowPath: 0.01,
  softwareNic: 0.01,
  libraries: 0.1,
  heapBytes: 0.03,
};
/** Instructions, or bytes, that nobody is asked about. */
const SLACK = 8;

export function baselinePath(root: string): string {
  return join(root, 'bench/instructions.json');
}

export function readBaseline(root: string): Baseline | null {
  const path = baselinePath(root);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Baseline) : null;
}

export function writeBaseline(root: string, baseline: Baseline): void {
  writeFileSync(baselinePath(root), `${JSON.stringify(baseline, null, 2)}\n`);
}

export interface Verdict {
  /** What costs more than it did. */
  readonly worse: readonly string[];
  /** What costs less than the baseline says. */
  readonly better: readonly string[];
  /** What could not be judged here, and why. */
  readonly skipped: readonly string[];
}

/** Compares with the baseline. JavaScript's part counts only under the Node that it was taken with, the rest only from the same compiler. */
export function judge(now: Baseline, then: Baseline): Verdict {
  const worse: string[] = [];
  const better: string[] = [];
  const skipped: string[] = [];
  const sameNode = now.node === then.node;
  const sameCompiler = now.compiler === then.compiler;
  if (!sameNode) skipped.push(`JavaScript: the baseline is of Node ${then.node}, this is ${now.node}`);
  if (!sameCompiler) skipped.push(`native code: the baseline is of ${then.compiler}, this is ${now.compiler}`);
  for (const [name, counts] of Object.entries(now.figures)) {
    const before = then.figures[name];
    if (before === undefined) {
      worse.push(`${name}: has no baseline`);
      continue;
    }
    for (const part of PARTS) {
      const comparable = part === 'javascript' || part === 'heapBytes' ? sameNode : sameCompiler;
      if (!comparable) continue;
      const line = `${name}.${part}: ${before[part]} → ${counts[part]} (${percent(counts[part] / before[part] - 1)})`;
      if (counts[part] > before[part] * (1 + TOLERANCE[part]) + SLACK) worse.push(line);
      else if (counts[part] < before[part] * (1 - TOLERANCE[part]) - SLACK) better.push(line);
    }
  }
  return { worse, better, skipped };
}

function percent(share: number): string {
  return `${share < 0 ? '' : '+'}${(share * 100).toFixed(1)}%`;
}
