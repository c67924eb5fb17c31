import type { FastifyInstance } from 'fastify';
import { targetNamed, targets } from '../../compiler/index.js';
import { formatIpv4, parseIpv4 } from '../../config/address.js';
import { hasPorts } from '../../nat/mapping-table.js';
import type { PoolCount } from '../../nat/pool-use.js';
import { DropReason, DropReasonNames } from '../../native/records.js';
import { HISTORY_SECONDS } from '../drop-history.js';
import { protocolName } from '../flow-dump.js';
import type { RunningEngine } from '../running-engine.js';
import { ApiFault, notFound } from './fault.js';
import type { ControlParts, EngineApiParts } from './parts.js';
import { exactly, FAILURES, ipv4, listOf, orNull, port, ref } from './schemas.js';

const string = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const counts = { type: 'object', additionalProperties: count } as const;
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;

const tags = ['state'];
const ok = (schema: object) => ({ 200: schema, ...FAILURES });

/** What the gateway is and how it stands. */
export function stateRoutes(server: FastifyInstance, parts: EngineApiParts): void {
  const { gateway, mirror } = parts;
  server.get(
    '/v1/status',
    {
      schema: {
        tags,
        summary: 'The gateway in a few numbers',
        response: ok(
          exactly({
            name: string,
            version: string,
            target: orNull(string),
            startedAt: string,
            sessions: count,
            sessionsMax: count,
            mappings: count,
            nicRules: count,
            nicRulesMax: count,
            standby: { type: 'boolean' },
          }),
        ),
      },
    },
    async () => {
      const { engine, templates, nicRulesWanted, config } = gateway.controller;
      return {
        name: config.name,
        version: parts.version,
        target: templates.target,
        startedAt: gateway.startedAt.toISOString(),
        sessions: engine.sessions.count,
        sessionsMax: engine.sessions.capacity,
        mappings: engine.mappings.count,
        nicRules: nicRulesWanted,
        nicRulesMax: config.offload.maxRules,
        standby: engine.isReplica,
      };
    },
  );
  const portCounts = exactly({ received: count, transmitted: count });
  server.get(
    '/v1/counters',
    {
      schema: {
        tags,
        summary: 'Packets since the start',
        response: ok(
          exactly({
            ports: { type: 'object', additionalProperties: portCounts },
            slowPath: exactly({ packets: count, misses: count }),
            nic: exactly({ packets: count }),
            drops: counts,
          }),
        ),
      },
    },
    async () => gateway.counters(),
  );
  server.get(
    '/v1/rules',
    {
      schema: {
        tags,
        summary: 'Rules of flows in the NIC, as testpmd commands',
        response: { 200: { description: 'One a line.', content: { 'text/plain': { schema: string } } }, ...FAILURES },
      },
    },
    async (_request, reply) => reply.type('text/plain').send(gateway.rules().join('\n')),
  );
  dropRoute(server, gateway);
  server.get(
    '/v1/vpcs',
    {
      schema: {
        tags,
        summary: 'VPCs with their sessions',
        response: ok(
          listOf(
            exactly({
              name: string,
              vni: count,
              sessions: count,
              sessionsMax: orNull(count),
              opened: count,
              ended: count,
            }),
          ),
        ),
      },
    },
    async () => vpcs(gateway),
  );
  server.get(
    '/v1/pools',
    {
      schema: {
        tags,
        summary: 'Pools and how much of them is given out',
        response: ok(
          listOf(
            exactly({
              kind: { type: 'string', enum: ['external', 'peering'] },
              pool: { ...string, description: 'Name of the pool; of a peering pool its VPC’s.' },
              towards: { ...orNull(string), description: 'VPC that a peering pool’s ports are given out towards.' },
              protocol: string,
              addresses: count,
              ports: count,
              owned: count,
              share: { type: 'number' },
            }),
          ),
        ),
      },
    },
    async () => pools(gateway),
  );
  targetRoutes(server, gateway);
  holderRoute(server, gateway);
  server.get(
    '/v1/mirror',
    { schema: { tags, summary: 'The mirror in Redis', response: ok({ type: 'object', additionalProperties: true }) } },
    async () => mirror?.status() ?? Promise.reject(notFound('sessions are not mirrored')),
  );
}

