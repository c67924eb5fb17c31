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
    return Math.max(Atomics.load(this.words, PEAK), this.wanted);
  }

  override take(rules: number, limit: number): boolean {
    const { words } = this;
    // Read as any word, which costs a tenth: when it is another by now, the exchange says so.
    let count = words[COUNT];
    if (count + rules > limit) count = Atomics.load(words, COUNT);
    while (count + rules <= limit) {
      const seen = Atomics.compareExchange(words, COUNT, count, count + rules);
      if (seen === count) return true;
      count = seen;
    }
    return false;
  }

  /** The most that there ever were are there just before they become fewer: whoever adds need not look. */
  override giveBack(rules: number): void {
    this.raise(Atomics.sub(this.words, COUNT, rules));
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
