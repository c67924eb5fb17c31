import { RowPool } from './row-pool.js';
import { LAST_PLACE, ordinaryMemory } from './table-memory.js';
import { TupleIndex, wordsFor } from './tuple-index.js';

/** By its own name: an imported one is looked up anew each time. */
const PLACE = LAST_PLACE;

const WORDS = 7;
const INSIDE_ADDRESS = 0;
/** Inside port (high half), public port (low half). */
const PORTS = 1;
const PUBLIC_ADDRESS = 2;
/** VPC (low half), scope (high half). */
const VPC_AND_SCOPE = 3;
/** Protocol (low 8 bits), Tenure (the rest). */
const PROTOCOL_AND_TENURE = 4;
const SESSIONS = 5;
const HOST = 6;

/** How a mapping holds its public endpoint. */
export const Tenure = {
  /** Found from both ends; owns its port. */
  shared: 0,
  /** Owns its port until its sessions end; new sessions do not find it. */
  retired: 1,
  /** Belongs to one session alone and is found by none other (address-and-port-dependent mapping); owns no port. */
  alone: 2,
} as const;

const { shared: SHARED, retired: RETIRED } = Tenure;

/** Protocols whose mappings own a public port (or identifier). Others share the public address, one session per remote. */
export function hasPorts(protocol: number): boolean {
  return protocol === 6 || protocol === 17 || protocol === 1;
}

