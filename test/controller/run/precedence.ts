// A live gateway whose two threads are kept from their CPUs while first packets come. Argument: whether they are to go
// before others then. The last line is JSON.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fixture } from '../../../bench/fixture.js';
import { LcoreGateway, QUIET } from '../../../bench/gateways.js';
import { ONLY_ENGINE } from '../../../src/controller/running-engine.js';

const TRIES = 10;
const FLOWS = 10_000;
const PER_SECOND = 50_000;
const BLOCKED_MS = 20;

/** By thread: its name, and its policy's number (sched(7), proc_tid_stat(5)). */
function threads(): { readonly id: string; readonly name: string; readonly policy: number }[] {
  return readdirSync('/proc/self/task').map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8');
    const end = stat.lastIndexOf(')');
    return { id, name: stat.slice(stat.indexOf('(') + 1, end), policy: Number(stat.slice(end + 2).split(' ')[38]) };
  });
}

/** Takes a CPU for a tenth of a second, as a real-time thread: it looks at the time itself, since nobody else has the CPU. */
function takeCpu(cpu: string): Promise<void> {
  const spin = 'for (const end = Date.now() + 100; Date.now() < end; );';
  return new Promise((resolve, reject) => {
    const given = ['-f', '2', 'taskset', '-c', cpu, process.execPath, '-e', spin];
    execFile('chrt', given, (fault) => (fault === null ? resolve() : reject(fault)));
  });
}

async function main(): Promise<object> {
  const wantsPrecedence = process.argv[2] === 'true';
  const made = fixture({ flows: 2 * TRIES * FLOWS, offload: 'never', seed: 1, behindSoftwareNic: true, checkEvery: 1 });
  const gateway = new LcoreGateway(made, { ...ONLY_ENGINE, wantsPrecedence });
  const { bench, controller } = gateway;
  const mayHave = gateway.gateway.hasPrecedence;
  const turns = () => controller.dataplane.statistics().precedence;
  let next = 0;
  let failed = 0;
  const meanwhile = async (what: () => unknown) => {
    bench.resetCounters();
    bench.run('fabric', { ...QUIET, pattern: 'new', first: next, count: FLOWS, perSecond: PER_SECOND });
    next += FLOWS;
    await what();
    await gateway.runUntil(() => bench.counters().external.accepted >= FLOWS);
    failed += FLOWS - bench.counters().external.accepted;
  };
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < TRIES && (turns().engine === 0 || !wantsPrecedence); i++)
    await meanwhile(() => Atomics.wait(nothing, 0, 0, BLOCKED_MS));
  const lcore = threads().find(({ name }) => name.startsWith('rte-worker') || name.startsWith('dpdk-worker'));
  const cpu = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync(`/proc/self/task/${lcore?.id}/status`, 'utf8'))?.[1];
  for (let i = 0; i < TRIES && (turns().lcore === 0 || !wantsPrecedence) && mayHave; i++)
    await meanwhile(() => takeCpu(String(cpu)));
  await gateway.runFor(0.05);
  const { engine, lcore: ofLcore } = turns();
  gateway.close();
  const realTime = threads().filter(({ policy }) => policy !== 0).length;
  return { mayHave, engine: engine > 0, lcore: ofLcore > 0, realTime, failed };
}

main().then((told) => {
  console.log(JSON.stringify(told));
  process.exit(0);
});
