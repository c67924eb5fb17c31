import { writeMac } from '../config/address.js';
import type { ValidatedConfig } from '../config/types.js';
import { FlowArguments as F, NO_VNI } from '../native/records.js';
import type { Egress } from './egress.js';
import { OUTSIDE_CONTEXT, peerOfContext, type SessionFacts } from './session-table.js';

/**
 * Writes the values of one direction of a session.
 *
 * @param view       Of the decision ring.
 * @param at         Offset of the FlowArguments record.
 * @param reverse    Whether it is the replies' direction: the tuple is the translated one, turned round.
 * @param egress     Where this direction leaves.
 * @param ageSeconds Idle time for the NIC's AGE action.
 */
export function writeArguments(
  view: DataView,
  at: number,
  f: SessionFacts,
  reverse: boolean,
  egress: Egress,
  ageSeconds: number,
  config: ValidatedConfig,
): void {
  const context = reverse ? f.reverseContext : f.forwardContext;
  const peer = peerOfContext(context);
  const source = reverse ? f.translatedDestination : f.forwardSource;
  const destination = reverse ? f.translatedSource : f.forwardDestination;
  const sourcePort = reverse ? f.translatedDestinationPort : f.forwardSourcePort;
  const destinationPort = reverse ? f.translatedSourcePort : f.forwardDestinationPort;
  const newSource = reverse ? f.forwardDestination : f.translatedSource;
  const newDestination = reverse ? f.forwardSource : f.translatedDestination;
  const newSourcePort = reverse ? f.forwardDestinationPort : f.translatedSourcePort;
  const newDestinationPort = reverse ? f.forwardSourcePort : f.translatedDestinationPort;
  let vni = NO_VNI;
  if (peer >= 0) vni = config.peerGateways[peer].vni;
  else if (context !== OUTSIDE_CONTEXT) vni = config.vpcs[context].vni;
  view.setUint32(at + F.matchSourceAddress, source, true);
  view.setUint32(at + F.matchDestinationAddress, destination, true);
  view.setUint16(at + F.matchSourcePort, sourcePort, true);
  view.setUint16(at + F.matchDestinationPort, destinationPort, true);
  view.setUint32(at + F.matchVni, vni, true);
  view.setUint32(at + F.matchOuterSourceAddress, peer >= 0 ? config.peerGateways[peer].vtep : 0, true);
  view.setUint32(at + F.newSourceAddress, newSource, true);
  view.setUint32(at + F.newDestinationAddress, newDestination, true);
  view.setUint16(at + F.newSourcePort, newSourcePort, true);
  view.setUint16(at + F.newDestinationPort, newDestinationPort, true);
  view.setUint32(at + F.newVni, egress.vni, true);
  view.setUint32(at + F.outerDestinationAddress, egress.vtep, true);
  writeMac(view, at + F.outerDestinationMac, egress.mac);
  writeMac(view, at + F.innerDestinationMac, egress.innerMac);
  view.setUint16(
    at + F.outerUdpSourcePort,
    entropyPort(newSource, newDestination, newSourcePort, newDestinationPort),
    true,
  );
  view.setUint8(at + F.protocol, f.protocol);
  view.setUint32(at + F.ageSeconds, ageSeconds, true);
}

/** Outer UDP source port of a flow: a hash of the inner tuple in the dynamic range (RFC 7348 section 5). */
function entropyPort(source: number, destination: number, sourcePort: number, destinationPort: number): number {
  let h = Math.imul(source, 0x85ebca6b) ^ Math.imul(destination, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15) ^ ((sourcePort << 16) | destinationPort), 0x27d4eb2f);
  return 49152 + ((h ^ (h >>> 14)) & 0x3fff);
}
