import { parseIpv4, parsePrefix, prefixContains } from '../config/address.js';
import type { FlowEndpoint, FlowEntry } from './flow-dump.js';

export type FlowPredicate = (flow: FlowEntry) => boolean;

/** A filter that cannot be read; `column` counts from 1. */
export class FilterError extends Error {
  override readonly name = 'FilterError';

  constructor(
    message: string,
    readonly column: number,
  ) {
    super(`column ${column}: ${message}`);
  }
}

interface Token {
  readonly text: string;
  readonly column: number;
}

const FIELDS = 'vpc, class, proto, state, path, id, vni, inside, nat, remote, host, net or port';

/**
 * Reads a filter in the manner of tcpdump: terms joined by `and`, `or`, `not` and parentheses.
 *
 * Terms: `vpc NAME`, `class NAME`, `proto NAME`, `state NAME`, `path NAME`, `id ID`, `vni N`, and `[inside|nat|remote]
 * host ADDRESS`, `… net PREFIX`, `… port N`; without an end, any of the three may fit.
 *
 * @throws FilterError
 */
export function parseFilter(text: string): FlowPredicate {
  const tokens: Token[] = [...text.matchAll(/[()]|[^\s()]+/g)].map((m) => ({ text: m[0], column: m.index + 1 }));
  const parser = new FilterParser(tokens, text.length + 1);
  return tokens.length === 0 ? () => true : parser.parse();
}

class FilterParser {
  private at = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly end: number,
  ) {}

  parse(): FlowPredicate {
    const predicate = this.disjunction();
    if (this.at < this.tokens.length) throw this.error(`expected "and" or "or", not "${this.tokens[this.at].text}"`);
    return predicate;
  }

  private disjunction(): FlowPredicate {
    const left = this.conjunction();
    if (!this.accept('or')) return left;
    const right = this.disjunction();
    return (flow) => left(flow) || right(flow);
  }

  private conjunction(): FlowPredicate {
    const left = this.negation();
    if (!this.accept('and')) return left;
    const right = this.conjunction();
    return (flow) => left(flow) && right(flow);
  }

  private negation(): FlowPredicate {
    if (this.accept('not')) {
      const inner = this.negation();
      return (flow) => !inner(flow);
    }
    if (this.accept('(')) {
      const inner = this.disjunction();
      if (!this.accept(')')) throw this.error('expected ")"');
      return inner;
    }
    return this.term();
  }

  private term(): FlowPredicate {
    const field = this.next(FIELDS);
    switch (field) {
      case 'vpc':
      case 'class':
      case 'state':
      case 'id':
        return this.equals(field);
      case 'proto': {
        const wanted = this.next('a protocol');
        return (flow) => flow.protocol === wanted;
      }
      case 'path': {
        const wanted = this.next('a path');
        return (flow) => flow.forward.path === wanted || flow.reverse.path === wanted;
      }
      case 'vni': {
        const wanted = this.number('a VNI', 0xffffff);
        return (flow) => flow.underlay.vni === wanted;
      }
      case 'inside':
      case 'nat':
      case 'remote': {
        const matches = this.endpoint(this.next('host, net or port'));
        return (flow) => matches(flow[field]);
      }
      case 'host':
      case 'net':
      case 'port': {
        const matches = this.endpoint(field);
        return (flow) => matches(flow.inside) || matches(flow.nat) || matches(flow.remote);
      }
      default:
        this.at--;
        throw this.error(`unknown field "${field}": use ${FIELDS}`);
    }
  }

  private equals(field: 'vpc' | 'class' | 'state' | 'id'): FlowPredicate {
    const wanted = this.next(`a ${field}`);
    return (flow) => flow[field] === wanted;
  }

  private endpoint(kind: string): (endpoint: FlowEndpoint) => boolean {
    if (kind === 'port') {
      const wanted = this.number('a port', 65535);
      return (endpoint) => endpoint.port === wanted;
    }
    if (kind !== 'host' && kind !== 'net') {
      this.at--;
      throw this.error(`expected host, net or port, not "${kind}"`);
    }
    const text = this.next(kind === 'host' ? 'an address' : 'a prefix');
    const prefix = parsePrefix(kind === 'host' ? `${text}/32` : text);
    if (prefix === null) {
      this.at--;
      throw this.error(`"${text}" is not ${kind === 'host' ? 'an IPv4 address' : 'an IPv4 prefix'}`);
    }
    return (endpoint) => prefixContains(prefix, parseIpv4(endpoint.address) ?? 0);
  }

  private number(what: string, most: number): number {
    const text = this.next(what);
    const value = Number(text);
    if (/^[0-9]{1,8}$/.test(text) && value <= most) return value;
    this.at--;
    throw this.error(`"${text}" is not ${what} (0..${most})`);
  }

  private accept(text: string): boolean {
    if (this.tokens[this.at]?.text !== text) return false;
    this.at++;
    return true;
  }

  private next(expected: string): string {
    if (this.at >= this.tokens.length) throw this.error(`expected ${expected}`);
    return this.tokens[this.at++].text;
  }

  private error(message: string): FilterError {
    return new FilterError(message, this.tokens[this.at]?.column ?? this.end);
  }
}