/** The NICs' rules, of all sessions together. */
export function reconcileRoute(server: FastifyInstance, { ports }: Pick<ControlParts, 'ports'>): void {
  const repaired = exactly({ installed: orNull(count), stale: count, missing: count, failed: count });
  server.post(
    '/v1/rules/reconcile',
    {
      schema: {
        tags,
        summary: 'Compares the rules of the NICs with those that there should be, and mends what differs',
        description:
          'By port: rules that it had (null: its driver does not tell); those of nobody, which were destroyed; those ' +
          'that it had lost, which are made anew (of flows: as there is room); constant ones that it refused.',
        response: ok({ type: 'object', additionalProperties: repaired }),
      },
    },
    async () => {
      const reports = await ports.reconcile();
      if (reports === null) throw new ApiFault(429, 'busy', 'rules are being reconciled now; try again');
      return Object.fromEntries(reports.map((report, i) => [ports.config.ports[i].name, report]));
    },
  );
}

function dropRoute(server: FastifyInstance, gateway: RunningEngine): void {
  const packet = exactly({
    agoMs: count,
    reason: string,
    port: string,
    vpc: orNull(string),
    vni: orNull(count),
    protocol: string,
    source: ref('Endpoint'),
    destination: ref('Endpoint'),
  });
  server.get<{ Querystring: { seconds: number; packets: number } }>(
    '/v1/drops',
    {
      schema: {
        tags: ['state'],
        summary: 'What was dropped, lately and since the start, by reason',
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            seconds: { type: 'integer', minimum: 1, maximum: HISTORY_SECONDS, default: 60 },
            packets: { type: 'integer', minimum: 0, maximum: 1000, default: 20, description: 'Most packets listed.' },
          },
        },
        response: {
          200: exactly({
            seconds: { type: 'number', description: 'Less than asked for when the gateway has not run that long.' },
            last: { ...counts, description: 'In those seconds.' },
            total: { ...counts, description: 'Since the start.' },
            packets: {
              ...listOf(packet),
              description: 'The last ones that the NAT engine refused; what software drops by itself is only counted.',
            },
          }),
          ...FAILURES,
        },
      },
    },
    async ({ query }) => {
      const { sinceMs, drops } = gateway.droppedSince(query.seconds);
      const nowMs = gateway.nowMs();
      return {
        seconds: Math.round(nowMs - sinceMs) / 1000,
        last: named(drops),
        total: named(gateway.statistics().drops),
        packets: gateway.controller.recentDrops.list(gateway.config, nowMs, query.seconds, query.packets),
      };
    },
  );
}

/** By name, those that occurred; what the gateway consumes is no drop. */
function named(drops: readonly number[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [reason, number] of drops.entries()) {
    if (reason > DropReason.local && number > 0) found[DropReasonNames[reason as DropReason]] = number;
  }
  return found;
}

function vpcs({ config, controller }: RunningEngine) {
  const tallies = [...controller.engine.tally.counts()];
  return config.vpcs
    .filter(({ vni }) => vni >= 0)
    .map(({ name, vni, limits }) => {
      const own = tallies.filter(({ vpc }) => vpc === name);
      const opened = own.reduce((sum, tally) => sum + tally.opened, 0);
      const ended = own.reduce((sum, tally) => sum + tally.ended, 0);
      const sessionsMax = Number.isFinite(limits.sessions) ? limits.sessions : null;
      return { name, vni, sessions: opened - ended, sessionsMax, opened, ended };
    });
}

function pools({ config, controller }: RunningEngine) {
  return [...controller.engine.poolUse].map(({ kind, pool, scope, protocol, addresses, ports, owned }: PoolCount) => ({
    kind,
    pool,
    towards: scope === 0 ? null : config.vpcs[scope - 1].name,
    protocol: protocolName(protocol),
    addresses,
    ports,
    owned,
    share: ports === 0 ? 0 : owned / ports,
  }));
}

