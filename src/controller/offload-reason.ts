import { answersItself, emptyFacts } from '../nat/session-table.js';
import { RulePath, SessionRow } from '../native/records.js';
import type { GatewayController } from './gateway.js';
import { isFull } from './rule-states.js';

const facts = emptyFacts();

/**
 * Why a direction of a session is not in the NIC: a stable code, and for a refused rule the NIC's error.
 *
 * @param reverse Which direction.
 * @param path    RulePath of the direction.
 * @param shape   The direction's shape.
 * @returns Null when it is in the NIC.
 */
export function offloadReason(
  controller: GatewayController,
  row: number,
  reverse: boolean,
  path: number,
  shape: number,
): string | null {
  const { templates, rows, config } = controller;
  if (path === RulePath.offloaded) return null;
  if (path === RulePath.failed) {
    const errno = rows.word(row, SessionRow.nicError) & 0xffff;
    return isFull(errno) ? 'nic-full' : `nic-error: errno ${errno}`;
  }
  if (path === RulePath.pending || path === RulePath.removing) return 'nic-busy';
  const { refusal } = templates.of(shape);
  if (refusal !== null) return refusal.code;
  if (reverse) {
    controller.engine.sessions.read(row, facts);
    // Replies look just like what they answer, and hit its rule.
    if (answersItself(facts)) return 'same-rule';
  }
  const { mode, afterPackets } = config.offload;
  if (mode === 'after' && controller.packets(row) < afterPackets) return 'few-packets';
  return controller.hasAsked(row, reverse) ? 'nic-busy' : 'nic-full';
}
