import { redisConnector } from '../../src/mirror/connect.js';
import { openMirrorReplay } from '../../src/mirror/replay.js';
import type { MirrorReplay, MirrorReplayOptions, MirrorWriter, MirrorWriterOptions } from '../../src/mirror/types.js';
import { openMirrorWriter } from '../../src/mirror/writer.js';
import { until } from './redis-servers.js';
import { PlainReplica, PlainTable } from './tables.js';

/** How soon a silent Redis counts as dead in tests. */
export const SILENCE_MS = 300;
export const GROUP = 'pair';

const open = new Set<{ close(): void }>();

export function closeAll(): void {
  for (const part of open) part.close();
  open.clear();
}

let boots = 0;

export function writerOn(url: string, table: PlainTable, options: Partial<MirrorWriterOptions> = {}): MirrorWriter {
  const writer = openMirrorWriter({
    redis: redisConnector(url, SILENCE_MS),
    group: GROUP,
    writerId: `boot${++boots}`,
    configHash: 'c',
    about: '{}',
    source: table,
    ...options,
  });
  open.add(writer);
  return writer;
}

export function replayOn(url: string, sink: PlainReplica, options: Partial<MirrorReplayOptions> = {}): MirrorReplay {
  const replay = openMirrorReplay({
    redis: redisConnector(url, SILENCE_MS),
    group: GROUP,
    nodeId: `node${++boots}`,
    configHash: 'c',
    sink,
    ...options,
  });
  open.add(replay);
  replay.start();
  return replay;
}

export interface Pair {
  readonly table: PlainTable;
  readonly writer: MirrorWriter;
  readonly sink: PlainReplica;
  readonly replay: MirrorReplay;
  /** Waits until the standby has just what the active has. */
  same(): Promise<void>;
}

/** An active and a standby over one Redis, begun and synced. */
export async function startPair(
  url: string,
  rows = 512,
  options: { writer?: Partial<MirrorWriterOptions>; replay?: Partial<MirrorReplayOptions>; begin?: boolean } = {},
): Promise<Pair> {
  const table = new PlainTable(rows);
  const sink = new PlainReplica(rows);
  const writer = writerOn(url, table, options.writer);
  const replay = replayOn(url, sink, options.replay);
  const pair = { table, writer, sink, replay, same: () => same(table, sink) };
  if (options.begin !== false) {
    await writer.begin(null);
    await writer.seeded();
    await replay.synced();
  }
  return pair;
}

/** @param parts What tells why, where they never become the same. */
export async function same(
  table: PlainTable,
  sink: PlainReplica,
  parts: { readonly writer?: MirrorWriter; readonly replay?: MirrorReplay } = {},
): Promise<void> {
  const text = () => [table.picture().join('\n'), sink.picture().join('\n')];
  await until(
    () => {
      const [active, standby] = text();
      return active === standby;
    },
    'the standby has what the active has',
    8000,
  ).catch((error: Error) => {
    const [active, standby] = text();
    const { writer, replay } = parts;
    const lines = [`${error.message}: active ${active.split('\n').length}, standby ${standby.split('\n').length}`];
    if (writer !== undefined) lines.push(JSON.stringify(writer.status()));
    if (replay !== undefined)
      lines.push(...[replay.shards(), replay.eligibility(), replay.counters].map((part) => JSON.stringify(part)));
    throw new Error(lines.join('\n'));
  });
}
