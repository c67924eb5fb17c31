import type { ValidatedConfig } from '../config/types.js';

/**
 * The VNIs that lead somewhere, as the lcore sees them: it holds no fragment of any other, which would wait for a first
 * one in vain. One bit each, in memory that both share; a bit changes at once and by itself.
 */
export class KnownVnis {
  private readonly bits: Uint8Array;
  private known: readonly number[] = [];

  /** @param memory Dataplane.vnis */
  constructor(memory: ArrayBuffer) {
    this.bits = new Uint8Array(memory);
  }

  /** VNIs of VPCs here and of peer gateways; those of an earlier configuration alone are forgotten. */
  follow(config: ValidatedConfig): void {
    const local = config.vpcs.filter(({ remoteGateway }) => remoteGateway < 0);
    const next = [...local, ...config.peerGateways].map(({ vni }) => vni);
    for (const vni of next) this.bits[vni >>> 3] |= 1 << (vni & 7);
    const stay = new Set(next);
    for (const vni of this.known) if (!stay.has(vni)) this.bits[vni >>> 3] &= ~(1 << (vni & 7));
    this.known = next;
  }
}
