/** A session that is in the NIC, or would like to be. */
export interface Ranked {
  readonly row: number;
  readonly generation: number;
  readonly packetsPerSecond: number;
  /** Rules that it has there, or lacks. */
  readonly rules: number;
}

export interface Exchange {
  readonly evict: readonly Ranked[];
  readonly offload: readonly Ranked[];
}

/** A session takes another's place only when it is so much faster: rates waver, and each exchange costs two updates. */
export const HYSTERESIS = 2;

/**
 * Says who should be in a NIC's full table instead of whom.
 *
 * @param waiting Fastest first. @param there Slowest first.
 * @param room    Rules that are free.
 * @param evictions Sessions that may be taken out at most.
 * @param offloads  Sessions that may be put in at most.
 * @returns Sessions to take out and then to put in: they fit, each that comes in is HYSTERESIS times as fast as each
 *          that leaves for it, and those that stay outside are not faster than those that come in.
 */
export function chooseExchange(
  waiting: readonly Ranked[],
  there: readonly Ranked[],
  room: number,
  evictions: number,
  offloads: number,
): Exchange {
  const evict: Ranked[] = [];
  const offload: Ranked[] = [];
  let free = room;
  for (const session of waiting) {
    let freed = free;
    let next = evict.length;
    while (freed < session.rules && next < there.length) {
      const slower = there[next];
      if (session.packetsPerSecond < HYSTERESIS * slower.packetsPerSecond || session.packetsPerSecond === 0) break;
      freed += slower.rules;
      next++;
    }
    if (freed < session.rules || next > evictions || offload.length === offloads) break;
    evict.push(...there.slice(evict.length, next));
    offload.push(session);
    free = freed - session.rules;
  }
  return { evict, offload };
}
