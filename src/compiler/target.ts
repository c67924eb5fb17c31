import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import { packageRoot } from '../config/package-root.js';
import type { ActionName, ItemName } from './fields.js';

export type MatchForm = 'exact' | 'mask' | 'range';

/** Packets that no NIC rule may serve, by how a target keeps them from the NAT rules. */
export type PuntName = 'fragments' | 'options' | 'ttl' | 'tcp-flags' | 'ipv4-checksum';

/**
 * `rule`: a constant rule of higher priority; `condition`: the NAT rules, or the jump to them, match only what is allowed;
 * `unmatched`: the NAT rules' items never match such a packet; `dropped`: the NIC discards it itself; `none`: the target
 * cannot keep them apart.
 */
export type PuntMeans = 'rule' | 'condition' | 'unmatched' | 'dropped' | 'none';

export type ActionForm =
  | 'vxlan-decap'
  | 'raw-decap'
  | 'vxlan-encap'
  | 'raw-encap'
  | 'of-pop-vlan'
  | 'of-push-vlan'
  | 'set-mac'
  | 'set-ipv4'
  | 'set-tp'
  | 'set-icmp-ident'
  | 'dec-ttl'
  | 'modify-field'
  | 'modify-add'
  | 'modify-sub'
  | 'count'
  | 'age'
  | 'mark'
  | 'represented-port'
  | 'port-representor'
  | 'queue'
  | 'drop'
  | 'jump'
  | 'implied';

/** DPDK releases that the tables tell apart, oldest first. */
export const RELEASES = ['22.11', '26.07'] as const;
export type Release = (typeof RELEASES)[number];
export const NEWEST_RELEASE: Release = '26.07';

export interface ItemCapability {
  readonly fields: Readonly<Record<string, readonly MatchForm[]>>;
  readonly source: string;
}

export interface ActionCapability {
  /** rte_flow actions that do it, best first. Empty: it cannot. */
  readonly forms: readonly ActionForm[];
  /** Why not, or what to know. */
  readonly note?: string;
  readonly source: string;
}

export interface PuntCapability {
  readonly means: PuntMeans;
  readonly source: string;
}

/** IPv4 addresses and L4 ports that a NAT rewrites. */
export type RewrittenField = 'source' | 'destination' | 'sport' | 'dport';

/** What one NIC, or the software table, can do with one DPDK release: schemas/targets/NAME.json. */
export interface Target {
  readonly name: string;
  readonly title: string;
  /** `software`: the slow path's table, which sees only what the slow path gives it. `nic`: sees the wire. */
  readonly kind: 'software' | 'nic';
  /** rte_eth_dev_info.driver_name of the ports it fits. */
  readonly drivers: readonly string[];
  /** Device argument that tells it from another target of the same driver. */
  readonly devargs?: string;
  readonly release: Release;
  readonly domain: 'transfer' | 'ingress';
  readonly api: { readonly sync: boolean; readonly template: boolean; readonly source: string };
  readonly groups: {
    readonly static: number;
    readonly nat: number;
    /** NAT rules of port N stand in group `nat` + N; what all of a port's rules have in common only the static group matches. */
    readonly perPort: boolean;
    /** First group of second halves; absent: rules are not split. */
    readonly joined?: number;
    readonly source: string;
  };
  readonly items: Readonly<Partial<Record<ItemName | 'represented-port', ItemCapability>>>;
  readonly actions: Readonly<Record<ActionName, ActionCapability>>;
  readonly punts: Readonly<Record<PuntName, PuntCapability>>;
  /** rte_flow actions, as ActionTypeNames has them, in the order of emission. */
  readonly actionOrder: {
    readonly steps: readonly (readonly string[])[];
    readonly strict: boolean;
    readonly free?: readonly string[];
    readonly source: string;
  };
  readonly exclusive?: { readonly pairs: readonly (readonly [string, string])[]; readonly source: string };
  readonly rewriteSets?: { readonly sets: readonly (readonly RewrittenField[])[]; readonly source: string };
  readonly modifyField?: { readonly level: 0 | 1; readonly source: string };
  readonly budgets?: {
    readonly matchDwords?: number;
    readonly modifyCommands?: number;
    readonly encapBytes?: number;
    readonly source: string;
  };
}

