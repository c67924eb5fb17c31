import { formatIpv4 } from '../../src/config/address.js';
import type { FlowEntry } from '../../src/controller/flow-dump.js';
import type { GatewayModel } from './gateway-model.js';
import { ICMP, TCP, UDP } from './ipv4.js';
import { hasPorts, type Session, sessionDeadline } from './state.js';
import { Disagreement } from './step.js';

/** Judges the flow dump: the sessions that the model has and no others, and DESIGN invariant 1 by the dump alone. */
export function judgeFlows(model: GatewayModel, flows: readonly FlowEntry[], counted: boolean): void {
  const line = (flow: FlowEntry) =>
    `${flow.class} ${flow.vpc} ${flow.protocol} inside ${end(flow.inside)} nat ${end(flow.nat)} remote ${end(flow.remote)}${
      counted
        ? ` packets ${flow.forward.packets}/${flow.reverse.packets} bytes ${flow.forward.bytes}/${flow.reverse.bytes}`
        : ''
    }`;
  const got = flows.map(line).sort();
  const wanted = [...model.state.live].map((session) => sessionLine(model, session, counted)).sort();
  const missing = wanted.filter((text) => !got.includes(text));
  const extra = got.filter((text) => !wanted.includes(text));
  if (missing.length > 0 || extra.length > 0 || got.length !== wanted.length) {
    throw new Disagreement(
      `the flow dump differs\n  missing:\n    ${missing.join('\n    ')}\n  not in the model:\n    ${extra.join('\n    ')}`,
    );
  }
  oneOwnerEach(model, flows);
}

function end({ address, port }: { address: string; port: number }): string {
  return `${address}:${port}`;
}

function sessionLine(model: GatewayModel, session: Session, counted: boolean): string {
  const { forward, translated, sessionClass, vpc, packets, bytes } = session;
  const at = (address: number, port: number) => `${formatIpv4(address)}:${port}`;
  const { protocol } = forward;
  const cameIn = session.forwardContext < 0;
  const inside = cameIn
    ? at(translated.destination, translated.destinationPort)
    : at(forward.source, forward.sourcePort);
  const nat = cameIn ? at(forward.destination, forward.destinationPort) : at(translated.source, translated.sourcePort);
  const remote = cameIn ? at(forward.source, forward.sourcePort) : at(forward.destination, forward.destinationPort);
  const name = protocol === UDP ? 'udp' : protocol === TCP ? 'tcp' : protocol === ICMP ? 'icmp' : String(protocol);
  return `${sessionClass} ${model.config.vpcs[vpc].name} ${name} inside ${inside} nat ${nat} remote ${remote}${
    counted ? ` packets ${packets.forward}/${packets.reverse} bytes ${bytes.forward}/${bytes.reverse}` : ''
  }`;
}

/** No public endpoint stands for two inside endpoints. */
function oneOwnerEach(model: GatewayModel, flows: readonly FlowEntry[]): void {
  const owners = new Map<string, string>();
  const isExternal = (flow: FlowEntry) =>
    flow.class.includes('external') || model.topology.isExternal(parse(flow.remote.address));
  for (const flow of flows) {
    const protocol = Number(flow.protocol) || 0;
    if (flow.nat.address === flow.inside.address || (protocol !== 0 && !hasPorts(protocol))) continue;
    // For peering an endpoint is one's own only towards one VPC.
    const scope = isExternal(flow) ? '' : `towards ${model.topology.peeringOwner(parse(flow.remote.address))}`;
    // Reuse towards other remotes is what this mapping is chosen for (RFC 7857 section 3).
    const perRemote = model.config.nat.mapping === 'address-and-port-dependent' ? `with ${end(flow.remote)}` : '';
    const key = `${flow.protocol} ${end(flow.nat)} ${scope} ${perRemote}`;
    const owner = `${flow.vpc} ${end(flow.inside)}`;
    if ((owners.get(key) ?? owner) !== owner)
      throw new Disagreement(`${key} is owned by ${owners.get(key)} and by ${owner}`);
    owners.set(key, owner);
  }
}

function parse(address: string): number {
  return address.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
}

/** For people: a session of the gateway, and when it ends. */
export function flowText(flow: FlowEntry): string {
  const ends = `${flow.class} ${flow.vpc} ${flow.protocol} ${flow.state} inside ${end(flow.inside)} nat ${end(flow.nat)} remote ${end(flow.remote)}`;
  return `${ends} idle ${flow.idleMs} ms, ends in ${flow.expiresInMs} ms`;
}

/** For people: a session of the model, and when it ends. */
export function sessionText(model: GatewayModel, session: Session): string {
  const phase = session.tcp === null ? '' : ` ${session.tcp.phase}`;
  return `${sessionLine(model, session, true)}${phase}, ends at ${sessionDeadline(session, model.config)} s`;
}
