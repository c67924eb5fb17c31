import type { State } from './state.js';
import type { Topology } from './topology.js';

interface Bucket {
  /** Tokens if whatever was refused for another reason took none, and if it took one: the contract says neither. */
  most: number;
  least: number;
  micros: number;
}

export interface LimitVerdict {
  readonly reasons: string[];
  /** The rate limit refuses perhaps: it depends on what the contract leaves open. */
  readonly rateIsOpen: boolean;
}

/** Limits of a VPC: sessions, sessions of an address, new sessions a second (a token bucket one second deep). */
export class Limits {
  private readonly buckets = new Map<string, Bucket>();

  constructor(
    private topology: Topology,
    private readonly state: State,
  ) {}

  reconfigure(topology: Topology): void {
    this.topology = topology;
  }

  judge(vpc: number, address: number, micros: number): LimitVerdict {
    const { name, limits } = this.topology.vpc(vpc);
    const reasons: string[] = [];
    const ofVpc = [...this.state.live].filter((session) => session.vpc === vpc);
    if (ofVpc.length >= limits.sessions) reasons.push('vpc-limit');
    const ofAddress = ofVpc.filter((session) => session.insideAddress === address);
    if (ofAddress.length >= limits.sessionsPerAddress) reasons.push('address-limit');
    const rate = limits.newSessionsPerSecond;
    let rateIsOpen = false;
    if (rate !== Infinity) {
      const bucket = this.bucket(name, rate, micros);
      // A clock of milliseconds may refill a little less, or more.
      const slack = 0.002 * rate + 1e-6;
      if (bucket.most < 1 - slack) reasons.push('rate-limit');
      else rateIsOpen = bucket.least < 1 + (bucket.least < rate ? slack : 0);
    }
    return { reasons, rateIsOpen };
  }

  opened(vpc: number, micros: number): void {
    this.take(vpc, micros, true);
  }

  refusedOtherwise(vpc: number, micros: number): void {
    this.take(vpc, micros, false);
  }

  private take(vpc: number, micros: number, surely: boolean): void {
    const { name, limits } = this.topology.vpc(vpc);
    if (limits.newSessionsPerSecond === Infinity) return;
    const bucket = this.bucket(name, limits.newSessionsPerSecond, micros);
    if (surely) bucket.most = Math.max(0, bucket.most - 1);
    bucket.least = Math.max(0, bucket.least - 1);
  }

  private bucket(name: string, rate: number, micros: number): Bucket {
    let bucket = this.buckets.get(name);
    if (bucket === undefined) {
      bucket = { most: rate, least: rate, micros };
      this.buckets.set(name, bucket);
    }
    const refill = ((micros - bucket.micros) / 1e6) * rate;
    bucket.most = Math.min(rate, bucket.most + refill);
    bucket.least = Math.min(rate, bucket.least + refill);
    bucket.micros = micros;
    return bucket;
  }
}
