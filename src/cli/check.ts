import type { Command } from 'commander';
import type { ValidatedConfig } from '../config/types.js';

export function register(program: Command): void {
  program
    .command('check')
    .description('validate a configuration, and the ha_config.json that it names, and tell every fault')
    .requiredOption('--config <file>', 'configuration of a gateway')
    .action(async (options: { config: string }) => {
      const { requireConfig } = await import('./config-option.js');
      const { unsupportedParts } = await import('../controller/supported.js');
      const { formatFault, UserFault } = await import('./errors.js');
      const { firstPairSettings, namedFaults } = await import('../ha/settings.js');
      const config = requireConfig(options.config);
      // A gateway of a pair would not start with it either.
      const pair = firstPairSettings(config);
      if (!pair.ok) throw new UserFault(namedFaults(pair.faults, config));
      // The file is right, so this is no refusal; but gateway and replay will refuse it.
      for (const fault of unsupportedParts(config)) process.stderr.write(`warning: ${formatFault(fault)}\n`);
      process.stdout.write(`${options.config}: ok (${summary(config)})\n`);
    });
}

function summary(config: ValidatedConfig): string {
  const remote = config.vpcs.filter((vpc) => vpc.remoteGateway >= 0).length;
  const parts = [
    `gateway ${config.name}`,
    count(config.ports.length, 'port'),
    `${count(config.vpcs.length, 'VPC')}${remote > 0 ? `, ${remote} remote` : ''}`,
    count(config.externalPools.length, 'external pool'),
    count(config.peeringPools.length, 'peering pool'),
    count(config.staticBindings.length, 'static binding'),
  ];
  return parts.join(', ');
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
