import { Adoption } from '../nat/adoption.js';
import type { NatEngine } from '../nat/engine.js';
import { MOST_EXPECTED } from '../nat/session-adoption.js';
import { emptyFacts, type SessionFacts, SessionLife } from '../nat/session-table.js';
import { type ConfigRanks, configRanks } from './config-ranks.js';
import { emptyAdopted, readSession } from './record-reader.js';
import { RefusedReason, type ReplicaSink } from './types.js';

/** Decisions that one record may lead to at most: sessions in its way end, itself opens. */
const ROOM = 16;

/**
 * The standby's NAT engine as the place where mirrored sessions live: the same endpoints, and rules made by this
 * gateway's compiler for this gateway's NIC. From its making on the engine decides nothing by itself, until
 * `engine.takeOver()`.
 */
export class EngineSink implements ReplicaSink {
  readonly mostExpected = MOST_EXPECTED;
  private ranks: ConfigRanks;
  /** Of the memory that was asked for. */
  private touched = 0;
  private readonly session = emptyAdopted();
  private readonly facts: SessionFacts = emptyFacts();
  /** By row: of the session that was adopted there. The lcore may refuse one, and its row be another's. */
  private readonly generations: Int32Array;

  /**
   * @param clock Gateway clock, whole seconds.
   * @param room  How many decisions can be taken now: GatewayController.roomForDecisions().
   */
  constructor(
    private readonly engine: NatEngine,
    private readonly clock: () => number,
    private readonly room: () => number,
  ) {
    this.ranks = configRanks(engine.config);
    this.generations = new Int32Array(engine.sessions.capacity);
    engine.standBy();
    // Its own decisions of before are adopted as they are: the mirror says which of them still stand.
    for (const row of this.rows()) this.generations[row] = engine.sessions.generation(row);
  }

  get count(): number {
    return this.engine.sessions.count;
  }

  get capacity(): number {
    return this.engine.sessions.capacity;
  }

  /** For a whole batch of 256 records at once. */
  get hasRoom(): boolean {
    return this.room() >= 256 * ROOM;
  }

  *rows(): Generator<number> {
    const { sessions } = this.engine;
    for (let row = 0; row < sessions.highWater; row++) if (sessions.life(row) === SessionLife.live) yield row;
  }

  /** The engine follows another configuration. */
  reconfigured(): void {
    this.ranks = configRanks(this.engine.config);
  }

  expect(words: Int32Array, at: number, index: number): void {
    if (this.read(words, at, 0)) this.touched ^= this.engine.expectAdoption(this.session, index);
  }

  adopt(words: Int32Array, at: number, index: number): number {
    const now = this.clock();
    if (!this.read(words, at, now)) return -1 - RefusedReason.unknownPart;
    const row = this.engine.adopt(this.session, now, index);
    if (row >= 0) {
      this.generations[row] = this.engine.sessions.generation(row);
      return row;
    }
    switch (row) {
      case Adoption.tableFull:
        return -1 - RefusedReason.tableFull;
      case Adoption.noWay:
        return -1 - RefusedReason.noWay;
      default:
        return -1 - RefusedReason.conflict;
    }
  }

  refresh(row: number, words: Int32Array, at: number): boolean {
    if (!this.isAdopted(row) || !this.read(words, at, this.clock()) || !this.isSame(row)) return false;
    this.engine.restate(row, this.session.tcpState, this.session.times);
    return true;
  }

  end(row: number): void {
    if (this.isAdopted(row)) this.engine.endAdopted(row);
  }

  find(words: Int32Array, at: number): number {
    if (!this.read(words, at, 0)) return -1;
    const row = this.forwardRow();
    return row >= 0 && this.isSame(row) ? row : -1;
  }

  conflict(words: Int32Array, at: number): number {
    if (!this.read(words, at, 0)) return -1;
    const { facts } = this.session;
    const forward = this.forwardRow();
    if (forward >= 0) return forward;
    const reverse = this.engine.sessions.find(
      facts.reverseContext,
      facts.protocol,
      facts.translatedDestination,
      facts.translatedSource,
      facts.translatedDestinationPort,
      facts.translatedSourcePort,
    );
    return reverse >= 0 ? reverse >>> 1 : -1;
  }

  private isAdopted(row: number): boolean {
    const { sessions } = this.engine;
    return sessions.life(row) === SessionLife.live && this.generations[row] === (sessions.generation(row) | 0);
  }

  private read(words: Int32Array, at: number, nowSeconds: number): boolean {
    return readSession(words, at, this.ranks, this.engine.topology, nowSeconds, this.session);
  }

  private forwardRow(): number {
    const { facts } = this.session;
    const found = this.engine.sessions.find(
      facts.forwardContext,
      facts.protocol,
      facts.forwardSource,
      facts.forwardDestination,
      facts.forwardSourcePort,
      facts.forwardDestinationPort,
    );
    return found >= 0 ? found >>> 1 : -1;
  }

  /** Whether the row's session is the one that was read: both tuples and both sides. */
  private isSame(row: number): boolean {
    const a = this.facts;
    const b = this.session.facts;
    this.engine.sessions.read(row, a);
    return (
      a.forwardContext === b.forwardContext &&
      a.reverseContext === b.reverseContext &&
      a.protocol === b.protocol &&
      a.sessionClass === b.sessionClass &&
      a.forwardSource === b.forwardSource &&
      a.forwardDestination === b.forwardDestination &&
      a.forwardSourcePort === b.forwardSourcePort &&
      a.forwardDestinationPort === b.forwardDestinationPort &&
      a.translatedSource === b.translatedSource &&
      a.translatedDestination === b.translatedDestination &&
      a.translatedSourcePort === b.translatedSourcePort &&
      a.translatedDestinationPort === b.translatedDestinationPort
    );
  }
}
