import { DropReason, SessionClass } from '../../native/records.js';
import { emptyClassification } from '../classify.js';
import type { EngineParts } from '../engine-parts.js';
import { hasPorts } from '../mapping-table.js';
import { emptyFacts, type SessionFacts } from '../session-table.js';
import type { AskDestination, AskSource, EndAnswer } from './messages.js';
import type { Shard } from './shard.js';
import type { ShardSources } from './shard-sources.js';

/** A session of another shard that uses a mapping of this one. */
interface User {
  readonly mapping: number;
  /** Remote that it counts as for the mapping's filter, -1: none yet. */
  remote: number;
  /** What was claimed for it, in a protocol without ports. */
  readonly claimed: SessionFacts | null;
}

const NO_END = {
  handle: 0,
  vpc: 0,
  insideAddress: 0,
  insidePort: 0,
  publicAddress: 0,
  publicPort: 0,
  admitted: false,
  presented: -1,
};

/** Answers other shards that open hairpins with a mapping of this one. */
export class HairpinEnds {
  private readonly users = new Map<number, User>();
  private lastHandle = 0;

  constructor(
    private readonly parts: EngineParts,
    private readonly shard: Shard,
  ) {}

  onAskDestination({ from, id, protocol, address, port, presented }: AskDestination): void {
    const { mappings, filter } = this.parts;
    const mapping = mappings.byPublic(0, protocol, address, port);
    const side = 'destination';
    if (mapping < 0) return this.answer(from, { kind: 'end', id, side, ...NO_END, reason: DropReason.noBinding });
    const admitted = filter.knows(mapping, presented);
    const handle = this.use(mapping, null);
    this.answer(from, { ...this.endOf(mapping), kind: 'end', id, side, reason: DropReason.none, handle, admitted });
  }

  /** @param before What the source presented when it was first asked for, null: it is asked for now. */
  onAskSource(asked: AskSource, before: number | null = null): void {
    const { parts, shard } = this;
    const { from, id, protocol, vpc, source, sourcePort, reverseContext, remote, remotePort, nowSeconds } = asked;
    const facts = emptyFacts();
    Object.assign(facts, { protocol, vpc, reverseContext, forwardContext: vpc, forwardSource: source });
    Object.assign(facts, { forwardSourcePort: sourcePort, translatedDestination: remote });
    facts.translatedDestinationPort = remotePort;
    const c = emptyClassification();
    Object.assign(c, { sessionClass: SessionClass.hairpin, sourceVpc: vpc, sourceSide: 'external' });
    const presented = before ?? parts.sources.presentedAddress(facts, c);
    const reason = parts.sources.translate(facts, c, nowSeconds, null);
    const side = 'source';
    if (reason !== DropReason.none) {
      const awaited = shard.pools.takeAwaited();
      if (awaited !== null) return shard.pools.ports.wait(awaited, () => this.onAskSource(asked, presented));
      return this.answer(from, { ...NO_END, kind: 'end', id, side, reason, presented });
    }
    const mapping = facts.sourceMapping;
    const handle = this.use(mapping, hasPorts(protocol) ? null : facts);
    this.answer(from, { ...this.endOf(mapping), kind: 'end', id, side, reason, handle, presented });
  }

  onUsed(handle: number, remote: number): void {
    const user = this.users.get(handle);
    if (user === undefined) return;
    user.remote = remote;
    this.parts.filter.countRemote(user.mapping, remote, 1);
  }

  /** @returns The mapping that has a user less, -1: none. */
  onLeave(handle: number, untilSeconds: number): number {
    const user = this.users.get(handle);
    if (user === undefined) return -1;
    this.users.delete(handle);
    const sources = this.parts.sources as ShardSources;
    if (user.remote >= 0) this.parts.filter.countRemote(user.mapping, user.remote, -1);
    if (user.claimed !== null) sources.giveUpRemote(user.claimed);
    sources.leaveOne(user.mapping, untilSeconds);
    return user.mapping;
  }

  /** After a change of configuration. A mapping that only sessions of other shards use is in no session that is looked at here. */
  followOffers(): void {
    for (const { mapping } of this.users.values()) this.parts.judge.followOffer(mapping);
  }

  private use(mapping: number, claimed: SessionFacts | null): number {
    this.parts.mappings.addSessions(mapping, 1);
    this.users.set(++this.lastHandle, { mapping, remote: -1, claimed });
    return this.lastHandle;
  }

  private endOf(mapping: number) {
    const { mappings } = this.parts;
    return {
      ...NO_END,
      vpc: mappings.vpc(mapping),
      insideAddress: mappings.insideAddress(mapping),
      insidePort: mappings.insidePort(mapping),
      publicAddress: mappings.publicAddress(mapping),
      publicPort: mappings.publicPort(mapping),
    };
  }

  private answer(to: number, answer: EndAnswer): void {
    this.shard.mail.toEngine(to, answer);
  }
}
