'use strict';
// A dataplane on memory wires with a decision maker of the scenario's own.

const { mkdtempSync, readFileSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const frames = require('./frames.cjs');

const build = process.env.SLUICE_NATIVE ?? join(__dirname, '../../build/native');
const binding = require(join(build, 'sluice.node'));
const { SessionRow } = require('../../dist/src/native/records.js');

const Event = { miss: 1, sessionState: 2, threshold: 3, installFailed: 5, removed: 6, queried: 7, neighbour: 8 };
const Decision = {
  drop: 1,
  retry: 2,
  session: 3,
  offload: 4,
  unoffload: 5,
  remove: 6,
  query: 7,
  icmpError: 8,
  echoReply: 9,
  arpReply: 10,
  expire: 14,
};
const MissKind = { ipv4: 0, icmpError: 1, arp: 2, ttl: 3, tooBig: 4 };
const Reason = {
  local: 1,
  malformed: 2,
  badChecksum: 3,
  notForUs: 4,
  noBinding: 12,
  filtered: 13,
  tableFull: 19,
  ttlExpired: 24,
  tooBig: 25,
  fragmentTimeout: 26,
  fragmentLimit: 27,
  heldLimit: 28,
  queueFull: 29,
};
const NO_HOLD = 0xffffffff;
const NO_TEMPLATE = 0xffff;
const NO_VNI = 0xffffffff;

function startEal({ lcores = '0', softflow = true } = {}) {
  binding.startEal([
    'test',
    '--no-huge',
    '-m',
    '128',
    '--no-pci',
    '--no-shconf',
    '--no-telemetry',
    '--file-prefix',
    `sluice-test-${process.pid}`,
    '-l',
    lcores,
    ...(softflow ? ['-d', join(build, 'librte_net_softflow.so')] : []),
    '--log-level',
    '*:error',
  ]);
}

let instance = 0;

class Gateway {
  constructor({
    replay = true,
    softflow = false,
    softflowArguments = '',
    maxHeld = 64,
    mtu = [1550, 1500],
    maxSessions = 16,
    ...more
  } = {}) {
    const names = [`f${instance}`, `x${instance}`];
    let devices = binding.createMemoryWires(names);
    if (softflow) {
      devices = devices.map((wire, index) => {
        const name = `net_softflow${instance * 2 + index}`;
        binding.probeDevice(`${name},wire=${wire},ordered=1${softflowArguments}`);
        return name;
      });
    }
    instance++;
    this.dataplane = new binding.Dataplane({
      ports: [
        { role: 0, device: devices[0], mac: frames.UNDERLAY_MAC, address: frames.VTEP, mtu: mtu[0], vlan: -1 },
        { role: 1, device: devices[1], mac: frames.EXTERNAL_MAC, address: 0xc0000201, mtu: mtu[1], vlan: -1 },
      ],
      underlay: { vtep: frames.VTEP, mac: frames.UNDERLAY_MAC, udpPort: 4789 },
      maxSessions,
      maxHeld,
      eventSlots: 64,
      decisionSlots: 64,
      replay,
      ...more,
    });
    new Uint8Array(this.dataplane.vnis).fill(255); // every VNI leads somewhere
    this.events = new DataView(this.dataplane.events);
    this.decisions = new DataView(this.dataplane.decisions);
    this.rows = new DataView(this.dataplane.rows);
    this.seen = [];
    this.nextRow = 0;
    this.generation = 0;
  }

  registerTemplates() {
    this.forward = this.dataplane.registerTemplate('software', 0, frames.outwards());
    this.reverse = this.dataplane.registerTemplate('software', 1, frames.inwards());
    return this;
  }

  /** @param counting Whether rules have COUNT beside AGE. */
  registerNicTemplates({ counting = false } = {}) {
    const of = (template) => (counting ? frames.counting(template) : template);
    this.nicForward = this.dataplane.registerTemplate('nic', 0, of(frames.outwards()));
    this.nicReverse = this.dataplane.registerTemplate('nic', 1, of(frames.inwards()));
    return this;
  }

  /** RulePath of a session's directions: 0 software, 1 pending, 2 offloaded, 3 failed. */
  paths(row) {
    const at = row * SessionRow.size;
    return [this.rows.getUint8(at + SessionRow.forwardPath), this.rows.getUint8(at + SessionRow.reversePath)];
  }

  /** Takes the next event; null when there is none. */
  take() {
    const consumed = this.events.getUint32(64, true);
    if (consumed === this.events.getUint32(0, true)) return null;
    const at = 128 + (consumed & 63) * 64;
    const { events } = this;
    const type = events.getUint8(at);
    const u32 = (offset) => events.getUint32(at + offset, true);
    const u16 = (offset) => events.getUint16(at + offset, true);
    const event =
      type === Event.miss
        ? {
            type,
            kind: events.getUint8(at + 1),
            port: events.getUint8(at + 2),
            protocol: events.getUint8(at + 3),
            hold: u32(4),
            seconds: u32(8),
            vni: u32(16),
            source: u32(24),
            destination: u32(28),
            sourcePort: u16(32),
            destinationPort: u16(34),
            ttl: events.getUint8(at + 37),
            totalLength: u16(40),
            flags: u16(42),
            mtu: u16(44),
            row: u32(60),
          }
        : {
            type,
            direction: events.getUint8(at + 2),
            row: u32(4),
            generation: u32(8),
            error: events.getInt32(at + 12, true),
            forwardPackets: events.getFloat64(at + 32, true),
            forwardBytes: events.getFloat64(at + 40, true),
            reversePackets: events.getFloat64(at + 48, true),
            reverseBytes: events.getFloat64(at + 56, true),
          };
    events.setUint32(64, consumed + 1, true);
    this.seen.push(event);
    return event;
  }

  push(fields) {
    const produced = this.decisions.getUint32(0, true);
    const at = 128 + (produced & 63) * 256;
    for (let i = 0; i < 256; i += 4) this.decisions.setUint32(at + i, 0, true);
    const view = this.decisions;
    const all = { hold: NO_HOLD, egressVni: NO_VNI, nicForward: NO_TEMPLATE, nicReverse: NO_TEMPLATE, ...fields };
    const u8 = {
      type: 0,
      reason: 1,
      protocol: 2,
      flags: 28,
      tcpState: 29,
      forwardPort: 30,
      reversePort: 31,
      icmpType: 36,
      icmpCode: 37,
      egressPort: 44,
    };
    const u16 = { softwareForward: 16, softwareReverse: 18, nicForward: 20, nicReverse: 22, icmpMtu: 38 };
    const u32 = {
      hold: 4,
      row: 8,
      generation: 12,
      offloadAfterPackets: 24,
      sourceAddress: 40,
      egressAddress: 48,
      egressVni: 52,
      lastForward: 88,
      lastReverse: 92,
      stateSince: 96,
    };
    const macs = { egressMac: 56, egressInnerMac: 62, answerMac: 68 };
    for (const [name, value] of Object.entries(all)) {
      if (name in u8) view.setUint8(at + u8[name], value);
      else if (name in u16) view.setUint16(at + u16[name], value, true);
      else if (name in u32) view.setUint32(at + u32[name], value, true);
      else if (name in macs) new Uint8Array(view.buffer, at + macs[name], 6).set(frames.mac(value));
      else if (name === 'forward' || name === 'reverse')
        this.writeArguments(at + (name === 'forward' ? 128 : 192), value);
      else throw new Error(`no field ${name}`);
    }
    view.setUint32(0, produced + 1, true);
  }

  writeArguments(at, a) {
    const view = this.decisions;
    view.setUint32(at, a.source, true);
    view.setUint32(at + 4, a.destination, true);
    view.setUint16(at + 8, a.sourcePort, true);
    view.setUint16(at + 10, a.destinationPort, true);
    view.setUint32(at + 12, a.vni ?? 0, true);
    view.setUint32(at + 20, a.newSource, true);
    view.setUint32(at + 24, a.newDestination, true);
    view.setUint16(at + 28, a.newSourcePort, true);
    view.setUint16(at + 30, a.newDestinationPort, true);
    view.setUint32(at + 32, a.newVni ?? 0, true);
    view.setUint32(at + 36, a.outerDestination ?? 0, true);
  }

  /** A session for a UDP miss of the VPC's side, behind NAT port 2000 + row. */
  session(event, more = {}) {
    const row = more.row ?? this.nextRow++;
    const generation = more.generation ?? ++this.generation;
    const port = 2000 + row;
    this.push({
      type: Decision.session,
      hold: event.hold,
      row,
      generation,
      protocol: 17,
      forwardPort: 0,
      reversePort: 1,
      softwareForward: this.forward,
      softwareReverse: this.reverse,
      forward: {
        vni: event.vni,
        source: event.source,
        destination: event.destination,
        sourcePort: event.sourcePort,
        destinationPort: event.destinationPort,
        newSource: frames.NAT,
        newDestination: event.destination,
        newSourcePort: port,
        newDestinationPort: event.destinationPort,
      },
      reverse: {
        source: event.destination,
        destination: frames.NAT,
        sourcePort: event.destinationPort,
        destinationPort: port,
        newSource: event.destination,
        newDestination: event.source,
        newSourcePort: event.destinationPort,
        newDestinationPort: event.sourcePort,
        newVni: event.vni,
        outerDestination: 0xac1e000b,
      },
      ...Object.fromEntries(Object.entries(more).filter(([name]) => name !== 'row' && name !== 'generation')),
    });
    return { row, generation };
  }

  /**
   * Replays frames, [seconds, microseconds, port, bytes], and asks `decide` about each event.
   * @returns What was sent, by port: [seconds, microseconds, bytes].
   */
  replay(input, decide, { burst = 32, finish = () => {} } = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-slow-path-'));
    const inputs = [0, 1].map((port) => {
      const path = join(folder, `in${port}.pcap`);
      writeFileSync(
        path,
        frames.pcap(input.filter((frame) => frame[2] === port).map(([s, us, , bytes]) => [s, us, bytes])),
      );
      return { port, path };
    });
    const outputs = [0, 1].map((port) => ({ port, path: join(folder, `out${port}.pcap`) }));
    this.dataplane.replayOpen(inputs, outputs);
    this.run(decide, burst);
    finish();
    this.run(decide, burst);
    this.damaged = this.dataplane.replayClose();
    return outputs.map(({ path }) => frames.readPcap(readFileSync(path)));
  }

  run(decide, burst) {
    for (;;) {
      const status = this.dataplane.replayRun(burst, 2 ** 32, 0);
      if (status !== 0) return status;
      for (let event = this.take(); event !== null; event = this.take()) decide(event);
    }
  }

  drops() {
    const names = Object.fromEntries(Object.entries(Reason).map(([name, value]) => [value, name]));
    return Object.fromEntries(
      this.dataplane
        .statistics()
        .drops.flatMap((count, reason) => (count > 0 ? [[names[reason] ?? reason, count]] : [])),
    );
  }
}

module.exports = {
  binding,
  build,
  startEal,
  Gateway,
  Event,
  Decision,
  MissKind,
  SessionRow,
  Reason,
  NO_HOLD,
  NO_TEMPLATE,
  NO_VNI,
};
