import { immutableChanges } from '../config/changes.js';
import { type DocumentChange, documentChanges } from '../config/diff.js';
import { loadConfig, validateConfig } from '../config/load.js';
import { liveFaults } from '../config/purpose.js';
import type { ConfigFault, ConfigResult, ValidatedConfig } from '../config/types.js';
import type { ReviewReport } from '../nat/session-review.js';
import { unsupportedParts } from './supported.js';

export type FollowResult =
  | {
      readonly ok: true;
      readonly changes: readonly DocumentChange[];
      /** What became of the sessions; null when the gateway was closed meanwhile. */
      readonly sessions: ReviewReport | null;
    }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** What a configuration would change, and what keeps the gateway from following it. */
export interface ConfigComparison {
  readonly changes: readonly DocumentChange[];
  readonly faults: readonly ConfigFault[];
}

/** The running gateway, as far as a change of its configuration concerns it. */
export interface Reconfigured {
  readonly config: ValidatedConfig;
  reconfigure(config: ValidatedConfig): Promise<ReviewReport | null>;
}

export interface FollowerOptions {
  /** File of the configuration. */
  readonly path: string;
  /** The configuration as the gateway lives it: a member of a pair has its virtual MAC. */
  readonly adapt: (config: ValidatedConfig) => ValidatedConfig;
  /** Called as soon as new packets meet the configuration, before sessions have followed it. */
  readonly onFollowed: (config: ValidatedConfig) => void;
  readonly onEnd: (result: FollowResult) => void;
}

/**
 * The one way in which a running gateway gets another configuration, whoever asks for it: the file as it is now, or the
 * running document with something added or removed. As a whole or not at all, and one after the other.
 */
export class ConfigFollower {
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly gateway: Reconfigured,
    private readonly options: FollowerOptions,
  ) {}

  /** The document that the gateway follows now; not to be changed. */
  get document(): unknown {
    return this.gateway.config.raw;
  }

  /** Follows the file. */
  followFile(): Promise<FollowResult> {
    return this.inTurn(() => loadConfig(this.options.path));
  }

  /** Follows the running document after a change. @param change Returns a new document; what it throws is thrown on. */
  followEdit(change: (document: unknown) => unknown): Promise<FollowResult> {
    return this.inTurn(() => validateConfig(change(this.document), this.options.path));
  }

  /** What following the file would do. */
  compareFile(): ConfigComparison {
    return this.compare(loadConfig(this.options.path));
  }

  /** What following a document would do. */
  compareDocument(document: unknown): ConfigComparison {
    return this.compare(validateConfig(document, this.options.path), document);
  }

  private compare(loaded: ConfigResult, document?: unknown): ConfigComparison {
    const faults = this.faultsOf(loaded);
    const next = loaded.ok ? loaded.config.raw : document;
    return { changes: next === undefined ? [] : documentChanges(this.document, next), faults };
  }

  private faultsOf(loaded: ConfigResult): readonly ConfigFault[] {
    if (!loaded.ok) return loaded.faults;
    const next = this.options.adapt(loaded.config);
    return [...liveFaults(next), ...unsupportedParts(next), ...immutableChanges(this.gateway.config, next)];
  }

  private inTurn(load: () => ConfigResult): Promise<FollowResult> {
    const done = this.last.then(async () => {
      const result = await this.follow(load());
      this.options.onEnd(result);
      return result;
    });
    // Whoever asked is told of a failure; the next one in turn is not.
    this.last = done.catch(() => undefined);
    return done;
  }

  private async follow(loaded: ConfigResult): Promise<FollowResult> {
    const faults = this.faultsOf(loaded);
    if (!loaded.ok || faults.length > 0) return { ok: false, faults };
    const changes = documentChanges(this.document, loaded.config.raw);
    const reviewed = this.gateway.reconfigure(this.options.adapt(loaded.config));
    this.options.onFollowed(this.gateway.config);
    return { ok: true, changes, sessions: await reviewed };
  }
}
