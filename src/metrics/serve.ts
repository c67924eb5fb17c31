import Fastify, { type FastifyInstance } from 'fastify';
import type { GatewayMetrics } from './gateway-metrics.js';

/**
 * Serves metrics over HTTP: GET /metrics, in Prometheus' text format. Nothing else answers there, and nobody is asked
 * who he is: the address should be one that only the monitoring system reaches.
 *
 * @throws Error METRICS_ADDRESS with the setting's JSON pointer when nothing can be served at the address.
 */
export async function serveMetrics(
  metrics: GatewayMetrics,
  address: { readonly host: string; readonly port: number },
): Promise<FastifyInstance> {
  const server = Fastify({ logger: false, forceCloseConnections: true });
  server.get('/metrics', async (_request, reply) => {
    const text = await metrics.text();
    return reply.type(metrics.registry.contentType).send(text);
  });
  try {
    await server.listen({ host: address.host, port: address.port });
  } catch (error) {
    await server.close();
    throw addressFault(address, error as NodeJS.ErrnoException);
  }
  return server;
}

const FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use (stop who listens there, or choose another port)',
  EADDRNOTAVAIL: 'is no address of this machine (choose one that it has, or 0.0.0.0 for all)',
  EACCES: 'may not be listened on by this user (choose a port from 1024 on)',
  ENOTFOUND: 'names no host (give an address)',
  EAI_AGAIN: 'names a host that no name server knows now (give an address)',
};

function addressFault({ host, port }: { host: string; port: number }, error: NodeJS.ErrnoException): Error {
  const shown = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const what = FAULTS[error.code ?? ''] ?? `cannot be listened on: ${error.message}`;
  return Object.assign(new Error(`/metrics/address: ${shown} ${what}`), { code: 'METRICS_ADDRESS' });
}
