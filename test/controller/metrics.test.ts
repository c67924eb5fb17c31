import { createServer } from 'node:net';
import { EngineAlone, Outcome, scarceFixture } from '../../bench/misses.js';
import type { Vpc } from '../../src/config/types.js';
import { GatewayMetrics, type Measured } from '../../src/metrics/gateway-metrics.js';
import { serveMetrics } from '../../src/metrics/serve.js';
import { SessionTally } from '../../src/nat/session-tally.js';
import type { DataplaneStatistics } from '../../src/native/binding.js';
import { DropReason, DropReasonNames, SessionClass } from '../../src/native/records.js';

const PORTS = 16;
const BEGIN = 1000;

/** Every number another, so that no two can be mistaken for each other. */
function statistics(): DataplaneStatistics {
  return {
    ports: [
      { received: 101, transmitted: 102 },
      { received: 103, transmitted: 104 },
    ],
    slowPath: { packets: 105, misses: 106, bytes: 112_000, handedOver: 0 },
    nic: { packets: 107, bytes: 113_000, inserts: 114 },
    firstPackets: { buckets: [1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8], nanoseconds: 1_500_000_000 },
    drops: DropReasonNames.map((_, reason) => 200 + reason),
    held: 108,
    nicRules: 109,
    softwareRules: 110,
    softwareTableBytes: 9240,
    precedence: { engine: 115, lcore: 116 },
  };
}

function gateway() {
  const made = scarceFixture({ addresses: 1, portsOfAddress: PORTS, seed: 1 });
  const alone = new EngineAlone(made);
  const installFailures = new Map<number, number>();
  const measured: Measured = {
    get config() {
      return alone.engine.config;
    },
    engine: alone.engine,
    dataplane: { statistics },
    nicRulesWanted: 111,
    nicRulesMost: 112,
    evictions: 113,
    ruleRetries: 114,
    installFailures,
  };
  const metrics = new GatewayMetrics(measured);
  const vpc = made.config.vpcs[0].name;
  const pool = made.config.externalPools[0].name;
  return { alone, metrics, installFailures, vpc, pool, config: made.config };
}

