import type { FastifyInstance } from 'fastify';
import type { DocumentChange } from '../../config/diff.js';
import { isObject } from '../../config/field.js';
import {
  EditFault,
  withBinding,
  withoutBinding,
  withoutRoute,
  withoutVtep,
  withRoute,
  withVtep,
} from '../config-edits.js';
import type { ConfigFollower, FollowResult } from '../config-follower.js';
import { ApiFault } from './fault.js';
import type { ControlParts } from './parts.js';
import { hidden, withoutPassword } from './passwords.js';
import { exactly, FAILURES, ipv4, listOf, ref, vpcName } from './schemas.js';

const text = { type: 'string', maxLength: 64 } as const;
const bindingFields = { vpc: vpcName, protocol: text, private: text, external: text, peering: text };
const route = exactly({ prefix: text, vtep: ipv4, mac: text });
const vtep = { type: 'object', required: ['address'], properties: { address: text, mac: text } };
const followed = { 200: ref('Followed'), ...FAILURES };
/** Whatever walks over a document may do so by calling itself. */
const MOST_DEPTH = 32;
const EDITED =
  'The running gateway follows at once; the file is not written, and the next reload follows the file again.';

/** The configuration: what it is, what another one would change, and parts added and removed while the gateway runs. */
export function configRoutes(server: FastifyInstance, { follower }: ControlParts): void {
  const tags = ['configuration'];
  const document = { type: 'object', additionalProperties: true } as const;
  server.get(
    '/v1/config',
    {
      schema: {
        tags,
        summary: 'The configuration as it is in force',
        description: 'As schemas/gateway.schema.json has it. A password in mirror.redis is not told.',
        response: { 200: document, ...FAILURES },
      },
    },
    async () => withoutPassword(follower.document),
  );
  server.get(
    '/v1/config/diff',
    {
      schema: {
        tags,
        summary: 'What a reload of the file would change',
        response: { 200: ref('Compared'), ...FAILURES },
      },
    },
    async () => told(follower.compareFile()),
  );
  server.post<{ Body: object }>(
    '/v1/config/diff',
    {
      schema: {
        tags,
        summary: 'What another configuration would change',
        body: document,
        response: { 200: ref('Compared'), ...FAILURES },
      },
    },
    async ({ body }) => {
      if (isDeeperThan(MOST_DEPTH, body)) {
        throw new ApiFault(400, 'invalid', `body: is nested deeper than ${MOST_DEPTH}; a configuration never is`);
      }
      return told(follower.compareDocument(body));
    },
  );
  server.post(
    '/v1/config/reload',
    { schema: { tags, summary: 'Follows the file, as SIGHUP does', response: followed } },
    async () => answer(await follower.followFile()),
  );
  bindingRoutes(server, follower);
  wayRoutes(server, follower);
}

function bindingRoutes(server: FastifyInstance, follower: ConfigFollower): void {
  const tags = ['configuration'];
  const binding = {
    type: 'object',
    required: ['vpc', 'private'],
    additionalProperties: false,
    properties: bindingFields,
  };
  server.get(
    '/v1/static-bindings',
    { schema: { tags, summary: 'Static bindings', response: { 200: listOf(binding), ...FAILURES } } },
    async () => partOf(follower, 'staticBindings'),
  );
  server.post<{ Body: Record<string, string> }>(
    '/v1/static-bindings',
    { schema: { tags, summary: 'Adds a static binding', description: EDITED, body: binding, response: followed } },
    async ({ body }) => edit(follower, (old) => withBinding(old, body)),
  );
  server.delete<{ Querystring: Record<string, string> }>(
    '/v1/static-bindings',
    {
      schema: {
        tags,
        summary: 'Removes the static binding that these fields name',
        description: `${EDITED} Sessions that it made end.`,
        querystring: { type: 'object', minProperties: 1, additionalProperties: false, properties: bindingFields },
        response: followed,
      },
    },
    async ({ query }) => edit(follower, (old) => withoutBinding(old, query)),
  );
}

