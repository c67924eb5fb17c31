import { packageRoot } from '../src/config/package-root.js';
import { ealArguments } from '../src/native/eal.js';
import { runInChild } from './child.js';
import { type Fixture, fixture } from './fixture.js';
import { parts as forwardParts } from './forward.js';
import { loadBindings, QUIET } from './gateways.js';
import { KernelNat } from './kernel-nat.js';
import type { BenchBinding } from './native.js';
import { type BenchOptions, shuffled } from './options.js';
import { type Figure, machine, type Report, type Spread, shown, spread, spreads } from './report.js';
import { run as setupRun } from './setup-runs.js';
import { testpmdForwarding } from './testpmd.js';

const HOT_FLOWS = 1000;
const SLICE_SECONDS = 0.02;
const STALL_MS = 1000;
/** First packets on their way through the kernel at most: fewer than its backlog takes. */
const KERNEL_WINDOW = 256;
const MODES = ['io', 'macswap', 'csum'] as const;

interface KernelOptions {
  readonly flows: number;
  readonly seconds: number;
  readonly seed: number;
}

interface KernelResult {
  readonly newFlowsPerSecond: number;
  readonly failed: number;
  /** Over all flows, and over a few. */
  readonly randomPerSecond: number;
  readonly hotPerSecond: number;
  readonly wrong: number;
}

function kernelFixture({ flows, seed }: Pick<KernelOptions, 'flows' | 'seed'>): Fixture {
  return fixture({ flows, offload: 'never', seed, behindSoftwareNic: false, checkEvery: 16 });
}

/** In the traffic's namespace: the benches' own wires, each joined to an interface by net_af_packet. */
async function kernel(options: KernelOptions): Promise<KernelResult> {
  const { flows, seconds, seed } = options;
  const made = kernelFixture(options);
  const { root, binding, bench } = loadBindings();
  bench.setScenario(made.scenario);
  binding.startEal([...ealArguments(root, { memoryMb: 512, lcores: 1, pci: [] }), '-d', 'librte_net_af_packet.so']);
  for (const port of made.config.ports) binding.probeDevice(port.device ?? '');
  const sockets = ['net_af_packet0', 'net_af_packet1'] as const;
  const rings = 'blocksz=65536,framesz=2048,framecnt=2048,qdisc_bypass=1';
  binding.probeDevice(`${sockets[0]},iface=fabric,${rings}`);
  binding.probeDevice(`${sockets[1]},iface=external,${rings}`);
  const relay = (time: number) =>
    bench.wireLoop({ devices: [...made.devices, ...sockets], burst: 32, lines: 0, footprintBytes: 64, seconds: time });
  bench.resetCounters();
  bench.run('fabric', { ...QUIET, pattern: 'new', first: 0, count: flows, window: KERNEL_WINDOW });
  let last = -1;
  for (let since = performance.now(); performance.now() - since < STALL_MS; ) {
    relay(SLICE_SECONDS);
    const { accepted } = bench.counters().external;
    if (accepted !== last) since = performance.now();
    last = accepted;
    if (accepted >= flows) break;
  }
  const { fabric, external } = bench.counters();
  const newFlowsPerSecond = (external.accepted * 1e6) / (external.lastAcceptMicros - fabric.firstEmitMicros);
  const failed = flows - external.accepted;
  let wrong = external.bad + external.badChecksum;
  const rate = (count: number): number => {
    for (const side of ['fabric', 'external'] as const) bench.run(side, { ...QUIET, pattern: 'random', count, seed });
    relay(Math.min(0.2, seconds));
    const before = accepted(bench);
    const passed = relay(seconds).seconds;
    const result = (accepted(bench) - before) / passed;
    for (const side of ['fabric', 'external'] as const) bench.run(side, QUIET);
    relay(0.1);
    const counters = bench.counters();
    for (const side of ['fabric', 'external'] as const) wrong += counters[side].bad + counters[side].badChecksum;
    bench.resetCounters();
    return result;
  };
  bench.resetCounters();
  const randomPerSecond = failed === 0 ? rate(flows) : 0;
  const hotPerSecond = rate(Math.min(HOT_FLOWS, flows));
  return { newFlowsPerSecond, failed, randomPerSecond, hotPerSecond, wrong };
}

function accepted(bench: BenchBinding): number {
  const { fabric, external } = bench.counters();
  return fabric.accepted + external.accepted;
}

export const parts = { kernel, setup: setupRun, forward: forwardParts.run };

async function throughKernel(options: KernelOptions): Promise<KernelResult> {
  const nat = new KernelNat(kernelFixture(options).scenario, options.flows);
  try {
    const under = ['ip', 'netns', 'exec', nat.traffic];
    return await runInChild<KernelResult>('peers', 'kernel', options, { under });
  } finally {
    nat.close();
  }
}

