import { ICMP } from './ipv4.js';
import { hasPorts, type Mapping, type State } from './state.js';
import { type Endpoint, inRanges, type Side, type Topology } from './topology.js';

/** Finds bindings of whole addresses alone. */
const NO_PROTOCOL = 256;

/** Who asks for a public source. */
export interface Request {
  readonly side: Side;
  /** Peering: the destination VPC; external: -1. */
  readonly scope: number;
  readonly vpc: number;
  readonly protocol: number;
  readonly inside: Endpoint;
  readonly remote: Endpoint;
}

export type Source =
  | { readonly kind: 'static'; readonly end: Endpoint }
  | { readonly kind: 'mapping'; readonly mapping: Mapping }
  /** A new mapping is needed and there is room: the gateway chooses, {@link faultOfChoice} judges. */
  | { readonly kind: 'new' }
  | { readonly kind: 'no-pool' }
  | { readonly kind: 'pool-exhausted' };

/** What a host's packets leave as, as far as it is not the gateway's to choose. */
export function publicSource(topology: Topology, state: State, request: Request): Source {
  const { side, vpc, inside } = request;
  const address = topology.staticByPrivate(side, vpc, inside.address);
  if (address !== null) return { kind: 'static', end: { address, port: inside.port } };
  for (const mapping of state.mappings.values())
    if (serves(topology, mapping, request)) return { kind: 'mapping', mapping };
  const pools = topology.pools(side, vpc);
  if (pools.length === 0) return { kind: 'no-pool' };
  return candidates(topology, state, request).length === 0 ? { kind: 'pool-exhausted' } : { kind: 'new' };
}

function serves(topology: Topology, mapping: Mapping, request: Request): boolean {
  const { side, scope, vpc, protocol, inside, remote } = request;
  if (mapping.side !== side || mapping.scope !== scope || mapping.vpc !== vpc || mapping.protocol !== protocol)
    return false;
  if (mapping.inside.address !== inside.address || mapping.inside.port !== inside.port) return false;
  const wanted = mappingRemote(topology, request);
  return wanted === null || (mapping.remote?.address === remote.address && mapping.remote.port === wanted.port);
}

/** The remote end that a mapping for this request is bound to; null: none (RFC 4787 REQ-1). */
export function mappingRemote(
  topology: Topology,
  { protocol, remote }: Pick<Request, 'protocol' | 'remote'>,
): Endpoint | null {
  if (!hasPorts(protocol)) return { address: remote.address, port: 0 };
  if (topology.config.nat.mapping === 'endpoint-independent') return null;
  // An echo's remote end has no port of its own: the identifier is the mapping's.
  return protocol === ICMP ? { address: remote.address, port: 0 } : remote;
}

/** The host's public address while it has one (RFC 4787 REQ-2, paired). */
export function pairedAddress(state: State, { side, scope, vpc, inside }: Request): number | null {
  for (const mapping of state.mappings.values()) {
    if (
      mapping.side === side &&
      mapping.scope === scope &&
      mapping.vpc === vpc &&
      mapping.inside.address === inside.address
    ) {
      return mapping.public.address;
    }
  }
  return null;
}

/** The addresses that a new mapping may get: the paired one, or those of the first pool with room. */
function candidates(topology: Topology, state: State, request: Request): number[] {
  const paired = pairedAddress(state, request);
  for (const pool of topology.pools(request.side, request.vpc)) {
    const withRoom: number[] = [];
    for (const { first, last } of pool.ranges) {
      for (let address = first; address <= last; address++) {
        if (paired !== null && address !== paired) continue;
        if (hasRoom(topology, state, request, address, pool)) withRoom.push(address);
      }
    }
    if (withRoom.length > 0) return withRoom;
  }
  return [];
}

function hasRoom(
  topology: Topology,
  state: State,
  request: Request,
  address: number,
  ports: { first: number; last: number },
): boolean {
  if (!hasPorts(request.protocol)) return faultOfEnd(topology, state, request, { address, port: 0 }) === null;
  // As many ports cannot all be taken by the few sessions of a model run.
  if (ports.last - ports.first > 4096)
    return faultOfEnd(topology, state, { ...request, protocol: NO_PROTOCOL }, { address, port: 0 }) === null;
  for (let port = ports.first; port <= ports.last; port++) {
    if (faultOfEnd(topology, state, request, { address, port }) === null) return true;
  }
  return false;
}

/** Why an endpoint may not be given away now; null: it may. */
function faultOfEnd(topology: Topology, state: State, request: Request, end: Endpoint): string | null {
  const { side, scope, protocol } = request;
  const remote = mappingRemote(topology, request);
  if (topology.staticByPublic(side, protocol, end.address, end.port) !== null) return 'is withheld by a static binding';
  if (state.owner(side, scope, protocol, end, remote) !== null) return 'has an owner';
  if (state.isResting(side, scope, protocol, end, remote, state.second)) return 'rests';
  return null;
}

/** Judges the endpoint that the gateway chose for a new mapping. */
export function faultOfChoice(topology: Topology, state: State, request: Request, end: Endpoint): string | null {
  const fault = faultOfEnd(topology, state, request, end);
  if (fault !== null) return fault;
  const pools = topology.pools(request.side, request.vpc);
  const inPool = pools.some(
    (pool) =>
      inRanges(pool.ranges, end.address) &&
      (!hasPorts(request.protocol) || (pool.first <= end.port && end.port <= pool.last)),
  );
  if (!inPool) return 'is not in a pool of the VPC';
  const paired = pairedAddress(state, request);
  if (paired !== null && paired !== end.address) return 'is not on the address that the host is paired with';
  const first = candidates(topology, state, request).includes(end.address);
  if (!first && state.wasPaired(request) !== end.address) return 'is not of the first pool with room';
  return null;
}
