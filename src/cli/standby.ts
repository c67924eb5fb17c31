import type { Command } from 'commander';
import { NO_PRECEDENCE, NO_PRECEDENCE_HELP } from './precedence-option.js';

export function register(program: Command): void {
  program
    .command('standby')
    .description('stand by for the active gateway of a pair: follow its sessions, install their rules, take over')
    .requiredOption('--config <file>', 'configuration of the gateway; it needs mirror and ha')
    .option(NO_PRECEDENCE, NO_PRECEDENCE_HELP)
    .action(async (options: { config: string; precedence: boolean }) => {
      const { requireConfig } = await import('./config-option.js');
      const { UserFault } = await import('./errors.js');
      if (requireConfig(options.config).ha === null) {
        throw UserFault.of(
          '/ha',
          'is missing',
          'a standby is one of a pair: give ha and mirror, or run sluice gateway',
        );
      }
      const { runGateway } = await import('./run-gateway.js');
      await runGateway(options.config, 'standby', options.precedence);
    });
}
