import { DropReason, MissEvent, MissKind, SessionClass } from '../../native/records.js';
import type { Classification } from '../classify.js';
import type { EngineParts } from '../engine-parts.js';
import { Tenure } from '../mapping-table.js';
import { isBareSyn, type MissedPacket, millisecondsOf, Protocol } from '../packet.js';
import { judgeQuery, SessionOpening } from '../session-opening.js';
import { emptyFacts, OUTSIDE_CONTEXT } from '../session-table.js';
import type { EndAnswer } from './messages.js';
import { type Guest, type KnownEnds, type Shard, UNUSED } from './shard.js';
import type { ShardSources } from './shard-sources.js';

/** A miss that waits for an answer, then decided on anew. */
interface PutBy extends KnownEnds {
  readonly words: Int32Array;
  /** It has been put by once more. */
  waits: boolean;
  /** The configuration has changed meanwhile, and its packet been sent back. */
  isOver: boolean;
}

interface Asked {
  readonly miss: PutBy;
  readonly shard: number;
  readonly protocol: number;
}

const NOBODY: KnownEnds = { source: null, destination: null };
// By a name of its own, as in session-opening.ts.
const HAIRPIN = SessionClass.hairpin;

/**
 * Opens sessions in one of several engines. A miss that needs what another thread has (a block of ports, the other end of
 * a hairpin) is put by, its packet held as any other, and decided on from its beginning when the answer is there.
 */
export class ShardOpening extends SessionOpening {
  private words: Int32Array = new Int32Array(0);
  private at = 0;
  /** The miss that is being decided on again. */
  private again: PutBy | null = null;
  private readonly asked = new Map<number, Asked>();
  private readonly waiting = new Set<PutBy>();
  private lastId = 0;
  /** Whether the packet's session has been counted, and for whom. */
  private isCounted = false;
  private countedAddress = 0;

  constructor(
    parts: EngineParts,
    private readonly shard: Shard,
  ) {
    super(parts);
  }

  override onMiss(words: Int32Array, at: number, index: number): void {
    this.words = words;
    this.at = at;
    this.isCounted = false;
    this.shard.foreignEnd = -1;
    super.onMiss(words, at, index);
  }

  /** Another shard has said what the other end of a hairpin is. */
  onEnd(answer: EndAnswer): void {
    const asked = this.asked.get(answer.id);
    if (asked === undefined) return;
    this.asked.delete(answer.id);
    if (asked.miss.isOver) return this.decline(asked.shard, answer);
    asked.miss[answer.side] = this.newGuest(asked, answer);
    this.decideAgain(asked.miss);
  }

  /** The configuration has changed: the packets of all misses that wait go back, to be looked up where it says. */
  retryAll(): void {
    const { sink, sources } = this.parts;
    for (const miss of this.waiting) {
      miss.isOver = true;
      for (const end of [miss.source, miss.destination])
        if (end !== null && end.row >= 0) (sources as ShardSources).dropGuest(end.row);
      const hold = miss.words[MissEvent.hold / 4];
      if (((miss.words[0] >>> (MissEvent.kind * 8)) & 0xff) === MissKind.ipv4) sink.retryAnew(hold);
      else sink.drop(hold, DropReason.noBinding);
    }
    this.waiting.clear();
  }

  override judgeLimits(vpc: number, insideAddress: number, nowMs: number): DropReason {
    const { limits } = this.shard;
    const reason = limits.judge(this.parts.config.vpcs[vpc], insideAddress, nowMs);
    return reason === DropReason.none && this.parts.sessions.isFull ? DropReason.tableFull : reason;
  }

  protected override admit(vpc: number, inside: number, packet: MissedPacket): DropReason {
    const { limits } = this.shard;
    const insideAddress = inside >>> 0;
    const whose = this.parts.config.vpcs[vpc];
    // As SessionOpening.admit() has it.
    const nowMs = this.parts.rates[vpc].isUnlimited === true ? 0 : millisecondsOf(packet);
    const reason = limits.take(whose, insideAddress, nowMs);
    if (reason !== DropReason.none) return reason;
    this.isCounted = true;
    this.countedAddress = insideAddress;
    return this.parts.sessions.isFull ? DropReason.tableFull : DropReason.none;
  }

  protected override refuse(packet: MissedPacket, c: Classification): void {
    if (this.shard.foreignEnd < 0 || !this.asksDestination(packet, c)) super.refuse(packet, c);
  }

  protected override open(packet: MissedPacket, c: Classification): void {
    // Most have no end that another shard knows of: they are not to pay for two calls.
    if (this.shard.foreignEnd >= 0 && this.asksDestination(packet, c)) return;
    if (c.sessionClass === HAIRPIN && this.asksSource(packet, c)) return;
    super.open(packet, c);
  }

  protected override refuseExhausted(packet: MissedPacket, c: Classification, reason: DropReason, nowMs: number): void {
    const { limits, pools } = this.shard;
    if (this.isCounted) limits.undo(this.parts.config.vpcs[this.facts.vpc], this.countedAddress, nowMs);
    this.isCounted = false;
    const awaited = pools.takeAwaited();
    if (awaited === null) return super.refuseExhausted(packet, c, reason, nowMs);
    const miss = this.putBy();
    pools.ports.wait(awaited, () => this.decideAgain(miss));
  }

