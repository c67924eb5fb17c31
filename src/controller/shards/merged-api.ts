import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ApiFault, notFound } from '../api/fault.js';
import { MOST_SORTED } from '../api/flow-routes.js';
import { sendLines } from '../api/flow-stream.js';
import { productVersion } from '../api/index.js';
import { packetOf, type TracedPacket } from '../api/trace-routes.js';
import { gatewayCounters } from '../counters.js';
import type { FlowEntry } from '../flow-dump.js';
import type { FlowSort } from '../flow-sort.js';
import type { Trace } from '../trace.js';
import {
  mergeDrops,
  mergeHolders,
  mergePools,
  mergeSorted,
  mergeStatus,
  mergeTop,
  mergeVpcs,
  type Pool,
  type VpcSessions,
} from './merge.js';
import type { EngineAnswer, EngineRequest } from './messages.js';
import type { ShardedGateway } from './sharded-gateway.js';

/** Flows that an engine is asked for at a time: half a megabyte of text. */
const PAGE = 1000;
const LINE_END = 10;

/** Answered by the control thread as they are, without an engine. */
const OWN = new Set([
  'GET /v1/openapi.json',
  'GET /v1/config',
  'GET /v1/config/diff',
  'POST /v1/config/diff',
  'POST /v1/config/reload',
  'POST /v1/static-bindings',
  'DELETE /v1/static-bindings',
  'PUT /v1/vteps/:address',
  'DELETE /v1/vteps/:address',
  'POST /v1/vpcs/:name/routes',
  'DELETE /v1/vpcs/:name/routes',
  'GET /v1/static-bindings',
  'GET /v1/vteps',
  'GET /v1/vpcs/:name/routes',
  'GET /v1/mirror',
  'GET /v1/capture',
  'POST /v1/rules/reconcile',
]);

type Query = Record<string, string | number>;
type Merge = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/** What an engine refuses is refused in its words. */
class Refusal extends ApiFault {
  constructor(
    status: number,
    private readonly told: object,
  ) {
    super(status, '', '');
  }

  override get body(): object {
    return this.told;
  }
}

/**
 * Has requests of the control API answered by all engines together. What several shards cannot do is refused with 501.
 *
 * @param server With the API's routes: they check requests and describe answers.
 */
export function mergeAnswers(server: FastifyInstance, gateway: ShardedGateway): void {
  const merges = new Map<string, Merge>(Object.entries(new MergedAnswers(gateway, productVersion()).byRoute));
  server.addHook('preHandler', async (request, reply) => {
    const { url } = request.routeOptions;
    if (url === undefined) return;
    const route = `${request.method === 'HEAD' ? 'GET' : request.method} ${url}`;
    if (OWN.has(route)) return;
    const merge = merges.get(route);
    if (merge === undefined) {
      throw new ApiFault(
        501,
        'shards',
        `a gateway of several shards does not do this: ${route} (run it with --shards 1)`,
      );
    }
    const told = await merge(request, reply);
    return told === reply ? reply : reply.send(told);
  });
}

class MergedAnswers {
  readonly byRoute: Readonly<Record<string, Merge>> = {
    'GET /v1/flows': (request, reply) => this.list(request, reply, '/v1/flows'),
    'GET /v1/vpcs/:name/flows': (request, reply) => {
      const { name } = request.params as { name: string };
      // Before anything is sent.
      if (!this.gateway.config.vpcs.some((vpc) => vpc.name === name && vpc.vni >= 0))
        throw notFound(`there is no VPC "${name}"`);
      return this.list(request, reply, `/v1/vpcs/${encodeURIComponent(name)}/flows`);
    },
    'GET /v1/flows/:id': (request) => this.ofFlow(request, ''),
    'GET /v1/flows/:id/trace': (request) => this.ofFlow(request, '/trace'),
    'DELETE /v1/flows': async ({ query }) => {
      const all = await this.all<{ ended: number }>({ method: 'DELETE', url: urlOf('/v1/flows', query as Query) });
      return { ended: all.reduce((sum, { ended }) => sum + ended, 0) };
    },
    'GET /v1/top': async ({ query }) => {
      const { limit } = query as { limit: number };
      return mergeTop(await this.get('/v1/top', query as Query), limit);
    },
    'GET /v1/status': async () =>
      mergeStatus(await this.get('/v1/status'), this.gateway.config.nat.maxSessions, this.version),
    'GET /v1/counters': async () => gatewayCounters(this.gateway.config, (await this.gateway.measure()).statistics),
    'GET /v1/drops': async ({ query }) => {
      const { packets } = query as { packets: number };
      return mergeDrops(await this.get('/v1/drops', query as Query), packets);
    },
    'GET /v1/vpcs': async () => mergeVpcs(await this.get<readonly VpcSessions[]>('/v1/vpcs')),
    'GET /v1/pools': async () => mergePools(await this.get<readonly Pool[]>('/v1/pools')),
    'GET /v1/holders': async ({ query }) => mergeHolders(await this.get('/v1/holders', query as Query)),
    'GET /v1/rules': async (_request, reply) => {
      const answers = await Promise.all(
        this.shards.map((shard) => this.ask(shard, { method: 'GET', url: '/v1/rules' })),
      );
      const texts = answers.map(({ body }) => Buffer.from(body).toString()).filter((text) => text !== '');
      return reply.type('text/plain').send(texts.join('\n'));
    },
    'GET /v1/targets': ({ url }) => this.json(0, { method: 'GET', url }),
    'GET /v1/targets/:name': ({ url }) => this.json(0, { method: 'GET', url }),
    'POST /v1/trace': (request) => this.trace(request.body as TracedPacket),
  };
  private readonly shards: readonly number[];
  constructor(
    private readonly gateway: ShardedGateway,
    private readonly version: string,
  ) {
    this.shards = Array.from({ length: gateway.shards }, (_, shard) => shard);
  }

