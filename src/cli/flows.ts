import { Transform } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FLOW_SORTS, type FlowSort } from '../controller/flow-sort.js';
import { onlySocket, SOCKET_FOLDER } from './control-socket.js';
import { UserFault } from './errors.js';
import { type ReadFilter, readFilter } from './filter-option.js';
import type { FlowQuery, FlowSource } from './flow-source.js';
import { terminal } from './terminal.js';

const FORMATS = ['table', 'json', 'jsonl', 'testpmd'] as const;

interface FlowsOptions {
  readonly socket?: string;
  readonly redis?: string;
  readonly group?: string;
  readonly format: (typeof FORMATS)[number];
  readonly watch?: true;
  readonly filter?: ReadFilter;
  readonly sort?: FlowSort;
  readonly limit?: number;
}

const WATCH_MS = 1000;
const STDOUT = 1;
const NO_RULES = UserFault.of(
  '--format',
  'rules are in a NIC, the mirror holds sessions',
  'ask the gateway with --socket',
);

export function register(program: Command): void {
  program
    .command('flows')
    .description('show the flow table of a running gateway, or of the mirror')
    .option('--socket <path>', `control socket of the gateway; default: the only one in ${SOCKET_FOLDER}`)
    .addOption(new Option('--redis <url>', 'read the mirror in Redis instead; no gateway need run').conflicts('socket'))
    .option('--group <name>', "with --redis: ha.group, or the gateway's name; default: the only one there")
    .addOption(
      new Option(
        '--format <format>',
        'table, json (one array), jsonl (an object a line) or testpmd (the rules in the NIC)',
      )
        .choices(FORMATS)
        .default('table'),
    )
    .option(
      '--filter <expression>',
      'e.g. "vpc red and proto tcp and inside net 10.0.1.0/24 and path software"',
      readFilter,
    )
    .addOption(new Option('--sort <key>', 'largest first; 100 flows unless --limit says more').choices(FLOW_SORTS))
    .option('--limit <count>', 'most flows', readLimit)
    .option('--watch', 'the flows that move most, every second; with json and jsonl all of them again')
    .action(run);
}

async function run(options: FlowsOptions, command: Command): Promise<void> {
  const { redis } = options;
  if (redis !== undefined && options.format === 'testpmd') throw NO_RULES;
  if (redis === undefined && options.group !== undefined)
    command.error("error: option '--group <name>' names a mirror: it needs '--redis <url>'", { exitCode: 2 });
  const { gatewaySource, mirrorSource } = await import('./flow-source.js');
  const source =
    redis === undefined
      ? gatewaySource(options.socket ?? onlySocket())
      : await mirrorSource(redis, options.group ?? null);
  const { filter, sort = null, limit = null } = options;
  const query = { filter: filter?.text ?? null, admits: filter?.admits ?? null, sort, limit };
  try {
    if (options.watch && options.format === 'table') {
      const { watchFlows } = await import('./flow-watch.js');
      await watchFlows(source, query);
    }
    do {
      await print(source, options.format, query);
      if (options.watch) await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    } while (options.watch);
  } finally {
    source.close();
  }
}

async function print(source: FlowSource, format: FlowsOptions['format'], query: FlowQuery): Promise<void> {
  if (format === 'testpmd') {
    if (source.rules === null) throw NO_RULES;
    process.stdout.write(`${await source.rules()}\n`);
    return;
  }
  const tellsProgress = process.stderr.isTTY && !process.stdout.isTTY && query.sort === null;
  if (format === 'jsonl' && !tellsProgress && source.pass !== null && (await source.pass(query, STDOUT).catch(unread)))
    return;
  const { JsonArray, TableLines } = await import('./flow-print.js');
  const lines = await source.lines(query);
  const shape = { table: () => new TableLines(terminal()), json: () => new JsonArray(), jsonl: null }[format];
  const steps = [tellsProgress ? await progress(source, query) : null, shape === null ? null : shape()].filter(
    (step) => step !== null,
  );
  const last = steps.reduce<NodeJS.ReadableStream>((from, step) => from.pipe(step), lines);
  // Standard output stays open; a reader that closes it early ends the command.
  last.pipe(process.stdout, { end: false });
  const told = (error: Error) => {
    throw source.told(error);
  };
  await Promise.all([finished(lines).catch(told), finished(last)]);
}

/** What standard output's stream would have met: whoever watches it knows what to do without a reader. */
function unread(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.stdout.emit('error', error);
  throw error;
}

/** Tells on a terminal how far a list is that goes elsewhere. */
async function progress(source: FlowSource, query: FlowQuery): Promise<Transform> {
  const all = await source.count();
  let flows = 0;
  let shownMs = Date.now();
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) flows++;
      if (Date.now() - shownMs > 200) {
        shownMs = Date.now();
        process.stderr.write(`\r${flows}${all === null ? '' : ` of ${query.limit ?? all}`} flows`);
      }
      done(null, chunk);
    },
    flush(done) {
      process.stderr.write('\r\u001b[K');
      done();
    },
  });
}

function readLimit(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number from 1');
}
