import type { DiagnosticCollector } from '../diagnostics.js';
import { isMasked, isRange, matchedFields } from '../fields.js';
import { matchedFrames } from '../headers.js';
import type { CompileContext } from '../index.js';
import type { MatchValue } from '../ir.js';
import type { Rule } from '../rule.js';
import type { MatchForm, PuntName, RewrittenField, Target } from '../target.js';
import { conditioned, conditionsOf } from './conditions.js';

/** Bytes that VXLAN adds to the IPv4 packet inside: inner Ethernet 14, VXLAN 8, UDP 8, IPv4 20 (RFC 7348 section 5). */
export const VXLAN_OVERHEAD_BYTES = 50;

const PROTOCOL_ICMP = 1;
const PROTOCOL_TCP = 6;

const formOf = (value: MatchValue): MatchForm => (isMasked(value) ? 'mask' : isRange(value) ? 'range' : 'exact');

/**
 * Refuses what the target cannot execute, everything at once; adds the conditions by which the rule itself keeps away what only
 * software may serve; drops `checksum` where the target implies it.
 *
 * Precondition: verified and canonical. What passes is executed by the target as the list says, and by no packet that only
 * software may serve.
 */
export function legalise(rule: Rule, target: Target, context: CompileContext, report: DiagnosticCollector): Rule {
  const fate = rule.actions.at(-1)?.node;
  const forwards = target.kind === 'nic' && fate?.type === 'output';
  const icmp = forwards && legaliseTraffic(rule, target, context, report);
  const match = forwards ? withConditions(rule.match, target) : rule.match;
  legaliseItems({ ...rule, match }, target, report);
  legaliseActions(rule, target, icmp, report);
  legaliseRewrites(rule, target, report);
  if (forwards) {
    legaliseConstantRules(target, report);
    legaliseSize(rule, context.ports[fate.port].mtu, context, report);
  }
  const implied = target.actions.checksum.forms.includes('implied');
  const actions = rule.actions.filter((at) => at.node.type !== 'checksum');
  return { ...rule, match, actions, checksumsImplied: implied };
}

/** Conditions of rules that no gate stands before, and of TCP rules everywhere: a gate is one for all protocols. */
function withConditions(match: Rule['match'], target: Target): Rule['match'] {
  const gated = target.groups.static !== target.groups.nat;
  const conditions = gated ? { fragments: false, options: false, checksum: false } : conditionsOf(target);
  return conditioned(match, { ...conditions, tcpFlags: target.punts['tcp-flags'].means === 'condition' });
}

/** The constant rules that a NAT rule relies on need actions of their own. */
function legaliseConstantRules(target: Target, report: DiagnosticCollector): void {
  const needs: { action: 'jump' | 'punt'; when: boolean; why: string }[] = [
    { action: 'jump', when: target.groups.static !== target.groups.nat, why: 'the way to the NAT rules' },
    {
      action: 'punt',
      when: Object.values(target.punts).some(({ means }) => means === 'rule'),
      why: 'keeping from the NAT rules what only software may serve',
    },
  ];
  for (const { action, when, why } of needs) {
    const capability = target.actions[action];
    if (!when || capability.forms.length > 0) continue;
    const hint = capability.note ?? `see ${capability.source}`;
    report.list('action-unsupported', `${target.name} cannot execute ${action}, which ${why} needs`, hint);
  }
}

/** A NIC may know only some sets of addresses and ports that are rewritten together. */
function legaliseRewrites(rule: Rule, target: Target, report: DiagnosticCollector): void {
  const written = new Set<RewrittenField>();
  for (const { node } of rule.actions) {
    if (node.type === 'set-ipv4') {
      if (node.source !== undefined) written.add('source');
      if (node.destination !== undefined) written.add('destination');
    } else if (node.type === 'set-l4') {
      if (node.source !== undefined) written.add('sport');
      if (node.destination !== undefined) written.add('dport');
    }
  }
  if (!target.rewriteSets || written.size === 0) return;
  const { sets, source } = target.rewriteSets;
  if (sets.some((set) => set.length === written.size && set.every((field) => written.has(field)))) return;
  const known = sets.map((set) => set.join(' + ')).join('; ');
  report.list(
    'rewrite-set',
    `${target.name} cannot rewrite ${[...written].join(' + ')} and nothing else`,
    `it can rewrite: ${known} (${source})`,
  );
}

