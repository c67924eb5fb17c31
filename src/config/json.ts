import { pointer } from './faults.js';
import type { ConfigFault } from './types.js';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export type JsonResult =
  | { readonly ok: true; readonly value: JsonValue; readonly faults: readonly ConfigFault[] }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** Deeper nesting is refused, so that neither this parser nor what walks its result can run out of stack. */
const MAX_DEPTH = 64;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 excludes just these.
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const SPACE = /[ \t\n\r]*/y;
const WORD = /[A-Za-z]+/y;

/**
 * Parses JSON (RFC 8259) for people: a syntax error is told with its line and column, which JSON.parse of Node 20
 * does not always give, and a key that an object has twice is a fault (JSON.parse keeps the last one silently).
 *
 * @returns The value, with faults for repeated keys, or the one syntax fault.
 */
export function parseJson(text: string): JsonResult {
  const reader = new JsonReader(text);
  try {
    return { ok: true, value: reader.document(), faults: reader.faults };
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const before = text.slice(0, error.offset);
    const line = before.split('\n').length;
    const column = error.offset - before.lastIndexOf('\n');
    const fault = { path: '', message: `line ${line}, column ${column}: ${error.message}`, hint: error.hint };
    return { ok: false, faults: [fault] };
  }
}

class JsonSyntaxError extends Error {
  constructor(
    readonly offset: number,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

class JsonReader {
  readonly faults: ConfigFault[] = [];
  private offset = 0;

  constructor(private readonly text: string) {
    if (text.charCodeAt(0) === 0xfeff) this.offset = 1;
  }

  document(): JsonValue {
    this.space();
    const value = this.value([]);
    this.space();
    if (this.offset < this.text.length) throw this.unexpected('the end of the file');
    return value;
  }

  private value(path: readonly (string | number)[]): JsonValue {
    const next = this.text[this.offset];
    if (next === '{') return this.object(path);
    if (next === '[') return this.array(path);
    if (next === '"') return this.string();
    if (next === '-' || (next >= '0' && next <= '9')) {
      const number = this.take(NUMBER);
      if (number !== null) return Number(number);
    }
    const start = this.offset;
    const word = this.take(WORD);
    if (word === 'true') return true;
    if (word === 'false') return false;
    if (word === 'null') return null;
    this.offset = start;
    throw this.unexpected('a value');
  }

  private object(path: readonly (string | number)[]): JsonObject {
    this.deeper(path);
    const entries: [string, JsonValue][] = [];
    const seen = new Set<string>();
    this.offset++;
    this.space();
    while (this.text[this.offset] !== '}') {
      if (entries.length > 0) this.comma('}');
      if (this.text[this.offset] !== '"') throw this.unexpected('a field name in double quotes');
      const key = this.string();
      const keyPath = [...path, key];
      if (seen.has(key)) {
        this.faults.push({
          path: pointer(keyPath),
          message: 'the field stands here twice',
          hint: 'remove one of the two',
        });
      }
      seen.add(key);
      this.space();
      if (this.text[this.offset] !== ':') throw this.unexpected('":"');
      this.offset++;
      this.space();
      entries.push([key, this.value(keyPath)]);
      this.space();
    }
    this.offset++;
    // Own properties whatever the key, `__proto__` included.
    return Object.fromEntries(entries);
  }

  private array(path: readonly (string | number)[]): readonly JsonValue[] {
    this.deeper(path);
    const items: JsonValue[] = [];
    this.offset++;
    this.space();
    while (this.text[this.offset] !== ']') {
      if (items.length > 0) this.comma(']');
      items.push(this.value([...path, items.length]));
      this.space();
    }
    this.offset++;
    return items;
  }

  private comma(closing: string): void {
    if (this.text[this.offset] !== ',') throw this.unexpected(`"," or "${closing}"`);
    const comma = this.offset++;
    this.space();
    if (this.text[this.offset] === closing) {
      throw new JsonSyntaxError(comma, `a "," before "${closing}"`, 'JSON has no trailing commas');
    }
  }

  private string(): string {
    const token = this.take(STRING);
    if (token === null) {
      throw new JsonSyntaxError(
        this.offset,
        'a string that does not end, or a bad escape in it',
        'strings end in the line they begin in',
      );
    }
    return JSON.parse(token) as string;
  }

  private take(pattern: RegExp): string | null {
    pattern.lastIndex = this.offset;
    const match = pattern.exec(this.text);
    if (match === null) return null;
    this.offset += match[0].length;
    return match[0];
  }

  private space(): void {
    this.take(SPACE);
  }

  private deeper(path: readonly (string | number)[]): void {
    if (path.length >= MAX_DEPTH) {
      throw new JsonSyntaxError(
        this.offset,
        `nested deeper than ${MAX_DEPTH} levels`,
        'no configuration needs that many',
      );
    }
  }

  private unexpected(wanted: string): JsonSyntaxError {
    const next = this.text[this.offset];
    if (next === undefined)
      return new JsonSyntaxError(this.offset, `the file ends where ${wanted} should be`, 'is it cut off?');
    const comment = this.text.startsWith('//', this.offset) || this.text.startsWith('/*', this.offset) || next === '#';
    const found = `${JSON.stringify(next)} where ${wanted} should be`;
    return new JsonSyntaxError(this.offset, found, comment ? 'JSON has no comments' : 'look just before it too');
  }
}
