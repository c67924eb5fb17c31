import type { OffloadSettings, ValidatedConfig } from '../../src/config/types.js';
import { flowText, judgeFlows, sessionText } from './flows.js';
import { dissect } from './frames.js';
import { type Arrival, GatewayModel } from './gateway-model.js';
import { Generator, type Kind, type Operation, randomOperation, WEIGHTS } from './operations.js';
import { Outcomes } from './outcomes.js';
import { Random } from './random.js';
import { type Reload, randomReload } from './reload.js';
import { type Document, randomDocument, validated } from './scenario.js';
import { ShardLaw } from './shards.js';
import { Disagreement, describe } from './step.js';
import { type Drops, type Observed, type PortFrame, replayAll, Subject, type WholeRun } from './subject.js';

const START_MICROS = 1_000_000_000;
const OPERATIONS = 120;
const MODES: readonly { mode: OffloadSettings['mode']; afterPackets: number; burst: number }[] = [
  { mode: 'immediate', afterPackets: 0, burst: 32 },
  { mode: 'never', afterPackets: 0, burst: 1 },
  { mode: 'after', afterPackets: 2, burst: 32 },
];

export interface Scenario {
  readonly seed: number;
  /** Of the gateway under test. */
  readonly shards: number;
  readonly document: Document;
  readonly operations: readonly Operation[];
}

export interface Verdict {
  readonly outcomes: Outcomes;
  readonly packets: number;
  /** Null: model and gateway agree. */
  readonly fault: string | null;
  /** What went in and came out, a line each. */
  readonly log: readonly string[];
}

/** @param shards With several a port serves any remote. */
export function randomScenario(seed: number, shards = 1): Scenario {
  const random = new Random(seed);
  const document = randomDocument(random);
  const weights: Record<Kind, number> = { ...WEIGHTS };
  // Each sequence has its own likes, so that some are about little else.
  for (const kind of Object.keys(weights) as Kind[]) weights[kind] *= random.pick([0.3, 1, 1, 3]);
  if (shards > 1) {
    document.nat.mapping = 'endpoint-independent';
  }
  const operations = Array.from({ length: OPERATIONS }, () => randomOperation(random, weights));
  if (shards > 1) followReloads(operations, random);
  return { seed, shards, document, operations };
}

/** What reloads leave is looked at while it lives. */
function followReloads(operations: Operation[], random: Random): void {
  for (const [at, { kind }] of [...operations.entries()])
    for (let next = at + 1; kind === 'reconfigure' && next < Math.min(at + 5, operations.length); next++)
      if (operations[next].kind !== 'reconfigure')
        operations[next] = { kind: 'follow', delayMicros: random.int(1, 50) * 1000, seed: random.u32() };
}

/** Runs a sequence step by step beside the model, then whole in every mode. */
export function run(scenario: Scenario): Verdict {
  const outcomes = new Outcomes();
  const log: string[] = [];
  const fed: Arrival[] = [];
  try {
    const config = validated(scenario.document);
    const model = new GatewayModel(config, outcomes);
    const stepped = runStepped(scenario, config, model, fed, log);
    // With the NIC at once, and with it late or never: all must show what the steps did.
    const [atOnce, ...others] = MODES;
    for (const mode of [atOnce, others[scenario.seed % others.length]]) {
      log.push(`-- the whole sequence with offload ${mode.mode}, burst ${mode.burst}`);
      const whole = replayAll(
        withOffload(config, mode),
        fed,
        mode.burst,
        stepped.reloads.map((reload) => ({ ...reload, config: withOffload(reload.config, mode) })),
        scenario.shards,
      );
      judgeWhole(model, stepped, whole);
    }
    return { outcomes, packets: fed.length, fault: null, log };
  } catch (error) {
    const fault = error instanceof Disagreement ? error.message : `${(error as Error).stack}`;
    return { outcomes, packets: fed.length, fault, log };
  }
}

interface Stepped {
  readonly sent: PortFrame[];
  readonly drops: Record<string, number>;
  readonly reloads: Reload[];
}

