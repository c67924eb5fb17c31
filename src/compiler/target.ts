import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import { packageRoot } from '../config/package-root.js';
import type { ActionName, ItemName } from './fields.js';

export type MatchForm = 'exact' | 'mask' | 'range';

/** Packets that no NIC rule may serve, by how a target keeps them from the NAT rules. */
export type PuntName = 'fragments' | 'options' | 'ttl' | 'tcp-flags' | 'ipv4-checksum';

/**
 * `rule`: a constant rule of higher priority; `unmatched`: the NAT rules' items never match such a packet; `dropped`: the NIC
 * discards it itself; `none`: the target cannot keep them apart.
 */
export type PuntMeans = 'rule' | 'unmatched' | 'dropped' | 'none';

export type ActionForm =
  | 'vxlan-decap'
  | 'vxlan-encap'
  | 'of-pop-vlan'
  | 'of-push-vlan'
  | 'set-mac'
  | 'set-ipv4'
  | 'set-tp'
  | 'set-icmp-ident'
  | 'dec-ttl'
  | 'modify-field'
  | 'count'
  | 'age'
  | 'mark'
  | 'represented-port'
  | 'port-representor'
  | 'drop'
  | 'jump'
  | 'implied';

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

/** What one NIC, or the software table, can do: schemas/targets/NAME.json. */
export interface Target {
  readonly name: string;
  readonly title: string;
  /** `software`: the slow path's table, which sees only what the slow path gives it. `nic`: sees the wire. */
  readonly kind: 'software' | 'nic';
  /** rte_eth_dev_info.driver_name of the ports it fits. */
  readonly drivers: readonly string[];
  readonly domain: 'transfer' | 'ingress';
  readonly groups: { readonly static: number; readonly nat: number };
  readonly items: Readonly<Partial<Record<ItemName, ItemCapability>>>;
  readonly actions: Readonly<Record<ActionName, ActionCapability>>;
  readonly punts: Readonly<Record<PuntName, PuntCapability>>;
  /** Actions that stand first, in this order; the others follow as listed, the fate last. */
  readonly actionOrder: { readonly first: readonly ActionName[]; readonly source: string };
}

let loaded: ReadonlyMap<string, Target> | null = null;

/** All targets by name, validated once a process. @throws Error naming the file, on a broken target table */
export function targets(): ReadonlyMap<string, Target> {
  if (loaded) return loaded;
  const folder = join(packageRoot(), 'schemas', 'targets');
  const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const ajv = new Ajv2020({ allErrors: true, code: { optimize: false }, validateSchema: false });
  const validate = ajv.compile<Target>(read('target.schema.json') as object);
  const found = new Map<string, Target>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.json') || file === 'target.schema.json') continue;
    const target = read(file);
    if (!validate(target)) throw new Error(`${file}: ${ajv.errorsText(validate.errors)}`);
    if (`${target.name}.json` !== file) throw new Error(`${file}: holds target ${target.name}`);
    found.set(target.name, target);
  }
  loaded = found;
  return found;
}

/** The target whose `drivers` names the port's driver, or null. */
export function targetOfDriver(driver: string): Target | null {
  for (const target of targets().values()) if (target.drivers.includes(driver)) return target;
  return null;
}