/** A table as it is written, all releases in one. */
interface TargetTable extends Omit<Target, 'release' | 'api' | 'items' | 'actions'> {
  readonly since?: Release;
  readonly api: { readonly sync: Release | null; readonly template: Release | null; readonly source: string };
  readonly items: Readonly<
    Partial<Record<ItemName | 'represented-port', ItemCapability & { readonly since?: Release }>>
  >;
  readonly actions: Readonly<
    Record<ActionName, ActionCapability & { readonly since?: Readonly<Partial<Record<ActionForm, Release>>> }>
  >;
}

const covers = (release: Release, since: Release | null | undefined): boolean =>
  since !== null && RELEASES.indexOf(release) >= RELEASES.indexOf(since ?? RELEASES[0]);

function ofRelease(table: TargetTable, release: Release): Target {
  const there = covers(release, table.since);
  const items = Object.entries(table.items)
    .filter(([, { since }]) => there && covers(release, since))
    .map(([name, { fields, source }]) => [name, { fields, source }]);
  const actions = Object.entries(table.actions).map(([name, { forms, note, since, source }]) => {
    const left = forms.filter((form) => there && covers(release, since?.[form]));
    const lost = forms.length > 0 && left.length === 0;
    const why = there ? `Not before DPDK ${Object.values(since ?? {})[0]}.` : `No driver before DPDK ${table.since}.`;
    const said = lost ? why : note;
    return [name, { forms: left, ...(said === undefined ? {} : { note: said }), source }];
  });
  return {
    ...table,
    release,
    api: {
      sync: there && covers(release, table.api.sync),
      template: there && covers(release, table.api.template),
      source: table.api.source,
    },
    items: Object.fromEntries(items),
    actions: Object.fromEntries(actions),
  };
}

let tables: ReadonlyMap<string, TargetTable> | null = null;
const resolved = new Map<Release, ReadonlyMap<string, Target>>();

/** All tables by name, validated once a process. @throws Error naming the file, on a broken target table */
function loadedTables(): ReadonlyMap<string, TargetTable> {
  if (tables) return tables;
  const folder = join(packageRoot(), 'schemas', 'targets');
  const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const ajv = new Ajv2020({ allErrors: true, code: { optimize: false }, validateSchema: false, strict: false });
  const validate = ajv.compile<TargetTable>(read('target.schema.json') as object);
  const found = new Map<string, TargetTable>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.json') || file === 'target.schema.json') continue;
    const table = read(file);
    if (!validate(table)) throw new Error(`${file}: ${ajv.errorsText(validate.errors)}`);
    if (`${table.name}.json` !== file) throw new Error(`${file}: holds target ${table.name}`);
    found.set(table.name, table);
  }
  tables = found;
  return found;
}

/** All targets by name, as of a DPDK release. @throws Error naming the file, on a broken target table */
export function targets(release: Release = NEWEST_RELEASE): ReadonlyMap<string, Target> {
  let found = resolved.get(release);
  if (found === undefined) {
    found = new Map([...loadedTables()].map(([name, table]) => [name, ofRelease(table, release)]));
    resolved.set(release, found);
  }
  return found;
}

/** The target of a name as users write it: `sfc`, or `sfc@22.11` for its table as of that DPDK release. */
export function targetNamed(name: string): Target | null {
  const [plain, release] = name.split('@');
  if (release === undefined) return targets().get(plain) ?? null;
  const known = RELEASES.find((candidate) => candidate === release);
  return known === undefined ? null : (targets(known).get(plain) ?? null);
}

/**
 * The target of a port.
 *
 * @param driver  rte_eth_dev_info.driver_name.
 * @param devargs The port's device arguments: they tell targets of one driver apart.
 */
export function targetOfDriver(driver: string, devargs = '', release: Release = NEWEST_RELEASE): Target | null {
  const fitting = [...targets(release).values()].filter((target) => target.drivers.includes(driver));
  const given = new Set(devargs.split(','));
  return (
    fitting.find((target) => target.devargs !== undefined && given.has(target.devargs)) ??
    fitting.find((target) => target.devargs === undefined) ??
    null
  );
}

/** The newest release whose tables fit a DPDK version like "DPDK 22.11.11". */
export function releaseOf(version: string): Release {
  const [, year, month] = /(\d+)\.(\d+)/.exec(version) ?? [];
  const number = Number(year) * 100 + Number(month);
  const fitting = RELEASES.filter((release) => Number(release.replace('.', '')) <= number);
  return fitting.at(-1) ?? RELEASES[0];
}
