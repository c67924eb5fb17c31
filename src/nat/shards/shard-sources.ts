import { DropReason } from '../../native/records.js';
import type { Classification } from '../classify.js';
import { hasPorts } from '../mapping-table.js';
import { Allocation } from '../public-pools.js';
import type { SessionFacts } from '../session-table.js';
import { type SourceHashes, SourceTranslation } from '../source-translation.js';
import { type Shard, UNUSED } from './shard.js';

/** Public sources of one of several engines. */
export class ShardSources extends SourceTranslation {
  constructor(
    private readonly shard: Shard,
    ...parts: ConstructorParameters<typeof SourceTranslation>
  ) {
    super(...parts);
  }

  /** The source's own shard has said what it gets, where that is another one. */
  override translate(
    facts: SessionFacts,
    c: Classification,
    nowSeconds: number,
    hashes: SourceHashes | null,
  ): DropReason {
    const end = this.shard.known.source;
    if (end === null) return super.translate(facts, c, nowSeconds, hashes);
    const { answer, row } = end;
    facts.sourceMapping = -1;
    facts.translatedSource = facts.forwardSource;
    facts.translatedSourcePort = facts.forwardSourcePort;
    if (answer.reason !== DropReason.none) return answer.reason;
    facts.sourceMapping = row;
    facts.translatedSource = answer.publicAddress;
    if (hasPorts(facts.protocol)) {
      facts.translatedSourcePort = answer.publicPort;
      // An echo identifier stands in both ports.
      if (facts.protocol === 1) facts.translatedDestinationPort = facts.translatedSourcePort;
    }
    return this.sessions.reverseIsTaken(facts) ? DropReason.poolExhausted : DropReason.none;
  }

  override presentedAddress(facts: SessionFacts, c: Classification): number {
    return this.shard.known.source?.answer.presented ?? super.presentedAddress(facts, c);
  }

  /** A session that was counted has ended. */
  override release(facts: SessionFacts, untilSeconds: number): void {
    const inside = facts.insideInitiated ? facts.forwardSource : facts.translatedDestination;
    this.shard.limits.giveBack(this.topology.config.vpcs[facts.vpc], inside);
    if (this.isTold(facts)) this.giveUpRemote(facts);
    super.release(facts, untilSeconds);
  }

  /** A session of another engine no longer uses a mapping of this one, or of this one's a guest. */
  leaveOne(mapping: number, untilSeconds: number): void {
    this.leave(mapping, untilSeconds);
  }

  /** A guest that no session uses is given back. */
  dropGuest(row: number): void {
    this.free(row, UNUSED);
  }

  /** What a session was told apart by is another's to use. */
  giveUpRemote({ reverseContext, protocol, translatedDestination, translatedSource }: SessionFacts): void {
    this.shard.remotes.release(reverseContext, protocol, translatedDestination, translatedSource);
  }

  protected override repliesAreTaken(facts: SessionFacts): boolean {
    if (super.repliesAreTaken(facts)) return true;
    if (hasPorts(facts.protocol)) return false;
    const { reverseContext, protocol, translatedDestination, translatedSource } = facts;
    return this.shard.remotes.of(reverseContext, protocol, translatedDestination, translatedSource) >= 0;
  }

  /** In a protocol without ports the remote is claimed, for an address has hosts of several shards. */
  protected override checkReplies(facts: SessionFacts): DropReason {
    if (!this.isTold(facts)) return super.checkReplies(facts);
    const { reverseContext, protocol, translatedDestination, translatedSource } = facts;
    const { shard } = this;
    const isFree =
      !this.sessions.reverseIsTaken(facts) &&
      shard.remotes.claim(reverseContext, protocol, translatedDestination, translatedSource, shard.index);
    return isFree ? DropReason.none : DropReason.poolExhausted;
  }

  /** A host that waits for a block keeps its address. */
  protected override giveUp(host: number, failure: number): void {
    if (failure !== Allocation.awaited) super.giveUp(host, failure);
  }

  protected override free(mapping: number, untilSeconds: number): void {
    const guest = this.shard.guests.get(mapping);
    if (untilSeconds === UNUSED) this.putBack(mapping);
    super.free(mapping, untilSeconds);
    if (guest === undefined) return;
    this.shard.guests.delete(mapping);
    this.shard.mail.toEngine(guest.shard, { kind: 'leave', handle: guest.answer.handle, untilSeconds });
  }

  /** The port of a mapping that no session has used can be taken again at once. */
  private putBack(mapping: number): void {
    const { mappings, shard } = this;
    if (!mappings.ownsPort(mapping) || mappings.scope(mapping) !== 0) return;
    const [protocol, address, port] = [
      mappings.protocol(mapping),
      mappings.publicAddress(mapping),
      mappings.publicPort(mapping),
    ];
    shard.pools.putBack(protocol, address, port);
    mappings.disown(mapping);
  }

  /** Whether a session is told from others by its remote alone, and this shard has its mapping. */
  private isTold({ protocol, sourceMapping }: SessionFacts): boolean {
    if (sourceMapping < 0 || hasPorts(protocol) || this.shard.guests.has(sourceMapping)) return false;
    return this.mappings.scope(sourceMapping) === 0;
  }
}
