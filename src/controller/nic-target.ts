import { targetOfDriver, targets } from '../compiler/index.js';

/**
 * The NIC target to compile for.
 *
 * @param wanted `auto`, or a target's name.
 * @param driver Driver of the ports, as DPDK names it.
 * @returns The target's name, or null when nothing can be offloaded (an unknown driver, or the target `software`).
 * @throws RangeError when no target has that name.
 */
export function nicTarget(wanted: string, driver: string): string | null {
  const known = targets();
  if (wanted !== 'auto' && !known.has(wanted)) {
    throw new RangeError(`offload.target "${wanted}" is unknown; known: auto, ${[...known.keys()].join(', ')}`);
  }
  const name = wanted === 'auto' ? (targetOfDriver(driver)?.name ?? 'software') : wanted;
  return known.get(name)?.kind === 'nic' ? name : null;
}
