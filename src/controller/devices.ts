import type { NativeBinding, NativeError } from '../native/binding.js';

/**
 * net_af_packet names its sockets' group by process id and interface index, and a group belongs to one interface of a
 * network namespace: what another process has cannot be had.
 */
const GROUP_IS_TAKEN = /PACKET_FANOUT/;
const GROUP_REMEDY =
  'another process in this network namespace has packet sockets of that number; start again, or give each gateway a namespace of its own';
const PCI_REMEDY =
  'dpdk-devbind.py --status lists the devices: address with domain, bound to what its driver needs, no other process on it';
const VIRTUAL_REMEDY =
  'docs/wires.md has device arguments that work; the interface must be there, and root may be needed';

function remedyOf(device: string, message: string): string {
  if (isPciAddress(device)) return PCI_REMEDY;
  return GROUP_IS_TAKEN.test(message) ? GROUP_REMEDY : VIRTUAL_REMEDY;
}

/** Device arguments without the device's name. */
export const devargsOf = (device: string): string => device.split(',').slice(1).join(',');

/** Whether a device is one that EAL probes at its start, with what follows the address as its arguments. */
export function isPciAddress(device: string): boolean {
  return /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/i.test(device);
}

/** Probes a virtual device; a PCI device was probed by EAL. @returns The ethdev's name. @throws NativeError PORT with the port's path */
export function openDevice(binding: NativeBinding, path: string, device: string): string {
  const name = device.split(',')[0];
  try {
    if (isPciAddress(device)) binding.driverOf(name);
    else binding.probeDevice(device);
  } catch (error) {
    const fault = error as NativeError;
    fault.message = `${path}: ${fault.message} (${remedyOf(device, fault.message)})`;
    throw fault;
  }
  return name;
}