  protected override mayTell(vpc: number, address: number, nowMs: number): boolean {
    return this.shard.limits.mayTell(vpc, address, nowMs);
  }

  /** A host of ours calls an endpoint whose block is another's: who is behind it? */
  private asksDestination(packet: MissedPacket, c: Classification): boolean {
    const { shard, parts } = this;
    if (c.sourceVpc < 0) return false;
    const facts = emptyFacts();
    facts.vpc = c.sourceVpc;
    facts.forwardSource = packet.source;
    const presented = parts.sources.presentedAddress(facts, { ...c, sourceSide: 'external', sourceScope: 0 });
    const { protocol, destination: address, destinationPort: port } = packet;
    const id = this.ask(shard.foreignEnd, protocol);
    const from = shard.index;
    shard.mail.toEngine(shard.foreignEnd, { kind: 'ask-destination', from, id, protocol, address, port, presented });
    return true;
  }

  /** A host of another shard calls an endpoint of ours: what does it present? */
  private asksSource(packet: MissedPacket, c: Classification): boolean {
    const { shard, parts } = this;
    const { sourceVpc: vpc } = c;
    const { protocol, source, sourcePort } = packet;
    if (c.sourceSide !== 'external' || shard.known.source !== null) return false;
    // What is refused anyway is not asked for.
    if (protocol === Protocol.tcp && !isBareSyn(packet.tcpFlags)) return false;
    const { found } = parts.bindings;
    if (protocol === Protocol.icmp && judgeQuery(packet, c, found.mapping) !== DropReason.none) return false;
    const home = shard.homeOf(source);
    if (home === shard.index || parts.topology.external.byPrivate(vpc, source) !== null) return false;
    const id = this.ask(home, protocol);
    const { address: remote, port: remotePort } = found;
    const reverseContext = c.destinationVpc >= 0 ? c.destinationVpc : OUTSIDE_CONTEXT;
    const { seconds: nowSeconds } = packet;
    const end = { protocol, vpc, source, sourcePort, reverseContext, remote, remotePort, nowSeconds };
    shard.mail.toEngine(home, { kind: 'ask-source', from: shard.index, id, ...end });
    return true;
  }

  private ask(shard: number, protocol: number): number {
    const id = ++this.lastId;
    this.asked.set(id, { miss: this.putBy(), shard, protocol });
    return id;
  }

  private putBy(): PutBy {
    if (this.again !== null) {
      this.again.waits = true;
      return this.again;
    }
    const word = this.at >>> 2;
    const words = this.words.slice(word, word + MissEvent.size / 4);
    const miss = { words, source: null, destination: null, waits: true, isOver: false };
    this.waiting.add(miss);
    return miss;
  }

  private decideAgain(miss: PutBy): void {
    if (miss.isOver) return;
    miss.waits = false;
    this.again = miss;
    this.shard.known = miss;
    this.touch(miss.words, 0, 0);
    this.onMiss(miss.words, 0, 0);
    this.again = null;
    this.shard.known = NOBODY;
    if (miss.waits) return;
    this.waiting.delete(miss);
    this.shard.onDecided?.(miss.words);
    this.settle(miss.source, this.facts.forwardDestination);
    this.settle(miss.destination, this.facts.translatedSource);
  }

  /** Tells the shard of an end that a session uses it now, or gives it back. @param remote Whom its mapping has to do with. */
  private settle(end: Guest | null, remote: number): void {
    if (end === null || end.row < 0) return;
    const { parts, shard } = this;
    const { handle } = end.answer;
    if (parts.mappings.sessions(end.row) > 0) shard.mail.toEngine(end.shard, { kind: 'used', handle, remote });
    else (parts.sources as ShardSources).dropGuest(end.row);
  }

  /** An end that was answered is not used. */
  private decline(shard: number, { reason, handle }: EndAnswer): void {
    if (reason === DropReason.none) this.shard.mail.toEngine(shard, { kind: 'leave', handle, untilSeconds: UNUSED });
  }

  /** A mapping of another shard, for one session here. */
  private newGuest({ shard, protocol }: Asked, answer: EndAnswer): Guest {
    const { parts } = this;
    if (answer.reason !== DropReason.none) return { shard, answer, row: -1 };
    const { vpc, insideAddress, insidePort, publicAddress, publicPort } = answer;
    const host = parts.hosts.hold(vpc, 0, insideAddress);
    const row =
      host < 0
        ? -1
        : parts.mappings.insert(
            vpc,
            0,
            protocol,
            insideAddress,
            insidePort,
            publicAddress,
            publicPort,
            host,
            Tenure.alone,
            0,
            0,
          );
    const guest = { shard, answer, row };
    if (row >= 0) {
      this.shard.guests.set(row, guest);
      return guest;
    }
    if (host >= 0) parts.hosts.release(host);
    this.decline(shard, answer);
    return { shard, answer: { ...answer, reason: DropReason.tableFull }, row };
  }
}
