import type { NatSettings } from '../../config/types.js';
import type { Classification } from '../classify.js';
import { RemoteFilter } from '../remote-filter.js';
import type { SessionFacts } from '../session-table.js';
import type { SourceTranslation } from '../source-translation.js';
import type { Shard } from './shard.js';

/** Filtering of one of several engines: a mapping's own engine judges who calls it. */
export class ShardFilter extends RemoteFilter {
  constructor(
    mode: NatSettings['filtering'],
    private readonly shard: Shard,
  ) {
    super(mode);
  }

  override admits(facts: SessionFacts, c: Classification, sources: SourceTranslation): boolean {
    const end = this.shard.known.destination;
    if (end === null || end.row !== facts.destinationMapping) return super.admits(facts, c, sources);
    return end.answer.admitted;
  }
}
