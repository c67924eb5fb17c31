import { type Command, InvalidArgumentError } from 'commander';
import type { RecentDrop } from '../controller/recent-drops.js';
import { type AskOptions, answer, ask, askingCommand } from './ask-option.js';
import { Columns } from './columns.js';
import { terminal } from './terminal.js';

interface Drops {
  readonly seconds: number;
  readonly last: Readonly<Record<string, number>>;
  readonly total: Readonly<Record<string, number>>;
  readonly packets: readonly RecentDrop[];
}

interface DropsOptions extends AskOptions {
  readonly last: number;
  readonly packets: number;
}

const MINUTE = 60;
const MOST_SECONDS = 300;
const MOST_PACKETS = 1000;

export function register(program: Command): void {
  const command = program
    .command('drops')
    .description('what the gateway dropped lately, and why')
    .option('--last <seconds>', `so many seconds back, ${MOST_SECONDS} at most`, readUpTo(1, MOST_SECONDS), MINUTE)
    .option('--packets <count>', 'most packets listed', readUpTo(0, MOST_PACKETS), 10);
  askingCommand(command).action(run);
}

async function run(options: DropsOptions): Promise<void> {
  answer(options, await ask<Drops>(options, `/v1/drops?seconds=${options.last}&packets=${options.packets}`), dropsText);
}

function dropsText({ seconds, last, total, packets }: Drops): string {
  const reasons = Object.entries(last).sort(([, a], [, b]) => b - a);
  const since = `in the last ${Math.round(seconds)} s`;
  if (reasons.length === 0) return `nothing was dropped ${since}`;
  const byReason = new Columns<[string, number]>(
    [
      { head: 'REASON', text: ([reason]) => reason, spare: 0 },
      { head: 'PACKETS', text: ([, count]) => String(count), spare: 0, right: true },
      { head: 'SINCE THE START', text: ([reason]) => String(total[reason]), spare: 1, right: true },
    ],
    reasons,
    terminal(),
  );
  const lines = [`dropped ${since}`, byReason.head(), ...reasons.map((reason) => byReason.row(reason))];
  if (packets.length === 0) return lines.join('\n');
  const listed = new Columns<RecentDrop>(
    [
      { head: 'AGO', text: ({ agoMs }) => `${(agoMs / 1000).toFixed(1)}s`, spare: 0, right: true },
      { head: 'REASON', text: ({ reason }) => reason, spare: 0, colour: () => 'yellow' },
      { head: 'FROM', text: ({ port, vpc, vni }) => vpc ?? (vni === null ? port : `VNI ${vni}`), spare: 0 },
      { head: 'PROTO', text: ({ protocol }) => protocol, spare: 0 },
      { head: 'SOURCE', text: ({ source }) => endpoint(source), spare: 0 },
      { head: 'DESTINATION', text: ({ destination }) => endpoint(destination), spare: 0 },
    ],
    packets,
    terminal(),
  );
  lines.push('', 'refused by the NAT engine, youngest first', listed.head());
  return [...lines, ...packets.map((packet) => listed.row(packet))].join('\n');
}

function endpoint({ address, port }: RecentDrop['source']): string {
  return port === 0 ? address : `${address}:${port}`;
}

function readUpTo(least: number, most: number): (text: string) => number {
  return (text) => {
    if (/^[0-9]{1,6}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
    throw new InvalidArgumentError(`a number from ${least} to ${most}`);
  };
}