function portKey(port: number, protocol: number): number {
  return (port << 8) | protocol;
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

  constructor(capacity: number, memory = ordinaryMemory) {
    const w = memory(capacity * WORDS);
    this.words = w;
    this.rows = new RowPool(capacity);
    this.inside = new TupleIndex(
      capacity,
      (row, a, b, c, d) =>
        w[(row * WORDS + VPC_AND_SCOPE) & PLACE] === (a | 0) &&
        w[(row * WORDS + INSIDE_ADDRESS) & PLACE] === (b | 0) &&
        w[(row * WORDS + PORTS) & PLACE] >>> 16 === c &&
        (w[(row * WORDS + PROTOCOL_AND_TENURE) & PLACE] & 0xff) === d,
      (row) => this.insideHashAt(row),
      capacity,
      memory(wordsFor(capacity)),
    );
    this.outside = new TupleIndex(
      capacity,
      (row, a, b, c, d) =>
        w[(row * WORDS + VPC_AND_SCOPE) & PLACE] >>> 16 === a &&
        w[(row * WORDS + PUBLIC_ADDRESS) & PLACE] === (b | 0) &&
        (w[(row * WORDS + PORTS) & PLACE] & 0xffff) === c &&
        (w[(row * WORDS + PROTOCOL_AND_TENURE) & PLACE] & 0xff) === d,
      (row) => this.publicHashAt(row),
      capacity,
      memory(wordsFor(capacity)),
    );
  }

  get count(): number {
    return this.rows.inUse;
  }

  /** Hash of an internal endpoint, for byInside(), touchInside() and insert(). */
  insideHash(vpc: number, scope: number, protocol: number, address: number, port: number): number {
    return this.inside.hash3(vpc | (scope << 16), address | 0, portKey(port, protocol));
  }

  /** Asks for the memory that byInside() will look at first. @returns Something of it, which the caller must use. */
  touchInside(insideHash: number): number {
    return this.inside.touch(insideHash);
  }

  /** Where byInside() will look first. */
  placeOfInside(insideHash: number): number {
    return this.inside.placeOf(insideHash);
  }

  /** touchInside() for several. @param places placeOfInside() their hashes. */
  touchAllInside(places: Int32Array, count: number): number {
    return this.inside.touchAll(places, count);
  }

  /** The same as touchInside() for byPublic(). */
  touchPublic(scope: number, protocol: number, address: number, port: number): number {
    return this.touchOutside(this.publicHash(scope, protocol, address, port));
  }

  touchOutside(publicHash: number): number {
    return this.outside.touch(publicHash);
  }

  /** Hash of a public endpoint, for byPublic(), touchOutside() and insert(). */
  publicHash(scope: number, protocol: number, address: number, port: number): number {
    return this.outside.hash3(scope, address | 0, portKey(port, protocol));
  }

  /** @param insideHash insideHash() of the rest. @returns Row of the mapping of an internal endpoint, or -1. */
  byInside(
    vpc: number,
    scope: number,
    protocol: number,
    address: number,
    port: number,
    insideHash = this.insideHash(vpc, scope, protocol, address, port),
  ): number {
    return this.inside.findHashed(insideHash, vpc | (scope << 16), address | 0, port, protocol);
  }

  /** @returns Row of the mapping that owns a public endpoint, or -1. */
  byPublic(
    scope: number,
    protocol: number,
    address: number,
    port: number,
    publicHash = this.publicHash(scope, protocol, address, port),
  ): number {
    return this.outside.findHashed(publicHash, scope, address | 0, port, protocol);
  }

  /**
   * @param tenure     Tenure.shared or Tenure.alone.
   * @param insideHash insideHash() of the internal endpoint; Tenure.alone has no use for it.
   * @param publicHash publicHash() of the external one; the same.
   * @returns Row, with no session yet, or -1 when the table is full.
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
    tenure: number,
    insideHash = this.insideHash(vpc, scope, protocol, insideAddress, insidePort),
    publicHash = this.publicHash(scope, protocol, publicAddress, publicPort),
  ): number {
    const row = this.rows.take();
    if (row < 0) return -1;
    const { words } = this;
    const base = (row * WORDS) & PLACE;
    words[base + INSIDE_ADDRESS] = insideAddress | 0;
    words[base + PORTS] = (insidePort << 16) | publicPort;
    words[base + PUBLIC_ADDRESS] = publicAddress | 0;
    words[base + VPC_AND_SCOPE] = vpc | (scope << 16);
    words[base + PROTOCOL_AND_TENURE] = protocol | (tenure << 8);
    words[base + SESSIONS] = 0;
    words[base + HOST] = host | 0;
    if (tenure === SHARED) {
      this.inside.insertHashed(insideHash, row);
      // Its bucket was not known before the port: nobody has asked for it.
      if (hasPorts(protocol)) this.outside.deferHashed(publicHash, row);
    }
    return row;
  }

  remove(row: number): void {
    this.retire(row);
    this.rows.release(row);
  }

  /** From now on no new session finds the mapping; those that use it go on. */
  retire(row: number): void {
    const { words } = this;
    const at = (row * WORDS + PROTOCOL_AND_TENURE) & PLACE;
    const protocol = words[at] & 0xff;
    if (words[at] >>> 8 !== SHARED) return;
    this.inside.deferRemoval(this.insideHashAt(row), row);
    if (hasPorts(protocol)) this.outside.deferRemoval(this.publicHashAt(row), row);
    words[at] = protocol | (RETIRED << 8);
  }

  private insideHashAt(row: number): number {
    const { words } = this;
    const base = (row * WORDS) & PLACE;
    const key = portKey(words[base + PORTS] >>> 16, words[base + PROTOCOL_AND_TENURE] & 0xff);
    return this.inside.hash3(words[base + VPC_AND_SCOPE], words[base + INSIDE_ADDRESS], key);
  }

  private publicHashAt(row: number): number {
    const { words } = this;
    const base = (row * WORDS) & PLACE;
    const key = portKey(words[base + PORTS] & 0xffff, words[base + PROTOCOL_AND_TENURE] & 0xff);
    return this.outside.hash3(words[base + VPC_AND_SCOPE] >>> 16, words[base + PUBLIC_ADDRESS], key);
  }

  /** Its public endpoint is another mapping's now: nobody finds it, and with its sessions nothing goes back to a pool. */
  disown(row: number): void {
    this.retire(row);
    this.words[(row * WORDS + PROTOCOL_AND_TENURE) & PLACE] = this.protocol(row) | (Tenure.alone << 8);
  }

  /** The configuration offers a retired mapping again: new sessions find it, unless its ends have been given to others. */
  revive(row: number): void {
    const protocol = this.protocol(row);
    if (this.tenure(row) !== Tenure.retired) return;
    const inside = this.byInside(
      this.vpc(row),
      this.scope(row),
      protocol,
      this.insideAddress(row),
      this.insidePort(row),
    );
    const outside = this.byPublic(this.scope(row), protocol, this.publicAddress(row), this.publicPort(row));
    if (inside >= 0 || outside >= 0) return;
    this.inside.insert(row);
    if (hasPorts(protocol)) this.outside.insert(row);
    this.words[(row * WORDS + PROTOCOL_AND_TENURE) & PLACE] = protocol | (Tenure.shared << 8);
  }

  /** Whether the public port goes back to its pool when the mapping ends. */
  ownsPort(row: number): boolean {
    return this.tenure(row) !== Tenure.alone && hasPorts(this.protocol(row));
  }

  /** Mappings that sessions use. */
  *rowsInUse(): Generator<number> {
    for (let row = 0; row < this.rows.highWater; row++) if (this.words[(row * WORDS + SESSIONS) & PLACE] > 0) yield row;
  }

  /** @returns Sessions that use the mapping. */
  sessions(row: number): number {
    return this.words[(row * WORDS + SESSIONS) & PLACE];
  }

  /** @returns Sessions that use the mapping, after adding `count`. */
  addSessions(row: number, count: number): number {
    const { words } = this;
    const at = (row * WORDS + SESSIONS) & PLACE;
    const sessions = words[at] + count;
    words[at] = sessions;
    return sessions;
  }

  vpc(row: number): number {
    return this.words[(row * WORDS + VPC_AND_SCOPE) & PLACE] & 0xffff;
  }

  scope(row: number): number {
    return this.words[(row * WORDS + VPC_AND_SCOPE) & PLACE] >>> 16;
  }

  protocol(row: number): number {
    return this.words[(row * WORDS + PROTOCOL_AND_TENURE) & PLACE] & 0xff;
  }

  insideAddress(row: number): number {
    return this.words[(row * WORDS + INSIDE_ADDRESS) & PLACE] >>> 0;
  }

  insidePort(row: number): number {
    return this.words[(row * WORDS + PORTS) & PLACE] >>> 16;
  }

  publicAddress(row: number): number {
    return this.words[(row * WORDS + PUBLIC_ADDRESS) & PLACE] >>> 0;
  }

  publicPort(row: number): number {
    return this.words[(row * WORDS + PORTS) & PLACE] & 0xffff;
  }

  host(row: number): number {
    return this.words[(row * WORDS + HOST) & PLACE];
  }

  /** One of Tenure. */
  tenure(row: number): number {
    return this.words[(row * WORDS + PROTOCOL_AND_TENURE) & PLACE] >>> 8;
  }
}
