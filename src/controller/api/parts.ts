import type { Logger } from 'pino';
import type { ConfigFollower } from '../config-follower.js';
import type { LiveGateway } from '../live.js';
import type { RunningEngine } from '../running-engine.js';

/** What the part of the control API speaks for that one engine can answer. */
export interface EngineApiParts {
  readonly gateway: RunningEngine;
  readonly mirror: { status(): unknown } | null;
  readonly version: string;
}

/** What is asked of the ports and their NICs, however many engines there are. */
export type PortsApi = Pick<LiveGateway, 'config' | 'reconcile' | 'capture'>;

/** What the control API speaks for. */
export interface ControlParts extends EngineApiParts {
  readonly gateway: LiveGateway;
  readonly ports: PortsApi;
  readonly follower: ConfigFollower;
  /** Null: sessions are not mirrored. */
  readonly mirror: { status(): unknown } | null;
  readonly log: Logger;
}
