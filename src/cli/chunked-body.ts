const CARRIAGE_RETURN = 13;
const LINE_FEED = 10;
const SEMICOLON = 59;
/** Hexadecimal digits of a chunk's size that are believed. */
const SIZE_DIGITS = 8;
/** What a chunk's extensions or the trailer may take. */
const MOST_IGNORED_BYTES = 4096;

const State = { size: 0, extension: 1, body: 2, bodyEnd: 3, trailer: 4, end: 5 } as const;

/**
 * Finds the body in what comes of a chunked answer, in pieces of any length (RFC 9112 section 7.1). Chunk extensions and
 * trailer fields are left out.
 */
export class ChunkedBody {
  private state: (typeof State)[keyof typeof State] = State.size;
  private size = 0;
  private digits = 0;
  private ignored = 0;
  /** Of the trailer's line so far. */
  private lineBytes = 0;

  /** Whether the body has come whole. */
  get isWhole(): boolean {
    return this.state === State.end;
  }

  /**
   * @param bytes What came; `from` to `to` of it.
   * @param tell  Called with each stretch of the body, in order.
   * @returns False when this is no chunked body.
   */
  feed(bytes: Uint8Array, from: number, to: number, tell: (from: number, to: number) => void): boolean {
    for (let at = from; at < to; ) {
      if (this.state === State.body) {
        const end = Math.min(to, at + this.size);
        tell(at, end);
        this.size -= end - at;
        at = end;
        if (this.size === 0) this.state = State.bodyEnd;
      } else if (!this.take(bytes[at++])) return false;
    }
    return true;
  }

  /** One byte of what is not the body. */
  private take(byte: number): boolean {
    switch (this.state) {
      case State.size: {
        const digit = hexadecimal(byte);
        if (digit >= 0) {
          this.size = this.size * 16 + digit;
          return ++this.digits <= SIZE_DIGITS;
        }
        if (this.digits === 0) return false;
        if (byte === LINE_FEED) return this.endSize();
        this.state = State.extension;
        return byte === SEMICOLON || byte === CARRIAGE_RETURN;
      }
      case State.extension:
        return byte === LINE_FEED ? this.endSize() : ++this.ignored < MOST_IGNORED_BYTES;
      case State.bodyEnd:
        if (byte === CARRIAGE_RETURN) return true;
        this.state = State.size;
        this.digits = 0;
        return byte === LINE_FEED;
      case State.trailer:
        if (byte === LINE_FEED) {
          if (this.lineBytes === 0) this.state = State.end;
          this.lineBytes = 0;
        } else if (byte !== CARRIAGE_RETURN) this.lineBytes++;
        return ++this.ignored < MOST_IGNORED_BYTES;
      default:
        return false;
    }
  }

  private endSize(): boolean {
    this.state = this.size === 0 ? State.trailer : State.body;
    return true;
  }
}

/** @returns 0..15, or -1. */
function hexadecimal(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
