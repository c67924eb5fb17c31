import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { LiveGateway as Gateway } from '../controller/live.js';
import type { GatewayMetrics } from '../metrics/gateway-metrics.js';
import type { GatewayMirror as Mirror } from '../mirror/gateway-mirror.js';

export function register(program: Command): void {
  program
    .command('gateway')
    .description('run the gateway on its ports; SIGTERM drains, SIGHUP follows the configuration file')
    .requiredOption('--config <file>', 'configuration of the gateway')
    .action(run);
}

async function run(options: { config: string }): Promise<void> {
  const { pino, destination } = await import('pino');
  const { requireConfig } = await import('./config-option.js');
  const { packageRoot } = await import('../config/package-root.js');
  const { loadBinding } = await import('../native/binding.js');
  const { LiveGateway } = await import('../controller/live.js');
  const { serveControl } = await import('../controller/control.js');
  const { nicTarget } = await import('../controller/nic-target.js');
  const { ignoredParts } = await import('../controller/supported.js');
  const { liveFaults } = await import('../config/purpose.js');
  const { requireFit } = await import('./supported-option.js');
  const config = requireConfig(options.config);
  requireFit(config, liveFaults(config));
  const log = pino({ name: config.name, level: config.log.level }, destination(2));
  const ignored = ignoredParts(config);
  if (ignored.length > 0) log.warn({ ignored }, 'parts of the configuration without effect in this version');
  const root = packageRoot();
  const ended = endSignal(); // one that comes while it starts ends it as soon as it has started
  const gateway = new LiveGateway(
    config,
    loadBinding(root),
    root,
    (driver) => nicTarget(config.offload.target, driver),
    log,
  );
  let control: Awaited<ReturnType<typeof serveControl>> | null = null;
  let monitoring: Monitoring | null = null;
  let mirror: Mirror | null = null;
  try {
    if (config.mirror !== null) {
      const { GatewayMirror } = await import('../mirror/gateway-mirror.js');
      mirror = new GatewayMirror(gateway.controller, config, () => gateway.nowSeconds(), log);
    }
    if (config.control !== null) control = await serveControl(gateway, config.control.socket, mirror?.writer ?? null);
    monitoring = await startMonitoring(gateway);
    gateway.start();
    // Fenced: another gateway has begun an epoch of this group. The mirror is its own then; this one's traffic goes on.
    mirror?.writer
      .begin(null)
      .catch((error: Error) => log.error({ error: error.message }, 'sessions are not mirrored'));
    process.on('SIGHUP', () => void reload(gateway, options.config, log, monitoring?.metrics ?? null, mirror));
    log.info({ config: options.config, vpcs: config.vpcs.length }, 'gateway runs');
    log.info({ signal: await ended }, 'draining');
    log.info(gateway.counters(), 'counters');
  } finally {
    // Also takes its socket away.
    await control?.close();
    await monitoring?.server.close();
    await mirror?.close();
    gateway.close();
  }
}

interface Monitoring {
  readonly metrics: GatewayMetrics;
  readonly server: { close(): Promise<unknown> };
}

/** @returns Null when the configuration asks for no metrics. @throws Error METRICS_ADDRESS */
async function startMonitoring(gateway: Gateway): Promise<Monitoring | null> {
  const address = gateway.config.metrics;
  if (address === null) return null;
  const { GatewayMetrics } = await import('../metrics/gateway-metrics.js');
  const { serveMetrics } = await import('../metrics/serve.js');
  const metrics = new GatewayMetrics(gateway.controller);
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
  mirror: Mirror | null,
): Promise<void> {
  const { loadConfig } = await import('../config/load.js');
  const { liveFaults } = await import('../config/purpose.js');
  const { immutableChanges } = await import('../config/changes.js');
  const { unsupportedParts } = await import('../controller/supported.js');
  const result = loadConfig(path);
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
  mirror?.reconfigured(gateway.config);
  const sessions = await reviewed;
  metrics?.reloaded('ok');
  log.info({ config: path, sessions }, 'new configuration is in force');
}
