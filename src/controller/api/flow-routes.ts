import type { FastifyInstance } from 'fastify';
import { SessionLife } from '../../nat/session-table.js';
import { FlowDump, type FlowEntry } from '../flow-dump.js';
import { type FlowPredicate, parseFilter } from '../flow-filter.js';
import { FLOW_SORTS, type FlowSort, sortKey } from '../flow-sort.js';
import { topTalkers } from '../flow-top.js';
import { Largest } from '../largest.js';
import type { RunningEngine } from '../running-engine.js';
import { traceSession } from '../trace.js';
import { ApiFault, notFound } from './fault.js';
import { sendLines } from './flow-stream.js';
import type { EngineApiParts } from './parts.js';
import { exactly, FAILURES, filter, listOf, ref, vpcName } from './schemas.js';

/** Most flows that are put in order: only so many are held. */
export const MOST_SORTED = 10_000;
const ID = /^([0-9]{1,10})\.([0-9]{1,10})$/;

const id = { type: 'string', pattern: ID.source, description: 'The id of a flow, such as 9.1.' };
const paging = {
  limit: { type: 'integer', minimum: 1, description: 'Most flows. With `sort` 100 unless given.' },
  after: { ...id, description: 'Goes on after this flow: the last one of the page before. Not with `sort`.' },
  sort: { type: 'string', enum: FLOW_SORTS, description: 'Without: in the order of the table.' },
  order: { type: 'string', enum: ['desc', 'asc'], default: 'desc' },
  offset: { type: 'integer', minimum: 0, default: 0, description: 'Flows to leave out; with `sort` only.' },
} as const;

interface ListQuery {
  readonly filter?: string;
  readonly limit?: number;
  readonly after?: string;
  readonly sort?: FlowSort;
  readonly order: 'desc' | 'asc';
  readonly offset: number;
}

const lines = (description: string) => ({
  description,
  content: { 'application/x-ndjson': { schema: ref('Flow') } },
});

export function flowRoutes(server: FastifyInstance, { gateway }: EngineApiParts): void {
  const tags = ['flows'];
  server.get<{ Querystring: ListQuery }>(
    '/v1/flows',
    {
      schema: {
        tags,
        summary: 'Flows, one a line, as they are when the list comes to them',
        description:
          'Unsorted lists are not held: a million flows are sent as the reader takes them. A flow that opens or ends ' +
          'meanwhile may be in the list or not; one that lives all the time is in it once.',
        querystring: { type: 'object', additionalProperties: false, properties: { filter, ...paging } },
        response: { 200: lines('One JSON object a line; no line when there is no flow.'), ...FAILURES },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const admits = query.filter === undefined ? null : parseFilter(query.filter);
      return sendLines(request, reply, list(gateway, admits, query));
    },
  );
  server.get<{ Params: { name: string }; Querystring: ListQuery }>(
    '/v1/vpcs/:name/flows',
    {
      schema: {
        tags,
        summary: 'Flows whose inside host is of a VPC',
        params: exactly({ name: vpcName }),
        querystring: { type: 'object', additionalProperties: false, properties: { filter, ...paging } },
        response: { 200: lines('As /v1/flows.'), ...FAILURES },
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      if (!gateway.config.vpcs.some(({ name, vni }) => name === params.name && vni >= 0))
        throw notFound(`there is no VPC "${params.name}"`);
      const more = parseFilter(query.filter ?? '');
      const admits: FlowPredicate = (flow) => flow.vpc === params.name && more(flow);
      return sendLines(request, reply, list(gateway, admits, query));
    },
  );
  server.get<{ Params: { id: string } }>(
    '/v1/flows/:id',
    { schema: { tags, summary: 'One flow', params: exactly({ id }), response: { 200: ref('Flow'), ...FAILURES } } },
    async ({ params }) => {
      const row = rowOf(gateway, params.id);
      await gateway.refresh(row);
      rowOf(gateway, params.id);
      return new FlowDump(gateway.controller).entry(row, gateway.nowMs());
    },
  );
  server.get<{ Params: { id: string } }>(
    '/v1/flows/:id/trace',
    {
      schema: {
        tags,
        summary: 'Why each direction of a flow is in the NIC or in software',
        params: exactly({ id }),
        response: { 200: ref('Trace'), ...FAILURES },
      },
    },
    async ({ params }) => {
      const row = rowOf(gateway, params.id);
      await gateway.refresh(row);
      return traceSession(gateway.controller, rowOf(gateway, params.id));
    },
  );
  server.get<{ Querystring: { filter?: string; seconds: number; limit: number } }>(
    '/v1/top',
    {
      schema: {
        tags,
        summary: 'Flows that move most bytes, watched for a while',
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            filter,
            seconds: { type: 'number', minimum: 0.1, maximum: 60, default: 1 },
            limit: { type: 'integer', minimum: 1, maximum: 1000, default: 20 },
          },
        },
        response: {
          200: exactly({
            seconds: { type: 'number' },
            flows: { type: 'integer' },
            packetsPerSecond: { type: 'number' },
            bitsPerSecond: { type: 'number' },
            top: listOf(ref('FlowRate')),
          }),
          ...FAILURES,
        },
      },
    },
    async ({ query }) =>
      oneAtATime(() => topTalkers(gateway, parseFilter(query.filter ?? ''), query.seconds * 1000, query.limit)),
  );
  server.delete<{ Querystring: { filter: string } }>(
    '/v1/flows',
    {
      schema: {
        tags,
        summary: 'Ends flows',
        description: 'Their rules are removed, their ports come free as after an idle time. Refused on a standby.',
        querystring: {
          type: 'object',
          required: ['filter'],
          additionalProperties: false,
          properties: {
            filter: { ...filter, minLength: 1, description: `${filter.description} \`all\`: every flow.` },
          },
        },
        response: { 200: exactly({ ended: { type: 'integer' } }), ...FAILURES },
      },
    },
    async ({ query }) => ({ ended: await clear(gateway, query.filter.trim()) }),
  );
}

