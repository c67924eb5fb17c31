import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiFault } from './fault.js';

/** Each holds a slice of rows and what its reader has not taken. */
const MOST_STREAMS = 8;
/** A reader that takes nothing for so long is given up. */
const PATIENCE_MS = 30_000;

const LINES = 'application/x-ndjson';

let streams = 0;

/**
 * Sends text as its reader takes it: what is not yet taken is not yet made.
 *
 * @param chunks Made as they are asked for.
 * @throws ApiFault 429 when too many are under way
 */
export function flowStream(chunks: AsyncGenerator<Buffer>): Readable {
  begin();
  const stream = Readable.from(
    patient(chunks, () => stream.destroy()),
    { objectMode: false },
  );
  stream.once('close', () => {
    streams--;
  });
  return stream;
}

/**
 * Answers with JSON lines, as flowStream() does. A chunk is asked for only once the one before has been handed to the
 * kernel whole: all may stand in the same memory, where streams would need another buffer for each, which for a million
 * flows is half a gigabyte for the collector of garbage.
 *
 * @param chunks Made as they are asked for; what the first one throws is answered like any other refusal.
 * @throws ApiFault 429 when too many are under way
 */
export async function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  chunks: AsyncGenerator<Buffer>,
): Promise<FastifyReply> {
  if (request.method === 'HEAD') return reply.type(LINES).send(Readable.from([]));
  begin();
  try {
    const first = await chunks.next();
    reply.hijack();
    await pump(reply, chunks, first);
  } finally {
    streams--;
    await chunks.return(undefined);
  }
  return reply;
}

async function pump(
  reply: FastifyReply,
  chunks: AsyncGenerator<Buffer>,
  first: IteratorResult<Buffer, unknown>,
): Promise<void> {
  const { raw } = reply;
  let taken: () => void = () => undefined;
  raw.once('close', () => taken());
  // A reader that has gone is noticed by its connection, which closes.
  raw.on('error', () => undefined);
  let isWaiting = false;
  const patience = setTimeout(() => {
    if (isWaiting) raw.destroy();
  }, PATIENCE_MS).unref();
  try {
    raw.writeHead(200, { 'content-type': LINES });
    for (let next = first; !next.done && !raw.destroyed; next = await chunks.next()) {
      const { value } = next;
      isWaiting = true;
      patience.refresh();
      await new Promise<void>((resolve) => {
        taken = resolve;
        raw.write(value, () => resolve());
      });
      isWaiting = false;
    }
    raw.end();
  } catch {
    // What has been sent is no whole list: without its end the reader does not take it for one.
    raw.destroy();
  } finally {
    clearTimeout(patience);
  }
}

/** @throws ApiFault 429 */
function begin(): void {
  if (streams >= MOST_STREAMS) {
    throw new ApiFault(429, 'busy', `${MOST_STREAMS} lists are being read already; try again when one has ended`);
  }
  streams++;
}

/** Between two chunks the reader is waited for, but not for ever. */
async function* patient(chunks: AsyncGenerator<Buffer>, giveUp: () => void): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of chunks) {
      const timer = setTimeout(giveUp, PATIENCE_MS).unref();
      yield chunk;
      clearTimeout(timer);
    }
  } finally {
    await chunks.return(undefined);
  }
}
