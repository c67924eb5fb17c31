/** Where tables sized by the configuration get their words from: zeros, as many as asked for. */
export type TableMemory = (words: number) => Int32Array;

export const ordinaryMemory: TableMemory = (words) => new Int32Array(words);
