import type { Logger } from 'pino';
import type { ControlParts } from '../controller/api/index.js';
import type { ConfigFollower } from '../controller/config-follower.js';
import type { ShardedGateway as Gateway } from '../controller/shards/sharded-gateway.js';
import { endSignal, HangUps } from './signals.js';

/**
 * Runs a gateway of several shards until SIGTERM or SIGINT.
 *
 * @param shards 2..MOST_SHARDS.
 * @throws UserFault NativeError and others, also when a shard ends by itself; nothing is left behind then
 */
export async function runShards(configPath: string, shards: number, wantsPrecedence: boolean): Promise<void> {
  const hangUps = new HangUps();
  const ended = endSignal(); // one that comes while it starts ends it as soon as it has started
  const { pino, destination } = await import('pino');
  const { requireConfig } = await import('./config-option.js');
  const { packageRoot } = await import('../config/package-root.js');
  const { loadBinding } = await import('../native/binding.js');
  const { ShardedGateway } = await import('../controller/shards/sharded-gateway.js');
  const { nicTarget } = await import('../controller/nic-target.js');
  const { liveFaults } = await import('../config/purpose.js');
  const { shardObstacles } = await import('../nat/shards/obstacles.js');
  const { ConfigFollower } = await import('../controller/config-follower.js');
  const { gatewayCounters } = await import('../controller/counters.js');
  const { requireFit } = await import('./supported-option.js');
  const config = requireConfig(configPath);
  requireFit(config, [...liveFaults(config), ...shardObstacles(config)]);
  const log = pino({ name: config.name, level: config.log.level }, destination(2));
  const root = packageRoot();
  const gateway = new ShardedGateway(
    config,
    loadBinding(root),
    root,
    (driver, devargs, release) => nicTarget(config.offload.target, driver, devargs, release),
    log,
    shards,
    wantsPrecedence,
  );
  let control: { close(): Promise<unknown> } | null = null;
  let monitoring: Awaited<ReturnType<typeof startMetrics>> = null;
  try {
    const follower = new ConfigFollower(gateway, {
      path: configPath,
      adapt: (next) => next,
      onFollowed: () => undefined,
      onEnd: (result) => {
        log.level = gateway.config.log.level;
        monitoring?.metrics.reloaded(result.ok ? 'ok' : 'refused');
        if (result.ok)
          log.info({ changes: result.changes.length, sessions: result.sessions }, 'new configuration is in force');
        else log.error({ faults: result.faults }, 'new configuration refused; the old one stays');
      },
    });
    control = await startControl(gateway, follower, log);
    monitoring = await startMetrics(gateway);
    await gateway.start();
    hangUps.lead(() => {
      follower
        .followFile()
        .catch((error: Error) => log.error({ error: error.stack }, 'the file could not be followed'));
    });
    log.info({ config: configPath, vpcs: config.vpcs.length, shards }, 'gateway runs');
    log.info({ signal: await Promise.race([ended, gateway.failed]) }, 'draining');
    log.info(gatewayCounters(gateway.config, (await gateway.measure()).statistics), 'counters');
  } finally {
    // Also takes its socket away.
    await control?.close();
    await monitoring?.server.close();
    await gateway.close();
  }
}

/** @returns Null when the configuration asks for no control socket. @throws Error CONTROL_SOCKET */
async function startControl(
  gateway: Gateway,
  follower: ConfigFollower,
  log: Logger,
): Promise<{ close(): Promise<unknown> } | null> {
  const { config } = gateway;
  if (config.control === null) return null;
  const { serveControl } = await import('../controller/control.js');
  const { mergeAnswers } = await import('../controller/shards/merged-api.js');
  // What would ask an engine here never comes to its route.
  const parts = { ports: gateway, follower, mirror: null, log } as Omit<
    ControlParts,
    'version' | 'gateway'
  > as ControlParts;
  return serveControl(parts, config.control.socket, (server) => mergeAnswers(server, gateway));
}

/** @returns Null when the configuration asks for no metrics. @throws Error METRICS_ADDRESS */
async function startMetrics(gateway: Gateway) {
  const address = gateway.config.metrics;
  if (address === null) return null;
  const { GatewayMetrics } = await import('../metrics/gateway-metrics.js');
  const { measureShards } = await import('../metrics/sharded-measured.js');
  const { serveMetrics } = await import('../metrics/serve.js');
  const metrics = new GatewayMetrics(() => measureShards(gateway));
  return { metrics, server: await serveMetrics(metrics, address) };
}
