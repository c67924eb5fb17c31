import { formatIpv4 } from '../config/address.js';
import { emptyFacts, type SessionFacts } from '../nat/session-table.js';
import {
  RulePath,
  RulePathNames,
  SessionClassNames,
  SessionCounters,
  SessionRow,
  TcpStateNames,
} from '../native/records.js';
import { cameFromOutside, protocolName } from './flow-dump.js';
import type { GatewayController } from './gateway.js';
import { offloadReason } from './offload-reason.js';

/** A line without names takes less than half of it. */
const LINE_BYTES = 2048;
const SLICE_BYTES = 512 * 1024;
const ZERO = 48;
const DOT = 46;

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

const ID = bytes('{"id":"');
const NAT = bytes('},"nat":{"address":"');
const REMOTE = bytes('},"remote":{"address":"');
const PORT = bytes('","port":');
const BYTES = bytes(',"bytes":');
const AGE = bytes('},"ageMs":');
const IDLE = bytes(',"idleMs":');
const REVERSE = bytes('},"reverse":{"path":');
const EXPIRES = bytes(',"expiresInMs":');
const END = bytes('}\n');
const CLASSES = SessionClassNames.map((name) => JSON.stringify(name));
const STATES = TcpStateNames.map((name) => JSON.stringify(name));
const PATHS = RulePathNames.map((name, path) => JSON.stringify(path === RulePath.removing ? 'pending' : name));
const WITHOUT_REASON = PATHS.map((path) => bytes(`${path},"reason":null,"packets":`));
/** Of another protocol than TCP. */
const ACTIVE = STATES.length;
/** Stretches shorter than this are copied by a loop: a call would cost more. */
const LONG = 32;
/** An inside address that no route leads to; no VTEP's. */
const NO_VTEP = -1;
const digits = (divisor: number) =>
  Uint8Array.from({ length: 256 }, (_, octet) => ZERO + (Math.floor(octet / divisor) % 10));
const [HUNDREDS, TENS, ONES] = [digits(100), digits(10), digits(1)];
/** VTEPs that a list remembers. */
const MOST_PLACES = 4096;

/**
 * Writes flows as JSON lines straight into bytes, the same text that FlowDump's entries have: a million of them while
 * first packets come leave no time for an object and a string each. Most of a line is the same in very many others: what
 * stands between its numbers is made once and copied whole (0.9 µs a line instead of 2.6).
 */
export class FlowLines {
  private out = Buffer.allocUnsafe(SLICE_BYTES);
  private at = 0;
  private readonly facts: SessionFacts = emptyFacts();
  private readonly counters: Float64Array;
  /** From the class to the inside address, by all that stands there; names are as they are when the list begins to tell of them. */
  private readonly heads: (Uint8Array | undefined)[] = [];
  /** By VPC, then VTEP or NO_VTEP. */
  private readonly underlays: (Map<number, Uint8Array> | undefined)[] = [];
  private places = 0;
  private readonly reasons = new Map<string, readonly Uint8Array[]>();

  constructor(private readonly controller: GatewayController) {
    this.counters = new Float64Array(controller.dataplane.counters);
  }

  /** @returns What was written since the last call, for whoever keeps it. */
  take(): Buffer {
    const taken = Buffer.from(this.out.subarray(0, this.at));
    this.at = 0;
    return taken;
  }

  /** @param nowMs Gateway clock. */
  write(row: number, nowMs: number): void {
    if (this.out.length - this.at < LINE_BYTES) this.grow();
    const { facts: f } = this;
    const { engine, rows } = this.controller;
    const { sessions, topology } = engine;
    sessions.read(row, f);
    this.text(ID);
    this.number(row);
    this.out[this.at++] = DOT;
    this.number(sessions.generation(row));
    const state = f.protocol === 6 ? rows.byte(row, SessionRow.tcpState) : ACTIVE;
    const head = (((f.vpc << 3) | f.sessionClass) << 12) | (state << 8) | f.protocol;
    this.long(this.heads[head] ?? this.headOf(head));
    const outside = cameFromOutside(f);
    const inside = outside ? f.translatedDestination : f.forwardSource;
    this.endpoint(inside, outside ? f.translatedDestinationPort : f.forwardSourcePort);
    this.text(NAT);
    if (outside) this.endpoint(f.forwardDestination, f.forwardDestinationPort);
    else this.endpoint(f.translatedSource, f.translatedSourcePort);
    this.text(REMOTE);
    if (outside) this.endpoint(f.forwardSource, f.forwardSourcePort);
    else this.endpoint(f.forwardDestination, f.forwardDestinationPort);
    const vtep = topology.route(f.vpc, inside)?.vtep ?? NO_VTEP;
    this.long(this.underlays[f.vpc]?.get(vtep) ?? this.underlayOf(f.vpc, vtep));
    const shapes = sessions.shapes(row);
    const at = (row * SessionCounters.size) / 8;
    this.direction(row, false, rows.byte(row, SessionRow.forwardPath), shapes & 0xffff, at);
    this.text(REVERSE);
    const reverseAt = at + SessionCounters.reversePackets / 8;
    this.direction(row, true, rows.byte(row, SessionRow.reversePath), shapes >>> 16, reverseAt);
    const forward = rows.word(row, SessionRow.lastForwardSeconds);
    const reverse = rows.word(row, SessionRow.lastReverseSeconds);
    this.text(AGE);
    this.number(Math.max(0, nowMs - rows.word(row, SessionRow.createdSeconds) * 1000));
    this.text(IDLE);
    this.number(Math.max(0, nowMs - Math.max(forward, reverse) * 1000));
    this.text(EXPIRES);
    this.number(Math.max(0, engine.deadlineOf(row) * 1000 - nowMs));
    this.text(END);
  }

