import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConfigFault, type ValidatedConfig, validateConfig } from '../../src/config/index.js';

/** A configuration document that tests change as they like. */
// biome-ignore lint/suspicious/noExplicitAny: tests write into every corner of it, wrong types included.
export type Document = Record<string, any>;

/** `gateway` is the contract's example, `everything` uses every optional part. */
export function document(name: 'gateway' | 'everything' = 'gateway'): Document {
  return JSON.parse(readFileSync(join(__dirname, `fixtures/${name}.json`), 'utf8')) as Document;
}

/** The least that is a gateway. */
export function smallest(): Document {
  return {
    name: 'gw1',
    underlay: { vtep: '172.30.0.1', mac: '02:00:00:00:f0:01' },
    ports: { fabric: { role: 'fabric' } },
  };
}

export function valid(raw: unknown): ValidatedConfig {
  const result = validateConfig(raw, '/etc/sluice/gw1.json');
  if (!result.ok) throw new Error(result.faults.map((fault) => `${fault.path}: ${fault.message}`).join('\n'));
  return result.config;
}

export function faultsOf(raw: unknown): readonly ConfigFault[] {
  const result = validateConfig(raw, null);
  return result.ok ? [] : result.faults;
}
