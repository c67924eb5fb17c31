import type { Logger } from 'pino';
import type { ConfigFollower } from '../config-follower.js';
import type { LiveGateway } from '../live.js';

/** What the control API speaks for. */
export interface ControlParts {
  readonly gateway: LiveGateway;
  readonly follower: ConfigFollower;
  /** Null: sessions are not mirrored. */
  readonly mirror: { status(): unknown } | null;
  readonly log: Logger;
  readonly version: string;
}
