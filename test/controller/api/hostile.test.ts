import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { openApiDescription } from '../../../src/controller/api/index.js';
import { RunningGateway, until } from './running-gateway.js';

/** Requests of each kind that a run makes. */
const RUNS = Number(process.env.HOSTILE_RUNS ?? 40);
/** A leak of a request's size would be far above it, what Node keeps for its own ends is below. */
const GROWTH_BYTES = 48 * 1024 * 1024;

interface Operation {
  readonly method: string;
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: an OpenAPI operation
  readonly about: any;
}

const gateway = new RunningGateway();

beforeAll(() => gateway.start());
afterAll(() => gateway.stop());

/** Still the same process, still serving, with the flows that it had. */
async function isUnharmed(): Promise<void> {
  expect(gateway.isAlive).toBe(true);
  const { status } = await gateway.ask('GET', '/v1/status');
  expect(status).toBe(200);
  expect(gateway.log).not.toMatch(/a request failed|unhandled/i);
}

/** Sends bytes as they are. @returns What came back until the gateway closed, or nothing more came. */
function raw(bytes: Buffer | string, ends = true, patienceMs = 3000): Promise<string> {
  return new Promise((resolve) => {
    const socket: Socket = connect(gateway.socket);
    let text = '';
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(done, patienceMs);
    socket.on('data', (part) => {
      text += part.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
    if (ends) socket.end(bytes);
    else socket.write(bytes);
  });
}

const statusOf = (text: string) => Number(/^HTTP\/1\.[01] ([0-9]{3})/.exec(text)?.[1] ?? 0);

const oddText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 200 }),
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e99',
    '99999999999999999999',
    '../..',
    '%00',
    '__proto__',
    'constructor',
    '((((((',
    'not not not',
    '\u0000',
    '10.0.1.7',
    'vpc red',
  ),
);
const oddValue = fc.oneof(
  oddText,
  fc.double(),
  fc.integer(),
  fc.constant(null),
  fc.boolean(),
  fc.object({ maxDepth: 2 }),
  fc.array(fc.integer(), { maxLength: 5 }),
);

/** Values for a schema: some that fit, many that do not. */
// biome-ignore lint/suspicious/noExplicitAny: a JSON schema
function valueFor(schema: any): fc.Arbitrary<unknown> {
  if (schema?.enum !== undefined) return fc.oneof(fc.constantFrom(...schema.enum), oddValue);
  if (schema?.type === 'integer' || schema?.type === 'number')
    return fc.oneof(fc.integer({ min: -2, max: 70000 }), oddValue);
  return fc.oneof(fc.constantFrom('10.0.1.7', 'red', 'tcp', '203.0.113.16', '0.1', '10.0.1.0/24'), oddValue);
}

async function operations(): Promise<Operation[]> {
  const description = (await openApiDescription()) as { paths: Record<string, Record<string, unknown>> };
  return Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => ({ method: method.toUpperCase(), path, about })),
  );
}

function requestFor({ path, about }: Operation): fc.Arbitrary<{ path: string; body: unknown }> {
  const parameters: { name: string; in: string; schema: object }[] = about.parameters ?? [];
  const ofBody = about.requestBody?.content?.['application/json']?.schema;
  const fields = Object.fromEntries(
    Object.entries(ofBody?.properties ?? {}).map(([name, schema]) => [name, valueFor(schema)]),
  );
  const body =
    ofBody === undefined
      ? fc.constant(undefined)
      : fc.oneof(fc.record(fields, { requiredKeys: [] }), fc.record(fields), fc.object({ maxDepth: 3 }), oddValue);
  const query = fc.dictionary(
    fc.constantFrom(...parameters.filter((one) => one.in === 'query').map(({ name }) => name), 'odd', '__proto__'),
    oddText,
    { maxKeys: 4 },
  );
  const segment = fc.oneof(oddText, fc.constantFrom('red', '0.1', '10.0.1.7', 'softflow'));
  return fc.record({ query, segment, body }).map((made) => {
    const filled = path.replace(/\{[^}]*\}/g, () => encodeURIComponent(wellFormed(made.segment)) || 'x');
    const search = new URLSearchParams(Object.entries(made.query)).toString();
    return { path: search === '' ? filled : `${filled}?${search}`, body: made.body };
  });
}

const wellFormed = (text: string) => text.replace(/[\ud800-\udfff]/g, '?');

