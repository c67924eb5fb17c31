import { formatIpv4, formatMac, prefixContains } from '../address.js';
import type { Field, NameTable } from '../field.js';
import { type GatewayPort, NONE, type PeerGateway, type UnderlayNeighbour, type ValidatedConfig } from '../types.js';

const DEFAULT_MTU = { external: 1500, fabric: 1550 } as const;
/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header. */
const ENCAPSULATION_BYTES = 50;

export type Underlay = ValidatedConfig['underlay'];

export function resolveUnderlay(field: Field): Underlay {
  return {
    vtep: field.at('vtep').address() ?? 0,
    mac: field.at('mac').mac() ?? 0,
    udpPort: field.at('udpPort').integer() ?? 4789,
  };
}

export interface Ports {
  readonly ports: readonly GatewayPort[];
  readonly fabricPort: number;
  readonly externalPort: number;
}

/** @param externalUsers Parts of the configuration that need an external port to work. */
export function resolvePorts(field: Field, underlay: Underlay, externalUsers: readonly string[]): Ports {
  const ports: GatewayPort[] = [];
  const devices = new Map<string, string>();
  const byRole = { fabric: NONE, external: NONE };
  for (const [name, port] of field.entries()) {
    const role = port.at('role').choice(['fabric', 'external']);
    if (role === null) continue;
    const index = ports.length;
    if (byRole[role] === NONE) byRole[role] = index;
    else {
      port
        .at('role')
        .fault(
          `a second port of role ${role}, after "${ports[byRole[role]].name}"`,
          'a gateway has one port of each role',
        );
    }
    const device = port.at('device').text();
    const deviceName = device?.split(',')[0] ?? '';
    if (devices.has(deviceName)) {
      port
        .at('device')
        .fault(
          `the device ${deviceName} is port "${devices.get(deviceName)}" already`,
          'each port has a device of its own',
        );
    } else if (deviceName !== '') devices.set(deviceName, name);
    const settings = role === 'fabric' ? fabricPort(port, underlay) : externalPort(port, externalUsers);
    const mtu = port.at('mtu').integer() ?? DEFAULT_MTU[role];
    if (role === 'fabric' && mtu < 68 + ENCAPSULATION_BYTES) {
      port.at('mtu').fault(`${mtu} bytes leave no room for a packet`, `VXLAN alone takes ${ENCAPSULATION_BYTES}`);
    }
    ports.push({ index, name, role, device, mtu, ...settings });
  }
  const complete = field.entries().length === ports.length;
  if (complete && ports.length > 0 && byRole.fabric === NONE) {
    field.fault('no port has the role fabric', 'a gateway has one');
  }
  if (complete && byRole.external === NONE && externalUsers.length > 0) {
    field.fault(
      `no port has the role external, but ${externalUsers.join(', ')} need one`,
      'add one, or leave those parts out',
    );
  }
  return { ports, fabricPort: byRole.fabric, externalPort: byRole.external };
}

type PortSettings = Pick<GatewayPort, 'mac' | 'address' | 'nextHop' | 'vlan'>;

function fabricPort(port: Field, underlay: Underlay): PortSettings {
  const mac = port.at('mac').mac();
  if (mac !== null && mac !== underlay.mac) {
    port.at('mac').fault("differs from underlay.mac, which is the fabric port's MAC", formatMac(underlay.mac));
  }
  const address = port.at('address').interfaceAddress();
  if (address !== null && address.address !== underlay.vtep) {
    port
      .at('address')
      .fault("differs from underlay.vtep, which is the fabric port's address", formatIpv4(underlay.vtep));
  }
  for (const name of ['nextHop', 'vlan']) {
    if (port.at(name).isPresent) {
      port
        .at(name)
        .fault(
          'belongs to the external port',
          name === 'nextHop' ? 'underlay neighbours stand in vteps' : 'the fabric has no tag; leave it out',
        );
    }
  }
  return {
    mac: underlay.mac,
    address: address ?? { address: underlay.vtep, length: 32, mask: 0xffffffff },
    nextHop: null,
    vlan: null,
  };
}

function externalPort(port: Field, externalUsers: readonly string[]): PortSettings {
  if (!port.at('mac').isPresent) port.at('mac').fault('is missing', "the external port's MAC");
  for (const name of ['address', 'nextHop']) {
    if (!port.at(name).isPresent && externalUsers.length > 0) {
      port.at(name).fault('is missing', `${externalUsers.join(', ')} need it`);
    }
  }
  const mac = port.at('mac').mac();
  const address = port.at('address').interfaceAddress();
  const hopField = port.at('nextHop').at('address');
  const hop = hopField.address();
  const hopMac = port.at('nextHop').at('mac').mac();
  if (hop !== null && address !== null) {
    if (hop === address.address) hopField.fault("is the port's own address", 'give the neighbouring router');
    else if (address.length < 32 && !prefixContains(address, hop)) {
      hopField.fault(`${formatIpv4(hop)} is not in the port's subnet`, `the port has ${port.at('address').text()}`);
    }
  }
  if (hopMac !== null && hopMac === mac)
    port.at('nextHop').at('mac').fault("is the port's own MAC", 'give that of the neighbouring router');
  return {
    mac: mac ?? 0,
    address,
    nextHop: hop === null ? null : { address: hop, mac: hopMac },
    vlan: port.at('vlan').integer(),
  };
}

export function resolveVteps(field: Field, underlay: Underlay): readonly UnderlayNeighbour[] {
  const seen = new Map<number, string>();
  return field.items().map((item) => {
    const address = neighbourAddress(item.at('address'), underlay, seen);
    return { address, mac: item.at('mac').mac() };
  });
}

export function resolvePeerGateways(
  field: Field,
  ownName: string | null,
  underlay: Underlay,
  names: NameTable,
): readonly PeerGateway[] {
  const seen = new Map<number, string>();
  return field.items().map((item, index) => {
    names.define(item.at('name'), index);
    const name = item.at('name').text() ?? '';
    if (name === ownName) item.at('name').fault(`"${name}" is this gateway's own name`, 'list the other gateways only');
    return {
      index,
      name,
      vtep: neighbourAddress(item.at('vtep'), underlay, seen),
      mac: item.at('mac').mac() ?? 0,
      vni: item.at('vni').integer() ?? NONE,
    };
  });
}

function neighbourAddress(field: Field, underlay: Underlay, seen: Map<number, string>): number {
  const address = field.address();
  if (address === null) return 0;
  const before = seen.get(address);
  if (before !== undefined) field.fault(`${formatIpv4(address)} stands at ${before} already`, 'remove one of the two');
  else seen.set(address, field.path);
  if (address === underlay.vtep) field.fault("is this gateway's own VTEP", 'list the others only');
  return address;
}
