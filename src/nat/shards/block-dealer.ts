import type { ExternalPool, ValidatedConfig } from '../../config/types.js';
import { keyOf } from '../address-ports.js';
import type { Random } from '../random.js';
import { blockSizeOf } from './block-size.js';
import type { DealtBlocks, HeldPorts } from './following.js';
import type { DealerMessage, ShardMail } from './messages.js';
import type { BlockOwners } from './shared-state.js';

const NOBODY = -1;

/** The ports of one address and protocol. */
interface Dealt {
  readonly protocol: number;
  readonly address: number;
  /** Of a block. */
  readonly size: number;
  /** Number of the first block that has ports of the pool. */
  readonly firstBlock: number;
  /** Shard by block from `firstBlock` on, or NOBODY. */
  readonly owners: Int16Array;
  /** Blocks by number in which ports are owned or rest that the pool had once. */
  readonly outside: readonly (readonly [number, number])[];
  /** Shards that have asked and got nothing yet. */
  waiting: { shard: number; nowSeconds: number }[];
  /** Shards that have yet to say what they give back. */
  readonly unanswered: Set<number>;
}

/** Who has which ports of one address: owned, or resting. */
interface Held {
  readonly protocol: number;
  readonly address: number;
  readonly ports: { readonly shard: number; readonly ports: Uint16Array }[];
}

/**
 * Deals the external ports of a gateway with several shards, in blocks and on demand; one a gateway, on the control
 * thread. An address's ports are exhausted when no shard has a block of it in which nothing is owned or rests.
 */
export class BlockDealer {
  private addresses = new Map<number, Dealt>();

  constructor(
    private config: ValidatedConfig,
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

  /**
   * The configuration has changed while all engines stand still: who has ports of a block keeps it, and all others are
   * nobody's. What was under way to engines and from them counts no more.
   *
   * @param held By shard. @returns By shard, what it has from now on. @throws RangeError, and nothing has changed
   */
  follow(config: ValidatedConfig, held: readonly (readonly HeldPorts[])[]): DealtBlocks[][] {
    const next = new Map<number, Dealt>();
    for (const one of heldByAddress(held))
      next.set(keyOf(0, one.protocol, one.address), dealAgain(one, poolOf(config, one.address), config));
    const entries = [...next.values()].flatMap((dealt) => [...blocksOf(dealt)].length + 1);
    if (!this.owners.hasRoomFor(entries.reduce((sum, count) => sum + count, 0)))
      throw new RangeError('more blocks of ports are in use than shards can share (give pools more ports each)');
    this.owners.together(() => {
      for (const dealt of this.addresses.values()) this.forget(dealt);
      for (const dealt of next.values()) {
        this.owners.begin(dealt.protocol, dealt.address, 0, dealt.size);
        for (const [block, shard] of blocksOf(dealt)) this.owners.set(dealt.protocol, dealt.address, block, shard);
      }
    });
    this.config = config;
    this.addresses = next;
    return held.map((_, shard) => [...next.values()].map((dealt) => dealtTo(dealt, shard)));
  }

  /** Of addresses that are in no pool only those still count. */
  keepOnly(addresses: readonly number[]): void {
    const kept = new Set(addresses);
    for (const [key, dealt] of this.addresses) {
      if (kept.has(dealt.address) || poolOf(this.config, dealt.address) !== undefined) continue;
      this.forget(dealt);
      this.addresses.delete(key);
    }
  }

  /** Those who wait get what there is; once nobody is asked any more, the others nothing. */
  private serve(dealt: Dealt): void {
    const { protocol, address, firstBlock, size, owners, unanswered } = dealt;
    while (dealt.waiting.length > 0) {
      const index = this.freeBlock(owners);
      const block = firstBlock + index;
      const [{ shard, nowSeconds }] = dealt.waiting;
      if (index >= 0 && this.owners.set(protocol, address, block, shard)) {
        owners[index] = shard;
        const firstPort = block * size;
        this.mail.toEngine(shard, { kind: 'block', protocol, address, firstPort, lastPort: firstPort + size - 1 });
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

  private takeBack({ protocol, address, firstBlock, owners }: Dealt, blocks: readonly number[]): void {
    for (const block of blocks) {
      owners[block - firstBlock] = NOBODY;
      this.owners.clear(protocol, address, block);
    }
  }

  private forget(dealt: Dealt): void {
    for (const [block] of blocksOf(dealt)) this.owners.clear(dealt.protocol, dealt.address, block);
    this.owners.end(dealt.protocol, dealt.address);
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
      dealt = dealAgain({ protocol, address, ports: [] }, poolOf(this.config, address), this.config);
      const hasRoom = this.owners.begin(protocol, address, 0, dealt.size);
      if (!hasRoom) dealt = { ...dealt, owners: new Int16Array(0) };
      this.addresses.set(key, dealt);
    }
    return dealt;
  }
}

function poolOf({ externalPools }: ValidatedConfig, address: number) {
  return externalPools.find(({ ranges }) => ranges.some(({ first, last }) => address >= first && address <= last));
}

function heldByAddress(held: readonly (readonly HeldPorts[])[]): Iterable<Held> {
  const all = new Map<number, Held>();
  for (const [shard, list] of held.entries()) {
    for (const { protocol, address, ports } of list) {
      const key = keyOf(0, protocol, address);
      const one = all.get(key) ?? { protocol, address, ports: [] };
      one.ports.push({ shard, ports });
      all.set(key, one);
    }
  }
  return all.values();
}

/** Blocks of the size that the pool should have, or as much smaller ones that none has ports of two shards. */
function dealAgain({ protocol, address, ports }: Held, pool: ExternalPool | undefined, config: ValidatedConfig): Dealt {
  const { first, last } = pool?.portRange ?? { first: 1, last: 0 };
  let size = pool === undefined ? 1 : blockSizeOf({ first, last }, config.nat.portBlockSize);
  let shardOf = ownersBySize(ports, size);
  while (shardOf === null) {
    size /= 2;
    shardOf = ownersBySize(ports, size);
  }
  const firstBlock = Math.floor(first / size);
  const owners = new Int16Array(pool === undefined ? 0 : Math.floor(last / size) - firstBlock + 1).fill(NOBODY);
  const outside: [number, number][] = [];
  for (const [block, shard] of shardOf) {
    if (block >= firstBlock && block < firstBlock + owners.length) owners[block - firstBlock] = shard;
    else outside.push([block, shard]);
  }
  return { protocol, address, size, firstBlock, owners, outside, waiting: [], unanswered: new Set() };
}

/** @returns Shard by number of the block, null: one has ports of two shards, which never happens with blocks of one port. */
function ownersBySize(all: Held['ports'], size: number): Map<number, number> | null {
  const owners = new Map<number, number>();
  for (const { shard, ports } of all) {
    for (const port of ports) {
      const block = Math.floor(port / size);
      if ((owners.get(block) ?? shard) !== shard && size > 1) return null;
      owners.set(block, shard);
    }
  }
  return owners;
}

/** Block and shard of all that are somebody's. */
function* blocksOf({ firstBlock, owners, outside }: Dealt): Generator<readonly [number, number]> {
  for (let index = 0; index < owners.length; index++)
    if (owners[index] !== NOBODY) yield [firstBlock + index, owners[index]];
  yield* outside;
}

function dealtTo(dealt: Dealt, shard: number): DealtBlocks {
  const { protocol, address, size } = dealt;
  const blocks = [...blocksOf(dealt)].filter(([, owner]) => owner === shard).map(([block]) => block);
  return { protocol, address, size, blocks };
}
