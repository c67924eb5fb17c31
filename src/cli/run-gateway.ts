import type { Logger } from 'pino';
import type { ValidatedConfig } from '../config/types.js';
import type { LiveGateway as Gateway } from '../controller/live.js';
import type { pairRoutes } from '../ha/control.js';
import type { HaMember } from '../ha/member.js';
import type { PairMirror } from '../ha/pair-mirror.js';
import type { GatewayMetrics } from '../metrics/gateway-metrics.js';
import type { GatewayMirror } from '../mirror/gateway-mirror.js';
import { UserFault } from './errors.js';

/** Which role a gateway of a pair leaves to the other one when both start at once. */
export type Preference = 'active' | 'standby';

/**
 * Runs a gateway until SIGTERM or SIGINT: alone, or with `ha` as a member of its pair.
 *
 * @throws UserFault NativeError and others; nothing is left behind then
 */
export async function runGateway(configPath: string, prefers: Preference): Promise<void> {
  const { pino, destination } = await import('pino');
  const { requireConfig } = await import('./config-option.js');
  const { packageRoot } = await import('../config/package-root.js');
  const { loadBinding } = await import('../native/binding.js');
  const { LiveGateway } = await import('../controller/live.js');
  const { serveControl } = await import('../controller/control.js');
  const { nicTarget } = await import('../controller/nic-target.js');
  const { liveFaults } = await import('../config/purpose.js');
  const { requireFit } = await import('./supported-option.js');
  const { withVirtualMac } = await import('../ha/addresses.js');
  const config = withVirtualMac(requireConfig(configPath));
  requireFit(config, liveFaults(config));
  const log = pino({ name: config.name, level: config.log.level }, destination(2));
  const root = packageRoot();
  const ended = endSignal(); // one that comes while it starts ends it as soon as it has started
  const gateway = new LiveGateway(
    config,
    loadBinding(root),
    root,
    (driver, devargs, release) => nicTarget(config.offload.target, driver, devargs, release),
    log,
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
    if (config.control !== null) {
      control = await serveControl(gateway, config.control.socket, mirrored, pair?.routes);
    }
    monitoring = await startMonitoring(gateway, pair?.member ?? null);
    gateway.start();
    pair?.member.start();
    // Fenced: another gateway has begun an epoch of this group. The mirror is its own then; this one's traffic goes on.
    mirror?.writer
      .begin(null)
      .catch((error: Error) => log.error({ error: error.message }, 'sessions are not mirrored'));
    const followers = [mirror, pair?.mirror].filter((follower) => follower != null);
    process.on('SIGHUP', () => void reload(gateway, configPath, log, monitoring?.metrics ?? null, followers));
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
  const { loadPairSettings } = await import('../ha/settings.js');
  const { HaMember } = await import('../ha/member.js');
  const { pairRoutes } = await import('../ha/control.js');
  const { PairMirror } = await import('../ha/pair-mirror.js');
  const loaded = loadPairSettings(gateway.config);
  if (!loaded.ok) {
    const file = gateway.config.ha.configFile ?? '';
    throw new UserFault(loaded.faults.map((fault) => ({ ...fault, path: `${file}${fault.path}` })));
  }
  const { settings } = loaded;
  const mirror = new PairMirror(gateway, settings.node, log, settings.peer?.secret ?? '');
  const member = new HaMember({ gateway, settings, mirror, prefersStandby: prefers === 'standby', log });
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

/** The first SIGTERM or SIGINT; a second one ends the process at once. */
function endSignal(): Promise<string> {
  return new Promise((resolve) => {
    const names = ['SIGTERM', 'SIGINT'] as const;
    const end = (name: string) => {
      for (const other of names) process.removeListener(other, end);
      resolve(name);
    };
    for (const name of names) process.on(name, end);
  });
}

/** Follows the file as a whole or not at all; a fault leaves everything as it is. */
async function reload(
  gateway: Gateway,
  path: string,
  log: Logger,
  metrics: GatewayMetrics | null,
  followers: readonly { reconfigured(config: ValidatedConfig): void }[],
): Promise<void> {
  const { loadConfig } = await import('../config/load.js');
  const { liveFaults } = await import('../config/purpose.js');
  const { immutableChanges } = await import('../config/changes.js');
  const { unsupportedParts } = await import('../controller/supported.js');
  const { withVirtualMac } = await import('../ha/addresses.js');
  const loaded = loadConfig(path);
  const result = loaded.ok ? { ok: true as const, config: withVirtualMac(loaded.config) } : loaded;
  const faults = result.ok
    ? [
        ...liveFaults(result.config),
        ...unsupportedParts(result.config),
        ...immutableChanges(gateway.config, result.config),
      ]
    : result.faults;
  if (!result.ok || faults.length > 0) {
    metrics?.reloaded('refused');
    log.error({ faults }, 'new configuration refused; the old one stays');
    return;
  }
  log.level = result.config.log.level;
  const reviewed = gateway.reconfigure(result.config);
  for (const follower of followers) follower.reconfigured(gateway.config);
  const sessions = await reviewed;
  metrics?.reloaded('ok');
  log.info({ config: path, sessions }, 'new configuration is in force');
}
