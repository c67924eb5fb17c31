import { monotonicMs } from './clock.js';
import { HandOverError, type LeaseKeeper } from './lease-keeper.js';
import type { Peer } from './peer.js';
import { type MemberStatus, type PeerStatus, readMember } from './status.js';

/** A member that Redis has not heard of for this many leases is gone. */
const GONE_LEASES = 2;

export interface OwnIdentity {
  readonly node: string;
  readonly bootId: string;
  readonly leaseMs: number;
}

/** The other gateway of the pair, as Redis and the direct way tell of it. */
export class OtherMember {
  constructor(
    private readonly own: OwnIdentity,
    private readonly keeper: Pick<LeaseKeeper, 'members' | 'record' | 'holderIsSilent'>,
    private readonly peer: Peer,
    /** Of the direct way; null: there is none. */
    private readonly heartbeatMs: () => number | null,
  ) {}

  /** What it last said in Redis; null: nobody but this gateway ever did. */
  get reported(): { readonly node: string; readonly agoMs: number; readonly member: MemberStatus | null } | null {
    // An entry from long after now is one from before Redis' clock was set back: who lives has reported since.
    const isOfNow = (agoMs: number) => Number.isFinite(agoMs) && agoMs > -GONE_LEASES * this.own.leaseMs;
    const others = this.keeper.members.filter(({ node, agoMs }) => node !== this.own.node && isOfNow(agoMs));
    if (others.length === 0) return null;
    const { node, agoMs, status } = others.reduce((a, b) => (a.agoMs <= b.agoMs ? a : b));
    return { node, agoMs, member: readMember(status) };
  }

  /** Whether it has reported to Redis lately. */
  get reports(): boolean {
    const { reported } = this;
    return reported !== null && reported.agoMs <= GONE_LEASES * this.own.leaseMs;
  }

  /** Whether it is heard over the direct way; null: there is none. */
  get heard(): boolean | null {
    const heartbeatMs = this.heartbeatMs();
    return heartbeatMs === null ? null : this.peer.alive(monotonicMs(), heartbeatMs) !== null;
  }

  /** Another boot that lives has this node's name. */
  get hasOurName(): boolean {
    const { record } = this.keeper;
    const holds = record !== null && record.node === this.own.node && record.holder !== this.own.bootId;
    const heard = this.peer.alive(monotonicMs(), this.heartbeatMs() ?? 0);
    return (holds && !this.keeper.holderIsSilent) || (heard !== null && heard.node === this.own.node);
  }

  /** Who can be handed over to. @throws HandOverError */
  successor(): string {
    const { reported } = this;
    if (reported === null || reported.member === null || !this.reports) {
      throw new HandOverError('the other gateway does not report to Redis');
    }
    const { node, member } = reported;
    if (!member.eligible) throw new HandOverError(`node "${node}" is not eligible: ${member.reasons.join('; ')}`);
    return node;
  }

  /** Sessions that a node last said it had not yet written; null: it never said. */
  unwrittenOf(node: string): number | null {
    const found = this.keeper.members.find((entry) => entry.node === node);
    return found === undefined ? null : (readMember(found.status)?.unwritten ?? null);
  }

  status(): PeerStatus | null {
    const { reported, heard } = this;
    const direct = heard === true ? this.peer.alive(monotonicMs(), this.heartbeatMs() ?? 0) : null;
    const node = reported?.node ?? direct?.node;
    if (node === undefined) return null;
    return { node, agoMs: reported?.agoMs ?? null, member: reported?.member ?? null, heard };
  }
}
