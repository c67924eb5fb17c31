/** The classes of outcome that a run must have reached; test/model/README.md says what each stands for. */
export const OUTCOMES = [
  ...['udp', 'tcp', 'icmp', 'other'].flatMap((protocol) => [
    `opened:vpc-to-external:${protocol}`,
    `opened:external-to-vpc:${protocol}`,
    `opened:vpc-to-vpc:${protocol}`,
    `opened:hairpin:${protocol}`,
    `opened:site-to-site:${protocol}`,
  ]),
] as const;

/** Counts what happened, by name. */
export class Outcomes {
  readonly counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  merge(other: Outcomes): void {
    for (const [name, count] of other.counts) this.add(name, count);
  }
}
