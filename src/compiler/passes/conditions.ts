import type { MatchItem, MatchValue } from '../ir.js';
import type { Located } from '../rule.js';
import type { Target } from '../target.js';

/** What a match demands so that packets which only software may serve do not hit. */
export interface Conditions {
  readonly fragments: boolean;
  readonly options: boolean;
  readonly checksum: boolean;
  readonly tcpFlags?: boolean;
}

/** MF and the 13 offset bits: all 0 in a whole packet (RFC 791 section 3.1). */
export const FRAGMENT_BITS = 0x3fff;
/** FIN, SYN and RST (RFC 9293 section 3.1). */
export const FLAGS_OF_SOFTWARE = 0x07;
/** Version 4, header of five words: no options. */
const WITHOUT_OPTIONS = 0x45;

/** @returns What the target keeps away by conditions of the match, TCP flags apart. */
export function conditionsOf(target: Target): Conditions {
  const means = (punt: keyof Target['punts']) => target.punts[punt].means === 'condition';
  return { fragments: means('fragments'), options: means('options'), checksum: means('ipv4-checksum') };
}

/** The match with the conditions: fragments of the innermost packet (an L4 item fits no outer one), the rest of every layer. */
export function conditioned(match: readonly Located<MatchItem>[], wanted: Conditions): readonly Located<MatchItem>[] {
  const innermost = match.findLastIndex((at) => at.node.type === 'ipv4');
  const found = match.map((at, i) => {
    if (at.node.type === 'ipv4') {
      return {
        ...at,
        node: {
          ...at.node,
          ...unless(at.node.fragmentOffset, wanted.fragments && i === innermost, 'fragmentOffset', {
            value: 0,
            mask: FRAGMENT_BITS,
          }),
          ...unless(at.node.versionIhl, wanted.options, 'versionIhl', WITHOUT_OPTIONS),
        },
      };
    }
    if (at.node.type !== 'tcp') return at;
    const flags = unless(at.node.flags, wanted.tcpFlags === true, 'flags', { value: 0, mask: FLAGS_OF_SOFTWARE });
    return { ...at, node: { ...at.node, ...flags } };
  });
  if (!wanted.checksum) return found;
  const layers = match.filter((at) => at.node.type === 'ipv4');
  const integrity = layers.map(({ index }, layer) => ({
    index,
    node: { type: 'integrity', layer: (layer + 1) as 1 | 2, ipv4ChecksumOk: true } as const,
  }));
  return [...found, ...integrity];
}

/** The condition as a field, unless it is not wanted or the list has one of its own. */
function unless(own: MatchValue | undefined, wanted: boolean, name: string, value: MatchValue): object {
  return wanted && own === undefined ? { [name]: value } : {};
}
