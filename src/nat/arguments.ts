import type { ValidatedConfig } from '../config/types.js';
import { FlowArguments as F, NO_VNI } from '../native/records.js';
import type { Egress } from './egress.js';
import { OUTSIDE_CONTEXT, peerOfContext, type SessionFacts } from './session-table.js';

/**
 * Writes the values of one direction of a session, a word at a time: two narrow fields side by side are one.
 *
 * @param words      Of the decision ring; little-endian, as every machine is that its NICs' drivers run on.
 * @param at         Byte offset of the FlowArguments record, a multiple of 4.
 * @param reverse    Whether it is the replies' direction: the tuple is the translated one, turned round.
 * @param egress     Where this direction leaves.
 * @param ageSeconds Idle time for the NIC's AGE action.
 */
export function writeArguments(
  words: Int32Array,
  at: number,
  f: SessionFacts,
  reverse: boolean,
  egress: Egress,
  ageSeconds: number,
  config: ValidatedConfig,
): void {
  const word = at >>> 2;
  const context = reverse ? f.reverseContext : f.forwardContext;
  const newSource = (reverse ? f.forwardDestination : f.translatedSource) | 0;
  const newDestination = (reverse ? f.forwardSource : f.translatedDestination) | 0;
  const newSourcePort = reverse ? f.forwardDestinationPort : f.translatedSourcePort;
  const newDestinationPort = reverse ? f.forwardSourcePort : f.translatedDestinationPort;
  const peer = peerOfContext(context);
  let vni: number = NO_VNI;
  if (peer >= 0) vni = config.peerGateways[peer].vni;
  else if (context !== OUTSIDE_CONTEXT) vni = config.vpcs[context].vni;
  words[word + MATCH_SOURCE] = reverse ? f.translatedDestination : f.forwardSource;
  words[word + MATCH_DESTINATION] = reverse ? f.translatedSource : f.forwardDestination;
  words[word + MATCH_PORTS] = reverse
    ? f.translatedDestinationPort | (f.translatedSourcePort << 16)
    : f.forwardSourcePort | (f.forwardDestinationPort << 16);
  words[word + MATCH_VNI] = vni;
  words[word + MATCH_OUTER_SOURCE] = peer >= 0 ? config.peerGateways[peer].vtep : 0;
  words[word + NEW_SOURCE] = newSource;
  words[word + NEW_DESTINATION] = newDestination;
  words[word + NEW_PORTS] = newSourcePort | (newDestinationPort << 16);
  words[word + NEW_VNI] = egress.vni;
  words[word + OUTER_DESTINATION] = egress.vtep;
  const macHigh = (egress.mac / 0x1_0000_0000) | 0;
  const macLow = egress.mac | 0;
  const innerHigh = (egress.innerMac / 0x1_0000_0000) | 0;
  words[word + MACS] = swapped((macHigh << 16) | (macLow >>> 16));
  words[word + MACS + 1] = swapped((macLow << 16) | innerHigh);
  words[word + MACS + 2] = swapped(egress.innerMac | 0);
  words[word + UDP_PORT_AND_PROTOCOL] =
    entropyPort(newSource, newDestination, newSourcePort, newDestinationPort) | (f.protocol << 16);
  words[word + AGE_SECONDS] = ageSeconds;
}

/** @returns The word's bytes in the other order: MACs stand as on the wire. */
function swapped(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** Word of a field; of two that share it the lower. @throws RangeError when the layout has changed, at start. */
function wordOf(offset: number, second = offset + 2): number {
  if (offset % 4 !== 0 || second !== offset + 2)
    throw new RangeError(`FlowArguments: ${offset} and ${second} are no word`);
  return offset / 4;
}

const MATCH_SOURCE = wordOf(F.matchSourceAddress);
const MATCH_DESTINATION = wordOf(F.matchDestinationAddress);
const MATCH_PORTS = wordOf(F.matchSourcePort, F.matchDestinationPort);
const MATCH_VNI = wordOf(F.matchVni);
const MATCH_OUTER_SOURCE = wordOf(F.matchOuterSourceAddress);
const NEW_SOURCE = wordOf(F.newSourceAddress);
const NEW_DESTINATION = wordOf(F.newDestinationAddress);
const NEW_PORTS = wordOf(F.newSourcePort, F.newDestinationPort);
const NEW_VNI = wordOf(F.newVni);
const OUTER_DESTINATION = wordOf(F.outerDestinationAddress);
/** Three words: the outer MAC's six bytes, then the inner one's. */
const MACS = wordOf(F.outerDestinationMac, F.innerDestinationMac - 4);
const UDP_PORT_AND_PROTOCOL = wordOf(F.outerUdpSourcePort, F.protocol);
const AGE_SECONDS = wordOf(F.ageSeconds);

/** Outer UDP source port of a flow: a hash of the inner tuple in the dynamic range (RFC 7348 section 5). */
function entropyPort(source: number, destination: number, sourcePort: number, destinationPort: number): number {
  let h = Math.imul(source, 0x85ebca6b) ^ Math.imul(destination, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15) ^ ((sourcePort << 16) | destinationPort), 0x27d4eb2f);
  return 49152 + ((h ^ (h >>> 14)) & 0x3fff);
}
