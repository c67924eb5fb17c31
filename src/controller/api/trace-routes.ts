import type { FastifyInstance } from 'fastify';
import { parseIpv4 } from '../../config/address.js';
import type { MissedPacket } from '../../nat/packet.js';
import { NO_VNI } from '../../native/records.js';
import type { RunningEngine } from '../running-engine.js';
import { tracedPacket, tracePacket } from '../trace.js';
import { ApiFault } from './fault.js';
import type { EngineApiParts } from './parts.js';
import { FAILURES, ipv4, port, ref } from './schemas.js';

const NUMBERS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17 };
const FLAGS: Readonly<Record<string, number>> = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ece: 64, cwr: 128 };

export interface TracedPacket {
  readonly port?: string;
  readonly vpc?: string;
  readonly vni?: number;
  readonly outerSource?: string;
  readonly protocol: string;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly ttl: number;
  readonly tcpFlags: readonly string[];
  readonly icmpType: number;
}

/** The whole way of one packet, without sending it. */
export function traceRoutes(server: FastifyInstance, { gateway }: EngineApiParts): void {
  server.post<{ Body: TracedPacket }>(
    '/v1/trace',
    {
      schema: {
        tags: ['flows'],
        summary: 'What would become of a packet, stage by stage',
        description:
          'Nothing is sent and nothing changes. `vpc`, or `vni`, means the fabric; neither means the outside.',
        body: {
          type: 'object',
          required: ['protocol', 'source', 'destination'],
          additionalProperties: false,
          properties: {
            port: { type: 'string', maxLength: 64, description: 'Name of a port; else told by `vpc` and `vni`.' },
            vpc: { type: 'string', maxLength: 64 },
            vni: { type: 'integer', minimum: 0, maximum: 16777215 },
            outerSource: { ...ipv4, description: 'VTEP that it comes from; matters for peer gateways.' },
            protocol: { type: 'string', pattern: '^(tcp|udp|icmp|[0-9]{1,3})$' },
            source: ipv4,
            sourcePort: { ...port, default: 0, description: 'ICMP echo: the identifier.' },
            destination: ipv4,
            destinationPort: { ...port, default: 0 },
            ttl: { type: 'integer', minimum: 0, maximum: 255, default: 64 },
            tcpFlags: {
              type: 'array',
              maxItems: 8,
              items: { type: 'string', enum: Object.keys(FLAGS) },
              default: ['syn'],
            },
            icmpType: { type: 'integer', minimum: 0, maximum: 255, default: 8 },
          },
        },
        response: { 200: ref('Trace'), ...FAILURES },
      },
    },
    async ({ body }) => tracePacket(gateway.controller, packetOf(gateway, body)),
  );
}

/** @returns The packet that a request describes. @throws ApiFault 400 */
export function packetOf(gateway: Pick<RunningEngine, 'config' | 'nowMs'>, body: TracedPacket): MissedPacket {
  const { config } = gateway;
  const protocol = NUMBERS[body.protocol] ?? Number(body.protocol);
  if (protocol > 255) throw new ApiFault(400, 'invalid', `body/protocol: ${body.protocol} is no IP protocol (0..255)`);
  const vpc = config.vpcs.find(({ name, vni }) => name === body.vpc && vni >= 0);
  if (body.vpc !== undefined && vpc === undefined) throw new ApiFault(400, 'invalid', `body/vpc: no VPC "${body.vpc}"`);
  const vni = body.vni ?? vpc?.vni ?? NO_VNI;
  const named = config.ports.find(({ name }) => name === body.port);
  if (body.port !== undefined && named === undefined)
    throw new ApiFault(400, 'invalid', `body/port: no port "${body.port}"`);
  const own = named?.index ?? (vni === NO_VNI ? config.externalPort : config.fabricPort);
  if (own < 0)
    throw new ApiFault(400, 'invalid', 'body/vpc: this gateway has no external port; name the VPC that sends');
  if ((own === config.fabricPort) !== (vni !== NO_VNI)) {
    throw new ApiFault(
      400,
      'invalid',
      'body/port: what comes from the fabric has a vpc or vni, what comes from outside has none',
    );
  }
  const isIcmp = protocol === 1;
  const [seconds, nanoseconds] = [Math.floor(gateway.nowMs() / 1000), 0];
  return tracedPacket({
    port: own,
    protocol,
    seconds,
    nanoseconds,
    vni,
    outerSource: body.outerSource === undefined ? 0 : (parseIpv4(body.outerSource) as number),
    source: parseIpv4(body.source) as number,
    destination: parseIpv4(body.destination) as number,
    sourcePort: body.sourcePort,
    // An echo identifier stands in both.
    destinationPort: isIcmp ? body.sourcePort : body.destinationPort,
    ttl: body.ttl,
    tcpFlags: protocol === 6 ? body.tcpFlags.reduce((flags, name) => flags | FLAGS[name], 0) : 0,
    icmpType: isIcmp ? body.icmpType : 0,
  });
}
