import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import { suggestion } from './faults.js';
import { packageRoot } from './package-root.js';
import type { ConfigFault } from './types.js';

/** A fault of the schema; `coarse` ones give way to a fault that reading the value finds at the same place. */
export interface SchemaFault extends ConfigFault {
  readonly coarse: boolean;
}

const compiled = new Map<string, ValidateFunction>();

/**
 * Validates against a schema of schemas/.
 *
 * @param file Its name. @returns All faults, one for each place: the first that the schema has.
 */
export function schemaFaults(document: unknown, file = 'gateway.schema.json'): readonly SchemaFault[] {
  const validate = compiled.get(file) ?? compile(file);
  compiled.set(file, validate);
  if (validate(document)) return [];
  const byPath = new Map<string, SchemaFault>();
  for (const error of validate.errors ?? []) {
    const fault = describe(error);
    if (fault !== null && !byPath.has(fault.path)) byPath.set(fault.path, fault);
  }
  return [...byPath.values()];
}

function compile(file: string): ValidateFunction {
  const schema: unknown = JSON.parse(readFileSync(join(packageRoot(), 'schemas', file), 'utf8'));
  // Loaded by whoever validates: commands that do not would wait for it.
  const { default: Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
  const ajv = new Ajv2020({
    // Compiled for one document: optimising the validator's code, or checking our own schema again, costs more than it saves.
    code: { optimize: false },
    validateSchema: false,
    allErrors: true,
    verbose: true,
    strict: true,
    allowUnionTypes: true,
    strictRequired: false,
  });
  return ajv.compile(schema as object);
}

interface SchemaNode {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
}

/** @returns Null for what only repeats another error (`if`, the parts of `propertyNames`). */
function describe(error: ErrorObject): SchemaFault | null {
  const node = error.parentSchema as SchemaNode;
  const params = error.params as Record<string, unknown>;
  const fault = (path: string, message: string, hint = describeNode(node), coarse = false): SchemaFault => ({
    path,
    message,
    hint,
    coarse,
  });
  const child = (name: string) => `${error.instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  switch (error.keyword) {
    case 'required': {
      const name = params.missingProperty as string;
      return fault(child(name), 'is missing', describeNode(node.properties?.[name]));
    }
    case 'additionalProperties': {
      const name = params.additionalProperty as string;
      return fault(child(name), 'is not a known field', suggestion(name, Object.keys(node.properties ?? {})));
    }
    case 'type': {
      const wanted = [params.type].flat().map((type) => withArticle(String(type)));
      return fault(error.instancePath, `must be ${wanted.join(' or ')}, not ${kindOf(error.data)}`);
    }
    case 'enum': {
      const allowed = (params.allowedValues as unknown[]).map(String);
      const given = JSON.stringify(error.data);
      const hint = typeof error.data === 'string' ? suggestion(error.data, allowed) : `known: ${allowed.join(', ')}`;
      return fault(error.instancePath, `${given.length > 80 ? 'the value' : given} is not allowed here`, hint);
    }
    case 'pattern':
      if (error.propertyName !== undefined) return null;
      return fault(
        error.instancePath,
        `${JSON.stringify(shorten(String(error.data)))} is malformed`,
        describeNode(node),
        true,
      );
    case 'minimum':
      return fault(error.instancePath, `${String(error.data)} is less than ${String(params.limit)}`);
    case 'maximum':
      return fault(error.instancePath, `${String(error.data)} is more than ${String(params.limit)}`);
    case 'minItems':
      return fault(error.instancePath, `needs at least ${String(params.limit)} of them`);
    case 'minProperties':
      return fault(error.instancePath, 'must not be empty');
    case 'minLength':
      return fault(error.instancePath, 'must not be empty');
    case 'maxLength':
      return fault(error.instancePath, `is longer than ${String(params.limit)} characters`);
    case 'propertyNames':
      return fault(
        child(params.propertyName as string),
        'the name is malformed',
        'no spaces, braces, "=" or control characters, at most 64',
      );
    case 'if':
      return null;
    default:
      return fault(error.instancePath, error.message ?? `breaks ${error.keyword}`);
  }
}

/** A node's own words, else what stands in it. */
function describeNode(node: SchemaNode | undefined): string {
  if (node?.description !== undefined) return node.description.replace(/\.$/, '');
  if (node?.properties !== undefined) return `its fields: ${Object.keys(node.properties).join(', ')}`;
  if (node?.items !== undefined) return 'several of them, in [ ]';
  return 'schemas/ describes every field';
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'a number' : String(value);
  return withArticle(typeof value);
}

function withArticle(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
