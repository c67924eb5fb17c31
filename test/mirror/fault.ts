import { replayOn, same } from './pair.js';
import { PlainReplica, type PlainTable } from './tables.js';

/** Rows of the tables in tests of faults. */
export const ROWS = 512;
/** How soon what Redis lost must be there again. */
export const RECOVERY_MS = 8000;

/** Opens, changes and ends; each call goes on where the last one ended. */
export function churn(table: PlainTable, draw: (below: number) => number, steps: number): void {
  for (let i = 0; i < steps; i++) {
    const row = draw(ROWS);
    if (table.rows[row] === null) table.open(row, { inside: row, nat: row, remote: draw(1000), tcpState: 1 });
    else if (draw(3) === 0) table.end(row);
    else table.change(row, 1 + draw(5));
  }
}

/** A standby that comes now, with nothing but what Redis holds, has what the active has. */
export async function lateStandbyIsSame(url: string, table: PlainTable): Promise<void> {
  const sink = new PlainReplica(ROWS);
  replayOn(url, sink);
  await same(table, sink);
}

/** With the protection the scenario holds, without it it does not. */
export function fault(
  name: string,
  withoutProtection: () => () => void,
  scenario: () => Promise<void>,
  ms = 60_000,
): void {
  test(name, scenario, ms);
  test(`${name} — and without its protection this test fails`, async () => {
    const restore = withoutProtection();
    try {
      await expect(scenario()).rejects.toThrow();
    } finally {
      restore();
    }
  }, 120_000);
}
