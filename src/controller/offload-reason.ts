import { RulePath, SessionRow } from '../native/records.js';
import type { GatewayController } from './gateway.js';
import { isFull } from './rule-states.js';

/**
 * Why a direction of a session is not in the NIC: a stable code, and for a refused rule the NIC's error.
 *
 * @param path  RulePath of the direction.
 * @param shape The direction's shape.
 * @returns Null when it is in the NIC.
 */
export function offloadReason(controller: GatewayController, row: number, path: number, shape: number): string | null {
  const { templates, rows, config } = controller;
  if (path === RulePath.offloaded) return null;
  if (path === RulePath.failed) {
    const errno = rows.word(row, SessionRow.nicError) | 0;
    return isFull(errno) ? 'nic-full' : `nic-error: errno ${errno}`;
  }
  if (path === RulePath.pending || path === RulePath.removing) return 'nic-busy';
  const { refusal } = templates.of(shape);
  if (refusal !== null) return refusal.code;
  const { mode, afterPackets } = config.offload;
  return mode === 'after' && rows.word(row, SessionRow.softwarePackets) < afterPackets ? 'few-packets' : 'nic-full';
}
