import type { GatewayModel } from './gateway-model.js';
import { tupleOf } from './gateway-model.js';
import { Icmp, Packet, TCP } from './ipv4.js';
import { type Mapping, type Session, tupleKey } from './state.js';
import type { Context } from './topology.js';

const SYN_WAIT_MICROS = 6e6;

/** An unsolicited SYN that waits for the inside's own (RFC 5382 REQ-4). */
export interface Waiter {
  readonly due: number;
  readonly packet: Packet;
  readonly context: Context;
  readonly mapping: Mapping;
  /** The contract leaves open whether an answer comes. */
  readonly open: boolean;
}

/** SYNs that filtering refused and that are not answered for six seconds. */
export class SynWaiters {
  private waiters: Waiter[] = [];

  constructor(private readonly model: GatewayModel) {}

  add(packet: Packet, context: Context, mapping: Mapping, open: boolean): void {
    this.waiters.push({ due: this.model.micros + SYN_WAIT_MICROS, packet, context, mapping, open });
  }

  /** Mappings are other objects, or gone, after a change of configuration. */
  followReload(): void {
    const { state } = this.model;
    this.waiters = this.waiters.map((waiter) => {
      const now = [...state.mappings.values()].find((m) => state.keyOf(m) === state.keyOf(waiter.mapping));
      return now === undefined || waiter.mapping.side === 'peering'
        ? { ...waiter, open: true }
        : { ...waiter, mapping: now };
    });
  }

  next(): Waiter | null {
    return this.waiters.reduce<Waiter | null>(
      (first, waiter) => (first === null || waiter.due < first.due ? waiter : first),
      null,
    );
  }

  /** Six seconds after the SYN: port unreachable from the NAT address. */
  run(waiter: Waiter): void {
    const { model } = this;
    this.waiters = this.waiters.filter((other) => other !== waiter);
    this.settleOwed();
    const optional = waiter.open || !model.state.mappings.has(model.state.keyOf(waiter.mapping));
    const source = waiter.packet.destination;
    if (model.transmitter.error(waiter.context, waiter.packet, { type: Icmp.unreachable, code: 3, source, optional })) {
      model.outcomes.add('made:port-unreachable');
    }
  }

  /** A SYN that waited is counted, if it was not when it came. */
  private settleOwed(): void {
    const { step, owed } = this.model;
    const at = owed.findIndex(([reason]) => reason === 'filtered');
    if (at >= 0 && step.dropIfThere(['filtered']) !== null) owed.splice(at, 1);
  }

  /** The inside sent a SYN of its own to where one waits from: that one is dropped without a word. */
  cancel(session: Session): void {
    const { translated, reverseContext } = session;
    this.waiters = this.waiters.filter(({ packet, context }) => {
      const solicited =
        context === reverseContext &&
        packet.source === translated.destination &&
        packet.sourcePort === translated.destinationPort &&
        packet.destination === translated.source &&
        packet.destinationPort === translated.sourcePort;
      if (solicited) {
        this.settleOwed();
        this.model.outcomes.add('syn:solicited-in-time');
      }
      return !solicited;
    });
  }

  /** Whether an equal SYN waits already. */
  isWaiting(context: Context, bytes: Buffer): boolean {
    const packet = new Packet(bytes);
    if (packet.protocol !== TCP || packet.isFragment) return false;
    const key = tupleKey(context, tupleOf(packet));
    return this.waiters.some((waiter) => tupleKey(waiter.context, tupleOf(waiter.packet)) === key);
  }
}
