import { createHash } from 'node:crypto';
import type { RedisConnection } from '../mirror/types.js';
import { LEASE_SCRIPT } from './lease-script.js';

/** Who holds the lease, as Redis says. */
export interface LeaseRecord {
  /** Boot of a gateway; empty: there is no record. */
  readonly holder: string;
  readonly node: string;
  /** 0: there is no record. */
  readonly epoch: number;
  /** Anew with each renewal. */
  readonly beat: string;
  /** By Redis' clock; negative: over. */
  readonly leftMs: number;
  /** Node that may take it at once; `*`: any; empty: none. */
  readonly successor: string;
}

/** What a member of the pair last said of itself. */
export interface MemberEntry {
  readonly node: string;
  /** By Redis' clock. */
  readonly agoMs: number;
  readonly status: string;
}

export type LeaseCode = 'OK' | 'RESTORED' | 'FENCED' | 'TAKEN' | 'CHANGED' | 'STALE';

export interface LeaseReply {
  readonly code: LeaseCode;
  readonly record: LeaseRecord;
  readonly members: readonly MemberEntry[];
}

/** Who asks: a boot of a node. */
export interface LeaseOwner {
  readonly holder: string;
  readonly node: string;
}

const DIGEST = createHash('sha1').update(LEASE_SCRIPT).digest('hex');

export function leaseKey(group: string): string {
  return `{${group}}:lease`;
}

/** Channel on which changes of owner are told at once. */
export function leaseChannel(group: string): string {
  return `{${group}}:lease-changes`;
}

/** The lease's script on one connection. Each call rejects when Redis refuses or the connection is gone; it may have run. */
export class LeaseStore {
  private readonly keys: readonly string[];
  private readonly channel: string;

  constructor(
    private readonly connection: RedisConnection,
    group: string,
    private readonly owner: LeaseOwner,
    private readonly leaseMs: number,
  ) {
    this.keys = [leaseKey(group), `{${group}}:members`];
    this.channel = leaseChannel(group);
  }

  /** Reads the lease and says how this node is. */
  observe(status: string): Promise<LeaseReply> {
    return this.call('observe', 0, '', status);
  }

  /** @param beat Never used before by this holder. */
  renew(epoch: number, beat: string, status: string): Promise<LeaseReply> {
    return this.call('renew', epoch, beat, status);
  }

  /** @param seen The record it is to be taken from. @param waited Whether that record has been silent for a whole lease, by this node's own clock. */
  acquire(epoch: number, beat: string, seen: LeaseRecord, waited: boolean, status: string): Promise<LeaseReply> {
    const given = [seen.holder, String(seen.epoch), seen.beat, waited ? 'waited' : '', this.channel];
    return this.call('acquire', epoch, beat, status, given);
  }

  /** Lets a node have the lease before its end. The deadline stands. @param successor `*`: whoever comes first. */
  release(epoch: number, successor: string, status: string): Promise<LeaseReply> {
    return this.call('release', epoch, '', status, [successor, this.channel]);
  }

  private async call(
    operation: string,
    epoch: number,
    beat: string,
    status: string,
    more: readonly string[] = [],
  ): Promise<LeaseReply> {
    const { holder, node } = this.owner;
    const fixed = [operation, holder, node, String(epoch), String(this.leaseMs), beat, status];
    const words = [...this.keys, ...fixed, ...more];
    let reply: unknown;
    try {
      reply = await this.connection.evalsha(DIGEST, this.keys.length, ...words);
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      reply = await this.connection.eval(LEASE_SCRIPT, this.keys.length, ...words);
    }
    return readReply(reply as readonly (string | number)[]);
  }
}

function readReply(reply: readonly (string | number)[]): LeaseReply {
  const [code, holder, node, epoch, beat, leftMs, successor, nowMs, ...entries] = reply;
  const members: MemberEntry[] = [];
  for (let i = 0; i + 1 < entries.length; i += 2) {
    const text = String(entries[i + 1]);
    const blank = text.indexOf(' ');
    members.push({
      node: String(entries[i]),
      agoMs: Number(nowMs) - Number(text.slice(0, blank)),
      status: text.slice(blank + 1),
    });
  }
  return {
    code: code as LeaseCode,
    record: {
      holder: String(holder),
      node: String(node),
      epoch: Number(epoch),
      beat: String(beat),
      leftMs: Number(leftMs),
      successor: String(successor),
    },
    members,
  };
}
