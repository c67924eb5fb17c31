import { SessionClass } from '../native/records.js';
import { RowPool } from './row-pool.js';
import { LAST_PLACE, ordinaryMemory } from './table-memory.js';
import { TupleIndex, wordsFor } from './tuple-index.js';

/** By its own name: an imported one is looked up anew each time. */
const PLACE = LAST_PLACE;

/** Words of a session's row in TypeScript: what policy needs; the lcore keeps its own row of the same number. */
const WORDS = 14;
const FORWARD_SOURCE = 0;
const FORWARD_DESTINATION = 1;
const FORWARD_PORTS = 2;
const TRANSLATED_SOURCE = 3;
const TRANSLATED_DESTINATION = 4;
const TRANSLATED_PORTS = 5;
/** Forward context (low half), reverse context (high half). */
const CONTEXTS = 6;
/** Protocol, class, state of life, one byte each, lowest first. */
const KIND = 7;
/** VPC of the inside host (low 16 bits) and of the destination host or peer + 1 (high 16 bits, 0 = outside). */
const OWNERS = 8;
const HOST = 9;
const SOURCE_MAPPING = 10;
const DESTINATION_MAPPING = 11;
const GENERATION = 12;
const SHAPES = 13;

/** Where a packet was received, as part of a tuple's key, 16 bits: a VPC's index, a peer gateway's, or the outside. */
export const OUTSIDE_CONTEXT = 0xffff;
const PEER_CONTEXT = 0x8000;

export function peerContext(peer: number): number {
  return PEER_CONTEXT + peer;
}

/** @returns Index of the peer gateway that a context stands for, or -1. */
export function peerOfContext(context: number): number {
  return context >= PEER_CONTEXT && context !== OUTSIDE_CONTEXT ? context - PEER_CONTEXT : -1;
}

/** Life of a session in TypeScript. */
export const SessionLife = { live: 1, removing: 2 } as const;

const LIFE = 0xff << 16;
const LIVES = SessionLife.live << 16;
const IS_REMOVED = SessionLife.removing << 16;

/** What makes a session; addresses u32 host order, ICMP identifiers stand in both ports. */
export interface SessionFacts {
  forwardContext: number;
  forwardSource: number;
  forwardDestination: number;
  forwardSourcePort: number;
  forwardDestinationPort: number;
  reverseContext: number;
  translatedSource: number;
  translatedDestination: number;
  translatedSourcePort: number;
  translatedDestinationPort: number;
  protocol: number;
  sessionClass: SessionClass;
  sourceMapping: number;
  destinationMapping: number;
  host: number;
  vpc: number;
  /** VPC behind the destination, or -1. */
  destinationVpc: number;
  /** Whether the inside host is the initiator. */
  insideInitiated: boolean;
}

/**
 * Sessions by row, found from either direction's tuple as received. A 56-byte row and two index entries a session.
 */
export class SessionTable {
  readonly words: Int32Array;
  private readonly rows: RowPool;
  private readonly index: TupleIndex;

  /** @param firstRow Of several engines', what numbers this one's rows are shown with begin at. */
  constructor(
    capacity: number,
    memory = ordinaryMemory,
    readonly firstRow = 0,
  ) {
    this.words = memory(capacity * WORDS);
    this.rows = new RowPool(capacity);
    // Entry = row * 2 + direction. The reverse direction's tuple is the translated one, turned round.
    this.index = new TupleIndex(
      capacity * 2,
      (entry, a, b, c, d) => {
        const base = ((entry >>> 1) * WORDS) & PLACE;
        const w = this.words;
        if ((w[base + KIND] & 0xff) !== a >>> 16) return false;
        if ((entry & 1) === 0) {
          return (
            (w[base + CONTEXTS] & 0xffff) === (a & 0xffff) &&
            w[base + FORWARD_SOURCE] === (b | 0) &&
            w[base + FORWARD_DESTINATION] === (c | 0) &&
            w[base + FORWARD_PORTS] === (d | 0)
          );
        }
        return (
          w[base + CONTEXTS] >>> 16 === (a & 0xffff) &&
          w[base + TRANSLATED_DESTINATION] === (b | 0) &&
          w[base + TRANSLATED_SOURCE] === (c | 0) &&
          w[base + TRANSLATED_PORTS] === (swapPorts(d) | 0)
        );
      },
      (entry) => ((entry & 1) === 0 ? this.forwardHashAt(entry >>> 1) : this.reverseHashAt(entry >>> 1)),
      capacity * 2,
      memory(wordsFor(capacity * 2)),
    );
  }

