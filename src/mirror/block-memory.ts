import { readEpoch } from './epoch.js';
import { isNewer } from './port-block-text.js';
import type { RememberedBlocks } from './types.js';

/** What a standby has seen of the active gateway's port blocks: read when their revision grows, kept when Redis loses it. */
export class BlockMemory {
  last: RememberedBlocks | null = null;

  /** @param read Reads all blocks. @throws what it throws */
  async see(revision: string, read: () => Promise<Readonly<Record<string, string>>>): Promise<void> {
    if (!isNewer(revision, this.last?.revision ?? '')) return;
    const blocks = await read();
    // Read after the revision, blocks may be newer than it: then they are read again.
    const epochs = new Map(Object.entries(blocks).map(([text, epoch]) => [text, readEpoch(epoch)] as const));
    this.last = { revision, epochs };
  }
}
