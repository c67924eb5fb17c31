// Captures through the whole gateway, whose sessions are offloaded, evicted and offloaded again in between: what it counts
// for each session beside what left. Argument: the target. The last line is JSON.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIpv4 } from '../../../src/config/address.js';
import { validateConfig } from '../../../src/config/load.js';
import { packageRoot } from '../../../src/config/package-root.js';
import type { ValidatedConfig } from '../../../src/config/types.js';
import { Replay } from '../../../src/controller/replay.js';
import { emptyFacts, OUTSIDE_CONTEXT, type SessionFacts } from '../../../src/nat/session-table.js';
import { loadBinding } from '../../../src/native/binding.js';
import { HOST_MAC } from '../../model/builder.js';
import { dissect, ethernet, vxlan } from '../../model/frames.js';
import { encodeIpv4, ICMP, Packet, TCP, Tcp, UDP, withTransportChecksum } from '../../model/ipv4.js';
import { readPcap, type TimedFrame, writePcap } from '../../model/pcap.js';
import { Random } from '../../model/random.js';

const PACKETS_EACH = 8;
const MOST_PAYLOAD = 1300;
const GAP_MICROS = 50;
const ROUND_MICROS = 5_000_000;

interface Way {
  /** VPC that the packet comes from; OUTSIDE_CONTEXT: none. */
  readonly context: number;
  readonly protocol: number;
  readonly source: number;
  readonly sourcePort: number;
  readonly destination: number;
  readonly destinationPort: number;
}

