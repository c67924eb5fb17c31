import type { DiagnosticCollector } from '../diagnostics.js';
import type { FieldKind } from '../fields.js';
import {
  ACTION_FIELDS,
  ARGUMENT_KINDS,
  actionValues,
  fullMask,
  isArgument,
  isMasked,
  isRange,
  KIND_MAXIMUM,
  matchedFields,
} from '../fields.js';
import type { Frame, FrameStack } from '../headers.js';
import { framesAfter, matchedFrames } from '../headers.js';
import type { CompileContext } from '../index.js';
import type { Action, MatchItem, MatchValue } from '../ir.js';
import type { Located, Rule } from '../rule.js';

/** Item types that may follow each one; `start` is the pattern's begin. Integrity items stand at the end. */
const FOLLOWERS: Record<MatchItem['type'] | 'start', readonly MatchItem['type'][]> = {
  start: ['eth'],
  eth: ['vlan', 'ipv4', 'ipv6'],
  vlan: ['ipv4', 'ipv6'],
  ipv4: ['udp', 'tcp', 'icmp', 'integrity'],
  ipv6: ['udp', 'tcp'],
  udp: ['vxlan', 'integrity'],
  tcp: ['integrity'],
  icmp: ['integrity'],
  vxlan: ['eth', 'integrity'],
  integrity: ['integrity'],
};

const FATES: ReadonlySet<Action['type']> = new Set(['output', 'punt', 'drop', 'jump']);
const ONCE: ReadonlySet<Action['type']> = new Set(['count', 'age', 'mark']);
/** Rewrites that a checksum covers. */
const CHECKSUMMED: ReadonlySet<Action['type']> = new Set([
  'set-ipv4',
  'set-l4',
  'set-icmp-identifier',
  'decrement-ttl',
]);

export const isFate = (action: Action): boolean => FATES.has(action.type);

/**
 * States the IR's invariants and reports every breach. Runs on the given list and again after each pass.
 *
 * - Items stand in an order that headers can have; VXLAN at most once.
 * - Every value fits its field, every argument is of the field's kind, every port exists.
 * - Each action finds the header it acts on, established by the match or by a push.
 * - `count`, `age`, `mark` at most once; exactly one fate, the last action.
 * - What changes IPv4 or L4 fields of a packet that goes on is followed by `checksum` before a push or pop hides it.
 */
export function verify(rule: Rule, context: CompileContext, report: DiagnosticCollector): void {
  verifyPort(rule.ingress, context, (message, hint) => report.list('port-unknown', message, hint));
  verifyMatch(rule.match, report);
  verifyActions(rule, context, report);
}

function verifyPort(port: number, context: CompileContext, fault: (message: string, hint: string) => void): void {
  if (Number.isInteger(port) && port >= 0 && port < context.ports.length) return;
  fault(`there is no port ${port}`, `ports are 0 to ${context.ports.length - 1}`);
}

function verifyMatch(match: Rule['match'], report: DiagnosticCollector): void {
  if (match.length === 0) report.list('match-order', 'the match is empty', 'begin with an eth item');
  let before: MatchItem['type'] | 'start' = 'start';
  let tunnels = 0;
  for (const at of match) {
    const item = at.node;
    if (!FOLLOWERS[before].includes(item.type)) {
      const place = before === 'start' ? 'at the beginning' : `after ${before}`;
      report.item(
        at,
        'match-order',
        `${item.type} cannot stand ${place}`,
        `allowed there: ${FOLLOWERS[before].join(', ')}`,
      );
    }
    if (item.type === 'vxlan' && ++tunnels > 1) {
      report.item(at, 'match-order', 'a second vxlan item', 'one tunnel level can be matched');
    }
    if (item.type === 'integrity' && item.layer === 2 && tunnels === 0) {
      report.item(at, 'match-order', 'integrity of layer 2 without a vxlan item', 'layer 2 is the frame inside VXLAN');
    }
    for (const { name, layout, value } of matchedFields(item)) {
      verifyMatchValue(value, layout.kind, fullMask(layout), (code, message, hint) =>
        report.item(at, code, `${item.type}.${name}: ${message}`, hint),
      );
    }
    before = item.type;
  }
}

type ValueFault = (code: 'value-range' | 'argument-kind' | 'range-empty', message: string, hint: string) => void;

