import type { Command } from 'commander';
import { type AskOptions, answer, ask, askingCommand } from './ask-option.js';

interface PortRepair {
  readonly installed: number | null;
  readonly stale: number;
  readonly missing: number;
  readonly failed: number;
}

type Repair = Readonly<Record<string, PortRepair>>;

export function register(program: Command): void {
  const command = program
    .command('reconcile')
    .description('compare the rules of the NICs with those that there should be, and mend what differs');
  askingCommand(command).action(run);
}

async function run(options: AskOptions): Promise<void> {
  const found = await ask<Repair>(options, '/v1/rules/reconcile', {});
  answer(options, found, (ports) => Object.entries(ports).map(portText).join('\n'));
  if (Object.values(found).some(({ failed }) => failed > 0)) process.exitCode = 1;
}

function portText([name, { installed, stale, missing, failed }]: [string, PortRepair]): string {
  if (installed === null) return `${name}: the NIC's driver does not tell what rules it has`;
  if (stale + missing + failed === 0) return `${name}: ${installed} rules, all as they should be`;
  const refused = failed === 0 ? '' : `, ${failed} constant rules that the NIC refused (try again)`;
  return `${name}: ${installed} rules; ${stale} of nobody destroyed, ${missing} missing ones made anew${refused}`;
}
