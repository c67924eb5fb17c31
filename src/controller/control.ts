import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { type ControlParts, controlApi } from './api/index.js';

/**
 * The control socket: the control API over a unix socket that only its owner and group may use. Its folder is made when
 * it is missing: /run is empty after a boot.
 *
 * @param more Adds what other parts answer.
 */
export async function serveControl(
  parts: Omit<ControlParts, 'version'>,
  socket: string,
  more?: (server: FastifyInstance) => void,
): Promise<FastifyInstance> {
  await removeStaleSocket(socket);
  mkdirSync(dirname(socket), { recursive: true });
  const server = await controlApi(parts, more);
  // Nobody else may use it in the moment before chmod either.
  const before = process.umask(0o117);
  try {
    await server.listen({ path: socket });
  } finally {
    process.umask(before);
  }
  chmodSync(socket, 0o660);
  return server;
}

/** A socket that a killed process left behind answers nobody; one that answers belongs to a gateway that runs. */
async function removeStaleSocket(path: string): Promise<void> {
  const state = await new Promise<'free' | 'stale' | 'taken'>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve('taken');
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ENOENT' ? 'free' : 'stale'));
  });
  if (state === 'taken') {
    throw Object.assign(
      new Error(`${path}: another gateway answers on this control socket (stop it, or change control.socket)`),
      {
        code: 'CONTROL_SOCKET',
      },
    );
  }
  if (state === 'stale') unlinkSync(path);
}
