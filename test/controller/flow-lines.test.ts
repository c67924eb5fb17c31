import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { validateConfig } from '../../src/config/load.js';
import { FlowDump } from '../../src/controller/flow-dump.js';
import { FlowLines } from '../../src/controller/flow-lines.js';
import type { GatewayController } from '../../src/controller/gateway.js';
import { NatEngine } from '../../src/nat/engine.js';
import { NativeRows } from '../../src/nat/session-timers.js';
import type { DecisionSink } from '../../src/nat/sink.js';
import { loadBinding } from '../../src/native/binding.js';
import {
  FLOW_TEXT_SLACK,
  FlowLine,
  RulePathNames,
  SessionCounters,
  SessionRow,
  TcpStateNames,
} from '../../src/native/records.js';
import { missRecord, random } from '../nat/random-misses.js';

const SESSIONS = 800;
const binding = loadBinding(join(__dirname, '../..'));

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
  for (let i = 0; i < 12_000; i++) {
    const words = missRecord(draw, { fabric: config.fabricPort, external: config.externalPort }, []);
    engine.touch(words, 0, 0);
    engine.onMiss(words, 0, 0);
  }
  expect(engine.sessions.count).toBeGreaterThan(400);
  const counters = new Float64Array((SESSIONS * SessionCounters.size) / 8);
  const large = [0, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  large.push(2 ** 53, 2 ** 53 + 2, 2 ** 64, 1e20, 123456789012345680000);
  for (let i = 0; i < counters.length; i++) counters[i] = large[draw(large.length)];
  const seconds = [SessionRow.lastForwardSeconds, SessionRow.lastReverseSeconds, SessionRow.createdSeconds];
  const view = new DataView(rows.bytes.buffer);
  for (let row = 0; row < SESSIONS; row++) {
    const at = row * SessionRow.size;
    view.setUint8(at + SessionRow.tcpState, draw(TcpStateNames.length));
    view.setUint8(at + SessionRow.forwardPath, draw(RulePathNames.length));
    view.setUint8(at + SessionRow.reversePath, draw(RulePathNames.length));
    view.setUint16(at + SessionRow.nicError, [28, 12, 5, 0][draw(4)], true);
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
  const lines = new FlowLines(controller, binding);
  let compared = 0;
  const seen = new Set<string>();
  for (const nowMs of [0, 1_500_123, 4_000_000_000]) {
    const expected: string[] = [];
    // Twice: more than become text at a time.
    for (const row of [...engine.sessions.rowsInUse(), ...engine.sessions.rowsInUse()]) {
      lines.write(row, nowMs);
      const entry = dump.entry(row, nowMs);
      expected.push(`${JSON.stringify(entry)}\n`);
      seen
        .add(entry.class)
        .add(entry.protocol)
        .add(entry.state)
        .add(entry.forward.path)
        .add(String(entry.reverse.reason));
      seen.add(`vtep ${entry.underlay.vtep === null ? 'none' : 'some'}`);
      compared++;
    }
    expect(lines.take().toString()).toBe(expected.join(''));
  }
  expect(compared).toBeGreaterThan(2400);
  expect(lines.take().length).toBe(0);
  // What was never generated has not been compared.
  const kinds = ['vpc-to-vpc', 'vpc-to-external', 'external-to-vpc', 'hairpin', 'tcp', 'udp', 'icmp', 'active', 'null'];
  const reasons = ['nic-full', 'nic-error: errno 5', 'nic-busy', 'offload-off', 'vtep some'];
  expect([...seen]).toEqual(expect.arrayContaining([...kinds, ...reasons, ...TcpStateNames, 'offloaded', 'failed']));
  expect([...seen].some((kind) => /^[0-9]+$/.test(kind))).toBe(true);
});

describe('the addon refuses', () => {
  const texts = new Uint8Array(3 + FLOW_TEXT_SLACK);
  texts[0] = 1;
  const line = (head: number) => {
    const words = new Uint32Array(FlowLine.size / 4);
    words[FlowLine.head / 4] = head;
    return new Uint8Array(words.buffer);
  };
  const out = new Uint8Array(4096);
  const refused = expect.objectContaining({ code: 'ARGUMENT' });
  const faultOf = (call: () => unknown): unknown => {
    try {
      call();
    } catch (error) {
      return error;
    }
    return null;
  };

  test('texts that are not whole, wherever a line says they are', () => {
    expect(binding.formatFlowLines(line(0), 1, texts, out)).toBeGreaterThan(100);
    for (const head of [2, 3, 18, 19, 1000, 0x7fff_ffff, 0xffff_ffff])
      expect(faultOf(() => binding.formatFlowLines(line(head), 1, texts, out))).toEqual(refused);
    texts[1] = 1; // a length of 257
    expect(faultOf(() => binding.formatFlowLines(line(0), 1, texts, out))).toEqual(refused);
    texts[1] = 0;
  });

  test('lines that are fewer than it is told, or not aligned, and room that does not do', () => {
    expect(faultOf(() => binding.formatFlowLines(line(0), 2, texts, out))).toEqual(refused);
    const shifted = new Uint8Array(new ArrayBuffer(FlowLine.size + 8), 4, FlowLine.size);
    expect(faultOf(() => binding.formatFlowLines(shifted, 1, texts, out))).toEqual(refused);
    expect(faultOf(() => binding.formatFlowLines(line(0), 1, texts, new Uint8Array(400)))).toEqual(refused);
    expect(faultOf(() => binding.formatFlowLines(line(0), 1, texts, new Float64Array(512) as never))).toEqual(refused);
  });
});
