import { type BatchToAppend, runAppend } from './append-command.js';
import type { Answer } from './scripts.js';
import type { RedisConnection } from './types.js';

/** A batch on its way to a shard's log. */
export interface Append extends BatchToAppend {
  readonly epoch: number;
  /** Whether nothing would be saved by sending it together with others. */
  readonly isFull: boolean;
  /** Whether it is still to be sent. */
  isWanted(): boolean;
  answered(answer: Answer): void;
  /** No answer came: whether Redis has the batch is not known. */
  failed(error: Error): void;
}

/**
 * Sends batches. Those that are not full and come in one turn of the event loop go in one command: each command wakes
 * Redis, and its answer wakes JavaScript, which first packets wait for. A Cluster has shards on several servers, and each
 * goes alone.
 */
export class Appender {
  private waiting: Append[] = [];
  private readonly isTold = () => this.flush();

  /**
   * @param together Whether one server has all shards.
   * @param hurries  Whether somebody waits for the answers. Else the command is made once the first packets that came
   *                 while its batches were packed are answered: two short pieces of work delay fewer of them than a long one.
   */
  constructor(
    private readonly connection: RedisConnection,
    private readonly together: boolean,
    private readonly hurries: boolean,
  ) {}

  /** Batches of a shard leave in the order in which they are given. */
  send(append: Append): void {
    if (!this.together) return this.command([append]);
    // A full one must not overtake one of its shard that waits.
    if (append.isFull && !this.waiting.some(({ keys }) => keys === append.keys)) return this.command([append]);
    if (this.waiting.length === 0) {
      if (this.hurries) queueMicrotask(this.isTold);
      else setImmediate(this.isTold);
    }
    this.waiting.push(append);
  }

  private flush(): void {
    const ready = this.waiting.filter((append) => append.isWanted());
    this.waiting = [];
    // One writer has one epoch; it changes between two of them only.
    while (ready.length > 0) {
      const { epoch } = ready[0];
      const end = ready.findIndex((append) => append.epoch !== epoch);
      this.command(ready.splice(0, end < 0 ? ready.length : end));
    }
  }

  private command(appends: readonly Append[]): void {
    runAppend(this.connection, appends[0].epoch, appends).then(
      (answers) => {
        for (let i = 0; i < appends.length; i++) appends[i].answered(answers[i]);
      },
      (error: Error) => {
        for (const append of appends) append.failed(error);
      },
    );
  }
}
