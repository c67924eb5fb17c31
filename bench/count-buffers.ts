/**
 * Adds up the ArrayBuffers that an object and all it refers to hold, each once, and the entries of Maps and Sets.
 * Closures are not looked into.
 *
 * @param seen What was counted before and is not again; what is counted now joins it.
 */
export function countBuffers(root: unknown, seen = new Set<unknown>()): { bytes: number; entries: number } {
  const waiting: unknown[] = [root];
  let bytes = 0;
  let entries = 0;
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof ArrayBuffer) {
      bytes += value.byteLength;
    } else if (ArrayBuffer.isView(value)) {
      waiting.push(value.buffer);
    } else if (value instanceof Map || value instanceof Set) {
      entries += value.size;
      for (const inner of value.values()) waiting.push(inner);
    } else {
      for (const inner of Object.values(value)) waiting.push(inner);
    }
  }
  return { bytes, entries };
}
