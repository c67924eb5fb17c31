import type { NativeBinding, NativeError } from '../native/binding.js';

/** Device arguments without the device's name. */
export const devargsOf = (device: string): string => device.split(',').slice(1).join(',');

/** Whether a device is one that EAL probes at its start, with what follows the address as its arguments. */
export function isPciAddress(device: string): boolean {
  return /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/i.test(device);
}

/** Probes a virtual device; a PCI device was probed by EAL. @returns The ethdev's name. @throws NativeError PORT with the port's path */
export function openDevice(binding: NativeBinding, path: string, device: string): string {
  const name = device.split(',')[0];
  if (isPciAddress(device)) return name;
  try {
    binding.probeDevice(device);
  } catch (error) {
    const fault = error as NativeError;
    fault.message = `${path}: ${fault.message}`;
    throw fault;
  }
  return name;
}
