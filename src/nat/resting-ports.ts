/** Ports that were given back and may not be used yet (RFC 6888 REQ-8), in the order of their release. */
export class RestingPorts {
  private port = new Uint16Array(16);
  private until = new Float64Array(16);
  private head = 0;
  private used = 0;

  get count(): number {
    return this.used;
  }

  /** Releases come in the order of time. @param untilSeconds Gateway clock. */
  add(port: number, untilSeconds: number): void {
    if (this.used === this.port.length) this.grow();
    const slot = (this.head + this.used) & (this.port.length - 1);
    this.port[slot] = port;
    this.until[slot] = untilSeconds;
    this.used++;
  }

  /** Whether a port has rested enough. */
  isDue(nowSeconds: number): boolean {
    return this.used > 0 && this.until[this.head] <= nowSeconds;
  }

  /** @returns The port that rests longest. Only while count > 0. */
  takeFirst(): number {
    const port = this.port[this.head];
    this.head = (this.head + 1) & (this.port.length - 1);
    this.used--;
    return port;
  }

  *[Symbol.iterator](): Generator<number> {
    for (let i = 0; i < this.used; i++) yield this.port[(this.head + i) & (this.port.length - 1)];
  }

  private grow(): void {
    const size = this.port.length;
    const ports = new Uint16Array(size * 2);
    const until = new Float64Array(size * 2);
    for (let i = 0; i < size; i++) {
      const from = (this.head + i) & (size - 1);
      ports[i] = this.port[from];
      until[i] = this.until[from];
    }
    this.port = ports;
    this.until = until;
    this.head = 0;
  }
}
