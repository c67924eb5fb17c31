/**
 * What the control API takes and gives, as JSON Schema: requests are checked by it, answers are written by it, and
 * schemas/control-api.json is made of it. Parts that several answers have stand here, under a name.
 */

const string = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const number = { type: 'number' } as const;
const described = <T extends object>(schema: T, description: string) => ({ ...schema, description });

/** An object whose fields are all required, and that has no others. */
export function exactly<T extends Record<string, object>>(properties: T, description?: string) {
  const fields = {
    type: 'object',
    required: Object.keys(properties),
    additionalProperties: false,
    properties,
  } as const;
  return description === undefined ? fields : { ...fields, description };
}

/** A reference to one of SHARED_SCHEMAS. */
export const ref = (name: string) => ({ $ref: `${name}#` });

export const listOf = (items: object) => ({ type: 'array', items }) as const;
export const orNull = (schema: { readonly type: string }) => ({ ...schema, type: [schema.type, 'null'] });

const IPV4 = '^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\\.(?!$)|$)){4}$';
export const ipv4 = { type: 'string', pattern: IPV4, maxLength: 15, description: 'An IPv4 address.' } as const;
export const port = { type: 'integer', minimum: 0, maximum: 65535 } as const;
export const vpcName = described({ type: 'string', minLength: 1, maxLength: 64 }, 'Name of a VPC.');
export const filter = described(
  { type: 'string', maxLength: 1000 },
  'Which flows, e.g. `vpc red and proto tcp and path software` (docs/operator.md).',
);

const endpoint = exactly(
  { address: string, port },
  'ICMP echo: the identifier stands in `port`; protocols without ports: 0.',
);
const direction = exactly({
  path: { type: 'string', enum: ['offloaded', 'software', 'pending', 'failed'] },
  reason: described(orNull(string), 'Why it is not in the NIC; null when it is.'),
  packets: described(count, 'NIC and software together.'),
  bytes: described(count, 'Inner IPv4 bytes.'),
});

const flow = exactly({
  id: described(string, 'Row and generation: never used for another flow.'),
  class: { type: 'string', enum: ['vpc-to-vpc', 'vpc-to-external', 'external-to-vpc', 'site-to-site', 'hairpin'] },
  vpc: string,
  protocol: described(string, '`tcp`, `udp`, `icmp`, or the IANA number as text.'),
  state: string,
  inside: ref('Endpoint'),
  nat: ref('Endpoint'),
  remote: ref('Endpoint'),
  underlay: exactly({ vni: { type: 'integer' }, vtep: orNull(string) }),
  forward: ref('Direction'),
  reverse: ref('Direction'),
  ageMs: count,
  idleMs: count,
  expiresInMs: count,
});

const fault = exactly({
  path: described(string, 'JSON Pointer into the configuration; empty for the document as a whole.'),
  message: string,
  hint: described(string, 'What would be right; may be empty.'),
});

const error = {
  type: 'object',
  required: ['error', 'message'],
  properties: {
    error: described(string, 'Stable code.'),
    message: described(string, 'What is wrong and what would be right.'),
    column: described({ type: 'integer', minimum: 1 }, 'Of a filter: where.'),
    faults: listOf(ref('Fault')),
  },
} as const;

const change = {
  type: 'object',
  required: ['op', 'path'],
  properties: {
    op: { type: 'string', enum: ['add', 'remove', 'replace'] },
    path: described(string, 'JSON Pointer: into the old document for `remove`, into the new one otherwise.'),
    from: {},
    to: {},
  },
} as const;

const reviewed = {
  ...exactly({ kept: count, updated: count, ended: count }),
  type: ['object', 'null'],
  description: 'What became of the sessions: `updated` are among `kept`. Null: the gateway was closed meanwhile.',
};

const stage = exactly({
  stage: string,
  result: { type: 'string', enum: ['pass', 'drop', 'answer'] },
  detail: string,
});

export const SHARED_SCHEMAS: Readonly<Record<string, object>> = {
  Endpoint: endpoint,
  Direction: direction,
  Flow: flow,
  Fault: fault,
  Error: error,
  Change: change,
  Followed: exactly({ changes: listOf(ref('Change')), sessions: reviewed }, 'The configuration is in force.'),
  Compared: exactly(
    { changes: listOf(ref('Change')), faults: listOf(ref('Fault')) },
    'What would change, and what keeps the gateway from following it: empty when nothing does.',
  ),
  Stage: stage,
  Trace: exactly({
    verdict: { type: 'string', enum: ['session', 'drop', 'answer'] },
    reason: described(orNull(string), 'Drop reason.'),
    flow: described(orNull(string), 'Flow that it belongs to; null: it would open one, or none.'),
    stages: listOf(ref('Stage')),
    directions: listOf(
      exactly({
        direction: { type: 'string', enum: ['forward', 'reverse'] },
        path: { type: 'string', enum: ['offloaded', 'software', 'pending', 'failed', 'would-offload'] },
        reason: orNull(string),
        stages: listOf(ref('Stage')),
      }),
    ),
  }),
  FlowRate: exactly({ flow: ref('Flow'), packetsPerSecond: number, bitsPerSecond: number }),
};

/** What any request may be answered. */
export const FAILURES = { '4xx': ref('Error'), '5xx': ref('Error') };
