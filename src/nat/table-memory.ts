/** Where tables sized by the configuration get their words from: zeros, as many as asked for. */
export type TableMemory = (words: number) => Int32Array;

export const ordinaryMemory: TableMemory = (words) => new Int32Array(words);

/**
 * Places in a table of words lie below 2^30. Whoever says so with `& LAST_PLACE` spares the checks that V8 makes lest a
 * product or a sum be none of 32 bits: three instructions for each word that is read or written.
 */
export const LAST_PLACE = 0x3fff_ffff;
