import type { ConfigFault } from './types.js';

/** @returns The JSON Pointer (RFC 6901) of a path of field names and array indexes. */
export function pointer(path: readonly (string | number)[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** Collects faults, one for each place and message. */
export class FaultList {
  private readonly faults = new Map<string, ConfigFault>();

  add(path: string, message: string, hint: string): void {
    const key = `${path} ${message}`;
    if (!this.faults.has(key)) this.faults.set(key, { path, message, hint });
  }

  all(): readonly ConfigFault[] {
    return [...this.faults.values()];
  }
}

/** @returns `did you mean "x"?` for the nearest of `known`, else the list of them, or `otherwise` when there is none. */
export function suggestion(given: string, known: readonly string[], otherwise = ''): string {
  let nearest = '';
  let least = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const name of known) {
    const distance = editDistance(given.toLowerCase(), name.toLowerCase(), least);
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  if (nearest !== '') return `did you mean "${nearest}"?`;
  if (known.length === 0) return otherwise;
  const shown = known.slice(0, 12).map((name) => `"${name}"`);
  return `known: ${shown.join(', ')}${known.length > shown.length ? ', …' : ''}`;
}

/** Levenshtein distance with neighbouring letters swapped counting as one; `limit` or more is not told apart. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(row[j - 1] + 1, last[j] + 1, last[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
      }
    }
    beforeLast = last;
    last = row;
  }
  return Math.min(limit, last[b.length]);
}
