import { ealArguments } from '../src/native/eal.js';
import { runInChild } from './child.js';
import { countBuffers } from './count-buffers.js';
import { fixture } from './fixture.js';
import { loadBindings, OneCoreGateway, openFlows, settle } from './gateways.js';
import type { BenchOptions } from './options.js';
import { machine, type Report, shown, spread, spreads } from './report.js';
import { natRules } from './rules.js';

/** Sessions of the gateway that the full one is compared with. */
const FEW = 16;

interface SessionOptions {
  /** Of the traffic. */
  readonly sessions: number;
  /** What the gateway is sized for, and holds. */
  readonly held: number;
  readonly seed: number;
  readonly burst: number;
}

/** What of the engine's buffers is whose; `rest` is timers, pools and the controller's marks. */
const PARTS = ['sessions', 'mappings', 'hosts', 'rest'] as const;

interface SessionResult {
  readonly rss: number;
  readonly held: number;
  /** Bytes of the buffers that the controller and all it refers to hold. */
  readonly buffers: number;
  /** The same by PARTS; the rest includes what the lcore shares. */
  readonly bytesOfParts: readonly number[];
  /** As the software table counts its rows and indexes. */
  readonly softwareTable: number;
  /** Entries of Maps and Sets, which hold no buffers. */
  readonly entries: number;
}

/** A gateway with all the sessions open that it is sized for, beside the same traffic whatever their number. */
async function session({ sessions, held: flows, seed, burst }: SessionOptions): Promise<SessionResult> {
  const traffic = { offload: 'never', seed, behindSoftwareNic: false, checkEvery: 64 } as const;
  const made = fixture({ ...traffic, flows: sessions });
  const { config } = flows === sessions ? made : fixture({ ...traffic, flows });
  const gateway = new OneCoreGateway({ ...made, config }, burst);
  const { failed } = await openFlows(gateway, {
    first: 0,
    count: flows,
    window: 1024,
    perSecond: 0,
    measureLatency: false,
  });
  if (failed > 0) throw new Error(`${failed} of ${flows} sessions could not be set up`);
  await settle(gateway);
  const rss = rssAfterCollection();
  const { sessions: table, mappings, hosts } = gateway.controller.engine;
  const held = table.count;
  const seen = new Set<unknown>();
  const counts = [table, mappings, hosts, gateway.controller].map((part) => countBuffers(part, seen));
  const { softwareTableBytes } = gateway.controller.dataplane.statistics();
  gateway.close();
  return {
    softwareTable: softwareTableBytes,
    rss,
    held,
    buffers: counts.reduce((sum, { bytes }) => sum + bytes, 0),
    bytesOfParts: counts.map(({ bytes }) => bytes),
    entries: counts.reduce((sum, { entries }) => sum + entries, 0),
  };
}

interface RuleOptions {
  readonly sessions: number;
  readonly seed: number;
}

interface RuleResult {
  readonly rules: number;
  readonly rss: number;
  /** As the engine counts its own tables, rows and indexes, a rule: created one by one, as net_softflow has them. */
  readonly countedRule: number;
}

/** Rules in net_softflow, without a gateway. */
async function rule({ sessions, seed }: RuleOptions): Promise<RuleResult> {
  const made = fixture({ flows: sessions, offload: 'immediate', seed, behindSoftwareNic: true, checkEvery: 1 });
  const { root, binding, bench } = loadBindings();
  bench.setScenario(made.scenario);
  binding.startEal(ealArguments(root, { memoryMb: 256, lcores: 1, pci: [] }));
  for (const port of made.config.ports) binding.probeDevice(port.device ?? '');
  bench.openPorts(made.devices);
  const { hosts, poolFirst, poolLast } = made.scenario;
  const base = { devices: made.devices, hosts, poolAddresses: poolLast - poolFirst + 1, sessions, batch: 1, seed };
  const nic = natRules(made, 'softflow');
  const before = rssAfterCollection();
  const kept = bench.insertion({ ...base, ...nic, way: 'keep' });
  const rss = rssAfterCollection() - before;
  if (kept.failed > 0) throw new Error(`${kept.failed} rules were refused: ${kept.error}`);
  const asRules = bench.insertion({ ...base, ...nic, way: 'engine-rules' });
  return {
    rules: kept.rules,
    rss: rss / kept.rules,
    countedRule: (asRules.bytes ?? 0) / asRules.rules,
  };
}

function rssAfterCollection(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  return process.memoryUsage.rss();
}

async function sizes() {
  return loadBindings().bench.sizes();
}

export const parts = { session, rule, sizes };

