import { InvalidArgumentError } from 'commander';
import type { FlowPredicate } from '../controller/flow-filter.js';

export interface ReadFilter {
  readonly text: string;
  readonly admits: FlowPredicate;
}

/** Reads a filter of the command line. @throws InvalidArgumentError that points at the place */
export function readFilter(text: string): ReadFilter {
  // Loaded by whoever filters: a list without waits for nothing that it does not need.
  const { FilterError, parseFilter } =
    require('../controller/flow-filter.js') as typeof import('../controller/flow-filter.js');
  try {
    return { text, admits: parseFilter(text) };
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const blanks = ' '.repeat([...text.slice(0, error.column - 1)].length);
    throw new InvalidArgumentError(`${error.message}\n  ${text.replace(/\s/g, ' ')}\n  ${blanks}^`);
  }
}
