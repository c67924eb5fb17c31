import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseIpv4 } from '../../src/config/address.js';
import { validateConfig } from '../../src/config/load.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import { EngineSink } from '../../src/mirror/engine-sink.js';
import { EngineSource } from '../../src/mirror/engine-source.js';
import { NatEngine } from '../../src/nat/engine.js';
import { NativeRows } from '../../src/nat/session-timers.js';
import type { DecidedSession, DecisionSink, IdleTerms, SessionTimes } from '../../src/nat/sink.js';
import { type DropReason, MissEvent, MissKind, NO_VNI, SessionRow } from '../../src/native/records.js';

/** Three VPCs, one of them another gateway's, static and dynamic bindings on both sides; with what a test wants otherwise. */
export function exampleConfig(change: (document: Record<string, unknown>) => void = () => undefined): ValidatedConfig {
  const path = join(__dirname, '../nat/fixtures/two-gateways.json');
  const document = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(document);
  const result = validateConfig(document, null);
  if (!result.ok) throw new Error(result.faults.map((fault) => `${fault.path} ${fault.message}`).join('\n'));
  return result.config;
}

export interface Frame {
  readonly from: 'external' | { readonly vni: number; readonly outerSource?: string };
  readonly protocol: number;
  readonly source: string;
  readonly sourcePort?: number;
  readonly destination: string;
  readonly destinationPort?: number;
}

/** A NAT engine with an lcore that does at once what it is told, and forgets packets. */
export class EngineNode implements DecisionSink {
  readonly engine: NatEngine;
  readonly rows: NativeRows;
  readonly source: EngineSource;
  readonly drops: DropReason[] = [];
  /** How the lcore has answered timers: removed, hit in the NIC since, asked though not idle. */
  expired = 0;
  refreshed = 0;
  queried = 0;
  now = 100_000;
  row = -1;
  private readonly view: DataView;
  private readonly miss = new DataView(new ArrayBuffer(MissEvent.size));
  private readonly removed: [number, number][] = [];
  private unanswered: (() => void)[] | null = null;
  private readonly unseen: { row: number; isReply: boolean; second: number }[] = [];

  constructor(
    readonly config: ValidatedConfig,
    shards = 8,
  ) {
    const memory = new ArrayBuffer(config.nat.maxSessions * SessionRow.size);
    this.view = new DataView(memory);
    this.rows = new NativeRows(memory);
    this.engine = new NatEngine(config, this.rows, this);
    this.source = new EngineSource(this.engine, this.rows, () => this.now, shards);
  }

  asReplica(): EngineSink {
    return new EngineSink(
      this.engine,
      () => this.now,
      () => 1_000_000,
    );
  }

  /** A first packet. @returns The row of the session it opened, or -1. */
  open(frame: Frame): number {
    const { miss } = this;
    const address = (text: string) => parseIpv4(text) ?? 0;
    miss.setUint8(MissEvent.kind, MissKind.ipv4);
    const outside = frame.from === 'external';
    miss.setUint8(MissEvent.port, outside ? this.config.externalPort : this.config.fabricPort);
    miss.setUint8(MissEvent.protocol, frame.protocol);
    miss.setUint8(MissEvent.ttl, 64);
    miss.setUint8(MissEvent.tcpFlags, 2);
    miss.setUint8(MissEvent.icmpType, 8);
    const vni = frame.from === 'external' ? NO_VNI : frame.from.vni;
    miss.setUint32(MissEvent.vni, vni, true);
    const outer = frame.from === 'external' ? undefined : frame.from.outerSource;
    miss.setUint32(MissEvent.outerSourceAddress, address(outer ?? '172.30.0.11'), true);
    miss.setUint32(MissEvent.seconds, this.now, true);
    miss.setUint32(MissEvent.sourceAddress, address(frame.source), true);
    miss.setUint32(MissEvent.destinationAddress, address(frame.destination), true);
    miss.setUint16(MissEvent.sourcePort, frame.sourcePort ?? 0, true);
    miss.setUint16(MissEvent.destinationPort, frame.destinationPort ?? 0, true);
    this.row = -1;
    const words = new Int32Array(miss.buffer);
    this.engine.touch(words, 0, 0);
    this.engine.onMiss(words, 0, 0);
    return this.row;
  }

  /** A segment moved the connection to another state. */
  become(row: number, tcpState: number): void {
    this.view.setUint8(row * SessionRow.size + SessionRow.tcpState, tcpState);
    this.set(row, SessionRow.stateSinceSeconds, this.now);
    this.engine.onSessionState(row, this.engine.sessions.generation(row), this.now);
  }