function address(text: string): number {
  const parsed = parseIpv4(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

/** First packets of sessions of every class that a NIC may serve, and of ICMP, which none may. */
function openers(): Way[] {
  const ways: Way[] = [];
  const add = (context: number, protocol: number, source: string, destination: string, ports: [number, number]) =>
    ways.push({
      context,
      protocol,
      source: address(source),
      destination: address(destination),
      sourcePort: ports[0],
      destinationPort: ports[1],
    });
  for (let i = 0; i < 15; i++) {
    add(0, UDP, `10.0.1.${20 + i}`, `198.51.100.${1 + i}`, [4000 + i, 53]);
    add(1, TCP, `10.0.2.${20 + i}`, `198.51.100.${1 + i}`, [5000 + i, 443]);
  }
  for (let i = 0; i < 5; i++) {
    add(0, UDP, `10.0.1.${40 + i}`, '100.64.2.9', [6000 + i, 7]);
    add(OUTSIDE_CONTEXT, UDP, `192.0.2.${1 + i}`, '203.0.113.10', [7000 + i, 500]);
    add(0, ICMP, `10.0.1.${50 + i}`, '198.51.100.9', [900 + i, 900 + i]);
  }
  return ways;
}

const random = new Random(7);

function packet(way: Way, payloadBytes: number, tcpFlags: number, isReply: boolean): Buffer {
  const header = Buffer.alloc(way.protocol === TCP ? 20 : 8);
  if (way.protocol === ICMP) {
    header[0] = isReply ? 0 : 8;
    header.writeUInt16BE(way.sourcePort, 4);
  } else {
    header.writeUInt16BE(way.sourcePort, 0);
    header.writeUInt16BE(way.destinationPort, 2);
    if (way.protocol === UDP) header.writeUInt16BE(8 + payloadBytes, 4);
    else header.set([0x50, tcpFlags], 12);
  }
  const payload = Buffer.concat([header, Buffer.alloc(payloadBytes, payloadBytes & 0xff)]);
  const { source, destination, protocol } = way;
  return withTransportChecksum(encodeIpv4({ source, destination, protocol, payload, dontFragment: true }));
}

function frame(config: ValidatedConfig, context: number, bytes: Buffer): { port: number; bytes: Buffer } {
  const external = config.ports[config.externalPort];
  if (context === OUTSIDE_CONTEXT) {
    return { port: config.externalPort, bytes: ethernet(external.mac, external.nextHop?.mac ?? 0, 0x0800, bytes) };
  }
  const { vni, routes } = config.vpcs[context];
  const vtep = config.vteps.find((one) => one.address === routes[0].vtep);
  const { underlay } = config;
  const outer = {
    outerDestinationMac: underlay.mac,
    outerSourceMac: vtep?.mac ?? 0,
    outerSource: routes[0].vtep,
    outerDestination: underlay.vtep,
    udpPort: underlay.udpPort,
    vni,
    innerDestinationMac: underlay.mac,
    innerSourceMac: HOST_MAC,
  };
  return { port: config.fabricPort, bytes: vxlan(outer, bytes) };
}

/** How packets of a session's direction look as they leave. */
function leaving(config: ValidatedConfig, f: SessionFacts, isForward: boolean): string {
  const context = isForward ? f.reverseContext : f.forwardContext;
  const vni = context === OUTSIDE_CONTEXT ? -1 : config.vpcs[context].vni;
  const ends = isForward
    ? [f.translatedSource, f.translatedSourcePort, f.translatedDestination, f.translatedDestinationPort]
    : [f.forwardDestination, f.forwardDestinationPort, f.forwardSource, f.forwardSourcePort];
  if (f.protocol === ICMP) ends[1] = ends[3] = isForward ? f.translatedSourcePort : f.forwardSourcePort;
  return [vni, f.protocol, ...ends].join(' ');
}

/** Of a session's answers, as they come in. */
function answers(f: SessionFacts): Way {
  const port = f.protocol === ICMP ? f.translatedSourcePort : f.translatedDestinationPort;
  return {
    context: f.reverseContext,
    protocol: f.protocol,
    source: f.translatedDestination,
    sourcePort: port,
    destination: f.translatedSource,
    destinationPort: f.translatedSourcePort,
  };
}

function main(target: string): void {
  const root = packageRoot();
  const document = JSON.parse(readFileSync(join(root, 'examples/gateway.json'), 'utf8'));
  const checked = validateConfig(document, null);
  if (!checked.ok) throw new Error(checked.faults[0].message);
  const { config } = checked;
  const folder = mkdtempSync(join(tmpdir(), 'sluice-counters-'));
  const replay = new Replay(config, loadBinding(root), root, target);
  const [controller] = replay.controllers;
  const { sessions } = controller.engine;
  const left = new Map<string, { packets: number; bytes: number }>();
  const rounds: { name: string; nicPackets: number; sessions: number; wrong: string[] }[] = [];
  let nicBefore = 0;

  /** Runs packets through the gateway, and judges it. */
  const round = (name: string, packets: readonly { context: number; bytes: Buffer }[]) => {
    const begin = (rounds.length + 1) * ROUND_MICROS;
    const captures: TimedFrame[][] = config.ports.map(() => []);
    packets.forEach(({ context, bytes }, i) => {
      const made = frame(config, context, bytes);
      captures[made.port].push({ micros: begin + i * GAP_MICROS, bytes: made.bytes });
    });
    const path = (port: number, kind: string) => join(folder, `${kind}${port}.pcap`);
    for (const [port, frames] of captures.entries()) writePcap(path(port, 'in'), frames);
    const files = (kind: string) => config.ports.map(({ index }) => ({ port: index, path: path(index, kind) }));
    const result = replay.run({ inputs: files('in'), outputs: files('out'), burst: 32 });
    let total = 0;
    for (const { index } of config.ports) {
      for (const { micros, bytes } of readPcap(path(index, 'out'))) {
        const { payload, tunnel } = dissect(config, index, micros, bytes);
        const ip = new Packet(payload);
        const ends = [ip.source, ip.sourcePort, ip.destination, ip.destinationPort];
        const key = [tunnel?.vni ?? -1, ip.protocol, ...ends].join(' ');
        const sum = left.get(key) ?? { packets: 0, bytes: 0 };
        left.set(key, { packets: sum.packets + 1, bytes: sum.bytes + ip.totalLength });
        total++;
      }
    }
    const wrong: string[] = total === packets.length ? [] : [`${packets.length} came, ${total} left`];
    const told = new Set<string>();
    for (const flow of result.flows) {
      const facts = emptyFacts();
      sessions.read(Number(flow.id.split('.')[0]), facts);
      for (const isForward of [true, false]) {
        const key = leaving(config, facts, isForward);
        const { packets: count, bytes } = isForward ? flow.forward : flow.reverse;
        const seen = left.get(key) ?? { packets: 0, bytes: 0 };
        told.add(key);
        if (seen.packets !== count || seen.bytes !== bytes)
          wrong.push(`${flow.id} ${key}: ${seen.packets} with ${seen.bytes} left, ${count} with ${bytes} are counted`);
      }
    }
    for (const key of left.keys()) if (!told.has(key)) wrong.push(`${key} left and is no session's`);
    rounds.push({ name, nicPackets: result.counters.nic.packets - nicBefore, sessions: result.flows.length, wrong });
    nicBefore = result.counters.nic.packets;
  };

  const live = () =>
    Array.from({ length: sessions.highWater }, (_, row) => row).filter((row) => sessions.life(row) === 1);
  /** Some packets of every session, both ways, of all sizes. */
  const traffic = (isFirst: boolean) => {
    const all: { context: number; bytes: Buffer }[] = [];
    for (const row of live()) {
      const facts = emptyFacts();
      sessions.read(row, facts);
      const forth: Way = {
        context: facts.forwardContext,
        protocol: facts.protocol,
        source: facts.forwardSource,
        sourcePort: facts.forwardSourcePort,
        destination: facts.forwardDestination,
        destinationPort: facts.protocol === ICMP ? facts.forwardSourcePort : facts.forwardDestinationPort,
      };
      const back = answers(facts);
      if (isFirst) all.push({ context: back.context, bytes: packet(back, 0, Tcp.syn | Tcp.ack, true) });
      for (let i = random.int(1, PACKETS_EACH); i > 0; i--) {
        all.push({ context: forth.context, bytes: packet(forth, random.int(0, MOST_PAYLOAD), Tcp.ack, false) });
        if (random.chance(0.7))
          all.push({ context: back.context, bytes: packet(back, random.int(0, MOST_PAYLOAD), Tcp.ack, true) });
      }
    }
    return all;
  };
  const some = (part: number, act: (row: number, generation: number) => boolean) =>
    live().filter((row) => random.chance(part) && act(row, sessions.generation(row))).length;
  const evict = (row: number, generation: number) => controller.evict(row, generation);
  const offload = (row: number, generation: number) => controller.offload(row, generation);

  round(
    'opened',
    openers().map((way) => ({ context: way.context, bytes: packet(way, 0, Tcp.syn, false) })),
  );
  round('offloaded', traffic(true));
  const evicted = some(1, evict);
  round('evicted', traffic(false));
  const again = some(1, offload);
  round('offloaded again', traffic(false));
  for (let i = 0; i < 3; i++) {
    some(0.5, evict);
    round('some evicted', traffic(false));
    some(0.5, offload);
    round('some offloaded', traffic(false));
  }
  replay.close();
  rmSync(folder, { recursive: true, force: true });
  process.stdout.write(`${JSON.stringify({ rounds, evicted, again })}\n`, () => process.exit(0));
}

main(process.argv[2]);
