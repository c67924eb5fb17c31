import { createHash } from 'node:crypto';
import { existsSync, type FSWatcher, readFileSync, watch } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import { parseIpv4, parsePort } from '../config/address.js';
import { parseJson } from '../config/json.js';
import { schemaFaults } from '../config/schema.js';
import type { ConfigFault, ValidatedConfig } from '../config/types.js';

export interface UdpEndpoint {
  readonly address: string;
  readonly port: number;
}

/** ha_config.json, validated, defaults filled in. */
export interface PairSettings {
  readonly node: string;
  readonly epochFile: string;
  readonly renewMs: number;
  readonly marginMs: number;
  readonly peer: {
    readonly listen: UdpEndpoint;
    readonly address: UdpEndpoint;
    readonly heartbeatMs: number;
    readonly secret: string | null;
  } | null;
  readonly onIsolation: 'fence' | 'continue';
  readonly preempt: boolean;
  readonly holdDownMs: number;
  readonly handOverOnFailedChecks: boolean;
  readonly announce: { readonly times: number; readonly intervalMs: number };
  readonly hook: { readonly command: string; readonly timeoutMs: number } | null;
  readonly probe: {
    readonly vpc: string | null;
    /** u32, host order. */
    readonly source: number | null;
    readonly destination: number;
    readonly everyMs: number;
    readonly timeoutMs: number;
  };
  /** SHA-256 of the file's text, hexadecimal; of nothing when there is no file. */
  readonly hash: string;
}

export type SettingsResult =
  | { readonly ok: true; readonly settings: PairSettings }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** Parts that cannot change while the gateway runs: it is known by them. */
const FIXED = ['node', 'epochFile', 'marginMs'] as const;

interface Document {
  readonly node?: string;
  readonly epochFile?: string;
  readonly renewMs?: number;
  readonly marginMs?: number;
  readonly peer?: { listen: string; address: string; heartbeatMs?: number; secret?: string };
  readonly onIsolation?: 'fence' | 'continue';
  readonly preempt?: boolean;
  readonly holdDownMs?: number;
  readonly handOverOnFailedChecks?: boolean;
  readonly announce?: { times?: number; intervalMs?: number };
  readonly hook?: { command: string; timeoutMs?: number };
  readonly probe?: { vpc?: string; source?: string; destination?: string; everyMs?: number; timeoutMs?: number };
}

/** What holds without a file: all is as its schema's defaults say. */
const DEFAULTS = '{"schema":1}';

/** Reads and validates ha_config.json as a whole. Without `ha.configFile` all is as its schema's defaults say. */
export function loadPairSettings(config: ValidatedConfig): SettingsResult {
  const path = config.ha?.configFile ?? null;
  if (path === null) return readPairSettings(DEFAULTS, config, '');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const hint = 'ha.configFile names it; {"schema": 1} in it is enough, and so is no ha.configFile at all';
    return refused([{ path: '', message: `cannot be read: ${(error as Error).message}`, hint }]);
  }
  return readPairSettings(text, config);
}

/**
 * Settings to start with: a file that is not there yet is no reason to serve nobody. The check of settings fails until
 * there is one.
 *
 * @returns `missing`: defaults are in force for want of the file.
 */
export function firstPairSettings(config: ValidatedConfig): SettingsResult & { readonly missing: boolean } {
  const path = config.ha?.configFile ?? null;
  const missing = path !== null && !existsSync(path);
  return { ...(missing ? readPairSettings(DEFAULTS, config, '') : loadPairSettings(config)), missing };
}

/** Faults of ha_config.json as somebody who names the configuration alone is told of them: with the file's path. */
export function namedFaults(faults: readonly ConfigFault[], config: ValidatedConfig): readonly ConfigFault[] {
  return faults.map((fault) => ({ ...fault, path: `${config.ha?.configFile ?? ''}${fault.path}` }));
}

/** The machine's name, and something of the configuration's file: several gateways may run on one machine. */
function usualNode(config: ValidatedConfig): string {
  const file = createHash('sha256').update(config.path ?? config.name);
  return `${hostname().slice(0, 50)}-${file.digest('hex').slice(0, 6)}`;
}

