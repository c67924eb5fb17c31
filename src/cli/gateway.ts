import { type Command, InvalidArgumentError } from 'commander';
import { MOST_SHARDS } from '../native/binding.js';

export function register(program: Command): void {
  program
    .command('gateway')
    .description('run the gateway on its ports; SIGTERM drains, SIGHUP follows the configuration file')
    .requiredOption('--config <file>', 'configuration of the gateway')
    .option('--shards <n>', 'threads that decide, each beside an lcore of its own; 1 to 16', readShards, 1)
    .action(async (options: { config: string; shards: number }) => {
      if (options.shards > 1) {
        const { runShards } = await import('./run-shards.js');
        return runShards(options.config, options.shards);
      }
      const { runGateway } = await import('./run-gateway.js');
      await runGateway(options.config, 'active');
    });
}

function readShards(text: string): number {
  if (/^[1-9][0-9]?$/.test(text) && Number(text) <= MOST_SHARDS) return Number(text);
  throw new InvalidArgumentError(`a number from 1 to ${MOST_SHARDS}`);
}