/** @returns Row of a live flow. @throws ApiFault 404 */
function rowOf(gateway: RunningEngine, flow: string): number {
  const { sessions } = gateway.controller.engine;
  const [, shown, generation] = ID.exec(flow) as RegExpExecArray;
  const row = Number(shown) - sessions.firstRow;
  const isLive = row >= 0 && row < sessions.highWater && sessions.life(row) === SessionLife.live;
  if (isLive && sessions.generation(row) === Number(generation)) return row;
  throw notFound(`there is no flow ${flow}: it has ended, or never was`);
}

/**
 * @param admits Null: every flow.
 * @returns JSON lines; a chunk is valid until the next one is asked for.
 */
async function* list(gateway: RunningEngine, admits: FlowPredicate | null, query: ListQuery): AsyncGenerator<Buffer> {
  if (query.sort !== undefined) {
    for (const flow of await sorted(gateway, admits, query, query.sort)) yield Buffer.from(`${JSON.stringify(flow)}\n`);
    return;
  }
  const dump = new FlowDump(gateway.controller);
  const lines = gateway.flowLines();
  let left = query.limit ?? Number.POSITIVE_INFINITY;
  const { firstRow } = gateway.controller.engine.sessions;
  const first = query.after === undefined ? 0 : Math.max(0, Number.parseInt(query.after, 10) + 1 - firstRow);
  const walk = gateway.walk();
  for await (const rows of walk.slices(first)) {
    const nowMs = gateway.nowMs();
    for (const row of rows) {
      if (admits !== null && !admits(dump.entry(row, nowMs))) continue;
      lines.write(row, nowMs);
      if (--left === 0) break;
    }
    const text = lines.take();
    walk.rests();
    if (text.length > 0) yield text;
    if (left === 0) return;
  }
}

async function sorted(
  gateway: RunningEngine,
  admits: FlowPredicate | null,
  query: ListQuery,
  sort: FlowSort,
): Promise<readonly FlowEntry[]> {
  const { order, offset, after, limit = 100 } = query;
  if (offset + limit > MOST_SORTED) {
    throw new ApiFault(400, 'invalid', `offset and limit of a sorted list are ${MOST_SORTED} together at most`);
  }
  if (after !== undefined)
    throw new ApiFault(400, 'invalid', 'after goes on in the order of the table; with sort use offset');
  const sign = order === 'desc' ? 1 : -1;
  const largest = new Largest<FlowEntry>(offset + limit);
  const dump = new FlowDump(gateway.controller);
  for await (const rows of gateway.walk().slices(0)) {
    for (const row of rows) {
      const flow = dump.entry(row, gateway.nowMs());
      if (admits === null || admits(flow)) largest.add(sign * sortKey(flow, sort), flow);
    }
  }
  return largest.inOrder().slice(offset);
}

async function clear(gateway: RunningEngine, text: string): Promise<number> {
  const { controller } = gateway;
  const { sessions } = controller.engine;
  if (controller.engine.isReplica) {
    throw new ApiFault(409, 'standby', 'a standby’s flows are the active gateway’s; clear them there');
  }
  const admits = text === 'all' ? () => true : parseFilter(text);
  const dump = new FlowDump(controller);
  let ended = 0;
  for await (const rows of gateway.walk().slices(0)) {
    const wanted = rows.filter((row) => admits(dump.entry(row, gateway.nowMs())));
    // Rows may be given to others while the decision ring is waited for.
    ended += await gateway.clear(wanted.map((row) => ({ row, generation: sessions.generation(row) })));
  }
  return ended;
}

let watching = false;

/** Its readings are the API's largest piece of memory. @throws ApiFault 429 */
async function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  if (watching) throw new ApiFault(429, 'busy', 'somebody else watches the flows now; try again');
  watching = true;
  try {
    return await work();
  } finally {
    watching = false;
  }
}
