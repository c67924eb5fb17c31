import type { HostTable } from './host-table.js';
import { hasPorts, type MappingTable, Tenure } from './mapping-table.js';
import type { PublicPools } from './public-pools.js';
import type { SessionFacts } from './session-table.js';
import type { SessionTimes } from './sink.js';

/** How one side of a session is translated on the gateway that has it; null: by no dynamic mapping. */
export interface AdoptedMapping {
  scope: number;
  /** It belongs to the session alone (address-and-port-dependent mapping). */
  alone: boolean;
  /** New sessions do not find it. */
  retired: boolean;
}

/** A session as the gateway that this one mirrors has it. */
export interface AdoptedSession {
  /** `sourceMapping`, `destinationMapping` and `host` are found here. */
  readonly facts: SessionFacts;
  source: AdoptedMapping | null;
  destination: AdoptedMapping | null;
  tcpState: number;
  readonly times: SessionTimes;
}

/** Results of an adoption that failed; rows are >= 0. Nothing changed then. */
export const Adoption = { tableFull: -1, conflict: -2, noWay: -4 } as const;

/** Mappings of sessions that were decided elsewhere: the same endpoints, claimed from the pools and not drawn. */
export class AdoptedMappings {
  /** Retired mappings that were adopted so, by public endpoint: no index finds them, and their sessions share them. */
  private readonly retired = new Map<string, number>();

  constructor(
    private readonly mappings: MappingTable,
    private readonly hosts: HostTable,
    private readonly pools: PublicPools,
  ) {}

  /**
   * @param insideHash insideHash() of the inside endpoint. @param publicHash publicHash() of the public one.
   * @returns The row of the source's mapping, without the session counted, or -1 when a table is full.
   */
  ofSource(
    f: SessionFacts,
    { scope, alone, retired }: AdoptedMapping,
    nowSeconds: number,
    insideHash: number,
    publicHash: number,
  ): number {
    return this.find(
      f.vpc,
      scope,
      f.protocol,
      f.forwardSource,
      f.forwardSourcePort,
      f.translatedSource,
      f.translatedSourcePort,
      alone,
      retired,
      nowSeconds,
      insideHash,
      publicHash,
    );
  }

  /** The same for the mapping that the destination is behind. */
  ofDestination(f: SessionFacts, { scope, alone, retired }: AdoptedMapping, nowSeconds: number): number {
    return this.find(
      f.destinationVpc,
      scope,
      f.protocol,
      f.translatedDestination,
      f.translatedDestinationPort,
      f.forwardDestination,
      f.forwardDestinationPort,
      alone,
      retired,
      nowSeconds,
      null,
      null,
    );
  }

  private find(
    vpc: number,
    scope: number,
    protocol: number,
    insideAddress: number,
    insidePort: number,
    publicAddress: number,
    publicPort: number,
    alone: boolean,
    retired: boolean,
    nowSeconds: number,
    knownInsideHash: number | null,
    knownPublicHash: number | null,
  ): number {
    const { mappings } = this;
    const withPort = hasPorts(protocol);
    const inside = withPort ? insidePort : 0;
    const shown = withPort ? publicPort : 0;
    const insideHash = knownInsideHash ?? mappings.insideHash(vpc, scope, protocol, insideAddress, inside);
    const publicHash = knownPublicHash ?? mappings.publicHash(scope, protocol, publicAddress, shown);
    if (retired) {
      const key = `${scope} ${protocol} ${publicAddress} ${shown}`;
      const known = this.retired.get(key);
      if (known !== undefined && mappings.sessions(known) > 0 && this.keyOf(known) === key) return known;
    } else if (!alone) {
      const known = mappings.byInside(vpc, scope, protocol, insideAddress, inside, insideHash);
      if (known >= 0 && mappings.publicAddress(known) === publicAddress && mappings.publicPort(known) === shown) {
        return known;
      }
      // The gateway that decides has ended the mappings that stand in the way; their sessions are being removed here.
      if (known >= 0) mappings.retire(known);
      const other = withPort ? mappings.byPublic(scope, protocol, publicAddress, shown, publicHash) : -1;
      if (other >= 0) mappings.disown(other);
    }
    const host = this.hosts.hold(vpc, scope, insideAddress);
    if (host < 0) return -1;
    if (!this.hosts.isPaired(host)) this.hosts.pair(host, publicAddress);
    const tenure = alone ? Tenure.alone : Tenure.shared;
    const row = mappings.insert(
      vpc,
      scope,
      protocol,
      insideAddress,
      inside,
      publicAddress,
      shown,
      host,
      retired ? Tenure.retired : tenure,
      insideHash,
      publicHash,
    );
    if (row < 0) {
      this.hosts.release(host);
      return -1;
    }
    if (mappings.ownsPort(row)) {
      this.pools.claim(vpc, scope, protocol, publicAddress, shown, insideAddress, nowSeconds);
    }
    if (retired) this.retired.set(this.keyOf(row), row);
    return row;
  }

  private keyOf(row: number): string {
    const { mappings } = this;
    return `${mappings.scope(row)} ${mappings.protocol(row)} ${mappings.publicAddress(row)} ${mappings.publicPort(row)}`;
  }
}
