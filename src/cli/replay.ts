import { writeFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import type { OffloadSettings, ValidatedConfig } from '../config/types.js';
import type { Reload, Replay as ReplayRun } from '../controller/replay.js';
import type { NatLog } from '../nat/nat-log.js';
import { MOST_SHARDS, type NativeError } from '../native/binding.js';
import { UserFault } from './errors.js';
import { fileClash, type NamedFile } from './replay-files.js';
import { parseShards } from './shards-option.js';

interface PortFile {
  readonly port: string;
  readonly path: string;
}

interface ReloadFile {
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly path: string;
}

interface ReplayCommandOptions {
  readonly config: string;
  readonly in: readonly PortFile[];
  readonly out: readonly PortFile[];
  readonly offload?: Pick<OffloadSettings, 'mode' | 'afterPackets'>;
  readonly reload: readonly ReloadFile[];
  readonly burst: number;
  readonly shards: number;
  readonly flows?: string;
  readonly counters?: string;
}

const WRITABLE = 'a file that may be written, in a folder that is there';

export function register(program: Command): void {
  program
    .command('replay')
    .description(
      'run the whole gateway over captures, offline and deterministic; prints a summary unless --flows or --counters take it',
    )
    .requiredOption('--config <file>', 'configuration of the gateway')
    .requiredOption(
      '--in <port=pcap>',
      'capture to receive on a port (repeatable; merged by time); where its times go backwards the clock stands still',
      collectPortFile,
    )
    .option('--out <port=pcap>', 'capture to write what a port transmits, one each (repeatable)', collectPortFile, [])
    .option(
      '--reload <time=config>',
      'follow another configuration from a capture time on, seconds with fraction (repeatable)',
      collectReload,
      [],
    )
    .option('--offload <mode>', 'immediate, never or after:N; default: offload.mode of the configuration', parseOffload)
    .option('--burst <n>', 'packets received at once; the result does not depend on it', parseBurst, 32)
    .option('--shards <n>', `slow paths with an engine each, 1..${MOST_SHARDS}, that share the work`, parseShards, 1)
    .option('--flows <file>', 'write the flow table after the last packet, JSON')
    .option('--counters <file>', 'write the counters, JSON')
    .action(run);
}

async function run(options: ReplayCommandOptions, command: Command): Promise<void> {
  const misuse = outTwice(options.out) ?? fileClash(namedFiles(options));
  if (misuse !== null) command.error(`error: ${misuse}`, { exitCode: 2 });
  const { requireConfig } = await import('./config-option.js');
  const { packageRoot } = await import('../config/package-root.js');
  const { loadBinding } = await import('../native/binding.js');
  const { Replay } = await import('../controller/replay.js');
  const { nicTarget } = await import('../controller/nic-target.js');
  const { shardObstacles } = await import('../nat/shards/obstacles.js');
  const { replayFaults } = await import('../config/purpose.js');
  const { immutableChanges } = await import('../config/changes.js');
  const { requireFit } = await import('./supported-option.js');
  const { replaySummary } = await import('./replay-summary.js');
  const { withVirtualMac } = await import('../ha/addresses.js');
  const load = (path: string) => withOffload(withVirtualMac(requireConfig(path)), options.offload);
  const config = load(options.config);
  const { shards } = options;
  requireFit(config, [...replayFaults(config), ...(shards > 1 ? shardObstacles(config) : [])]);
  const inputs = options.in.map((file) => toPort(config, file, '--in'));
  const outputs = options.out.map((file) => toPort(config, file, '--out'));
  const reloads: Reload[] = options.reload.map(({ seconds, nanoseconds, path }) => {
    const next = load(path);
    requireFit(next, [...replayFaults(next), ...immutableChanges(config, next)]);
    return { seconds, nanoseconds, config: next };
  });
  const root = packageRoot();
  try {
    const target = nicTarget(config.offload.target, 'net_softflow');
    const log = config.nat.log === 'none' ? undefined : await natLog(config, () => replay.controllers[0].config);
    const replay: ReplayRun = new Replay(config, loadBinding(root), root, target, log, shards);
    const result = replay.run({ inputs, outputs, burst: options.burst, reloads });
    if (options.flows !== undefined) writeJson('--flows', options.flows, result.flows);
    if (options.counters !== undefined) writeJson('--counters', options.counters, result.counters);
    if (options.flows === undefined && options.counters === undefined) {
      process.stdout.write(`${replaySummary(result)}\n`);
    }
    replay.close();
    if (result.truncated.length > 0) {
      throw new UserFault(
        result.truncated.map((path) => ({
          path,
          message: 'the capture is cut off',
          hint: 'the whole packets before the end were replayed',
        })),
      );
    }
  } catch (error) {
    throw asFault(error, options);
  }
}

/** Captures to receive are merged by time, several on one port too; what a port transmits goes to one file. */
function outTwice(files: readonly PortFile[]): string | null {
  const twice = files.find(({ port }, i) => files.findIndex((other) => other.port === port) < i);
  if (twice === undefined) return null;
  return `'--out ${twice.port}=${twice.path}' names port "${twice.port}" a second time; a port has one --out`;
}

function namedFiles(options: ReplayCommandOptions): NamedFile[] {
  const { config, reload, flows, counters } = options;
  const read = (option: string, path: string) => ({ option, path, isWritten: false });
  const written = (option: string, path: string) => ({ option, path, isWritten: true });
  return [
    read(`--config ${config}`, config),
    ...options.in.map(({ port, path }) => read(`--in ${port}=${path}`, path)),
    ...reload.map(({ path }) => read(`--reload ${path}`, path)),
    ...options.out.map(({ port, path }) => written(`--out ${port}=${path}`, path)),
    ...(flows === undefined ? [] : [written(`--flows ${flows}`, flows)]),
    ...(counters === undefined ? [] : [written(`--counters ${counters}`, counters)]),
  ];
}

/** Lines on standard error, as a live gateway's. */
async function natLog(config: ValidatedConfig, configOf: () => ValidatedConfig): Promise<NatLog> {
  const { pino, destination } = await import('pino');
  const { NatLogLines } = await import('../controller/nat-log-lines.js');
  const log = pino({ name: config.name, level: config.log.level }, destination({ dest: 2, sync: true }));
  return new NatLogLines(log, configOf);
}

/** Errors of the addon that the user's files or machine caused, in the form of all faults. */
function asFault(error: unknown, options: ReplayCommandOptions): unknown {
  const { code, message } = error as NativeError;
  if (code !== 'CAPTURE_OPEN' && code !== 'CAPTURE_FORMAT') return error;
  const place = (option: string, files: readonly PortFile[], hint: string) => {
    const file = files.find(({ path }) => message.startsWith(`${path}: `));
    return file && UserFault.of(`${option} ${file.port}=${file.path}`, message.slice(file.path.length + 2), hint);
  };
  return (
    place('--in', options.in, 'a pcap or pcapng capture of Ethernet frames') ??
    place('--out', options.out, WRITABLE) ??
    UserFault.of('', message)
  );
}

function withOffload(config: ValidatedConfig, offload: ReplayCommandOptions['offload']): ValidatedConfig {
  return offload === undefined ? config : { ...config, offload: { ...config.offload, ...offload } };
}

function toPort(config: ValidatedConfig, file: PortFile, option: string): { port: number; path: string } {
  const port = config.ports.find(({ name }) => name === file.port);
  if (port !== undefined) return { port: port.index, path: file.path };
  const names = config.ports.map(({ name }) => name).join(', ');
  throw UserFault.of(
    `${option} ${file.port}=${file.path}`,
    `the gateway has no port "${file.port}"`,
    `its ports: ${names}`,
  );
}

function writeJson(option: string, path: string, value: unknown): void {
  try {
    writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
  } catch (error) {
    throw UserFault.of(`${option} ${path}`, `cannot be written: ${(error as Error).message}`, WRITABLE);
  }
}

function collectPortFile(text: string, previous: readonly PortFile[] = []): PortFile[] {
  const equals = text.indexOf('=');
  if (equals < 1 || equals === text.length - 1) throw new InvalidArgumentError('expected PORT=PCAP.');
  return [...previous, { port: text.slice(0, equals), path: text.slice(equals + 1) }];
}

function collectReload(text: string, previous: readonly ReloadFile[] = []): ReloadFile[] {
  const parts = /^([0-9]{1,10})(?:\.([0-9]{1,9}))?=(.+)$/.exec(text);
  if (parts === null) throw new InvalidArgumentError('expected SECONDS=CONFIG, such as 1700000000.5=new.json.');
  const [, seconds, fraction = '', path] = parts;
  return [...previous, { seconds: Number(seconds), nanoseconds: Number(fraction.padEnd(9, '0')), path }];
}

function parseOffload(text: string): Pick<OffloadSettings, 'mode' | 'afterPackets'> {
  if (text === 'immediate' || text === 'never') return { mode: text, afterPackets: 0 };
  const after = /^after:([1-9][0-9]{0,8})$/.exec(text);
  if (after === null) throw new InvalidArgumentError('expected immediate, never or after:N.');
  return { mode: 'after', afterPackets: Number(after[1]) };
}

function parseBurst(text: string): number {
  const burst = Number(text);
  if (!Number.isInteger(burst) || burst < 1 || burst > 512) throw new InvalidArgumentError('expected 1..512.');
  return burst;
}
