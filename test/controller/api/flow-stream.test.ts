import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { ApiFault } from '../../../src/controller/api/fault.js';
import { sendLines } from '../../../src/controller/api/flow-stream.js';
import { apiServer } from '../../../src/controller/api/server.js';
import { until } from './running-gateway.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-stream-'));
const socketPath = join(folder, 'api.sock');
/** More than a socket holds on the way. */
const CHUNK_BYTES = 300_000;
const CHUNKS = 12;

let server: FastifyInstance;
let begun = 0;
let ended = 0;
let failing: Error | null = null;

/** As lists are made: every chunk stands in the same memory. */
async function* chunks(count: number): AsyncGenerator<Buffer> {
  const memory = Buffer.alloc(CHUNK_BYTES);
  begun++;
  try {
    for (let i = 0; i < count; i++) {
      if (failing !== null) throw failing;
      await pause(1);
      memory.fill(letter(i));
      yield memory;
    }
  } finally {
    memory.fill('!');
    ended++;
  }
}

const letter = (chunk: number) => String.fromCharCode(65 + chunk);

beforeAll(async () => {
  server = await apiServer('test', null);
  server.get<{ Querystring: { chunks: number } }>('/lines', (asked, reply) =>
    sendLines(asked, reply, chunks(Number(asked.query.chunks))),
  );
  await server.listen({ path: socketPath });
});

afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => {
  failing = null;
});

function asked(path: string, method = 'GET'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, method, agent: false }, resolve).on('error', reject).end();
  });
}

async function textOf(answer: IncomingMessage, delayMs = 0): Promise<string> {
  let text = '';
  answer.setEncoding('latin1');
  for await (const part of answer) {
    text += part;
    if (delayMs > 0) await pause(delayMs);
  }
  return text;
}

test.each([0, 5])(
  'a reader that waits %d ms before each piece gets every chunk as it was when it was made',
  async (ms) => {
    const answer = await asked(`/lines?chunks=${CHUNKS}`);
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    if (ms > 0) await pause(100);
    const text = await textOf(answer, ms);
    expect(text.length).toBe(CHUNKS * CHUNK_BYTES);
    for (let i = 0; i < CHUNKS; i++)
      expect(text.slice(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES) === letter(i).repeat(CHUNK_BYTES)).toBe(true);
  },
);

test('a list without a chunk is an empty answer, and who asks for its head gets no list', async () => {
  expect(await textOf(await asked('/lines?chunks=0'))).toBe('');
  const before = begun;
  const head = await asked('/lines?chunks=3', 'HEAD');
  expect([head.statusCode, head.headers['content-type'], await textOf(head)]).toEqual([
    200,
    'application/x-ndjson',
    '',
  ]);
  expect(begun).toBe(before);
});

test('what the first chunk throws is a refusal; what a later one throws leaves the list without its end', async () => {
  failing = new ApiFault(400, 'invalid', 'of no use');
  const refused = await asked('/lines?chunks=3');
  expect(refused.headers['content-type']).toMatch(/^application\/json/);
  expect([refused.statusCode, JSON.parse(await textOf(refused)).message]).toEqual([400, 'of no use']);
  failing = null;
  const answer = await asked('/lines?chunks=3');
  answer.once('data', () => {
    failing = new Error('the table is gone');
  });
  await expect(textOf(answer)).rejects.toThrow('aborted');
});

test('readers who take nothing hold eight lists at most, and those who leave none', async () => {
  const before = ended;
  const readers = await Promise.all(Array.from({ length: 8 }, () => asked('/lines?chunks=100000')));
  for (const reader of readers) reader.on('error', () => undefined);
  const ninth = await asked('/lines?chunks=1');
  expect(ninth.statusCode).toBe(429);
  ninth.resume();
  expect(ended).toBe(before);
  for (const reader of readers) reader.destroy();
  await until(20_000, () => ended === before + 8);
  expect((await textOf(await asked('/lines?chunks=1'))).length).toBe(CHUNK_BYTES);
});