  get count(): number {
    return this.rows.inUse;
  }

  get capacity(): number {
    return this.rows.capacity;
  }

  get isFull(): boolean {
    return this.rows.inUse === this.rows.capacity;
  }

  /** Hash of a tuple, for findHashed(), touch() and insert(). */
  hashOf(
    context: number,
    protocol: number,
    source: number,
    destination: number,
    sourcePort: number,
    destinationPort: number,
  ): number {
    const ports = packPorts(sourcePort, destinationPort);
    return this.index.hash(contextKey(context, protocol), source | 0, destination | 0, ports);
  }

  /** Asks for the memory that a search will look at first. @returns Something of it, which the caller must use. */
  touch(hash: number): number {
    return this.index.touch(hash);
  }

  /** Where that is. */
  placeOf(hash: number): number {
    return this.index.placeOf(hash);
  }

  /** touch() for several. @param places placeOf() their hashes. */
  touchAll(places: Int32Array, count: number): number {
    return this.index.touchAll(places, count);
  }

  /** Whether there may be a tuple of that hash: hardly ever of one that is not there. @see TupleIndex.mayHave */
  mayHave(hash: number): boolean {
    return this.index.mayHave(hash);
  }

  /** @returns row * 2 + direction (1: the packet is a reply) of the session that a packet belongs to, or -1. */
  find(
    context: number,
    protocol: number,
    source: number,
    destination: number,
    sourcePort: number,
    destinationPort: number,
  ): number {
    const hash = this.hashOf(context, protocol, source, destination, sourcePort, destinationPort);
    return this.findHashed(hash, context, protocol, source, destination, sourcePort, destinationPort);
  }

  /** The same, with the tuple's hash known. */
  findHashed(
    hash: number,
    context: number,
    protocol: number,
    source: number,
    destination: number,
    sourcePort: number,
    destinationPort: number,
  ): number {
    return this.index.findHashed(
      hash,
      contextKey(context, protocol),
      source | 0,
      destination | 0,
      packPorts(sourcePort, destinationPort),
    );
  }

  /** hashOf() the initiator's tuple. */
  forwardHash(f: SessionFacts): number {
    const { forwardContext, protocol, forwardSource, forwardDestination, forwardSourcePort, forwardDestinationPort } =
      f;
    return this.hashOf(
      forwardContext,
      protocol,
      forwardSource,
      forwardDestination,
      forwardSourcePort,
      forwardDestinationPort,
    );
  }

  /** hashOf() the tuple of the replies. */
  reverseHash(f: SessionFacts): number {
    return this.index.hash(
      contextKey(f.reverseContext, f.protocol),
      f.translatedDestination | 0,
      f.translatedSource | 0,
      packPorts(f.translatedDestinationPort, f.translatedSourcePort),
    );
  }

  /** Whether packets of the initiator's direction would be taken for another session's. @param hash hashOf() the forward tuple. */
  forwardIsTaken(f: SessionFacts, hash: number): boolean {
    return (
      this.findHashed(
        hash,
        f.forwardContext,
        f.protocol,
        f.forwardSource,
        f.forwardDestination,
        f.forwardSourcePort,
        f.forwardDestinationPort,
      ) >= 0
    );
  }

  /** Whether replies to these facts would be taken for another session's. @param hash hashOf() the reverse tuple. */
  reverseIsTaken(f: SessionFacts, hash = this.reverseHash(f)): boolean {
    return (
      this.findHashed(
        hash,
        f.reverseContext,
        f.protocol,
        f.translatedDestination,
        f.translatedSource,
        f.translatedDestinationPort,
        f.translatedSourcePort,
      ) >= 0
    );
  }

