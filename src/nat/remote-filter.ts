import type { NatSettings } from '../config/types.js';
import type { Classification } from './classify.js';
import { emptyFacts, type SessionFacts, type SessionTable } from './session-table.js';
import type { SourceTranslation } from './source-translation.js';

/** Filtering of what arrives at a dynamic mapping (RFC 4787 REQ-8). Static bindings are open to all. */
export class RemoteFilter {
  /** By mapping * 2^32 + remote address: sessions, for address-dependent filtering. */
  private readonly remotes = new Map<number, number>();

  constructor(private mode: NatSettings['filtering']) {}

  /** @param facts Of a session that would open; its destination is behind a dynamic mapping. */
  admits(facts: SessionFacts, c: Classification, sources: SourceTranslation): boolean {
    switch (this.mode) {
      case 'endpoint-independent':
        return true;
      case 'address-dependent': {
        // A caller from inside is known by the address that it presents (RFC 4787 REQ-9).
        return this.knows(facts.destinationMapping, sources.presentedAddress(facts, c));
      }
      default:
        // A packet of a known remote endpoint belongs to a session and never comes here.
        return false;
    }
  }

  /** Whether a mapping admits a remote address, -1: one that nobody knows yet. */
  knows(mapping: number, remote: number): boolean {
    if (this.mode !== 'address-dependent') return this.mode === 'endpoint-independent';
    return remote >= 0 && (this.remotes.get(keyOf(mapping, remote)) ?? 0) > 0;
  }

  /** A session of another shard's has to do with that remote, or no longer. */
  countRemote(mapping: number, remote: number, count: number): void {
    if (this.mode === 'address-dependent') this.add(mapping, remote, count);
  }

  remember(facts: SessionFacts): void {
    if (this.mode === 'address-dependent') this.count(facts, 1);
  }

  forget(facts: SessionFacts): void {
    if (this.mode === 'address-dependent') this.count(facts, -1);
  }

  /** The configuration says another mode: whom the living sessions know is counted again. */
  follow(mode: NatSettings['filtering'], sessions: SessionTable): void {
    if (mode === this.mode) return;
    this.mode = mode;
    this.remotes.clear();
    const facts = emptyFacts();
    for (const row of sessions.rowsInUse()) {
      sessions.read(row, facts);
      this.remember(facts);
    }
  }

  private count(facts: SessionFacts, count: number): void {
    if (facts.sourceMapping >= 0) this.add(facts.sourceMapping, facts.forwardDestination, count);
    if (facts.destinationMapping >= 0) this.add(facts.destinationMapping, facts.translatedSource, count);
  }

  private add(mapping: number, remote: number, count: number): void {
    const key = keyOf(mapping, remote);
    const now = (this.remotes.get(key) ?? 0) + count;
    if (now > 0) this.remotes.set(key, now);
    else this.remotes.delete(key);
  }
}

function keyOf(mapping: number, remote: number): number {
  return mapping * 0x1_0000_0000 + remote;
}