function runStepped(
  scenario: Scenario,
  config: ValidatedConfig,
  model: GatewayModel,
  fed: Arrival[],
  log: string[],
): Stepped {
  const random = new Random(scenario.seed ^ 0x5eed);
  const offload = random.pick(MODES);
  const subject = new Subject(withOffload(config, offload), scenario.shards, model.outcomes);
  const stepped: Stepped = { sent: [], drops: {}, reloads: [] };
  const shards = new ShardLaw(model);
  let { document } = scenario;
  const runStep = (kind: Kind, arrivals: readonly Arrival[], reload: Reload | null) => {
    fed.push(...arrivals);
    const observed = subject.step(arrivals, random.pick([1, 32]), reload);
    if (reload !== null) log.push(`${(reload.micros / 1e6).toFixed(6)} another configuration: ${reload.text}`);
    note(log, config, kind, arrivals, observed);
    model.judge(arrivals, observed, reload);
    judgeFlows(model, subject.flows(), false);
    shards.judge();
    stepped.sent.push(...observed.sent);
    for (const [reason, count] of Object.entries(observed.drops)) {
      stepped.drops[reason] = (stepped.drops[reason] ?? 0) + count;
    }
  };
  const withMode = (reload: Reload): Reload => ({ ...reload, config: withOffload(reload.config, offload) });
  const reloadOf = ({ kind, seed }: Operation, now: Document, micros: number) =>
    kind === 'reconfigure'
      ? withMode(randomReload(now, scenario.document, new Random(seed), model, micros, scenario.shards))
      : null;
  try {
    let micros = START_MICROS;
    for (const operation of scenario.operations) {
      micros = later(micros, operation.delayMicros);
      const arrivals = new Generator(model, operation, micros).frames(operation.kind);
      if (arrivals.length === 0) continue;
      // Fragments stay together: the end of a step is the end of those that wait.
      const steps = operation.kind === 'fragments' ? [arrivals] : arrivals.map((arrival) => [arrival]);
      const reload = reloadOf(operation, document, micros);
      if (reload !== null) {
        stepped.reloads.push(reload);
        document = reload.document;
      }
      micros = arrivals[arrivals.length - 1].micros + 1000;
      for (const step of steps) runStep(operation.kind, step, reload);
    }
  } catch (error) {
    log.push('-- the gateway’s sessions', ...subject.flows().map((flow) => `    ${flowText(flow)}`));
    log.push('-- the model’s', ...[...model.state.live].map((session) => `    ${sessionText(model, session)}`));
    throw error;
  } finally {
    subject.close();
  }
  return stepped;
}

/** Negative delays go to a whole second, as many seconds on. */
function later(micros: number, delay: number): number {
  return delay >= 0 ? micros + delay : (Math.ceil(micros / 1e6) - delay - 1) * 1e6 + (micros % 1e6 === 0 ? 1e6 : 0);
}

function withOffload(config: ValidatedConfig, { mode, afterPackets }: (typeof MODES)[number]): ValidatedConfig {
  return { ...config, offload: { ...config.offload, mode, afterPackets } };
}

function note(
  log: string[],
  config: ValidatedConfig,
  kind: Kind,
  arrivals: readonly Arrival[],
  observed: Observed,
): void {
  for (const { micros, port, text } of arrivals)
    log.push(`${(micros / 1e6).toFixed(6)} ${kind}: in on port ${port}: ${text}`);
  for (const { port, micros, bytes } of observed.sent)
    log.push(`    out ${describe(dissect(config, port, micros, bytes))}`);
  if (Object.keys(observed.drops).length > 0) log.push(`    dropped ${JSON.stringify(observed.drops)}`);
}

/** A whole run must show what the steps showed: the same bytes at the same times, drops and flows. */
function judgeWhole(model: GatewayModel, stepped: Stepped, whole: WholeRun): void {
  for (const port of [0, 1]) {
    const [ours, theirs] = [stepped.sent, whole.sent].map((sent) => sent.filter((frame) => frame.port === port));
    for (let at = 0; at < Math.max(ours.length, theirs.length); at++) {
      const [a, b] = [ours[at], theirs[at]];
      if (a !== undefined && b !== undefined && a.micros === b.micros && a.bytes.equals(b.bytes)) continue;
      const text = (frame?: PortFrame) =>
        frame === undefined ? 'nothing' : describe(dissect(model.config, port, frame.micros, frame.bytes));
      throw new Disagreement(
        `the whole run sent another frame ${at} on port ${port}\n  step: ${text(a)}\n  whole: ${text(b)}`,
      );
    }
  }
  judgeDrops(model, stepped.drops, whole.drops);
  judgeFlows(model, whole.flows, true);
}

function judgeDrops(model: GatewayModel, stepped: Drops, whole: Drops): void {
  const left = new Map(Object.entries(whole));
  for (const [reason, count] of Object.entries(stepped)) left.set(reason, (left.get(reason) ?? 0) - count);
  for (const reasons of model.owed) {
    const reason = reasons.find((name) => (left.get(name) ?? 0) > 0);
    if (reason !== undefined) left.set(reason, (left.get(reason) ?? 0) - 1);
  }
  if ([...left.values()].some((count) => count !== 0)) {
    throw new Disagreement(
      `drops of the whole run ${JSON.stringify(whole)}, of the steps ${JSON.stringify(stepped)}, owed ${JSON.stringify(model.owed)}`,
    );
  }
}