  /** @param forwardHash hashOf() the forward tuple. @param reverseHash hashOf() the reverse tuple. @returns The new row, or -1 when the table is full. The caller has made sure that neither tuple is taken. */
  insert(
    f: SessionFacts,
    shapes: number,
    forwardHash = this.forwardHash(f),
    reverseHash = this.reverseHash(f),
  ): number {
    const row = this.rows.take();
    if (row < 0) return -1;
    const base = (row * WORDS) & PLACE;
    const w = this.words;
    w[base + CONTEXTS] = f.forwardContext | (f.reverseContext << 16);
    w[base + FORWARD_SOURCE] = f.forwardSource;
    w[base + FORWARD_DESTINATION] = f.forwardDestination;
    w[base + FORWARD_PORTS] = packPorts(f.forwardSourcePort, f.forwardDestinationPort);
    w[base + TRANSLATED_SOURCE] = f.translatedSource;
    w[base + TRANSLATED_DESTINATION] = f.translatedDestination;
    w[base + TRANSLATED_PORTS] = packPorts(f.translatedSourcePort, f.translatedDestinationPort);
    w[base + KIND] = f.protocol | (f.sessionClass << 8) | LIVES | (f.insideInitiated === true ? 1 << 24 : 0);
    w[base + SOURCE_MAPPING] = f.sourceMapping;
    w[base + DESTINATION_MAPPING] = f.destinationMapping;
    w[base + HOST] = f.host;
    w[base + OWNERS] = f.vpc | ((f.destinationVpc + 1) << 16);
    w[base + GENERATION] = nextGeneration(w[base + GENERATION]);
    w[base + SHAPES] = shapes | 0;
    const { index } = this;
    index.insertHashed(forwardHash, row * 2);
    // Its bucket was not known before the port: nobody has asked for it.
    index.deferHashed(reverseHash, row * 2 + 1);
    return row;
  }

  /** Hash of a row's forward tuple. */
  private forwardHashAt(row: number): number {
    const base = (row * WORDS) & PLACE;
    const w = this.words;
    return this.index.hash(
      contextKey(w[base + CONTEXTS] & 0xffff, w[base + KIND] & 0xff),
      w[base + FORWARD_SOURCE],
      w[base + FORWARD_DESTINATION],
      w[base + FORWARD_PORTS],
    );
  }

  /** Hash of a row's reverse tuple, which is the translated one, turned round. */
  private reverseHashAt(row: number): number {
    const base = (row * WORDS) & PLACE;
    const w = this.words;
    return this.index.hash(
      contextKey(w[base + CONTEXTS] >>> 16, w[base + KIND] & 0xff),
      w[base + TRANSLATED_DESTINATION],
      w[base + TRANSLATED_SOURCE],
      swapPorts(w[base + TRANSLATED_PORTS]),
    );
  }

  /** From now on no packet finds the session; its row and endpoints stay taken until release(). */
  unlink(row: number): void {
    const { index } = this;
    index.deferRemoval(this.forwardHashAt(row), row * 2);
    index.deferRemoval(this.reverseHashAt(row), row * 2 + 1);
    const at = (row * WORDS + KIND) & PLACE;
    this.words[at] = (this.words[at] & ~LIFE) | IS_REMOVED;
  }

  release(row: number): void {
    this.words[(row * WORDS + KIND) & PLACE] &= ~LIFE;
    this.rows.release(row);
  }

  life(row: number): number {
    return (this.words[(row * WORDS + KIND) & PLACE] >>> 16) & 0xff;
  }

  isLive(row: number, generation: number): boolean {
    const w = this.words;
    const base = (row * WORDS) & PLACE;
    return (w[base + KIND] & LIFE) === LIVES && w[base + GENERATION] === (generation | 0);
  }

  isRemoving(row: number, generation: number): boolean {
    const w = this.words;
    const base = (row * WORDS) & PLACE;
    return (w[base + KIND] & LIFE) === IS_REMOVED && w[base + GENERATION] === (generation | 0);
  }

  /** What a session is called in lists, logs and answers. */
  idOf(row: number): string {
    return `${this.firstRow + row}.${this.generation(row)}`;
  }

  generation(row: number): number {
    return this.words[(row * WORDS + GENERATION) & PLACE] >>> 0;
  }

  protocol(row: number): number {
    return this.words[(row * WORDS + KIND) & PLACE] & 0xff;
  }

  sessionClass(row: number): SessionClass {
    return ((this.words[(row * WORDS + KIND) & PLACE] >>> 8) & 0xff) as SessionClass;
  }

