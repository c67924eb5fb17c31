import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { validateConfig } from '../../src/config/load.js';
import { FlowDump } from '../../src/controller/flow-dump.js';
import { FlowLines } from '../../src/controller/flow-lines.js';
import type { GatewayController } from '../../src/controller/gateway.js';
import { NatEngine } from '../../src/nat/engine.js';
import { NativeRows } from '../../src/nat/session-timers.js';
import type { DecisionSink } from '../../src/nat/sink.js';
import { RulePathNames, SessionCounters, SessionRow, TcpStateNames } from '../../src/native/records.js';
import { missRecord, random } from '../nat/random-misses.js';

const SESSIONS = 400;

test('lines are the text that the entries have, whatever stands in rows, counters and names', () => {
  const document = JSON.parse(
    readFileSync(join(__dirname, '../nat/fixtures/two-gateways.json'), 'utf8').replaceAll('"blue"', '"blå\\"\\\\🙂"'),
  );
  document.nat = { seed: 3, maxSessions: SESSIONS };
  const loaded = validateConfig(document, null);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const { config } = loaded;
  const rows = new NativeRows(new ArrayBuffer(SESSIONS * SessionRow.size));
  const sink = new Proxy({} as DecisionSink, { get: () => () => undefined });
  const engine = new NatEngine(config, rows, sink);
  const draw = random(11);
  for (let i = 0; i < 4000; i++) {
    const words = missRecord(draw, { fabric: config.fabricPort, external: config.externalPort }, []);
    engine.touch(words, 0, 0);
    engine.onMiss(words, 0, 0);
  }
  expect(engine.sessions.count).toBeGreaterThan(100);
  const counters = new Float64Array((SESSIONS * SessionCounters.size) / 8);
  const large = [0, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1];
  for (let i = 0; i < counters.length; i++) counters[i] = large[draw(large.length)];
  const seconds = [SessionRow.lastForwardSeconds, SessionRow.lastReverseSeconds, SessionRow.createdSeconds];
  const view = new DataView(rows.bytes.buffer);
  for (let row = 0; row < SESSIONS; row++) {
    const at = row * SessionRow.size;
    view.setUint8(at + SessionRow.tcpState, draw(TcpStateNames.length));
    view.setUint8(at + SessionRow.forwardPath, draw(RulePathNames.length));
    view.setUint8(at + SessionRow.reversePath, draw(RulePathNames.length));
    view.setInt32(at + SessionRow.nicError, [28, 12, 0][draw(3)], true);
    for (const field of seconds) view.setUint32(at + field, draw(3000), true);
  }
  const refusals = [null, { code: 'offload-off' }, { code: 'icmp-in-software' }];
  const controller = {
    engine,
    rows,
    config,
    dataplane: { counters: counters.buffer },
    hasAsked: (row: number) => row % 2 === 0,
    templates: { of: (shape: number) => ({ refusal: refusals[shape % 3] }) },
  } as unknown as GatewayController;
  const dump = new FlowDump(controller);
  const lines = new FlowLines(controller);
  let compared = 0;
  for (const nowMs of [0, 1_500_123, 4_000_000_000]) {
    const expected: string[] = [];
    for (const row of engine.sessions.rowsInUse()) {
      lines.write(row, nowMs);
      expected.push(`${JSON.stringify(dump.entry(row, nowMs))}\n`);
      compared++;
    }
    expect(lines.take().toString()).toBe(expected.join(''));
  }
  expect(compared).toBeGreaterThan(300);
  expect(lines.take().length).toBe(0);
});
