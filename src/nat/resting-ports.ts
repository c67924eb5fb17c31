import { PORT_WORDS, type RestingMemory, WORDS_OF_PORTS } from './resting-memory.js';
import { LAST_PLACE } from './table-memory.js';

/** By its own name: an imported one is looked up anew each time. */
const PLACE = LAST_PLACE;
const NO_WORDS: Int32Array = new Int32Array(0);
const LAST_SECOND = 0xffff_ffff;
const { min } = Math;

/** Ports that were given back and may not be used yet (RFC 6888 REQ-8), in the order of their release. */
export class RestingPorts {
  private used = 0;
  /** The first of them rests until that second at least: who only asks whether one is due seldom needs more. */
  private firstUntil = 0;
  /** Places of the first chunk and the last; 0: there is none. */
  private first = 0;
  private last = 0;
  /** Of the first port and of the next to come: the chunk's piece, and the place in it. */
  private headWords = NO_WORDS;
  private head = 0;
  private tailWords = NO_WORDS;
  private tail = 0;
  /** Places behind the last port that the first chunk has room for, and the last one. */
  private headEnd = 0;
  private tailEnd = 0;

  constructor(private readonly memory: RestingMemory) {}

  get count(): number {
    return this.used;
  }

  /** Releases come in the order of time. @param untilSeconds Gateway clock, whole seconds. */
  add(port: number, untilSeconds: number): void {
    if (this.tail === this.tailEnd) this.extend();
    const { tailWords, tail } = this;
    tailWords[tail & PLACE] = min(untilSeconds, LAST_SECOND);
    tailWords[(tail + 1) & PLACE] = port;
    this.tail = tail + PORT_WORDS;
    this.used++;
  }

  /** Whether a port has rested enough. */
  isDue(nowSeconds: number): boolean {
    if (this.used === 0 || this.firstUntil > nowSeconds) return false;
    this.firstUntil = this.headWords[this.head & PLACE] >>> 0;
    return this.firstUntil <= nowSeconds;
  }

  /** @returns The port that rests longest. Only while count > 0. */
  takeFirst(): number {
    const port = this.headWords[(this.head + 1) & PLACE];
    this.head += PORT_WORDS;
    this.used--;
    if (this.head === this.headEnd) this.leaveFirst();
    return port;
  }

  *[Symbol.iterator](): Generator<number> {
    const { memory } = this;
    let left = this.used;
    let at = this.head;
    let end = this.headEnd;
    for (let chunk = this.first; left > 0; left--) {
      yield memory.pieceOf(chunk)[at + 1];
      at += PORT_WORDS;
      if (at < end || left === 1) continue;
      chunk = memory.next(chunk);
      at = memory.begin(chunk);
      end = at + WORDS_OF_PORTS;
    }
  }

  private extend(): void {
    const { memory } = this;
    const chunk = memory.take();
    this.tailWords = memory.pieceOf(chunk);
    this.tail = memory.begin(chunk);
    this.tailEnd = this.tail + WORDS_OF_PORTS;
    if (this.last !== 0) memory.link(this.last, chunk);
    else this.beginAt(chunk);
    this.last = chunk;
  }

  /** All of the first chunk's ports have been taken. */
  private leaveFirst(): void {
    const { memory, first } = this;
    const next = memory.next(first);
    memory.giveBack(first);
    if (next !== 0) return this.beginAt(next);
    this.first = 0;
    this.last = 0;
    this.head = 0;
    this.headEnd = 0;
    this.tail = 0;
    this.tailEnd = 0;
  }

  private beginAt(chunk: number): void {
    const { memory } = this;
    this.first = chunk;
    this.headWords = memory.pieceOf(chunk);
    this.head = memory.begin(chunk);
    this.headEnd = this.head + WORDS_OF_PORTS;
  }
}
