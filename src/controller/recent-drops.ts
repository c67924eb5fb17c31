import { formatIpv4 } from '../config/address.js';
import type { ValidatedConfig } from '../config/types.js';
import { hasPorts } from '../nat/mapping-table.js';
import { emptyPacket, type MissedPacket, readMiss } from '../nat/packet.js';
import { type DropReason, DropReasonNames, EVENT_SLOT_BYTES, MissKind, NO_VNI } from '../native/records.js';
import { protocolName } from './flow-dump.js';

/** A power of two: 64 KiB of records. */
const KEPT = 1024;
const WORDS = EVENT_SLOT_BYTES / 4;

/** A packet that the NAT engine refused. */
export interface RecentDrop {
  readonly agoMs: number;
  readonly reason: string;
  readonly port: string;
  /** Null when no VPC of ours sent it. */
  readonly vpc: string | null;
  /** Null for what is not VXLAN. */
  readonly vni: number | null;
  readonly protocol: string;
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
}

/**
 * The last packets that the NAT engine refused, as their miss records told them. What the lcore drops by itself
 * (malformed, bad checksums, full rings) is only counted.
 */
export class RecentDrops {
  private readonly words = new Int32Array(KEPT * WORDS);
  private readonly reasons = new Uint8Array(KEPT);
  private count = 0;
  private readonly packet: MissedPacket = emptyPacket();

  /** @param words Of the event ring. @param at Byte offset of the MissEvent. */
  note(words: Int32Array, at: number, reason: number): void {
    const own = this.count++ & (KEPT - 1);
    const from = at >>> 2;
    for (let i = 0; i < WORDS; i++) this.words[own * WORDS + i] = words[from + i];
    this.reasons[own] = reason;
  }

  /** @returns Those not older than so many seconds, youngest first, at most `most`. */
  list(config: ValidatedConfig, nowMs: number, seconds: number, most: number): RecentDrop[] {
    const found: RecentDrop[] = [];
    const { packet } = this;
    for (let i = this.count - 1; i >= Math.max(0, this.count - KEPT) && found.length < most; i--) {
      const own = i & (KEPT - 1);
      readMiss(this.words, own * EVENT_SLOT_BYTES, packet);
      const agoMs = nowMs - (packet.seconds * 1000 + packet.nanoseconds / 1e6);
      // Not the last one of that time: what waited for another shard's answer is noted behind younger ones.
      if (agoMs > seconds * 1000) continue;
      if (packet.kind === MissKind.arp) continue;
      const ports = hasPorts(packet.protocol);
      const { vni } = packet;
      found.push({
        agoMs: Math.max(0, Math.round(agoMs)),
        reason: DropReasonNames[this.reasons[own] as DropReason],
        port: config.ports[packet.port].name,
        vpc: config.vpcs.find((vpc) => vpc.vni === vni && vpc.vni >= 0)?.name ?? null,
        vni: vni === NO_VNI ? null : vni,
        protocol: protocolName(packet.protocol),
        source: { address: formatIpv4(packet.source), port: ports ? packet.sourcePort : 0 },
        destination: { address: formatIpv4(packet.destination), port: ports ? packet.destinationPort : 0 },
      });
    }
    return found;
  }
}
