import { RowPool } from './row-pool.js';
import { TupleIndex } from './tuple-index.js';

const WORDS = 8;
const VPC_AND_SCOPE = 0;
const ADDRESS = 1;
const SESSIONS = 2;
const MAPPINGS = 3;
/** Paired public address, valid while PAIRED_POOL >= 0. */
const PAIRED_ADDRESS = 4;
const PAIRED_POOL = 5;
const REFERENCES = 6;

/**
 * Private hosts that own sessions or mappings, per scope: what is counted per address, and the public address that a
 * host is paired with (RFC 4787 REQ-2). Scope 0 is the outside, scope n+1 VPC n as a destination of peering.
 */
export class HostTable {
  private readonly words: Int32Array;
  private readonly rows: RowPool;
  private readonly index: TupleIndex;

  constructor(capacity: number) {
    this.words = new Int32Array(capacity * WORDS);
    this.rows = new RowPool(capacity);
    this.index = new TupleIndex(
      capacity,
      (row, a, b) =>
        this.words[row * WORDS + VPC_AND_SCOPE] === (a | 0) && this.words[row * WORDS + ADDRESS] === (b | 0),
      (row, index) => index.hash(this.words[row * WORDS + VPC_AND_SCOPE], this.words[row * WORDS + ADDRESS], 0, 0),
    );
  }

  /** @returns Row, or -1. */
  find(vpc: number, scope: number, address: number): number {
    return this.index.find(vpc | (scope << 16), address | 0, 0, 0);
  }

  /** Finds or adds a host and holds it until release(). @returns Row, or -1 when the table is full. */
  hold(vpc: number, scope: number, address: number): number {
    let row = this.find(vpc, scope, address);
    if (row < 0) {
      row = this.rows.take();
      if (row < 0) return -1;
      const base = row * WORDS;
      this.words[base + VPC_AND_SCOPE] = vpc | (scope << 16);
      this.words[base + ADDRESS] = address;
      this.words[base + SESSIONS] = 0;
      this.words[base + MAPPINGS] = 0;
      this.words[base + PAIRED_POOL] = -1;
      this.words[base + REFERENCES] = 0;
      this.index.insert(row);
    }
    this.words[row * WORDS + REFERENCES]++;
    return row;
  }

  release(row: number): void {
    if (--this.words[row * WORDS + REFERENCES] > 0) return;
    this.index.remove(row);
    this.rows.release(row);
  }

  sessions(row: number): number {
    return this.words[row * WORDS + SESSIONS];
  }

  addSessions(row: number, count: number): void {
    this.words[row * WORDS + SESSIONS] += count;
  }

  /** @returns Number of the pool the host is paired in, or -1. */
  pairedPool(row: number): number {
    return this.words[row * WORDS + PAIRED_POOL];
  }

  pairedAddress(row: number): number {
    return this.words[row * WORDS + PAIRED_ADDRESS] >>> 0;
  }

  pair(row: number, pool: number, address: number): void {
    this.words[row * WORDS + PAIRED_POOL] = pool;
    this.words[row * WORDS + PAIRED_ADDRESS] = address;
  }
}
