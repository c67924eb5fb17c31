import { mayFollow } from '../../../src/controller/rule-states.js';
import { RulePath } from '../../../src/native/records.js';
import { Random } from '../../model/random.js';
import { Account } from './account.js';
import { InlineGateway } from './inline-gateway.js';
import type { Nic } from './nics.js';

const CHUNK = 20;
const CHUNKS = 8;
const FLOWS = CHUNK * CHUNKS;
/** Tries again until a NIC's whims have passed: longer than every delay. */
const RETRIES_MS = [600, 1100, 2100, 4100, 8100];
/** Each may be refused. */
const CONSTANT_RULES = 32;
/** Walks until a full NIC has whom it should: it learns its room in steps. */
const WALKS = 6;

export interface Verdict {
  readonly nic: string;
  readonly seed: number;
  /** With the operations that led there; empty: none. */
  readonly faults: readonly string[];
  readonly operations: number;
  /** Rules of flows that the NIC had at a quiet moment, at most. */
  readonly mostOffloaded: number;
  /** Changes of a direction's state, as seen after each round, by how often. */
  readonly transitions: Readonly<Record<string, number>>;
  readonly evictions: number;
  readonly retries: number;
  /** Rules that came behind the gateway's back, and those that went. */
  readonly meddled: number;
  readonly lost: number;
  /** By errno. */
  readonly refusals: Readonly<Record<string, number>>;
}

/** Changes of the states of all directions, round by round. */
class Transitions {
  readonly counts: Record<string, number> = {};
  readonly illegal = new Set<string>();
  private readonly last = new Map<string, number>();

  observe(gateway: InlineGateway): void {
    const { sessions } = gateway.controller.engine;
    for (const { row, isForward, path } of gateway.directions()) {
      const key = `${row}.${sessions.generation(row)}.${isForward}`;
      const before = this.last.get(key) ?? RulePath.software;
      if (before === path) continue;
      this.last.set(key, path);
      const step = `${NAMES[before]}>${NAMES[path]}`;
      this.counts[step] = (this.counts[step] ?? 0) + 1;
      if (!mayFollow(before, path)) this.illegal.add(step);
    }
  }
}

const NAMES = Object.fromEntries(Object.entries(RulePath).map(([name, value]) => [value, name]));

