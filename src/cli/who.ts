import { type Command, InvalidArgumentError, Option } from 'commander';
import { formatIpv4, parseEndpoint, parseIpv4 } from '../config/address.js';
import { type AskOptions, answer, ask, askingCommand } from './ask-option.js';
import { Columns } from './columns.js';
import { terminal } from './terminal.js';

interface PublicEndpoint {
  readonly address: string;
  readonly port: number;
}

interface Holder {
  readonly kind: 'static' | 'dynamic';
  readonly side: string;
  readonly towards: string | null;
  readonly protocol: string;
  readonly vpc: string;
  readonly inside: PublicEndpoint;
  readonly sessions: number | null;
}

interface Holders extends PublicEndpoint {
  readonly pools: readonly string[];
  readonly holders: readonly Holder[];
}

export function register(program: Command): void {
  const command = program
    .command('who')
    .description('who holds a public address and port')
    .argument('<address:port>', 'e.g. 203.0.113.16:40001; the port of an ICMP echo is its identifier', readEndpoint)
    .addOption(new Option('--protocol <name>', 'only that').choices(['tcp', 'udp', 'icmp']));
  askingCommand(command).action(run);
}

async function run(endpoint: PublicEndpoint, options: AskOptions & { readonly protocol?: string }): Promise<void> {
  const query = new URLSearchParams({ address: endpoint.address, port: String(endpoint.port) });
  if (options.protocol !== undefined) query.set('protocol', options.protocol);
  answer(options, await ask<Holders>(options, `/v1/holders?${query}`), holdersText);
}

function holdersText({ address, port, pools, holders }: Holders): string {
  const place = pools.length === 0 ? 'in no pool' : `of pool ${pools.join(', ')}`;
  if (holders.length === 0) return `nobody holds ${address}:${port} now (an address ${place})`;
  const columns = new Columns<Holder>(
    [
      { head: 'PROTO', text: ({ protocol }) => protocol, spare: 0 },
      { head: 'VPC', text: ({ vpc }) => vpc, spare: 0 },
      { head: 'INSIDE', text: ({ inside }) => `${inside.address}:${inside.port}`, spare: 0 },
      { head: 'BY', text: (holder) => howHeld(holder), spare: 0 },
    ],
    holders,
    terminal(),
  );
  return [columns.head(), ...holders.map((holder) => columns.row(holder))].join('\n');
}

function howHeld({ kind, side, towards, sessions }: Holder): string {
  if (kind === 'static') return side === 'peering' ? 'a static peering binding' : 'a static binding';
  const use = `${sessions} session${sessions === 1 ? '' : 's'}`;
  return `a dynamic mapping${towards === null ? '' : ` towards VPC ${towards}`} that ${use} use${sessions === 1 ? 's' : ''}`;
}

function readEndpoint(text: string): PublicEndpoint {
  const found = parseEndpoint(text);
  if (found !== null) return { address: formatIpv4(found.address), port: found.port };
  const hint = parseIpv4(text) === null ? 'ADDRESS:PORT' : `${text} has no port: ADDRESS:PORT`;
  throw new InvalidArgumentError(hint);
}
