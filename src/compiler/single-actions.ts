import type { ActionName } from './fields.js';
import type { Action, FlowList, MatchItem } from './ir.js';
import type { Target } from './target.js';

/** A list that is little but the action, of each that a target has a form for. */
export const ALONE: Readonly<Record<Exclude<ActionName, 'checksum' | 'set-icmp-identifier'>, readonly Action[]>> = {
  'pop-vxlan': [{ type: 'pop-vxlan' }],
  'push-vxlan': [
    {
      type: 'push-vxlan',
      sourceMac: 1,
      destinationMac: 2,
      source: 3,
      destination: 4,
      udpSourcePort: 5,
      udpDestinationPort: 4789,
      vni: 6,
    },
  ],
  'set-vni': [{ type: 'set-vni', vni: 7 }],
  'pop-vlan': [{ type: 'pop-vlan' }],
  'push-vlan': [{ type: 'push-vlan', vid: 8 }],
  'set-ethernet': [{ type: 'set-ethernet', source: 9, destination: 10 }],
  'set-ipv4': [{ type: 'set-ipv4', source: 11, destination: 12 }, { type: 'checksum' }],
  'set-l4': [{ type: 'set-l4', protocol: 'udp', source: 13, destination: 14 }, { type: 'checksum' }],
  'decrement-ttl': [{ type: 'decrement-ttl' }, { type: 'checksum' }],
  count: [{ type: 'count' }],
  age: [{ type: 'age', seconds: 15 }],
  mark: [{ type: 'mark', id: 16 }],
  output: [{ type: 'output', port: 1 }],
  punt: [{ type: 'punt', port: 0 }],
  drop: [{ type: 'drop' }],
  jump: [{ type: 'jump', group: 17 }],
};
const FATES: ReadonlySet<string> = new Set(['output', 'punt', 'drop', 'jump']);
const TUNNEL: readonly MatchItem[] = ['eth', 'ipv4', 'udp', 'vxlan', 'eth'].map((type) => ({ type }) as MatchItem);
const MATCHES: Readonly<Record<string, readonly MatchItem[]>> = {
  'pop-vxlan': TUNNEL,
  'set-vni': TUNNEL,
  'pop-vlan': [{ type: 'eth' }, { type: 'vlan' }, { type: 'ipv4' }],
};

/** Lists with one action each and whatever fate the target knows. */
export function singleActions(target: Target): readonly FlowList[] {
  const fate = (['punt', 'drop', 'jump'] as const).find((name) => target.actions[name].forms.length > 0) ?? 'drop';
  const plain = (['eth', 'ipv4', 'udp'] as const).filter((type) => type === 'eth' || target.items[type]);
  return Object.entries(ALONE).map(([name, actions]): FlowList => {
    return {
      name,
      ingress: 0,
      match: MATCHES[name] ?? plain.map((type) => ({ type }) as MatchItem),
      actions: FATES.has(name) ? actions : [...actions, ...ALONE[fate]],
    };
  });
}