const isUnsigned = (value: number, maximum: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= maximum;

function verifyMatchValue(value: MatchValue, kind: FieldKind, maximum: number, fault: ValueFault): void {
  const check = (number: number) => {
    if (!isUnsigned(number, maximum)) fault('value-range', `${number} does not fit`, `0 to ${maximum}`);
  };
  if (isArgument(value)) verifyArgument(value.argument, kind, fault);
  else if (isMasked(value)) {
    check(value.value);
    check(value.mask);
  } else if (isRange(value)) {
    check(value.first);
    check(value.last);
    if (value.mask !== undefined) check(value.mask);
    if (value.first > value.last) fault('range-empty', `${value.first} is above ${value.last}`, 'first ≤ last');
  } else check(value);
}

function verifyArgument(argument: string, kind: FieldKind, fault: ValueFault): void {
  const given = (ARGUMENT_KINDS as Record<string, FieldKind | undefined>)[argument];
  if (given === kind || (given === 'vni' && kind === 'number')) return;
  const fitting = Object.entries(ARGUMENT_KINDS)
    .filter(([, k]) => k === kind)
    .map(([name]) => name);
  const hint = fitting.length > 0 ? `arguments that fit: ${fitting.join(', ')}` : 'give a constant';
  fault(
    'argument-kind',
    given ? `argument ${argument} is a ${given}, not a ${kind}` : `there is no argument ${argument}`,
    hint,
  );
}

function verifyActions(rule: Rule, context: CompileContext, report: DiagnosticCollector): void {
  let frames = matchedFrames(rule.match.map((at) => at.node));
  const seen = new Set<Action['type']>();
  let unrepaired: Located<Action> | null = null;
  let fate: Located<Action> | null = null;

  const repairedBy = (at: Located<Action>) => {
    if (!unrepaired || rule.checksumsImplied) return;
    report.action(
      unrepaired,
      'checksum-missing',
      `${unrepaired.node.type} is not followed by checksum before ${at.node.type}`,
      'no packet leaves with a stale checksum: put checksum after the last rewrite of the header',
    );
    unrepaired = null;
  };

  for (const at of rule.actions) {
    const action = at.node;
    if (fate) {
      report.action(at, 'action-after-fate', `${action.type} after ${fate.node.type}`, 'one fate, as the last action');
      continue;
    }
    verifyActionValues(at, context, report);
    if (ONCE.has(action.type) && seen.has(action.type)) {
      report.action(at, 'action-repeated', `a second ${action.type}`, 'at most one in a list');
    }
    seen.add(action.type);

    const missing = missingHeader(action, frames);
    if (missing) {
      report.action(at, missing.code, `${action.type}: ${missing.message}`, missing.hint);
      continue;
    }
    if (action.type === 'checksum') unrepaired = null;
    else if (CHECKSUMMED.has(action.type)) unrepaired = at;
    else if (action.type === 'pop-vxlan' || action.type === 'push-vxlan') repairedBy(at);
    if (isFate(action)) {
      fate = at;
      if (action.type !== 'drop') repairedBy(at);
    }
    frames = framesAfter(frames, action);
  }
  if (!fate) report.list('fate-missing', 'no action says where the packet goes', 'end with output, punt, drop or jump');
}

function verifyActionValues(at: Located<Action>, context: CompileContext, report: DiagnosticCollector): void {
  const action = at.node;
  for (const { name, kind, value } of actionValues(action)) {
    verifyMatchValue(value, kind, KIND_MAXIMUM[kind], (code, message, hint) =>
      report.action(at, code, `${action.type}.${name}: ${message}`, hint),
    );
  }
  if (action.type === 'age' && action.seconds === 0) {
    report.action(at, 'value-range', 'age.seconds: 0 would age at once', '1 to 16777215');
  }
  if (action.type === 'output' || action.type === 'punt') {
    verifyPort(action.port, context, (message, hint) =>
      report.action(at, 'port-unknown', `${action.type}: ${message}`, hint),
    );
  }
  if (action.type === 'jump' && !isUnsigned(action.group, 2 ** 32 - 1)) {
    report.action(at, 'value-range', `jump.group: ${action.group} does not fit`, '0 to 4294967295');
  }
  const rewrite = action.type === 'set-ethernet' || action.type === 'set-ipv4' || action.type === 'set-l4';
  if (rewrite && actionValues(action).length === 0) {
    report.action(
      at,
      'rewrite-empty',
      `${action.type} sets nothing`,
      `give ${Object.keys(ACTION_FIELDS[action.type]).join(' or ')}`,
    );
  }
}

type HeaderFault = { code: 'header-missing' | 'tunnel-nested' | 'vlan-nested'; message: string; hint: string };

/** What the action lacks in the outermost frame at that point; null when it can act. */
function missingHeader(action: Action, frames: FrameStack): HeaderFault | null {
  const outer: Frame | undefined = frames[0];
  const lack = (header: string): HeaderFault => ({
    code: 'header-missing',
    message: `the outermost frame at this point is not known to have ${header}`,
    hint: 'match the header, or place the action before or after the pop or push that hides it',
  });
  switch (action.type) {
    case 'pop-vxlan':
    case 'set-vni':
      return outer?.vxlan && frames.length > 1 ? null : lack('VXLAN');
    case 'push-vxlan':
      if (!outer) return lack('Ethernet');
      if (!outer.vxlan) return null;
      return { code: 'tunnel-nested', message: 'the frame is in VXLAN already', hint: 'pop-vxlan first, or set-vni' };
    case 'pop-vlan':
      return outer?.vlan ? null : lack('a VLAN tag');
    case 'push-vlan':
      if (!outer) return lack('Ethernet');
      if (!outer.vlan) return null;
      return { code: 'vlan-nested', message: 'the frame has a tag already', hint: 'pop-vlan first' };
    case 'set-ethernet':
      return outer ? null : lack('Ethernet');
    case 'set-ipv4':
    case 'decrement-ttl':
      return outer?.l3 === 'ipv4' ? null : lack('IPv4');
    case 'set-l4':
      return outer?.l4 === action.protocol ? null : lack(action.protocol.toUpperCase());
    case 'set-icmp-identifier':
      return outer?.l4 === 'icmp' ? null : lack('ICMP');
    default:
      return null;
  }
}
