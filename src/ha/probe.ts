import { formatEndpoint, formatIpv4, prefixRange } from '../config/address.js';
import type { ValidatedConfig, Vpc } from '../config/types.js';
import type { GatewayController } from '../controller/gateway.js';
import { emptyFacts, SessionLife } from '../nat/session-table.js';
import { DropReasonNames, SessionClass, SessionRow, TcpState } from '../native/records.js';
import { monotonicMs } from './clock.js';
import { externalFrame, type ProbePacket, readFrame, tunnelledFrame } from './probe-frames.js';
import type { PairSettings } from './settings.js';

const TCP = 6;
const UDP = 17;
/** RFC 863: whoever gets it, should one ever leave, throws it away. */
const DISCARD_PORT = 9;
const POLL_MS = 1;
/** A first packet may be lost to an ARP request; it is said again. */
const ATTEMPT_MS = 50;
/** The MAC of a neighbour that is not there; frames with it come from the probe alone. */
const PROBE_MAC = 0x02_00_00_00_00_fe;

export interface ProbeResult {
  readonly ok: boolean;
  /** What was seen, or what was not. */
  readonly detail: string;
}

/**
 * The end-to-end probe: frames put into the slow path as if they had been received, caught where they would leave. A
 * synthetic UDP flow goes out and its reply comes back; a packet of a session from before the takeover is translated as
 * that session says. Both go the way of every packet: lcore, miss, NAT engine, decision, software rules.
 *
 * The old session's idle time starts anew and its counter is one higher: nothing else tells the probe from its host.
 */
export class EndToEndProbe {
  constructor(
    private readonly controller: GatewayController,
    private readonly settings: () => PairSettings['probe'],
  ) {}

