import type { Operation } from './operations.js';
import { run, type Scenario } from './sequence.js';

/**
 * Drops operations as long as some fault stays, larger parts first. What is left is not the least there is, but each
 * operation of it is needed.
 *
 * @param budgetMs Gives up after this long and returns what it has.
 */
export function shrunk(scenario: Scenario, budgetMs: number): Scenario {
  const end = Date.now() + budgetMs;
  const fails = (operations: readonly Operation[]) => run({ ...scenario, operations }).fault !== null;
  let { operations } = scenario;
  for (let size = Math.ceil(operations.length / 2); size >= 1 && Date.now() < end; ) {
    let removed = false;
    for (let at = operations.length - size; at > -size && Date.now() < end; at -= size) {
      const from = Math.max(0, at);
      const fewer = [...operations.slice(0, from), ...operations.slice(from + size)];
      if (fewer.length === operations.length || !fails(fewer)) continue;
      operations = fewer;
      removed = true;
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (!removed) break;
  }
  return { ...scenario, operations };
}
