/** Internet checksums (RFC 1071), by the book and slow. */

/** One's complement sum of big-endian 16-bit words; an odd last byte is padded with zero. */
export function sum16(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let sum = 0;
  for (let at = from; at < to; at += 2) sum += (bytes[at] << 8) | (at + 1 < to ? bytes[at + 1] : 0);
  return fold(sum);
}

export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

export function checksum(bytes: Uint8Array, from = 0, to = bytes.length): number {
  return ~sum16(bytes, from, to) & 0xffff;
}

/** Sum of the pseudo-header of TCP and UDP (RFC 9293 section 3.1, RFC 768). */
export function pseudoHeaderSum(source: number, destination: number, protocol: number, length: number): number {
  return fold(
    (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + (length & 0xffff),
  );
}

/**
 * RFC 1624 equation 3: the checksum after words of the covered data changed.
 *
 * @param before Sum of the old words. @param after Sum of the new words.
 */
export function updated(old: number, before: number, after: number): number {
  return ~fold((~old & 0xffff) + (~fold(before) & 0xffff) + fold(after)) & 0xffff;
}
