import { randomFillSync } from 'node:crypto';

/** xoshiro128** (Blackman, Vigna 2018): small, fast and repeatable; unpredictable as far as its seed is (RFC 6056 section 3.1). */
export class Random {
  private readonly state = new Uint32Array(4);

  /** @param seed Makes the sequence repeatable; null takes one from the system. */
  constructor(seed: number | null) {
    if (seed === null) {
      randomFillSync(this.state);
      if (this.state.every((word) => word === 0)) this.state[0] = 1;
      return;
    }
    // splitmix32 spreads small seeds over the state; it never yields four zeros.
    let word = (seed ^ Math.floor(seed / 0x1_0000_0000)) >>> 0;
    for (let i = 0; i < 4; i++) {
      word = (word + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
      mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
      this.state[i] = mixed ^ (mixed >>> 16);
    }
  }

  /** @returns u32. */
  next(): number {
    return this.word() >>> 0;
  }

  /** @returns i32: an u32 beyond 2^31 is made an object on its way out of a function. */
  private word(): number {
    const s = this.state;
    const product = Math.imul(s[1], 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** @param bound 1..2^32. @returns 0..bound-1, without the bias of a modulo beyond 2^-21. */
  below(bound: number): number {
    return Math.floor(((this.word() >>> 0) / 0x1_0000_0000) * bound);
  }
}
