import type { GatewayController } from '../controller/gateway.js';
import { monotonicMs } from './clock.js';
import { ineligibility, type Reason } from './eligibility.js';
import type { EpochFile } from './epoch-file.js';
import type { Health } from './health.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { OtherMember } from './other-member.js';
import type { PairSessions } from './pair-sessions.js';
import type { PairSettings } from './settings.js';
import type { MemberStatus, PairStatus } from './status.js';
import type { Failover } from './transitions.js';

/** What was missing when this gateway took over last. */
export interface TakeoverLoss {
  /** Shards whose last moments could not be applied. */
  readonly incomplete: readonly number[];
  /** Sessions that may be missing or out of date; null: it cannot be told. */
  readonly estimatedLost: number | null;
}

export interface ViewedParts {
  readonly bootId: string;
  readonly group: string;
  readonly pairConfigHash: string;
  readonly settings: () => PairSettings;
  readonly loss: () => TakeoverLoss;
  readonly controller: GatewayController;
  readonly failover: Failover;
  readonly health: Health;
  readonly sessions: PairSessions;
  readonly keeper: LeaseKeeper;
  readonly epochs: EpochFile;
  readonly other: OtherMember;
}

/** How a member is: for an operator, for the other gateway, and for its own decision to take over. */
export class MemberView {
  private eligibleSinceMs: number | null = null;

  constructor(private readonly parts: ViewedParts) {}

  /** Why this gateway may not take over now. */
  reasons(): readonly Reason[] {
    const { sessions, keeper, health, other } = this.parts;
    const { replay } = sessions;
    return ineligibility({
      redisAnswers: keeper.redisAnswers,
      failedChecks: health.failedVital(),
      nameTaken: other.hasOurName,
      mirror: replay?.eligibility().reasons ?? [],
      leaseEpoch: replay === null ? 0 : (keeper.record?.epoch ?? 0),
      mirrorEpoch: Math.min(...(replay?.position() ?? []).map(({ epoch }) => epoch)),
    });
  }

  /** For the other gateway, by way of Redis: to be asked for with each renewal, for it is here that hold-down is timed. */
  memberStatus(): MemberStatus {
    const { bootId, failover, keeper, sessions } = this.parts;
    const settings = this.parts.settings();
    const reasons = this.reasons();
    const active = failover.role === 'active';
    const nowMs = monotonicMs();
    if (active || reasons.length > 0) this.eligibleSinceMs = null;
    else this.eligibleSinceMs ??= nowMs;
    const held = this.eligibleSinceMs !== null && nowMs - this.eligibleSinceMs >= settings.holdDownMs;
    return {
      boot: bootId,
      state: failover.state,
      epoch: keeper.epoch,
      eligible: reasons.length === 0,
      reasons: reasons.map(({ detail }) => detail),
      wants: settings.preempt && held,
      unwritten: active ? sessions.writer.status().dirty : 0,
    };
  }

  /** For an operator. */
  pairStatus(): PairStatus {
    const { bootId, group, controller, failover, health, sessions, keeper, epochs, other, pairConfigHash } = this.parts;
    const settings = this.parts.settings();
    const { incomplete, estimatedLost } = this.parts.loss();
    const { record } = keeper;
    const reasons = this.reasons();
    const { writer, replay } = sessions;
    const mirror = failover.role === 'active' ? writer.status() : null;
    return {
      node: settings.node,
      bootId,
      group,
      role: failover.role,
      failoverState: failover.state,
      epoch: keeper.epoch || epochs.epoch,
      lease: {
        holder: record?.node ?? '',
        epoch: record?.epoch ?? 0,
        leftMs: keeper.holding ? Math.max(0, Math.round(keeper.untilMs - monotonicMs())) : 0,
      },
      eligible: reasons.length === 0,
      reasons,
      protection: mirror?.protection ?? null,
      protectionReasons: mirror?.reasons.map(({ detail }) => detail) ?? [],
      peer: other.status(),
      health: health.list(),
      sessions: controller.engine.sessions.count,
      rulesInstalled: controller.nicRulesWanted,
      applied: replay?.position() ?? [],
      replay: replay?.shards() ?? [],
      mirror,
      phases: Object.fromEntries(failover.phases),
      lastTransition: failover.last,
      shardsIncomplete: incomplete,
      estimatedLost,
      portBlocks: sessions.portBlocks,
      configHash: settings.hash,
      pairConfigHash,
    };
  }
}
