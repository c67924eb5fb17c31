import { R, RECORD_WORDS, setVersion } from '../../src/mirror/batch.js';
import { ReplicaTable } from '../../src/mirror/replica-table.js';
import { SessionLife } from '../../src/nat/session-table.js';
import { EngineNode, exampleConfig } from './engine-node.js';

const SHARDS = 8;

/** A gateway that decided until now, with three sessions of hosts without a static binding. */
function demoted(): { node: EngineNode; rows: number[] } {
  const node = new EngineNode(exampleConfig(), SHARDS);
  const rows = [1, 2, 3].map((last) =>
    node.open({
      from: { vni: 100 },
      protocol: 17,
      source: '10.0.1.7',
      sourcePort: 1000 + last,
      destination: '198.51.100.7',
      destinationPort: 53,
    }),
  );
  expect(rows.every((row) => row >= 0)).toBe(true);
  return { node, rows };
}

/** Records of rows, as the new active gateway would write them under its own numbers. */
function records(node: EngineNode, rows: readonly number[]): Int32Array {
  const words = new Int32Array(rows.length * RECORD_WORDS);
  for (const [i, row] of rows.entries()) {
    node.source.encode(row, words, i * RECORD_WORDS);
    words[i * RECORD_WORDS + R.row] = 500 + i;
    words[i * RECORD_WORDS + R.generation] = 1;
    setVersion(words, i * RECORD_WORDS, 1);
  }
  return words;
}

function lives(node: EngineNode, row: number): boolean {
  return node.engine.sessions.life(row) === SessionLife.live;
}

function load(node: EngineNode, words: Int32Array, begun = () => undefined as unknown): void {
  const table = new ReplicaTable(node.asReplica(), SHARDS);
  begun();
  for (let shard = 0; shard < SHARDS; shard++) table.beginLoad(shard, 2);
  for (let at = 0; at < words.length; at += RECORD_WORDS) table.apply(words, at);
  table.sweep();
}

test('a gateway that steps down keeps what the mirror has, in its place, and ends the rest', () => {
  const { node, rows } = demoted();
  const words = records(node, rows.slice(0, 2));
  const generations = rows.map((row) => node.engine.sessions.generation(row));
  load(node, words);
  expect(rows.map((row) => lives(node, row))).toEqual([true, true, false]);
  expect(rows.slice(0, 2).map((row) => node.engine.sessions.generation(row))).toEqual(generations.slice(0, 2));
});

test("a session of the mirror's takes the place of an own one that has its public endpoint", () => {
  const { node, rows } = demoted();
  const words = records(node, [rows[0]]);
  words[R.forwardPorts] = (words[R.forwardPorts] & 0xffff) | (4321 << 16);
  load(node, words);
  expect(rows.map((row) => lives(node, row))).toEqual([false, false, false]);
  expect([...node.engine.sessions.rowsInUse()].filter((row) => lives(node, row))).toHaveLength(1);
});

test('what had ended when it stepped down leaves its row to a session of the mirror', () => {
  const { node, rows } = demoted();
  const words = records(node, [rows[2]]);
  words[R.forwardSource] += 1;
  words[R.translatedPorts] = (words[R.translatedPorts] & 0xffff) | (40_000 << 16);
  // The lcore has ended the last one, and has yet to be heard.
  node.now += 3600;
  for (const row of rows.slice(0, 2)) node.hit(row, false);
  node.engine.runSessionTimers(node.now, 100);
  expect(node.expired).toBe(1);
  expect(lives(node, rows[2])).toBe(true);
  load(node, words, () => node.settle());
  expect(node.row).toBe(rows[2]);
  expect(rows.map((row) => lives(node, row))).toEqual([false, false, true]);
});
