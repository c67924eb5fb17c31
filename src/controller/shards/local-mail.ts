import type { DealerMessage, EngineMessage, ShardMail } from '../../nat/shards/messages.js';

/** Messages between shards of one thread: delivered when it suits, in the order in which they were sent. */
export class LocalMail implements ShardMail {
  private readonly toEngines: (shard: number, message: EngineMessage) => void;
  private readonly toTheDealer: (message: DealerMessage) => void;
  private waiting: (() => void)[] = [];

  /** @param engine Takes a message to a shard's engine. @param dealer Takes one to the dealer of ports. */
  constructor(engine: (shard: number, message: EngineMessage) => void, dealer: (message: DealerMessage) => void) {
    this.toEngines = engine;
    this.toTheDealer = dealer;
  }

  toDealer(message: DealerMessage): void {
    this.waiting.push(() => this.toTheDealer(message));
  }

  toEngine(shard: number, message: EngineMessage): void {
    this.waiting.push(() => this.toEngines(shard, message));
  }

  /** Delivers what there is, and what that leads to. */
  deliverAll(): void {
    while (this.waiting.length > 0) for (const deliver of this.waiting.splice(0)) deliver();
  }
}
