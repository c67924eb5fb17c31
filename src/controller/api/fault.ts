import type { ConfigFault } from '../../config/types.js';

/** A request that is refused. */
export class ApiFault extends Error {
  override readonly name = 'ApiFault';

  constructor(
    readonly status: number,
    /** Stable. */
    readonly code: string,
    message: string,
    readonly faults: readonly ConfigFault[] | null = null,
  ) {
    super(message);
  }

  get body(): object {
    const { code, message, faults } = this;
    return faults === null ? { error: code, message } : { error: code, message, faults };
  }
}

export const notFound = (what: string) => new ApiFault(404, 'unknown', what);