function wayRoutes(server: FastifyInstance, follower: ConfigFollower): void {
  const tags = ['configuration'];
  const byAddress = exactly({ address: ipv4 });
  server.get(
    '/v1/vteps',
    { schema: { tags, summary: 'Underlay neighbours', response: { 200: listOf(vtep), ...FAILURES } } },
    async () => partOf(follower, 'vteps'),
  );
  server.put<{ Params: { address: string }; Body: { mac?: string } }>(
    '/v1/vteps/:address',
    {
      schema: {
        tags,
        summary: 'Adds an underlay neighbour, or gives it another MAC',
        description: `${EDITED} Without \`mac\` it is learned by ARP.`,
        params: byAddress,
        body: { type: 'object', additionalProperties: false, properties: { mac: text } },
        response: followed,
      },
    },
    async ({ params, body }) => edit(follower, (old) => withVtep(old, params.address, body.mac)),
  );
  server.delete<{ Params: { address: string } }>(
    '/v1/vteps/:address',
    {
      schema: {
        tags,
        summary: 'Removes an underlay neighbour',
        description: EDITED,
        params: byAddress,
        response: followed,
      },
    },
    async ({ params }) => edit(follower, (old) => withoutVtep(old, params.address)),
  );
  const ofVpc = exactly({ name: vpcName });
  server.get<{ Params: { name: string } }>(
    '/v1/vpcs/:name/routes',
    { schema: { tags, summary: 'Routes of a VPC', params: ofVpc, response: { 200: listOf(route), ...FAILURES } } },
    async ({ params }) => {
      const vpc = partOf(follower, 'vpcs').find(({ name }) => name === params.name);
      if (vpc === undefined) throw new ApiFault(404, 'unknown', `there is no VPC "${params.name}"`);
      return vpc.routes ?? [];
    },
  );
  server.post<{ Params: { name: string }; Body: Record<string, string> }>(
    '/v1/vpcs/:name/routes',
    {
      schema: {
        tags,
        summary: 'Adds a route to a VPC',
        description: EDITED,
        params: ofVpc,
        body: route,
        response: followed,
      },
    },
    async ({ params, body }) => edit(follower, (old) => withRoute(old, params.name, body)),
  );
  server.delete<{ Params: { name: string }; Querystring: { prefix: string } }>(
    '/v1/vpcs/:name/routes',
    {
      schema: {
        tags,
        summary: 'Removes a route of a VPC',
        description: EDITED,
        params: ofVpc,
        querystring: exactly({ prefix: text }),
        response: followed,
      },
    },
    async ({ params, query }) => edit(follower, (old) => withoutRoute(old, params.name, query.prefix)),
  );
}

const EDIT_STATUS = { missing: 404, ambiguous: 409, exists: 409 } as const;
const EDIT_CODE = { missing: 'unknown', ambiguous: 'ambiguous', exists: 'exists' } as const;

async function edit(follower: ConfigFollower, change: (document: unknown) => unknown) {
  try {
    return answer(await follower.followEdit(change));
  } catch (error) {
    if (!(error instanceof EditFault)) throw error;
    throw new ApiFault(EDIT_STATUS[error.kind], EDIT_CODE[error.kind], error.message);
  }
}

function answer(result: FollowResult) {
  if (result.ok) return told(result);
  throw new ApiFault(422, 'configuration', 'the configuration is refused; the old one stays', result.faults);
}

function partOf(follower: ConfigFollower, name: string): readonly Record<string, unknown>[] {
  const { document } = follower;
  const part = isObject(document) ? document[name] : undefined;
  return Array.isArray(part) ? (part as readonly Record<string, unknown>[]) : [];
}

/** Looks no deeper than asked. */
function isDeeperThan(most: number, value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false;
  return most === 0 || Object.values(value).some((part) => isDeeperThan(most - 1, part));
}

/** Changes as they may be told. */
function told<T extends { readonly changes: readonly DocumentChange[] }>(result: T): T {
  const changes = result.changes.map((change) =>
    change.path.startsWith('/mirror') ? { ...change, from: hidden(change.from), to: hidden(change.to) } : change,
  );
  return { ...result, changes };
}
