import type { NatEngine } from '../nat/engine.js';
import { Tenure } from '../nat/mapping-table.js';
import { Protocol } from '../nat/packet.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerOfContext, type SessionFacts, SessionLife } from '../nat/session-table.js';
import type { NativeRows } from '../nat/session-timers.js';
import { SessionRow, TcpState } from '../native/records.js';
import { R } from './batch.js';
import { type ConfigRanks, configRanks } from './config-ranks.js';
import { DirtyRows } from './dirty-rows.js';
import {
  MirrorOp,
  MOST_IDLE,
  NO_IDLE,
  RECORD_DESTINATION_MAPPING,
  RECORD_DESTINATION_PEERING,
  RECORD_DESTINATION_RETIRED,
  RECORD_INSIDE_INITIATED,
  RECORD_OUTSIDE,
  RECORD_PEER,
  RECORD_SOURCE_ALONE,
  RECORD_SOURCE_MAPPING,
  RECORD_SOURCE_PEERING,
  RECORD_SOURCE_RETIRED,
} from './records.js';
import type { MirrorSource } from './types.js';

/** The NAT engine's sessions, as records. */
export class EngineSource implements MirrorSource {
  readonly dirty: DirtyRows;
  private readonly facts: SessionFacts = emptyFacts();
  private ranks: ConfigRanks;
  private nowSeconds = 0;

  /**
   * @param clock  Gateway clock, whole seconds.
   * @param shards As the writer's.
   */
  constructor(
    private readonly engine: NatEngine,
    private readonly rows: NativeRows,
    private readonly clock: () => number,
    shards: number,
  ) {
    this.dirty = new DirtyRows(engine.sessions.capacity, shards);
    this.ranks = configRanks(engine.config);
    engine.changed = this.dirty;
  }

  get capacity(): number {
    return this.engine.sessions.capacity;
  }

  get highWater(): number {
    return this.engine.sessions.highWater;
  }

  beginBatch(): void {
    this.nowSeconds = this.clock();
  }

  /** The engine follows another configuration. */
  reconfigured(): void {
    this.ranks = configRanks(this.engine.config);
  }

  encode(row: number, into: Int32Array, at: number): boolean {
    const { sessions } = this.engine;
    const f = this.facts;
    into[at + R.row] = row;
    into[at + R.generation] = sessions.generation(row);
    if (sessions.life(row) !== SessionLife.live) return this.writeEnd(into, at);
    sessions.read(row, f);
    const vpc = this.ranks.rankOfVpc[f.vpc];
    const destinationVpc = f.destinationVpc < 0 ? 0 : this.ranks.rankOfVpc[f.destinationVpc] + 1;
    const forwardContext = this.contextOf(f.forwardContext);
    const reverseContext = this.contextOf(f.reverseContext);
    // A part that has left the configuration: the session is about to end.
    const isNamed =
      vpc >= 0 && (f.destinationVpc < 0 || destinationVpc > 0) && forwardContext >= 0 && reverseContext >= 0;
    if (!isNamed) return this.writeEnd(into, at);
    const native = this.rows;
    // The lcore may have yet to take the row: what stands there then is another session's. Or it has ended it already.
    const isTaken = native.word(row, SessionRow.generation) === sessions.generation(row);
    if (!isTaken && this.engine.isAsked(row)) return this.writeEnd(into, at);
    const since = (offset: number) => (isTaken ? this.nowSeconds - native.word(row, offset) : 0);
    const firstState = f.protocol === Protocol.tcp ? TcpState.synForward : TcpState.none;
    const tcpState = isTaken ? native.byte(row, SessionRow.tcpState) : firstState;
    into[at] = MirrorOp.session | (f.protocol << 8) | (f.sessionClass << 16) | (tcpState << 24);
    into[at + R.flags] = this.flagsOf(f) | (idle(since(SessionRow.stateSinceSeconds)) << 16);
    into[at + R.versionHigh] = idle(since(SessionRow.lastForwardSeconds)) << 16;
    into[at + R.forwardSource] = f.forwardSource;
    into[at + R.forwardDestination] = f.forwardDestination;
    into[at + R.translatedSource] = f.translatedSource;
    into[at + R.translatedDestination] = f.translatedDestination;
    into[at + R.forwardPorts] = f.forwardDestinationPort | (f.forwardSourcePort << 16);
    into[at + R.translatedPorts] = f.translatedDestinationPort | (f.translatedSourcePort << 16);
    into[at + R.contexts] = forwardContext | (reverseContext << 16);
    into[at + R.vpcs] = vpc | (destinationVpc << 16);
    into[at + R.age] = Math.max(0, since(SessionRow.createdSeconds));
    const isAnswered = isTaken && native.word(row, SessionRow.lastReverseSeconds) > 0;
    into[at + R.idleReverse] = isAnswered ? idle(since(SessionRow.lastReverseSeconds)) : NO_IDLE;
    return true;
  }

  private writeEnd(into: Int32Array, at: number): false {
    into[at] = MirrorOp.end;
    into[at + R.flags] = 0;
    into.fill(0, at + R.versionHigh, at + R.idleReverse + 1);
    return false;
  }

  private contextOf(context: number): number {
    if (context === OUTSIDE_CONTEXT) return RECORD_OUTSIDE;
    const peer = peerOfContext(context);
    if (peer < 0) return this.ranks.rankOfVpc[context];
    const rank = this.ranks.rankOfPeer[peer];
    return rank < 0 ? -1 : RECORD_PEER + rank;
  }

  private flagsOf(f: SessionFacts): number {
    const { mappings } = this.engine;
    let flags = f.insideInitiated ? RECORD_INSIDE_INITIATED : 0;
    if (f.sourceMapping >= 0) {
      const tenure = mappings.tenure(f.sourceMapping);
      flags |= RECORD_SOURCE_MAPPING;
      if (mappings.scope(f.sourceMapping) !== 0) flags |= RECORD_SOURCE_PEERING;
      if (tenure === Tenure.alone) flags |= RECORD_SOURCE_ALONE;
      else if (tenure === Tenure.retired) flags |= RECORD_SOURCE_RETIRED;
    }
    if (f.destinationMapping >= 0) {
      flags |= RECORD_DESTINATION_MAPPING;
      if (mappings.scope(f.destinationMapping) !== 0) flags |= RECORD_DESTINATION_PEERING;
      if (mappings.tenure(f.destinationMapping) === Tenure.retired) flags |= RECORD_DESTINATION_RETIRED;
    }
    return flags;
  }
}

function idle(seconds: number): number {
  return Math.min(Math.max(seconds, 0), MOST_IDLE);
}
