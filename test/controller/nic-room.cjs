// One process: a live gateway on the software NIC, short of room or with a NIC that refuses rules. Run by nic-room.test.ts
// with a scenario's name; the last line is JSON.
'use strict';
const { join } = require('node:path');

const dist = join(__dirname, '../../dist');
const { fixture } = require(join(dist, 'bench/fixture.js'));
const { LcoreGateway, openFlows, QUIET } = require(join(dist, 'bench/gateways.js'));
const { RulePath, SessionRow } = require(join(dist, 'src/native/records.js'));
const { mayFollow } = require(join(dist, 'src/controller/rule-states.js'));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const SEED = Number(process.env.SEED ?? 1);

function start(flows, deviceArguments, maxRules) {
  const made = fixture({ flows, offload: 'immediate', seed: SEED, behindSoftwareNic: true, checkEvery: 1 });
  const ports = made.config.ports.map((port) => ({
    ...port,
    device: `${port.device.replace(/,max_rules=[0-9]+/, '')}${deviceArguments}`,
  }));
  const offload = { ...made.config.offload, maxRules: maxRules ?? made.config.offload.maxRules };
  return new LcoreGateway({ ...made, config: { ...made.config, ports, offload } });
}

/** What rows, NIC and controller say of rules; each must say the same once all is quiet. */
function rules({ controller }) {
  const { sessions } = controller.engine;
  const paths = RulePath;
  const found = { sessions: 0, offloaded: 0, pending: 0, failed: 0, software: 0, lacking: 0 };
  for (let row = 0; row < sessions.highWater; row++) {
    if (sessions.life(row) !== 1) continue;
    found.sessions++;
    found.lacking += controller.rulesLacking(row);
    for (const field of [SessionRow.forwardPath, SessionRow.reversePath]) {
      const path = controller.rows.byte(row, field);
      for (const name of ['offloaded', 'pending', 'failed', 'software']) if (path === paths[name]) found[name]++;
    }
  }
  const { nicRules } = controller.dataplane.statistics();
  return { ...found, nicRules, wanted: controller.nicRulesWanted, most: controller.nicRulesMost };
}

/** Of all sessions, in and out of the NIC, as their counters say. */
async function packets({ controller, gateway }) {
  const counters = new Float64Array(controller.dataplane.counters);
  let sum = 0;
  for await (const rows of gateway.walk().slices(0)) for (const row of rows) sum += counters[row * 4];
  return sum;
}

/** Watches every direction's state; tells steps that are none. */
function watch({ controller }) {
  const seen = new Map();
  const steps = new Map();
  const timer = setInterval(() => {
    const { sessions } = controller.engine;
    for (let row = 0; row < sessions.highWater; row++) {
      if (sessions.life(row) !== 1) continue;
      for (const field of [SessionRow.forwardPath, SessionRow.reversePath]) {
        const key = `${row}.${sessions.generation(row)}.${field}`;
        const path = controller.rows.byte(row, field);
        const last = seen.get(key) ?? RulePath.software;
        if (last !== path) steps.set(`${last}>${path}`, (steps.get(`${last}>${path}`) ?? 0) + 1);
        seen.set(key, path);
      }
    }
  }, 1);
  return () => {
    clearInterval(timer);
    const illegal = [...steps.keys()].filter((step) => !mayFollow(...step.split('>').map(Number)));
    return { steps: Object.fromEntries(steps), illegal };
  };
}

async function quiet(gateway, isQuiet, patienceMs = 30_000) {
  const end = Date.now() + patienceMs;
  while (!isQuiet(rules(gateway)) && Date.now() < end) await pause(100);
  await pause(300);
  return rules(gateway);
}

const all = { window: 256, perSecond: 0, measureLatency: false };

/** Flows come and go while the NIC refuses, or is slow, or both. */
async function refusals(deviceArguments) {
  const gateway = start(1200, deviceArguments);
  const live = gateway.gateway;
  const stop = watch(gateway);
  const told = [];
  let lost = 0;
  for (let round = 0; round < 3; round++) {
    const { failed } = await openFlows(gateway, { first: round * 400, count: 400, ...all });
    lost += failed;
    gateway.bench.run('fabric', { ...QUIET, pattern: 'random', first: round * 400, count: 400, seed: round + 1 });
    await pause(200);
    gateway.bench.run('fabric', QUIET);
    const { sessions } = gateway.controller.engine;
    const rows = [];
    for (let row = round; row < sessions.highWater; row += 3) rows.push({ row, generation: sessions.generation(row) });
    await live.clear(rows);
    told.push(await quiet(gateway, (now) => now.pending === 0 && now.lacking === 0 && now.failed === 0));
  }
  const { fabric, external } = gateway.bench.counters();
  const bad = fabric.bad + external.bad + fabric.badChecksum + external.badChecksum;
  const { installFailures, ruleRetries } = gateway.controller;
  const result = { told, lost, bad, failures: [...installFailures], ruleRetries, ...stop() };
  gateway.close();
  return result;
}

/** More flows than the NIC has room for; those that move are not those that came first. */
async function fastest(deviceArguments, maxRules) {
  const gateway = start(1000, deviceArguments, maxRules);
  const { failed } = await openFlows(gateway, { first: 0, count: 1000, ...all });
  const before = rules(gateway);
  const share = async (ms) => {
    const a = gateway.controller.dataplane.statistics();
    await pause(ms);
    const b = gateway.controller.dataplane.statistics();
    const nic = b.nic.packets - a.nic.packets;
    return nic / (nic + b.slowPath.packets - a.slowPath.packets);
  };
  // Half of the fast ones are in the NIC already; then others are fast, none of which is.
  const phases = [];
  for (const first of [100, 500]) {
    gateway.bench.run('fabric', { ...QUIET, pattern: 'random', first, count: 200, seed: first });
    const { evictions } = gateway.controller;
    const phase = { atFirst: await share(300), late: 0, tookMs: 0, evictions: 0 };
    const beganMs = Date.now();
    while (phase.late < 0.97 && phase.tookMs < 10_000) {
      phase.late = await share(500);
      phase.tookMs = Date.now() - beganMs;
    }
    phase.evictions = gateway.controller.evictions - evictions;
    phases.push(phase);
  }
  // All flows as fast as each other: nobody has a reason to move.
  gateway.bench.run('fabric', { ...QUIET, pattern: 'random', first: 0, count: 1000, seed: 6 });
  await pause(3000);
  const evictionsBefore = gateway.controller.evictions;
  await pause(3000);
  const evictionsAmongEqual = gateway.controller.evictions - evictionsBefore;
  gateway.bench.run('fabric', QUIET);
  // Exchanges that were decided on before are carried out.
  const after = await quiet(gateway, (now) => now.pending === 0 && now.wanted === now.nicRules);
  const counted = await packets(gateway);
  const refused = [...gateway.controller.installFailures.values()].reduce((sum, count) => sum + count, 0);
  const { fabric, external } = gateway.bench.counters();
  const bad = fabric.bad + external.bad + fabric.badChecksum + external.badChecksum;
  const accepted = external.accepted;
  gateway.close();
  return {
    counted,
    accepted,
    failed,
    before,
    phases,
    evictionsAmongEqual,
    after,
    refused,
    bad,
  };
}

const SCENARIOS = {
  'every 19th refused': () => refusals(',fail_every=19'),
  'every 19th refused, late': () => refusals(',fail_every=19,insert_latency=2000'),
  'room for some in the configuration': () => fastest('', 400),
  'room for some in the NIC': () => fastest(',max_rules=220', undefined),
};

SCENARIOS[process.argv[2]]().then((result) => {
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
});
