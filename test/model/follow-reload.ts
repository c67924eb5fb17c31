import type { ValidatedConfig } from '../../src/config/types.js';
import type { GatewayModel } from './gateway-model.js';
import { KNOWN } from './known.js';
import type { Mapping, Session } from './state.js';
import { type Context, inRanges, Topology } from './topology.js';

/**
 * What a new configuration does to sessions (facts/nat.md section 8): one that it still allows keeps its tuple and goes
 * on, by new routes if need be; another one ends at once. A pool that shrinks ends nothing.
 */
export function followReload(model: GatewayModel, config: ValidatedConfig): void {
  const { state } = model;
  const before = model.topology;
  const after = new Topology(config);
  const vpcNow = (vpc: number) => config.vpcs.findIndex(({ name }) => name === before.vpc(vpc).name);
  for (const session of [...state.live]) {
    if (isStillLegal(after, session, vpcNow)) {
      model.outcomes.add('reconfigured:kept');
      continue;
    }
    state.end(session, state.second, config.nat.portReuseDelaySeconds);
    model.outcomes.add(`reconfigured:ended:${session.sessionClass}`);
  }
  state.renumber((context: Context) => (context >= 0 ? vpcNow(context) : context));
  model.config = config;
  model.topology = after;
  model.limits.reconfigure(after);
  for (const mapping of state.mappings.values()) {
    if (isLeftOver(after, mapping)) model.onceLeftOver.add(state.keyOf(mapping));
  }
}

function isStillLegal(after: Topology, session: Session, vpcNow: (vpc: number) => number): boolean {
  const { forwardContext, reverseContext, forward, translated } = session;
  const contexts = [forwardContext, reverseContext].map((context) => (context >= 0 ? vpcNow(context) : context));
  if ([...contexts.keys()].some((at) => [forwardContext, reverseContext][at] >= 0 && contexts[at] < 0)) return false;
  const [from, to] = contexts;
  if (from >= 0 && !reaches(after, from, forward.source)) return false;
  if (to >= 0 && !reaches(after, to, translated.destination)) return false;
  if (session.sessionClass === 'vpc-to-external' && !leadsOutside(after, forward.destination)) return false;
  return sourceIsRight(after, session, from) && destinationIsRight(after, session, from, to);
}

/** The host is in the VPC, and there is a way to it. */
function reaches(after: Topology, vpc: number, address: number): boolean {
  return after.inSubnets(vpc, address) && after.route(vpc, address) !== null;
}

/** An address that is no VPC's, no peering address and none of ours outside. */
function leadsOutside(after: Topology, address: number): boolean {
  const isPrivate = after.config.vpcs.some(({ index }) => after.inSubnets(index, address));
  return !isPrivate && !after.isExternal(address) && after.peeringOwner(address) < 0;
}

function sourceIsRight(after: Topology, session: Session, from: Context): boolean {
  const { forward, translated, sourceMapping, sessionClass } = session;
  if (from < 0) return true;
  if (sourceMapping !== null) return true;
  if (sessionClass === 'vpc-to-external' && translated.source === forward.source) {
    return after.isBypassed(from, forward.destination);
  }
  // A pool that gave its address away leaves sessions as they are.
  const mapped = session.destinationMapping?.side;
  const side =
    (mapped ?? (after.isExternal(forward.destination) ? 'external' : 'peering')) === 'external' ||
    sessionClass === 'vpc-to-external'
      ? 'external'
      : 'peering';
  return after.staticByPrivate(side, from, forward.source) === translated.source;
}

function destinationIsRight(after: Topology, session: Session, from: Context, to: Context): boolean {
  const { forward, translated, destinationMapping, sessionClass } = session;
  const { protocol, destination, destinationPort } = forward;
  if (sessionClass === 'vpc-to-vpc' || sessionClass === 'site-to-site') {
    const source = from >= 0 ? from : after.peeringOwner(forward.source);
    const target = to >= 0 ? to : after.peeringOwner(destination);
    if (source < 0 || target < 0 || !after.arePeered(source, target)) return false;
  }
  if (to < 0 || destinationMapping !== null) return true;
  for (const side of ['external', 'peering'] as const) {
    const bound = after.staticByPublic(side, protocol, destination, destinationPort);
    if (bound !== null && bound.vpc === to) {
      return (
        bound.address === translated.destination &&
        (bound.port === translated.destinationPort || bound.form.protocol === null)
      );
    }
  }
  return false;
}

/** Whether a mapping is one that the configuration would not make any more: what new flows do with it is not said. */
export function isLeftOver(topology: Topology, mapping: Mapping): boolean {
  const { side, vpc, protocol, public: end } = mapping;
  if (topology.staticByPublic(side, protocol, end.address, end.port) !== null) return true;
  if (topology.staticByPrivate(side, vpc, mapping.inside.address) !== null) return true;
  return !topology
    .pools(side, vpc)
    .some(
      (pool) =>
        inRanges(pool.ranges, end.address) && (end.port === 0 || (pool.first <= end.port && end.port <= pool.last)),
    );
}

/** Whether the contract leaves open what becomes of a packet of no session, since it meets what an older configuration left. */
export function meetsLeftOver(model: GatewayModel, context: Context, source: number, destination: number): boolean {
  for (const mapping of model.state.mappings.values()) {
    const once = KNOWN['F-M9'] === 'open' && model.onceLeftOver.has(model.state.keyOf(mapping));
    if (!once && !isLeftOver(model.topology, mapping)) continue;
    if (context === mapping.vpc && source === mapping.inside.address) return true;
    if (destination === mapping.public.address) return true;
  }
  return false;
}
