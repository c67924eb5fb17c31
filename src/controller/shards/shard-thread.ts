import { type MessagePort, Worker } from 'node:worker_threads';
import type {
  EngineAnswer,
  EngineRequest,
  FollowStep,
  FromShard,
  RuleStep,
  ShardMeasures,
  ShardStart,
  StepAnswer,
  ToShard,
} from './messages.js';

/** How long a worker may take to stop its lcore before it is ended. */
const PATIENCE_MS = 3000;

interface Waiting {
  resolve(answer: never): void;
  reject(fault: Error): void;
}

/** The control thread's side of one shard's worker. */
export class ShardThread {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private readonly stages = new Map<FromShard['kind'], Waiting>();
  private closing = false;
  /** Why it has ended; null: it has not, or was to. */
  private fault: Error | null = null;
  /** Packets may come. @throws What it ended with */
  readonly ready: Promise<void>;

  /**
   * @param file     What it runs.
   * @param transfer Ports of `start`.
   * @param onTold   Given what it says without having been asked.
   * @param onDeath  Called when it ends and was not to.
   */
  constructor(
    file: string,
    start: ShardStart,
    transfer: readonly MessagePort[],
    private readonly onTold: (message: FromShard) => void,
    private readonly onDeath: (fault: Error) => void,
  ) {
    this.worker = new Worker(file, { workerData: start, transferList: [...transfer], name: `shard ${start.index}` });
    this.worker.on('message', (message: FromShard) => this.receive(message));
    this.worker.on('error', (error: Error) => this.die(error));
    this.worker.on('exit', (code) => this.die(new Error(`its thread has ended with ${code}`)));
    this.ready = this.awaits('ready');
    // Whoever waits for it may come later.
    this.ready.catch(() => undefined);
  }

  /** Its lcore runs. @throws What it ended with */
  start(): Promise<void> {
    const started = this.awaits('started');
    this.send({ kind: 'start' });
    return started;
  }

  send(message: ToShard): void {
    this.worker.postMessage(message);
  }

  ask(request: EngineRequest): Promise<EngineAnswer> {
    return this.question((id) => this.send({ kind: 'ask', id, request }));
  }

  measure(): Promise<ShardMeasures> {
    return this.question((id) => this.send({ kind: 'measure', id }));
  }

  /** One step of what all engines do together. */
  lead<T extends StepAnswer>(step: FollowStep | RuleStep): Promise<T> {
    return this.question((id) => this.send({ kind: 'lead', id, step }));
  }

  /** Stops its lcore and ends it. */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    if (this.fault === null) {
      const closed = new Promise<void>((resolve) => {
        this.stages.set('closed', { resolve: () => resolve(), reject: () => resolve() });
        this.worker.once('exit', () => resolve());
        setTimeout(resolve, PATIENCE_MS).unref();
      });
      this.send({ kind: 'close' });
      await closed;
    }
    await this.worker.terminate();
    this.giveUp(new Error('the gateway ends'));
  }

  private awaits(stage: 'ready' | 'started'): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.fault !== null) return reject(this.fault);
      this.stages.set(stage, { resolve: () => resolve(), reject });
    });
  }

  private question<T>(ask: (id: number) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.fault !== null || this.closing) return reject(this.fault ?? new Error('the gateway ends'));
      const id = ++this.lastId;
      this.waiting.set(id, { resolve, reject });
      ask(id);
    });
  }

  private receive(message: FromShard): void {
    switch (message.kind) {
      case 'ready':
      case 'started':
      case 'closed':
        return this.stages.get(message.kind)?.resolve(undefined as never);
      case 'answer':
      case 'measures':
      case 'led':
        return this.take(message.id)?.resolve(message.answer as never);
      case 'failed':
        return this.take(message.id)?.reject(new Error(message.message));
      default:
        return this.onTold(message);
    }
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private die(fault: Error): void {
    if (this.closing || this.fault !== null) return;
    this.fault = fault;
    this.giveUp(fault);
    this.onDeath(fault);
  }

  private giveUp(fault: Error): void {
    for (const { reject } of [...this.waiting.values(), ...this.stages.values()]) reject(fault);
    this.waiting.clear();
    this.stages.clear();
  }
}
