import type { DropReason } from '../../native/records.js';

// What engines of shards and the dealer of ports say to each other: plain data, in order from one to another.

/** To the dealer. */
export type DealerMessage =
  /** An engine has no port of the address left. */
  | { kind: 'ask-block'; shard: number; protocol: number; address: number; nowSeconds: number }
  /** Answers `give-back`: blocks, by number, in which nothing was owned or rested. */
  | { kind: 'gave-back'; shard: number; protocol: number; address: number; blocks: number[] };

/** To an engine. */
export type EngineMessage =
  /** Answers `ask-block`. */
  | { kind: 'block'; protocol: number; address: number; firstPort: number; lastPort: number }
  /** Answers `ask-block`: every port of the address is owned or rests. */
  | { kind: 'no-block'; protocol: number; address: number; nowSeconds: number }
  /** Blocks in which nothing is owned or rests are to be given back. */
  | { kind: 'give-back'; protocol: number; address: number; nowSeconds: number }
  | AskDestination
  | AskSource
  | EndAnswer
  /** A session of the asker's opened with an end that was answered. @see EndAnswer */
  | { kind: 'used'; handle: number; remote: number }
  /** It has ended, or did not open. */
  | { kind: 'leave'; handle: number; untilSeconds: number }
  /** An ARP sender was seen, by whichever shard gets what is to the gateway itself. */
  | { kind: 'neighbour'; port: number; address: number; mac: number };

/** Who is behind a public endpoint that a host of the asker calls? */
export interface AskDestination {
  readonly kind: 'ask-destination';
  readonly from: number;
  readonly id: number;
  readonly protocol: number;
  readonly address: number;
  readonly port: number;
  /** Address that the caller presents, -1: none yet. */
  readonly presented: number;
}

/** What public source does a host of yours get that calls a host of mine? */
export interface AskSource {
  readonly kind: 'ask-source';
  readonly from: number;
  readonly id: number;
  readonly protocol: number;
  readonly vpc: number;
  readonly source: number;
  readonly sourcePort: number;
  /** Where replies come from. */
  readonly reverseContext: number;
  readonly remote: number;
  readonly remotePort: number;
  readonly nowSeconds: number;
}

/** The other end of a hairpin. */
export interface EndAnswer {
  readonly kind: 'end';
  readonly id: number;
  readonly side: 'source' | 'destination';
  /** `none`: `handle` is held until a `leave`. */
  readonly reason: DropReason;
  readonly handle: number;
  /** Who has the mapping, and its ends. */
  readonly vpc: number;
  readonly insideAddress: number;
  readonly insidePort: number;
  readonly publicAddress: number;
  readonly publicPort: number;
  /** Destination: whether the mapping's filter admits the caller. */
  readonly admitted: boolean;
  /** Source: what it presented before it asked, -1: nothing. */
  readonly presented: number;
}

/** Carries messages; those from one to another arrive in their order. */
export interface ShardMail {
  toDealer(message: DealerMessage): void;
  toEngine(shard: number, message: EngineMessage): void;
}
