import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ValidatedConfig } from '../../src/config/types.js';
import { FlowDump, type FlowEntry } from '../../src/controller/flow-dump.js';
import { nicTarget } from '../../src/controller/nic-target.js';
import { Replay, type ReplayOptions, type Reload as TimedReload } from '../../src/controller/replay.js';
import type { LocalShards } from '../../src/controller/shards/local-shards.js';
import { sumStatistics } from '../../src/controller/shards/sum-statistics.js';
import { type Dataplane, type DataplaneStatistics, loadBinding, ReplayStatus } from '../../src/native/binding.js';
import { DropReasonNames } from '../../src/native/records.js';
import { reusedBinding } from './devices.js';
import { watchMisses } from './miss-owners.js';
import type { Outcomes } from './outcomes.js';
import { readPcap, type TimedFrame, writePcap } from './pcap.js';
import type { Reload } from './reload.js';

export interface PortFrame extends TimedFrame {
  readonly port: number;
}

export type Drops = Readonly<Record<string, number>>;

export interface Observed {
  /** By port, in the order of sending. */
  readonly sent: readonly PortFrame[];
  /** What each drop counter rose by. */
  readonly drops: Drops;
  readonly transmitted: number;
  readonly held: number;
}

const root = join(__dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'sluice-model-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const files = (kind: string) => [0, 1].map((port) => ({ port, path: join(folder, `${kind}${port}.pcap`) }));
const INPUTS = files('in');
const OUTPUTS = files('out');
const binding = reusedBinding(loadBinding(root));

function newReplay(config: ValidatedConfig, shards: number): Replay {
  binding.next();
  return new Replay(config, binding, root, nicTarget(config.offload.target, 'net_softflow'), undefined, shards);
}

/** The gateway under test: engine, controller, compiler, slow path and software NIC, as `replay` puts them together. */
export class Subject {
  private readonly replay: Replay;
  /** The first shard's, which runs captures for all. */
  private readonly dataplane: Dataplane;
  private drops: readonly number[];

  /** @param outcomes Told by what each first packet came to its shard, where there are several. */
  constructor(config: ValidatedConfig, shards: number, outcomes: Outcomes) {
    this.replay = newReplay(config, shards);
    this.dataplane = this.replay.controllers[0].dataplane;
    const { shared } = (this.replay as unknown as ReplayInside).shards;
    if (shared !== null) watchMisses(this.replay.controllers, () => shared, outcomes);
    this.drops = this.statistics().drops;
  }

  /** Lets frames in, each at its time, and runs what timers are due on the way. */
  step(frames: readonly PortFrame[], burst: number, reload: Reload | null): Observed {
    writeInputs(frames);
    (this.replay as unknown as ReplayInside).reloads = reload === null ? [] : [asReload(reload)];
    this.dataplane.replayOpen(INPUTS, OUTPUTS);
    this.runUntilEmpty(burst);
    this.dataplane.replayClose();
    const { drops, ports, held } = this.statistics();
    const rose: Record<string, number> = {};
    for (const [reason, count] of drops.entries()) {
      if (count > this.drops[reason]) rose[DropReasonNames[reason]] = count - this.drops[reason];
    }
    this.drops = drops;
    const transmitted = ports.reduce((sum, port) => sum + port.transmitted, 0);
    return { sent: readOutputs(), drops: rose, transmitted, held };
  }

  /** Live sessions, as the flow dump tells them; counters are those of the last query. */
  flows(): FlowEntry[] {
    const [seconds, nanoseconds] = this.dataplane.clock();
    const nowMs = seconds * 1000 + Math.floor(nanoseconds / 1e6);
    return this.replay.controllers.flatMap((controller) => [...new FlowDump(controller).entries(nowMs)]);
  }

  private statistics(): DataplaneStatistics {
    return sumStatistics(this.replay.controllers.map(({ dataplane }) => dataplane.statistics()));
  }

  close(): void {
    this.replay.close();
  }

  /** As Replay.run, but without its end: nothing is drained. */
  private runUntilEmpty(burst: number): void {
    const { dataplane } = this;
    const driver = this.replay as unknown as ReplayInside;
    for (;;) {
      const [seconds, nanoseconds] = driver.nextTimer();
      const status = dataplane.replayRun(burst, seconds, nanoseconds);
      if (status === ReplayStatus.events) {
        driver.shards.handleEvents();
        driver.review();
        continue;
      }
      const next = dataplane.replayNextTime();
      if (next === null || status !== ReplayStatus.timer) return;
      driver.runTimersUntil(next[0], next[1]);
    }
  }
}

/** Replay's own turns, so that a step does what a run does. */
interface ReplayInside {
  reloads: TimedReload[];
  readonly shards: Pick<LocalShards, 'handleEvents' | 'shared'>;
  review(): void;
  nextTimer(): readonly [number, number];
  runTimersUntil(seconds: number, nanoseconds: number): void;
}

export interface WholeRun {
  readonly sent: readonly PortFrame[];
  readonly drops: Drops;
  readonly flows: readonly FlowEntry[];
  readonly nicPackets: number;
}

/** One `replay` over all frames at once. */
export function replayAll(
  config: ValidatedConfig,
  frames: readonly PortFrame[],
  burst: number,
  reloads: readonly Reload[],
  shards: number,
): WholeRun {
  const replay = newReplay(config, shards);
  try {
    writeInputs(frames);
    const options: ReplayOptions = { inputs: INPUTS, outputs: OUTPUTS, burst, reloads: reloads.map(asReload) };
    const { counters, flows } = replay.run(options);
    return { sent: readOutputs(), drops: counters.drops, flows, nicPackets: counters.nic.packets };
  } finally {
    replay.close();
  }
}

function asReload({ micros, config }: Reload): TimedReload {
  return { seconds: Math.floor(micros / 1e6), nanoseconds: (micros % 1e6) * 1000, config };
}

function writeInputs(frames: readonly PortFrame[]): void {
  for (const { port, path } of INPUTS)
    writePcap(
      path,
      frames.filter((frame) => frame.port === port),
    );
}

function readOutputs(): PortFrame[] {
  return OUTPUTS.flatMap(({ port, path }) => readPcap(path).map((frame) => ({ ...frame, port })));
}
