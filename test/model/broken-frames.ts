import { HOST_MAC } from './builder.js';
import { ethernet } from './frames.js';
import type { Arrival } from './gateway-model.js';
import { ICMP, Icmp, Packet, TCP, Tcp, UDP } from './ipv4.js';
import { type Generator, ip, REMOTES } from './operations.js';
import { HOSTS } from './scenario.js';
import { OUTSIDE, peerContext } from './topology.js';

/** Frames that the gateway refuses whatever its state is, each for a reason that the contract names. */
export function brokenFrame(g: Generator): Arrival[] {
  const { random, builder, model } = g;
  const { config } = model;
  const remote = random.pick(REMOTES);
  const host = ip(random.pick(HOSTS.red));
  const outwards = () => builder.packet(g.tuple(UDP, host, remote, 1000, 53));
  const inwards = () => builder.packet(g.tuple(UDP, remote, ip('203.0.113.10'), 53, 1000));
  const changed = (packet: Buffer, change: (packet: Packet) => void) => {
    change(new Packet(packet));
    return packet;
  };
  const broken = (text: string, frame: { port: number; bytes: Buffer }, ...reasons: string[]): Arrival[] => [
    { ...frame, micros: g.next(), text, what: { kind: 'refused', reasons } },
  ];
  const external = (bytes: Buffer) => ({ port: config.externalPort, bytes });
  const fabric = (bytes: Buffer) => ({ port: config.fabricPort, bytes });
  const cases: (() => Arrival[])[] = [
    () => broken('an unknown VNI', builder.frame(0, outwards(), { vni: 4242 }), 'unknown-vni'),
    () => broken('VXLAN without the I flag', builder.frame(0, outwards(), { flags: 0 }), 'malformed'),
    () => broken('a wrong outer MAC', builder.frame(0, outwards(), { outerDestinationMac: HOST_MAC }), 'not-for-us'),
    () => broken('a wrong inner MAC', builder.frame(0, outwards(), { innerDestinationMac: HOST_MAC }), 'not-for-us'),
    () => broken('IPv6 inside VXLAN', builder.frame(0, outwards(), { innerType: 0x86dd }), 'not-ipv4'),
    () => broken('an outer fragment', builder.frame(0, outwards(), { outerMoreFragments: true }), 'not-for-us'),
    () => broken('another UDP port of the VTEP', builder.frame(0, outwards(), { udpPort: 5555 }), 'not-for-us'),
    () =>
      broken(
        'a peer gateway’s VNI from a stranger',
        builder.frame(peerContext(0), outwards(), { outerSource: ip('172.30.0.77') }),
        'unknown-vtep',
      ),
    () =>
      broken(
        'a tag on the fabric',
        fabric(Buffer.concat([ethernet(config.underlay.mac, HOST_MAC, 0x8100, Buffer.from([0, 9, 8, 0])), outwards()])),
        'not-for-us',
      ),
    () =>
      broken('a foreign MAC outside', external(builder.external(inwards(), { destination: HOST_MAC })), 'not-for-us'),
    () =>
      broken(
        'a wrong tag outside',
        external(ethernet(config.ports[config.externalPort].mac, HOST_MAC, 0x0800, inwards(), 99)),
        'not-for-us',
      ),
    () =>
      broken(
        'a wrong IPv4 checksum inside',
        builder.frame(
          0,
          changed(outwards(), ({ bytes }) => bytes.writeUInt16BE(bytes.readUInt16BE(10) ^ 0x0101, 10)),
        ),
        'bad-checksum',
      ),
    () =>
      broken(
        'a wrong IPv4 checksum outside',
        builder.frame(
          OUTSIDE,
          changed(inwards(), ({ bytes }) => bytes.writeUInt16BE(bytes.readUInt16BE(10) ^ 0x0101, 10)),
        ),
        'bad-checksum',
      ),
    () =>
      broken(
        'a UDP length beyond the packet',
        builder.frame(
          0,
          changed(outwards(), ({ transport }) => transport.writeUInt16BE(999, 4)),
        ),
        'malformed',
      ),
    () => broken('a TCP data offset below 5', builder.frame(0, tcpWithOffset(g, host, remote)), 'malformed'),
    () => broken('a packet cut off', builder.frame(0, outwards().subarray(0, 24)), 'malformed'),
    () =>
      broken(
        'a wrong ICMP checksum',
        builder.frame(
          0,
          changed(builder.packet(g.tuple(ICMP, host, remote, 7, 7)), ({ transport }) =>
            transport.writeUInt16BE(transport.readUInt16BE(2) ^ 0x0101, 2),
          ),
        ),
        'bad-checksum',
      ),
    () =>
      broken(
        'a host of no subnet',
        builder.frame(0, builder.packet(g.tuple(UDP, ip('10.66.0.1'), remote, 1000, 53))),
        'source-not-in-vpc',
      ),
    () =>
      broken(
        'an ICMP timestamp request',
        builder.frame(0, builder.packet(g.tuple(ICMP, host, remote, 7, 7), { icmpType: 13 })),
        'icmp-unsupported',
      ),
    () =>
      broken(
        'a frame above the MTU',
        builder.frame(
          OUTSIDE,
          builder.packet(g.tuple(UDP, remote, ip('203.0.113.10'), 1, 2), {
            size: config.ports[config.externalPort].mtu,
          }),
        ),
        'too-big',
      ),
    () => broken('an error that quotes a wrong header checksum', wrongQuote(g), 'bad-checksum'),
    () =>
      broken(
        'UDP to the gateway',
        builder.frame(OUTSIDE, builder.packet(g.tuple(UDP, remote, model.topology.externalAddress, 53, 53))),
        'not-for-us',
      ),
    () =>
      broken(
        'TCP to the VTEP in a VPC',
        builder.frame(0, builder.packet(g.tuple(TCP, host, config.underlay.vtep, 53, 53), { tcpFlags: Tcp.syn })),
        'not-for-us',
      ),
    () =>
      broken(
        'a neighbour’s IPv4 to the VTEP',
        fabric(
          ethernet(
            config.underlay.mac,
            config.vteps[0].mac ?? 0,
            0x0800,
            builder.packet(g.tuple(TCP, config.vteps[0].address, config.underlay.vtep, 9, 9)),
          ),
        ),
        'not-for-us',
      ),
  ];
  return random.pick(cases)();
}

function tcpWithOffset(g: Generator, host: number, remote: number): Buffer {
  const bytes = g.builder.packet(g.tuple(TCP, host, remote, 1000, 53), { tcpFlags: Tcp.syn });
  new Packet(bytes).transport[12] = 0x40;
  return bytes;
}

/** RFC 5508 REQ-3 a: the quoted packet's IPv4 header is checked too. */
function wrongQuote(g: Generator): { port: number; bytes: Buffer } {
  const session = g.liveSession();
  const t =
    session?.reverseContext === OUTSIDE ? session.translated : g.tuple(UDP, ip('203.0.113.10'), REMOTES[0], 1, 2);
  const quoted = g.builder.packet(t, { icmpType: Icmp.echo, size: 8 });
  quoted.writeUInt16BE(quoted.readUInt16BE(10) ^ 0x0101, 10);
  return g.builder.frame(OUTSIDE, g.builder.error(REMOTES[1], t.source, 3, 1, quoted, 548));
}
