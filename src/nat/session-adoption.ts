import { NO_HOLD } from '../native/records.js';
import { type AdoptedMappings, type AdoptedSession, Adoption } from './adoption.js';
import type { HostTable } from './host-table.js';
import { hasPorts, type MappingTable } from './mapping-table.js';
import type { RemoteFilter } from './remote-filter.js';
import type { SessionFacts, SessionTable } from './session-table.js';
import type { SessionTally } from './session-tally.js';
import { shapesOf } from './shapes.js';
import { type DecidedSession, type DecisionSink, emptyDecision, type SessionTimes } from './sink.js';
import { isFromStranger, type Strangers } from './strangers.js';
import type { TimerWheel } from './timer-wheel.js';
import type { Topology } from './topology.js';

/** Sessions that can be expected at once: what is asked of memory together. */
export const MOST_EXPECTED = 32;
/** Of a session: its forward tuple's, its reverse tuple's, its inside and its public endpoint's. */
const HASHES = 4;

/** Parts of the engine that an adopted session goes into. */
export interface AdoptingEngine {
  readonly sessions: SessionTable;
  readonly mappings: MappingTable;
  readonly hosts: HostTable;
  readonly adopted: AdoptedMappings;
  readonly filter: RemoteFilter;
  readonly tally: SessionTally;
  readonly wheel: TimerWheel;
  readonly strangers: Strangers;
  readonly sink: DecisionSink;
  readonly sessionsOfVpc: number[];
  /** As the configuration is now. */
  readonly topology: () => Topology;
  readonly idleSeconds: (protocol: number, tcpState: number) => number;
  readonly changed: (row: number) => void;
  /** Gives up the source's mapping of a session that could not be adopted. */
  readonly giveUp: (facts: SessionFacts) => void;
}

/** Sessions that another gateway decided, opened here with the same mappings and endpoints. */
export class SessionAdoption {
  /** By expected session; one more for a session that was not. */
  private readonly hashes = new Int32Array((MOST_EXPECTED + 1) * HASHES);
  private readonly decided: DecidedSession = emptyDecision();

  constructor(private readonly engine: AdoptingEngine) {}

  /**
   * Asks for the memory that adopt() will look at, so that the sessions of a batch wait for it together.
   *
   * @param index 0..MOST_EXPECTED-1, for adopt(). @returns Something of that memory, which the caller must use.
   */
  expect(session: AdoptedSession, index: number): number {
    this.hash(session, index);
    const { hashes } = this;
    const own = index * HASHES;
    const { sessions, mappings } = this.engine;
    return (
      sessions.touch(hashes[own]) ^
      sessions.touch(hashes[own + 1]) ^
      mappings.touchInside(hashes[own + 2]) ^
      mappings.touchOutside(hashes[own + 3])
    );
  }

  /**
   * @param index That expect() was told of the session with; -1: it was not.
   * @returns Its row, or an Adoption code.
   */
  adopt(session: AdoptedSession, nowSeconds: number, index: number): number {
    const { facts, source, destination, times, tcpState } = session;
    const { decided, hashes } = this;
    const { sessions, mappings, hosts } = this.engine;
    const { protocol, forwardSource } = facts;
    if (sessions.isFull) return Adoption.tableFull;
    if (index < 0) this.hash(session, MOST_EXPECTED);
    const own = (index < 0 ? MOST_EXPECTED : index) * HASHES;
    if (sessions.forwardIsTaken(facts, hashes[own]) || sessions.reverseIsTaken(facts, hashes[own + 1])) {
      return Adoption.conflict;
    }
    const { ways } = this.engine.topology();
    const forward = ways.find(facts.reverseContext, facts.translatedDestination);
    const reverse = ways.find(facts.forwardContext, forwardSource);
    if (forward === null || reverse === null) return Adoption.noWay;
    const { adopted } = this.engine;
    facts.sourceMapping =
      source === null ? -1 : adopted.ofSource(facts, source, nowSeconds, hashes[own + 2], hashes[own + 3]);
    if (source !== null && facts.sourceMapping < 0) return Adoption.tableFull;
    if (facts.sourceMapping >= 0) mappings.addSessions(facts.sourceMapping, 1);
    facts.destinationMapping = destination === null ? -1 : adopted.ofDestination(facts, destination, nowSeconds);
    if (destination !== null && facts.destinationMapping < 0) {
      this.engine.giveUp(facts);
      return Adoption.tableFull;
    }
    if (facts.destinationMapping >= 0) mappings.addSessions(facts.destinationMapping, 1);
    facts.host = this.holdHost(facts, source?.scope ?? -1);
    hosts.addSessions(facts.host, 1);
    this.engine.sessionsOfVpc[facts.vpc]++;
    this.engine.tally.opened(facts.vpc, facts.sessionClass);
    this.engine.filter.remember(facts);
    decided.facts = facts;
    decided.forwardEgress = forward;
    decided.reverseEgress = reverse;
    const shapes = shapesOf(facts);
    decided.forwardShape = shapes & 0xffff;
    decided.reverseShape = shapes >>> 16;
    const row = sessions.insert(facts, shapes, hashes[own], hashes[own + 1]);
    decided.row = row;
    decided.generation = sessions.generation(row);
    decided.tcpState = tcpState;
    decided.ageSeconds = this.engine.idleSeconds(protocol, tcpState);
    decided.adopted = times;
    this.engine.sink.session(NO_HOLD, decided);
    this.engine.wheel.arm(row, nowSeconds + decided.ageSeconds, nowSeconds);
    const { strangers } = this.engine;
    if (isFromStranger(facts) && times.lastReverseSeconds === 0) strangers.add(facts.destinationMapping, row);
    this.engine.changed(row);
    return row;
  }

  /** The gateway that decides tells how an adopted session stands. */
  restate(row: number, tcpState: number, times: SessionTimes): void {
    const { sessions, strangers, sink } = this.engine;
    sink.restate(row, sessions.generation(row), tcpState, times);
    const mapping = sessions.destinationMapping(row);
    if (times.lastReverseSeconds > 0 && mapping >= 0) strangers.remove(mapping, row);
    this.engine.changed(row);
  }

  /** The inside host, for its limits. A mapping in the outside's scope holds the same row. */
  private holdHost(facts: SessionFacts, sourceScope: number): number {
    const { hosts, mappings } = this.engine;
    if (sourceScope === 0 && facts.insideInitiated) {
      const host = mappings.host(facts.sourceMapping);
      hosts.holdAgain(host);
      return host;
    }
    return hosts.hold(facts.vpc, 0, facts.insideInitiated ? facts.forwardSource : facts.translatedDestination);
  }

  private hash({ facts: f, source }: AdoptedSession, index: number): void {
    const { hashes } = this;
    const { sessions, mappings } = this.engine;
    const own = index * HASHES;
    hashes[own] = sessions.forwardHash(f);
    hashes[own + 1] = sessions.reverseHash(f);
    const scope = source?.scope ?? 0;
    const withPort = hasPorts(f.protocol);
    const inside = withPort ? f.forwardSourcePort : 0;
    hashes[own + 2] = mappings.insideHash(f.vpc, scope, f.protocol, f.forwardSource, inside);
    const shown = withPort ? f.translatedSourcePort : 0;
    hashes[own + 3] = mappings.publicHash(scope, f.protocol, f.translatedSource, shown);
  }
}
