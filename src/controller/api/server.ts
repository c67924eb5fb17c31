import swagger from '@fastify/swagger';
import Ajv, { type ErrorObject } from 'ajv';
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { FilterError } from '../flow-filter.js';
import { ApiFault } from './fault.js';
import { SHARED_SCHEMAS } from './schemas.js';

/** A configuration with thousands of VPCs fits; anything larger is read from the file. */
const BODY_BYTES = 4 * 1024 * 1024;
const HEADER_BYTES = 8 * 1024;
/** Until when a request must have come whole. */
const REQUEST_MS = 10_000;
const IDLE_MS = 5000;
const CONNECTIONS = 64;

/**
 * The HTTP side of the control API: what every request meets before its route. Oversized, slow, malformed and unknown
 * requests get a 4xx in one form, `{error, message}`.
 */
export async function apiServer(version: string, log: Logger | null): Promise<FastifyInstance> {
  const server = Fastify({
    logger: false,
    forceCloseConnections: true,
    bodyLimit: BODY_BYTES,

    requestTimeout: REQUEST_MS,
    keepAliveTimeout: IDLE_MS,
    http: { maxHeaderSize: HEADER_BYTES, headersTimeout: REQUEST_MS, connectionsCheckingInterval: 1000 },
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    routerOptions: { maxParamLength: 200 },
    schemaErrorFormatter: (errors, part) => new Error(requestFault(errors[0] as ErrorObject, part)),
  });
  // Others wait in the socket's queue: nobody gets a half-served answer.
  server.server.maxConnections = CONNECTIONS;
  checkStrictly(server);
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sluice control API',
        description: 'HTTP over the unix socket of `control.socket`, which only its owner and group may use.',
        version,
      },
      servers: [
        { url: 'http://localhost', description: 'curl --unix-socket /run/sluice/gw1.sock http://localhost/v1/…' },
      ],
    },
    hideUntagged: true,
    refResolver: { buildLocalReference: (schema) => String(schema.$id) },
  });
  for (const [name, schema] of Object.entries(SHARED_SCHEMAS)) server.addSchema({ $id: name, ...schema });
  server.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ error: 'unknown', message: `nothing answers ${request.method} ${shown(request.url)}` }),
  );
  server.setErrorHandler((error: FastifyError | ApiFault | FilterError, _request, reply) => {
    if (error instanceof ApiFault) return reply.code(error.status).send(printable(error.body));
    if (error instanceof FilterError) {
      return reply.code(400).send(printable({ error: 'filter', message: error.message, column: error.column }));
    }
    const status = error.statusCode ?? 500;
    if (status < 500) return reply.code(status).send(printable({ error: codeOf(error), message: error.message }));
    log?.error({ error: error.stack ?? error.message }, 'control API: a request failed');
    return reply.code(status).send({ error: 'internal', message: 'the request failed; see the log of the gateway' });
  });
  return server;
}

/** Texts of URLs and headers become numbers; bodies are taken as they are. Nothing unknown is let through or taken away. */
function checkStrictly(server: FastifyInstance): void {
  const options = {
    allErrors: false,
    removeAdditional: false,
    useDefaults: true,
    strict: false,
    verbose: true,
  } as const;
  const coercing = new Ajv({ ...options, coerceTypes: true });
  const plain = new Ajv({ ...options, coerceTypes: false });
  for (const [name, schema] of Object.entries(SHARED_SCHEMAS)) {
    coercing.addSchema({ $id: name, ...schema });
    plain.addSchema({ $id: name, ...schema });
  }
  server.setValidatorCompiler(({ schema, httpPart }) =>
    (httpPart === 'body' ? plain : coercing).compile(schema as object),
  );
}

/** Place, fault, remedy. @param part Of the request: `querystring`, `body`, `params`. */
function requestFault(error: ErrorObject, part: string): string {
  const { instancePath, keyword, params, parentSchema } = error;
  const fields = Object.keys((parentSchema as { properties?: object } | undefined)?.properties ?? {});
  switch (keyword) {
    case 'additionalProperties':
      return `${part}${instancePath}: "${shown(params.additionalProperty)}" is unknown (known: ${fields.join(', ') || 'none'})`;
    case 'required':
      return `${part}${instancePath}/${params.missingProperty}: is missing`;
    case 'enum':
      return `${part}${instancePath}: must be one of ${params.allowedValues.join(', ')}`;
    case 'pattern':
      return `${part}${instancePath}: does not look like ${named(parentSchema?.description) ?? parentSchema?.pattern}`;
    default:
      return `${part}${instancePath}: ${error.message}`;
  }
}

/** A description's sentence as a part of another one. */
function named(description: string | undefined): string | undefined {
  return description?.replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase()).replace(/\.$/, '');
}

function codeOf(error: FastifyError): string {
  if (error.validation !== undefined) return 'invalid';
  switch (error.statusCode) {
    case 413:
      return 'too-large';
    case 415:
      return 'media-type';
    default:
      return 'bad-request';
  }
}

/** What was sent may stand in a message: without what a terminal would act on. */
function printable<T>(value: T): T {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
  if (typeof value === 'string') return value.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?') as T;
  if (Array.isArray(value)) return value.map(printable) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, printable(part)])) as T;
}

/** A path as it may stand in a message: short, and nothing that a terminal would act on. */
function shown(url: string): string {
  const text = url.replace(/[^\x21-\x7e]/g, '?');
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