  /** @param epoch Chooses the synthetic flow's port: each epoch opens a flow of its own. */
  async run(epoch: number): Promise<ProbeResult> {
    const before = this.drops();
    const result = await this.way(epoch);
    if (result.ok) return result;
    const dropped = this.drops()
      .map((count, reason) => [DropReasonNames[reason], count - before[reason]] as const)
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => `${reason} ${count}`);
    return { ok: false, detail: `${result.detail}; dropped meanwhile: ${dropped.join(', ') || 'nothing'}` };
  }

  private drops(): readonly number[] {
    return this.controller.dataplane.statistics().drops;
  }

  private async way(epoch: number): Promise<ProbeResult> {
    const synthetic = await this.syntheticFlow(1024 + (epoch % 60_000));
    if (!synthetic.ok) return synthetic;
    const old = await this.oldSession();
    return { ok: old.ok, detail: `${synthetic.detail}; ${old.detail}` };
  }

  private get config(): ValidatedConfig {
    return this.controller.config;
  }

  private async syntheticFlow(sourcePort: number): Promise<ProbeResult> {
    const { config } = this;
    const { vpc: named, source, destination } = this.settings();
    const able = config.vpcs.filter((candidate) =>
      named === null ? canProbe(config, candidate) : candidate.name === named,
    );
    if (able.length === 0) return { ok: true, detail: 'no VPC has an external pool: no synthetic flow' };
    const sourceOf = (from: Vpc) => source ?? from.gatewayAddress ?? prefixRange(from.subnets[0]).last;
    const { topology } = this.controller.engine;
    const vpc = able.find((candidate) => topology.route(candidate.index, sourceOf(candidate)) !== null);
    if (vpc === undefined) {
      const from = `${formatIpv4(sourceOf(able[0]))} of VPC "${able[0].name}"`;
      return { ok: false, detail: `no route leads to ${from}: probe.source needs an address that has one` };
    }
    const sent: ProbePacket = {
      protocol: UDP,
      source: sourceOf(vpc),
      destination,
      sourcePort,
      destinationPort: DISCARD_PORT,
    };
    const left = await this.passes(
      () => this.fromHost(vpc, sent),
      config.externalPort,
      (packet) => packet.destination === destination && packet.destinationPort === DISCARD_PORT,
    );
    if (left === null) return { ok: false, detail: `a flow of VPC "${vpc.name}" was not translated to the outside` };
    const reply: ProbePacket = {
      protocol: UDP,
      source: destination,
      destination: left.source,
      sourcePort: DISCARD_PORT,
      destinationPort: left.sourcePort,
    };
    const port = config.ports[config.externalPort];
    const back = await this.passes(
      () => this.inject(port.index, externalFrame(PROBE_MAC, port.mac, port.vlan, reply)),
      config.fabricPort,
      (packet) => packet.destination === sent.source && packet.destinationPort === sourcePort,
    );
    const as = formatEndpoint(left.source, left.sourcePort);
    if (back === null) return { ok: false, detail: `the reply to ${as} was not translated to VPC "${vpc.name}"` };
    return { ok: true, detail: `a flow of VPC "${vpc.name}" went out as ${as} and back` };
  }

  private async oldSession(): Promise<ProbeResult> {
    const found = this.establishedSession();
    if (found === null) return { ok: true, detail: 'no established session to look at' };
    const { vpc, inside, outside } = found;
    const left = await this.passes(
      () => this.fromHost(vpc, inside),
      this.config.externalPort,
      (packet) => packet.destination === outside.destination && packet.destinationPort === outside.destinationPort,
    );
    const wanted = formatEndpoint(outside.source, outside.sourcePort);
    if (left === null) return { ok: false, detail: `the session of ${wanted} was not translated` };
    const got = formatEndpoint(left.source, left.sourcePort);
    return got === wanted
      ? { ok: true, detail: `the session of ${wanted} is translated` }
      : { ok: false, detail: `the session of ${wanted} leaves as ${got}` };
  }

  /** A session of a VPC's host towards the outside whose packets pass in its present state. */
  private establishedSession(): { vpc: Vpc; inside: ProbePacket; outside: ProbePacket } | null {
    const { engine, rows } = this.controller;
    const { sessions } = engine;
    const facts = emptyFacts();
    for (let row = 0; row < sessions.highWater; row++) {
      if (sessions.life(row) !== SessionLife.live || sessions.sessionClass(row) !== SessionClass.vpcToExternal)
        continue;
      if (rows.word(row, SessionRow.generation) !== sessions.generation(row)) continue; // not at the lcore yet, or any more
      const protocol = sessions.protocol(row);
      if (protocol === TCP && rows.byte(row, SessionRow.tcpState) !== TcpState.established) continue;
      if ((protocol !== TCP && protocol !== UDP) || !sessions.insideInitiated(row)) continue;
      sessions.read(row, facts);
      if (facts.forwardDestination === this.settings().destination) continue; // the probe's own
      const common = {
        protocol,
        destination: facts.forwardDestination,
        destinationPort: facts.forwardDestinationPort,
      } as const;
      return {
        vpc: this.config.vpcs[facts.vpc],
        inside: { ...common, source: facts.forwardSource, sourcePort: facts.forwardSourcePort },
        outside: { ...common, source: facts.translatedSource, sourcePort: facts.translatedSourcePort },
      };
    }
    return null;
  }

  private fromHost(vpc: Vpc, packet: ProbePacket): boolean {
    const { config } = this;
    const route = this.controller.engine.topology.route(vpc.index, packet.source);
    const tunnel = {
      sourceMac: PROBE_MAC,
      gatewayMac: config.underlay.mac,
      source: route?.vtep ?? config.underlay.vtep,
      gateway: config.underlay.vtep,
      udpPort: config.underlay.udpPort,
      vni: vpc.vni,
      innerSourceMac: PROBE_MAC,
    };
    return this.inject(config.fabricPort, tunnelledFrame(tunnel, packet));
  }

  private inject(port: number, frame: Uint8Array): boolean {
    return this.controller.dataplane.inject(port, frame);
  }

  /** Sends until what is expected leaves a port, or time is over. @returns What left, or null. */
  private async passes(
    send: () => boolean,
    port: number,
    expected: (packet: ProbePacket) => boolean,
  ): Promise<ProbePacket | null> {
    const { dataplane } = this.controller;
    const endMs = monotonicMs() + this.settings().timeoutMs;
    let attemptMs = -Infinity;
    for (let nowMs = monotonicMs(); nowMs < endMs; nowMs = monotonicMs()) {
      if (nowMs - attemptMs >= ATTEMPT_MS) {
        attemptMs = nowMs;
        send();
      }
      for (const caught of dataplane.caught()) {
        const packet = caught.port === port ? readFrame(caught.bytes, this.config.underlay.udpPort) : null;
        if (packet !== null && expected(packet)) return packet;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return null;
  }
}

function canProbe(config: ValidatedConfig, vpc: Vpc): boolean {
  const local = vpc.remoteGateway < 0 && vpc.subnets.length > 0;
  return local && config.externalPools.some(({ vpcs, ranges }) => vpcs.includes(vpc.index) && ranges.length > 0);
}
