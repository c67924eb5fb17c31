import type { ValidatedConfig } from '../../config/types.js';
import { keyOf } from '../address-ports.js';
import type { Random } from '../random.js';
import { blockSizeOf } from './block-size.js';
import type { DealerMessage, ShardMail } from './messages.js';
import type { BlockOwners } from './shared-state.js';

const NOBODY = -1;

/** The ports of one address and protocol. */
interface Dealt {
  readonly protocol: number;
  readonly address: number;
  readonly first: number;
  readonly last: number;
  readonly size: number;
  /** Shard by block, or NOBODY. */
  readonly owners: Int16Array;
  /** Shards that have asked and got nothing yet. */
  waiting: { shard: number; nowSeconds: number }[];
  /** Shards that have yet to say what they give back. */
  readonly unanswered: Set<number>;
}

/**
 * Deals the external ports of a gateway with several shards, in blocks and on demand; one a gateway, on the control
 * thread. An address's ports are exhausted when no shard has a block of it in which nothing is owned or rests.
 */
export class BlockDealer {
  private readonly addresses = new Map<number, Dealt>();

  constructor(
    private readonly config: ValidatedConfig,
    private readonly owners: BlockOwners,
    private readonly mail: ShardMail,
    private readonly random: Random,
  ) {}

  receive(message: DealerMessage): void {
    const dealt = this.dealtOf(message.protocol, message.address);
    const { shard } = message;
    if (message.kind === 'gave-back') {
      this.takeBack(dealt, message.blocks);
      dealt.unanswered.delete(shard);
    } else {
      dealt.waiting.push({ shard, nowSeconds: message.nowSeconds });
      if (dealt.unanswered.size === 0 && !dealt.owners.includes(NOBODY)) this.recall(dealt, message.nowSeconds);
    }
    this.serve(dealt);
  }

  /** Those who wait get what there is; once nobody is asked any more, the others nothing. */
  private serve(dealt: Dealt): void {
    const { protocol, address, first, last, size, owners, unanswered } = dealt;
    while (dealt.waiting.length > 0) {
      const block = this.freeBlock(owners);
      const [{ shard, nowSeconds }] = dealt.waiting;
      if (block >= 0 && this.owners.set(protocol, address, block, shard)) {
        owners[block] = shard;
        const firstPort = first + block * size;
        const lastPort = Math.min(firstPort + size - 1, last);
        this.mail.toEngine(shard, { kind: 'block', protocol, address, firstPort, lastPort });
      } else if (unanswered.size > 0) return;
      else this.mail.toEngine(shard, { kind: 'no-block', protocol, address, nowSeconds });
      dealt.waiting.shift();
    }
  }

  /** Asks everybody who has a block for those that they do not need; also the one who asks, whose ports may have rested. */
  private recall({ protocol, address, owners, unanswered }: Dealt, nowSeconds: number): void {
    for (const shard of new Set(owners)) {
      unanswered.add(shard);
      this.mail.toEngine(shard, { kind: 'give-back', protocol, address, nowSeconds });
    }
  }

  private takeBack({ protocol, address, owners }: Dealt, blocks: readonly number[]): void {
    for (const block of blocks) {
      owners[block] = NOBODY;
      this.owners.clear(protocol, address, block);
    }
  }

  /** One of the free blocks by chance (RFC 6056 section 3.3), or -1. */
  private freeBlock(owners: Int16Array): number {
    const start = this.random.below(Math.max(1, owners.length));
    for (let step = 0; step < owners.length; step++) {
      const block = (start + step) % owners.length;
      if (owners[block] === NOBODY) return block;
    }
    return -1;
  }

  private dealtOf(protocol: number, address: number): Dealt {
    const key = keyOf(0, protocol, address);
    let dealt = this.addresses.get(key);
    if (dealt === undefined) {
      const pool = this.config.externalPools.find(({ ranges }) =>
        ranges.some(({ first, last }) => address >= first && address <= last),
      );
      const { first, last } = pool?.portRange ?? { first: 1, last: 0 };
      const size = blockSizeOf({ first, last }, this.config.nat.portBlockSize);
      const blocks = this.owners.begin(protocol, address, first, size) ? Math.ceil((last - first + 1) / size) : 0;
      const owners = new Int16Array(blocks).fill(NOBODY);
      dealt = { protocol, address, first, last, size, owners, waiting: [], unanswered: new Set() };
      this.addresses.set(key, dealt);
    }
    return dealt;
  }
}
