import { LAST_PLACE } from './table-memory.js';

/** By its own name: an imported one is looked up anew each time. */
const PLACE = LAST_PLACE;

/** A chunk is four cache lines. */
const CHUNK_WORDS = 64;
/** Of a port: the second until which it rests, and the port. */
export const PORT_WORDS = 2;
/** In the last of its words a chunk has the next one's place, or that of the next free one; 0: there is none. */
const NEXT = CHUNK_WORDS - 1;
/** Words of a chunk from the first port to behind the last. */
export const WORDS_OF_PORTS = CHUNK_WORDS - PORT_WORDS;
/** Chunks that are had at once: a megabyte. */
const PIECE_BITS = 18;
const PIECE_MASK = (1 << PIECE_BITS) - 1;

/**
 * Memory of ports that rest, of all addresses of an engine, in chunks that go from one to the other: it has pieces of one
 * size and copies nothing. Lists that each doubled on their own made garbage of as many bytes as they had, outside of
 * V8's heap, for which V8 collects all of the heap.
 */
export class RestingMemory {
  private readonly pieces: Int32Array[] = [];
  /** Place of a free chunk, 0: none. */
  private free = 0;
  /** Place of the first that was never used: the one at 0 stays unused. */
  private fresh = CHUNK_WORDS;

  /** The piece in which a chunk lies. @param chunk Its place. */
  pieceOf(chunk: number): Int32Array {
    return this.pieces[chunk >>> PIECE_BITS];
  }

  /** Where in its piece a chunk begins. */
  begin(chunk: number): number {
    return chunk & PIECE_MASK;
  }

  /** @returns Place of a chunk that has no next one. */
  take(): number {
    let chunk = this.free;
    if (chunk !== 0) this.free = this.next(chunk);
    else {
      chunk = this.fresh;
      if (chunk >>> PIECE_BITS >= this.pieces.length) this.pieces.push(new Int32Array(1 << PIECE_BITS));
      this.fresh += CHUNK_WORDS;
    }
    this.link(chunk, 0);
    return chunk;
  }

  giveBack(chunk: number): void {
    this.link(chunk, this.free);
    this.free = chunk;
  }

  next(chunk: number): number {
    return this.pieceOf(chunk)[(this.begin(chunk) + NEXT) & PLACE];
  }

  link(chunk: number, next: number): void {
    this.pieceOf(chunk)[(this.begin(chunk) + NEXT) & PLACE] = next;
  }
}
