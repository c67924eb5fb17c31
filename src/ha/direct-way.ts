import { monotonicMs } from './clock.js';
import type { EpochFile } from './epoch-file.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { Peer } from './peer.js';
import { PeerLink, type PeerMessage } from './peer-link.js';
import type { PairSettings } from './settings.js';
import { type FailoverState, speaksIn } from './transitions.js';

export interface DirectWayOptions {
  readonly group: string;
  readonly node: string;
  readonly bootId: string;
  readonly keeper: LeaseKeeper;
  readonly peer: Peer;
  readonly epochs: EpochFile;
  readonly state: () => FailoverState;
  /** How long this gateway may speak may have changed. */
  readonly extended: () => void;
}

/** What is said and promised over the direct way. */
export class DirectWay {
  private link: PeerLink | null = null;
  /** Token of the promise that was given last. */
  private promised = '';

  constructor(private readonly options: DirectWayOptions) {}

  /** What is wrong with it; null: nothing that is known. */
  get fault(): string | null {
    return this.link?.fault ?? null;
  }

  /** @param settings Null: there is none. */
  open(settings: PairSettings['peer']): void {
    this.close();
    if (settings === null) return;
    this.link = new PeerLink(this.options.group, this.options.bootId, settings, () => this.message());
    this.link.onMessage = (message) => this.heard(message);
    this.link.open();
  }

  close(): void {
    this.link?.close();
    this.link = null;
  }

  private message(): PeerMessage {
    const { group, node, bootId, keeper, peer, epochs, state } = this.options;
    const asks = keeper.holding && !keeper.redisAnswers;
    return {
      group,
      node,
      boot: bootId,
      state: state(),
      epoch: epochs.epoch,
      redis: keeper.redisAnswers,
      ask: asks ? peer.ask(monotonicMs()) : '',
      promise: this.promised,
    };
  }

  private heard(message: PeerMessage): void {
    const { keeper, peer, epochs, extended } = this.options;
    const known = epochs.epoch;
    peer.heard(message, monotonicMs());
    epochs.seen(message.epoch).catch(() => undefined); // The check of files tells it.
    if (keeper.holding && speaksIn(message.state) && message.epoch > keeper.epoch) {
      keeper.end(`node "${message.node}" speaks in epoch ${message.epoch}`);
    }
    if (keeper.holding) return extended();
    // An active gateway of an old epoch is none.
    if (message.ask === '' || message.epoch < known || !keeper.canPromise) return;
    peer.promise(monotonicMs());
    this.promised = message.ask;
    this.link?.send();
  }
}
