import { RuleCount } from '../rule-count.js';

const COUNT = 0;
const PEAK = 1;

/** @returns What SharedRuleCount counts in. */
export function ruleCountMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
}

/** The NIC rules of all shards' sessions together: nobody ever sees more than the limit. */
export class SharedRuleCount extends RuleCount {
  private readonly words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    super();
    this.words = new Int32Array(memory);
  }

  override get wanted(): number {
    return Atomics.load(this.words, COUNT);
  }

  override get most(): number {
    return Atomics.load(this.words, PEAK);
  }

  override take(rules: number, limit: number): boolean {
    const { words } = this;
    for (let count = Atomics.load(words, COUNT); count + rules <= limit; ) {
      const seen = Atomics.compareExchange(words, COUNT, count, count + rules);
      if (seen === count) {
        this.raise(count + rules);
        return true;
      }
      count = seen;
    }
    return false;
  }

  override giveBack(rules: number): void {
    Atomics.sub(this.words, COUNT, rules);
  }

  private raise(count: number): void {
    const { words } = this;
    for (let peak = Atomics.load(words, PEAK); count > peak; ) {
      const seen = Atomics.compareExchange(words, PEAK, peak, count);
      if (seen === peak) return;
      peak = seen;
    }
  }
}
