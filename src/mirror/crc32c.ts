/** Reversed polynomial of CRC32C (Castagnoli; RFC 3720 appendix B.4). */
const POLYNOMIAL = 0x82f6_3b78;

/** Sixteen tables of 256: four words a step, each byte by the table of its distance from the step's end. */
const T = tables();

function tables(): Int32Array {
  const t = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    t[byte] = crc;
  }
  for (let i = 256; i < t.length; i++) t[i] = (t[i - 256] >>> 8) ^ t[t[i - 256] & 0xff];
  return t;
}

/**
 * CRC32C of whole words, read as their little-endian bytes. About 1 ns a word and table: 16 KiB take 10 µs.
 *
 * @param from First word. @param to Word behind the last.
 * @returns u32.
 */
export function crc32c(words: Int32Array, from: number, to: number): number {
  const t = T;
  let crc = -1;
  let at = from;
  for (const last = to - 3; at < last; at += 4) {
    const a = words[at] ^ crc;
    const b = words[at + 1];
    const c = words[at + 2];
    const d = words[at + 3];
    crc =
      t[3840 + (a & 0xff)] ^
      t[3584 + ((a >>> 8) & 0xff)] ^
      t[3328 + ((a >>> 16) & 0xff)] ^
      t[3072 + (a >>> 24)] ^
      t[2816 + (b & 0xff)] ^
      t[2560 + ((b >>> 8) & 0xff)] ^
      t[2304 + ((b >>> 16) & 0xff)] ^
      t[2048 + (b >>> 24)] ^
      t[1792 + (c & 0xff)] ^
      t[1536 + ((c >>> 8) & 0xff)] ^
      t[1280 + ((c >>> 16) & 0xff)] ^
      t[1024 + (c >>> 24)] ^
      t[768 + (d & 0xff)] ^
      t[512 + ((d >>> 8) & 0xff)] ^
      t[256 + ((d >>> 16) & 0xff)] ^
      t[d >>> 24];
  }
  for (; at < to; at++) {
    const a = words[at] ^ crc;
    crc = t[768 + (a & 0xff)] ^ t[512 + ((a >>> 8) & 0xff)] ^ t[256 + ((a >>> 16) & 0xff)] ^ t[a >>> 24];
  }
  return ~crc >>> 0;
}
