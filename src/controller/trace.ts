import type { ExplainedPacket, ExplainedStage } from '../nat/explain.js';
import { emptyPacket, IcmpType, type MissedPacket, Protocol } from '../nat/packet.js';
import { answersItself, emptyFacts, type SessionFacts } from '../nat/session-table.js';
import { shapeList, shapesOf } from '../nat/shapes.js';
import { DropReasonNames, RulePath, RulePathNames, SessionCounters, SessionRow } from '../native/records.js';
import type { GatewayController } from './gateway.js';
import { offloadReason } from './offload-reason.js';

/** What becomes of a direction's packets, and why. */
export interface TracedDirection {
  readonly direction: 'forward' | 'reverse';
  /** `would-offload`: there is no session yet, and nothing but the NIC's room stands in the way. */
  readonly path: 'offloaded' | 'software' | 'pending' | 'failed' | 'would-offload';
  /** Stable code of why it is not in the NIC, as in the flow dump; null when it is, or would be. */
  readonly reason: string | null;
  readonly stages: readonly ExplainedStage[];
}

export interface Trace {
  readonly verdict: ExplainedPacket['verdict'];
  /** Drop reason; null unless it is dropped. */
  readonly reason: string | null;
  /** Flow that it belongs to, or null. */
  readonly flow: string | null;
  /** The packet's way to its session; empty when a flow was asked for. */
  readonly stages: readonly ExplainedStage[];
  readonly directions: readonly TracedDirection[];
}

/** The whole way of one packet, stage by stage, as it would be now. Nothing is changed. */
export function tracePacket(controller: GatewayController, packet: MissedPacket): Trace {
  const { verdict, reason, stages, row, facts } = controller.engine.explain(packet);
  const kept = verdict === 'session' ? keptFromNic(packet) : null;
  return {
    verdict,
    reason: verdict === 'drop' ? DropReasonNames[reason] : null,
    flow: row < 0 ? null : controller.engine.sessions.idOf(row),
    stages: kept === null ? stages : [...stages, { stage: 'this packet', result: 'pass', detail: kept }],
    directions: facts === null ? [] : traceDirections(controller, facts, row),
  };
}

/** Why each direction of a session is where it is. */
export function traceSession(controller: GatewayController, row: number): Trace {
  const { sessions } = controller.engine;
  const facts = emptyFacts();
  sessions.read(row, facts);
  const directions = traceDirections(controller, facts, row);
  return { verdict: 'session', reason: null, flow: sessions.idOf(row), stages: [], directions };
}

/** Packets that no rule of a NIC serves, whatever flow they are of. */
function keptFromNic({ protocol, tcpFlags }: MissedPacket): string | null {
  const CONTROL = 0x07; // FIN, SYN, RST
  if (protocol === Protocol.icmp) return 'software: ICMP is never served by a NIC';
  if (protocol === Protocol.tcp && (tcpFlags & CONTROL) !== 0) {
    return 'software: SYN, FIN and RST are never served by a NIC, since they change the session’s state';
  }
  return null;
}

function traceDirections(controller: GatewayController, facts: SessionFacts, row: number): TracedDirection[] {
  const shapes = shapesOf(facts);
  return [
    traceDirection(controller, shapes & 0xffff, row, false),
    ...(answersItself(facts) ? [] : [traceDirection(controller, shapes >>> 16, row, true)]),
  ];
}

function traceDirection(controller: GatewayController, shape: number, row: number, reverse: boolean): TracedDirection {
  const { templates, config } = controller;
  const direction = reverse ? 'reverse' : 'forward';
  const stages: ExplainedStage[] = [];
  const pass = (stage: string, detail: string) => stages.push({ stage, result: 'pass', detail });
  const { name } = shapeList(shape, config);
  const { refusal } = templates.of(shape);
  pass('shape', name);
  if (row >= 0) pass('packets', `${packetsOf(controller, row, reverse)} packets, software and NIC together`);
  if (refusal !== null) {
    const hint = refusal.hint === '' ? '' : ` (${refusal.hint})`;
    pass('compiler', `${templates.target ?? 'no NIC'}: ${refusal.code}: ${refusal.message}${hint}`);
    return { direction, path: 'software', reason: refusal.code, stages };
  }
  pass('compiler', `${templates.target}: the NIC can execute it`);
  if (row < 0) {
    pass('NIC', `${admission(controller)}; ${roomText(controller)}`);
    return { direction, path: 'would-offload', reason: null, stages };
  }
  return { direction, ...installed(controller, row, reverse, shape, stages) };
}

function installed(
  controller: GatewayController,
  row: number,
  reverse: boolean,
  shape: number,
  stages: ExplainedStage[],
): Pick<TracedDirection, 'path' | 'reason' | 'stages'> {
  const { rows } = controller;
  const path = rows.byte(row, reverse ? SessionRow.reversePath : SessionRow.forwardPath);
  const reason = offloadReason(controller, row, reverse, path, shape);
  const detail =
    path === RulePath.offloaded
      ? 'the rule is installed'
      : path === RulePath.failed
        ? `the NIC refused the rule: ${reason}; the flow goes on in software`
        : reason === 'few-packets'
          ? `${admission(controller)}: ${controller.packets(row)} so far`
          : reason === 'nic-full'
            ? `no room when it came: ${roomText(controller)}`
            : 'an operation of the NIC is under way';
  stages.push({ stage: 'NIC', result: 'pass', detail });
  const shown = path === RulePath.removing ? 'pending' : (RulePathNames[path] as TracedDirection['path']);
  return { path: shown, reason, stages };
}

function packetsOf(controller: GatewayController, row: number, reverse: boolean): number {
  const counters = new Float64Array(controller.dataplane.counters);
  return counters[(row * SessionCounters.size + (reverse ? SessionCounters.reversePackets : 0)) / 8];
}

function admission({ config }: GatewayController): string {
  const { mode, afterPackets } = config.offload;
  return mode === 'after' ? `offloaded after ${afterPackets} packets` : 'offloaded at once';
}

function roomText({ nicRulesWanted, config }: GatewayController): string {
  return `${nicRulesWanted} of offload.maxRules ${config.offload.maxRules} are taken`;
}

/** Values of a packet that a miss record would have. */
export function tracedPacket(values: Partial<MissedPacket>): MissedPacket {
  const icmpType = values.protocol === Protocol.icmp ? IcmpType.echoRequest : 0;
  return { ...emptyPacket(), ttl: 64, icmpType, ...values };
}
