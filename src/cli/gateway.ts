import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('gateway')
    .description('run the gateway on its ports; SIGTERM drains, SIGHUP follows the configuration file')
    .requiredOption('--config <file>', 'configuration of the gateway')
    .action(async (options: { config: string }) => {
      const { runGateway } = await import('./run-gateway.js');
      await runGateway(options.config, 'active');
    });
}
