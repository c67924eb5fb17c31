import { targetNamed, targetOfDriver, targets } from '../compiler/index.js';
import { NEWEST_RELEASE, type Release } from '../compiler/target.js';

/**
 * The NIC target to compile for.
 *
 * @param wanted  `auto`, or a target's name, with `@22.11` as of that DPDK release.
 * @param driver  rte_eth_dev_info.driver_name of the ports.
 * @param devargs Device arguments of a port, which tell apart what one driver does.
 * @param release DPDK release whose drivers are linked.
 * @returns The target's name, or null when nothing can be offloaded (an unknown driver, or the target `software`).
 * @throws RangeError when no target has that name.
 */
export function nicTarget(
  wanted: string,
  driver: string,
  devargs = '',
  release: Release = NEWEST_RELEASE,
): string | null {
  if (wanted !== 'auto') {
    const target = targetNamed(wanted);
    if (target) return target.kind === 'nic' ? wanted : null;
    throw new RangeError(`offload.target "${wanted}" is unknown; known: auto, ${[...targets().keys()].join(', ')}`);
  }
  const profile = /(?:^|,)profile=([^,]+)/.exec(devargs)?.[1];
  if (driver === SOFTWARE_NIC && profile !== undefined) return nicTarget(profile, driver);
  const target = targetOfDriver(driver, devargs, release);
  if (target?.kind !== 'nic') return null;
  return release === NEWEST_RELEASE || driver === SOFTWARE_NIC ? target.name : `${target.name}@${release}`;
}

const SOFTWARE_NIC = 'net_softflow';

/** Device argument by which the software NIC becomes the one that is compiled for; empty for the software NIC itself. */
export function profileArgument(target: string | null): string {
  return target === null || target === 'softflow' ? '' : `,profile=${target}`;
}