export async function measure(options: BenchOptions): Promise<Report> {
  const { flows, seconds, seed, runs, burst, window } = options;
  const conditions = machine();
  const root = packageRoot();
  const remarks = new Set<string>();
  const kernels: KernelResult[] = [];
  const rates = { setup: [] as number[], random: [] as number[], hot: [] as number[] };
  const testpmd = new Map<string, number[]>(MODES.map((mode) => [mode, []]));
  const kinds = ['kernel', 'setup', 'forward', ...MODES] as const;
  const order = Array.from({ length: runs }, (_, i) => kinds.map((kind) => ({ kind, seed: seed + i }))).flat();
  for (const { kind, seed: own } of shuffled(order, seed)) {
    try {
      if (kind === 'kernel') {
        kernels.push(await throughKernel({ flows, seconds, seed: own }));
      } else if (kind === 'setup') {
        const few = { oneCore: true, resident: 1, flows, window, seed: own, burst, perSecond: 0 };
        rates.setup.push((await runInChild<{ perSecond: number }>('peers', 'setup', few)).perSecond);
      } else if (kind === 'forward') {
        const hot = Math.min(HOT_FLOWS, flows);
        const ours = { way: 'software', resident: flows, hot, seconds, runs: 1, seed: own, burst };
        const result = await runInChild<{ random: number[]; hot: number[] }>('peers', 'forward', ours);
        rates.random.push(...result.random);
        rates.hot.push(...result.hot);
      } else {
        const { packetsPerSecond } = await testpmdForwarding(root, kind, Math.min(HOT_FLOWS, flows), seconds);
        testpmd.get(kind)?.push(packetsPerSecond);
      }
    } catch (error) {
      remarks.add(`${kind} not measured: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  const of = (values: readonly number[] | undefined): Spread | null =>
    values === undefined || values.length === 0 ? null : spread(values);
  const kernelOf = (pick: (result: KernelResult) => number) => of(kernels.map(pick));
  const nft = {
    setup: kernelOf(({ newFlowsPerSecond }) => newFlowsPerSecond),
    random: kernelOf(({ randomPerSecond }) => randomPerSecond),
    hot: kernelOf(({ hotPerSecond }) => hotPerSecond),
  };
  const failed = kernels.reduce((sum, result) => sum + result.failed, 0);
  const wrong = kernels.reduce((sum, result) => sum + result.wrong, 0);
  if (failed > 0) remarks.add(`the kernel lost ${failed} first packets`);
  if (wrong > 0) remarks.add(`${wrong} frames came out of the kernel other than expected`);
  const ours = { setup: of(rates.setup), random: of(rates.random), hot: of(rates.hot) };
  const figure = (value: Spread | null): Figure => (value === null ? null : Math.round(value.median));
  const value = (of: Spread | null) => (of === null ? 'not measured' : shown(of));
  const forwarding = Object.fromEntries(MODES.map((mode) => [mode, of(testpmd.get(mode))]));
  const measured = Object.entries({
    nftablesNewFlows: nft.setup,
    nftablesRandom: nft.random,
    nftablesHot: nft.hot,
    sluiceNewFlows: ours.setup,
    sluiceRandom: ours.random,
    sluiceHot: ours.hot,
  }).filter((entry): entry is [string, Spread] => entry[1] !== null);
  return {
    name: 'peers',
    figures: {
      nftables:
        nft.setup === null
          ? null
          : {
              newFlowsPerSecond: figure(nft.setup),
              packetsPerSecond: figure(nft.random),
              hotPacketsPerSecond: figure(nft.hot),
            },
      sluice: {
        newFlowsPerSecond: figure(ours.setup),
        packetsPerSecond: figure(ours.random),
        hotPacketsPerSecond: figure(ours.hot),
      },
      testpmdPacketsPerSecond: Object.fromEntries(MODES.map((mode) => [mode, figure(forwarding[mode])])),
      failed,
      wrong,
      spread: spreads(Object.fromEntries(measured)),
    },
    lines: [
      {
        label: 'kernel, new flows/s',
        value: value(nft.setup),
        means: `nftables source NAT in a network namespace: VXLAN device, routing, conntrack, the same pool; ${flows} flows into an empty table, ${KERNEL_WINDOW} first packets on their way at most; frames come and go through veth and AF_PACKET rings, which the traffic's core pays for, while the kernel handles them on the other (RPS): what bounds it is the slower of the two`,
      },
      {
        label: 'kernel, packets/s',
        value: `${value(nft.random)} at random over ${flows} flows, ${value(nft.hot)} over ${Math.min(HOT_FLOWS, flows)}`,
        means: 'the same, half of them in each direction; more are offered than come through',
      },
      {
        label: 'Sluice, new flows/s',
        value: value(ours.setup),
        means: `the same flows into an empty table on one core in turns, both NIC rules installed too; the wires of the benches, without veth and AF_PACKET`,
      },
      {
        label: 'Sluice, packets/s',
        value: `${value(ours.random)} at random over ${flows} flows, ${value(ours.hot)} over ${Math.min(HOT_FLOWS, flows)}`,
        means: 'in software on one core, no NIC rules',
      },
      {
        label: 'testpmd, packets/s',
        value: MODES.map((mode) => `${mode} ${value(forwarding[mode])}`).join(', '),
        means:
          "DPDK's testpmd on one core between the benches' wires, which make and check the frames on that core: the ceiling of the wire for whoever moves frames, swaps MAC addresses, or parses them for checksums",
      },
    ],
    conditions: { ...conditions, seed, runs, seconds, flows },
    remarks: [...remarks],
  };
}
