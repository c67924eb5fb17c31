import { ealArguments } from '../src/native/eal.js';
import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { cpuSeconds, loadBindings, OneCoreGateway, openFlows, QUIET, settle } from './gateways.js';
import { type BenchOptions, shuffled } from './options.js';
import { machine, type Report, type Spread, shown, spread, spreads } from './report.js';
import { type ResidentOptions, type ResidentRates, residentRates } from './resident.js';

const HOT_FLOWS = 1000;
const WARM_UP_SECONDS = 0.2;
/** A table's look-up reads at least: a bucket of the index, two lines of the rule, the session's row and its state. */
const LINES_PER_PACKET = 5;
/** Of the software table's rules and the lcore's rows; what the bound's random touches are spread over. */
const BYTES_PER_SESSION = 512;

type Way = 'software' | 'software-behind-nic' | 'nic';

interface RunOptions {
  readonly way: Way;
  readonly resident: number;
  readonly hot: number;
  readonly seconds: number;
  readonly runs: number;
  readonly seed: number;
  readonly burst: number;
}

interface RunResult {
  /** Packets a second, by run. */
  readonly random: readonly number[];
  readonly hot: readonly number[];
  /** The same by CPU second. */
  readonly randomCpu: readonly number[];
  readonly hotCpu: readonly number[];
  readonly wrong: number;
  readonly lost: number;
  readonly nicShare: number;
}

/** One process: fills the table, then forwards packets of all sessions, or of a few, in both directions. */
async function run(options: RunOptions): Promise<RunResult> {
  const { way, resident, hot, seconds, seed, burst } = options;
  const offload = way === 'nic' ? 'immediate' : 'never';
  const made = fixture({ flows: resident, offload, seed, behindSoftwareNic: way !== 'software', checkEvery: 64 });
  const gateway = new OneCoreGateway(made, burst);
  const { bench } = gateway;
  const fill = await openFlows(gateway, {
    first: 0,
    count: resident,
    window: 1024,
    perSecond: 0,
    measureLatency: false,
  });
  if (fill.failed > 0) throw new Error(`${fill.failed} of ${resident} sessions could not be set up`);
  await settle(gateway);
  const before = gateway.controller.dataplane.statistics();
  const figures = {
    random: [] as number[],
    hot: [] as number[],
    randomCpu: [] as number[],
    hotCpu: [] as number[],
  };
  let wrong = 0;
  let lost = 0;
  const kinds = shuffled(
    Array.from({ length: options.runs * 2 }, (_, i) => (i % 2 === 0 ? ('random' as const) : ('hot' as const))),
    seed,
  );
  let all = 0;
  for (const [i, kind] of kinds.entries()) {
    const program = { ...QUIET, pattern: 'random', count: kind === 'hot' ? hot : resident, seed: seed + i } as const;
    bench.resetCounters();
    bench.run('fabric', program);
    bench.run('external', { ...program, seed: seed + i + 1000 });
    await gateway.runFor(Math.min(WARM_UP_SECONDS, seconds));
    const begin = accepted(bench.counters());
    const cpuBegin = cpuSeconds();
    const passed = await gateway.runFor(seconds);
    const cpu = cpuSeconds() - cpuBegin;
    const packets = accepted(bench.counters()) - begin;
    figures[kind].push(packets / passed);
    figures[`${kind}Cpu`].push(packets / cpu);
    bench.run('fabric', QUIET);
    bench.run('external', QUIET);
    await settle(gateway);
    const { fabric, external } = bench.counters();
    wrong += fabric.bad + fabric.badChecksum + external.bad + external.badChecksum;
    lost += fabric.emitted + external.emitted - fabric.accepted - external.accepted;
    all += fabric.emitted + external.emitted;
  }
  const after = gateway.controller.dataplane.statistics();
  const nicShare = (after.nic.packets - before.nic.packets) / all;
  gateway.close();
  return { ...figures, wrong, lost: lost - wrong, nicShare };
}

function accepted({ fabric, external }: ReturnType<ReturnType<typeof loadBindings>['bench']['counters']>): number {
  return fabric.accepted + external.accepted;
}

interface BoundOptions {
  readonly lines: number;
  readonly resident: number;
  readonly hot: boolean;
  readonly hotFlows: number;
  readonly seconds: number;
  readonly seed: number;
  readonly burst: number;
}