export async function measure(options: BenchOptions): Promise<Report> {
  const { resident, seed, runs, burst } = options;
  const conditions = machine();
  const measured: number[] = [];
  const further: number[] = [];
  const script: number[] = [];
  const rules: RuleResult[] = [];
  const software: number[] = [];
  const parts: number[][] = PARTS.map(() => []);
  let entries = 0;
  for (let i = 0; i < runs; i++) {
    const base = { sessions: resident, seed: seed + i, burst };
    const of = (held: number) => runInChild<SessionResult>('memory', 'session', { ...base, held });
    const full = await of(resident);
    const half = await of(Math.ceil(resident / 2));
    const few = await of(FEW);
    further.push((full.rss - half.rss) / (full.held - half.held));
    measured.push((full.rss - few.rss) / full.held);
    software.push((full.softwareTable - few.softwareTable) / full.held);
    script.push((full.buffers - few.buffers) / full.held);
    PARTS.forEach((_, part) => {
      parts[part].push((full.bytesOfParts[part] - few.bytesOfParts[part]) / full.held);
    });
    entries = Math.max(entries, (full.entries - few.entries) / full.held);
    rules.push(await runInChild<RuleResult>('memory', 'rule', { sessions: resident, seed: seed + i }));
  }
  const { sessionRow, sessionCounters, nicRules } = await runInChild<Awaited<ReturnType<typeof sizes>>>(
    'memory',
    'sizes',
    {},
  );
  const perSession = spread(measured);
  const perFurther = spread(further);
  const perRule = spread(rules.map(({ rss }) => rss));
  // The controller's buffers include the rows and counters that the lcore shares with it.
  const countedScript = spread(script).median - sessionRow - sessionCounters;
  const softwareRules = spread(software).median;
  const countedRule = spread(rules.map(({ countedRule }) => countedRule)).median;
  const native = sessionRow + sessionCounters;
  const counted = countedScript + native + softwareRules;
  const bytes = (value: number) => Number(value.toFixed(1));
  const ofPart = parts.map((values, part) =>
    bytes(spread(values).median - (PARTS[part] === 'rest' ? sessionRow + sessionCounters : 0)),
  );
  return {
    name: 'memory',
    figures: {
      bytesPerSession: bytes(perSession.median),
      bytesPerFurtherSession: bytes(perFurther.median),
      bytesPerRule: bytes(perRule.median),
      bytesPerSessionCounted: bytes(counted),
      engineBytesPerSession: bytes(countedScript),
      counted: {
        engine: bytes(countedScript),
        lcoreRows: native,
        softwareRules: bytes(softwareRules),
        mapEntries: bytes(entries),
      },
      engineParts: Object.fromEntries(PARTS.map((name, part) => [name, ofPart[part]])),
      bytesPerRuleCounted: bytes(countedRule),
      lcoreBytesPerOffloadedSession: nicRules,
      resident,
      spread: spreads({ bytesPerSession: perSession, bytesPerFurtherSession: perFurther, bytesPerRule: perRule }),
    },
    lines: [
      {
        label: 'bytes a session',
        value: shown(perSession, 4),
        means: `resident memory of a gateway sized for ${resident} sessions with all of them open, less that of one with ${FEW}; after garbage collection; no NIC rules. With rings, packet buffers and code that are touched by the first flows already`,
      },
      {
        label: 'a further session',
        value: shown(perFurther, 4),
        means: "the same less that of a gateway with half as many: engine, lcore's rows and software table",
      },
      {
        label: 'of it the engine',
        value: `${bytes(countedScript)} = ${PARTS.map((name, part) => `${name} ${ofPart[part]}`).join(' + ')}`,
        means:
          'all buffers the controller reaches but those it shares with the lcore; rows and indexes; a mapping a session, a host for each 15 at a million; the rest: timers, pools, marks',
      },
      {
        label: 'counted',
        value: `${bytes(counted)} = engine ${bytes(countedScript)} + lcore's rows ${native} + 2 software rules ${bytes(softwareRules)}`,
        means: `engine: all buffers the controller reaches, per session, whose capacity grows in powers of two in places; Map entries beside them: ${bytes(entries)} a session; software rules: as the engine counts its rows and indexes`,
      },
      {
        label: 'bytes a NIC rule',
        value: `${shown(perRule, 4)}, counted ${bytes(countedRule)}`,
        means: `net_softflow's, of ${resident * 2} rules: resident memory before and after, and as its engine counts; beside them the lcore keeps ${nicRules} bytes of a session that is offloaded, both directions`,
      },
    ],
    conditions: { ...conditions, seed, runs, resident },
    remarks: [],
  };
}
