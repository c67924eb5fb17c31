import { isObject } from '../../config/field.js';

/** A configuration as it may be told. */
export function withoutPassword(document: unknown): unknown {
  return isObject(document) && 'mirror' in document ? { ...document, mirror: hidden(document.mirror) } : document;
}

/** A value without the passwords of the Redis URLs in it. A password may hold an @ itself: all before the last one goes. */
export function hidden(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(/^(rediss?(?:\+[a-z]+)?:\/\/[^:@]*):.*@/, '$1:***@');
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, hidden(part)]));
}
