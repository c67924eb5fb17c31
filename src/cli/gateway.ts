import type { Command } from 'commander';
import { MOST_SHARDS } from '../native/binding.js';
import { NO_PRECEDENCE, NO_PRECEDENCE_HELP } from './precedence-option.js';
import { parseShards } from './shards-option.js';

export function register(program: Command): void {
  program
    .command('gateway')
    .description('run the gateway on its ports; SIGTERM drains, SIGHUP follows the configuration file')
    .requiredOption('--config <file>', 'configuration of the gateway')
    .option(NO_PRECEDENCE, NO_PRECEDENCE_HELP)
    .option('--shards <n>', `lcores with an engine each, 1..${MOST_SHARDS}, that share the work`, parseShards, 1)
    .action(async (options: { config: string; shards: number; precedence: boolean }) => {
      if (options.shards > 1) {
        const { runShards } = await import('./run-shards.js');
        return runShards(options.config, options.shards, options.precedence);
      }
      const { runGateway } = await import('./run-gateway.js');
      await runGateway(options.config, 'active', options.precedence);
    });
}
