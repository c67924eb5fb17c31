import { writeSync } from 'node:fs';
import { connect } from 'node:net';
import { packageRoot } from '../config/package-root.js';
import { loadClientBinding } from '../native/binding.js';
import { ChunkedBody } from './chunked-body.js';
import { brokenOff, noAnswer } from './control-socket.js';
import { UserFault } from './errors.js';

/** As much as a socket holds on the way: one read takes all of it. */
const READ_BYTES = 256 * 1024;
const MOST_HEAD_BYTES = 16 * 1024;
/** Until a reader that cannot take more is asked again. */
const RETRY_MS = 2;

const sleeping = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes what a gateway answers to a file descriptor, as long as it may be. A list of a million flows is half a gigabyte,
 * which runs on the cores that the gateway needs for packets: here each byte is read into one buffer and written from
 * it, where node:http and streams would copy it into memory of its own.
 *
 * @returns False, with nothing written, when the answer is another than a list: it is to be asked for in the usual way.
 * @throws UserFault when none answers, or the answer breaks off; an error of the system when it cannot be written
 */
export function passAnswer(socketPath: string, path: string, fd: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const body = new ChunkedBody();
    let head: string | null = '';
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const end = (settle: () => void) => {
      socket.destroy();
      settle();
    };
    const take = (length: number): boolean => {
      let from = 0;
      if (head !== null) {
        const before = head.length;
        head += buffer.toString('latin1', 0, Math.min(length, MOST_HEAD_BYTES));
        const headEnd = head.indexOf('\r\n\r\n');
        if (headEnd < 0 && head.length < MOST_HEAD_BYTES) return true;
        if (!isList(head.slice(0, headEnd + 2))) {
          end(() => resolve(false));
          return false;
        }
        from = headEnd + 4 - before;
        head = null;
        loadClientBinding(packageRoot()).widenPipe(fd);
      }
      try {
        if (!body.feed(buffer, from, length, (start, stop) => writeAll(fd, buffer, start, stop))) {
          end(() => reject(UserFault.of(socketPath, 'the answer of the gateway is no chunked body (RFC 9112)')));
        } else if (body.isWhole) end(() => resolve(true));
      } catch (error) {
        end(() => reject(error));
      }
      return !socket.destroyed;
    };
    const socket = connect({ path: socketPath, onread: { buffer, callback: take } });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(() => reject(head === '' ? noAnswer(socketPath, error) : brokenOff(socketPath))),
    );
    socket.on('close', () => reject(brokenOff(socketPath)));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  });
}

function isList(head: string): boolean {
  return /^HTTP\/1\.1 200 /.test(head) && /\r\ntransfer-encoding: *chunked\r\n/i.test(head);
}

function writeAll(fd: number, buffer: Buffer, from: number, to: number): void {
  for (let at = from; at < to; ) {
    try {
      at += writeSync(fd, buffer, at, to - at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(sleeping, 0, 0, RETRY_MS);
    }
  }
}