  hit(row: number, isReply: boolean): void {
    this.set(row, isReply ? SessionRow.lastReverseSeconds : SessionRow.lastForwardSeconds, this.now);
  }

  end(row: number): void {
    this.engine.endAdopted(row);
    this.settle();
  }

  /** Removals are completed. */
  settle(): void {
    for (const [row, generation] of this.removed.splice(0)) this.engine.onRemoved(row, generation, this.now);
  }

  session(_hold: number, session: DecidedSession): void {
    this.row = session.row;
    this.set(session.row, SessionRow.generation, session.generation);
    this.view.setUint8(session.row * SessionRow.size + SessionRow.tcpState, session.tcpState);
    const born: SessionTimes = {
      createdSeconds: this.now,
      lastForwardSeconds: this.now,
      lastReverseSeconds: 0,
      stateSinceSeconds: this.now,
    };
    this.restate(session.row, session.generation, session.tcpState, session.adopted ?? born);
  }

  restate(row: number, _generation: number, tcpState: number, times: SessionTimes): void {
    this.view.setUint8(row * SessionRow.size + SessionRow.tcpState, tcpState);
    this.set(row, SessionRow.createdSeconds, times.createdSeconds);
    this.set(row, SessionRow.lastForwardSeconds, times.lastForwardSeconds);
    this.set(row, SessionRow.lastReverseSeconds, times.lastReverseSeconds);
    this.set(row, SessionRow.stateSinceSeconds, times.stateSinceSeconds);
  }

  drop(_hold: number, reason: DropReason): void {
    this.drops.push(reason);
  }

  icmpError(_hold: number, reason: DropReason): void {
    this.drops.push(reason);
  }

  /** From now on what it is asked is answered by answer(), not at once. */
  answerLater(): void {
    this.unanswered = [];
  }

  answer(): void {
    const { unanswered } = this;
    this.unanswered = null;
    for (const answer of unanswered ?? []) answer();
  }

  remove(row: number, generation: number): void {
    if (this.unanswered === null) this.takeOut(row, generation);
    else this.unanswered.push(() => this.takeOut(row, generation));
  }

  /** As hit(), in a NIC: seen when the session is asked after. */
  hitInNic(row: number, isReply: boolean): void {
    this.unseen.push({ row, isReply, second: this.now });
  }

  expire(row: number, generation: number, idle: IdleTerms): void {
    if (this.unanswered !== null) {
      const terms = { ...idle };
      this.unanswered.push(() => this.expire(row, generation, terms));
      return;
    }
    if (!this.has(row, generation)) return;
    this.askNic();
    const { rows } = this;
    const isIdle =
      rows.byte(row, SessionRow.tcpState) === idle.tcpState &&
      rows.word(row, SessionRow.stateSinceSeconds) === idle.stateSinceSeconds >>> 0 &&
      rows.word(row, SessionRow.lastForwardSeconds) <= idle.lastForwardSeconds >>> 0 &&
      rows.word(row, SessionRow.lastReverseSeconds) <= idle.lastReverseSeconds >>> 0;
    if (isIdle) {
      this.expired++;
      this.takeOut(row, generation);
    } else {
      this.refreshed++;
      this.engine.onQueried(row, generation, this.now);
    }
  }

  query(row: number, generation: number): void {
    if (this.unanswered !== null) {
      this.unanswered.push(() => this.query(row, generation));
      return;
    }
    if (!this.has(row, generation)) return;
    this.askNic();
    this.queried++;
    this.engine.onQueried(row, generation, this.now);
  }

  update(): void {}
  dropAll(): void {}
  retry(): void {}
  retryAnew(): void {}
  echoReply(): void {}
  arpReply(): void {}
  arpRequest(): void {}

  private has(row: number, generation: number): boolean {
    return this.rows.word(row, SessionRow.generation) === generation;
  }

  /** Who asks for it twice is told once. */
  private takeOut(row: number, generation: number): void {
    if (!this.has(row, generation)) return;
    this.set(row, SessionRow.generation, 0);
    this.removed.push([row, generation]);
  }

  private askNic(): void {
    for (const { row, isReply, second } of this.unseen.splice(0)) {
      const field = isReply ? SessionRow.lastReverseSeconds : SessionRow.lastForwardSeconds;
      if (this.rows.word(row, field) < second) this.set(row, field, second);
    }
  }

  private set(row: number, field: number, value: number): void {
    this.view.setUint32(row * SessionRow.size + field, value, true);
  }
}
