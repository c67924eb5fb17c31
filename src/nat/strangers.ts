import { SessionClass } from '../native/records.js';
import type { SessionFacts } from './session-table.js';

/** One for all: an empty list made anew would be garbage of every session's end. */
const NONE: readonly number[] = [];

interface MappingStrangers {
  readonly rows: Set<number>;
  /** Rows whose last hits have been asked for since nobody else uses the mapping. */
  readonly asked: Set<number>;
}

/**
 * Sessions that somebody outside opened through a dynamic mapping and that the inside has not answered, as far as is
 * known. They do not keep the mapping: it ends with the last session that the inside opened or answered (RFC 4787 REQ-6:
 * inbound packets alone refresh nothing).
 */
export class Strangers {
  private readonly byMapping = new Map<number, MappingStrangers>();

  /** Whether there is any; of what others do nothing comes then. */
  get areThere(): boolean {
    return this.byMapping.size > 0;
  }

  add(mapping: number, row: number): void {
    const known = this.byMapping.get(mapping);
    if (known === undefined) this.byMapping.set(mapping, { rows: new Set([row]), asked: new Set() });
    else known.rows.add(row);
  }

  /** The session ended, or was answered. */
  remove(mapping: number, row: number): void {
    const known = this.byMapping.get(mapping);
    if (known === undefined) return;
    known.rows.delete(row);
    known.asked.delete(row);
    if (known.rows.size === 0) this.byMapping.delete(mapping);
  }

  /** @returns Strangers of a mapping that has `sessions` sessions, if it has no others; they are then asked. */
  askIfAlone(mapping: number, sessions: number): readonly number[] {
    const known = this.byMapping.get(mapping);
    if (known === undefined || known.rows.size !== sessions) return NONE;
    for (const row of known.rows) known.asked.add(row);
    return [...known.rows];
  }

  /**
   * A session's last hits are known.
   *
   * @returns Sessions that end, once all that were asked are known and none was answered.
   */
  told(mapping: number, row: number, isAnswered: boolean, sessions: number): readonly number[] {
    const known = this.byMapping.get(mapping);
    if (known === undefined || !known.rows.has(row)) return NONE;
    const wasAsked = known.asked.delete(row);
    const { asked, rows } = known;
    if (isAnswered) this.remove(mapping, row);
    return wasAsked && asked.size === 0 && rows.size === sessions ? [...rows] : NONE;
  }
}

/** Whether the outside opened a session through a dynamic mapping. */
export function isFromStranger(facts: SessionFacts): boolean {
  return facts.destinationMapping >= 0 && facts.sessionClass === SessionClass.externalToVpc;
}
