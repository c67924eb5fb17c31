import { setTimeout as pause } from 'node:timers/promises';
import type { FlowEntry } from '../controller/flow-dump.js';
import type { FlowRate } from '../controller/flow-top.js';
import { Columns } from './columns.js';
import type { FlowQuery, FlowSource } from './flow-source.js';
import { amount, FLOW_COLUMNS, RATE_COLUMNS } from './flow-table.js';
import { CLEAR_SCREEN, terminal } from './terminal.js';

const WATCH_MS = 1000;
/** Lines that are not flows: the summary, a blank one, the head, and the cursor's. */
const OTHER_LINES = 4;
/** Flows told where there is no screen to be filled. */
const MOST = 20;

/** Shows the flows that move most, every second, until it is interrupted. Without a screen one table follows the other. */
export async function watchFlows(source: FlowSource, query: FlowQuery): Promise<never> {
  const seen = new Map<string, number>();
  for (let round = 0; ; round++) {
    const onto = terminal();
    const most = query.limit ?? (onto.width === null ? MOST : Math.max(1, onto.height - OTHER_LINES));
    const text =
      source.top === null ? await newest(source, query, most, seen, round) : await busiest(source, query, most);
    process.stdout.write(onto.width === null ? `${text}\n\n` : `${CLEAR_SCREEN}${text}`);
    if (source.top === null) await pause(WATCH_MS);
  }
}

async function busiest(source: FlowSource, query: FlowQuery, most: number): Promise<string> {
  const found = await (source.top as NonNullable<FlowSource['top']>)(query, most);
  const summary = `${found.flows} flows, ${amount(found.packetsPerSecond)} packet/s, ${amount(found.bitsPerSecond)} bit/s`;
  return lines(summary, RATE_COLUMNS, found.top as readonly FlowRate[]);
}

/** The mirror knows no packets: what came, what went, and the youngest flows. */
async function newest(
  source: FlowSource,
  query: FlowQuery,
  most: number,
  seen: Map<string, number>,
  round: number,
): Promise<string> {
  const flows: FlowEntry[] = [];
  let text = '';
  for await (const chunk of await source.lines({ ...query, sort: null, limit: null })) text += chunk;
  for (const line of text.split('\n')) if (line !== '') flows.push(JSON.parse(line) as FlowEntry);
  const opened = flows.filter(({ id }) => !seen.has(id)).length;
  for (const { id } of flows) seen.set(id, round);
  let ended = 0;
  for (const [id, last] of seen) {
    if (last === round) continue;
    ended++;
    seen.delete(id);
  }
  const change = round === 0 ? '' : `, ${opened} opened and ${ended} ended in the last second`;
  flows.sort((a, b) => a.ageMs - b.ageMs);
  return lines(`${flows.length} flows${change}`, FLOW_COLUMNS, flows.slice(0, most));
}

function lines<T>(summary: string, columns: ConstructorParameters<typeof Columns<T>>[0], rows: readonly T[]): string {
  const made = new Columns(columns, rows, terminal());
  return [summary, '', made.head(), ...rows.map((row) => made.row(row))].join('\n');
}
