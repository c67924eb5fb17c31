import type { Action, FlowList, MatchItem } from './ir.js';

/** A node with its place in the list it came from, so that diagnostics point there whatever passes did. */
export interface Located<T> {
  readonly node: T;
  readonly index: number;
}

/** A list on its way through the passes. Passes return a new one. */
export interface Rule {
  readonly name: string;
  readonly ingress: number;
  readonly match: readonly Located<MatchItem>[];
  readonly actions: readonly Located<Action>[];
  /** Legalised: the target repairs checksums by itself and `checksum` is gone. */
  readonly checksumsImplied: boolean;
}

/** Where a rule stands in the target's tables. */
export interface Placement {
  readonly group: number;
  readonly priority: number;
  readonly domain: 'transfer' | 'ingress';
}

export const toRule = (list: FlowList): Rule => ({
  name: list.name,
  ingress: list.ingress,
  match: list.match.map((node, index) => ({ node, index })),
  actions: list.actions.map((node, index) => ({ node, index })),
  checksumsImplied: false,
});
