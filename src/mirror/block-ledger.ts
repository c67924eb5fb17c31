import { blockText, isNewer, readBlock } from './port-block-text.js';
import { RELEASE_BLOCKS, RESERVE_BLOCKS, Reply, type Script, verdictOf, WRITE_BLOCKS } from './scripts.js';
import type { ForeignBlock, PortBlock, RememberedBlocks } from './types.js';

export interface LedgerAccess {
  readonly epoch: () => number;
  /** Runs a script on the group's owner and blocks until there is an answer; epoch, writer and revision go first. */
  readonly insist: (
    script: Script,
    revision: string,
    args: readonly (string | number)[],
  ) => Promise<readonly (Buffer | number)[]>;
  /** `{G}:blocks` and the revision in `{G}:owner`. */
  readonly read: () => Promise<{ revision: string; blocks: Readonly<Record<string, string>> }>;
}

/**
 * Which epoch owns which port block, as this writer has told Redis. Each change has a revision, which stands beside the
 * blocks: a Redis that shows another one has lost some, and gets all of them again.
 */
export class BlockLedger {
  /** Epoch by the block's text: what Redis should hold. */
  private readonly held = new Map<string, number>();
  private changes = 0;
  /** Last revision that Redis has acknowledged; empty: this writer has written none. */
  private acknowledged = '';
  private inFlight = 0;
  /** Times that Redis was found to have lost blocks. */
  restored = 0;

  constructor(private readonly access: LedgerAccess) {}

  async reserve(blocks: readonly PortBlock[]): Promise<number | null> {
    if (blocks.length === 0) return null;
    const texts = blocks.map(blockText);
    const reply = await this.write(RESERVE_BLOCKS, texts);
    if (verdictOf(reply) === Reply.duplicate) return Number(reply[1]);
    for (const text of texts) this.held.set(text, this.access.epoch());
    return null;
  }

  async release(blocks: readonly PortBlock[]): Promise<void> {
    if (blocks.length === 0) return;
    const texts = blocks.map(blockText);
    await this.write(RELEASE_BLOCKS, texts);
    for (const text of texts) this.held.delete(text);
  }

  async take(blocks: readonly PortBlock[]): Promise<void> {
    if (blocks.length === 0) return;
    for (const block of blocks) this.held.set(blockText(block), this.access.epoch());
    await this.writeAll();
  }

  async foreign(remembered: RememberedBlocks | null): Promise<readonly ForeignBlock[]> {
    const { revision, blocks } = await this.access.read();
    this.held.clear();
    for (const [text, epoch] of Object.entries(blocks)) this.held.set(text, Number(epoch));
    if (remembered !== null && isNewer(remembered.revision, revision)) {
      for (const [text, epoch] of remembered.epochs) if (!this.held.has(text)) this.held.set(text, epoch);
      await this.writeAll();
    }
    return [...this.held].flatMap(([text, epoch]) => {
      const block = readBlock(text);
      return block === null || epoch === this.access.epoch() ? [] : { block, epoch };
    });
  }

  /** What Redis shows can be judged by compare() later, unless something is under way now. @returns Null: it cannot. */
  expectation(): string | null {
    return this.inFlight > 0 || this.acknowledged === '' ? null : this.acknowledged;
  }

  /** @param expected Of before Redis was asked. */
  async compare(expected: string | null, revision: string): Promise<void> {
    if (expected === null || expected !== this.expectation() || revision === expected) return;
    this.restored++;
    await this.writeAll();
  }

  private writeAll(): Promise<unknown> {
    return this.write(WRITE_BLOCKS, [...this.held].flat());
  }

  private async write(script: Script, args: readonly (string | number)[]) {
    const revision = `${this.access.epoch()}.${++this.changes}`;
    this.inFlight++;
    try {
      const reply = await this.access.insist(script, revision, args);
      if (verdictOf(reply) === Reply.ok) this.acknowledged = revision;
      return reply;
    } finally {
      this.inFlight--;
    }
  }
}