/** Random operations on a gateway with such a NIC; after each of `moments` of them it is quiet and is judged. */
export async function run(nic: Nic, seed: number, moments: number): Promise<Verdict> {
  const transitions = new Transitions();
  const gateway = new InlineGateway(nic, FLOWS, seed, (one) => transitions.observe(one));
  const random = new Random(seed);
  const pick = (count: number) => random.int(0, count - 1);
  const limit = /max_rules=([0-9]+)/.exec(nic.deviceArguments)?.[1];
  const room = limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  const account = new Account(gateway, FLOWS, room, nic.givenUp ?? 0.1);
  const isLive = new Array<boolean>(CHUNKS).fill(false);
  const log: string[] = [];
  let faults: string[] = [];
  let operations = 0;
  let mostOffloaded = 0;

  const sendOnce = (side: 'fabric' | 'external', first: number, count: number) => {
    const other = side === 'fabric' ? 'external' : 'fabric';
    const wanted = gateway.bench.counters()[other].accepted + count;
    gateway.send(side, { pattern: 'new', first, count, window: 16 });
    if (!gateway.until(() => gateway.bench.counters()[other].accepted >= wanted))
      faults.push(`packets of ${side} are lost`);
    gateway.send(side, {});
  };
  const evictSome = () => {
    for (const { row, isForward } of gateway.directions())
      if (isForward && random.chance(0.3))
        gateway.controller.evict(row, gateway.controller.engine.sessions.generation(row));
  };
  const offloadSome = () => {
    for (const { row, isForward } of gateway.directions())
      if (isForward && random.chance(0.5))
        gateway.controller.offload(row, gateway.controller.engine.sessions.generation(row));
  };
  /** All sessions are made anew twice: once for another inner MAC, which answers would show, and back. */
  const remake = () => {
    for (const change of [1, 0]) {
      const vpcs = gateway.config.vpcs.map((vpc) => ({
        ...vpc,
        routes: vpc.routes.map((route) => ({ ...route, mac: route.mac + change })),
      }));
      gateway.controller.reconfigure({ ...gateway.config, vpcs });
      gateway.until(() => !gateway.controller.engine.reviewIsPending);
    }
  };
  const silence = () => {
    gateway.hush();
    gateway.settle();
    for (const until of [0, Number.POSITIVE_INFINITY]) {
      gateway.dataplane.limit(until, until);
      gateway.round();
      if (!gateway.until(() => gateway.dataplane.liveness().jumpsFollow)) faults.push('jumps do not follow the lease');
      const ways = gateway.devices.map((device) => / JUMP\b/.test(gateway.bench.installedRules(device)));
      const lead = until > 0 && jumps;
      if (ways.some((way) => way !== lead)) faults.push(`jumps ${ways} with a lease until ${until}`);
    }
  };
  let jumps = false;
  let meddled = 0;
  let lost = 0;

  const OPERATIONS: Record<string, (first: number, chunk: number) => unknown> = {
    open: (first, chunk) => {
      if (isLive[chunk]) return;
      gateway.bench.forgetEndpoints(first, CHUNK);
      account.opened(first, CHUNK);
      sendOnce('fabric', first, CHUNK);
      isLive[chunk] = true;
    },
    close: (first, chunk) => {
      if (!isLive[chunk]) return;
      gateway.hush();
      gateway.settle();
      const { sessions } = gateway.controller.engine;
      for (const { row, isForward } of gateway.directions()) {
        const flow = account.flowOf(row);
        if (isForward && flow >= first && flow < first + CHUNK)
          gateway.controller.engine.clear(row, sessions.generation(row));
      }
      isLive[chunk] = false;
      gateway.settle();
    },
    out: (first, chunk) => {
      if (isLive[chunk]) gateway.send('fabric', { pattern: 'random', first, count: CHUNK, seed: pick(1e6) + 1 });
    },
    back: (first, chunk) => {
      if (isLive[chunk]) gateway.send('external', { pattern: 'random', first, count: CHUNK, seed: pick(1e6) + 1 });
    },
    rounds: () => gateway.rounds(1 + pick(60)),
    hush: () => gateway.hush(),
    evict: evictSome,
    offload: offloadSome,
    remake: () => {
      gateway.send('external', {});
      gateway.rounds(2);
      remake();
    },
    later: () => gateway.later(500 + pick(4000)),
    // As a live gateway does.
    rank: () => (gateway.controller.isShortOfRoom ? gateway.rank() : undefined),
    silence,
    meddle: async () => {
      gateway.hush();
      gateway.settle();
      const added = [0, 0];
      const isFlushed = random.chance(0.5);
      if (isFlushed) gateway.bench.flushRules(gateway.devices[pick(2)]);
      gateway.devices.forEach((device, i) => {
        added[i] = gateway.bench.addForeignRules(device, pick(6));
      });
      const found = await gateway.reconcile();
      found.forEach(({ stale }, i) => {
        if (stale !== added[i]) faults.push(`port ${i}: ${added[i]} rules were added, ${stale} were found stale`);
      });
      meddled += added[0] + added[1];
      lost += found.reduce((sum, { missing }) => sum + missing, 0);
      if (isFlushed) account.recount();
      const rest = await gateway.reconcile();
      if (rest.some(({ stale, missing }) => stale + missing > 0)) faults.push(`after repair: ${JSON.stringify(rest)}`);
    },
  };
  const names = Object.keys(OPERATIONS);
  /** As sessions come first. */
  const weighted = [...names, 'open', 'open', 'open', 'out', 'back', 'rounds', 'rounds', 'evict', 'offload'];

  const retry = () => {
    for (const ms of RETRIES_MS) {
      gateway.later(ms);
      gateway.settle();
    }
  };

  const becomeQuiet = async () => {
    gateway.hush();
    gateway.settle();
    retry();
    for (let i = 0; i < WALKS && gateway.controller.isShortOfRoom; i++) {
      await gateway.rank();
      gateway.settle();
    }
    retry();
  };

  /** One packet of each live flow, both ways: those whose rules are there are the NIC's. */
  const probe = () => {
    const inNic = () => gateway.dataplane.statistics().nic.packets;
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      if (!isLive[chunk]) continue;
      const expected = account.offloaded(chunk * CHUNK, CHUNK);
      for (const side of ['fabric', 'external'] as const) {
        const before = inNic();
        sendOnce(side, chunk * CHUNK, CHUNK);
        const served = inNic() - before;
        if (served !== expected[side] && nic.afterPackets === undefined)
          faults.push(`${side}, flows ${chunk * CHUNK}…: the NIC served ${served}, has rules of ${expected[side]}`);
      }
    }
  };

  try {
    gateway.settle();
    for (let i = 0; i < CONSTANT_RULES && gateway.controller.templates.constantRulesLacking > 0; i++) retry();
    jumps = / JUMP\b/.test(gateway.bench.installedRules(gateway.devices[0]));
    for (let moment = 0; moment < moments && faults.length === 0; moment++) {
      for (let i = 0; i < 12 && faults.length === 0; i++) {
        const name = weighted[pick(weighted.length)];
        const chunk = pick(CHUNKS);
        log.push(`${name} ${chunk}`);
        operations++;
        await OPERATIONS[name](chunk * CHUNK, chunk);
      }
      await becomeQuiet();
      probe();
      await becomeQuiet();
      faults = [...faults, ...account.faults()];
      mostOffloaded = Math.max(mostOffloaded, gateway.controller.dataplane.statistics().nicRules);
      log.push('judged');
    }
  } catch (error) {
    faults.push((error as Error).stack ?? String(error));
  }
  for (const step of transitions.illegal) faults.push(`a direction's state went ${step}`);
  if (faults.length > 0) faults = [...faults.slice(0, 12), log.join(', ')];
  const { evictions, ruleRetries, installFailures } = gateway.controller;
  const refusals = Object.fromEntries(installFailures);
  gateway.close();
  const { counts } = transitions;
  return {
    nic: nic.name,
    seed,
    faults,
    operations,
    mostOffloaded,
    transitions: counts,
    evictions,
    retries: ruleRetries,
    meddled,
    lost,
    refusals,
  };
}
