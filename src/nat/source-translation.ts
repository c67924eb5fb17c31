import { DropReason } from '../native/records.js';
import type { Classification } from './classify.js';
import { ExhaustedRemotes } from './exhausted-remotes.js';
import type { HostTable } from './host-table.js';
import { hasPorts, type MappingTable, Tenure } from './mapping-table.js';
import { Allocation, type PublicPools } from './public-pools.js';
import type { RestingTuples } from './resting-tuples.js';
import type { SessionFacts, SessionTable } from './session-table.js';
import type { Topology } from './topology.js';

/** Gives a session its public source: a static binding's, a live mapping's, or a new mapping's. */
export class SourceTranslation {
  private readonly exhausted = new ExhaustedRemotes();

  constructor(
    protected readonly topology: Topology,
    protected readonly mappings: MappingTable,
    private readonly hosts: HostTable,
    private readonly pools: PublicPools,
    protected readonly sessions: SessionTable,
    /** nat.mapping is address-and-port-dependent: each session has a mapping of its own. */
    private readonly perSession: boolean,
    private readonly resting: RestingTuples,
  ) {}

  /**
   * Fills the translated source and `sourceMapping` of `facts`.
   *
   * @param knownHash MappingTable's hash of the internal endpoint in scope 0, where it was made already.
   * @returns DropReason.none, or why there is none; then nothing changed.
   */
  translate(facts: SessionFacts, c: Classification, nowSeconds: number, knownHash: number | null): DropReason {
    facts.sourceMapping = -1;
    facts.translatedSource = facts.forwardSource;
    facts.translatedSourcePort = facts.forwardSourcePort;
    if (c.sourceSide === null) return this.checkReplies(facts);
    const binding = this.topology[c.sourceSide].byPrivate(facts.vpc, facts.forwardSource);
    if (binding !== null) {
      facts.translatedSource = binding.public.first + (facts.forwardSource - binding.private.first);
      return this.checkReplies(facts);
    }
    const { protocol } = facts;
    if (this.perSession && hasPorts(protocol)) return this.translateAlone(facts, c.sourceScope, nowSeconds);
    const port = hasPorts(protocol) ? facts.forwardSourcePort : 0;
    const { mappings } = this;
    const { vpc, forwardSource } = facts;
    const insideHash = knownHash ?? mappings.insideHash(vpc, c.sourceScope, protocol, forwardSource, port);
    let mapping = mappings.byInside(vpc, c.sourceScope, protocol, forwardSource, port, insideHash);
    const isNew = mapping < 0;
    if (isNew) {
      mapping = this.allocate(facts, c.sourceScope, port, insideHash, nowSeconds);
      if (mapping < 0) return reasonOf(mapping);
    }
    facts.sourceMapping = mapping;
    facts.translatedSource = this.mappings.publicAddress(mapping);
    if (hasPorts(protocol)) {
      facts.translatedSourcePort = this.mappings.publicPort(mapping);
      // An echo identifier stands in both ports.
      if (protocol === 1) facts.translatedDestinationPort = facts.translatedSourcePort;
    }
    // Nobody else has a port that was free until now: no session's replies look like these.
    if (isNew && hasPorts(protocol)) return DropReason.none;
    const reason = this.checkReplies(facts);
    if (reason !== DropReason.none && isNew) this.free(mapping, nowSeconds);
    return reason;
  }

  /**
   * Address-and-port-dependent mapping (RFC 4787 section 4.1): a port of the paired address that no session towards the
   * same remote endpoint has; towards others it may be in use (RFC 7857 section 3).
   */
  private translateAlone(facts: SessionFacts, scope: number, nowSeconds: number): DropReason {
    this.resting.expire(nowSeconds);
    let port = -1;
    const isFree = (candidate: number) => {
      facts.translatedSourcePort = candidate;
      if (facts.protocol === 1) facts.translatedDestinationPort = candidate;
      return !this.sessions.reverseIsTaken(facts) && !this.resting.has(facts, nowSeconds);
    };
    const accepts = (address: number) => {
      facts.translatedSource = address;
      port = this.pools.findPort(facts.vpc, scope, facts.protocol, address, isFree);
      return port >= 0;
    };
    const host = this.holdPaired(facts, scope, nowSeconds, accepts);
    if (host < 0) return reasonOf(host);
    facts.sourceMapping = this.mappings.insert(
      facts.vpc,
      scope,
      facts.protocol,
      facts.forwardSource,
      facts.forwardSourcePort,
      facts.translatedSource,
      port,
      host,
      Tenure.alone,
      0,
    );
    if (facts.sourceMapping >= 0) return DropReason.none;
    this.hosts.release(host);
    return DropReason.tableFull;
  }