/** @param text Of ha_config.json. @param hashed What the settings are known by. */
export function readPairSettings(text: string, config: ValidatedConfig, hashed = text): SettingsResult {
  const parsed = parseJson(text);
  if (!parsed.ok) return refused(parsed.faults);
  const shape = schemaFaults(parsed.value, 'ha-config.schema.json').map(({ coarse: _, ...fault }) => fault);
  const wrong = [...parsed.faults, ...shape];
  if (wrong.length > 0) return refused(wrong);
  const given = parsed.value as unknown as Document;
  const faults: ConfigFault[] = [];
  const endpoint = (name: 'listen' | 'address'): UdpEndpoint => {
    const [address, port] = (given.peer?.[name] ?? '').split(':');
    const number = parsePort(port ?? '');
    if (parseIpv4(address) === null || number === null) {
      faults.push({ path: `/peer/${name}`, message: 'is not ADDRESS:PORT', hint: 'an IPv4 address, port 1 to 65535' });
    }
    return { address, port: number ?? 0 };
  };
  const ipv4 = (path: string, value: string): number => {
    const address = parseIpv4(value);
    if (address === null)
      faults.push({ path, message: `"${value}" is not an IPv4 address`, hint: 'such as 10.0.1.250' });
    return address ?? 0;
  };
  const leaseMs = config.ha?.leaseMs ?? 1000;
  const group = config.ha?.group ?? config.name;
  const folder = config.path === null ? process.cwd() : dirname(config.path);
  const renewMs = given.renewMs ?? Math.max(5, Math.min(200, Math.floor(leaseMs / 5)));
  const marginMs = given.marginMs ?? Math.max(1, Math.min(100, Math.floor(leaseMs / 10)));
  if (renewMs + marginMs >= leaseMs) {
    faults.push({
      path: given.renewMs !== undefined ? '/renewMs' : '/marginMs',
      message: `renewMs (${renewMs}) and marginMs (${marginMs}) leave nothing of ha.leaseMs (${leaseMs})`,
      hint: 'a fifth and a tenth of the lease are usual',
    });
  }
  const { vpc = null, source, destination = '192.0.2.1', everyMs = 10_000, timeoutMs = 300 } = given.probe ?? {};
  if (vpc !== null && !config.vpcs.some(({ name }) => name === vpc)) {
    faults.push({
      path: '/probe/vpc',
      message: `there is no VPC "${vpc}"`,
      hint: 'a name of vpcs in the configuration',
    });
  }
  const settings: PairSettings = {
    node: given.node ?? usualNode(config),
    epochFile: resolve(folder, given.epochFile ?? `sluice-${group}.epoch`),
    renewMs,
    marginMs,
    peer:
      given.peer === undefined
        ? null
        : {
            listen: endpoint('listen'),
            address: endpoint('address'),
            heartbeatMs: given.peer.heartbeatMs ?? 100,
            secret: given.peer.secret ?? null,
          },
    onIsolation: given.onIsolation ?? 'fence',
    preempt: given.preempt ?? false,
    holdDownMs: given.holdDownMs ?? 30_000,
    handOverOnFailedChecks: given.handOverOnFailedChecks ?? true,
    announce: { times: given.announce?.times ?? 10, intervalMs: given.announce?.intervalMs ?? 10 },
    hook: given.hook === undefined ? null : { command: given.hook.command, timeoutMs: given.hook.timeoutMs ?? 1000 },
    probe: {
      vpc,
      source: source === undefined ? null : ipv4('/probe/source', source),
      destination: ipv4('/probe/destination', destination),
      everyMs,
      timeoutMs,
    },
    hash: createHash('sha256').update(hashed).digest('hex'),
  };
  return faults.length > 0 ? refused(faults) : { ok: true, settings };
}

/** What of new settings a running gateway cannot take over. */
export function fixedChanges(old: PairSettings, next: PairSettings): readonly ConfigFault[] {
  return FIXED.filter((name) => old[name] !== next[name]).map((name) => ({
    path: `/${name}`,
    message: 'cannot change while the gateway runs',
    hint: 'leave it as it was, or restart the gateway',
  }));
}

/** Tells of each new content of a file, also of one that is renamed over it. @returns What ends the watch. */
export function watchFile(path: string, changed: () => void): () => void {
  const SETTLE_MS = 20; // An editor's write is several events.
  let timer: NodeJS.Timeout | null = null;
  const name = basename(path);
  let watcher: FSWatcher;
  try {
    watcher = watch(dirname(path), (_event, file) => {
      if (file !== null && file !== name) return;
      if (timer !== null) clearTimeout(timer);
      timer = setTimeout(changed, SETTLE_MS);
    });
  } catch {
    return () => undefined; // There is not even a folder.
  }
  watcher.on('error', () => undefined); // The folder is gone: what was read last stays.
  return () => {
    if (timer !== null) clearTimeout(timer);
    watcher.close();
  };
}

function refused(faults: readonly ConfigFault[]): SettingsResult {
  return { ok: false, faults };
}
