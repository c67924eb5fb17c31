import { InvalidArgumentError } from 'commander';
import { MOST_SHARDS } from '../native/binding.js';

/** @throws InvalidArgumentError unless it is 1..MOST_SHARDS */
export function parseShards(text: string): number {
  const shards = Number(text);
  if (!Number.isInteger(shards) || shards < 1 || shards > MOST_SHARDS)
    throw new InvalidArgumentError(`expected 1..${MOST_SHARDS}.`);
  return shards;
}