  /**
   * Pairs a host with an address that will do for this remote, or keeps the one it has.
   *
   * @returns The host's row, held, or an Allocation code.
   */
  private holdPaired(
    facts: SessionFacts,
    scope: number,
    nowSeconds: number,
    accepts: (address: number) => boolean,
  ): number {
    const host = this.hosts.hold(facts.vpc, scope, facts.forwardSource);
    if (host < 0) return Allocation.tableFull;
    const { vpc, protocol, translatedDestination, translatedDestinationPort } = facts;
    const own = this.hosts.isPaired(host) ? this.hosts.pairedAddress(host) : -1;
    const key = `${vpc} ${scope} ${own} ${protocol} ${translatedDestination} ${translatedDestinationPort}`;
    if (!this.exhausted.has(key, nowSeconds)) {
      const paired = this.pools.take(vpc, scope, 0, host, facts.forwardSource, nowSeconds, accepts);
      if (paired >= 0) return host;
      if (paired !== Allocation.exhausted) {
        this.hosts.release(host);
        return paired;
      }
      this.exhausted.add(key, nowSeconds);
    }
    this.hosts.release(host);
    return Allocation.exhausted;
  }

  /**
   * The address that a caller from inside presents on the other side, before anything is allocated.
   *
   * @returns u32 host order, or -1 when it has none yet.
   */
  presentedAddress(facts: SessionFacts, c: Classification): number {
    const { vpc, forwardSource } = facts;
    if (c.sourceSide === null) return forwardSource;
    const binding = this.topology[c.sourceSide].byPrivate(vpc, forwardSource);
    if (binding !== null) return binding.public.first + (forwardSource - binding.private.first);
    const host = this.hosts.find(vpc, c.sourceScope, forwardSource);
    return host >= 0 && this.hosts.isPaired(host) ? this.hosts.pairedAddress(host) : -1;
  }

  /** A session no longer uses its mappings; with its last session a mapping ends. @param untilSeconds End of the port's rest, or NO_REST. */
  release(facts: SessionFacts, untilSeconds: number): void {
    const { sourceMapping, destinationMapping } = facts;
    const rests = this.perSession && sourceMapping >= 0 && hasPorts(facts.protocol) && untilSeconds >= 0;
    if (rests) this.resting.add(facts, untilSeconds);
    this.exhausted.clear();
    this.leave(sourceMapping, untilSeconds);
    this.leave(destinationMapping, untilSeconds);
  }

  protected leave(mapping: number, untilSeconds: number): void {
    if (mapping >= 0 && this.mappings.addSessions(mapping, -1) === 0) this.free(mapping, untilSeconds);
  }

  /** Replies that would be taken for another session's (one address, one remote, a protocol without ports): refused. */
  protected checkReplies(facts: SessionFacts): DropReason {
    return this.repliesAreTaken(facts) ? DropReason.poolExhausted : DropReason.none;
  }

  protected repliesAreTaken(facts: SessionFacts): boolean {
    return this.sessions.reverseIsTaken(facts);
  }

  /** A host that was held for a port gets none. @param failure An Allocation code. */
  protected giveUp(host: number, _failure: number): void {
    this.hosts.release(host);
  }

  private allocate(
    facts: SessionFacts,
    scope: number,
    insidePort: number,
    insideHash: number,
    nowSeconds: number,
  ): number {
    const withPort = hasPorts(facts.protocol);
    let host: number;
    let port = 0;
    if (withPort) {
      host = this.hosts.hold(facts.vpc, scope, facts.forwardSource);
      if (host < 0) return Allocation.tableFull;
      port = this.pools.take(facts.vpc, scope, facts.protocol, host, facts.forwardSource, nowSeconds);
      if (port < 0) {
        this.giveUp(host, port);
        return port;
      }
    } else {
      // Without ports the remote alone tells replies apart: an address that has a session towards it will not do.
      host = this.holdPaired(facts, scope, nowSeconds, (address) => {
        facts.translatedSource = address;
        return !this.repliesAreTaken(facts);
      });
      if (host < 0) return host;
    }
    const mapping = this.mappings.insert(
      facts.vpc,
      scope,
      facts.protocol,
      facts.forwardSource,
      insidePort,
      this.pools.address,
      port,
      host,
      Tenure.shared,
      insideHash,
    );
    if (mapping >= 0) return mapping;
    if (withPort) this.pools.release(scope, facts.protocol, this.pools.address, port, nowSeconds);
    this.hosts.release(host);
    return Allocation.tableFull;
  }

  protected free(mapping: number, untilSeconds: number): void {
    const protocol = this.mappings.protocol(mapping);
    if (this.mappings.ownsPort(mapping)) {
      this.pools.release(
        this.mappings.scope(mapping),
        protocol,
        this.mappings.publicAddress(mapping),
        this.mappings.publicPort(mapping),
        untilSeconds,
      );
    }
    const host = this.mappings.host(mapping);
    this.mappings.remove(mapping);
    this.hosts.release(host);
  }
}

function reasonOf(failure: number): DropReason {
  if (failure === Allocation.noPool) return DropReason.noPool;
  return failure === Allocation.tableFull ? DropReason.tableFull : DropReason.poolExhausted;
}
