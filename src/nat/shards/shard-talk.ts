import type { EngineParts } from '../engine-parts.js';
import type { SessionEnds } from '../session-ends.js';
import { HairpinEnds } from './hairpin-ends.js';
import type { EngineMessage } from './messages.js';
import type { Shard } from './shard.js';
import type { ShardOpening } from './shard-opening.js';

/** What one of several engines is told by the others and by the dealer of ports. */
export class ShardTalk {
  readonly hairpins: HairpinEnds;

  constructor(
    parts: EngineParts,
    private readonly shard: Shard,
    private readonly opening: ShardOpening,
    private readonly ends: SessionEnds,
  ) {
    this.hairpins = new HairpinEnds(parts, shard);
  }

  receive(message: Exclude<EngineMessage, { kind: 'neighbour' }>): void {
    switch (message.kind) {
      case 'block':
        return this.shard.pools.ports.onBlock(message);
      case 'no-block':
        return this.shard.pools.ports.onNoBlock(message);
      case 'give-back':
        return this.shard.pools.ports.onGiveBack(message);
      case 'ask-destination':
        return this.hairpins.onAskDestination(message);
      case 'ask-source':
        return this.hairpins.onAskSource(message);
      case 'end':
        return this.opening.onEnd(message);
      case 'used':
        return this.hairpins.onUsed(message.handle, message.remote);
      case 'leave':
        return this.ends.askStrangers(this.hairpins.onLeave(message.handle, message.untilSeconds));
    }
  }
}
