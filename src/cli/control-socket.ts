import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { UserFault } from './errors.js';

/** Where control sockets usually stand; the only one there needs no --socket. */
export const SOCKET_FOLDER = '/run/sluice';

/** @throws UserFault when there is none, or more than one */
export function onlySocket(): string {
  let sockets: string[] = [];
  try {
    sockets = readdirSync(SOCKET_FOLDER).filter((name) => name.endsWith('.sock'));
  } catch {
    // No folder: no gateway has made one.
  }
  if (sockets.length === 1) return join(SOCKET_FOLDER, sockets[0]);
  const found = sockets.length === 0 ? 'holds no control socket' : `holds several: ${sockets.join(', ')}`;
  throw UserFault.of(SOCKET_FOLDER, found, 'name one with --socket');
}

export interface ControlAnswer {
  readonly status: number;
  readonly body: string;
}

/** Asks a gateway over its control socket. @throws UserFault when none answers */
export function askGateway(socketPath: string, method: 'GET' | 'POST', path: string): Promise<ControlAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      const hint = error.code === 'ENOENT' ? 'is a gateway with this control.socket running?' : '';
      reject(UserFault.of(socketPath, `no gateway answers: ${error.code ?? error.message}`, hint));
    });
    asked.end();
  });
}
