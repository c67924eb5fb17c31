import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { FaultList, pointer } from './faults.js';
import { isObject } from './field.js';
import { parseJson } from './json.js';
import { resolveConfig } from './resolve/resolve.js';
import { schemaFaults } from './schema.js';
import type { ConfigFault, ConfigResult, ValidatedConfig } from './types.js';

/** Reads and validates a configuration file. Never throws for what is in the file or for a file that cannot be read. */
export function loadConfig(path: string): ConfigResult {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { errno, message } = error as NodeJS.ErrnoException;
    const reason = (errno !== undefined && getSystemErrorMap().get(errno)?.[1]) || message;
    return refused({ path: '', message: `cannot be read: ${reason}`, hint: 'give the path of a JSON file' });
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refused({ path: '', message: 'is not UTF-8 text', hint: 'a configuration is a JSON file' });
  }
  return parseConfig(text, resolve(path));
}

/** @param path Absolute path that relative ones in the text are taken from, or null for the working directory. */
export function parseConfig(text: string, path: string | null): ConfigResult {
  const parsed = parseJson(text);
  return parsed.ok ? validateConfig(parsed.value, path, parsed.faults) : parsed;
}

/**
 * Validates a parsed document: by the schema, and by what its values mean together. Never throws.
 *
 * @param found Faults known already.
 * @returns The configuration, or all faults in the order of the document.
 */
export function validateConfig(
  document: unknown,
  path: string | null,
  found: readonly ConfigFault[] = [],
): ConfigResult {
  const shape = schemaFaults(document);
  const semantic = new FaultList();
  const config = resolveConfig(document, path, semantic);
  const meaning = semantic.all();
  const read = new Set(meaning.map((fault) => fault.path));
  const wrongShape = new Set(shape.filter((fault) => !fault.coarse).map((fault) => fault.path));
  const faults = [
    ...found,
    ...shape.filter((fault) => !(fault.coarse && read.has(fault.path))).map(({ coarse: _, ...fault }) => fault),
    ...meaning.filter((fault) => !wrongShape.has(fault.path)),
  ];
  return faults.length === 0 ? { ok: true, config } : { ok: false, faults: inDocumentOrder(faults, document) };
}

/**
 * Reads a document that somebody has validated, by its meaning alone: a tenth of the time. Whoever calls it makes sure
 * that it is that document. @returns Null when something is wrong with it all the same. Never throws.
 */
export function readValidated(document: unknown): ValidatedConfig | null {
  const faults = new FaultList();
  const config = resolveConfig(document, null, faults);
  return faults.all().length === 0 ? config : null;
}

function refused(fault: ConfigFault): ConfigResult {
  return { ok: false, faults: [fault] };
}

/** A fault about something missing stands where its parent ends. */
function inDocumentOrder(faults: readonly ConfigFault[], document: unknown): readonly ConfigFault[] {
  const order = new Map<string, number>();
  const visit = (value: unknown, path: string): void => {
    order.set(path, order.size);
    if (Array.isArray(value)) for (const [i, item] of value.entries()) visit(item, `${path}/${i}`);
    else if (isObject(value)) for (const name of Object.keys(value)) visit(value[name], path + pointer([name]));
  };
  visit(document, '');
  const rank = (fault: ConfigFault): number => {
    let path = fault.path;
    while (!order.has(path)) path = path.slice(0, path.lastIndexOf('/'));
    return order.get(path) as number;
  };
  return faults
    .map((fault) => ({ fault, rank: rank(fault) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ fault }) => fault);
}
