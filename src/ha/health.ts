/** What is checked, in the order of reports. */
export const CHECKS = [
  'ports',
  'workers',
  'rules',
  'redis',
  'lease',
  'mirror',
  'peer',
  'probe',
  'config',
  'hook',
  'files',
] as const;
export type CheckName = (typeof CHECKS)[number];

export interface Check {
  readonly check: CheckName;
  readonly ok: boolean;
  /** When it became so, ms since 1970. */
  readonly since: number;
  /** For an operator; empty when there is nothing to say. */
  readonly detail: string;
}

/** Checks without which a gateway cannot serve: it hands over, and does not take over. */
const VITAL: readonly CheckName[] = ['ports', 'workers'];

/** The checks and since when each is as it is. */
export class Health {
  private readonly checks = new Map<CheckName, Check>();
  /** Called when a check turns. */
  onChange: ((check: Check) => void) | null = null;

  /** @param problem Said when it fails. @param note Said when it does not. */
  set(check: CheckName, ok: boolean, problem = '', note = ''): void {
    const before = this.checks.get(check);
    const turned = before === undefined || before.ok !== ok;
    const now = { check, ok, since: turned ? Date.now() : before.since, detail: ok ? note : problem };
    this.checks.set(check, now);
    if (turned) this.onChange?.(now);
  }

  /** Those that have been made. */
  list(): readonly Check[] {
    return CHECKS.flatMap((name) => this.checks.get(name) ?? []);
  }

  failedVital(): readonly Check[] {
    return VITAL.flatMap((name) => this.checks.get(name) ?? []).filter(({ ok }) => !ok);
  }
}

/** Tells an lcore that runs from one that does not: its rounds must go on. */
export class RoundWatch {
  private rounds = -1;
  private sinceMs = 0;

  /** @param patienceMs A busy machine may let it wait. @returns Whether there was a round within that time. */
  look(rounds: number, nowMs: number, patienceMs: number): boolean {
    if (rounds !== this.rounds) this.sinceMs = nowMs;
    this.rounds = rounds;
    return nowMs - this.sinceMs < patienceMs;
  }
}
