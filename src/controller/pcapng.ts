/** Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian; times in nanoseconds. */

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const ETHERNET = 1;
/** Option codes; 2 is an interface's name, or a packet's flags. */
const Option = {
  end: 0,
  comment: 1,
  interfaceName: 2,
  packetFlags: 2,
  dropCount: 4,
  application: 4,
  timeResolution: 9,
} as const;
const NANOSECONDS = 9;
const INBOUND = 1;
const OUTBOUND = 2;

export interface CapturedPacket {
  /** Number of the interface block. */
  readonly port: number;
  /** Since 1970. */
  readonly nanoseconds: bigint;
  /** As far as it was kept. */
  readonly frame: Buffer;
  /** It had so many. */
  readonly bytes: number;
  readonly isOutbound: boolean;
  readonly comment: string;
  /** Packets that were not kept since the one before. */
  readonly lost: number;
}

export function sectionHeader(application: string): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(BYTE_ORDER, 0);
  body.writeUInt16LE(1, 4); // version 1.0
  body.fill(0xff, 8); // of unknown length
  return block(SECTION, [body, option(Option.application, Buffer.from(application)), endOfOptions()]);
}

/** @param snapBytes Of a frame that are kept at most. */
export function interfaceBlock(name: string, snapBytes: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(ETHERNET, 0);
  body.writeUInt32LE(snapBytes, 4);
  const resolution = option(Option.timeResolution, Buffer.of(NANOSECONDS));
  return block(INTERFACE, [body, option(Option.interfaceName, Buffer.from(name)), resolution, endOfOptions()]);
}

export function packetBlock({ port, nanoseconds, frame, bytes, isOutbound, comment, lost }: CapturedPacket): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt32LE(port, 0);
  head.writeUInt32LE(Number(nanoseconds >> 32n), 4);
  head.writeUInt32LE(Number(nanoseconds & 0xffff_ffffn), 8);
  head.writeUInt32LE(frame.length, 12);
  head.writeUInt32LE(bytes, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(isOutbound ? OUTBOUND : INBOUND);
  const options = [option(Option.comment, Buffer.from(comment)), option(Option.packetFlags, flags)];
  if (lost > 0) {
    const count = Buffer.alloc(8);
    count.writeBigUInt64LE(BigInt(lost));
    options.push(option(Option.dropCount, count));
  }
  return block(ENHANCED_PACKET, [head, padded(frame), ...options, endOfOptions()]);
}

function block(type: number, parts: readonly Buffer[]): Buffer {
  const length = 12 + parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, ...parts, tail]);
}

function option(code: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

const endOfOptions = (): Buffer => Buffer.alloc(4);

/** To whole words of 32 bits. */
function padded(bytes: Buffer): Buffer {
  return bytes.length % 4 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - (bytes.length % 4))]);
}