/** The wires alone: packets a second when what is received on one is sent on the other. */
async function bound(options: BoundOptions): Promise<number> {
  const { lines, resident, hot, seconds, seed, burst } = options;
  const made = fixture({
    flows: resident,
    offload: 'never',
    seed,
    behindSoftwareNic: false,
    checkEvery: 64,
    untranslated: true,
  });
  const { root, binding, bench } = loadBindings();
  bench.setScenario(made.scenario);
  binding.startEal(ealArguments(root, { memoryMb: 256, lcores: 1, pci: [] }));
  for (const port of made.config.ports) binding.probeDevice(port.device ?? '');
  const flows = hot ? options.hotFlows : resident;
  for (const side of ['fabric', 'external'] as const) {
    bench.run(side, { ...QUIET, pattern: 'random', count: flows, seed: seed + (side === 'fabric' ? 0 : 1000) });
  }
  const loop = { devices: made.devices, burst, lines, footprintBytes: flows * BYTES_PER_SESSION };
  bench.wireLoop({ ...loop, seconds: Math.min(WARM_UP_SECONDS, seconds) });
  const { packets, seconds: passed } = bench.wireLoop({ ...loop, seconds });
  return packets / passed;
}

export const parts = { run, bound, resident: residentRates };

export async function measure(options: BenchOptions): Promise<Report> {
  const { resident, seconds, seed, burst, runs } = options;
  const conditions = machine();
  const hotFlows = Math.min(HOT_FLOWS, resident);
  const results = new Map<Way, RunResult>();
  for (const way of shuffled<Way>(['software', 'software-behind-nic', 'nic'], seed)) {
    results.set(
      way,
      await runInChild<RunResult>('forward', 'run', { way, resident, hot: hotFlows, seconds, seed, runs, burst }),
    );
  }
  const rates = { all: [] as number[], hot: [] as number[], wires: [] as number[] };
  for (let i = 0; i < runs; i++) {
    const base = { resident, hotFlows, seconds, seed: seed + i, burst };
    rates.all.push(await runInChild<number>('forward', 'bound', { ...base, lines: LINES_PER_PACKET, hot: false }));
    rates.hot.push(await runInChild<number>('forward', 'bound', { ...base, lines: LINES_PER_PACKET, hot: true }));
    rates.wires.push(await runInChild<number>('forward', 'bound', { ...base, lines: 0, hot: false }));
  }
  const rules: ResidentOptions = { count: resident, hot: hotFlows, seconds, runs, seed, burst, bound: false };
  const inNic = await runInChild<ResidentRates>('forward', 'resident', rules);
  const inBound = await runInChild<ResidentRates>('forward', 'resident', { ...rules, bound: true });
  const of = (way: Way) => {
    const { random, hot, randomCpu, hotCpu } = results.get(way) as RunResult;
    return { random: spread(random), hot: spread(hot), cpu: { random: spread(randomCpu), hot: spread(hotCpu) } };
  };
  const [software, behindNic, nic] = (['software', 'software-behind-nic', 'nic'] as const).map(of);
  const boundAll = spread(rates.all);
  const boundHot = spread(rates.hot);
  const wires = spread(rates.wires);
  const wrong = [...results.values()].reduce((sum, result) => sum + result.wrong, 0);
  const lost = [...results.values()].reduce((sum, result) => sum + result.lost, 0);
  const spreadsOf = ({ random, hot, randomCpu, hotCpu }: ResidentRates) => ({
    random: spread(random),
    hot: spread(hot),
    cpu: { random: spread(randomCpu), hot: spread(hotCpu) },
  });
  const shapes = spreadsOf(inNic);
  const shapesBound = spreadsOf(inBound);
  const share = (kind: 'random' | 'hot') => Number((shapes.cpu[kind].median / shapesBound.cpu[kind].median).toFixed(3));
  const nicShare = (results.get('nic') as RunResult).nicShare;
  const both = ({ random, hot }: { random: Spread; hot: Spread }) => ({ random1M: mpps(random), hot1k: mpps(hot) });
  const line = ({ random, hot }: { random: Spread; hot: Spread }) =>
    `${shown(random)} at random over ${resident} sessions, ${shown(hot)} over ${hotFlows}`;
  const remarks = [];
  const shapesWrong = inNic.wrong + inBound.wrong + inNic.lost + inBound.lost;
  if (shapesWrong > 0) remarks.push(`${shapesWrong} frames of the eight shapes came out wrong or not at all`);
  if (wrong > 0) remarks.push(`${wrong} frames came out wrong: the rates are not valid`);
  if (lost > 0) remarks.push(`${lost} frames were lost`);
  return {
    name: 'forward',
    figures: {
      softwareMpps: both(software),
      nicMpps: both(nic),
      shapesMpps: both(shapes),
      shapesBoundMpps: both(shapesBound),
      shapesShareOfBound: { random1M: share('random'), hot1k: share('hot') },
      shapesWrong,
      boundMpps: mpps(boundAll),
      boundHot1kMpps: mpps(boundHot),
      wireMpps: mpps(wires),
      softwareBehindNicMpps: both(behindNic),
      millionsPerCpuSecond: {
        software: both(software.cpu),
        nic: both(nic.cpu),
        shapes: both(shapes.cpu),
        shapesBound: both(shapesBound.cpu),
        softwareBehindNic: both(behindNic.cpu),
      },
      nanosWithoutWire: {
        softwareRandom1M: nanos(software.random, wires),
        softwareHot1k: nanos(software.hot, wires),
        nicRandom1M: nanos(nic.random, wires),
        nicHot1k: nanos(nic.hot, wires),
      },
      nicShare,
      wrong,
      lost,
      spread: spreads({
        softwareRandom1M: software.random,
        softwareHot1k: software.hot,
        nicRandom1M: nic.random,
        nicHot1k: nic.hot,
        bound: boundAll,
      }),
    },
    lines: [
      {
        label: 'software',
        value: line(software),
        means:
          'packets a second of one core that receives, parses, finds the rule, translates, repairs checksums and sends; half from the fabric (VXLAN popped), half from outside (pushed); the core also makes and checks the frames; no NIC rules, no NIC between',
      },
      {
        label: 'software behind net_softflow',
        value: line(behindNic),
        means: 'the same with the software NIC, without rules, between wire and slow path',
      },
      {
        label: 'software NIC',
        value: line(nic),
        means: `the same packets served by the rules in net_softflow on that core; ${(nicShare * 100).toFixed(2)}% of them never reached the slow path`,
      },
      {
        label: 'eight shapes',
        value: `${shown(shapes.random)} at random over ${resident} rules, ${shown(shapes.hot)} over ${hotFlows}; a CPU second ${shown(shapes.cpu.random)} and ${shown(shapes.cpu.hot)}`,
        means:
          'net_softflow alone: rules of eight shapes (UDP, TCP and ICMP out of VXLAN and into it, VXLAN to VXLAN, plain to plain) behind a gateway’s constant rules; inner frames of 64 bytes with their checksum, wires in memory; making the frames, and checking one in 64, included',
      },
      {
        label: 'bound of these',
        value: `${shown(shapesBound.random)} and ${shown(shapesBound.hot)}; a CPU second ${shown(shapesBound.cpu.random)} and ${shown(shapesBound.cpu.hot)}; of it the rules reach ${(share('random') * 100).toFixed(0)}% and ${(share('hot') * 100).toFixed(0)}% a CPU second`,
        means:
          'a loop on the same wires that parses, touches the same memory at the same prefetch depth, rewrites and repairs checksums, and knows without looking which rule it is',
      },
      {
        label: 'a CPU second',
        value: `software ${shown(software.cpu.random)} and ${shown(software.cpu.hot)}, software NIC ${shown(nic.cpu.random)} and ${shown(nic.cpu.hot)}`,
        means: 'the same by the CPU time that the process got: what others took of the core does not count',
      },
      {
        label: 'bound',
        value: `${shown(boundAll)}, over ${hotFlows} sessions ${shown(boundHot)}`,
        means: `the same wires and checks, no parsing and no rewriting, ${LINES_PER_PACKET} random cache lines a packet of memory of the same size, fetched a burst at a time`,
      },
      { label: 'wires alone', value: shown(wires), means: 'making and checking frames only: part of all rates above' },
    ],
    conditions: { ...conditions, seed, runs, seconds, resident, burst, frameBytes: '110 in VXLAN, 60 plain' },
    remarks,
  };
}

function mpps({ median }: Spread): number {
  return Number((median / 1e6).toFixed(3));
}

/** Nanoseconds a packet costs beyond its making and checking. */
function nanos(of: Spread, wires: Spread): number {
  return Number((1e9 / of.median - 1e9 / wires.median).toFixed(1));
}
