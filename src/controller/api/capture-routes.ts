import type { FastifyInstance } from 'fastify';
import { parsePrefix } from '../../config/address.js';
import { TapKind } from '../../native/binding.js';
import { DropReason, DropReasonNames, NO_VNI } from '../../native/records.js';
import { ApiFault, notFound } from './fault.js';
import { flowStream } from './flow-stream.js';
import type { ControlParts } from './parts.js';
import { FAILURES, port } from './schemas.js';

const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;
const WHOLE_FRAME = 65_535;
const MOST_PACKETS = 10_000_000;
const MOST_SECONDS = 3600;
const REASONS = DropReasonNames.filter((_, reason) => reason !== DropReason.none && reason !== DropReason.local);

interface CaptureQuery {
  readonly kind: string;
  readonly reason?: string;
  readonly protocol?: keyof typeof PROTOCOLS;
  readonly net?: string;
  readonly port?: number;
  readonly vpc?: string;
  readonly side?: 'external';
  readonly packets: number;
  readonly seconds: number;
}

/** Copies of packets, as a pcapng file that goes on until it has had enough. One at a time. */
export function captureRoute(server: FastifyInstance, { ports }: Pick<ControlParts, 'ports'>): void {
  let isTaken = false;
  server.get<{ Querystring: CaptureQuery }>(
    '/v1/capture',
    {
      schema: {
        tags: ['state'],
        summary: 'Packets that software dropped, got from the NIC, or translated, as pcapng',
        description:
          'An interface a port; the comment of a packet says what became of it. Dropped and punted ones are as they came, ' +
          'translated ones as they left; the filter sees all of them as they came. What the NIC translates alone is not seen.',
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            kind: {
              type: 'string',
              pattern: '^(?:dropped|punted|translated)(?:,(?:dropped|punted|translated)){0,2}$',
              default: 'dropped',
              description:
                'One or more of dropped, punted (whatever IPv4 packet software got) and translated, with commas.',
            },
            reason: { enum: REASONS, description: 'Of dropped ones.' },
            protocol: { enum: Object.keys(PROTOCOLS) },
            net: { type: 'string', maxLength: 18, description: 'Of either end: an address, or a prefix.' },
            port: { ...port, minimum: 1, description: 'Of either end.' },
            vpc: { type: 'string', maxLength: 64, description: 'That the packet came from.' },
            side: { enum: ['external'], description: 'Came from outside.' },
            packets: { type: 'integer', minimum: 1, maximum: MOST_PACKETS, default: 1000 },
            seconds: { type: 'number', exclusiveMinimum: 0, maximum: MOST_SECONDS, default: 60 },
          },
        },
        response: {
          200: { description: 'A pcapng file.', content: { 'application/x-pcapng': { schema: { type: 'string' } } } },
          ...FAILURES,
        },
      },
    },
    async ({ query }, reply) => {
      const { config } = ports;
      const net = query.net === undefined ? { address: 0, length: 0 } : prefixOf(query.net);
      const vpc = config.vpcs.find(({ name }) => name === query.vpc);
      if (query.vpc !== undefined && vpc === undefined) throw notFound(`there is no VPC "${query.vpc}"`);
      if (isTaken)
        throw new ApiFault(429, 'busy', 'somebody else captures packets now; try again when they have ended');
      const filter = {
        kinds: query.kind.split(',').reduce((bits, kind) => bits | TapKind[kind as keyof typeof TapKind], 0),
        reasons: query.reason === undefined ? 0 : (1 << DropReasonNames.indexOf(query.reason)) >>> 0,
        address: net.address,
        mask: net.length === 0 ? 0 : (-1 << (32 - net.length)) >>> 0,
        port: query.port ?? 0,
        protocol: query.protocol === undefined ? 0 : PROTOCOLS[query.protocol],
        vni: vpc?.vni ?? (query.side === 'external' ? NO_VNI : null),
        bytes: WHOLE_FRAME,
      };
      let isWanted = true;
      let hasBegun = false;
      const free = () => {
        isTaken = false;
      };
      const file = ports.capture(filter, query, () => isWanted);
      const stream = flowStream(
        whenOver(file, free, () => {
          hasBegun = true;
        }),
      );
      isTaken = true;
      // The stream itself closes only once what it reads has ended.
      reply.raw.once('close', () => {
        isWanted = false;
        if (!hasBegun) free();
      });
      return reply.type('application/x-pcapng').send(stream);
    },
  );
}

async function* whenOver(chunks: AsyncGenerator<Buffer>, over: () => void, begins: () => void): AsyncGenerator<Buffer> {
  begins();
  try {
    yield* chunks;
  } finally {
    over();
  }
}

/** @throws ApiFault 400 */
function prefixOf(text: string): { readonly address: number; readonly length: number } {
  const prefix = parsePrefix(text.includes('/') ? text : `${text}/32`);
  if (prefix === null) throw new ApiFault(400, 'request', `net: "${text}" is neither an address nor a prefix`);
  return prefix;
}
