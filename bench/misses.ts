import type { ValidatedConfig } from '../src/config/types.js';
import { NatEngine } from '../src/nat/engine.js';
import { Protocol } from '../src/nat/packet.js';
import { NativeRows } from '../src/nat/session-timers.js';
import type { DecidedSession, DecisionSink } from '../src/nat/sink.js';
import { DropReason, MissEvent, MissKind, SessionRow } from '../src/native/records.js';
import { FIRST_SOURCE_PORT, type Fixture, fixture, REMOTE_PORT } from './fixture.js';

const POOL_PORTS = { first: 1024, last: 65535 } as const;
const PORTS = POOL_PORTS.last - POOL_PORTS.first + 1;
const TTL = 64;

/** A gateway whose external ports are fewer than its traffic wants, and whose tables are not. */
export interface ScarceOptions {
  readonly addresses: number;
  /** Ports of each address, 1..64512. */
  readonly portsOfAddress?: number;
  readonly seed: number;
}

/** The fixture's gateway with another pool; its sessions have room for all endpoints and some more. */
export function scarceFixture({ addresses, portsOfAddress = PORTS, seed }: ScarceOptions): Fixture {
  const endpoints = addresses * portsOfAddress;
  const made = fixture({ flows: endpoints + 1024, offload: 'never', seed, behindSoftwareNic: false, checkEvery: 0 });
  const { poolFirst } = made.scenario;
  const externalPools = made.config.externalPools.map((pool) => ({
    ...pool,
    ranges: [{ first: poolFirst, last: poolFirst + addresses - 1 }],
    portRange: { first: POOL_PORTS.first, last: POOL_PORTS.first + portsOfAddress - 1 },
  }));
  return { ...made, config: { ...made.config, externalPools } };
}

/** What became of a miss. */
export const Outcome = { none: 0, session: 1, dropped: 2, told: 3, other: 4 } as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/**
 * The NAT engine without a gateway: UDP misses of private hosts go in as records, and what it said last can be read.
 * Its sessions were last hit at second 0, so that their timers end them as soon as they are due.
 */
export class EngineAlone implements DecisionSink {
  readonly engine: NatEngine;
  outcome: Outcome = Outcome.none;
  /** Why the last miss was dropped or its sender told. */
  reason: DropReason = DropReason.none;
  icmpType = 0;
  icmpCode = 0;
  /** The last session's row, generation and external endpoint. */
  row = 0;
  generation = 0;
  externalAddress = 0;
  externalPort = 0;

  private readonly miss = new DataView(new ArrayBuffer(MissEvent.size));
  private readonly missWords = new Int32Array(this.miss.buffer);
  private readonly privateBase: number;
  private readonly remoteBase: number;
  private readonly queried: number[] = [];
  private readonly removed: number[] = [];

  constructor({ config, scenario }: { config: ValidatedConfig; scenario: Fixture['scenario'] }) {
    this.engine = new NatEngine(
      config,
      new NativeRows(new ArrayBuffer(config.nat.maxSessions * SessionRow.size)),
      this,
    );
    this.privateBase = scenario.privateBase;
    this.remoteBase = scenario.remoteBase;
    const { miss } = this;
    miss.setUint8(MissEvent.kind, MissKind.ipv4);
    miss.setUint8(MissEvent.port, config.fabricPort);
    miss.setUint8(MissEvent.protocol, Protocol.udp);
    miss.setUint8(MissEvent.ttl, TTL);
    miss.setUint32(MissEvent.vni, scenario.vni, true);
    miss.setUint32(MissEvent.outerSourceAddress, scenario.hostVtep, true);
    miss.setUint16(MissEvent.destinationPort, REMOTE_PORT, true);
  }

  /** The first packet of a host's flow, each from a port of its own and to a remote of its own. */
  open(host: number, flowOfHost: number, seconds: number, nanoseconds = 0): Outcome {
    const { miss } = this;
    miss.setUint32(MissEvent.seconds, seconds, true);
    miss.setUint32(MissEvent.nanoseconds, nanoseconds, true);
    miss.setUint32(MissEvent.sourceAddress, this.privateBase + host, true);
    miss.setUint32(MissEvent.destinationAddress, this.remoteBase + ((host + flowOfHost * 257) & 0xffff), true);
    miss.setUint16(MissEvent.sourcePort, FIRST_SOURCE_PORT + flowOfHost, true);
    this.outcome = Outcome.none;
    this.engine.touch(this.missWords, 0, 0);
    this.engine.onMiss(this.missWords, 0, 0);
    return this.outcome;
  }

  /** Runs the timers that are due: their sessions end. @returns How many sessions ended. */
  endDue(nowSeconds: number): number {
    const { engine } = this;
    let ended = 0;
    while (engine.runSessionTimers(nowSeconds, 4096) > 0) {
      for (const row of this.queried) engine.onQueried(row, engine.sessions.generation(row), nowSeconds);
      for (const row of this.removed) engine.onRemoved(row, engine.sessions.generation(row), nowSeconds);
      ended += this.removed.length;
      this.queried.length = 0;
      this.removed.length = 0;
    }
    return ended;
  }

  session(_hold: number, { row, generation, facts }: DecidedSession): void {
    this.outcome = Outcome.session;
    this.row = row;
    this.generation = generation;
    this.externalAddress = facts.translatedSource;
    this.externalPort = facts.translatedSourcePort;
  }

  drop(_hold: number, reason: DropReason): void {
    this.outcome = Outcome.dropped;
    this.reason = reason;
  }

  icmpError(_hold: number, reason: DropReason, icmpType: number, icmpCode: number): void {
    this.outcome = Outcome.told;
    this.reason = reason;
    this.icmpType = icmpType;
    this.icmpCode = icmpCode;
  }

  query(row: number): void {
    this.queried.push(row);
  }

  expire(row: number): void {
    this.removed.push(row);
  }

  update(): void {}

  restate(): void {}

  remove(row: number): void {
    this.removed.push(row);
  }

  dropAll(): void {
    this.outcome = Outcome.other;
  }

  retryAnew(): void {}

  retry(): void {
    this.outcome = Outcome.other;
  }

  echoReply(): void {
    this.outcome = Outcome.other;
  }

  arpReply(): void {
    this.outcome = Outcome.other;
  }

  arpRequest(): void {}
}
