import { formatIpv4 } from '../../src/config/address.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import type { GatewayModel } from './gateway-model.js';
import { GRE, ICMP, TCP, UDP } from './ipv4.js';
import type { Random } from './random.js';
import { type Document, validated } from './scenario.js';

/** Another configuration, from a time on. */
export interface Reload {
  readonly micros: number;
  readonly document: Document;
  readonly config: ValidatedConfig;
  readonly text: string;
}

/** Changes that a running gateway follows; each can be taken back by the same change again. */
const CHANGES: Readonly<
  Record<string, (d: Document, original: Document, random: Random, model: GatewayModel) => void>
> = {
  'a peering': (d, original, random) => toggle(d, original, 'peerings', random.int(0, 1)),
  'a static binding': (d, original, random) =>
    toggle(d, original, 'staticBindings', random.int(0, original.staticBindings.length - 2)),
  'a static binding over a live mapping': (d, _, random, model) => bindLive(d, random, model),
  'the range of a pool': (d, _, random) => {
    d.externalPools[0].ranges = [random.pick(['203.0.113.16', '203.0.113.17', '203.0.113.16-203.0.113.17'])];
  },
  'the ports of a pool': (d, original, random) => {
    d.externalPools[0].ports = random.pick(['2000-2001', '2002-2006', original.externalPools[0].ports ?? '1024-65535']);
  },
  'the range of a peering pool': (d, _, random) => {
    d.peeringPools[0].ranges = [random.pick(['100.64.1.0', '100.64.1.1', '100.64.1.0/31'])];
  },
  'a route': (d, _, random) => {
    const red = d.vpcs[0] as unknown as { routes: { vtep: string; mac: string }[] };
    red.routes[random.int(0, 1)].vtep = random.pick(['172.30.0.11', '172.30.0.12']);
    red.routes[1].mac = random.pick(['02:00:00:01:00:12', '02:00:00:01:00:99']);
  },
  'a limit': (d, _, random) => {
    d.vpcs[0].limits = { ...d.vpcs[0].limits, sessions: random.int(1, 8) };
  },
  'a VPC': (d, original) => {
    const green = original.vpcs.find(({ name }) => name === 'green');
    const isThere = d.vpcs.some(({ name }) => name === 'green');
    if (green === undefined) return;
    d.vpcs = isThere ? d.vpcs.filter(({ name }) => name !== 'green') : [...d.vpcs, structuredClone(green)];
    d.bypass = isThere ? [] : original.bypass;
    const peers = (list: { vpcs: string[] }[]) => list.filter(({ vpcs }) => vpcs.includes('green'));
    const others = d.peerings.filter(({ vpcs }) => !vpcs.includes('green'));
    d.peerings = isThere ? others : [...others, ...structuredClone(peers(original.peerings))];
  },
  'a subnet': (d) => {
    const blue = d.vpcs[1] as unknown as { subnets: string[] };
    blue.subnets = blue.subnets.length === 2 ? ['10.0.2.0/24'] : ['10.0.1.0/24', '10.0.2.0/24'];
  },
  'a bypass': (d, original) => {
    const isThere = (d.bypass as unknown[]).length > 0;
    const green = d.vpcs.some(({ name }) => name === 'green');
    d.bypass = isThere || !green ? [] : original.bypass;
  },
  'what a session stands on': (d, _, random, model) => undermine(d, random, model),
  'what another session stands on': (d, _, random, model) => undermine(d, random, model),
  nothing: () => undefined,
};

export const CHANGE_NAMES = Object.keys(CHANGES);
/** Changes that leave sessions with what another shard would look up by now. */
const LEAVING: typeof CHANGES = {
  'a static binding over a live mapping': CHANGES['a static binding over a live mapping'],
  'the range of a pool': CHANGES['the range of a pool'],
  'a peering pool away from a live mapping': (d, _, random, model) => {
    const live = [...model.state.mappings.values()].filter(({ side, vpc }) => side === 'peering' && vpc < 2);
    if (live.length === 0) return;
    const { vpc, public: end } = random.pick(live);
    const addresses = [
      ['100.64.1.0', '100.64.1.1'],
      ['100.64.2.0', '100.64.2.5'],
    ][vpc];
    d.peeringPools[vpc].ranges = addresses.filter((address) => address !== formatIpv4(end.address));
  },
};

/** @param original What the sequence began with. @param shards Of the gateway under test. */
export function randomReload(
  now: Document,
  original: Document,
  random: Random,
  model: GatewayModel,
  micros: number,
  shards: number,
): Reload {
  const changes = shards > 1 && random.chance(0.5) ? LEAVING : CHANGES;
  const text = random.pick(Object.keys(changes));
  const document = structuredClone(now);
  changes[text](document, original, random, model);
  return { micros, document, config: validated(document), text };
}

function toggle(d: Document, original: Document, list: 'peerings' | 'staticBindings', index: number): void {
  const item = original[list][index];
  const all: unknown[] = d[list];
  const at = all.findIndex((other) => JSON.stringify(other) === JSON.stringify(item));
  if (at >= 0) all.splice(at, 1);
  else all.push(structuredClone(item));
}

/** Takes away the static binding or the peering that a live session needs. */
function undermine(d: Document, random: Random, model: GatewayModel): void {
  const sessions = [...model.state.live].filter(
    (s) => s.sessionClass !== 'vpc-to-external' || s.sourceMapping === null,
  );
  if (sessions.length === 0) return;
  const { sessionClass, forward, translated } = random.pick(sessions);
  if ((sessionClass === 'vpc-to-vpc' || sessionClass === 'site-to-site') && random.chance(0.5)) {
    const names = [forward.source, forward.destination].map((address) => model.topology.peeringOwner(address));
    const owner = model.config.vpcs[names[1]]?.name;
    d.peerings = d.peerings.filter(({ vpcs }) => !vpcs.includes(owner));
    return;
  }
  const isPublic = (text: string | undefined) =>
    text !== undefined &&
    [forward.destination, translated.source].some((address) => text.startsWith(formatIpv4(address)));
  const at = d.staticBindings.findIndex(({ external, peering }) => isPublic(external) || isPublic(peering));
  if (at >= 0) d.staticBindings.splice(at, 1);
}

/** A port mapping for the endpoint that a host of the red VPC holds dynamically just now. */
function bindLive(d: Document, random: Random, model: GatewayModel): void {
  const mappings = [...model.state.mappings.values()].filter(
    (m) => m.side === 'external' && m.protocol !== ICMP && m.protocol !== GRE && m.public.port > 0,
  );
  if (mappings.length === 0) return;
  const { protocol, public: end } = random.pick(mappings);
  const external = `${formatIpv4(end.address)}:${end.port}`;
  const name = protocol === UDP ? 'udp' : protocol === TCP ? 'tcp' : '';
  if (name === '' || d.staticBindings.some((b) => b.external === external && b.protocol === name)) return;
  model.takenOver.add(`${protocol} ${end.address}:${end.port}`);
  d.staticBindings.push({ vpc: 'red', protocol: name, private: `10.0.1.8:${7000 + (end.port % 1000)}`, external });
}
