import { formatIpv4 } from '../config/address.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerOfContext, type SessionFacts } from '../nat/session-table.js';
import type { Topology } from '../nat/topology.js';
import {
  RulePath,
  RulePathNames,
  SessionClass,
  SessionClassNames,
  SessionCounters,
  SessionRow,
  TcpStateNames,
} from '../native/records.js';
import type { GatewayController } from './gateway.js';
import { offloadReason } from './offload-reason.js';

export interface FlowEndpoint {
  readonly address: string;
  readonly port: number;
}

export interface FlowDirection {
  readonly path: 'offloaded' | 'software' | 'pending' | 'failed';
  /** Why the direction is not in the NIC; null when it is. */
  readonly reason: string | null;
  readonly packets: number;
  /** Inner IPv4 bytes. */
  readonly bytes: number;
}

/** One session as the flow dump shows it. */
export interface FlowEntry {
  readonly id: string;
  readonly class: string;
  readonly vpc: string;
  readonly protocol: string;
  readonly state: string;
  readonly inside: FlowEndpoint;
  readonly nat: FlowEndpoint;
  readonly remote: FlowEndpoint;
  readonly underlay: { readonly vni: number; readonly vtep: string | null };
  readonly forward: FlowDirection;
  readonly reverse: FlowDirection;
  readonly ageMs: number;
  readonly idleMs: number;
  readonly expiresInMs: number;
}

/** Reads sessions out of the tables. Counters are those of the last query. */
export class FlowDump {
  private readonly facts: SessionFacts = emptyFacts();
  private readonly counters: Float64Array;

  constructor(private readonly controller: GatewayController) {
    this.counters = new Float64Array(controller.dataplane.counters);
  }

  /** @param nowMs Gateway clock. @returns Every live session, in row order. */
  *entries(nowMs: number): Generator<FlowEntry> {
    const { sessions } = this.controller.engine;
    for (let row = 0; row < sessions.highWater; row++) if (sessions.life(row) === 1) yield this.entry(row, nowMs);
  }

  entry(row: number, nowMs: number): FlowEntry {
    const { engine, rows } = this.controller;
    const { sessions, topology } = engine;
    const f = this.facts;
    sessions.read(row, f);
    const lastHit = Math.max(
      rows.word(row, SessionRow.lastForwardSeconds),
      rows.word(row, SessionRow.lastReverseSeconds),
    );
    const shapes = sessions.shapes(row);
    return {
      id: sessions.idOf(row),
      ...flowIdentity(f, rows.byte(row, SessionRow.tcpState), topology),
      forward: this.direction(row, false, shapes & 0xffff),
      reverse: this.direction(row, true, shapes >>> 16),
      ageMs: Math.max(0, nowMs - rows.word(row, SessionRow.createdSeconds) * 1000),
      idleMs: Math.max(0, nowMs - lastHit * 1000),
      expiresInMs: Math.max(0, engine.deadlineOf(row) * 1000 - nowMs),
    };
  }

  private direction(row: number, reverse: boolean, shape: number): FlowDirection {
    const path = this.controller.rows.byte(row, reverse ? SessionRow.reversePath : SessionRow.forwardPath);
    const at = (row * SessionCounters.size) / 8 + (reverse ? SessionCounters.reversePackets / 8 : 0);
    return {
      path: path === RulePath.removing ? 'pending' : (RulePathNames[path] as FlowDirection['path']),
      reason: offloadReason(this.controller, row, reverse, path, shape),
      packets: this.counters[at],
      bytes: this.counters[at + 1],
    };
  }
}

/** What a flow is, without where it is executed and how long it has lived. */
export type FlowIdentity = Pick<
  FlowEntry,
  'class' | 'vpc' | 'protocol' | 'state' | 'inside' | 'nat' | 'remote' | 'underlay'
>;

export function flowIdentity(f: SessionFacts, tcpState: number, topology: Topology): FlowIdentity {
  const { config } = topology;
  const { inside, nat, remote } = ends(f);
  const route = topology.route(f.vpc, inside.address);
  return {
    class: SessionClassNames[f.sessionClass],
    vpc: config.vpcs[f.vpc].name,
    protocol: protocolName(f.protocol),
    state: f.protocol === 6 ? TcpStateNames[tcpState] : 'active',
    inside: endpoint(inside),
    nat: endpoint(nat),
    remote: endpoint(remote),
    underlay: { vni: config.vpcs[f.vpc].vni, vtep: route === null ? null : formatIpv4(route.vtep) },
  };
}

/** Whether the host of ours is the one that was called. */
export function cameFromOutside(f: SessionFacts): boolean {
  return (
    f.sessionClass === SessionClass.externalToVpc ||
    f.forwardContext === OUTSIDE_CONTEXT ||
    peerOfContext(f.forwardContext) >= 0
  );
}

interface End {
  readonly address: number;
  readonly port: number;
}

/** Which end is whose: inside and NAT belong to the host of ours, remote is what it talks to. */
function ends(f: SessionFacts): { inside: End; nat: End; remote: End } {
  const forwardSource = { address: f.forwardSource, port: f.forwardSourcePort };
  const forwardDestination = { address: f.forwardDestination, port: f.forwardDestinationPort };
  const translatedSource = { address: f.translatedSource, port: f.translatedSourcePort };
  const translatedDestination = { address: f.translatedDestination, port: f.translatedDestinationPort };
  return cameFromOutside(f)
    ? { inside: translatedDestination, nat: forwardDestination, remote: forwardSource }
    : { inside: forwardSource, nat: translatedSource, remote: forwardDestination };
}

function endpoint(end: End): FlowEndpoint {
  return { address: formatIpv4(end.address), port: end.port };
}

/** `tcp`, `udp`, `icmp`, or the IANA number as text. */
export function protocolName(protocol: number): string {
  switch (protocol) {
    case 6:
      return 'tcp';
    case 17:
      return 'udp';
    case 1:
      return 'icmp';
    default:
      return String(protocol);
  }
}
