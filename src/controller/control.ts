import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import Fastify, { type FastifyInstance } from 'fastify';
import type { LiveGateway } from './live.js';

/**
 * The control socket: HTTP and JSON over a unix socket that only its owner and group may use. Its folder is made when
 * it is missing: /run is empty after a boot.
 *
 * GET /v1/flows: one flow a line (application/x-ndjson). GET /v1/rules: testpmd lines. GET /v1/counters, /v1/mirror:
 * JSON.
 *
 * @param mirror Null: sessions are not mirrored, and /v1/mirror is not there.
 * @param more   Adds what other parts answer.
 */
export async function serveControl(
  gateway: LiveGateway,
  socket: string,
  mirror: { status(): unknown } | null = null,
  more: (server: FastifyInstance) => void = () => undefined,
): Promise<FastifyInstance> {
  await removeStaleSocket(socket);
  mkdirSync(dirname(socket), { recursive: true });
  const server = Fastify({ logger: false, forceCloseConnections: true });
  server.get('/v1/flows', async (_request, reply) => {
    const flows = await gateway.flows();
    return reply.type('application/x-ndjson').send(Readable.from(lines(flows)));
  });
  server.get('/v1/rules', async (_request, reply) => reply.type('text/plain').send(gateway.rules().join('\n')));
  server.get('/v1/counters', async () => gateway.counters());
  if (mirror !== null) server.get('/v1/mirror', async () => mirror.status());
  more(server);
  await server.listen({ path: socket });
  chmodSync(socket, 0o660);
  return server;
}

function* lines(values: Iterable<unknown>): Generator<string> {
  for (const value of values) yield `${JSON.stringify(value)}\n`;
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
