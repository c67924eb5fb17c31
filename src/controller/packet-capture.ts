import type { ValidatedConfig } from '../config/types.js';
import { type Dataplane, type TapFilter, TapKind } from '../native/binding.js';
import { DropReasonNames } from '../native/records.js';
import { interfaceBlock, packetBlock, sectionHeader } from './pcapng.js';

/** How often copies are fetched: 4 MiB hold what comes meanwhile at some hundred megabytes a second. */
const FETCH_MS = 20;
const HEAD_BYTES = 20;
const KINDS: Readonly<Record<number, keyof typeof TapKind>> = { 1: 'dropped', 2: 'punted', 4: 'translated' };
const SENT = TapKind.translated;

export interface CaptureEnd {
  /** Packets at most. */
  readonly packets: number;
  readonly seconds: number;
}

export type Tap = Pick<Dataplane, 'tap' | 'tapped'>;

/** The tap of a dataplane that may be closed before the capture has ended. */
export function tapOf(dataplane: Tap, isOpen: () => boolean): Tap {
  return {
    tap: (filter) => {
      if (isOpen()) dataplane.tap(filter);
    },
    tapped: () => dataplane.tapped(),
  };
}

/**
 * Copies of packets as a pcapng file: an interface a port, each packet with what became of it as its comment. Nothing is
 * held but what has come since it was last looked. Ends by itself, or when the reader goes.
 *
 * @param clockMs   Gateway clock, to tell the time of day from.
 * @param isRunning False once nobody wants more.
 */
export async function* capturePackets(
  dataplane: Tap,
  config: ValidatedConfig,
  filter: TapFilter,
  end: CaptureEnd,
  clockMs: () => number,
  isRunning: () => boolean,
): AsyncGenerator<Buffer> {
  const dayMs = Date.now() - clockMs();
  const stopMs = performance.now() + end.seconds * 1000;
  let left = end.packets;
  let lost = 0;
  dataplane.tap(filter);
  try {
    yield Buffer.concat([
      sectionHeader('sluice'),
      ...config.ports.map(({ name }) => interfaceBlock(name, filter.bytes)),
    ]);
    while (left > 0 && isRunning() && performance.now() < stopMs) {
      await new Promise((resolve) => setTimeout(resolve, FETCH_MS));
      if (!isRunning()) return;
      const found = dataplane.tapped();
      lost += found.lost;
      const blocks: Buffer[] = [];
      const { records } = found;
      for (let at = 0; at < records.length && left > 0; left--) {
        const kept = records.readUInt32LE(at);
        const frame = records.subarray(at + HEAD_BYTES, at + HEAD_BYTES + kept);
        const kind = records[at + 16];
        const what = KINDS[kind] ?? '';
        blocks.push(
          packetBlock({
            port: records[at + 17],
            nanoseconds: records.readBigUInt64LE(at + 8) + BigInt(Math.round(dayMs)) * 1_000_000n,
            frame,
            bytes: records.readUInt32LE(at + 4),
            isOutbound: kind === SENT,
            comment: kind === TapKind.dropped ? `${what}: ${DropReasonNames[records[at + 18]] ?? ''}` : what,
            lost,
          }),
        );
        lost = 0;
        at += HEAD_BYTES + kept;
      }
      if (blocks.length > 0) yield Buffer.concat(blocks);
    }
  } finally {
    dataplane.tap(null);
  }
}
