import { formatIpv4 } from '../../src/config/address.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import { dissect, type Seen } from './frames.js';
import { ICMP, Packet, TCP, UDP } from './ipv4.js';
import type { Observed } from './subject.js';

/** Model and gateway differ. */
export class Disagreement extends Error {}

/** What one step of the gateway showed, claimed piece by piece by the model; what nobody claims is a fault. */
export class Step {
  private readonly frames: Seen[];
  private readonly drops: Map<string, number>;

  constructor(
    config: ValidatedConfig,
    observed: Observed,
    /** Drops that earlier steps left to be counted later. */
    private readonly owed: string[][],
  ) {
    this.frames = observed.sent.map(({ port, micros, bytes }) => dissect(config, port, micros, bytes));
    this.drops = new Map(Object.entries(observed.drops));
    for (const seen of this.frames) {
      if (seen.faults.length > 0) throw new Disagreement(`${seen.faults.join('; ')} in ${describe(seen)}`);
    }
  }

  /** The unclaimed frames of a time. */
  at(micros: number): readonly Seen[] {
    return this.frames.filter((seen) => seen.micros === micros);
  }

  /** Takes the frame that `fault` finds nothing wrong with. @throws Disagreement when there is none. */
  claim(micros: number, expected: string, fault: (seen: Seen) => string | null): Seen {
    const faults: string[] = [];
    for (const seen of this.at(micros)) {
      const wrong = fault(seen);
      if (wrong === null) {
        this.frames.splice(this.frames.indexOf(seen), 1);
        return seen;
      }
      faults.push(`  ${describe(seen)}\n    ${wrong}`);
    }
    throw new Disagreement(
      `expected ${expected}\n${faults.length > 0 ? `left:\n${faults.join('\n')}` : `nothing left at ${micros} µs; drops ${this.dropsText()}`}`,
    );
  }

  claimIfThere(micros: number, fault: (seen: Seen) => string | null): Seen | null {
    const seen = this.at(micros).find((frame) => fault(frame) === null);
    if (seen === undefined) return null;
    this.frames.splice(this.frames.indexOf(seen), 1);
    return seen;
  }

  /** Takes one drop under one of the reasons. @throws Disagreement */
  drop(reasons: readonly string[], what: string): string {
    const reason = this.dropIfThere(reasons);
    if (reason !== null) return reason;
    throw new Disagreement(
      `expected a drop (${reasons.join(' or ')}) of ${what}\ndrops ${this.dropsText()}; left:\n${this.frames.map((seen) => `  ${describe(seen)}`).join('\n')}`,
    );
  }

  dropIfThere(reasons: readonly string[]): string | null {
    for (const reason of reasons) {
      const count = this.drops.get(reason) ?? 0;
      if (count === 0) continue;
      this.drops.set(reason, count - 1);
      return reason;
    }
    return null;
  }

  /** A drop that may be counted in this step or in a later one, at the latest when all is drained. */
  dropLater(reasons: string[]): void {
    if (this.dropIfThere(reasons) === null) this.owed.push(reasons);
  }

  /** Nothing may be left unclaimed: DESIGN invariant 3. */
  finish(): void {
    for (let at = this.owed.length - 1; at >= 0; at--) {
      if (this.dropIfThere(this.owed[at]) !== null) this.owed.splice(at, 1);
    }
    const leftovers = this.frames.map((seen) => `  ${describe(seen)}`);
    if (leftovers.length > 0)
      throw new Disagreement(`nothing explains\n${leftovers.join('\n')}\ndrops ${this.dropsText()}`);
    if ([...this.drops.values()].some((count) => count > 0)) {
      throw new Disagreement(`nothing explains the drops ${this.dropsText()}`);
    }
  }

  has(reason: string): boolean {
    return (this.drops.get(reason) ?? 0) > 0;
  }

  summary(): string {
    return `drops ${this.dropsText()}; left:\n${this.frames.map((seen) => `  ${describe(seen)}`).join('\n')}`;
  }

  private dropsText(): string {
    return JSON.stringify(Object.fromEntries([...this.drops].filter(([, count]) => count > 0)));
  }
}

export function describe(seen: Seen): string {
  const tunnel = seen.tunnel === null ? '' : ` VNI ${seen.tunnel.vni} to ${formatIpv4(seen.tunnel.vtep)}`;
  const what = seen.type === 0x0800 ? describePacket(seen.payload) : `Ethernet type ${seen.type.toString(16)}`;
  return `port ${seen.port}${tunnel} at ${seen.micros} µs: ${what}`;
}

const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

/** One line a packet, for people. */
export function describePacket(bytes: Buffer): string {
  const p = new Packet(bytes);
  const ends = (a: string, b: string) => `${formatIpv4(p.source)}${a} > ${formatIpv4(p.destination)}${b}`;
  const fragment = p.isFragment ? ` fragment ${p.fragmentOffset}${p.moreFragments ? '+' : ''} id ${p.id}` : '';
  const rest = `ttl ${p.ttl} length ${p.totalLength}${p.dontFragment ? ' DF' : ''}${fragment}`;
  if (p.fragmentOffset > 0 || p.transport.length < 8) return `${ends('', '')} protocol ${p.protocol} ${rest}`;
  if (p.protocol === UDP) return `UDP ${ends(`:${p.sourcePort}`, `:${p.destinationPort}`)} ${rest}`;
  if (p.protocol === TCP) {
    const flags = FLAGS.filter((_, bit) => p.transport.length > 13 && (p.tcpFlags >> bit) & 1).join(',');
    return `TCP ${flags} ${ends(`:${p.sourcePort}`, `:${p.destinationPort}`)} ${rest}`;
  }
  if (p.protocol === ICMP) {
    const type = `ICMP ${p.transport[0]}/${p.transport[1]}`;
    const quoted = p.isIcmpError && p.transport.length >= 36 ? ` about [${describePacket(p.quoted.bytes)}]` : '';
    return `${type}${p.isEcho ? ` id ${p.sourcePort}` : ''} ${ends('', '')} ${rest}${quoted}`;
  }
  return `protocol ${p.protocol} ${ends('', '')} ${rest}`;
}
