import { readEpoch } from './epoch.js';
import { blockText, isNewer, readBlock } from './port-block-text.js';
import { RELEASE_BLOCKS, RESERVE_BLOCKS, Reply, type Script, verdictOf, WRITE_BLOCKS } from './scripts.js';
import type { ForeignBlock, PortBlock, RememberedBlocks } from './types.js';

export interface LedgerAccess {
  readonly epoch: () => number;
  /** Runs a script on the group's owner and blocks until there is an answer; epoch and writer go first. */
  readonly insist: (script: Script, args: readonly (string | number)[]) => Promise<readonly (Buffer | number)[]>;
  /** `{G}:blocks` and the revision in `{G}:owner`. */
  readonly read: () => Promise<{ revision: string; blocks: Readonly<Record<string, string>> }>;
}

/**
 * Which epoch owns which port block, as this writer has told Redis. Each change has a revision, which stands beside the
 * blocks and names the one before: a Redis that shows another one has lost some, and gets all of them again. One change
 * is under way at a time.
 */
export class BlockLedger {
  /** Epoch by the block's text: what Redis should hold. */
  private readonly held = new Map<string, number>();
  private changes = 0;
  /** That Redis should show. */
  private revision = '';
  private waiting = 0;
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly access: LedgerAccess) {}

  async reserve(blocks: readonly PortBlock[]): Promise<number | null> {
    if (blocks.length === 0) return null;
    const texts = blocks.map(blockText);
    return this.inTurn(async () => {
      const reply = await this.write(RESERVE_BLOCKS, texts);
      const verdict = verdictOf(reply);
      if (verdict === Reply.duplicate) return Number(reply[1]);
      const others = texts.filter((text) => (this.held.get(text) ?? this.access.epoch()) !== this.access.epoch());
      if (others.length > 0) return this.held.get(others[0]) ?? 0;
      for (const text of texts) this.held.set(text, this.access.epoch());
      if (verdict === Reply.gap) await this.writeAll();
      return null;
    });
  }

  async release(blocks: readonly PortBlock[]): Promise<void> {
    if (blocks.length === 0) return;
    const texts = blocks.map(blockText);
    await this.inTurn(async () => {
      const reply = await this.write(RELEASE_BLOCKS, texts);
      for (const text of texts) this.held.delete(text);
      if (verdictOf(reply) === Reply.gap) await this.writeAll();
    });
  }

  async take(blocks: readonly PortBlock[]): Promise<void> {
    if (blocks.length === 0) return;
    await this.inTurn(() => {
      for (const block of blocks) this.held.set(blockText(block), this.access.epoch());
      return this.writeAll();
    });
  }

  async foreign(remembered: RememberedBlocks | null): Promise<readonly ForeignBlock[]> {
    const { revision, blocks } = await this.access.read();
    this.held.clear();
    this.revision = revision;
    for (const [text, epoch] of Object.entries(blocks)) this.held.set(text, readEpoch(epoch));
    if (remembered !== null && isNewer(remembered.revision, revision)) {
      for (const [text, epoch] of remembered.epochs) if (!this.held.has(text)) this.held.set(text, epoch);
      await this.inTurn(() => this.writeAll());
    }
    return [...this.held].flatMap(([text, epoch]) => {
      const block = readBlock(text);
      return block === null || epoch === this.access.epoch() ? [] : { block, epoch };
    });
  }

  /** What Redis shows can be judged by compare() later, unless something is under way now. @returns Null: it cannot. */
  expectation(): string | null {
    return this.waiting > 0 || this.changes === 0 ? null : this.revision;
  }

  /** @param expected Of before Redis was asked. */
  async compare(expected: string | null, revision: string): Promise<void> {
    if (expected === null || expected !== this.expectation() || revision === expected) return;
    await this.inTurn(() => this.writeAll());
  }

  private inTurn<T>(change: () => Promise<T>): Promise<T> {
    this.waiting++;
    const done = this.last.then(change).finally(() => this.waiting--);
    this.last = done.catch(() => undefined);
    return done;
  }

  private async writeAll(): Promise<void> {
    await this.write(WRITE_BLOCKS, [...this.held].flat());
  }

  private async write(script: Script, args: readonly (string | number)[]) {
    const revision = `${this.access.epoch()}.${++this.changes}`;
    const reply = await this.access.insist(script, [revision, this.revision, ...args]);
    if (verdictOf(reply) === Reply.ok) this.revision = revision;
    return reply;
  }
}