/** Samples of the gateway's own metrics by their name and labels, as they stand in the text. */
async function scrape(metrics: GatewayMetrics): Promise<Map<string, number>> {
  const samples = new Map<string, number>();
  for (const line of (await metrics.text()).split('\n')) {
    if (!line.startsWith('sluice_')) continue;
    const end = line.lastIndexOf(' ');
    expect(samples.has(line.slice(0, end))).toBe(false);
    samples.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  return samples;
}

test('sessions, mappings and ports are counted as they come and go', async () => {
  const { alone, metrics, vpc, pool, config } = gateway();
  const ofClass = `{vpc="${vpc}",class="vpc-to-external"}`;
  const ofPool = (protocol: string) => `{kind="external",pool="${pool}",towards="",protocol="${protocol}"}`;
  const before = await scrape(metrics);
  expect(before.get(`sluice_pool_ports_owned${ofPool('udp')}`)).toBe(0);
  expect(before.get(`sluice_pool_ports_max${ofPool('udp')}`)).toBe(PORTS);
  expect(before.get(`sluice_pool_addresses{kind="external",pool="${pool}"}`)).toBe(1);
  expect(before.get('sluice_sessions_max')).toBe(config.nat.maxSessions);

  for (let flow = 0; flow < 5; flow++) expect(alone.open(1, flow, BEGIN)).toBe(Outcome.session);
  const open = await scrape(metrics);
  expect(open.get(`sluice_sessions${ofClass}`)).toBe(5);
  expect(open.get(`sluice_sessions_opened_total${ofClass}`)).toBe(5);
  expect(open.get(`sluice_sessions_ended_total${ofClass}`)).toBe(0);
  expect(open.get('sluice_mappings')).toBe(5);
  expect(open.get(`sluice_pool_ports_owned${ofPool('udp')}`)).toBe(5);
  expect(open.get(`sluice_pool_ports_owned${ofPool('tcp')}`)).toBe(0);

  expect(alone.endDue(BEGIN + 100_000)).toBe(5);
  expect(alone.open(2, 0, BEGIN + 100_000)).toBe(Outcome.session);
  const after = await scrape(metrics);
  expect(after.get(`sluice_sessions${ofClass}`)).toBe(1);
  expect(after.get(`sluice_sessions_opened_total${ofClass}`)).toBe(6);
  expect(after.get(`sluice_sessions_ended_total${ofClass}`)).toBe(5);
  expect(after.get('sluice_mappings')).toBe(1);
  expect(after.get(`sluice_pool_ports_owned${ofPool('udp')}`)).toBe(1);
});

test('a pool that is empty refuses, and its use says so', async () => {
  const { alone, metrics, pool } = gateway();
  for (let flow = 0; flow < PORTS; flow++) expect(alone.open(1, flow, BEGIN)).toBe(Outcome.session);
  expect(alone.open(1, PORTS, BEGIN)).not.toBe(Outcome.session);
  const full = await scrape(metrics);
  expect(full.get(`sluice_pool_ports_owned{kind="external",pool="${pool}",towards="",protocol="udp"}`)).toBe(PORTS);
});

test('ports stay owned through a change of configuration, under the name that their pool has now', async () => {
  const { alone, metrics, config } = gateway();
  for (let flow = 0; flow < 5; flow++) alone.open(1, flow, BEGIN);
  alone.engine.reconfigure({
    ...config,
    externalPools: config.externalPools.map((pool) => ({ ...pool, name: 'renamed' })),
  });
  const owned = async () => {
    const found = [...(await scrape(metrics))].filter(([name]) => name.startsWith('sluice_pool_ports_owned'));
    expect(found.every(([name]) => name.includes('pool="renamed"'))).toBe(true);
    return found.reduce((sum, [, value]) => sum + value, 0);
  };
  expect(await owned()).toBe(5);
  alone.open(1, 5, BEGIN);
  expect(await owned()).toBe(6);
  while (alone.engine.reviewSessions(1024, BEGIN) === null);
  alone.endDue(BEGIN + 100_000);
  expect(await owned()).toBe(0);
});

test('ports of a pool that is gone are given back without a trace in those that are there', async () => {
  const { alone, metrics, config } = gateway();
  for (let flow = 0; flow < 5; flow++) alone.open(1, flow, BEGIN);
  alone.engine.reconfigure({
    ...config,
    externalPools: config.externalPools.map((pool) => ({ ...pool, ranges: [{ first: 0xc6336401, last: 0xc6336401 }] })),
  });
  while (alone.engine.reviewSessions(1024, BEGIN) === null);
  alone.endDue(BEGIN + 100_000);
  for (const [name, value] of await scrape(metrics))
    if (name.startsWith('sluice_pool_ports_owned')) expect(value).toBe(0);
});

test('a VPC that left keeps its name for sessions that still end; the next one at its index begins at zero', () => {
  const red = { ...scarceFixture({ addresses: 1, seed: 1 }).config.vpcs[0], name: 'red' };
  const retired: Vpc = { ...red, name: '', vni: -1 };
  const tally = new SessionTally([red]);
  tally.opened(red.index, SessionClass.vpcToExternal);
  tally.follow([retired]);
  tally.ended(red.index, SessionClass.vpcToExternal);
  expect([...tally.counts()]).toEqual([{ vpc: 'red', sessionClass: SessionClass.vpcToExternal, opened: 1, ended: 1 }]);
  tally.follow([{ ...red, name: 'blue' }]);
  expect([...tally.counts()]).toEqual([]);
  tally.opened(red.index, SessionClass.hairpin);
  expect([...tally.counts()]).toEqual([{ vpc: 'blue', sessionClass: SessionClass.hairpin, opened: 1, ended: 0 }]);
});

test('sessions of a VPC that came by a change of configuration are counted under its name, apart from those before', async () => {
  const { alone, metrics, vpc, config } = gateway();
  alone.open(1, 0, BEGIN);
  alone.engine.reconfigure({ ...config, vpcs: config.vpcs.map((old) => ({ ...old, name: 'renamed' })) });
  expect(alone.open(2, 0, BEGIN)).toBe(Outcome.session);
  const samples = await scrape(metrics);
  expect(samples.get(`sluice_sessions{vpc="${vpc}",class="vpc-to-external"}`)).toBe(1);
  expect(samples.get('sluice_sessions{vpc="renamed",class="vpc-to-external"}')).toBe(1);
});

test('what the lcore counts stands under its name; packets for the gateway itself are no drops', async () => {
  const { metrics, installFailures, config } = gateway();
  installFailures.set(-28, 3);
  const samples = await scrape(metrics);
  const [first, second] = config.ports.map(({ name }) => name);
  expect(samples.get(`sluice_port_packets_total{port="${first}",direction="received"}`)).toBe(101);
  expect(samples.get(`sluice_port_packets_total{port="${first}",direction="transmitted"}`)).toBe(102);
  expect(samples.get(`sluice_port_packets_total{port="${second}",direction="received"}`)).toBe(103);
  expect(samples.get(`sluice_port_packets_total{port="${second}",direction="transmitted"}`)).toBe(104);
  expect(samples.get('sluice_packets_total{path="software"}')).toBe(105);
  expect(samples.get('sluice_bytes_total{path="software"}')).toBe(112_000);
  expect(samples.get('sluice_bytes_total{path="nic"}')).toBe(113_000);
  expect(samples.get('sluice_nic_rule_inserts_total')).toBe(114);
  // A bucket has all that are not longer than its bound.
  const upTo = (seconds: string) => samples.get(`sluice_first_packet_seconds_bucket{le="${seconds}"}`);
  expect(['0.00001', '0.00002', '0.00005', '0.0001', '1', '+Inf'].map(upTo)).toEqual([1, 3, 3, 7, 7, 15]);
  expect(samples.get('sluice_first_packet_seconds_count')).toBe(15);
  expect(samples.get('sluice_first_packet_seconds_sum')).toBe(1.5);
  expect(samples.get('sluice_misses_total')).toBe(106);
  expect(samples.get('sluice_packets_total{path="nic"}')).toBe(107);
  expect(samples.get('sluice_held_packets')).toBe(108);
  expect(samples.get('sluice_thread_turns_total{thread="engine"}')).toBe(115);
  expect(samples.get('sluice_thread_turns_total{thread="lcore"}')).toBe(116);
  expect(samples.get('sluice_nic_rules')).toBe(109);
  expect(samples.get('sluice_software_rules')).toBe(110);
  expect(samples.get('sluice_nic_rules_wanted')).toBe(111);
  expect(samples.get('sluice_nic_rules_most')).toBe(112);
  expect(samples.get('sluice_nic_evictions_total')).toBe(113);
  expect(samples.get('sluice_nic_rule_retries_total')).toBe(114);
  expect(samples.get('sluice_nic_rule_failures_total{errno="ENOSPC"}')).toBe(3);
  expect(samples.get('sluice_local_packets_total')).toBe(200 + DropReason.local);
  const drops = [...samples].filter(([name]) => name.startsWith('sluice_drops_total'));
  expect(drops).toEqual(
    DropReasonNames.map((name, reason) => [`sluice_drops_total{reason="${name}"}`, 200 + reason]).slice(2),
  );
});

test('counters copied at each scrape do not add up from scrape to scrape', async () => {
  const { alone, metrics, installFailures } = gateway();
  alone.open(1, 0, BEGIN);
  installFailures.set(-12, 1);
  expect(await scrape(metrics)).toEqual(await scrape(metrics));
});

test('a scrape right after another has a number for everything', async () => {
  const { metrics } = gateway();
  for (let scrapes = 0; scrapes < 2; scrapes++) {
    const values = (await metrics.text()).split('\n').flatMap((line) => /^[a-z].* (\S+)$/.exec(line)?.[1] ?? []);
    expect(values.length).toBeGreaterThan(60);
    expect(values.filter((value) => !/^\d+(\.\d+)?(e-?\d+)?$/.test(value))).toEqual([]);
  }
  expect(await metrics.text()).not.toMatch(/^nodejs_eventloop_lag\w* \d{4,}/m);
});

test('reloads are counted by their result, from zero', async () => {
  const { metrics } = gateway();
  expect((await scrape(metrics)).get('sluice_config_reloads_total{result="refused"}')).toBe(0);
  metrics.reloaded('ok');
  metrics.reloaded('refused');
  metrics.reloaded('refused');
  const samples = await scrape(metrics);
  expect(samples.get('sluice_config_reloads_total{result="ok"}')).toBe(1);
  expect(samples.get('sluice_config_reloads_total{result="refused"}')).toBe(2);
});

test('GET /metrics answers in the text format, other paths do not', async () => {
  const { metrics } = gateway();
  const port = await freePort();
  const server = await serveMetrics(metrics, { host: '127.0.0.1', port });
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await answer.text();
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds \S+$/m);
    expect(text).toMatch(/^process_cpu_seconds_total \S+$/m);
    expect(text).toMatch(/^# TYPE sluice_misses_total counter$/m);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  } finally {
    await server.close();
  }
});

test('an address that cannot be listened on is told in one line with its pointer', async () => {
  const { metrics } = gateway();
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => holder.once('listening', resolve));
  try {
    const { port } = holder.address() as { port: number };
    await expect(serveMetrics(metrics, { host: '127.0.0.1', port })).rejects.toMatchObject({
      code: 'METRICS_ADDRESS',
      message: `/metrics/address: 127.0.0.1:${port} is in use (stop who listens there, or choose another port)`,
    });
    await expect(serveMetrics(metrics, { host: '192.0.2.1', port })).rejects.toThrow(
      /^\/metrics\/address: 192\.0\.2\.1:\d+ is no address of this machine/,
    );
  } finally {
    holder.close();
  }
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
