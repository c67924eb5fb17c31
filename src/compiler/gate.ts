import type { CompileContext, CompilePort } from './index.js';
import type { MatchItem } from './ir.js';
import { conditioned, conditionsOf } from './passes/conditions.js';
import type { Target } from './target.js';

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_VLAN = 0x8100;
const IPV4: MatchItem = { type: 'ipv4' };

/**
 * What leads to the NAT rules: IPv4 frames to the gateway itself, with the port's tag or none, that fulfil the target's
 * conditions. Where NAT rules have a group a port, all that these have in common.
 */
export function gateMatch(port: CompilePort, target: Target, context: CompileContext): readonly MatchItem[] {
  const conditions = conditionsOf(target);
  const wanted = conditions.fragments || conditions.options || conditions.checksum;
  const inner: readonly MatchItem[] =
    port.role === 'fabric' && (target.groups.perPort || wanted)
      ? [{ type: 'eth', destination: context.underlay.mac }, IPV4]
      : [];
  const match = [...ownFrames(port, context), ...inner].map((node, index) => ({ node, index }));
  return conditioned(match, conditions).map(({ node }) => node);
}

function ownFrames(port: CompilePort, context: CompileContext): readonly MatchItem[] {
  const mac = port.role === 'fabric' ? context.underlay.mac : port.mac;
  const eth: MatchItem = { type: 'eth', destination: mac, etherType: port.vlan >= 0 ? ETHERTYPE_VLAN : ETHERTYPE_IPV4 };
  const tag: readonly MatchItem[] = port.vlan >= 0 ? [{ type: 'vlan', vid: port.vlan }] : [];
  if (port.role === 'external') return [eth, ...tag, IPV4];
  return [
    eth,
    ...tag,
    { type: 'ipv4', destination: context.underlay.vtep },
    { type: 'udp', destination: context.underlay.udpPort },
    { type: 'vxlan' },
  ];
}