function legaliseItems(rule: Rule, target: Target, report: DiagnosticCollector): void {
  for (const at of rule.match) {
    const item = at.node;
    const capability = target.items[item.type];
    if (!capability) {
      report.item(
        at,
        'item-unsupported',
        `${target.name} cannot match ${item.type}`,
        'leave these packets to software',
      );
      continue;
    }
    for (const { name, value } of matchedFields(item)) {
      const forms = capability.fields[name];
      if (!forms) {
        const able = Object.keys(capability.fields).join(', ') || 'its presence';
        report.item(
          at,
          'field-unsupported',
          `${target.name} cannot match ${item.type}.${name}`,
          `of ${item.type} it can match: ${able}`,
        );
      } else if (!forms.includes(formOf(value))) {
        const message = `${target.name} cannot match ${item.type}.${name} by ${formOf(value)}`;
        report.item(at, 'field-unsupported', message, `it can by: ${forms.join(', ')}`);
      }
    }
  }
}

/** @param icmp The list is refused as ICMP: what only ICMP needs is no further reason. */
function legaliseActions(rule: Rule, target: Target, icmp: boolean, report: DiagnosticCollector): void {
  for (const at of rule.actions) {
    const capability = target.actions[at.node.type];
    if (capability.forms.length > 0 || (icmp && at.node.type === 'set-icmp-identifier')) continue;
    const why = capability.note ?? `see ${capability.source}`;
    if (at.node.type === 'checksum') {
      report.action(at, 'checksum-unsupported', `${target.name} leaves checksums stale after rewrites`, why);
    } else {
      report.action(at, 'action-unsupported', `${target.name} cannot execute ${at.node.type}`, why);
    }
  }
}

/**
 * No NIC rule may forward fragments, options, TTL ≤ 1, TCP SYN, FIN, RST, ICMP, or bad headers.
 *
 * @returns Whether the list is of ICMP.
 */
function legaliseTraffic(rule: Rule, target: Target, context: CompileContext, report: DiagnosticCollector): boolean {
  const frames = matchedFrames(rule.match.map((at) => at.node));
  const innermost = frames.at(-1);
  const ipv4 = rule.match.findLast((at) => at.node.type === 'ipv4');
  const icmp = rule.match.find((at) => at.node.type === 'icmp');
  const protocol = ipv4?.node.type === 'ipv4' ? ipv4.node.protocol : undefined;

  if (icmp) {
    report.item(
      icmp,
      'icmp-in-software',
      'ICMP is never offloaded: its errors need software, and no rte_flow action rewrites its identifier',
      'none needed: the software table serves it',
    );
  } else if (ipv4 && protocol === PROTOCOL_ICMP) {
    report.item(ipv4, 'icmp-in-software', 'ICMP is never offloaded', 'none needed: the software table serves it');
  } else if (
    ipv4 &&
    innermost?.l4 === null &&
    (protocol === undefined || (typeof protocol === 'object' && !('argument' in protocol)))
  ) {
    report.item(
      ipv4,
      'protocol-unmatched',
      'the rule would serve ICMP and TCP SYN, FIN and RST too',
      'match udp, tcp, or exactly one protocol',
    );
  }

  const tcp = innermost?.l4 === 'tcp' || protocol === PROTOCOL_TCP;
  if (tcp && target.punts['tcp-flags'].means === 'none' && !context.tcpWithoutFlags) {
    report.list(
      'tcp-flags-unmatched',
      `${target.name} cannot match TCP flags, so SYN, FIN and RST would pass unseen`,
      'offload.tcpWithoutFlags offloads TCP all the same; sessions then end by idle time only',
    );
  }
  const needed: readonly PuntName[] = ['fragments', 'options', 'ttl', 'ipv4-checksum'];
  for (const punt of needed) {
    if (ipv4 && target.punts[punt].means === 'none') {
      report.list('punt-unavailable', `${target.name} cannot keep ${punt} from the rule`, target.punts[punt].source);
    }
  }
  return icmp !== undefined || protocol === PROTOCOL_ICMP;
}

/** A result that could exceed the egress MTU needs software: fragmentation needed, or fragmenting. */
function legaliseSize(rule: Rule, egressMtu: number, context: CompileContext, report: DiagnosticCollector): void {
  let largest = context.ports[rule.ingress].mtu;
  const ingressMtu = largest;
  for (const { node } of rule.actions) {
    if (node.type === 'pop-vxlan') largest -= VXLAN_OVERHEAD_BYTES;
    else if (node.type === 'push-vxlan') largest += VXLAN_OVERHEAD_BYTES;
  }
  if (largest <= egressMtu) return;
  const fate = rule.actions[rule.actions.length - 1];
  report.action(
    fate,
    'egress-mtu',
    `a packet of the ingress MTU ${ingressMtu} leaves with ${largest} bytes, above the egress MTU ${egressMtu}`,
    `raise the egress MTU to ${largest}, or lower the ingress MTU to ${ingressMtu - (largest - egressMtu)}`,
  );
}
