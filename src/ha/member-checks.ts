import type { GatewayController } from '../controller/gateway.js';
import { monotonicMs } from './clock.js';
import type { EpochFile } from './epoch-file.js';
import type { Health } from './health.js';
import { RoundWatch } from './health.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { OtherMember } from './other-member.js';
import type { PairSessions } from './pair-sessions.js';
import type { ResultFile } from './result-file.js';

/** An lcore without a round for so long does not work. */
const STALLED_MS = 1000;

export interface Checked {
  readonly health: Health;
  readonly controller: GatewayController;
  readonly keeper: LeaseKeeper;
  readonly sessions: PairSessions;
  readonly other: OtherMember;
  readonly result: ResultFile;
  readonly epochs: EpochFile;
  /** For messages: which Redis. */
  readonly redisName: string;
  /** What is wrong with the direct way; null: nothing that is known. */
  readonly directFault: () => string | null;
}

/** The checks that are made all the time; probe, hook and settings tell of themselves. */
export class MemberChecks {
  private readonly rounds = new RoundWatch();
  private installFailures = 0;

  constructor(private readonly checked: Checked) {}

  look(): void {
    this.lookAtPackets();
    this.lookAtLease();
    this.lookAtMirror();
    this.lookAtFiles();
    const { health, other, directFault } = this.checked;
    const { heard } = other;
    if (heard === null) health.set('peer', other.reports, 'it does not report to Redis');
    else health.set('peer', heard, directFault() ?? 'no heartbeat');
  }

  private lookAtFiles(): void {
    const { health, result, epochs } = this.checked;
    const fault = result.fault ?? epochs.fault;
    health.set('files', fault === null, fault ?? '');
    result.retry();
    epochs.retry();
  }

  private lookAtPackets(): void {
    const { health, controller } = this.checked;
    const { rounds, links, jumpsFollow } = controller.dataplane.liveness();
    const down = controller.config.ports.filter(({ index }) => !links[index]).map(({ name }) => name);
    health.set('ports', down.length === 0, `no link: ${down.join(', ')}`);
    health.set('workers', this.rounds.look(rounds, monotonicMs(), STALLED_MS), 'the lcore does no rounds');
    let failures = 0;
    for (const count of controller.installFailures.values()) failures += count;
    const lately = failures - this.installFailures;
    this.installFailures = failures;
    const jumps = jumpsFollow ? '' : 'a NIC refused the way to its rules; ';
    health.set('rules', jumpsFollow && lately === 0, `${jumps}${lately} rules refused lately`);
  }

  private lookAtLease(): void {
    const { health, keeper, redisName } = this.checked;
    health.set('redis', keeper.redisAnswers, keeper.fault === null ? redisName : `${redisName}: ${keeper.fault}`);
    if (keeper.holding) health.set('lease', keeper.untilMs > monotonicMs(), 'not renewed');
    else health.set('lease', keeper.record?.epoch !== 0, 'nobody holds it');
  }

  private lookAtMirror(): void {
    const { health, keeper, sessions } = this.checked;
    if (keeper.holding || sessions.replay === null) {
      const { protection } = sessions.writer;
      return health.set('mirror', protection === 'PROTECTED', protection);
    }
    const { eligible, reasons } = sessions.replay.eligibility();
    health.set('mirror', eligible, reasons.map(({ detail }) => detail).join('; '));
  }
}
