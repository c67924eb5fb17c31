import { readdirSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
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

const OK = 200;

export interface ControlAnswer {
  readonly status: number;
  readonly body: string;
}

/** Asks a gateway over its control socket. @throws UserFault when none answers */
export async function askGateway(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  sent?: object,
): Promise<ControlAnswer> {
  const response = await begin(socketPath, method, path, sent);
  let body = '';
  response.setEncoding('utf8');
  for await (const part of response) body += part;
  return { status: response.statusCode ?? 0, body };
}

/** The same, for answers that may be long: they are read as they come. @throws UserFault also when the gateway refuses */
export async function openGateway(socketPath: string, path: string): Promise<IncomingMessage> {
  const response = await begin(socketPath, 'GET', path);
  if (response.statusCode === OK) return response;
  let body = '';
  for await (const part of response) body += part;
  throw UserFault.of(socketPath, messageOf(body) ?? `the gateway answered ${response.statusCode}`);
}

/** What a refusal says; null when it is none of the control API's. */
export function messageOf(body: string): string | null {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === 'string' ? message : null;
  } catch {
    return null;
  }
}

async function begin(socketPath: string, method: string, path: string, sent?: object): Promise<IncomingMessage> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const headers = sent === undefined ? {} : { 'content-type': 'application/json' };
    const asked = request({ socketPath, path, method, headers }, resolve);
    asked.on('error', (error) => reject(noAnswer(socketPath, error)));
    asked.end(sent === undefined ? undefined : JSON.stringify(sent));
  });
}

/** An answer that may be long has ended in the middle. */
export function brokenOff(socketPath: string): UserFault {
  return UserFault.of(
    socketPath,
    'the gateway ended before its list did, which is not whole',
    'is it still running? ask again',
  );
}

/** Why a gateway could not be asked. */
export function noAnswer(socketPath: string, error: NodeJS.ErrnoException): UserFault {
  const hint =
    error.code === 'EACCES' || error.code === 'EPERM'
      ? 'its owner and group may ask: be one of them'
      : 'is a gateway with this control.socket running?';
  return UserFault.of(socketPath, `no gateway answers: ${error.code ?? error.message}`, hint);
}
