import { Readable } from 'node:stream';
import { ApiFault } from './fault.js';

/** Each holds a slice of rows and what its reader has not taken. */
const MOST_STREAMS = 8;
/** A reader that takes nothing for so long is given up. */
const PATIENCE_MS = 30_000;

let streams = 0;

/**
 * Sends text as its reader takes it: what is not yet taken is not yet made.
 *
 * @param chunks Made as they are asked for.
 * @throws ApiFault 429 when too many are under way
 */
export function flowStream(chunks: AsyncGenerator<Buffer | string>): Readable {
  if (streams >= MOST_STREAMS) {
    throw new ApiFault(429, 'busy', `${MOST_STREAMS} lists are being read already; try again when one has ended`);
  }
  streams++;
  const stream = Readable.from(
    patient(chunks, () => stream.destroy()),
    { objectMode: false },
  );
  stream.once('close', () => {
    streams--;
  });
  return stream;
}

/** Between two chunks the reader is waited for, but not for ever. */
async function* patient(chunks: AsyncGenerator<Buffer | string>, giveUp: () => void): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of chunks) {
      const timer = setTimeout(giveUp, PATIENCE_MS).unref();
      yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      clearTimeout(timer);
    }
  } finally {
    await chunks.return(undefined);
  }
}
