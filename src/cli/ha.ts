import type { Command } from 'commander';
import type { SwitchoverReport } from '../ha/member.js';
import type { PairStatus } from '../ha/status.js';
import { askGateway, messageOf, onlySocket, SOCKET_FOLDER } from './control-socket.js';
import { UserFault } from './errors.js';
import { pairReport } from './pair-report.js';

interface HaOptions {
  readonly socket?: string;
  readonly json?: true;
}

const OK = 200;
const NOT_FOUND = 404;
const SOCKET_HELP = `control socket of the gateway; default: the only one in ${SOCKET_FOLDER}`;

export function register(program: Command): void {
  const ha = program.command('ha').description('the pair that a running gateway is one of');
  ha.command('status')
    .description('role, lease, peer, checks and the state of the mirror')
    .option('--socket <path>', SOCKET_HELP)
    .option('--json', 'as JSON (schemas/ha-status.schema.json)')
    .action(status);
  ha.command('switchover')
    .description('hand over from the active gateway, whose socket this is, to the other one')
    .option('--socket <path>', SOCKET_HELP)
    .option('--json', 'as JSON')
    .action(switchover);
}

async function status(options: HaOptions): Promise<void> {
  const answer = await ask(options, 'GET', '/v1/ha');
  const found = JSON.parse(answer) as PairStatus;
  process.stdout.write(`${options.json ? JSON.stringify(found, null, 2) : pairReport(found)}\n`);
}

async function switchover(options: HaOptions): Promise<void> {
  const answer = await ask(options, 'POST', '/v1/ha/switchover');
  const { to, tookMs } = JSON.parse(answer) as SwitchoverReport;
  const text = `handed over to ${to} in ${tookMs.toFixed(1)} ms`;
  process.stdout.write(`${options.json ? JSON.stringify({ to, tookMs }) : text}\n`);
}

/** @throws UserFault when no gateway of a pair answers, or it refuses */
async function ask(options: HaOptions, method: 'GET' | 'POST', path: string): Promise<string> {
  const socket = options.socket ?? onlySocket();
  const { status: code, body } = await askGateway(socket, method, path);
  if (code === OK) return body;
  if (code === NOT_FOUND) throw UserFault.of(socket, 'this gateway stands alone', 'its configuration has no ha');
  throw UserFault.of(socket, messageOf(body) ?? `the gateway answered ${code}`);
}