  /** Of each shard, first page by page; only what its reader has taken is followed by more. */
  private async list(request: FastifyRequest, reply: FastifyReply, path: string): Promise<unknown> {
    const query = request.query as Query & { order: 'desc' | 'asc'; offset: number; sort?: FlowSort; limit?: number };
    if (query.sort === undefined) return sendLines(request, reply, this.pages(path, query));
    const { sort, order, offset, limit = 100 } = query;
    if (offset + limit > MOST_SORTED) {
      throw new ApiFault(400, 'invalid', `offset and limit of a sorted list are ${MOST_SORTED} together at most`);
    }
    const url = urlOf(path, { ...query, offset: 0, limit: offset + limit });
    const answers = await Promise.all(this.shards.map((shard) => this.ask(shard, { method: 'GET', url })));
    const flows = mergeSorted(answers.map(linesOf), { sort, order, offset, limit });
    return sendLines(request, reply, textOf(flows));
  }

  private async *pages(path: string, query: Query): AsyncGenerator<Buffer> {
    let left = query.limit === undefined ? Number.POSITIVE_INFINITY : Number(query.limit);
    let after = query.after === undefined ? null : String(query.after);
    for (let shard = after === null ? 0 : this.shardOfFlow(after); shard < this.shards.length; shard++, after = null) {
      for (;;) {
        const limit = Math.min(PAGE, left);
        const url = urlOf(path, { ...query, limit, ...(after !== null && { after }) });
        const { body } = await this.ask(shard, { method: 'GET', url });
        const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
        const { count, lastId } = pageOf(text);
        if (count > 0) yield text;
        left -= count;
        if (left <= 0) return;
        if (count < limit) break;
        after = lastId;
      }
    }
  }

  private async ofFlow(request: FastifyRequest, more: string): Promise<unknown> {
    const { id } = request.params as { id: string };
    const shard = this.shardOfFlow(id);
    if (shard >= this.shards.length) throw notFound(`there is no flow ${id}: it has ended, or never was`);
    return this.json(shard, { method: 'GET', url: `/v1/flows/${id}${more}` });
  }

  /** By whoever would look the packet up. */
  private async trace(body: TracedPacket): Promise<unknown> {
    const packet = packetOf(this.gateway, body);
    const { router } = this.gateway;
    for (const shard of router.stops(packet)) {
      const trace = await this.json<Trace>(shard, { method: 'POST', url: '/v1/trace', body });
      const decides = shard === router.shardOf(packet);
      if (trace.flow !== null || (decides && !router.isSplit(packet))) return trace;
    }
    const what = 'what a first packet between hosts of two shards would become is in neither alone';
    throw new ApiFault(501, 'shards', `${what} (send it and look at its flow, or run the gateway with --shards 1)`);
  }

  private shardOfFlow(id: string): number {
    return Math.floor(Number.parseInt(id, 10) / this.gateway.rowsOfShard);
  }

  private get<T>(path: string, query: Query = {}): Promise<T[]> {
    return this.all<T>({ method: 'GET', url: urlOf(path, query) });
  }

  private all<T>(request: EngineRequest): Promise<T[]> {
    return Promise.all(this.shards.map((shard) => this.json<T>(shard, request)));
  }

  private async json<T>(shard: number, request: EngineRequest): Promise<T> {
    return JSON.parse(Buffer.from((await this.ask(shard, request)).body).toString()) as T;
  }

  /** @throws ApiFault of the engine */
  private async ask(shard: number, request: EngineRequest): Promise<EngineAnswer> {
    const answer = await this.gateway.ask(shard, request);
    if (answer.status === 200) return answer;
    throw new Refusal(answer.status, JSON.parse(Buffer.from(answer.body).toString()) as object);
  }
}

function urlOf(path: string, query: Query): string {
  const texts = Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const text = new URLSearchParams(texts).toString();
  return text === '' ? path : `${path}?${text}`;
}

/** @returns How many lines there are, and the id of the last one's flow. */
function pageOf(text: Buffer): { count: number; lastId: string | null } {
  let count = 0;
  let last = 0;
  for (let at = 0; at < text.length; ) {
    last = at;
    count++;
    at = text.indexOf(LINE_END, at) + 1;
    if (at === 0) break;
  }
  return { count, lastId: count === 0 ? null : (JSON.parse(text.subarray(last).toString()) as FlowEntry).id };
}

function linesOf({ body }: EngineAnswer): FlowEntry[] {
  const text = Buffer.from(body).toString();
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as FlowEntry]));
}

async function* textOf(flows: readonly FlowEntry[]): AsyncGenerator<Buffer> {
  for (const flow of flows) yield Buffer.from(`${JSON.stringify(flow)}\n`);
}