test('generated requests get an answer that says what is wrong, and never a 5xx', async () => {
  const statuses = new Map<number, number>();
  for (const operation of await operations()) {
    // A watch takes as long as it is told to; what a capture refuses is in its own test.
    if (operation.path === '/v1/top' || operation.path === '/v1/capture') continue;
    await fc.assert(
      fc.asyncProperty(requestFor(operation), async ({ path, body }) => {
        const { status, text } = await gateway.ask(operation.method, path, body);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        expect([200, 400, 404, 409, 413, 414, 415, 422]).toContain(status);
        if (status === 200) return;
        const { error, message } = JSON.parse(text);
        expect([typeof error, typeof message]).toEqual(['string', 'string']);
        // Nothing that would do something to a terminal.
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
        expect(message).not.toMatch(/[\u0000-\u001f\u007f]/);
      }),
      { numRuns: RUNS, seed: 5 },
    );
  }
  await isUnharmed();
  for (const status of [200, 400, 404, 422]) expect(statuses.get(status) ?? 0).toBeGreaterThan(0);
}, 300_000);

test('what is no HTTP gets 400 or is cut off', async () => {
  const reference = 'GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  expect(statusOf(await raw(reference, false))).toBe(200);
  const statuses = new Set<number>();
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        // One byte of a right request is another, or it ends there.
        fc.tuple(fc.nat(reference.length - 1), fc.integer({ min: 0, max: 255 })).map(([at, byte]) => {
          const bytes = Buffer.from(reference, 'latin1');
          bytes[at] = byte;
          return bytes;
        }),
        fc.nat(reference.length - 1).map((length) => Buffer.from(reference.slice(0, length), 'latin1')),
      ),
      async (bytes) => {
        const status = statusOf(await raw(bytes));
        statuses.add(status);
        expect([0, 200, 400, 404, 505]).toContain(status);
      },
    ),
    { numRuns: RUNS * 5, seed: 9 },
  );
  expect(statuses).toContain(400);
  await isUnharmed();
}, 120_000);

describe('too much', () => {
  test('of a header', async () => {
    const text = await raw(`GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`, false);
    expect(statusOf(text)).toBe(431);
  });

  test('of a path', async () => {
    const { status } = await gateway.ask('GET', `/v1/flows?filter=${'a'.repeat(2000)}`);
    expect(status).toBe(400);
    expect((await gateway.ask('GET', `/v1/flows/${'9'.repeat(3000)}`)).status).toBeGreaterThanOrEqual(400);
  });

  test('of a body, said before it is sent or found as it comes', async () => {
    const head = (length: number) =>
      `POST /v1/config/diff HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
    expect(statusOf(await raw(head(5_000_000_000), false))).toBe(413);
    const chunk = `10000\r\n${' '.repeat(65536)}\r\n`;
    const chunked = `POST /v1/config/diff HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(80)}0\r\n\r\n`;
    expect([0, 413]).toContain(statusOf(await raw(chunked, false)));
    await isUnharmed();
  });

  test('of a filter’s brackets, or of a document’s depth', async () => {
    const deep = await gateway.ask('GET', `/v1/flows?filter=${'('.repeat(999)}`);
    expect(deep.status).toBe(400);
    const body = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`;
    const text = await raw(
      `POST /v1/config/diff HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      false,
      20_000,
    );
    expect(statusOf(text)).toBe(400);
    await isUnharmed();
  });
});

test('readers who take nothing, stop half-way or close early leave nothing behind', async () => {
  await isUnharmed();
  const files = gateway.files();
  const idle = Array.from({ length: 30 }, () => connect(gateway.socket));
  for (const [i, socket] of idle.entries()) {
    socket.on('error', () => undefined);
    if (i % 3 === 0) socket.write('GET /v1/flows HT');
    if (i % 3 === 1) socket.write('GET /v1/flows HTTP/1.1\r\nHost: x\r\n\r\n');
    if (i % 3 === 2)
      socket.end(
        'POST /v1/config/diff HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{',
      );
  }
  await isUnharmed();
  for (const socket of idle) socket.destroy();
  await until(10_000, () => gateway.files() <= files);
});

test('a request that comes too slowly is ended', async () => {
  const began = Date.now();
  const text = await raw('GET /v1/status HTTP/1.1\r\nHost: x\r\n', false, 20_000);
  expect(statusOf(text)).toBe(408);
  expect(Date.now() - began).toBeLessThan(15_000);
  await isUnharmed();
});

test('thousands of refused requests cost no memory that stays', async () => {
  const big = { name: 'x'.repeat(200_000) };
  const round = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await gateway.ask('POST', '/v1/config/diff', big);
      await gateway.ask('GET', `/v1/flows?filter=vpc+${i}+or`);
      await gateway.ask('GET', `/v1/nothing/${i}`);
    }
  };
  await round(300);
  const before = gateway.memory();
  await round(900);
  expect(gateway.memory() - before).toBeLessThan(GROWTH_BYTES);
  await isUnharmed();
}, 120_000);
