import type { Logger } from 'pino';
import { formatIpv4 } from '../config/address.js';
import type { ValidatedConfig } from '../config/types.js';
import type { NatLog, PortBlockEvent } from '../nat/nat-log.js';
import type { SessionFacts } from '../nat/session-table.js';
import { SessionClass } from '../native/records.js';

/** Values of the IPFIX information element natEvent (RFC 8158 section 4). */
const NatEvent = { sessionCreate: 4, sessionDelete: 5, portBlockAllocation: 16, portBlockDeallocation: 17 } as const;

/**
 * Writes what an operator must be able to say later as log lines whose fields are IPFIX information elements (RFC 8158):
 * who had a public endpoint, when, and never whom he talked to (RFC 6888 REQ-12).
 */
export class NatLogLines implements NatLog {
  /** @param configOf The configuration as it is now, for the names of VPCs. */
  constructor(
    private readonly log: Logger,
    private readonly configOf: () => ValidatedConfig,
  ) {}

  portBlock(allocated: boolean, event: PortBlockEvent): void {
    this.log.info(
      {
        natEvent: allocated ? NatEvent.portBlockAllocation : NatEvent.portBlockDeallocation,
        observationTimeSeconds: event.seconds,
        vpc: this.vpcName(event.vpc),
        towards: event.scope === 0 ? 'external' : this.vpcName(event.scope - 1),
        protocolIdentifier: event.protocol,
        sourceIPv4Address: formatIpv4(event.inside),
        postNATSourceIPv4Address: formatIpv4(event.address),
        portRangeStart: event.range.first,
        portRangeEnd: event.range.last,
      },
      allocated ? 'NAT port block allocated' : 'NAT port block released',
    );
  }

  session(created: boolean, f: SessionFacts, seconds: number): void {
    const fromOutside = f.sessionClass === SessionClass.externalToVpc || !f.insideInitiated;
    this.log.info(
      {
        natEvent: created ? NatEvent.sessionCreate : NatEvent.sessionDelete,
        observationTimeSeconds: seconds,
        vpc: this.vpcName(f.vpc),
        towards: f.destinationVpc < 0 || fromOutside ? 'external' : this.vpcName(f.destinationVpc),
        protocolIdentifier: f.protocol,
        sourceIPv4Address: formatIpv4(fromOutside ? f.translatedDestination : f.forwardSource),
        sourceTransportPort: fromOutside ? f.translatedDestinationPort : f.forwardSourcePort,
        postNATSourceIPv4Address: formatIpv4(fromOutside ? f.forwardDestination : f.translatedSource),
        postNAPTSourceTransportPort: fromOutside ? f.forwardDestinationPort : f.translatedSourcePort,
      },
      created ? 'NAT session created' : 'NAT session deleted',
    );
  }

  private vpcName(index: number): string {
    return this.configOf().vpcs[index].name;
  }
}
