import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { type ControlParts, controlApi } from './api/index.js';

/**
 * The control socket: the control API over a unix socket that only its owner and group may use. Its folder is made when
 * it is missing: /run is empty after a boot.
 *
 * @param more Adds what other parts answer.
 * @throws Error CONTROL_SOCKET, with place and remedy; what was there is there still.
 */
export async function serveControl(
  parts: Omit<ControlParts, 'version'>,
  socket: string,
  more?: (server: FastifyInstance) => void,
): Promise<FastifyInstance> {
  try {
    mkdirSync(dirname(socket), { recursive: true });
  } catch (error) {
    throw refused(`${socket}: its folder cannot be made: ${(error as Error).message}`, 'choose another path');
  }
  await removeStaleSocket(socket);
  const server = await controlApi(parts, more);
  // Nobody else may use it in the moment before chmod either.
  const before = process.umask(0o117);
  try {
    await server.listen({ path: socket });
  } catch (error) {
    throw refused(`${socket} cannot be listened on: ${(error as Error).message}`, 'choose another path');
  } finally {
    process.umask(before);
  }
  chmodSync(socket, 0o660);
  return server;
}

/** A socket that a killed process left behind answers nobody; one that answers belongs to a gateway that runs. */
async function removeStaleSocket(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  // Whatever else has the name is somebody's: a slip in a configuration must not cost a file.
  if (!there.isSocket()) throw refused(`${path} is there and no socket`, 'choose another path, or remove it');
  const refusal = await new Promise<string>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve('');
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  if (refusal === '') throw refused(`${path}: another gateway answers there`, 'stop it, or choose another path');
  if (refusal === 'ECONNREFUSED') unlinkSync(path);
  else if (refusal !== 'ENOENT') throw refused(`${path} cannot be asked: ${refusal}`, 'choose another path');
}

function refused(fault: string, remedy: string): Error {
  return Object.assign(new Error(`/control/socket: ${fault} (${remedy})`), { code: 'CONTROL_SOCKET' });
}
