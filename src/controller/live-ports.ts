import type { Logger } from 'pino';
import { type Release, releaseOf } from '../compiler/target.js';
import type { ValidatedConfig } from '../config/types.js';
import type { NativeBinding } from '../native/binding.js';
import { ealArguments } from '../native/eal.js';
import { devargsOf, isPciAddress, openDevice } from './devices.js';
import type { TemplateRegistry } from './templates.js';

/**
 * Of a live gateway's rings and held packets; with shards, each has so many. First packets that come while a thread stands
 * still wait for it: 30 ms of them at a million a second, two or three garbage collections in a row or what a hypervisor
 * takes of a core at once.
 */
export const LIVE_SIZES = { maxHeld: 32_768, eventSlots: 32_768, decisionSlots: 16_384 } as const;
/** Packet buffers take some 110 of it, 410 with an MTU of 9000. */
const MEMORY_MB = 768;
/** Packet buffers of one more lcore. */
const MEMORY_MB_OF_SHARD = 512;

/** Says which target a driver's ports have; null: none. */
export type TargetOf = (driver: string, devargs: string, release: Release) => string | null;

/** Starts EAL (once a process) with so many lcores for packets. @returns Ethdev names by port. @throws NativeError */
export function openPorts(config: ValidatedConfig, binding: NativeBinding, root: string, lcores: number): string[] {
  const pci = config.ports.flatMap(({ device }) => (device !== null && isPciAddress(device) ? [device] : []));
  const memoryMb = MEMORY_MB + (lcores - 1) * MEMORY_MB_OF_SHARD;
  binding.startEal(ealArguments(root, { memoryMb, lcores: 1 + lcores, pci }));
  return config.ports.map((port) => openDevice(binding, `/ports/${port.name}/device`, port.device ?? ''));
}

/** @returns Target of all ports, null: none. @throws Error DRIVERS @throws RangeError for an unknown target */
export function targetOfPorts(
  config: ValidatedConfig,
  binding: NativeBinding,
  devices: readonly string[],
  targetOf: TargetOf,
): string | null {
  const drivers = devices.map((device) => binding.driverOf(device));
  const target = targetOf(drivers[0], devargsOf(config.ports[0].device ?? ''), releaseOf(binding.dpdkVersion()));
  if (target !== null) requireOneDriver(config, drivers);
  return target;
}

/** From now on what the NIC, or a trial, says against a rule is logged. */
export function watchTemplates(templates: TemplateRegistry, log: Logger): void {
  templates.probesWith((rule, message) => {
    log.warn({ rule, message }, 'the NIC refuses a rule that its table allows: this direction stays in software');
  });
  if (!log.isLevelEnabled('debug')) return;
  templates.triesWith((rule, { hits, misses, faults }) => {
    if (faults.length > 0) log.error({ rule, faults }, 'a compiled rule does not do what its list says');
    else log.debug({ rule, hits, misses }, 'compiled rule tried');
  });
}

/** Rules are compiled once, for the NIC of every port. @throws Error DRIVERS with the port's path */
function requireOneDriver(config: ValidatedConfig, drivers: readonly string[]): void {
  const odd = drivers.findIndex((driver) => driver !== drivers[0]);
  if (odd < 0) return;
  throw Object.assign(
    new Error(
      `/ports/${config.ports[odd].name}/device: ${drivers[odd]} is another kind of NIC than ` +
        `${drivers[0]} of port "${config.ports[0].name}" (the same driver for both, or offload.target "software")`,
    ),
    { code: 'DRIVERS' },
  );
}
