import type { Logger } from 'pino';
import type { LiveGateway as Gateway } from '../controller/live.js';
import type { pairRoutes } from '../ha/control.js';
import type { HaMember } from '../ha/member.js';
import type { PairMirror } from '../ha/pair-mirror.js';
import type { GatewayMetrics } from '../metrics/gateway-metrics.js';
import type { GatewayMirror } from '../mirror/gateway-mirror.js';
import { UserFault } from './errors.js';
import { endSignal, HangUps } from './signals.js';

/** Which role a gateway of a pair leaves to the other one when both start at once. */
export type Preference = 'active' | 'standby';

/**
 * Runs a gateway until SIGTERM or SIGINT: alone, or with `ha` as a member of its pair.
 *
 * @throws UserFault NativeError and others; nothing is left behind then
 */
export async function runGateway(configPath: string, prefers: Preference, wantsPrecedence: boolean): Promise<void> {
  const hangUps = new HangUps();
  const ended = endSignal(); // one that comes while it starts ends it as soon as it has started
  const { pino, destination } = await import('pino');
  const { requireConfig } = await import('./config-option.js');
  const { packageRoot } = await import('../config/package-root.js');
  const { loadBinding } = await import('../native/binding.js');
  const { LiveGateway } = await import('../controller/live.js');
  const { ONLY_ENGINE } = await import('../controller/running-engine.js');
  const { serveControl } = await import('../controller/control.js');
  const { ConfigFollower } = await import('../controller/config-follower.js');
  const { nicTarget } = await import('../controller/nic-target.js');
  const { liveFaults } = await import('../config/purpose.js');
  const { requireFit } = await import('./supported-option.js');
  const { withVirtualMac } = await import('../ha/addresses.js');
  const config = withVirtualMac(requireConfig(configPath));
  requireFit(config, liveFaults(config));
  const log = pino({ name: config.name, level: config.log.level }, destination(2));
  const root = packageRoot();
  const gateway = new LiveGateway(
    config,
    loadBinding(root),
    root,
    (driver, devargs, release) => nicTarget(config.offload.target, driver, devargs, release),
    log,
    { ...ONLY_ENGINE, wantsPrecedence },
  );
  let control: Awaited<ReturnType<typeof serveControl>> | null = null;
  let monitoring: Monitoring | null = null;
  let mirror: GatewayMirror | null = null;
  let pair: Pair | null = null;
  try {
    pair = await joinPair(gateway, prefers, log);
    if (config.mirror !== null && pair === null) {
      const { GatewayMirror } = await import('../mirror/gateway-mirror.js');
      mirror = new GatewayMirror(gateway.controller, config, () => gateway.nowSeconds(), log);
    }
    const mirrored = pair?.mirror ?? mirror?.writer ?? null;
    const followers = [mirror, pair?.mirror].filter((part) => part != null);
    const follower = new ConfigFollower(gateway, {
      path: configPath,
      adapt: withVirtualMac,
      onFollowed: (next) => {
        log.level = next.log.level;
        for (const part of followers) part.reconfigured(next);
      },
      onEnd: (result) => {
        monitoring?.metrics.reloaded(result.ok ? 'ok' : 'refused');
        if (result.ok)
          log.info({ changes: result.changes.length, sessions: result.sessions }, 'new configuration is in force');
        else log.error({ faults: result.faults }, 'new configuration refused; the old one stays');
      },
    });
    if (config.control !== null) {
      const parts = { gateway, ports: gateway, follower, mirror: mirrored, log };
      control = await serveControl(parts, config.control.socket, pair?.routes);
    }
    monitoring = await startMonitoring(gateway, pair?.member ?? null);
    gateway.start();
    pair?.member.start();
    // Fenced: another gateway has begun an epoch of this group. The mirror is its own then; this one's traffic goes on.
    mirror?.writer
      .begin(null)
      .catch((error: Error) => log.error({ error: error.message }, 'sessions are not mirrored'));
    hangUps.lead(() => {
      follower
        .followFile()
        .catch((error: Error) => log.error({ error: error.stack }, 'the file could not be followed'));
    });
    log.info({ config: configPath, vpcs: config.vpcs.length }, 'gateway runs');
    log.info({ signal: await ended }, 'draining');
    await pair?.member.stop();
    log.info(gateway.counters(), 'counters');
  } finally {
    // Also takes its socket away.
    await control?.close();
    await monitoring?.server.close();
    await pair?.member.stop();
    await mirror?.close();
    gateway.close();
  }
}

interface Pair {
  readonly member: HaMember;
  readonly mirror: PairMirror;
  readonly routes: ReturnType<typeof pairRoutes>;
}

/** @returns Null when the gateway stands alone. @throws UserFault with the faults of ha_config.json */
async function joinPair(gateway: Gateway, prefers: Preference, log: Logger): Promise<Pair | null> {
  if (gateway.config.ha === null) return null;
  const { firstPairSettings, namedFaults } = await import('../ha/settings.js');
  const { HaMember } = await import('../ha/member.js');
  const { pairRoutes } = await import('../ha/control.js');
  const { PairMirror } = await import('../ha/pair-mirror.js');
  const loaded = firstPairSettings(gateway.config);
  if (!loaded.ok) throw new UserFault(namedFaults(loaded.faults, gateway.config));
  const { settings, missing } = loaded;
  const mirror = new PairMirror(gateway, settings.node, log, settings.peer?.secret ?? '');
  const member = new HaMember({
    gateway,
    settings,
    settingsMissing: missing,
    mirror,
    prefersStandby: prefers === 'standby',
    log,
  });
  return { member, mirror, routes: pairRoutes(member) };
}

interface Monitoring {
  readonly metrics: GatewayMetrics;
  readonly server: { close(): Promise<unknown> };
}

/** @returns Null when the configuration asks for no metrics. @throws Error METRICS_ADDRESS */
async function startMonitoring(gateway: Gateway, member: HaMember | null): Promise<Monitoring | null> {
  const address = gateway.config.metrics;
  if (address === null) return null;
  const { GatewayMetrics } = await import('../metrics/gateway-metrics.js');
  const { serveMetrics } = await import('../metrics/serve.js');
  const metrics = new GatewayMetrics(gateway.controller);
  if (member !== null) {
    const { PairMetrics } = await import('../ha/metrics.js');
    const pairMetrics = new PairMetrics(metrics.registry, () => member.status());
    member.onTransition = ({ to }) => pairMetrics.moved(to);
  }
  return { metrics, server: await serveMetrics(metrics, address) };
}
