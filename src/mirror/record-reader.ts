import type { AdoptedMapping, AdoptedSession } from '../nat/adoption.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerContext } from '../nat/session-table.js';
import type { Topology } from '../nat/topology.js';
import type { SessionClass } from '../native/records.js';
import { R } from './batch.js';
import type { ConfigRanks } from './config-ranks.js';
import {
  NO_IDLE,
  RECORD_DESTINATION_MAPPING,
  RECORD_DESTINATION_PEERING,
  RECORD_DESTINATION_RETIRED,
  RECORD_INSIDE_INITIATED,
  RECORD_OUTSIDE,
  RECORD_PEER,
  RECORD_SOURCE_ALONE,
  RECORD_SOURCE_MAPPING,
  RECORD_SOURCE_PEERING,
  RECORD_SOURCE_RETIRED,
} from './records.js';

/** Of the session that was read last: a million are read in a row. */
const SOURCE: AdoptedMapping = { scope: 0, alone: false, retired: false };
const DESTINATION: AdoptedMapping = { scope: 0, alone: false, retired: false };

/** One object, filled again and again by readSession(). */
export function emptyAdopted(): AdoptedSession {
  return {
    facts: emptyFacts(),
    source: null,
    destination: null,
    tcpState: 0,
    times: { createdSeconds: 0, lastForwardSeconds: 0, lastReverseSeconds: 0, stateSinceSeconds: 0 },
  };
}

/**
 * Reads a session's record: names become this gateway's indexes, durations its times.
 *
 * @param at First word of a record that BatchReader has judged.
 * @returns False when the record names a part that the configuration here has not.
 */
export function readSession(
  words: Int32Array,
  at: number,
  ranks: ConfigRanks,
  topology: Topology,
  nowSeconds: number,
  into: AdoptedSession,
): boolean {
  const { facts, times } = into;
  const flags = words[at + R.flags] & 0xff;
  const vpcs = words[at + R.vpcs];
  const contexts = words[at + R.contexts];
  const vpc = ranks.vpcOfRank[vpcs & 0xffff];
  const destinationRank = (vpcs >>> 16) - 1;
  const destinationVpc = destinationRank < 0 ? -1 : ranks.vpcOfRank[destinationRank];
  const forwardContext = contextOf(contexts & 0xffff, ranks);
  const reverseContext = contextOf(contexts >>> 16, ranks);
  if (vpc === undefined || destinationVpc === undefined || forwardContext < 0 || reverseContext < 0) return false;
  facts.protocol = (words[at] >>> 8) & 0xff;
  facts.sessionClass = ((words[at] >>> 16) & 0xff) as SessionClass;
  into.tcpState = words[at] >>> 24;
  facts.forwardContext = forwardContext;
  facts.reverseContext = reverseContext;
  facts.forwardSource = words[at + R.forwardSource] >>> 0;
  facts.forwardDestination = words[at + R.forwardDestination] >>> 0;
  facts.translatedSource = words[at + R.translatedSource] >>> 0;
  facts.translatedDestination = words[at + R.translatedDestination] >>> 0;
  facts.forwardDestinationPort = words[at + R.forwardPorts] & 0xffff;
  facts.forwardSourcePort = words[at + R.forwardPorts] >>> 16;
  facts.translatedDestinationPort = words[at + R.translatedPorts] & 0xffff;
  facts.translatedSourcePort = words[at + R.translatedPorts] >>> 16;
  facts.vpc = vpc;
  facts.destinationVpc = destinationVpc;
  facts.insideInitiated = (flags & RECORD_INSIDE_INITIATED) !== 0;
  facts.sourceMapping = -1;
  facts.destinationMapping = -1;
  facts.host = -1;
  into.source = null;
  into.destination = null;
  if ((flags & RECORD_SOURCE_MAPPING) !== 0) {
    if ((flags & RECORD_SOURCE_PEERING) !== 0 && destinationVpc < 0) return false;
    SOURCE.scope = (flags & RECORD_SOURCE_PEERING) !== 0 ? destinationVpc + 1 : 0;
    SOURCE.alone = (flags & RECORD_SOURCE_ALONE) !== 0;
    SOURCE.retired = (flags & RECORD_SOURCE_RETIRED) !== 0;
    into.source = SOURCE;
  }
  if ((flags & RECORD_DESTINATION_MAPPING) !== 0) {
    // Who looks at the peering address: the source's VPC, which a peer gateway's packets tell by their source.
    const viewer = (contexts & 0xffff) >= RECORD_PEER ? topology.peeringOwner(facts.forwardSource) : vpc;
    const isPeering = (flags & RECORD_DESTINATION_PEERING) !== 0;
    if (destinationVpc < 0 || (isPeering && viewer < 0)) return false;
    DESTINATION.scope = isPeering ? viewer + 1 : 0;
    DESTINATION.retired = (flags & RECORD_DESTINATION_RETIRED) !== 0;
    into.destination = DESTINATION;
  }
  const at0 = (seconds: number) => Math.max(1, nowSeconds - seconds);
  times.createdSeconds = at0(words[at + R.age] >>> 0);
  times.stateSinceSeconds = at0(words[at + R.flags] >>> 16);
  times.lastForwardSeconds = at0(words[at + R.versionHigh] >>> 16);
  const idleReverse = words[at + R.idleReverse] & 0xffff;
  times.lastReverseSeconds = idleReverse === NO_IDLE ? 0 : at0(idleReverse);
  return true;
}

function contextOf(context: number, ranks: ConfigRanks): number {
  if (context === RECORD_OUTSIDE) return OUTSIDE_CONTEXT;
  if (context < RECORD_PEER) return ranks.vpcOfRank[context] ?? -1;
  const peer = ranks.peerOfRank[context - RECORD_PEER];
  return peer === undefined ? -1 : peerContext(peer);
}
