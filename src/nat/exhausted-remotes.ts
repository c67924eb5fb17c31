/** Keys at most; what is beyond them is looked for again. */
const MOST = 4096;

/** Remotes towards which no public endpoint was free, within one second: a flood of misses costs one search and not one each. */
export class ExhaustedRemotes {
  private readonly keys = new Set<string>();
  private second = -1;

  add(key: string, nowSeconds: number): void {
    this.follow(nowSeconds);
    if (this.keys.size < MOST) this.keys.add(key);
  }

  has(key: string, nowSeconds: number): boolean {
    this.follow(nowSeconds);
    return this.keys.size > 0 && this.keys.has(key);
  }

  /** Something came free. */
  clear(): void {
    // To clear an empty Set makes a new table.
    if (this.keys.size > 0) this.keys.clear();
  }

  private follow(nowSeconds: number): void {
    if (nowSeconds === this.second) return;
    this.second = nowSeconds;
    this.clear();
  }
}
