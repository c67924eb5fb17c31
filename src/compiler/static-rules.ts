import { compileFor } from './compile.js';
import { gateMatch } from './gate.js';
import type { CompileContext, CompilePort } from './index.js';
import type { FlowList, MatchItem } from './ir.js';
import { FRAGMENT_BITS } from './passes/conditions.js';
import type { PuntName, Target } from './target.js';
import { targetNamed } from './target.js';
import type { RuleTemplate } from './template.js';

const PUNT_PRIORITY = 0;
const JUMP_PRIORITY = 1;

const TCP_FLAGS = { fin: 0x01, syn: 0x02, rst: 0x04 } as const; // RFC 9293 section 3.1

const ETH: MatchItem = { type: 'eth' };
const IPV4: MatchItem = { type: 'ipv4' };

/**
 * The constant rules of the first group that the NAT rules of every port rely on.
 *
 * Higher priority: to the application goes what only software may serve. Lowest: frames to the gateway's own MAC jump to the
 * NAT rules. What neither serves misses, to the application. Empty for a target that sees only what software gives it, or that can serve no NAT rule.
 *
 * @throws Error when a target table says `rule` of a punt that the target's own items cannot express.
 */
export function staticRules(target: string, context: CompileContext): RuleTemplate[] {
  const found = targetNamed(target);
  if (!found) throw new Error(`there is no target ${target}`);
  return staticRulesFor(found, context);
}

/** Whether the target has the means to keep from NAT rules what only software may serve. Otherwise it gets none. */
function servesNat(target: Target): boolean {
  const means = (['fragments', 'options', 'ttl', 'ipv4-checksum'] as const).map((punt) => target.punts[punt].means);
  if (target.kind === 'software' || means.includes('none')) return false;
  if (target.groups.static !== target.groups.nat && target.actions.jump.forms.length === 0) return false;
  return !Object.values(target.punts).some(({ means: by }) => by === 'rule') || target.actions.punt.forms.length > 0;
}

export function staticRulesFor(target: Target, context: CompileContext): RuleTemplate[] {
  if (!servesNat(target)) return [];
  return context.ports.flatMap((port, index) => {
    const punts = puntMatches(port, target, context).map(({ name, match }) =>
      staticRule(
        { name: `${port.name}-${name}`, ingress: index, match, actions: [{ type: 'punt', port: index }] },
        PUNT_PRIORITY,
        target,
        context,
      ),
    );
    if (target.groups.static === target.groups.nat) return punts;
    const jump: FlowList = {
      name: `${port.name}-nat`,
      ingress: index,
      match: gateMatch(port, target, context),
      actions: [{ type: 'jump', group: target.groups.perPort ? target.groups.nat + index : target.groups.nat }],
    };
    return [...punts, staticRule(jump, JUMP_PRIORITY, target, context)];
  });
}

function staticRule(list: FlowList, priority: number, target: Target, context: CompileContext): RuleTemplate {
  const result = compileFor(list, target, context, { group: target.groups.static, priority, domain: target.domain });
  if (result.ok) return result.template;
  throw new Error(`${target.name}: static rule ${list.name}: ${result.diagnostics.map((d) => d.message).join('; ')}`);
}

/** Headers up to and with the IPv4 header of a layer, that header's conditions given. */
type Layer = (ipv4: MatchItem) => readonly MatchItem[];

function layersOf(port: CompilePort, context: CompileContext): { readonly outer: Layer; readonly innermost: Layer } {
  const tag: readonly MatchItem[] = port.vlan >= 0 ? [{ type: 'vlan' }] : [];
  const outer: Layer = (ipv4) => [ETH, ...tag, ipv4];
  const udp: MatchItem = { type: 'udp', destination: context.underlay.udpPort };
  const inner: Layer = (ipv4) => [ETH, ...tag, IPV4, udp, { type: 'vxlan' }, ETH, ipv4];
  return { outer, innermost: port.role === 'fabric' ? inner : outer };
}

/** Outer TTL and DF are not conditions: the gateway is the tunnel's end, only the inner packet is forwarded. */
function puntMatches(
  port: CompilePort,
  target: Target,
  context: CompileContext,
): { name: string; match: readonly MatchItem[] }[] {
  const { outer, innermost } = layersOf(port, context);
  const layers: { name: string; layer: Layer; number: 1 | 2 }[] =
    port.role === 'fabric'
      ? [
          { name: 'outer-', layer: outer, number: 1 },
          { name: 'inner-', layer: innermost, number: 2 },
        ]
      : [{ name: '', layer: outer, number: 1 }];
  const byRule = (punt: PuntName) => target.punts[punt].means === 'rule';

  const punts: { name: string; match: readonly MatchItem[] }[] = [];
  for (const { name, layer, number } of layers) {
    if (byRule('fragments')) {
      punts.push({
        name: `${name}fragments`,
        match: layer({ type: 'ipv4', fragmentOffset: { first: 1, last: FRAGMENT_BITS, mask: FRAGMENT_BITS } }),
      });
    }
    if (byRule('options')) {
      punts.push({ name: `${name}options`, match: layer({ type: 'ipv4', versionIhl: { first: 0x46, last: 0x4f } }) });
    }
    if (byRule('ipv4-checksum')) {
      punts.push({
        name: `${name}bad-checksum`,
        match: [...layer(IPV4), { type: 'integrity', layer: number, ipv4ChecksumOk: false }],
      });
    }
  }
  if (byRule('ttl')) punts.push({ name: 'ttl', match: innermost({ type: 'ipv4', ttl: { value: 0, mask: 0xfe } }) });
  if (byRule('tcp-flags')) {
    for (const [flag, bit] of Object.entries(TCP_FLAGS)) {
      punts.push({
        name: `tcp-${flag}`,
        match: [...innermost(IPV4), { type: 'tcp', flags: { value: bit, mask: bit } }],
      });
    }
  }
  return punts;
}
