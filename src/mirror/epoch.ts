/** Epochs are u32 in the mirror's records; the next one must be one too. */
export const HIGHEST_EPOCH = 2 ** 32 - 2;

/** Whether a number can be an epoch that somebody had; 0: nobody ever did. */
export function isEpoch(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= HIGHEST_EPOCH;
}

/** @returns The epoch that a field of Redis tells; 0 for none, and for what nobody of this program wrote. */
export function readEpoch(field: string | null | undefined): number {
  const value = Number(field ?? 0);
  return isEpoch(value) ? value : 0;
}
