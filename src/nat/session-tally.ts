import type { Vpc } from '../config/types.js';
import type { SessionClass } from '../native/records.js';
import { SessionClassNames } from '../native/records.js';
import { isRetired } from './alignment.js';

const CLASSES = SessionClassNames.length;

/** Sessions of one VPC and class since the gateway started. Those there are: opened - ended. */
export interface SessionCount {
  readonly vpc: string;
  readonly sessionClass: SessionClass;
  readonly opened: number;
  readonly ended: number;
}

/** Counts sessions by VPC and class as they open and end: one increment each, so that nobody has to walk over them. */
export class SessionTally {
  /** By VPC's index; a retired VPC keeps its name until its index is given to another. */
  private readonly names: string[] = [];
  /** By index * CLASSES + class. Exact to 2^53. */
  private readonly openedCounts: number[] = [];
  private readonly endedCounts: number[] = [];

  constructor(vpcs: readonly Vpc[]) {
    this.follow(vpcs);
  }

  opened(vpc: number, sessionClass: SessionClass): void {
    this.openedCounts[vpc * CLASSES + sessionClass]++;
  }

  ended(vpc: number, sessionClass: SessionClass): void {
    this.endedCounts[vpc * CLASSES + sessionClass]++;
  }

  /** From now on indexes are those of another configuration, aligned to the old one (see alignment.ts). */
  follow(vpcs: readonly Vpc[]): void {
    for (const vpc of vpcs) {
      if (isRetired(vpc) || this.names[vpc.index] === vpc.name) continue;
      this.names[vpc.index] = vpc.name;
      const from = vpc.index * CLASSES;
      // An index is given on only when no session refers to it: nothing that still ends is forgotten here.
      for (let at = from; at < from + CLASSES; at++) {
        this.openedCounts[at] = 0;
        this.endedCounts[at] = 0;
      }
    }
  }

  /** VPCs and classes that ever had a session; a name occurs twice when its VPC came back while old sessions of it end. */
  *counts(): Generator<SessionCount> {
    for (let at = 0; at < this.openedCounts.length; at++) {
      const opened = this.openedCounts[at];
      if (opened === 0) continue;
      const sessionClass = (at % CLASSES) as SessionClass;
      yield { vpc: this.names[Math.floor(at / CLASSES)], sessionClass, opened, ended: this.endedCounts[at] };
    }
  }
}
