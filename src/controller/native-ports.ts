import type { ValidatedConfig } from '../config/types.js';
import { PortRole } from '../native/records.js';

/** The gateway's ports as the addon takes them. @param devices Ethdev names by port index. */
export function nativePorts(config: ValidatedConfig, devices: readonly string[]) {
  return config.ports.map((port) => ({
    role: port.role === 'fabric' ? PortRole.fabric : PortRole.external,
    device: devices[port.index],
    mac: port.mac ?? 0,
    address: port.address?.address ?? 0,
    mtu: port.mtu,
    vlan: port.vlan ?? -1,
  }));
}
