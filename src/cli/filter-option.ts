import { InvalidArgumentError } from 'commander';
import { FilterError, type FlowPredicate, parseFilter } from '../controller/flow-filter.js';

export interface ReadFilter {
  readonly text: string;
  readonly admits: FlowPredicate;
}

/** Reads a filter of the command line. @throws InvalidArgumentError that points at the place */
export function readFilter(text: string): ReadFilter {
  try {
    return { text, admits: parseFilter(text) };
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const blanks = ' '.repeat([...text.slice(0, error.column - 1)].length);
    throw new InvalidArgumentError(`${error.message}\n  ${text.replace(/\s/g, ' ')}\n  ${blanks}^`);
  }
}