  insideInitiated(row: number): boolean {
    return this.words[(row * WORDS + KIND) & PLACE] >>> 24 !== 0;
  }

  sourceMapping(row: number): number {
    return this.words[(row * WORDS + SOURCE_MAPPING) & PLACE];
  }

  destinationMapping(row: number): number {
    return this.words[(row * WORDS + DESTINATION_MAPPING) & PLACE];
  }

  host(row: number): number {
    return this.words[(row * WORDS + HOST) & PLACE];
  }

  vpc(row: number): number {
    return this.words[(row * WORDS + OWNERS) & PLACE] & 0xffff;
  }

  destinationVpc(row: number): number {
    return (this.words[(row * WORDS + OWNERS) & PLACE] >>> 16) - 1;
  }

  shapes(row: number): number {
    return this.words[(row * WORDS + SHAPES) & PLACE];
  }

  /** Fills `into` with the session's facts. */
  read(row: number, into: SessionFacts): void {
    const base = (row * WORDS) & PLACE;
    const w = this.words;
    into.forwardContext = w[base + CONTEXTS] & 0xffff;
    into.forwardSource = w[base + FORWARD_SOURCE] >>> 0;
    into.forwardDestination = w[base + FORWARD_DESTINATION] >>> 0;
    into.forwardSourcePort = w[base + FORWARD_PORTS] >>> 16;
    into.forwardDestinationPort = w[base + FORWARD_PORTS] & 0xffff;
    into.reverseContext = w[base + CONTEXTS] >>> 16;
    into.translatedSource = w[base + TRANSLATED_SOURCE] >>> 0;
    into.translatedDestination = w[base + TRANSLATED_DESTINATION] >>> 0;
    into.translatedSourcePort = w[base + TRANSLATED_PORTS] >>> 16;
    into.translatedDestinationPort = w[base + TRANSLATED_PORTS] & 0xffff;
    const kind = w[base + KIND];
    into.protocol = kind & 0xff;
    into.sessionClass = ((kind >>> 8) & 0xff) as SessionClass;
    into.insideInitiated = kind >>> 24 !== 0;
    into.sourceMapping = w[base + SOURCE_MAPPING];
    into.destinationMapping = w[base + DESTINATION_MAPPING];
    into.host = w[base + HOST];
    const owners = w[base + OWNERS];
    into.vpc = owners & 0xffff;
    into.destinationVpc = (owners >>> 16) - 1;
  }

  /** Sessions that live or whose rules are being removed. */
  *rowsInUse(): Generator<number> {
    for (let row = 0; row < this.rows.highWater; row++) if (this.life(row) !== 0) yield row;
  }

  /** Rows from here on were never used: where a walk over all rows may end. */
  get highWater(): number {
    return this.rows.highWater;
  }
}

/** Whether replies would look just like the packets they answer: a host that calls its own public endpoint. */
export function answersItself(f: SessionFacts): boolean {
  return (
    f.forwardContext === f.reverseContext &&
    f.forwardSource === f.translatedDestination &&
    f.forwardDestination === f.translatedSource &&
    f.forwardSourcePort === f.translatedDestinationPort &&
    f.forwardDestinationPort === f.translatedSourcePort
  );
}

/** Facts that can be filled; one shape for all, so that the engine's hot path sees one hidden class. */
export function emptyFacts(): SessionFacts {
  return {
    forwardContext: 0,
    forwardSource: 0,
    forwardDestination: 0,
    forwardSourcePort: 0,
    forwardDestinationPort: 0,
    reverseContext: 0,
    translatedSource: 0,
    translatedDestination: 0,
    translatedSourcePort: 0,
    translatedDestinationPort: 0,
    protocol: 0,
    sessionClass: SessionClass.vpcToVpc,
    sourceMapping: -1,
    destinationMapping: -1,
    host: -1,
    vpc: 0,
    destinationVpc: -1,
    insideInitiated: true,
  };
}

function contextKey(context: number, protocol: number): number {
  return context | (protocol << 16);
}

function packPorts(source: number, destination: number): number {
  return (source << 16) | destination | 0;
}

function swapPorts(ports: number): number {
  return (ports << 16) | (ports >>> 16);
}

/** 1..2^32-1: 0 means a free row on the native side. */
function nextGeneration(generation: number): number {
  return (generation + 1) | 0 || 1;
}
