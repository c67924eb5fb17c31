/** Refusals between two looks that say that a NIC is full, and not that it had no place for a few rules. */
const REFUSALS_OF_FULL = 32;
const FIRST_STEP = 64;

/**
 * How many rules a NIC takes: what the configuration says, until it refuses more than a few for lack of room. From then
 * on no more than it has, and at each look that finds no refusal some more, twice as many each time: it is asked for
 * what it will not take a few dozen times a look, not once a flow.
 */
export class RoomLimit {
  private learned = Number.POSITIVE_INFINITY;
  private refusals = 0;
  private step = FIRST_STEP;

  /** @param configured offload.maxRules. */
  constructor(private readonly configured: number) {}

  get most(): number {
    return Math.min(this.configured, this.learned);
  }

  /** @param rules That it has, without the one that it refused. */
  refused(rules: number): void {
    if (++this.refusals >= REFUSALS_OF_FULL) this.learned = rules;
  }

  /** Between two walks over the sessions. */
  look(): void {
    if (this.refusals >= REFUSALS_OF_FULL) this.step = FIRST_STEP;
    else if (this.learned < this.configured) {
      this.learned += this.step;
      this.step *= 2;
    }
    this.refusals = 0;
  }
}
