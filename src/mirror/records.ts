// Generated from schemas/mirror-records.json by scripts/generate-records.mjs. Do not edit.

/** What a record says of the session of its row and generation. */
export const MirrorOp = {
  none: 0,
  session: 1,
  end: 2,
} as const;
export type MirrorOp = (typeof MirrorOp)[keyof typeof MirrorOp];
export const MirrorOpNames: readonly string[] = [
  'none',
  'session',
  'end',
];

/** Where a batch stands: an entry of a shard's log, or a chunk of its snapshot. */
export const BatchKind = {
  none: 0,
  log: 1,
  snapshot: 2,
} as const;
export type BatchKind = (typeof BatchKind)[keyof typeof BatchKind];
export const BatchKindNames: readonly string[] = [
  'none',
  'log',
  'snapshot',
];

/** Format of batches and records that this version writes. */
export const MIRROR_FORMAT = 1;
/** The oldest format that this version reads; it reads no newer one than its own. */
export const OLDEST_FORMAT = 1;
/** First word of a batch: `SLMR`. */
export const MIRROR_MAGIC = 1380797523;
/** Records of a batch at most. */
export const MOST_RECORDS = 256;
/** Record flag: the inside host is the initiator. */
export const RECORD_INSIDE_INITIATED = 1;
/** Record flag: the source is translated by a dynamic mapping. */
export const RECORD_SOURCE_MAPPING = 2;
/** Record flag: the destination is behind a dynamic mapping. */
export const RECORD_DESTINATION_MAPPING = 4;
/** Record flag: the source's mapping is a peering one, towards the destination's VPC. */
export const RECORD_SOURCE_PEERING = 8;
/** Record flag: the destination's mapping is a peering one, towards the source's VPC. */
export const RECORD_DESTINATION_PEERING = 16;
/** Record flag: the source's mapping is this session's alone (address-and-port-dependent mapping). */
export const RECORD_SOURCE_ALONE = 32;
/** Record flag: new sessions do not find the source's mapping. */
export const RECORD_SOURCE_RETIRED = 64;
/** Record flag: new sessions do not find the destination's mapping. */
export const RECORD_DESTINATION_RETIRED = 128;
/** Context of the outside. */
export const RECORD_OUTSIDE = 65535;
/** Context of a peer gateway, added to its rank. */
export const RECORD_PEER = 32768;
/** Idle time of a direction that has had no packet. */
export const NO_IDLE = 65535;
/** Idle times of a record saturate here, seconds. */
export const MOST_IDLE = 65534;

/** Head of a batch; records follow. Offsets in bytes. */
export const MirrorBatch = {
  size: 64,
  magic: 0,
  /** CRC32C (RFC 3720 appendix B.4) of everything behind this field, records included. */
  crc: 4,
  format: 8,
  /** BatchKind. */
  kind: 10,
  shard: 11,
  /** Records, 1..MOST_RECORDS. */
  count: 12,
  recordBytes: 14,
  epoch: 16,
  /** log: `crc` of the batch before in this dataset, 0 in its first one. snapshot: of the chunk before. */
  previousCrc: 20,
  datasetLow: 24,
  datasetHigh: 28,
  /** log: of the batch. snapshot: number of the chunk. */
  sequenceLow: 32,
  sequenceHigh: 36,
  /** snapshot: which one of the epoch. */
  generation: 40,
  /** Writer's calendar clock, seconds of Unix time. For display alone: nothing is decided by it. */
  writtenSeconds: 44,
} as const;

/** One session, or its end. VPCs and peer gateways stand as their rank: their place among the configuration's names in the order of UTF-16 code units. Offsets in bytes. */
export const MirrorRecord = {
  size: 64,
  /** MirrorOp. end: only row, generation and version count. */
  op: 0,
  protocol: 1,
  sessionClass: 2,
  tcpState: 3,
  /** RECORD_*. */
  flags: 4,
  /** Since the TCP state's timer (re)started. */
  stateSeconds: 6,
  /** In the writer's table. Its rest by the number of shards is the shard. */
  row: 8,
  /** Of the row: a higher one (by difference modulo 2^32) is a later session, which ends the one before. */
  generation: 12,
  /** The order in which the writer wrote records, over all shards: the newer one of two that contradict each other is true. */
  versionLow: 16,
  versionHigh: 20,
  /** Seconds since the last packet of the initiator's direction. */
  idleForward: 22,
  forwardSource: 24,
  forwardDestination: 28,
  translatedSource: 32,
  translatedDestination: 36,
  /** ICMP: the identifier, in both ports. */
  forwardDestinationPort: 40,
  forwardSourcePort: 42,
  translatedDestinationPort: 44,
  translatedSourcePort: 46,
  /** Rank of a VPC, RECORD_PEER + rank of a peer gateway, or RECORD_OUTSIDE. */
  forwardContext: 48,
  reverseContext: 50,
  /** Rank of the inside host's VPC. */
  vpc: 52,
  /** Rank + 1; 0: the outside. */
  destinationVpc: 54,
  ageSeconds: 56,
  /** NO_IDLE: no answer yet. */
  idleReverse: 60,
} as const;
