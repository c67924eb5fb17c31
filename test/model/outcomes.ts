import { CHANGE_NAMES } from './reload.js';

const PROTOCOLS = ['udp', 'tcp', 'icmp', 'other'];
const CLASSES = ['vpc-to-external', 'external-to-vpc', 'vpc-to-vpc', 'hairpin', 'site-to-site'];
const each = (prefix: string, names: readonly string[]) => names.map((name) => `${prefix}:${name}`);

/** The classes of outcome that a run must have reached: what was never generated was never judged. */
export const OUTCOMES: readonly string[] = [
  ...CLASSES.flatMap((sessionClass) => [
    ...each(`opened:${sessionClass}`, PROTOCOLS),
    ...each(`passed:${sessionClass}`, ['forward', 'reverse']),
    ...each(`icmp-error:${sessionClass}`, ['about-forward', 'about-reverse']),
  ]),
  'opened:again',
  ...each('source', ['new', 'mapping', 'static', 'kept', 'paired', 'reused-after-rest']),
  ...each('refused', [
    'address-limit',
    'vpc-limit',
    'rate-limit',
    'table-full',
    'pool-exhausted',
    'no-pool',
    'not-syn',
  ]),
  ...each('refused', ['filtered', 'filtered:syn', 'no-route']),
  ...each('expired', [
    'udp',
    'icmp',
    'other',
    'tcp-opening',
    'tcp-established',
    'tcp-closed',
    'tcp-reset',
    'tcp-reopening',
  ]),
  ...each('expired:despite-inbound', ['udp', 'icmp', 'other']),
  ...each('established', ['syn-ack', 'simultaneous']),
  ...each('tcp', ['established', 'closed', 'reset', 'reopening', 'passed-while-closed', 'passed-while-reset']),
  ...each('revived', ['after-fin', 'after-rst']),
  'syn:solicited-in-time',
  ...each('made', ['prohibited', 'prohibited:suppressed', 'port-unreachable', 'fragments']),
  ...each('made:time-exceeded', ['vpc', 'outside']),
  ...each('made:fragmentation-needed', ['vpc', 'outside']),
  ...each('icmp-error:unknown', ['vpc', 'outside', 'peer']),
  'icmp-error:misaddressed',
  ...each('fragment', ['in-order', 'out-of-order', 'lost-first', 'timed-out', 'refused']),
  ...each('checksum', ['wrong-carried', 'none-kept']),
  ...each('local:ping', ['vpc', 'outside', 'underlay']),
  ...['answered', 'ignored'].flatMap((fate) => each(`local:arp-${fate}`, ['vpc', 'outside', 'underlay'])),
  ...each('dropped', [
    'malformed',
    'bad-checksum',
    'not-for-us',
    'unknown-vni',
    'unknown-vtep',
    'not-ipv4',
    'no-peering',
  ]),
  ...each('dropped', [
    'source-not-in-vpc',
    'private-destination',
    'no-binding',
    'icmp-unsupported',
    'too-big',
    'tcp-state',
  ]),
  ...each('reconfigured', [...CHANGE_NAMES, 'kept', 'static-owns-after-close']),
  ...each('reconfigured:ended', CLASSES),
];

/** By what packets that no rule serves came to their shard, where there are several; `:other` to another than the first. */
const OF_SHARDS: readonly string[] = [
  ...each('shard', ['nobody', 'arp']),
  ...[
    ...['home', 'pair', 'peer-pair', 'binding', 'block', 'untranslated', 'hairpin-binding'],
    ...['error-home', 'error-pair', 'error-binding', 'error-block', 'error-untranslated'],
  ].flatMap((name) => [`shard:${name}`, `shard:${name}:other`]),
  'shard:hairpin-block',
  ...each('shard:left', ['address', 'peering']),
];

/** Counts what happened, by name. */
export class Outcomes {
  readonly counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  merge(other: Outcomes): void {
    for (const [name, count] of other.counts) this.add(name, count);
  }

  /** The classes of {@link OUTCOMES} that never occurred, of those that there are with so many shards. */
  missing(shards: number): string[] {
    const wanted = shards === 1 ? OUTCOMES : [...OUTCOMES, ...OF_SHARDS];
    return wanted.filter((name) => !this.counts.has(name));
  }

  /** A line a class, and what occurred beyond them. */
  table(): string {
    const names = [...new Set([...OUTCOMES, ...[...this.counts.keys()].sort()])];
    return names.map((name) => `${String(this.counts.get(name) ?? 0).padStart(8)}  ${name}`).join('\n');
  }
}
