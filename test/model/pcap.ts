import { readFileSync, writeFileSync } from 'node:fs';

export interface TimedFrame {
  /** Microseconds of the gateway's clock. */
  readonly micros: number;
  readonly bytes: Buffer;
}

const GLOBAL_HEADER = Buffer.from('d4c3b2a1020004000000000000000000ffff000001000000', 'hex');

/** Writes a classic pcap, Ethernet, microseconds. */
export function writePcap(path: string, frames: readonly TimedFrame[]): void {
  const parts: Uint8Array[] = [GLOBAL_HEADER];
  for (const { micros, bytes } of frames) {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(Math.floor(micros / 1e6), 0);
    header.writeUInt32LE(micros % 1e6, 4);
    header.writeUInt32LE(bytes.length, 8);
    header.writeUInt32LE(bytes.length, 12);
    parts.push(header, bytes);
  }
  writeFileSync(path, Buffer.concat(parts));
}

export function readPcap(path: string): TimedFrame[] {
  const file = readFileSync(path);
  const frames: TimedFrame[] = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    const micros = file.readUInt32LE(at) * 1e6 + file.readUInt32LE(at + 4);
    frames.push({ micros, bytes: file.subarray(at + 16, at + 16 + length) });
    at += 16 + length;
  }
  return frames;
}