  private direction(row: number, isReverse: boolean, path: number, shape: number, at: number): void {
    const reason = offloadReason(this.controller, row, isReverse, path, shape);
    this.long(reason === null ? WITHOUT_REASON[path] : (this.reasons.get(reason) ?? this.reasonOf(reason))[path]);
    this.number(this.counters[at]);
    this.text(BYTES);
    this.number(this.counters[at + 1]);
  }

  private endpoint(address: number, port: number): void {
    this.address(address);
    this.text(PORT);
    this.number(port);
  }

  private address(address: number): void {
    const { out } = this;
    let { at } = this;
    for (let bits = 24; ; bits -= 8) {
      const octet = (address >>> bits) & 0xff;
      if (octet >= 100) out[at++] = HUNDREDS[octet];
      if (octet >= 10) out[at++] = TENS[octet];
      out[at++] = ONES[octet];
      if (bits === 0) break;
      out[at++] = DOT;
    }
    this.at = at;
  }

  private long(text: Uint8Array): void {
    if (text.length < LONG) return this.text(text);
    this.out.set(text, this.at);
    this.at += text.length;
  }

  /** A loop: the stretches are too short for a copy to pay. */
  private text(text: Uint8Array): void {
    const { out } = this;
    let { at } = this;
    for (let i = 0; i < text.length; i++) out[at++] = text[i];
    this.at = at;
  }

  /** @param value An integer from 0. */
  private number(value: number): void {
    const { out } = this;
    if (value < 10) {
      out[this.at++] = ZERO + value;
      return;
    }
    if (value > 0x7fff_ffff) return this.text(bytes(String(value)));
    let rest = value | 0;
    let digits = 2;
    for (let most = 100; most <= rest; most *= 10) digits++;
    this.at += digits;
    for (let at = this.at - 1; digits > 0; digits--, at--) {
      const tenth = (rest / 10) | 0;
      out[at] = ZERO + (rest - tenth * 10);
      rest = tenth;
    }
  }

  /** @param head Protocol, TCP state or ACTIVE, class and VPC, the lowest bits first. */
  private headOf(head: number): Uint8Array {
    const vpc = JSON.stringify(this.controller.config.vpcs[head >>> 15].name);
    const state = (head >>> 8) & 0xf;
    const made = bytes(
      `","class":${CLASSES[(head >>> 12) & 7]},"vpc":${vpc},"protocol":${JSON.stringify(protocolName(head & 0xff))},` +
        `"state":${state === ACTIVE ? '"active"' : STATES[state]},"inside":{"address":"`,
    );
    this.heads[head] = made;
    return made;
  }

  /** From the remote port to forward's path. */
  private underlayOf(vpc: number, vtep: number): Uint8Array {
    if (this.places++ === MOST_PLACES) {
      this.underlays.length = 0;
      this.places = 0;
    }
    const known = this.underlays[vpc] ?? new Map<number, Uint8Array>();
    this.underlays[vpc] = known;
    const { vni } = this.controller.config.vpcs[vpc];
    const address = vtep === NO_VTEP ? 'null' : `"${formatIpv4(vtep)}"`;
    const made = bytes(`},"underlay":{"vni":${vni},"vtep":${address}},"forward":{"path":`);
    known.set(vtep, made);
    return made;
  }

  private reasonOf(reason: string): readonly Uint8Array[] {
    const made = PATHS.map((path) => bytes(`${path},"reason":${JSON.stringify(reason)},"packets":`));
    this.reasons.set(reason, made);
    return made;
  }

  private grow(): void {
    const larger = Buffer.allocUnsafe(this.out.length * 2);
    this.out.copy(larger, 0, 0, this.at);
    this.out = larger;
  }
}
