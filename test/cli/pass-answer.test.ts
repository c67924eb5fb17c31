import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createRawServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChunkedBody } from '../../src/cli/chunked-body.js';
import { UserFault } from '../../src/cli/errors.js';
import { passAnswer } from '../../src/cli/pass-answer.js';
import { random } from '../nat/random-misses.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-pass-'));
const servers: { close(): unknown }[] = [];
let sockets = 0;

afterAll(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

const newSocket = () => join(folder, `${sockets++}.sock`);

/** A gateway, as far as HTTP goes. @returns Its socket. */
async function listening(answer: RequestListener): Promise<string> {
  const path = newSocket();
  const server: Server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

/** Sends the same bytes to everybody, and then closes. */
async function saying(text: string): Promise<string> {
  const path = newSocket();
  const server = createRawServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(text, 'latin1'));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

interface Passed {
  /** What passAnswer() told, or the message with which it gave up. */
  readonly told: boolean | string;
  readonly text: Buffer;
}

async function passed(socket: string): Promise<Passed> {
  const file = join(folder, 'out');
  const fd = openSync(file, 'w');
  try {
    const told = await passAnswer(socket, '/v1/flows?limit=3', fd).catch((error) => {
      if (error instanceof UserFault) return error.faults[0].message;
      throw error;
    });
    return { told, text: readFileSync(file) };
  } finally {
    closeSync(fd);
  }
}

const LIST = { 'content-type': 'application/x-ndjson' };

test('a list of any chunks is passed on byte for byte', async () => {
  const draw = random(5);
  const chunks = Array.from({ length: 300 }, (_, i) => {
    const length = [1, 2, 15, 16, 17, 4096, 65_536, 300_000][draw(i % 20 === 0 ? 8 : 6)];
    return Buffer.from(Array.from({ length }, () => draw(256)));
  });
  let asked = '';
  const socket = await listening((request, response) => {
    asked = `${request.method} ${request.url}`;
    response.writeHead(200, LIST);
    for (const chunk of chunks) response.write(chunk);
    response.end();
  });
  const { told, text } = await passed(socket);
  expect(told).toBe(true);
  expect(asked).toBe('GET /v1/flows?limit=3');
  expect(text.equals(Buffer.concat(chunks))).toBe(true);
});

test('an empty list is a list', async () => {
  const socket = await listening((_, response) =>
    response.writeHead(200, { ...LIST, 'transfer-encoding': 'chunked' }).end(),
  );
  expect(await passed(socket)).toEqual({ told: true, text: Buffer.alloc(0) });
});

test('another answer is left to be asked for in the usual way', async () => {
  const refusing = await listening((_, response) => response.writeHead(400).end('{"message":"no"}'));
  expect(await passed(refusing)).toEqual({ told: false, text: Buffer.alloc(0) });
  const unchunked = await listening((_, response) => response.writeHead(200, { 'content-length': 2 }).end('[]'));
  expect(await passed(unchunked)).toEqual({ told: false, text: Buffer.alloc(0) });
  expect((await passed(await saying(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(40_000)}`))).told).toBe(false);
});

test('what breaks off is no list', async () => {
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  const whole = `${head}3\r\nabc\r\n0\r\n\r\n`;
  expect(await passed(await saying(whole))).toEqual({ told: true, text: Buffer.from('abc') });
  for (let length = 0; length < whole.length; length++) {
    const { told, text } = await passed(await saying(whole.slice(0, length)));
    expect(told).toMatch(/ended before its list did/);
    expect('abc'.startsWith(text.toString())).toBe(true);
  }
  for (const odd of ['', 'g\r\n', '123456789\r\n', '3 \r\nabc', '3\r\nabcd\r\n', '3\r\nabc\r\n\r\n'])
    expect((await passed(await saying(`${head}${odd}\r\n`))).told).toMatch(/no chunked body/);
  expect((await passed(join(folder, 'nobody.sock'))).told).toMatch(/no gateway answers: ENOENT/);
});

test('a body is found however it is cut, without extensions and trailer', () => {
  const bytes = Buffer.from('5;name="x"\r\nhello\r\nA\r\n, all of y\r\n02\r\nou\r\n0\r\nExpires: never\r\n\r\n');
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const body = new ChunkedBody();
      let text = '';
      const tell = (from: number, to: number) => {
        text += bytes.toString('latin1', from, to);
      };
      for (const [from, to] of [
        [0, first],
        [first, second],
        [second, bytes.length],
      ])
        expect(body.feed(bytes, from, to, tell)).toBe(true);
      expect(text).toBe('hello, all of you');
      expect(body.isWhole).toBe(true);
    }
  }
});

test.each(['', '--watch'])(
  'a reader that closes its pipe early ends the command in peace, and it the list: %s',
  async (option) => {
    let closed = false;
    const socket = await listening((_, response) => {
      response.writeHead(200, LIST);
      const more = () => {
        while (!response.destroyed && response.write(`${'x'.repeat(100_000)}\n`));
      };
      response.on('drain', more);
      response.on('close', () => {
        closed = true;
      });
      more();
    });
    const sluice = join(__dirname, '../../bin/sluice');
    const command = spawn('bash', [
      '-o',
      'pipefail',
      '-c',
      `'${sluice}' flows ${option} --format jsonl --socket '${socket}' | head -c 200000`,
    ]);
    let bytes = 0;
    let said = '';
    command.stdout.on('data', (part: Buffer) => {
      bytes += part.length;
    });
    command.stderr.on('data', (part) => {
      said += part;
    });
    const code = await new Promise((resolve) => command.on('close', resolve));
    for (let tries = 0; !closed && tries < 1000; tries++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect([code, said, bytes, closed]).toEqual([0, '', 200_000, true]);
  },
  40_000,
);
