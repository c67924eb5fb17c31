import type { Command } from 'commander';
import { askGateway, messageOf, onlySocket, SOCKET_FOLDER } from './control-socket.js';
import { UserFault } from './errors.js';

export interface AskOptions {
  readonly socket?: string;
  readonly json?: true;
}

/** A command that asks a running gateway something. */
export function askingCommand(command: Command): Command {
  return command
    .option('--socket <path>', `control socket of the gateway; default: the only one in ${SOCKET_FOLDER}`)
    .option('--json', 'as JSON (schemas/control-api.json)');
}

const OK = 200;

/** @throws UserFault when no gateway answers, or it refuses */
export async function ask<T>(options: AskOptions, path: string, sent?: object): Promise<T> {
  const socket = options.socket ?? onlySocket();
  const { status, body } = await askGateway(socket, sent === undefined ? 'GET' : 'POST', path, sent);
  if (status === OK) return JSON.parse(body) as T;
  throw UserFault.of(socket, messageOf(body) ?? `the gateway answered ${status}`);
}

/** Prints an answer as it came, or as people read it. */
export function answer<T>(options: AskOptions, found: T, text: (found: T) => string): void {
  process.stdout.write(`${options.json ? JSON.stringify(found, null, 2) : text(found)}\n`);
}
