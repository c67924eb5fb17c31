import { readFileSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { ValidatedConfig } from '../src/config/types.js';
import { NatEngine } from '../src/nat/engine.js';
import { Protocol } from '../src/nat/packet.js';
import { MOST_TOGETHER } from '../src/nat/session-opening.js';
import { NativeRows } from '../src/nat/session-timers.js';
import type { EngineMessage } from '../src/nat/shards/messages.js';
import { homeOf, rowsOfShard, type ShardMemory } from '../src/nat/shards/shared-state.js';
import type { DecisionSink } from '../src/nat/sink.js';
import { MissEvent, SessionRow } from '../src/native/records.js';
import { FIRST_SOURCE_PORT, type Fixture, REMOTE_PORT } from './fixture.js';

/** What one engine of the bench `shards` is to do. */
export interface ThreadTask {
  readonly config: ValidatedConfig;
  readonly scenario: Fixture['scenario'];
  readonly shards: number;
  readonly index: number;
  /** Null: the engine is alone. */
  readonly memory: ShardMemory | null;
  readonly hosts: number;
  /** Misses that are measured; a third of them come before. */
  readonly misses: number;
  /** From the dealer. */
  readonly inbox: MessagePort;
  /** All engines wait until all are ready. */
  readonly ready: SharedArrayBuffer;
}

export interface ThreadDone {
  readonly opened: number;
  readonly refused: number;
  readonly cpuSeconds: number;
  readonly seconds: number;
  readonly asked: number;
}

const WORDS = MissEvent.size / 4;
/** How long a thread sleeps that has nothing to do but wait for answers, milliseconds. */
const NAP = 0.05;

/** CPU seconds of this thread (proc_pid_schedstat: nanoseconds on a CPU come first). */
function threadSeconds(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e9;
}

/** First packets of an engine's hosts, as many as are asked for, written where the event ring would have them. */
class Misses {
  readonly words = new Int32Array(MOST_TOGETHER * WORDS);
  private readonly view = new DataView(this.words.buffer);
  private readonly own: number[] = [];
  private next = 0;

  constructor({ config, scenario, shards, index, hosts }: ThreadTask) {
    for (let host = 0; this.own.length < hosts; host++) {
      if (homeOf(scenario.privateBase + host, shards) === index) this.own.push(scenario.privateBase + host);
    }
    for (let at = 0; at < this.words.byteLength; at += MissEvent.size) {
      this.view.setUint8(at + MissEvent.port, config.fabricPort);
      this.view.setUint8(at + MissEvent.protocol, Protocol.udp);
      this.view.setUint8(at + MissEvent.ttl, 64);
      this.view.setUint32(at + MissEvent.seconds, 1000, true);
      this.view.setUint32(at + MissEvent.vni, scenario.vni, true);
      this.view.setUint32(at + MissEvent.outerSourceAddress, scenario.hostVtep, true);
      this.view.setUint32(at + MissEvent.destinationAddress, scenario.remoteBase, true);
      this.view.setUint16(at + MissEvent.destinationPort, REMOTE_PORT, true);
    }
  }

  fill(): void {
    for (let at = 0; at < this.words.byteLength; at += MissEvent.size) {
      const flow = this.next++;
      this.view.setUint32(at + MissEvent.sourceAddress, this.own[flow % this.own.length], true);
      const port = FIRST_SOURCE_PORT + Math.floor(flow / this.own.length);
      this.view.setUint16(at + MissEvent.sourcePort, port, true);
    }
  }
}

function run(task: ThreadTask): ThreadDone {
  const { config, index, memory, inbox, shards } = task;
  let opened = 0;
  let refused = 0;
  let asked = 0;
  const refuse = () => {
    refused++;
  };
  const session = () => {
    opened++;
  };
  const sink = { session, drop: refuse, icmpError: refuse, retry: refuse } as Partial<DecisionSink> as DecisionSink;
  const mail = {
    toDealer(message: object) {
      asked++;
      parentPort?.postMessage(message);
    },
    toEngine() {
      throw new Error('no host of this bench calls another');
    },
  };
  const rows = new NativeRows(new ArrayBuffer(rowsOfShard(config.nat.maxSessions, shards) * SessionRow.size));
  const seat = memory === null ? null : { index, memory, mail };
  const engine = new NatEngine(config, rows, sink, undefined, undefined, seat);
  const misses = new Misses(task);
  const nap = new Int32Array(new SharedArrayBuffer(4));

  const readMail = () => {
    for (let said = receiveMessageOnPort(inbox); said !== undefined; said = receiveMessageOnPort(inbox)) {
      engine.receive(said.message as EngineMessage);
    }
  };
  let made = 0;
  const until = (count: number) => {
    while (made < count) {
      misses.fill();
      for (let i = 0; i < MOST_TOGETHER; i++) engine.touch(misses.words, i * MissEvent.size, i);
      engine.fetch();
      for (let i = 0; i < MOST_TOGETHER; i++) engine.onMiss(misses.words, i * MissEvent.size, i);
      made += MOST_TOGETHER;
      if (asked > 0) readMail();
    }
    while (opened + refused < made) {
      readMail();
      Atomics.wait(nap, 0, 0, NAP);
    }
  };
  const before = Math.ceil(task.misses / 3);
  until(before);
  const ready = new Int32Array(task.ready);
  Atomics.add(ready, 0, 1);
  Atomics.notify(ready, 0);
  for (let count = Atomics.load(ready, 0); count < shards; count = Atomics.load(ready, 0)) {
    Atomics.wait(ready, 0, count);
  }
  const start = performance.now();
  const cpu = threadSeconds();
  const already = { opened, refused, asked };
  until(before + task.misses);
  return {
    opened: opened - already.opened,
    refused: refused - already.refused,
    asked: asked - already.asked,
    cpuSeconds: threadSeconds() - cpu,
    seconds: (performance.now() - start) / 1000,
  };
}

parentPort?.postMessage({ kind: 'done', done: run(workerData as ThreadTask) });
