import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { onlySocket, openGateway, SOCKET_FOLDER } from './control-socket.js';
import { UserFault } from './errors.js';

const KINDS = ['dropped', 'punted', 'translated'] as const;

interface CaptureOptions {
  readonly socket?: string;
  readonly kind: readonly string[];
  readonly reason?: string;
  readonly proto?: string;
  readonly net?: string;
  readonly port?: number;
  readonly vpc?: string;
  readonly external?: true;
  readonly packets: number;
  readonly seconds: number;
  readonly write: string;
}

export function register(program: Command): void {
  program
    .command('capture')
    .description('write packets that software dropped, got from the NIC, or translated to a pcapng file')
    .option('--socket <path>', `control socket of the gateway; default: the only one in ${SOCKET_FOLDER}`)
    .addOption(new Option('--kind <kinds...>', 'which packets').choices(KINDS).default(['dropped']))
    .option('--reason <reason>', 'of dropped ones: why, as sluice drops says it')
    .addOption(new Option('--proto <protocol>', 'protocol').choices(['icmp', 'tcp', 'udp']))
    .option('--net <prefix>', 'an address or a prefix, of either end as the packet came')
    .option('--port <port>', 'a port, of either end', readUpTo(65_535))
    .option('--vpc <name>', 'came from that VPC')
    .addOption(new Option('--external', 'came from outside').conflicts('vpc'))
    .option('--packets <count>', 'ends after so many', readUpTo(10_000_000), 1000)
    .option('--seconds <count>', 'ends after so long', readUpTo(3600), 60)
    .requiredOption('--write <file>', 'where to; -: standard output')
    .action(run);
}

async function run(options: CaptureOptions): Promise<void> {
  const { socket = onlySocket(), kind, reason, proto, net, port, vpc, external, packets, seconds, write } = options;
  const query = new URLSearchParams({ kind: kind.join(',') });
  const given = { reason, protocol: proto, net, port, vpc, side: external ? 'external' : undefined, packets, seconds };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) query.set(name, String(value));
  const file = await openGateway(socket, `/v1/capture?${query}`);
  // Ended by hand, what has come is a whole file all the same: blocks are written whole.
  process.once('SIGINT', () => file.destroy());
  try {
    if (write === '-') await pipeline(file, process.stdout, { end: false });
    else await pipeline(file, createWriteStream(write));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_STREAM_PREMATURE_CLOSE') return;
    throw UserFault.of('--write', message, 'give a file that can be written, or - for standard output');
  }
}

function readUpTo(most: number): (text: string) => number {
  return (text) => {
    if (/^[1-9][0-9]{0,7}$/.test(text) && Number(text) <= most) return Number(text);
    throw new InvalidArgumentError(`a number from 1 to ${most}`);
  };
}
