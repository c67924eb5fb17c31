import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FlowEntry } from '../controller/flow-dump.js';
import type { FlowPredicate } from '../controller/flow-filter.js';
import { type FlowSort, sortKey } from '../controller/flow-sort.js';
import type { TopTalkers } from '../controller/flow-top.js';
import { Largest } from '../controller/largest.js';
import { askGateway, brokenOff, openGateway } from './control-socket.js';
import { UserFault } from './errors.js';

export interface FlowQuery {
  /** As the user wrote it; it has been parsed once. */
  readonly filter: string | null;
  readonly admits: FlowPredicate | null;
  readonly sort: FlowSort | null;
  readonly limit: number | null;
}

/** Where flows are read from. */
export interface FlowSource {
  /** Flows as JSON lines. @throws UserFault */
  lines(query: FlowQuery): Promise<Readable>;
  /** Why lines() ended with an error, to the user. */
  told(error: Error): Error;
  /** The same to a file descriptor, with as little work as can be; null where that is no different. @returns Whether it could. */
  readonly pass: ((query: FlowQuery, fd: number) => Promise<boolean>) | null;
  /** How many there may be, for progress; null: nobody knows. */
  count(): Promise<number | null>;
  /** testpmd lines of the rules in the NIC; null where there is no NIC. */
  readonly rules: (() => Promise<string>) | null;
  /** Watches the flows for a second; null where nobody counts packets. */
  readonly top: ((query: FlowQuery, most: number) => Promise<TopTalkers>) | null;
  close(): void;
}

/** A running gateway, over its control socket. */
export function gatewaySource(socket: string): FlowSource {
  const text = async (path: string) => (await askGateway(socket, 'GET', path)).body;
  return {
    lines: (query) => openGateway(socket, listPath(query)) as Promise<IncomingMessage>,
    told: (error) => ((error as NodeJS.ErrnoException).code === 'ECONNRESET' ? brokenOff(socket) : error),
    pass: async (query, fd) => {
      const { passAnswer } = await import('./pass-answer.js');
      return passAnswer(socket, listPath(query), fd);
    },
    count: async () => (JSON.parse(await text('/v1/status')) as { sessions: number }).sessions,
    rules: () => text('/v1/rules'),
    top: async ({ filter }, most) => {
      const query = new URLSearchParams({ seconds: '1', limit: String(most) });
      if (filter !== null) query.set('filter', filter);
      const { status, body } = await askGateway(socket, 'GET', `/v1/top?${query}`);
      const answer = JSON.parse(body);
      if (status !== 200) throw UserFault.of(socket, answer.message);
      return answer as TopTalkers;
    },
    close: () => undefined,
  };
}

function listPath({ filter, sort, limit }: FlowQuery): string {
  const query = new URLSearchParams();
  if (filter !== null) query.set('filter', filter);
  if (sort !== null) query.set('sort', sort);
  if (limit !== null) query.set('limit', String(limit));
  return `/v1/flows?${query}`;
}

/** The mirror alone; no gateway need run. @throws UserFault */
export async function mirrorSource(url: string, group: string | null): Promise<FlowSource> {
  const { redisConnector } = await import('../mirror/connect.js');
  const { readRedisUrl } = await import('../config/redis-url.js');
  const { MirrorFlows } = await import('../mirror/mirror-flows.js');
  const { MirrorFault } = await import('../mirror/mirror-fault.js');
  const address = readRedisUrl(url);
  if (typeof address === 'string') throw UserFault.of('--redis', address, 'redis://HOST:PORT');
  const told = (error: unknown) => {
    throw error instanceof MirrorFault ? UserFault.of('--redis', error.message, error.hint) : error;
  };
  const flows = await MirrorFlows.open(redisConnector(url), group).catch(told);
  return {
    lines: async (query) => Readable.from(mirrorLines(flows.slices(), query, told), { objectMode: false }),
    told: (error) => error,
    pass: null,
    count: async () => null,
    rules: null,
    top: null,
    close: () => flows.close(),
  };
}

const SORTED_LIMIT = 100;

/** As the control API chooses: a slice after the other, or the largest of all. */
async function* mirrorLines(
  slices: AsyncIterable<readonly FlowEntry[]>,
  { admits, sort, limit }: FlowQuery,
  told: (error: unknown) => never,
): AsyncGenerator<Buffer> {
  const largest = sort === null ? null : new Largest<FlowEntry>(limit ?? SORTED_LIMIT);
  let left = limit ?? Number.POSITIVE_INFINITY;
  try {
    for await (const slice of slices) {
      const flows = admits === null ? slice : slice.filter(admits);
      if (largest !== null && sort !== null) {
        for (const flow of flows) largest.add(sortKey(flow, sort), flow);
        continue;
      }
      if (flows.length > 0) yield jsonLines(flows.slice(0, left));
      left -= flows.length;
      if (left <= 0) return;
    }
  } catch (error) {
    told(error);
  }
  if (largest !== null) yield jsonLines(largest.inOrder());
}

function jsonLines(flows: readonly FlowEntry[]): Buffer {
  let text = '';
  for (const flow of flows) text += `${JSON.stringify(flow)}\n`;
  return Buffer.from(text);
}
