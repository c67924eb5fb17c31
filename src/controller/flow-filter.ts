import { parseEndpoint, parseIpv4, parsePrefix, prefixContains } from '../config/address.js';
import { suggestion } from '../config/faults.js';
import { SessionClassNames, TcpStateNames } from '../native/records.js';
import type { FlowDirection, FlowEndpoint, FlowEntry } from './flow-dump.js';

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
/** Every word that a term may begin with. */
export const FILTER_FIELDS = [
  ...['vpc', 'class', 'proto', 'state', 'path', 'reason', 'forward', 'reverse', 'id', 'vni', 'inside', 'nat', 'remote'],
  ...['host', 'net', 'port', 'endpoint', 'packets', 'bytes', 'age', 'idle', 'expires'],
] as const;
const PATHS = ['offloaded', 'software', 'pending', 'failed'];
const PROTOCOLS = ['tcp', 'udp', 'icmp'];
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };
const TIMES: Readonly<Record<string, number>> = { '': 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Numbers that can be compared. */
const AMOUNTS: Readonly<Record<string, (flow: FlowEntry) => number>> = {
  packets: ({ forward, reverse }) => forward.packets + reverse.packets,
  bytes: ({ forward, reverse }) => forward.bytes + reverse.bytes,
  age: ({ ageMs }) => ageMs,
  idle: ({ idleMs }) => idleMs,
  expires: ({ expiresInMs }) => expiresInMs,
};
const COMPARISONS: ReadonlyMap<string, (a: number, b: number) => boolean> = new Map([
  ['<', (a, b) => a < b],
  ['<=', (a, b) => a <= b],
  ['>', (a, b) => a > b],
  ['>=', (a, b) => a >= b],
  ['=', (a, b) => a === b],
]);
/** Words of tcpdump's users for the same. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ['&&', 'and'],
  ['||', 'or'],
  ['!', 'not'],
  ['protocol', 'proto'],
  ['==', '='],
]);
/** A word in quotes, a sign, or what stands between spaces and signs. */
const WORDS = /"([^"]*)"|[()]|[<>]=?|==?|!(?!=)|&&|\|\||[^\s()<>=!&|"]+|\S/g;

/**
 * Reads a filter in the manner of tcpdump: terms joined by `and`, `or`, `not` and parentheses; docs/operator.md lists
 * the terms. `and` binds closer than `or`, `not` closest.
 *
 * @throws FilterError
 */
