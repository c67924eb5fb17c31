import type { Arrival, GatewayModel } from './gateway-model.js';
import { ICMP, Packet } from './ipv4.js';

type Asked = Extract<Arrival['what'], { kind: 'vpc-arp' | 'underlay-ping' }>;

/** Claims the gateway's own answer to ARP in a VPC or to a ping of the VTEP. */
export function claimLocalAnswer(model: GatewayModel, asked: Asked, text: string): void {
  const { config, topology, step, micros, outcomes } = model;
  if (asked.kind === 'vpc-arp') {
    const route = topology.route(asked.context, asked.sender);
    step.claim(micros, `the answer to ${text}`, ({ type, tunnel, payload }) => {
      if (type !== 0x0806 || tunnel === null) return 'is no ARP in a VPC';
      if (tunnel.vni !== topology.vpc(asked.context).vni || tunnel.vtep !== route?.vtep) return 'went elsewhere';
      return payload.subarray(0, 28).equals(asked.reply) ? null : 'says something else';
    });
    outcomes.add('local:arp-answered:vpc');
    return;
  }
  step.claim(micros, `the answer to ${text}`, (seen) => {
    if (seen.port !== config.fabricPort || seen.tunnel !== null || seen.type !== 0x0800) return 'is no plain IPv4';
    if (seen.destinationMac !== asked.mac) return 'has another destination MAC';
    const got = new Packet(seen.payload);
    if (got.protocol !== ICMP || got.source !== asked.from || got.destination !== asked.to)
      return 'has other addresses';
    return got.transport.equals(asked.transport) ? null : 'has another payload';
  });
  outcomes.add('local:ping:underlay');
}
