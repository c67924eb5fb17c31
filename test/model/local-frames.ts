import { HOST_MAC } from './builder.js';
import { BROADCAST, encodeArp, ethernet } from './frames.js';
import type { Arrival } from './gateway-model.js';
import { ICMP, Icmp, Packet, withTransportChecksum } from './ipv4.js';
import { type Generator, ip, REMOTES } from './operations.js';
import { type Context, OUTSIDE } from './topology.js';

/** Pings of the gateway's own addresses and ARP. */
export function localFrame(g: Generator): Arrival[] {
  const { random, builder, model } = g;
  const { config, topology } = model;
  const ping = (context: Context, from: number, to: number): Arrival[] => {
    const ttl = random.pick([1, 64]);
    return [
      builder.arrival(context, builder.packet(g.tuple(ICMP, from, to, 7, 7), { ttl }), g.next(), ' to the gateway'),
    ];
  };
  const arp = (context: Context, sender: number, target: number, answered: boolean): Arrival[] => {
    const { port, bytes, reply } = builder.arp(context, sender, target);
    const side = context === OUTSIDE ? 'outside' : 'vpc';
    const what = {
      kind: 'local',
      reply: answered ? reply : null,
      outcome: `local:arp-${answered ? 'answered' : 'ignored'}:${side}`,
    } as const;
    return [{ port, bytes, micros: g.next(), text: `ARP ${side}`, what }];
  };
  const cases: (() => Arrival[])[] = [
    () => ping(0, ip('10.0.1.7'), topology.ownAddress(0)),
    () => ping(1, ip('10.0.2.9'), config.underlay.vtep),
    () => ping(0, ip('10.0.1.8'), topology.externalAddress),
    () => ping(OUTSIDE, REMOTES[0], topology.externalAddress),
    () => arp(OUTSIDE, ip('203.0.113.254'), topology.externalAddress, true),
    () => {
      const asked = ip(random.pick(['203.0.113.10', '203.0.113.11', '203.0.113.16', '203.0.113.22']));
      return arp(OUTSIDE, ip('203.0.113.254'), asked, topology.isExternal(asked));
    },
    () => arp(OUTSIDE, ip('203.0.113.254'), ip('203.0.113.99'), false),
    () => arp(0, ip('10.0.1.7'), ip('10.0.1.250'), false),
    () => vpcArp(g),
    () => underlayArp(g),
    () => underlayPing(g),
  ];
  return random.pick(cases)();
}

function vpcArp(g: Generator): Arrival[] {
  const { gatewayAddress } = g.model.topology.vpc(0);
  if (gatewayAddress === null) return [];
  const { port, bytes, reply } = g.builder.arp(0, ip('10.0.1.7'), gatewayAddress);
  return [
    {
      port,
      bytes,
      micros: g.next(),
      text: 'ARP in a VPC',
      what: { kind: 'vpc-arp', context: 0, sender: ip('10.0.1.7'), reply },
    },
  ];
}

function underlayArp(g: Generator): Arrival[] {
  const { config } = g.model;
  const { address, mac } = config.vteps[0];
  const senderMac = mac ?? HOST_MAC;
  const asked = g.random.chance(0.7) ? config.underlay.vtep : ip('172.30.0.99');
  const bytes = ethernet(
    BROADCAST,
    senderMac,
    0x0806,
    encodeArp({ operation: 1, senderMac, sender: address, targetMac: 0, target: asked }),
  );
  const answered = asked === config.underlay.vtep;
  const answer = encodeArp({
    operation: 2,
    senderMac: config.underlay.mac,
    sender: asked,
    targetMac: senderMac,
    target: address,
  });
  const reply = answered ? ethernet(senderMac, config.underlay.mac, 0x0806, answer) : null;
  const outcome = `local:arp-${answered ? 'answered' : 'ignored'}:underlay`;
  return [
    {
      port: config.fabricPort,
      bytes,
      micros: g.next(),
      text: 'ARP on the underlay',
      what: { kind: 'local', reply, outcome },
    },
  ];
}

/** The answer to a ping of the VTEP is plain IPv4 on the fabric; its TOS, id, TTL and DF are the gateway's. */
function underlayPing(g: Generator): Arrival[] {
  const { config } = g.model;
  const { address, mac } = config.vteps[0];
  const packet = g.builder.packet(g.tuple(ICMP, address, config.underlay.vtep, 7, 7));
  const bytes = ethernet(config.underlay.mac, mac ?? HOST_MAC, 0x0800, packet);
  const answer = Buffer.from(packet);
  new Packet(answer).transport[0] = Icmp.echoReply;
  withTransportChecksum(answer);
  const transport = new Packet(answer).transport;
  const ping = { from: config.underlay.vtep, to: address, mac: mac ?? HOST_MAC, transport };
  return [
    {
      port: config.fabricPort,
      bytes,
      micros: g.next(),
      text: 'a ping of the VTEP',
      what: { kind: 'underlay-ping', ...ping },
    },
  ];
}
