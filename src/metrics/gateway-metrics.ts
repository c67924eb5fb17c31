import { getSystemErrorName } from 'node:util';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { ValidatedConfig } from '../config/types.js';
import type { PoolCount } from '../nat/pool-use.js';
import type { SessionCount } from '../nat/session-tally.js';
import type { DataplaneStatistics } from '../native/binding.js';
import { DropReason, DropReasonNames, SessionClassNames } from '../native/records.js';
import { FirstPackets } from './first-packets.js';

/** What metrics are read from; a GatewayController is one. */
export interface Measured {
  readonly config: ValidatedConfig;
  readonly engine: {
    readonly tally: { counts(): Iterable<SessionCount> };
    readonly poolUse: Iterable<PoolCount>;
    readonly sessions: { readonly capacity: number };
    readonly mappings: { readonly count: number };
  };
  readonly dataplane: { statistics(): DataplaneStatistics };
  readonly nicRulesWanted: number;
  readonly nicRulesMost: number;
  readonly evictions: number;
  readonly ruleRetries: number;
  /** By negative errno. */
  readonly installFailures: ReadonlyMap<number, number>;
}

export type ReloadResult = 'ok' | 'refused';

type Labels = Readonly<Record<string, string>>;

const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };

/** Of the event loop's lag since the last scrape: NaN or 2^63 ns when two scrapes come within its 10 ms of resolution. */
const UNDEFINED_WHEN_IDLE = ['mean', 'stddev', 'min'].map((what) => `nodejs_eventloop_lag_${what}_seconds`);

/**
 * The gateway's Prometheus metrics (docs/metrics.md). Nothing is kept here but reloads: what others count is copied at
 * each scrape, at a cost that depends on the configuration's VPCs, ports and pools and not on the sessions there are.
 */
export class GatewayMetrics {
  readonly registry = new Registry();

  private readonly sessions = this.gauge('sessions', 'Sessions there are.', 'vpc', 'class');
  private readonly sessionsMax = this.gauge('sessions_max', 'Sessions there can be.');
  private readonly vpcSessionsMax = this.gauge('vpc_sessions_max', 'Sessions that a VPC may have.', 'vpc');
  private readonly opened = this.counter('sessions_opened_total', 'Sessions opened.', 'vpc', 'class');
  private readonly ended = this.counter('sessions_ended_total', 'Sessions ended and removed.', 'vpc', 'class');
  private readonly mappings = this.gauge('mappings', 'Dynamic mappings there are.');
  private readonly mappingsMax = this.gauge('mappings_max', 'Dynamic mappings there can be.');
  private readonly misses = this.counter('misses_total', 'Packets that no rule served and that were decided on.');
  private readonly packets = this.counter('packets_total', 'Packets by who handled them.', 'path');
  private readonly bytes = this.counter('bytes_total', 'Bytes of frames by who handled them.', 'path');
  private readonly firstPackets = new FirstPackets();
  private readonly portPackets = this.counter(
    'port_packets_total',
    'Frames on the wire of a port.',
    'port',
    'direction',
  );
  private readonly drops = this.counter('drops_total', 'Packets dropped.', 'reason');
  private readonly local = this.counter('local_packets_total', 'Packets for the gateway itself, consumed.');
  private readonly held = this.gauge('held_packets', 'Packets that wait for a decision or for their other fragments.');
  private readonly poolAddresses = this.gauge('pool_addresses', 'Addresses of a pool.', 'kind', 'pool');
  private readonly portsOwned = this.poolGauge('pool_ports_owned', 'Public ports that mappings own.');
  private readonly portsMax = this.poolGauge('pool_ports_max', 'Public ports there are.');
  private readonly nicRules = this.gauge('nic_rules', 'Rules in the NIC.');
  private readonly nicRulesWanted = this.gauge('nic_rules_wanted', 'NIC rules of sessions that were asked for.');
  private readonly nicRulesMost = this.gauge('nic_rules_most', 'Most NIC rules asked for at once since the start.');
  private readonly nicRulesMax = this.gauge('nic_rules_max', 'NIC rules of sessions that may be asked for.');
  private readonly nicInserts = this.counter('nic_rule_inserts_total', 'Rules of flows that the NIC took.');
  private readonly nicFailures = this.counter('nic_rule_failures_total', 'NIC rules not installed.', 'errno');
  private readonly evictions = this.counter('nic_evictions_total', 'Sessions taken out of a full NIC for faster ones.');
  private readonly ruleRetries = this.counter(
    'nic_rule_retries_total',
    'Sessions whose refused rules were tried again.',
  );
  private readonly softwareRules = this.gauge('software_rules', 'Rules in the software table.');
  private readonly softwareTableBytes = this.gauge('software_table_bytes', 'Bytes of those rules and their indexes.');
  private readonly turns = this.counter(
    'thread_turns_total',
    'Times that a thread that packets waited for was let go before others on its CPU.',
    'thread',
  );
  private readonly reloads = this.counter('config_reloads_total', 'Changes of the configuration by SIGHUP.', 'result');

  /** @param measured Or what is asked for it at each scrape. */
  constructor(private readonly measured: Measured | (() => Promise<Measured>)) {
    collectDefaultMetrics({ register: this.registry });
    this.registry.registerMetric(this.firstPackets);
    for (const name of UNDEFINED_WHEN_IDLE) this.registry.removeSingleMetric(name);
    for (const result of ['ok', 'refused']) this.reloads.inc({ result }, 0);
  }

