'use strict';
// Frames, captures and rule templates for the scenarios, made by hand: the compiler has tests of its own.

const VTEP = 0xac1e0001;
const UNDERLAY_MAC = 0x020000000001;
const EXTERNAL_MAC = 0x020000000002;
const NEXT_HOP_MAC = 0x020000000009;
const PEER_MAC = 0x02000000000b;
const NAT = 0xcb007110;

const Item = { representedPort: 2, eth: 3, ipv4: 5, udp: 7, tcp: 8, icmp: 9, vxlan: 10 };
const Action = {
  count: 2,
  age: 3,
  representedPort: 9,
  vxlanEncap: 10,
  vxlanDecap: 11,
  macSource: 12,
  macDestination: 13,
  ipv4Source: 14,
  ipv4Destination: 15,
  tpSource: 16,
  tpDestination: 17,
  decTtl: 18,
};
const Argument = {
  matchSource: 0,
  matchDestination: 4,
  matchSourcePort: 8,
  matchDestinationPort: 10,
  matchVni: 12,
  newSource: 20,
  newDestination: 24,
  newSourcePort: 28,
  newDestinationPort: 30,
  newVni: 32,
  outerDestination: 36,
};

const mac = (value) => Buffer.from(value.toString(16).padStart(12, '0'), 'hex');
const u32 = (value) => Buffer.from([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
const u16 = (value) => Buffer.from([value >>> 8, value & 255]);

function checksum(bytes) {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) + (i + 1 < bytes.length ? bytes[i + 1] : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An IPv4 packet. `fragment`: the flags and offset word. */
function ipv4(protocol, source, destination, body, { ttl = 64, id = 1, fragment = 0 } = {}) {
  const header = Buffer.concat([
    Buffer.from([0x45, 0]),
    u16(20 + body.length),
    u16(id),
    u16(fragment),
    Buffer.from([ttl, protocol, 0, 0]),
    u32(source),
    u32(destination),
  ]);
  u16(checksum(header)).copy(header, 10);
  return Buffer.concat([header, body]);
}

const udp = (source, destination, payload = Buffer.from('payload!')) =>
  Buffer.concat([u16(source), u16(destination), u16(8 + payload.length), u16(0), payload]);

function icmp(type, code, rest, payload = Buffer.alloc(0)) {
  const message = Buffer.concat([Buffer.from([type, code, 0, 0]), rest, payload]);
  u16(checksum(message)).copy(message, 2);
  return message;
}

const ethernet = (destination, source, type, body) => Buffer.concat([mac(destination), mac(source), u16(type), body]);

/** From a VPC's host to the gateway, inside VXLAN. */
function fromVpc(packet, { vni = 100, outerSource = 0xac1e000b } = {}) {
  const inner = ethernet(UNDERLAY_MAC, PEER_MAC, 0x0800, packet);
  const vxlan = Buffer.concat([Buffer.from([8, 0, 0, 0]), u32(vni * 256)]);
  return ethernet(
    UNDERLAY_MAC,
    PEER_MAC,
    0x0800,
    ipv4(17, outerSource, VTEP, udp(50000, 4789, Buffer.concat([vxlan, inner]))),
  );
}

const fromOutside = (packet) => ethernet(EXTERNAL_MAC, NEXT_HOP_MAC, 0x0800, packet);

/** Classic capture. `frames`: [seconds, microseconds, bytes]. */
function pcap(frames, linkType = 1) {
  const u32le = (...values) =>
    Buffer.concat(
      values.map((value) => {
        const b = Buffer.alloc(4);
        b.writeUInt32LE(value >>> 0);
        return b;
      }),
    );
  const header = Buffer.concat([u32le(0xa1b2c3d4), Buffer.from([2, 0, 4, 0]), u32le(0, 0, 262144, linkType)]);
  return Buffer.concat([
    header,
    ...frames.map(([s, us, bytes]) => Buffer.concat([u32le(s, us, bytes.length, bytes.length), bytes])),
  ]);
}

/** The frames of a classic capture, [seconds, microseconds, bytes]. */
function readPcap(bytes) {
  const frames = [];
  for (let at = 24; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    frames.push([bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4), bytes.subarray(at + 16, at + 16 + length)]);
    at += 16 + length;
  }
  return frames;
}

const ones = (size, from, count) => {
  const bytes = new Uint8Array(size);
  bytes.fill(255, from, from + count);
  return bytes;
};
const BIG = 256;
const item = (index, offset, width, argument) => [0, index, offset, width + BIG, argument];
const action = (index, offset, width, argument) => [1, index, offset, width + BIG, argument];

/** VXLAN in, plain out: source translated, for UDP. */
function outwards() {
  return {
    group: 0,
    priority: 0,
    transfer: true,
    items: [
      { type: Item.representedPort, spec: Uint8Array.of(0, 0), mask: Uint8Array.of(255, 255) },
      { type: Item.eth },
      { type: Item.ipv4 },
      { type: Item.udp },
      { type: Item.vxlan, spec: new Uint8Array(8), mask: ones(8, 4, 3) },
      { type: Item.eth },
      { type: Item.ipv4, spec: new Uint8Array(20), mask: ones(20, 12, 8) },
      { type: Item.udp, spec: new Uint8Array(8), mask: ones(8, 0, 4) },
    ],
    actions: [
      { type: Action.age, conf: Uint8Array.of(30, 0, 0, 0) },
      { type: Action.vxlanDecap, conf: new Uint8Array(0) },
      { type: Action.ipv4Source, conf: new Uint8Array(4) },
      { type: Action.tpSource, conf: new Uint8Array(2) },
      { type: Action.decTtl, conf: new Uint8Array(0) },
      { type: Action.macSource, conf: new Uint8Array(mac(EXTERNAL_MAC)) },
      { type: Action.macDestination, conf: new Uint8Array(mac(NEXT_HOP_MAC)) },
      { type: Action.representedPort, conf: Uint8Array.of(1, 0) },
    ],
    patches: [
      ...item(4, 4, 3, Argument.matchVni),
      ...item(6, 12, 4, Argument.matchSource),
      ...item(6, 16, 4, Argument.matchDestination),
      ...item(7, 0, 2, Argument.matchSourcePort),
      ...item(7, 2, 2, Argument.matchDestinationPort),
      ...action(2, 0, 4, Argument.newSource),
      ...action(3, 0, 2, Argument.newSourcePort),
    ],
  };
}

/** A template whose rules count, too: before the last action, so that patches of those before it stay right. */
function counting(template) {
  const { actions } = template;
  return {
    ...template,
    actions: [...actions.slice(0, -1), { type: Action.count, conf: new Uint8Array(0) }, actions.at(-1)],
  };
}

/** Plain in, VXLAN out: destination translated back, for UDP. */
function inwards() {
  const envelope = Buffer.concat([
    mac(PEER_MAC),
    mac(UNDERLAY_MAC),
    u16(0x0800),
    Buffer.from([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0]),
    u32(VTEP),
    u32(0),
    u16(50001),
    u16(4789),
    u16(0),
    u16(0),
    Buffer.from([8, 0, 0, 0, 0, 0, 0, 0]),
  ]);
  return {
    group: 0,
    priority: 0,
    transfer: true,
    items: [
      { type: Item.representedPort, spec: Uint8Array.of(1, 0), mask: Uint8Array.of(255, 255) },
      { type: Item.eth },
      { type: Item.ipv4, spec: new Uint8Array(20), mask: ones(20, 12, 8) },
      { type: Item.udp, spec: new Uint8Array(8), mask: ones(8, 0, 4) },
    ],
    actions: [
      { type: Action.age, conf: Uint8Array.of(30, 0, 0, 0) },
      { type: Action.ipv4Destination, conf: new Uint8Array(4) },
      { type: Action.tpDestination, conf: new Uint8Array(2) },
      { type: Action.decTtl, conf: new Uint8Array(0) },
      { type: Action.macSource, conf: new Uint8Array(mac(UNDERLAY_MAC)) },
      { type: Action.macDestination, conf: new Uint8Array(mac(PEER_MAC)) },
      { type: Action.vxlanEncap, conf: new Uint8Array(envelope) },
      { type: Action.representedPort, conf: Uint8Array.of(0, 0) },
    ],
    patches: [
      ...item(2, 12, 4, Argument.matchSource),
      ...item(2, 16, 4, Argument.matchDestination),
      ...item(3, 0, 2, Argument.matchSourcePort),
      ...item(3, 2, 2, Argument.matchDestinationPort),
      ...action(1, 0, 4, Argument.newDestination),
      ...action(2, 0, 2, Argument.newDestinationPort),
      ...action(6, 46, 3, Argument.newVni),
      ...action(6, 30, 4, Argument.outerDestination),
    ],
  };
}

module.exports = {
  VTEP,
  UNDERLAY_MAC,
  EXTERNAL_MAC,
  NEXT_HOP_MAC,
  PEER_MAC,
  NAT,
  Action,
  Item,
  checksum,
  ethernet,
  fromOutside,
  fromVpc,
  icmp,
  counting,
  inwards,
  ipv4,
  mac,
  outwards,
  pcap,
  readPcap,
  u16,
  u32,
  udp,
};