export function parseFilter(text: string): FlowPredicate {
  const tokens: Token[] = [...text.matchAll(WORDS)].map((match) => ({
    text: match[1] ?? SYNONYMS.get(match[0]) ?? match[0],
    column: match.index + 1,
  }));
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
      case 'id':
        return this.equals(field);
      case 'class':
        return this.equals(field, SessionClassNames);
      case 'state':
        return this.equals(field, [...TcpStateNames, 'active']);
      case 'proto':
        return this.protocol();
      case 'path':
      case 'reason': {
        const matches = this.direction(field);
        return (flow) => matches(flow.forward) || matches(flow.reverse);
      }
      case 'forward':
      case 'reverse': {
        const matches = this.direction(this.next('path or reason'));
        return (flow) => matches(flow[field]);
      }
      case 'vni': {
        const [wanted] = this.numbers('a VNI', 0xffffff, false);
        return (flow) => flow.underlay.vni === wanted;
      }
      case 'inside':
      case 'nat':
      case 'remote': {
        const matches = this.endpoint(this.next('host, net, port or endpoint'));
        return (flow) => matches(flow[field]);
      }
      case 'host':
      case 'net':
      case 'port':
      case 'endpoint': {
        const matches = this.endpoint(field);
        return (flow) => matches(flow.inside) || matches(flow.nat) || matches(flow.remote);
      }
      case 'packets':
      case 'bytes':
        return this.amount(field, UNITS, 'a number, e.g. 100 or 10k');
      case 'age':
      case 'idle':
      case 'expires':
        return this.amount(field, TIMES, 'a time, e.g. 30s or 5m');
      default: {
        const meant = suggestion(field, FILTER_FIELDS);
        throw this.wrong(`unknown field "${field}": ${meant.startsWith('did') ? meant : `use ${FIELDS}`}`);
      }
    }
  }

  /** @param known Null: any. */
  private equals(field: 'vpc' | 'class' | 'state' | 'id', known: readonly string[] | null = null): FlowPredicate {
    const wanted = this.oneOf(`a ${field}`, known);
    return (flow) => flow[field] === wanted;
  }

  private protocol(): FlowPredicate {
    const wanted = this.next('a protocol');
    const isNumber = /^[0-9]{1,3}$/.test(wanted) && Number(wanted) <= 255;
    if (!PROTOCOLS.includes(wanted) && !isNumber) {
      throw this.wrong(`"${wanted}" is not a protocol: tcp, udp, icmp, or a number up to 255`);
    }
    const name = { '1': 'icmp', '6': 'tcp', '17': 'udp' }[wanted] ?? wanted;
    return (flow) => flow.protocol === name;
  }

  private direction(field: string): (direction: FlowDirection) => boolean {
    if (field === 'path') {
      const wanted = this.oneOf('a path', PATHS);
      return ({ path }) => path === wanted;
    }
    if (field !== 'reason') throw this.wrong(`expected path or reason, not "${field}"`);
    const wanted = this.next('a reason');
    // "nic-error: errno 28" is found by its code.
    return ({ reason }) => reason === wanted || reason?.split(':', 1)[0] === wanted;
  }

  private amount(field: string, units: Readonly<Record<string, number>>, what: string): FlowPredicate {
    const sign = this.next('<, <=, =, >= or >');
    const compare = COMPARISONS.get(sign);
    if (compare === undefined) throw this.wrong(`expected <, <=, =, >= or >, not "${sign}"`);
    const text = this.next(what);
    const [, digits, unit] = /^([0-9]{1,12})([a-z]*)$/.exec(text) ?? [];
    if (digits === undefined || !Object.hasOwn(units, unit)) throw this.wrong(`"${text}" is not ${what}`);
    const wanted = Number(digits) * units[unit];
    return (flow) => compare(AMOUNTS[field](flow), wanted);
  }

  private endpoint(kind: string): (endpoint: FlowEndpoint) => boolean {
    if (kind === 'port') {
      const [first, last] = this.numbers('a port', 65535, true);
      return ({ port }) => port >= first && port <= last;
    }
    if (kind !== 'host' && kind !== 'net' && kind !== 'endpoint') {
      throw this.wrong(`expected host, net or port, or endpoint, not "${kind}"`);
    }
    const text = this.next(kind === 'host' ? 'an address' : kind === 'net' ? 'a prefix' : 'ADDRESS:PORT');
    if (kind === 'endpoint') {
      const wanted = parseEndpoint(text);
      if (wanted === null) throw this.wrong(`"${text}" is not ADDRESS:PORT`);
      return ({ address, port }) => port === wanted.port && parseIpv4(address) === wanted.address;
    }
    const prefix = parsePrefix(kind === 'host' ? `${text}/32` : text);
    if (prefix === null) {
      throw this.wrong(`"${text}" is not ${kind === 'host' ? 'an IPv4 address' : 'an IPv4 prefix'}`);
    }
    return ({ address }) => prefixContains(prefix, parseIpv4(address) ?? 0);
  }

  /** @returns First and last of a range; a single number is both. */
  private numbers(what: string, most: number, ranges: boolean): [number, number] {
    const text = this.next(what);
    const [, first, last = first] = /^([0-9]{1,8})(?:-([0-9]{1,8}))?$/.exec(text) ?? [];
    const fits = first !== undefined && Number(first) <= Number(last) && Number(last) <= most;
    if (!fits || (!ranges && text.includes('-'))) throw this.wrong(`"${text}" is not ${what} (0..${most})`);
    return [Number(first), Number(last)];
  }

  /** @param known Null: any. */
  private oneOf(what: string, known: readonly string[] | null): string {
    const text = this.next(what);
    if (known === null || known.includes(text)) return text;
    throw this.wrong(`"${text}" is not ${what} (${suggestion(text, known)})`);
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

  /** What is wrong with the word that was taken last. */
  private wrong(message: string): FilterError {
    this.at--;
    return this.error(message);
  }

  private error(message: string): FilterError {
    return new FilterError(message, this.tokens[this.at]?.column ?? this.end);
  }
}
