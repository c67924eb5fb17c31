import { R, RECORD_WORDS } from '../../src/mirror/batch.js';
import { DirtyRows } from '../../src/mirror/dirty-rows.js';
import { MirrorOp, RECORD_OUTSIDE, RECORD_SOURCE_MAPPING } from '../../src/mirror/records.js';
import { type MirrorSource, RefusedReason, type ReplicaSink } from '../../src/mirror/types.js';

/** A session as a test thinks of it: which endpoint it has, and what may change while it lives. */
export interface PlainSession {
  readonly inside: number;
  readonly nat: number;
  readonly remote: number;
  tcpState: number;
}

/** The active gateway's table, as plain as can be. */
export class PlainTable implements MirrorSource {
  readonly dirty: DirtyRows;
  readonly rows: (PlainSession | null)[];
  readonly generations: number[];
  highWater = 0;

  constructor(
    readonly capacity: number,
    shards = 8,
  ) {
    this.dirty = new DirtyRows(capacity, shards);
    this.rows = Array.from({ length: capacity }, () => null);
    this.generations = Array.from({ length: capacity }, () => 0);
  }

  get live(): number {
    return this.rows.reduce((count, session) => count + (session === null ? 0 : 1), 0);
  }

  open(row: number, session: PlainSession): void {
    if (this.rows[row] !== null) throw new Error(`row ${row} is taken`);
    this.rows[row] = session;
    this.generations[row]++;
    this.highWater = Math.max(this.highWater, row + 1);
    this.dirty.mark(row);
  }

  change(row: number, tcpState: number): void {
    const session = this.rows[row];
    if (session === null) throw new Error(`row ${row} is free`);
    session.tcpState = tcpState;
    this.dirty.mark(row);
  }

  end(row: number): void {
    this.rows[row] = null;
    this.dirty.mark(row);
  }

  beginBatch(): void {}

  encode(row: number, into: Int32Array, at: number): boolean {
    into.fill(0, at, at + RECORD_WORDS);
    into[at + R.row] = row;
    into[at + R.generation] = this.generations[row];
    const session = this.rows[row];
    if (session === null) {
      into[at] = MirrorOp.end;
      return false;
    }
    into[at] = MirrorOp.session | (6 << 8) | (1 << 16) | (session.tcpState << 24);
    into[at + R.flags] = RECORD_SOURCE_MAPPING;
    into[at + R.forwardSource] = session.inside;
    into[at + R.translatedSource] = session.nat;
    into[at + R.forwardDestination] = session.remote;
    into[at + R.translatedDestination] = session.remote;
    into[at + R.contexts] = RECORD_OUTSIDE << 16;
    return true;
  }

  /** What a mirror of this table holds, in an order of its own. */
  picture(): string[] {
    return this.rows.flatMap((session) => (session === null ? [] : [pictureOf(session)])).sort();
  }
}

function pictureOf({ inside, nat, remote, tcpState }: PlainSession): string {
  return `${inside >>> 0} ${nat >>> 0} ${remote >>> 0} ${tcpState}`;
}

/** The standby's table, which keeps what it was told and complains about what cannot be. */
export class PlainReplica implements ReplicaSink {
  readonly sessions = new Map<number, PlainSession>();
  private readonly byNat = new Map<number, number>();
  hasRoom = true;
  readonly mostExpected = 8;
  private readonly expected = new Map<number, number>();
  adopted = 0;
  ended = 0;
  private next = 0;
  private readonly free: number[] = [];

  constructor(readonly capacity: number) {}

  get count(): number {
    return this.sessions.size;
  }

  rows(): number[] {
    return [...this.sessions.keys()];
  }

  expect(words: Int32Array, at: number, index: number): void {
    this.expected.set(index, at);
    if (words[at] === undefined) throw new RangeError(`a record at ${at}`);
  }

  adopt(words: Int32Array, at: number, index: number): number {
    if (index >= 0 && this.expected.get(index) !== at) throw new Error(`the record at ${at} was expected elsewhere`);
    const session = read(words, at);
    if (this.byNat.has(session.nat)) return -1 - RefusedReason.conflict;
    if (this.sessions.size >= this.capacity) return -1 - RefusedReason.tableFull;
    const row = this.free.pop() ?? this.next++;
    this.sessions.set(row, session);
    this.byNat.set(session.nat, row);
    this.adopted++;
    return row;
  }

  refresh(row: number, words: Int32Array, at: number): boolean {
    const session = this.sessions.get(row);
    const told = read(words, at);
    if (session === undefined || !isSame(session, told)) return false;
    session.tcpState = told.tcpState;
    return true;
  }

  end(row: number): void {
    const session = this.sessions.get(row);
    if (session === undefined) throw new Error(`row ${row} ends twice`);
    this.sessions.delete(row);
    this.byNat.delete(session.nat);
    this.free.push(row);
    this.ended++;
  }

  find(words: Int32Array, at: number): number {
    const row = this.conflict(words, at);
    const session = this.sessions.get(row);
    return session !== undefined && isSame(session, read(words, at)) ? row : -1;
  }

  conflict(words: Int32Array, at: number): number {
    return this.byNat.get(words[at + R.translatedSource]) ?? -1;
  }

  picture(): string[] {
    return [...this.sessions.values()].map(pictureOf).sort();
  }
}

function isSame(a: PlainSession, b: PlainSession): boolean {
  return a.inside === b.inside && a.nat === b.nat && a.remote === b.remote;
}

function read(words: Int32Array, at: number): PlainSession {
  return {
    inside: words[at + R.forwardSource],
    nat: words[at + R.translatedSource],
    remote: words[at + R.forwardDestination],
    tcpState: words[at] >>> 24,
  };
}

/** A repeatable source of numbers. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}
