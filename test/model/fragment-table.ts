import type { GatewayModel } from './gateway-model.js';
import { Packet } from './ipv4.js';
import type { Session } from './state.js';
import { describePacket } from './step.js';
import type { Context } from './topology.js';

interface Datagram {
  /** Later fragments that wait for the first. */
  held: { packet: Packet; text: string; micros: number }[];
  /** Set once the first has been served. */
  flow: { session: Session; direction: 'forward' | 'reverse' } | null;
  /** Why the first was dropped. */
  refused: readonly string[] | null;
}

/**
 * How long fragments may wait is the gateway's own affair within these: shorter than the least it must hold them,
 * longer than the most. The generator keeps out of the time between.
 */
const SURELY_GONE_MICROS = 130e6;

/** Fragments: the first is a packet like any other, the rest follow it (RFC 4787 REQ-14). */
export class FragmentTable {
  private readonly datagrams = new Map<string, Datagram>();

  constructor(private readonly model: GatewayModel) {}

  receive(context: Context, raw: Buffer, text: string): void {
    const packet = new Packet(raw);
    const key = `${context} ${packet.source} ${packet.destination} ${packet.protocol} ${packet.id}`;
    const datagram = this.datagrams.get(key) ?? { held: [], flow: null, refused: null };
    this.datagrams.set(key, datagram);
    const { model } = this;
    if (packet.fragmentOffset === 0) {
      this.dropOld(datagram);
      const fate = model.packet(context, raw, text);
      if ('refused' in fate) datagram.refused = fate.refused;
      else datagram.flow = fate;
      if (datagram.held.length > 0) model.outcomes.add('fragment:out-of-order');
      for (const late of datagram.held.splice(0)) this.follow(datagram, late.packet, late.text);
    } else if (datagram.flow !== null || datagram.refused !== null) {
      if (datagram.flow !== null) model.outcomes.add('fragment:in-order');
      this.follow(datagram, packet, text);
    } else {
      datagram.held.push({ packet, text, micros: model.micros });
    }
  }

  private follow(datagram: Datagram, packet: Packet, text: string): void {
    const { model } = this;
    if (datagram.flow === null) {
      // Under the first one's reason, or when its time is over: the contract says neither.
      model.step.dropLater([...(datagram.refused ?? []), 'fragment-timeout']);
      model.outcomes.add('fragment:refused');
      return;
    }
    const { session, direction } = datagram.flow;
    if (!model.state.live.has(session)) {
      // It ended between two pieces of a datagram: no piece may leave by it any more.
      model.step.dropLater(['no-binding', 'fragment-timeout']);
      model.outcomes.add('fragment:session-ended');
      return;
    }
    model.touched(session, direction);
    model.count(session, direction, packet);
    model.transmitter.forward(session, direction, packet, `${text} (${describePacket(packet.bytes)})`);
  }

  private dropOld(datagram: Datagram): void {
    const { model } = this;
    datagram.held = datagram.held.filter(({ micros, text }) => {
      if (model.micros - micros < SURELY_GONE_MICROS) return true;
      model.step.drop(['fragment-timeout'], text);
      model.outcomes.add('fragment:timed-out');
      return false;
    });
  }

  /** The captures of a step end: what is still held is dropped. */
  close(): void {
    for (const { held } of this.datagrams.values()) {
      for (const { text } of held) {
        this.model.step.drop(['fragment-timeout'], text);
        this.model.outcomes.add('fragment:lost-first');
      }
    }
    this.datagrams.clear();
  }
}

/** Puts a datagram together again; null when the pieces do not make one. */
export function reassembled(pieces: readonly Buffer[]): Buffer | null {
  const sorted = pieces.map((bytes) => new Packet(bytes)).sort((a, b) => a.fragmentOffset - b.fragmentOffset);
  let length = 0;
  for (const piece of sorted) {
    if (piece.fragmentOffset !== length) return null;
    length += piece.transport.length;
    if (piece.moreFragments === (piece === sorted[sorted.length - 1])) return null;
  }
  if (sorted.length === 0) return null;
  const [first] = sorted;
  const bytes = Buffer.concat([first.bytes.subarray(0, first.headerLength), ...sorted.map((piece) => piece.transport)]);
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt16BE(first.bytes.readUInt16BE(6) & ~0x2000, 6);
  bytes.writeUInt16BE(0, 10);
  let sum = 0;
  for (let at = 0; at < first.headerLength; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
  return bytes;
}
