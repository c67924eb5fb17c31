import type { ValidatedConfig } from '../config/types.js';
import { FlowArguments as F, NO_VNI } from '../native/records.js';
import type { Egress } from './egress.js';
import { OUTSIDE_CONTEXT, peerContext, peerOfContext, type SessionFacts } from './session-table.js';

const { imul } = Math;
// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const PLAIN = NO_VNI;
const OUTSIDE = OUTSIDE_CONTEXT;
/** Contexts below are VPCs'. */
const FIRST_PEER = peerContext(0);

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
  const context = reverse === true ? f.reverseContext : f.forwardContext;
  let vni: number = PLAIN;
  let outerSource = 0;
  if (context < FIRST_PEER) vni = config.vpcs[context].vni;
  else if (context !== OUTSIDE) {
    const peer = config.peerGateways[peerOfContext(context)];
    vni = peer.vni;
    outerSource = peer.vtep;
  }
  let newSource: number;
  let newDestination: number;
  let newSourcePort: number;
  let newDestinationPort: number;
  if (reverse === true) {
    newSource = f.forwardDestination | 0;
    newDestination = f.forwardSource | 0;
    newSourcePort = f.forwardDestinationPort;
    newDestinationPort = f.forwardSourcePort;
    words[word + MATCH_SOURCE] = f.translatedDestination;
    words[word + MATCH_DESTINATION] = f.translatedSource;
    words[word + MATCH_PORTS] = f.translatedDestinationPort | (f.translatedSourcePort << 16);
  } else {
    newSource = f.translatedSource | 0;
    newDestination = f.translatedDestination | 0;
    newSourcePort = f.translatedSourcePort;
    newDestinationPort = f.translatedDestinationPort;
    words[word + MATCH_SOURCE] = f.forwardSource;
    words[word + MATCH_DESTINATION] = f.forwardDestination;
    words[word + MATCH_PORTS] = f.forwardSourcePort | (f.forwardDestinationPort << 16);
  }
  words[word + MATCH_VNI] = vni;
  words[word + MATCH_OUTER_SOURCE] = outerSource;
  words[word + NEW_SOURCE] = newSource;
  words[word + NEW_DESTINATION] = newDestination;
  words[word + NEW_PORTS] = newSourcePort | (newDestinationPort << 16);
  words[word + NEW_VNI] = egress.vni;
  words[word + OUTER_DESTINATION] = egress.vtep;
  const { mac, innerMac } = egress;
  const macHigh = (mac / 0x1_0000_0000) | 0;
  const macLow = mac | 0;
  const innerHigh = (innerMac / 0x1_0000_0000) | 0;
  words[word + MACS] = swapped((macHigh << 16) | (macLow >>> 16));
  words[word + MACS + 1] = swapped((macLow << 16) | innerHigh);
  words[word + MACS + 2] = swapped(innerMac | 0);
  words[word + UDP_PORT_AND_PROTOCOL] =
    entropyPort(newSource, newDestination, newSourcePort, newDestinationPort) | (f.protocol << 16);
  words[word + AGE_SECONDS] = ageSeconds;
}

/** @returns The word's bytes in the other order: MACs stand as on the wire. */
function swapped(word: number): number {
  const halves = ((word & 0xff00ff) << 8) | ((word >>> 8) & 0xff00ff);
  return (halves << 16) | (halves >>> 16);
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
  let h = imul(source, 0x85ebca6b) ^ imul(destination, 0xc2b2ae35);
  h = imul(h ^ (h >>> 15) ^ ((sourcePort << 16) | destinationPort), 0x27d4eb2f);
  return 49152 + ((h ^ (h >>> 14)) & 0x3fff);
}
