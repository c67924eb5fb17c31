/** How many NIC rules sessions have, those that were asked for among them. */
export class RuleCount {
  private count = 0;
  private peak = 0;

  get wanted(): number {
    return this.count;
  }

  /** Most that there ever were at once. */
  get most(): number {
    return this.peak;
  }

  /** @param limit That may be there with these. @returns False: there is no room, and nothing changed. */
  take(rules: number, limit: number): boolean {
    const count = this.count + rules;
    if (count > limit) return false;
    this.count = count;
    if (count > this.peak) this.peak = count;
    return true;
  }

  giveBack(rules: number): void {
    this.count -= rules;
  }
}
