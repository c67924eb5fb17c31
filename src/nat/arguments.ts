import { FlowArguments as F } from '../native/records.js';
import type { Egress } from './egress.js';
import type { SessionFacts } from './session-table.js';

const { imul } = Math;

/**
 * Writes the values of both directions of a session, a word at a time: two narrow fields side by side are one.
 *
 * Each direction arrives where the other one leaves, so that an egress tells what stands on the outside of the other
 * direction's packets too; the replies' tuple is the translated one, turned round.
 *
 * @param words      Of the decision ring; little-endian, as every machine is that its NICs' drivers run on.
 * @param at         Byte offset of the initiator's FlowArguments record, a multiple of 4; the replies' is behind it.
 * @param ageSeconds Idle time for the NIC's AGE action.
 */
export function writeArguments(
  words: Int32Array,
  at: number,
  f: SessionFacts,
  forwardEgress: Egress,
  reverseEgress: Egress,
  ageSeconds: number,
): void {
  const word = at >>> 2;
  const source = f.forwardSource | 0;
  const destination = f.forwardDestination | 0;
  const newSource = f.translatedSource | 0;
  const newDestination = f.translatedDestination | 0;
  const { protocol, forwardSourcePort, forwardDestinationPort, translatedSourcePort, translatedDestinationPort } = f;
  const ports = forwardSourcePort | (forwardDestinationPort << 16);
  const portsTurned = forwardDestinationPort | (forwardSourcePort << 16);
  const newPorts = translatedSourcePort | (translatedDestinationPort << 16);
  const newPortsTurned = translatedDestinationPort | (translatedSourcePort << 16);

  words[word + MATCH_SOURCE] = source;
  words[word + MATCH_DESTINATION] = destination;
  words[word + MATCH_PORTS] = ports;
  words[word + MATCH_VNI] = reverseEgress.vniWord;
  words[word + MATCH_OUTER_SOURCE] = reverseEgress.outerSourceWord;
  words[word + NEW_SOURCE] = newSource;
  words[word + NEW_DESTINATION] = newDestination;
  words[word + NEW_PORTS] = newPorts;
  words[word + NEW_VNI] = forwardEgress.vniWord;
  words[word + OUTER_DESTINATION] = forwardEgress.vtepWord;
  words[word + MACS] = forwardEgress.macsWord0;
  words[word + MACS + 1] = forwardEgress.macsWord1;
  words[word + MACS + 2] = forwardEgress.macsWord2;
  words[word + UDP_PORT_AND_PROTOCOL] = entropyPort(newSource, newDestination, newPortsTurned) | (protocol << 16);
  words[word + AGE_SECONDS] = ageSeconds;

  words[word + REVERSE + MATCH_SOURCE] = newDestination;
  words[word + REVERSE + MATCH_DESTINATION] = newSource;
  words[word + REVERSE + MATCH_PORTS] = newPortsTurned;
  words[word + REVERSE + MATCH_VNI] = forwardEgress.vniWord;
  words[word + REVERSE + MATCH_OUTER_SOURCE] = forwardEgress.outerSourceWord;
  words[word + REVERSE + NEW_SOURCE] = destination;
  words[word + REVERSE + NEW_DESTINATION] = source;
  words[word + REVERSE + NEW_PORTS] = portsTurned;
  words[word + REVERSE + NEW_VNI] = reverseEgress.vniWord;
  words[word + REVERSE + OUTER_DESTINATION] = reverseEgress.vtepWord;
  words[word + REVERSE + MACS] = reverseEgress.macsWord0;
  words[word + REVERSE + MACS + 1] = reverseEgress.macsWord1;
  words[word + REVERSE + MACS + 2] = reverseEgress.macsWord2;
  words[word + REVERSE + UDP_PORT_AND_PROTOCOL] = entropyPort(destination, source, ports) | (protocol << 16);
  words[word + REVERSE + AGE_SECONDS] = ageSeconds;
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
/** Words from a record of the initiator's direction to that of the replies. */
const REVERSE = F.size / 4;

/** Outer UDP source port of a flow: a hash of the inner tuple in the dynamic range (RFC 7348 section 5). @param ports Destination (low half), source (high half). */
function entropyPort(source: number, destination: number, ports: number): number {
  let h = imul(source, 0x85ebca6b) ^ imul(destination, 0xc2b2ae35);
  h = imul(h ^ (h >>> 15) ^ ports, 0x27d4eb2f);
  return 49152 + ((h ^ (h >>> 14)) & 0x3fff);
}