  /** A configuration was followed or refused. */
  reloaded(result: ReloadResult): void {
    this.reloads.inc({ result });
  }

  /** @returns All metrics as they are now, in Prometheus' text format. @throws NativeError when the data plane is closed */
  async text(): Promise<string> {
    const measured = typeof this.measured === 'function' ? await this.measured() : this.measured;
    this.readSessions(measured);
    this.readPackets(measured, measured.dataplane.statistics());
    this.readPools(measured);
    return this.registry.metrics();
  }

  private readSessions({ engine, config }: Measured): void {
    for (const metric of [this.sessions, this.opened, this.ended, this.vpcSessionsMax]) metric.reset();
    for (const { vpc, sessionClass, opened, ended } of engine.tally.counts()) {
      const labels = { vpc, class: SessionClassNames[sessionClass] };
      this.sessions.inc(labels, opened - ended);
      this.opened.inc(labels, opened);
      this.ended.inc(labels, ended);
    }
    for (const { name, vni, limits } of config.vpcs) {
      if (vni >= 0 && Number.isFinite(limits.sessions)) this.vpcSessionsMax.set({ vpc: name }, limits.sessions);
    }
    this.sessionsMax.set(engine.sessions.capacity);
    this.mappings.set(engine.mappings.count);
    this.mappingsMax.set(engine.sessions.capacity);
  }

  private readPackets(measured: Measured, statistics: DataplaneStatistics): void {
    const { config, installFailures, nicRulesWanted, nicRulesMost, evictions, ruleRetries } = measured;
    this.misses.reset();
    this.misses.inc(statistics.slowPath.misses);
    this.packets.reset();
    this.packets.inc({ path: 'software' }, statistics.slowPath.packets);
    this.packets.inc({ path: 'nic' }, statistics.nic.packets);
    this.bytes.reset();
    this.bytes.inc({ path: 'software' }, statistics.slowPath.bytes);
    this.bytes.inc({ path: 'nic' }, statistics.nic.bytes);
    this.firstPackets.read(statistics.firstPackets);
    this.nicInserts.reset();
    this.nicInserts.inc(statistics.nic.inserts);
    this.portPackets.reset();
    for (const { name, index } of config.ports) {
      this.portPackets.inc({ port: name, direction: 'received' }, statistics.ports[index].received);
      this.portPackets.inc({ port: name, direction: 'transmitted' }, statistics.ports[index].transmitted);
    }
    this.drops.reset();
    for (let reason = 0; reason < DropReasonNames.length; reason++) {
      if (reason === DropReason.none || reason === DropReason.local) continue;
      this.drops.inc({ reason: DropReasonNames[reason] }, statistics.drops[reason]);
    }
    this.local.reset();
    this.local.inc(statistics.drops[DropReason.local]);
    this.held.set(statistics.held);
    this.nicRules.set(statistics.nicRules);
    this.softwareRules.set(statistics.softwareRules);
    this.softwareTableBytes.set(statistics.softwareTableBytes);
    this.turns.reset();
    this.turns.inc({ thread: 'engine' }, statistics.precedence.engine);
    this.turns.inc({ thread: 'lcore' }, statistics.precedence.lcore);
    this.nicRulesWanted.set(nicRulesWanted);
    this.nicRulesMax.set(config.offload.maxRules);
    this.nicRulesMost.set(nicRulesMost);
    this.evictions.reset();
    this.evictions.inc(evictions);
    this.ruleRetries.reset();
    this.ruleRetries.inc(ruleRetries);
    this.nicFailures.reset();
    for (const [error, count] of installFailures) this.nicFailures.inc({ errno: errnoName(error) }, count);
  }

  private readPools({ engine, config }: Measured): void {
    for (const metric of [this.poolAddresses, this.portsOwned, this.portsMax]) metric.reset();
    for (const count of engine.poolUse) {
      const labels = this.poolLabels(config, count);
      this.poolAddresses.set({ kind: count.kind, pool: count.pool }, count.addresses);
      this.portsOwned.set(labels, count.owned);
      this.portsMax.set(labels, count.ports);
    }
  }

  private poolLabels({ vpcs }: ValidatedConfig, { kind, pool, scope, protocol }: PoolCount): Labels {
    const towards = scope === 0 ? '' : vpcs[scope - 1].name;
    return { kind, pool, towards, protocol: PROTOCOL_NAMES[protocol] };
  }

  private gauge(name: string, help: string, ...labelNames: string[]): Gauge<string> {
    return new Gauge({ name: `sluice_${name}`, help, labelNames, registers: [this.registry] });
  }

  private counter(name: string, help: string, ...labelNames: string[]): Counter<string> {
    return new Counter({ name: `sluice_${name}`, help, labelNames, registers: [this.registry] });
  }

  private poolGauge(name: string, help: string): Gauge<string> {
    return this.gauge(name, help, 'kind', 'pool', 'towards', 'protocol');
  }
}

/** `ENOSPC` of -28; the number itself when the system has no name for it. */
function errnoName(error: number): string {
  const code = -Math.abs(error);
  return code === 0 ? '0' : getSystemErrorName(code);
}
