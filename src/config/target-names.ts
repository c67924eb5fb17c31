import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suggestion } from './faults.js';
import type { Field } from './field.js';
import { packageRoot } from './package-root.js';

const AUTO = 'auto';
const SCHEMA = 'target.schema.json';

/**
 * Reads `offload.target`: `auto`, a table of schemas/targets, or `NAME@RELEASE` for it as of a DPDK release. The names are
 * data, so that nothing of the compiler is needed to know them.
 */
export function resolveTarget(field: Field): string {
  const text = field.text();
  if (text === null || text === AUTO) return AUTO;
  const [name, release] = splitOnce(text);
  const names = targetNames();
  if (!names.includes(name)) {
    field.fault(`unknown target "${text}"`, `${suggestion(name, [AUTO, ...names])}; sluice targets lists all`);
  } else if (release !== null && !releases().includes(release)) {
    field.fault(
      `target "${name}" has no table of DPDK ${release}`,
      releases()
        .map((known) => `${name}@${known}`)
        .join(', '),
    );
  }
  return text;
}

function splitOnce(text: string): [string, string | null] {
  const at = text.indexOf('@');
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

const folder = () => join(packageRoot(), 'schemas', 'targets');

/** Each table stands in a file of its name: the compiler refuses others. */
function targetNames(): string[] {
  return readdirSync(folder())
    .filter((file) => file.endsWith('.json') && file !== SCHEMA)
    .map((file) => file.slice(0, -'.json'.length))
    .sort();
}

function releases(): readonly string[] {
  const schema = JSON.parse(readFileSync(join(folder(), SCHEMA), 'utf8')) as {
    $defs: { release: { enum: readonly string[] } };
  };
  return schema.$defs.release.enum;
}
