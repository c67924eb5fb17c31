import { basename } from 'node:path';

/** Instructions of one dump of callgrind. */
export interface Profile {
  /** What the client request that wrote it was named; empty for one at the end of the process. */
  readonly name: string;
  /** Instructions executed in each object file's own code, by base name. */
  readonly objects: ReadonlyMap<string, number>;
  /** The same by function: `object:function`. */
  readonly functions: ReadonlyMap<string, number>;
}

const TRIGGER = 'desc: Trigger: Client Request: ';

/**
 * Reads a profile that callgrind wrote with one event, Ir, and a position of one number.
 * The format: Valgrind's manual, "Callgrind Format Specification". Names are written once, then meant by number.
 */
export function readProfile(text: string): Profile {
  const objects = new Map<string, number>();
  const functions = new Map<string, number>();
  const names = { ob: new Map<string, string>(), fn: new Map<string, string>() };
  let name = '';
  let object = '';
  let key = '';
  let afterCall = false;
  for (const line of text.split('\n')) {
    const first = line.charCodeAt(0);
    if ((first >= 0x30 && first <= 0x39) || first === 0x2b || first === 0x2d || first === 0x2a) {
      // The line after "calls=" is the callee's cost, which its own function has counted.
      if (!afterCall) {
        const cost = Number(line.slice(line.indexOf(' ') + 1));
        objects.set(object, (objects.get(object) ?? 0) + cost);
        functions.set(key, (functions.get(key) ?? 0) + cost);
      }
      afterCall = false;
    } else if (line.startsWith('ob=')) {
      object = basename(named(names.ob, line.slice(3)));
    } else if (line.startsWith('fn=')) {
      key = `${object}:${named(names.fn, line.slice(3))}`;
    } else if (line.startsWith('cob=')) {
      named(names.ob, line.slice(4));
    } else if (line.startsWith('cfn=')) {
      named(names.fn, line.slice(4));
    } else if (line.startsWith('calls=')) {
      afterCall = true;
    } else if (line.startsWith(TRIGGER)) {
      name = line.slice(TRIGGER.length);
    }
  }
  return { name, objects, functions };
}

/** `(3) name` gives 3 its name, `(3)` has it. */
function named(known: Map<string, string>, text: string): string {
  const close = text.indexOf(')');
  const id = text.slice(0, close);
  const name = text.slice(close + 2);
  if (name !== '') known.set(id, name);
  return known.get(id) ?? name;
}

/** Code that V8 made, from the map that `--perf-basic-prof` writes: `START SIZE NAME` a line, hexadecimal. */
export class CodeMap {
  private readonly starts: number[] = [];
  private readonly ends: number[] = [];
  private readonly names: string[] = [];

  constructor(text: string) {
    const entries = new Map<number, { readonly end: number; readonly name: string }>();
    for (const line of text.split('\n')) {
      const match = /^([0-9a-f]+) ([0-9a-f]+) (.*)$/.exec(line);
      if (match === null) continue;
      const start = Number.parseInt(match[1], 16);
      // A place may be used again: what came last is there.
      entries.set(start, { end: start + Number.parseInt(match[2], 16), name: match[3] });
    }
    for (const [start, { end, name }] of [...entries].sort(([a], [b]) => a - b)) {
      this.starts.push(start);
      this.ends.push(end);
      this.names.push(name);
    }
  }

  /** The function whose code is at an address; null for none. */
  at(address: number): string | null {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.starts[middle] <= address) low = middle + 1;
      else high = middle;
    }
    return low > 0 && address < this.ends[low - 1] ? this.names[low - 1] : null;
  }
}
