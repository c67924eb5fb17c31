import { Counter, Gauge, type Registry } from 'prom-client';
import { CHECKS } from './health.js';
import type { PairStatus } from './status.js';
import { FAILOVER_STATES } from './transitions.js';

const ROLES = ['active', 'standby'] as const;
const PROTECTIONS = ['PROTECTED', 'DEGRADED', 'UNPROTECTED'] as const;

/** What an operator watches of a pair, beside the gateway's own metrics (docs/ha.md). Read at each scrape. */
export class PairMetrics {
  private readonly gauges: Record<string, Gauge<string>>;
  private readonly transitions: Counter<string>;

  constructor(
    registry: Registry,
    private readonly status: () => PairStatus,
  ) {
    const gauge = (name: string, help: string, ...labelNames: string[]) =>
      new Gauge({ name: `sluice_ha_${name}`, help, labelNames, registers: [registry] });
    this.transitions = new Counter({
      name: 'sluice_ha_transitions_total',
      help: 'Changes of the failover state.',
      labelNames: ['to'],
      registers: [registry],
    });
    this.gauges = {
      role: gauge('role', '1 for the role that this gateway has.', 'role'),
      state: gauge('failover_state', '1 for the failover state that this gateway is in.', 'state'),
      epoch: gauge('epoch', 'Epoch that it holds, or the highest that it has seen.'),
      lease: gauge('lease_left_seconds', 'Until it falls silent unless the lease is renewed; 0 on a standby.'),
      eligible: gauge('eligible', 'Whether it could be handed over to.'),
      check: gauge('check_ok', 'Whether a check succeeds.', 'check'),
      protection: gauge('protection', '1 for how well sessions are protected; of an active gateway.', 'protection'),
      peerEligible: gauge('peer_eligible', 'Whether the other gateway says that it could take over.'),
      peerAge: gauge('peer_report_age_seconds', 'Since the other gateway last reported to Redis.'),
      portBlocks: gauge('port_blocks', 'Blocks of public ports: own, quarantined, unreserved.', 'state'),
      sequence: gauge(
        'shard_sequence',
        'Last batch of a shard: here, in Redis, applied by the standby.',
        'shard',
        'where',
      ),
      lag: gauge('mirror_lag_seconds', 'Age of the oldest change that Redis has not acknowledged.'),
      dirty: gauge('mirror_dirty_sessions', 'Sessions changed since they were last written.'),
      inFlight: gauge('mirror_in_flight_bytes', 'Bytes on their way to Redis.'),
      snapshotAge: gauge('mirror_snapshot_age_seconds', 'Since the last snapshot was committed.'),
      snapshotRecords: gauge('mirror_snapshot_records', 'Sessions in that snapshot.'),
      sessions: gauge('sessions', 'Sessions here.'),
      rules: gauge('rules_installed', 'NIC rules of sessions here.'),
      takeover: gauge('takeover_seconds', 'From winning the lease to each state, at the latest takeover.', 'state'),
    };
    // One of them reads for all: prom-client asks each in turn.
    const [first] = Object.values(this.gauges);
    Object.assign(first, { collect: () => this.read() });
  }

  /** A transition has happened. */
  moved(to: string): void {
    this.transitions.inc({ to });
  }

  private read(): void {
    const { gauges: g } = this;
    const s = this.status();
    for (const role of ROLES) g.role.set({ role }, Number(s.role === role));
    for (const state of FAILOVER_STATES) g.state.set({ state }, Number(s.failoverState === state));
    g.epoch.set(s.epoch);
    g.lease.set(s.lease.leftMs / 1000);
    g.eligible.set(Number(s.eligible));
    for (const check of CHECKS) {
      const made = s.health.find((one) => one.check === check);
      if (made !== undefined) g.check.set({ check }, Number(made.ok));
    }
    for (const protection of PROTECTIONS) g.protection.set({ protection }, Number(s.protection === protection));
    g.peerEligible.set(Number(s.peer?.member?.eligible ?? false));
    g.peerAge.set((s.peer?.agoMs ?? Number.NaN) / 1000);
    g.sequence.reset();
    const put = (shard: number, where: string, value: number) => g.sequence.set({ shard: String(shard), where }, value);
    for (const [shard, { local, redis, applied }] of (s.mirror?.shards ?? []).entries()) {
      put(shard, 'local', local);
      put(shard, 'redis', redis);
      if (applied !== null) put(shard, 'applied', applied);
    }
    for (const [shard, { position, head }] of s.replay.entries()) {
      put(shard, 'redis', head.sequence);
      put(shard, 'applied', position.sequence);
    }
    g.lag.set((s.mirror?.lagMs ?? 0) / 1000);
    g.dirty.set(s.mirror?.dirty ?? 0);
    g.inFlight.set(s.mirror?.inFlightBytes ?? 0);
    g.snapshotAge.set((s.mirror?.snapshotAgeMs ?? Number.NaN) / 1000);
    g.snapshotRecords.set(s.mirror?.snapshotRecords ?? 0);
    g.sessions.set(s.sessions);
    g.rules.set(s.rulesInstalled);
    for (const [state, count] of Object.entries(s.portBlocks)) g.portBlocks.set({ state }, count);
    for (const [state, ms] of Object.entries(s.phases)) g.takeover.set({ state }, ms / 1000);
  }
}
