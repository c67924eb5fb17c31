import { RowPool } from './row-pool.js';
import { TupleIndex } from './tuple-index.js';

const WORDS = 7;
const INSIDE_ADDRESS = 0;
/** Inside port (high half), public port (low half). */
const PORTS = 1;
const PUBLIC_ADDRESS = 2;
/** VPC (low half), scope (high half). */
const VPC_AND_SCOPE = 3;
/** Protocol (low 8 bits), number of the pool + 1 (the rest). */
const PROTOCOL_AND_POOL = 4;
const SESSIONS = 5;
const HOST = 6;

export const NO_POOL = -1;
/** Pool numbers have 24 bits. */
const LAST_POOL = 0xff_fffe;

/** Protocols whose mappings own a public port (or identifier). Others share the public address, one session per remote. */
export function hasPorts(protocol: number): boolean {
  return protocol === 6 || protocol === 17 || protocol === 1;
}

/**
 * Dynamic mappings: an internal endpoint with the external one that stands for it, whatever the remote (RFC 4787
 * REQ-1). A mapping lives as long as a session uses it. Scope 0 is the outside, scope n+1 VPC n as a destination.
 * A 28-byte row and two index entries a mapping.
 */
export class MappingTable {
  private readonly words: Int32Array;
  private readonly rows: RowPool;
  private readonly inside: TupleIndex;
  private readonly outside: TupleIndex;

  constructor(capacity: number) {
    const w = new Int32Array(capacity * WORDS);
    this.words = w;
    this.rows = new RowPool(capacity);
    this.inside = new TupleIndex(
      capacity,
      (row, a, b, c, d) =>
        w[row * WORDS + VPC_AND_SCOPE] === (a | 0) &&
        w[row * WORDS + INSIDE_ADDRESS] === (b | 0) &&
        w[row * WORDS + PORTS] >>> 16 === c &&
        (w[row * WORDS + PROTOCOL_AND_POOL] & 0xff) === d,
      (row, index) =>
        index.hash(
          w[row * WORDS + VPC_AND_SCOPE],
          w[row * WORDS + INSIDE_ADDRESS],
          w[row * WORDS + PORTS] >>> 16,
          w[row * WORDS + PROTOCOL_AND_POOL] & 0xff,
        ),
    );
    this.outside = new TupleIndex(
      capacity,
      (row, a, b, c, d) =>
        w[row * WORDS + VPC_AND_SCOPE] >>> 16 === a &&
        w[row * WORDS + PUBLIC_ADDRESS] === (b | 0) &&
        (w[row * WORDS + PORTS] & 0xffff) === c &&
        (w[row * WORDS + PROTOCOL_AND_POOL] & 0xff) === d,
      (row, index) =>
        index.hash(
          w[row * WORDS + VPC_AND_SCOPE] >>> 16,
          w[row * WORDS + PUBLIC_ADDRESS],
          w[row * WORDS + PORTS] & 0xffff,
          w[row * WORDS + PROTOCOL_AND_POOL] & 0xff,
        ),
    );
  }

  get count(): number {
    return this.rows.inUse;
  }

  /** @returns Row of the mapping of an internal endpoint, or -1. */
  byInside(vpc: number, scope: number, protocol: number, address: number, port: number): number {
    return this.inside.find(vpc | (scope << 16), address | 0, port, protocol);
  }

  /** @returns Row of the mapping that owns a public endpoint, or -1. */
  byPublic(scope: number, protocol: number, address: number, port: number): number {
    return this.outside.find(scope, address | 0, port, protocol);
  }

  /**
   * @param pool Number of the pool that the port goes back to; NO_POOL: the mapping belongs to one session alone (address-
   *   and-port-dependent mapping) and is found by none other.
   * @returns Row, with no session yet, or -1 when the table is full or the pool's number beyond 2^24 - 2.
   */
  insert(
    vpc: number,
    scope: number,
    protocol: number,
    insideAddress: number,
    insidePort: number,
    publicAddress: number,
    publicPort: number,
    host: number,
    pool: number,
  ): number {
    const row = pool <= LAST_POOL ? this.rows.take() : -1;
    if (row < 0) return -1;
    const base = row * WORDS;
    this.words[base + INSIDE_ADDRESS] = insideAddress;
    this.words[base + PORTS] = (insidePort << 16) | publicPort;
    this.words[base + PUBLIC_ADDRESS] = publicAddress;
    this.words[base + VPC_AND_SCOPE] = vpc | (scope << 16);
    this.words[base + PROTOCOL_AND_POOL] = protocol | ((pool + 1) << 8);
    this.words[base + SESSIONS] = 0;
    this.words[base + HOST] = host;
    if (pool !== NO_POOL) {
      this.inside.insert(row);
      if (hasPorts(protocol)) this.outside.insert(row);
    }
    return row;
  }

  remove(row: number): void {
    if (this.pool(row) !== NO_POOL) {
      this.inside.remove(row);
      if (hasPorts(this.protocol(row))) this.outside.remove(row);
    }
    this.rows.release(row);
  }

  /** @returns Sessions that use the mapping, after adding `count`. */
  addSessions(row: number, count: number): number {
    this.words[row * WORDS + SESSIONS] += count;
    return this.words[row * WORDS + SESSIONS];
  }

  vpc(row: number): number {
    return this.words[row * WORDS + VPC_AND_SCOPE] & 0xffff;
  }

  scope(row: number): number {
    return this.words[row * WORDS + VPC_AND_SCOPE] >>> 16;
  }

  protocol(row: number): number {
    return this.words[row * WORDS + PROTOCOL_AND_POOL] & 0xff;
  }

  insideAddress(row: number): number {
    return this.words[row * WORDS + INSIDE_ADDRESS] >>> 0;
  }

  insidePort(row: number): number {
    return this.words[row * WORDS + PORTS] >>> 16;
  }

  publicAddress(row: number): number {
    return this.words[row * WORDS + PUBLIC_ADDRESS] >>> 0;
  }

  publicPort(row: number): number {
    return this.words[row * WORDS + PORTS] & 0xffff;
  }

  host(row: number): number {
    return this.words[row * WORDS + HOST];
  }

  pool(row: number): number {
    return (this.words[row * WORDS + PROTOCOL_AND_POOL] >>> 8) - 1;
  }
}
