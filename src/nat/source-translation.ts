import { DropReason } from '../native/records.js';
import type { Classification } from './classify.js';
import { ExhaustedRemotes } from './exhausted-remotes.js';
import type { HostTable } from './host-table.js';
import { hasPorts, type MappingTable, Tenure } from './mapping-table.js';
import { Allocation, type PublicPools } from './public-pools.js';
import type { RestingTuples } from './resting-tuples.js';
import type { SessionFacts, SessionTable } from './session-table.js';
import type { Topology } from './topology.js';

// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const NO_REASON = DropReason.none;
const SHARED = Tenure.shared;

/** Hashes of a session's source in scope 0, where they were made already. */
export interface SourceHashes {
  /** MappingTable's, of the internal endpoint. */
  inside: number;
  /** HostTable's, of the host. */
  host: number;
}

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
   * @param hashes Of the source, if its mapping's scope is 0 and they were made already.
   * @returns DropReason.none, or why there is none; then nothing changed.
   */
  translate(facts: SessionFacts, c: Classification, nowSeconds: number, hashes: SourceHashes | null): DropReason {
    const { protocol, vpc, forwardSourcePort } = facts;
    const { mappings, topology } = this;
    const { sourceSide, sourceScope } = c;
    // The 32 bits as they are: what is beyond 2^31 becomes an object when it is given to a function.
    const source = facts.forwardSource | 0;
    facts.sourceMapping = -1;
    facts.translatedSource = facts.forwardSource;
    facts.translatedSourcePort = forwardSourcePort;
    if (sourceSide === null) return this.checkReplies(facts);
    const binding = topology[sourceSide].byPrivate(vpc, source);
    if (binding !== null) {
      facts.translatedSource = binding.public.first + (facts.forwardSource - binding.private.first);
      return this.checkReplies(facts);
    }
    const withPort = hasPorts(protocol);
    if (this.perSession === true && withPort) return this.translateAlone(facts, sourceScope, nowSeconds);
    const port = withPort ? forwardSourcePort : 0;
    const insideHash = hashes === null ? mappings.insideHash(vpc, sourceScope, protocol, source, port) : hashes.inside;
    const known = mappings.byInside(vpc, sourceScope, protocol, source, port, insideHash);
    const mapping = known >= 0 ? known : this.allocate(facts, sourceScope, port, insideHash, hashes, nowSeconds);
    if (mapping < 0) return reasonOf(mapping);
    facts.sourceMapping = mapping;
    facts.translatedSource = mappings.publicAddress(mapping);
    if (withPort) {
      const publicPort = mappings.publicPort(mapping);
      facts.translatedSourcePort = publicPort;
      // An echo identifier stands in both ports.
      if (protocol === 1) facts.translatedDestinationPort = publicPort;
      // Nobody else has a port that was free until now: no session's replies look like these.
      if (known < 0) return NO_REASON;
    }
    const reason = this.checkReplies(facts);
    if (reason !== NO_REASON && known < 0) this.free(mapping, nowSeconds);
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
    if (sourceMapping >= 0) this.leave(sourceMapping, untilSeconds);
    if (destinationMapping >= 0) this.leave(destinationMapping, untilSeconds);
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
    hashes: SourceHashes | null,
    nowSeconds: number,
  ): number {
    const { protocol, vpc } = facts;
    const { hosts, pools, mappings } = this;
    const inside = facts.forwardSource | 0;
    const withPort = hasPorts(protocol);
    const hostHash = hashes === null ? hosts.hashOf(vpc, scope, inside) : hashes.host;
    const host = withPort ? hosts.hold(vpc, scope, inside, hostHash) : this.holdAddress(facts, scope, nowSeconds);
    if (host < 0) return withPort ? Allocation.tableFull : host;
    const port = withPort ? pools.take(vpc, scope, protocol, host, inside, nowSeconds) : 0;
    if (port < 0) {
      this.giveUp(host, port);
      return port;
    }
    const address = pools.address | 0;
    const mapping = mappings.insert(vpc, scope, protocol, inside, insidePort, address, port, host, SHARED, insideHash);
    if (mapping >= 0) return mapping;
    if (withPort) pools.release(scope, protocol, address, port, nowSeconds);
    hosts.release(host);
    return Allocation.tableFull;
  }

  /** Without ports the remote alone tells replies apart: an address that has a session towards it will not do. */
  private holdAddress(facts: SessionFacts, scope: number, nowSeconds: number): number {
    return this.holdPaired(facts, scope, nowSeconds, (address) => {
      facts.translatedSource = address;
      return !this.repliesAreTaken(facts);
    });
  }

  protected free(mapping: number, untilSeconds: number): void {
    const { mappings, pools, hosts } = this;
    if (mappings.ownsPort(mapping)) {
      const address = mappings.publicAddress(mapping) | 0;
      const port = mappings.publicPort(mapping);
      pools.release(mappings.scope(mapping), mappings.protocol(mapping), address, port, untilSeconds);
    }
    const host = mappings.host(mapping);
    mappings.remove(mapping);
    hosts.release(host);
  }
}

function reasonOf(failure: number): DropReason {
  if (failure === Allocation.noPool) return DropReason.noPool;
  return failure === Allocation.tableFull ? DropReason.tableFull : DropReason.poolExhausted;
}
