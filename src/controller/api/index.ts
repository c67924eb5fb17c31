import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { packageRoot } from '../../config/package-root.js';
import type { RunningEngine } from '../running-engine.js';
import { captureRoute } from './capture-routes.js';
import { configRoutes } from './config-routes.js';
import { flowRoutes } from './flow-routes.js';
import type { ControlParts } from './parts.js';
import { apiServer } from './server.js';
import { reconcileRoute, stateRoutes } from './state-routes.js';
import { traceRoutes } from './trace-routes.js';

export type { ControlParts } from './parts.js';

export function productVersion(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}

/** The part of it that one engine can answer, for one of several: its answers are merged. */
export async function engineApi(gateway: RunningEngine, log: Logger): Promise<FastifyInstance> {
  const server = await apiServer('', log);
  const parts = { gateway, mirror: null, version: '' };
  flowRoutes(server, parts);
  stateRoutes(server, parts);
  traceRoutes(server, parts);
  return server;
}

/** The control API, not yet listening. @param more Adds what other parts answer. */
export async function controlApi(
  parts: Omit<ControlParts, 'version'>,
  more: (server: FastifyInstance) => void = () => undefined,
): Promise<FastifyInstance> {
  const version = productVersion();
  const server = await apiServer(version, parts.log ?? null);
  const all = { ...parts, version };
  server.get('/v1/openapi.json', { schema: { hide: true } }, async () => server.swagger());
  flowRoutes(server, all);
  stateRoutes(server, all);
  reconcileRoute(server, all);
  traceRoutes(server, all);
  captureRoute(server, all);
  configRoutes(server, all);
  more(server);
  return server;
}

/** The API's OpenAPI description, made of the schemas that its requests are checked by. No gateway need run. */
export async function openApiDescription(): Promise<object> {
  // Routes ask for the gateway when they are asked something.
  const server = await controlApi({} as Omit<ControlParts, 'version'>);
  await server.ready();
  const description = server.swagger();
  await server.close();
  return description;
}