function targetRoutes(server: FastifyInstance, gateway: RunningEngine): void {
  const tags = ['state'];
  const short = { name: string, title: string, release: string, kind: string, inUse: { type: 'boolean' } };
  const summary = (name: string) => {
    const target = targetNamed(name);
    if (target === null) throw notFound(`there is no target "${name}"`);
    const { title, release, kind } = target;
    return { name, title, release, kind, inUse: gateway.controller.templates.target === name };
  };
  server.get(
    '/v1/targets',
    {
      schema: {
        tags,
        summary: 'NICs that rules can be compiled for',
        response: { 200: listOf(exactly(short)), ...FAILURES },
      },
    },
    async () => [...targets().keys()].map(summary),
  );
  server.get<{ Params: { name: string } }>(
    '/v1/targets/:name',
    {
      schema: {
        tags,
        summary: 'One of them, with all that is known of it (schemas/targets)',
        params: exactly({ name: { type: 'string', maxLength: 64 } }),
        response: {
          200: exactly({ ...short, capabilities: { type: 'object', additionalProperties: true } }),
          ...FAILURES,
        },
      },
    },
    async ({ params }) => ({ ...summary(params.name), capabilities: targetNamed(params.name) }),
  );
}

/** Who holds a public endpoint now. */
function holderRoute(server: FastifyInstance, gateway: RunningEngine): void {
  const holder = exactly({
    kind: { type: 'string', enum: ['static', 'dynamic'] },
    side: { type: 'string', enum: ['external', 'peering'] },
    towards: { ...orNull(string), description: 'Of a peering address: the VPC in front of which it is held.' },
    protocol: string,
    vpc: string,
    inside: ref('Endpoint'),
    sessions: { ...orNull(count), description: 'That use the mapping; null for a static binding, which needs none.' },
  });
  server.get<{ Querystring: { address: string; port?: number; protocol?: keyof typeof PROTOCOLS } }>(
    '/v1/holders',
    {
      schema: {
        tags: ['state'],
        summary: 'Who holds a public address or endpoint',
        querystring: {
          type: 'object',
          required: ['address', 'port'],
          additionalProperties: false,
          properties: { address: ipv4, port, protocol: { type: 'string', enum: Object.keys(PROTOCOLS) } },
        },
        response: {
          200: exactly({
            address: string,
            port,
            pools: { ...listOf(string), description: 'Pools that the address belongs to.' },
            holders: listOf(holder),
          }),
          ...FAILURES,
        },
      },
    },
    async ({ query }) => {
      const address = parseIpv4(query.address) as number;
      const protocols = query.protocol === undefined ? Object.values(PROTOCOLS) : [PROTOCOLS[query.protocol]];
      const found = protocols.flatMap((protocol) => holdersOf(gateway, protocol, address, query.port ?? 0));
      // An address binding is found once for each protocol.
      const holders = [...new Map(found.map((one) => [JSON.stringify(one), one])).values()];
      return { address: query.address, port: query.port ?? 0, pools: poolsOf(gateway, address), holders };
    },
  );
}

function holdersOf({ config, controller }: RunningEngine, protocol: number, address: number, publicPort: number) {
  const { topology, mappings } = controller.engine;
  const found = [];
  for (const side of ['external', 'peering'] as const) {
    const binding = topology[side].byPublic(protocol, address, publicPort);
    if (binding === null) continue;
    const inside = binding.private.first + (address - binding.public.first);
    found.push({
      kind: 'static',
      side,
      towards: null,
      protocol: binding.protocol === null ? 'any' : protocolName(protocol),
      vpc: config.vpcs[binding.vpc].name,
      inside: { address: formatIpv4(inside), port: binding.privatePort ?? publicPort },
      sessions: null,
    });
  }
  for (let scope = 0; hasPorts(protocol) && scope <= config.vpcs.length; scope++) {
    const row = mappings.byPublic(scope, protocol, address, publicPort);
    if (row < 0) continue;
    found.push({
      kind: 'dynamic',
      side: scope === 0 ? 'external' : 'peering',
      towards: scope === 0 ? null : config.vpcs[scope - 1].name,
      protocol: protocolName(protocol),
      vpc: config.vpcs[mappings.vpc(row)].name,
      inside: { address: formatIpv4(mappings.insideAddress(row)), port: mappings.insidePort(row) },
      sessions: mappings.sessions(row),
    });
  }
  return found;
}

function poolsOf({ config }: RunningEngine, address: number): string[] {
  const holds = ({ ranges }: { readonly ranges: readonly { readonly first: number; readonly last: number }[] }) =>
    ranges.some(({ first, last }) => address >= first && address <= last);
  return [
    ...config.externalPools.filter(holds).map(({ name }) => name),
    ...config.peeringPools.filter(holds).map(({ vpc }) => `peering pool of ${config.vpcs[vpc].name}`),
  ];
}
