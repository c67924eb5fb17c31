import { Command } from 'ioredis';
import type { ShardKeys } from './keys.js';
import { type Answer, APPEND, missesScript, type Script } from './scripts.js';
import type { RedisConnection } from './types.js';

/** A batch as APPEND takes it. */
export interface BatchToAppend {
  readonly keys: Pick<ShardKeys, 'fence' | 'log'>;
  readonly dataset: string;
  readonly sequence: number;
  readonly blob: Buffer;
}

/** Of a shard's keys, as they stand in a command: made once a shard. */
const encodedKeys = new WeakMap<BatchToAppend['keys'], Buffer>();
const END = Buffer.from('\r\n');
const TAKEN: Answer = [Buffer.from('OK')];

/**
 * A command that is there as bytes already. ioredis makes a string of each operand, a piece of each string, and joins
 * them: of the forty operands of eight batches, a thousand times a second, a thirtieth of the thread's time.
 */
class EncodedCommand extends Command {
  /** @param operands What a Cluster finds the slot by, and errors show. */
  constructor(
    name: string,
    operands: readonly (string | number)[],
    private readonly bytes: Buffer,
  ) {
    super(name, [...operands], { replyEncoding: null });
  }

  override toWritable(): Buffer {
    return this.bytes;
  }
}

/**
 * Runs APPEND.
 *
 * @param batches Of one server's shards; blobs are copied.
 * @returns The answer to each batch, in their order. Rejects when Redis refuses the command or no answer comes.
 */
export async function runAppend(
  connection: RedisConnection,
  epoch: number,
  batches: readonly BatchToAppend[],
): Promise<readonly Answer[]> {
  let reply: unknown;
  try {
    reply = await connection.sendCommand(commandOf('EVALSHA', APPEND, epoch, batches));
  } catch (error) {
    if (!missesScript(error)) throw error;
    reply = await connection.sendCommand(commandOf('EVAL', APPEND, epoch, batches));
  }
  return Array.isArray(reply) ? reply : batches.map(() => TAKEN);
}

function commandOf(
  name: 'EVAL' | 'EVALSHA',
  { sha, text }: Script,
  epoch: number,
  batches: readonly BatchToAppend[],
): Command {
  const script = name === 'EVAL' ? text : sha;
  const { fence, log } = batches[0].keys;
  const bytes = encode(name, script, epoch, batches);
  return new EncodedCommand(name.toLowerCase(), [script, 2, fence, log], bytes);
}

/** The command in RESP: operands with their lengths, one after the other. */
function encode(name: string, script: string, epoch: number, batches: readonly BatchToAppend[]): Buffer {
  const operands = 4 + 5 * batches.length;
  const head = `*${operands}\r\n${bulk(name)}${bulk(script)}${bulk(String(2 * batches.length))}`;
  const middle = bulk(String(epoch));
  const heads: string[] = [];
  let length = head.length + middle.length;
  for (const { keys, dataset, sequence, blob } of batches) {
    const own = `${bulk(dataset)}${bulk(String(sequence))}$${blob.length}\r\n`;
    heads.push(own);
    length += bytesOf(keys).length + own.length + blob.length + END.length;
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = bytes.write(head, 0, 'latin1');
  for (const { keys } of batches) at += bytesOf(keys).copy(bytes, at);
  at += bytes.write(middle, at, 'latin1');
  for (let i = 0; i < batches.length; i++) {
    at += bytes.write(heads[i], at, 'latin1');
    at += batches[i].blob.copy(bytes, at);
    at += END.copy(bytes, at);
  }
  return bytes;
}

function bytesOf(keys: BatchToAppend['keys']): Buffer {
  let bytes = encodedKeys.get(keys);
  if (bytes === undefined) {
    // A group's name may be of any letters.
    const parts = [keys.fence, keys.log].map((key) => `$${Buffer.byteLength(key)}\r\n${key}\r\n`);
    bytes = Buffer.from(parts.join(''));
    encodedKeys.set(keys, bytes);
  }
  return bytes;
}

/** @param text ASCII. */
function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}
