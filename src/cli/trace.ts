import { type Command, InvalidArgumentError, Option } from 'commander';
import { formatIpv4, parseEndpoint, parseIpv4 } from '../config/address.js';
import type { Trace, TracedDirection } from '../controller/trace.js';
import { type AskOptions, answer, ask, askingCommand } from './ask-option.js';
import { UserFault } from './errors.js';
import { coloured, terminal } from './terminal.js';

interface TraceOptions extends AskOptions {
  readonly vpc?: string;
  readonly ttl?: string;
  readonly flags?: readonly string[];
}

const FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr'];

export function register(program: Command): void {
  const command = program
    .command('trace')
    .description('why a flow is where it is, or what would become of a packet; nothing is sent')
    .argument('<flow-or-protocol>', 'id of a flow (sluice flows), or tcp, udp, icmp, or a protocol number')
    .argument('[source]', 'ADDRESS:PORT; ICMP echo: ADDRESS:IDENTIFIER')
    .argument('[destination]', 'ADDRESS:PORT')
    .option('--vpc <name>', 'VPC that sends the packet; without: it comes from outside')
    .option('--ttl <number>', 'of the packet; 64 unless given')
    .addOption(new Option('--flags <names>', `TCP flags, joined by commas; syn unless given`).argParser(readFlags));
  askingCommand(command).action(run);
}

async function run(
  what: string,
  source: string | undefined,
  destination: string | undefined,
  options: TraceOptions,
): Promise<void> {
  const trace = /^[0-9]+\.[0-9]+$/.test(what)
    ? await ask<Trace>(options, `/v1/flows/${what}/trace`)
    : await ask<Trace>(options, '/v1/trace', packetOf(what, source, destination, options));
  answer(options, trace, traceText);
}

function packetOf(
  protocol: string,
  source: string | undefined,
  destination: string | undefined,
  options: TraceOptions,
) {
  const from = endpointOf('source', source);
  const to = endpointOf('destination', destination);
  const { vpc, ttl, flags } = options;
  return {
    protocol,
    source: from.address,
    sourcePort: from.port,
    destination: to.address,
    destinationPort: to.port,
    ...(vpc === undefined ? {} : { vpc }),
    ...(ttl === undefined ? {} : { ttl: Number(ttl) }),
    ...(flags === undefined ? {} : { tcpFlags: flags }),
  };
}

function endpointOf(which: string, text: string | undefined): { address: string; port: number } {
  if (text === undefined)
    throw UserFault.of(which, 'is missing', 'sluice trace tcp 10.0.1.7:40000 192.0.2.1:443 --vpc red');
  const address = parseIpv4(text);
  if (address !== null) return { address: text, port: 0 };
  const found = parseEndpoint(text);
  if (found === null)
    throw UserFault.of(which, `"${text}" is neither an address nor ADDRESS:PORT`, 'such as 10.0.1.7:40000');
  return { address: formatIpv4(found.address), port: found.port };
}

export function traceText(trace: Trace): string {
  const { colours } = terminal();
  const { verdict, reason, flow, stages, directions } = trace;
  const lines = stages.map(({ stage, detail, result }) =>
    coloured(`  ${stage.padEnd(16)} ${detail}`, result === 'drop' ? 'red' : null, colours),
  );
  const told: Readonly<Record<Trace['verdict'], string>> = {
    drop: `dropped: ${reason}`,
    answer: 'answered by the gateway itself',
    session: flow === null ? 'it would open a flow' : `flow ${flow}`,
  };
  lines.push(coloured(told[verdict], 'bold', colours));
  for (const direction of directions) lines.push(...directionLines(direction, colours));
  return lines.join('\n');
}

function directionLines({ direction, path, reason, stages }: TracedDirection, colours: boolean): string[] {
  const inNic = path === 'offloaded' || path === 'would-offload';
  const head = `${direction}: ${path}${reason === null ? '' : ` (${reason})`}`;
  return [
    coloured(head, inNic ? 'green' : 'yellow', colours),
    ...stages.map(({ stage, detail }) => `  ${stage.padEnd(16)} ${detail}`),
  ];
}

function readFlags(text: string): readonly string[] {
  const flags = text === '' ? [] : text.split(',');
  const odd = flags.find((flag) => !FLAGS.includes(flag));
  if (odd === undefined) return flags;
  throw new InvalidArgumentError(`"${odd}" is no TCP flag: ${FLAGS.join(', ')}`);
}
