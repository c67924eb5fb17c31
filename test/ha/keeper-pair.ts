import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { monotonicMs } from '../../src/ha/clock';
import { EpochFile } from '../../src/ha/epoch-file';
import { type KeeperOptions, LeaseKeeper } from '../../src/ha/lease-keeper';
import { Peer } from '../../src/ha/peer';
import { redisConnector } from '../../src/mirror/connect';

export const LEASE_MS = 600;
export const MARGIN_MS = 60;

/** One gateway's lease without its gateway, and when it might speak. */
export class Member {
  readonly holder = randomUUID();
  readonly keeper: LeaseKeeper;
  readonly peer = new Peer(LEASE_MS, MARGIN_MS);
  readonly events: { what: 'won' | 'lost'; epoch: number; cause: string; atMs: number }[] = [];
  /** [from, until) in which it might have spoken, by its own limits. */
  readonly spoke: [number, number][] = [];
  may = true;
  private fromMs = 0;

  constructor(
    readonly node: string,
    url: string,
    folder: string | null,
    options: Partial<KeeperOptions> = {},
  ) {
    this.keeper = new LeaseKeeper(
      {
        redis: redisConnector(url),
        group: 'g',
        owner: { holder: this.holder, node },
        leaseMs: LEASE_MS,
        marginMs: MARGIN_MS,
        renewMs: () => LEASE_MS / 5,
        epochs: new EpochFile(folder === null ? null : join(folder, `${node}.epoch`), 'g'),
        peer: this.peer,
        onIsolation: () => 'fence',
        mayTakeOver: () => this.may,
        highestEpoch: () => 0,
        status: () => JSON.stringify({ state: this.keeper.holding ? 'DONE' : 'INIT' }),
        prefersStandby: false,
        log: pino({ level: 'silent' }),
        ...options,
      },
      {
        won: (epoch, cause) => {
          this.events.push({ what: 'won', epoch, cause, atMs: monotonicMs() });
          this.fromMs = monotonicMs();
          this.spoke.push([this.fromMs, this.keeper.untilMs]);
        },
        lost: (cause) => this.events.push({ what: 'lost', epoch: 0, cause, atMs: monotonicMs() }),
        extended: (untilMs) => {
          const last = this.spoke.at(-1);
          // A limit that was reached and later moved on leaves a silence between.
          if (last === undefined) return;
          if (monotonicMs() <= last[1]) last[1] = Math.max(last[1], untilMs);
          else this.spoke.push([monotonicMs(), untilMs]);
        },
      },
    );
  }

  /** The times at which it might have spoken, each cut off where it lost the lease. */
  intervals(): [number, number][] {
    const lost = this.events.filter(({ what }) => what === 'lost').map(({ atMs }) => atMs);
    return this.spoke.map(([from, until]) => {
      const end = lost.find((atMs) => atMs > from);
      return [from, end === undefined ? until : Math.min(until, end)];
    });
  }
}

/** Whether two gateways might have spoken at the same time, and for how long at most. */
export function overlapMs(a: Member, b: Member): number {
  let most = -Infinity;
  for (const [from, until] of a.intervals()) {
    for (const [otherFrom, otherUntil] of b.intervals()) {
      most = Math.max(most, Math.min(until, otherUntil) - Math.max(from, otherFrom));
    }
  }
  return most;
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @throws Error when it does not become so in time */
export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const endMs = monotonicMs() + ms;
  while (!(await holds())) {
    if (monotonicMs() > endMs) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(5);
  }
}
