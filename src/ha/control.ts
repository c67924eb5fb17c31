import type { FastifyInstance } from 'fastify';
import { HandOverError } from './lease-keeper.js';
import type { HaMember } from './member.js';

const CONFLICT = 409;

/**
 * The pair's part of the control socket. GET /v1/ha: PairStatus (schemas/ha-status.schema.json). POST
 * /v1/ha/switchover: `{to, tookMs}`, or 409 and `{message}` when it cannot be done; the gateway goes on as before then.
 */
export function pairRoutes(member: HaMember): (server: FastifyInstance) => void {
  return (server) => {
    server.get('/v1/ha', async () => member.status());
    server.post('/v1/ha/switchover', async (_request, reply) => {
      try {
        return await member.switchover('asked for by the operator');
      } catch (error) {
        if (!(error instanceof HandOverError)) throw error;
        return reply.code(CONFLICT).send({ message: error.message });
      }
    });
  };
}
