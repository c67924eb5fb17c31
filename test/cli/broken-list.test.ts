import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../controller/api/running-gateway.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-broken-'));
const socket = join(folder, 'gateway.sock');
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n';
let server: Server;

/** A gateway that ends in the middle of a list. */
beforeAll((done) => {
  const line = '{"id":"1.1","vpc":"red"}\n';
  server = createServer((client) => {
    client.on('error', () => undefined);
    client.once('data', () => {
      client.write(`${HEAD}${line.length.toString(16)}\r\n${line}\r\n`);
      setTimeout(() => client.destroy(), 100);
    });
  });
  server.listen(socket, done);
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

test.each(['table', 'json', 'jsonl'])(
  'a list that breaks off as %s is told of, and that it is not whole',
  async (format) => {
    const { code, stderr } = await new Promise<{ code: number; stderr: string }>((resolve) => {
      execFile(join(ROOT, 'bin/sluice'), ['flows', '--format', format, '--socket', socket], (error, _stdout, told) =>
        resolve({ code: error ? Number(error.code) : 0, stderr: told }),
      );
    });
    expect([code, stderr]).toEqual([
      1,
      `${socket}: the gateway ended before its list did, which is not whole (is it still running? ask again)\n`,
    ]);
  },
);
