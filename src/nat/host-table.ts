import { GrowingIndex } from './growing-index.js';
import { RowPool } from './row-pool.js';

const WORDS = 6;
const VPC_AND_SCOPE = 0;
const ADDRESS = 1;
const SESSIONS = 2;
const REFERENCES = 3;
/** Paired public address, valid while IS_PAIRED. */
const PAIRED_ADDRESS = 4;
const IS_PAIRED = 5;

/** Rows are had in pieces of so many. */
const PIECE_BITS = 12;
const PIECE_MASK = 2 ** PIECE_BITS - 1;

/**
 * Private hosts that own sessions or mappings, per scope: what is counted per address, and the public address that a
 * host is paired with (RFC 4787 REQ-2). Scope 0 is the outside, scope n+1 VPC n as a destination of peering.
 *
 * Each session could bring hosts of its own, and few do: the table grows with the hosts there are, 24-byte rows 4096 at
 * a time, and never shrinks.
 */
export class HostTable {
  private readonly pieces: Int32Array[] = [];
  private readonly rows: RowPool;
  private readonly index: GrowingIndex;

  /** @param capacity Hosts at most. */
  constructor(capacity: number) {
    this.rows = new RowPool(capacity);
    this.index = new GrowingIndex(
      capacity,
      (row, a, b) => {
        const at = (row & PIECE_MASK) * WORDS;
        const w = this.pieces[row >>> PIECE_BITS];
        return w[at + VPC_AND_SCOPE] === (a | 0) && w[at + ADDRESS] === (b | 0);
      },
      (row, index) => index.hash2(this.word(row, VPC_AND_SCOPE), this.word(row, ADDRESS)),
    );
  }

  /** Hash of a host, for placeOf(), find() and hold(). */
  hashOf(vpc: number, scope: number, address: number): number {
    return this.index.hash2(vpc | (scope << 16), address | 0);
  }

  /** Where find() will look first. @param hash hashOf() the host. */
  placeOf(hash: number): number {
    return this.index.placeOf(hash);
  }

  /** Asks for the memory at such places. @returns Something of it, which the caller must use. */
  touchAll(places: Int32Array, count: number): number {
    return this.index.touchAll(places, count);
  }

  /** @param hash hashOf() the rest. @returns Row, or -1. */
  find(vpc: number, scope: number, address: number, hash = this.hashOf(vpc, scope, address)): number {
    return this.index.findHashed(hash, vpc | (scope << 16), address | 0, 0, 0);
  }

  /** Finds or adds a host and holds it until release(). @param hash hashOf() the rest. @returns Row, or -1 when the table is full. */
  hold(vpc: number, scope: number, address: number, hash = this.hashOf(vpc, scope, address)): number {
    const known = this.index.findHashed(hash, vpc | (scope << 16), address | 0, 0, 0);
    if (known >= 0) {
      this.add(known, REFERENCES, 1);
      return known;
    }
    const row = this.rows.take();
    if (row < 0) return -1;
    const piece = row >>> PIECE_BITS;
    if (piece === this.pieces.length) this.pieces.push(new Int32Array(WORDS << PIECE_BITS));
    const at = (row & PIECE_MASK) * WORDS;
    const w = this.pieces[piece];
    w[at + VPC_AND_SCOPE] = vpc | (scope << 16);
    w[at + ADDRESS] = address;
    w[at + SESSIONS] = 0;
    w[at + REFERENCES] = 1;
    w[at + IS_PAIRED] = 0;
    this.index.insertHashed(hash, row);
    return row;
  }

  /** Holds a host that is held already, once more. */
  holdAgain(row: number): void {
    this.add(row, REFERENCES, 1);
  }

  release(row: number): void {
    if (this.add(row, REFERENCES, -1) === 0) this.free(row);
  }

  /** join() is over. */
  leave(row: number): void {
    const w = this.pieces[row >>> PIECE_BITS];
    const at = (row & PIECE_MASK) * WORDS;
    w[at + SESSIONS]--;
    const references = w[at + REFERENCES] - 1;
    w[at + REFERENCES] = references;
    if (references === 0) this.free(row);
  }

  private free(row: number): void {
    this.index.remove(row);
    this.rows.release(row);
  }

  sessions(row: number): number {
    return this.word(row, SESSIONS);
  }

  addSessions(row: number, count: number): void {
    this.add(row, SESSIONS, count);
  }

  /** A session more of a host that is held already: holds it once more. */
  join(row: number): void {
    const w = this.pieces[row >>> PIECE_BITS];
    const at = (row & PIECE_MASK) * WORDS;
    w[at + SESSIONS]++;
    w[at + REFERENCES]++;
  }

  /** Whether the host has a public address of its scope. */
  isPaired(row: number): boolean {
    return this.word(row, IS_PAIRED) !== 0;
  }

  pairedAddress(row: number): number {
    return this.word(row, PAIRED_ADDRESS) >>> 0;
  }

  pair(row: number, address: number): void {
    const at = (row & PIECE_MASK) * WORDS;
    const w = this.pieces[row >>> PIECE_BITS];
    w[at + IS_PAIRED] = 1;
    w[at + PAIRED_ADDRESS] = address;
  }

  unpair(row: number): void {
    this.pieces[row >>> PIECE_BITS][(row & PIECE_MASK) * WORDS + IS_PAIRED] = 0;
  }

  private word(row: number, field: number): number {
    return this.pieces[row >>> PIECE_BITS][(row & PIECE_MASK) * WORDS + field];
  }

  /** @returns The field after adding `count`. */
  private add(row: number, field: number, count: number): number {
    const w = this.pieces[row >>> PIECE_BITS];
    const at = (row & PIECE_MASK) * WORDS + field;
    w[at] += count;
    return w[at];
  }
}
