import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { FlowEntry } from '../controller/flow-dump.js';
import { FilterError, type FlowPredicate, parseFilter } from '../controller/flow-filter.js';
import { onlySocket, SOCKET_FOLDER } from './control-socket.js';
import { UserFault } from './errors.js';
import { flowTable } from './flow-table.js';

interface FlowsOptions {
  readonly socket?: string;
  readonly redis?: string;
  readonly group?: string;
  readonly format: 'table' | 'json' | 'testpmd';
  readonly watch?: true;
  readonly filter?: FlowPredicate;
}

const WATCH_MS = 1000;

export function register(program: Command): void {
  program
    .command('flows')
    .description('show the flow table of a running gateway, or of the mirror')
    .option('--socket <path>', `control socket of the gateway; default: the only one in ${SOCKET_FOLDER}`)
    .addOption(new Option('--redis <url>', 'read the mirror in Redis instead; no gateway need run').conflicts('socket'))
    .option('--group <name>', "with --redis: ha.group, or the gateway's name; default: the only one there")
    .addOption(
      new Option('--format <format>', 'table, json (one array) or testpmd (the rules in the NIC)')
        .choices(['table', 'json', 'testpmd'])
        .default('table'),
    )
    .option('--watch', 'show it again every second')
    .option('--filter <expression>', 'e.g. "vpc red and proto tcp and inside net 10.0.1.0/24"', readFilter)
    .action(run);
}

async function run(options: FlowsOptions): Promise<void> {
  if (options.redis !== undefined) return showMirror(options.redis, options);
  const socket = options.socket ?? onlySocket();
  await show(options, () => render(socket, options));
}

/** Prints once, or every second. */
async function show(options: FlowsOptions, render: () => Promise<string>): Promise<void> {
  do {
    const text = await render();
    if (options.watch && process.stdout.isTTY) process.stdout.write('\u001b[H\u001b[2J');
    process.stdout.write(`${text}\n`);
    if (options.watch) await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  } while (options.watch);
}

async function showMirror(url: string, options: FlowsOptions): Promise<void> {
  const { redisConnector } = await import('../mirror/connect.js');
  const { readRedisUrl } = await import('../config/redis-url.js');
  const { MirrorFault, MirrorFlows } = await import('../mirror/mirror-flows.js');
  const address = readRedisUrl(url);
  if (typeof address === 'string') throw UserFault.of('--redis', address, 'redis://HOST:PORT');
  if (options.format === 'testpmd') throw UserFault.of('--format', 'rules are in a NIC, the mirror holds sessions');
  const flows = await MirrorFlows.open(redisConnector(url), options.group ?? null).catch((error: Error) => {
    throw error instanceof MirrorFault ? UserFault.of('--redis', error.message, error.hint) : error;
  });
  try {
    await show(options, async () => formatted(flows.entries(), options));
  } finally {
    flows.close();
  }
}

function formatted(all: readonly FlowEntry[], options: FlowsOptions): string {
  const flows = options.filter === undefined ? all : all.filter(options.filter);
  return options.format === 'json' ? JSON.stringify(flows, null, 2) : flowTable(flows);
}

async function render(socket: string, options: FlowsOptions): Promise<string> {
  if (options.format === 'testpmd') return (await fetchLines(socket, '/v1/rules')).join('\n');
  const lines = await fetchLines(socket, '/v1/flows');
  return formatted(
    lines.map((line) => JSON.parse(line) as FlowEntry),
    options,
  );
}

function fetchLines(socketPath: string, path: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path }, (response) => {
      if (response.statusCode !== 200) {
        reject(UserFault.of(socketPath, `the gateway answered ${response.statusCode}`));
        response.resume();
        return;
      }
      const lines: string[] = [];
      const reader = createInterface({ input: response });
      reader.on('line', (line) => {
        if (line !== '') lines.push(line);
      });
      reader.on('close', () => resolve(lines));
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      const hint = error.code === 'ENOENT' ? 'is a gateway with this control.socket running?' : '';
      reject(UserFault.of(socketPath, `no gateway answers: ${error.code ?? error.message}`, hint));
    });
    asked.end();
  });
}

function readFilter(text: string): FlowPredicate {
  try {
    return parseFilter(text);
  } catch (error) {
    if (error instanceof FilterError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}
