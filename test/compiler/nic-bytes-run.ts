// One process: compiled rules of many flows in net_softflow as limited as a NIC, packets through it, and what the interpreter of
// lists makes of the same packets. Prints a Result as JSON.
//
//   node --require ./test/model/typescript.cjs test/compiler/nic-bytes-run.ts TARGET SEED [FAULT] [LINK]
//
// FAULT: number of a type of action that every rule is robbed of, to see that it is missed; `one-group`: chains share their groups.
// LINK: every rule is a chain of rules with at most so many actions.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { sampleConfig } from '../../src/cli/sample-shapes.js';
import { compileFor } from '../../src/compiler/compile.js';
import { instantiate } from '../../src/compiler/instantiate.js';
import type { Action, FlowList } from '../../src/compiler/ir.js';
import { nativeTemplate } from '../../src/compiler/native-template.js';
import { chain, groupsBeside, type NextGroup } from '../../src/compiler/passes/chain.js';
import { staticRulesFor } from '../../src/compiler/static-rules.js';
import { type Target, targetNamed } from '../../src/compiler/target.js';
import type { RuleTemplate } from '../../src/compiler/template.js';
import { buildFrame } from '../../src/compiler/trial/frame.js';
import { type Arguments, interpretList } from '../../src/compiler/trial/list-interpreter.js';
import { trialPackets } from '../../src/compiler/trial/packets.js';
import { profileArgument } from '../../src/controller/nic-target.js';
import { DecisionRing, EventRing } from '../../src/controller/rings.js';
import { type Dataplane, loadBinding, ReplayStatus } from '../../src/native/binding.js';
import { ealArguments } from '../../src/native/eal.js';
import { DropReason, EventType, MissEvent, PortRole, SessionEvent } from '../../src/native/records.js';
import { readPcap, writePcap } from '../model/pcap.js';
import {
  argumentValues,
  CONTEXT,
  natList,
  type PacketNoise,
  PUSH,
  packetNoise,
  packetOf,
  rowOf,
  shapes,
} from './flows.js';

const FLOWS = 120;
/** Packets of a flow, all different, beside those of a trial. */
const OWN_PACKETS = 4;
const NEVER = 0xffff_ffff;

export interface Result {
  /** Rules that the NIC took, constant ones included. */
  readonly rules: number;
  readonly packets: number;
  /** Of them, those that the interpreter sends on, and those that it does not, or that only software may serve. */
  readonly forwarded: number;
  readonly kept: number;
  /** Frames that left the NIC and the interpreter differently, port and place among those that left there. */
  readonly differences: readonly { readonly at: string; readonly wanted: string; readonly got: string }[];
}

interface Flow {
  readonly list: FlowList;
  readonly values: Arguments;
  readonly rule: RuleTemplate;
  /** Packets of the flow, and some that just miss its rule. */
  readonly own: readonly Uint8Array[];
  /** Packets of the flow that no NIC may serve. */
  readonly forSoftware: readonly Uint8Array[];
}

const served = (noise: PacketNoise): PacketNoise => {
  const whole = { ipError: 0, options: false, tcpFlags: noise.tcpFlags & 0xf8 };
  return { ...noise, ...whole, macs: [CONTEXT.ports[1].mac, noise.macs[1]] };
};

/** Flows of random shapes and values, no two from one host: no packet is of two of them. */
function natFlows(target: Target, seed: number): Flow[] {
  const noises = fc.array(packetNoise, { minLength: OWN_PACKETS, maxLength: OWN_PACKETS });
  const drawn = fc.sample(fc.tuple(shapes, argumentValues, noises), { seed, numRuns: 4 * FLOWS });
  const hosts = new Set<number>();
  const flows: Flow[] = [];
  for (const [shape, values, given] of drawn) {
    const list = natList(shape);
    const result = compileFor(list, target, CONTEXT);
    if (!result.ok || flows.length === FLOWS || hosts.has(values.matchSourceAddress >>> 4)) continue;
    hosts.add(values.matchSourceAddress >>> 4);
    // Halves of rules are joined by it, so it is each flow's own.
    const tagged = { ...values, ruleTag: flows.length };
    const rule = instantiate(result.template, rowOf(tagged));
    const own = given.map((noise) => packetOf(shape, values, served(noise)));
    const near = trialPackets(list, CONTEXT, values);
    flows.push({
      ...{
        list,
        values,
        rule,
        own: [...own, ...near.filter(({ forSoftware }) => !forSoftware).map(({ bytes }) => bytes)],
      },
      forSoftware: near.filter(({ forSoftware }) => forSoftware).map(({ bytes }) => bytes),
    });
  }
  return flows;
}

/** Of layer 2 alone, for NICs that cannot keep from a rule of IPv4 what only software may serve. */
function linkFlows(target: Target): Flow[] {
  // Where a gate leads to the flows' rules it is for IPv4.
  if (target.groups.static !== target.groups.nat) return [];
  const ways: readonly (readonly Action[])[] = [
    [],
    [{ type: 'set-ethernet', source: 0x0200_0000_0a01, destination: 0x0200_0000_0a02 }],
    [{ type: 'set-ethernet', destination: 0x0200_0000_0a03 }],
    [{ type: 'push-vlan', vid: 77 }],
    [{ ...PUSH, destinationMac: 0x0200_0000_0a04, destination: 0xac1e_0063, udpSourcePort: 50_000, vni: 4660 }],
  ];
  return ways.flatMap((actions, i) => {
    const source = 0x0200_0000_1000 + 16 * i;
    const destination = 0x0200_0000_2000;
    const name = `link-${i}`;
    const ingress = 1 - (i % 2);
    const list: FlowList = {
      ...{ name, ingress, match: [{ type: 'eth', source, destination }] },
      actions: [...actions, { type: 'count' }, { type: 'output', port: 1 - ingress }],
    };
    const result = compileFor(list, target, CONTEXT);
    if (!result.ok) return [];
    const frame = { source, destination, tags: [], etherType: 0x88b5, ipv4: null, rest: new Uint8Array(60).fill(i) };
    const own = [frame, { ...frame, source: source + 1 }, { ...frame, destination: destination + 1 }].map(buildFrame);
    return [{ list, values: {}, rule: result.template, own, forSoftware: [] }];
  });
}

interface Sent {
  readonly port: number;
  readonly bytes: Uint8Array;
  /** Null: it does not leave. */
  readonly wanted: { readonly port: number; readonly bytes: Uint8Array } | null;
}

/** The flow's packets, each with what the interpreter makes of it. */
function packetsOf({ list, values, own, forSoftware }: Flow): Sent[] {
  const port = list.ingress;
  const judged = own.map((bytes): Sent => {
    const { fate, to, frame } = interpretList(list, port, bytes, values);
    return { port, bytes, wanted: fate === 'output' ? { port: to as number, bytes: frame } : null };
  });
  return [...judged, ...forSoftware.map((bytes): Sent => ({ port, bytes, wanted: null }))];
}

function dataplaneOf(target: string): Dataplane {
  const root = join(__dirname, '../..');
  const binding = loadBinding(root);
  binding.startEal(ealArguments(root, { memoryMb: 256, lcores: 1, pci: [] }));
  const wires = binding.createMemoryWires(CONTEXT.ports.map((_, i) => `wire${i}`));
  for (const [i, wire] of wires.entries()) {
    binding.probeDevice(`net_softflow${i},wire=${wire},ordered=1${profileArgument(target)}`);
  }
  return new binding.Dataplane({
    ports: CONTEXT.ports.map(({ role, mac, mtu, vlan }, i) => ({
      ...{ role: PortRole[role], device: `net_softflow${i}`, mac, mtu, vlan },
      address: i === 0 ? CONTEXT.underlay.vtep : 0xcb00_7101,
    })),
    underlay: CONTEXT.underlay,
    ...{ maxSessions: 64, maxHeld: 64, eventSlots: 1024, decisionSlots: 1024, replay: true },
  });
}

function install(dataplane: Dataplane, rule: RuleTemplate): number {
  const { second, ...first } = rule;
  // What the first half sends on finds the second one there.
  const before = second === undefined ? 0 : install(dataplane, second);
  dataplane.installStatic(rule.ingress, nativeTemplate(first));
  return before + 1;
}

/** Sends the packets, a microsecond apart. What the NIC leaves to software is dropped there. @returns Frames by port */
function run(dataplane: Dataplane, packets: readonly Sent[]): Uint8Array[][] {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nic-bytes-'));
  const file = (way: string, port: number) => join(folder, `${way}${port}.pcap`);
  const ports = CONTEXT.ports.map((_, i) => i);
  try {
    for (const port of ports) {
      const frames = packets.map(({ bytes }, i) => ({ micros: 1_000_000 + i, bytes: Buffer.from(bytes) }));
      writePcap(
        file('in', port),
        frames.filter((_, i) => packets[i].port === port),
      );
    }
    dataplane.replayOpen(
      ports.map((port) => ({ port, path: file('in', port) })),
      ports.map((port) => ({ port, path: file('out', port) })),
    );
    const events = new EventRing(dataplane.events);
    const decisions = new DecisionRing(dataplane.decisions, sampleConfig(), unwanted, false);
    while (dataplane.replayRun(32, NEVER, 0) === ReplayStatus.events) {
      for (; events.available() > 0; events.release(1)) {
        const at = events.at(0);
        if (events.view.getUint8(at + SessionEvent.type) !== EventType.miss) continue;
        decisions.drop(events.view.getUint32(at + MissEvent.hold, true), DropReason.noBinding);
      }
    }
    dataplane.replayClose();
    return ports.map((port) => readPcap(file('out', port)).map(({ bytes }) => bytes));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function unwanted(): never {
  throw new Error('no session is made here');
}

/** A difference a place; where one list is longer, the rest of it. */
function compare(
  wanted: readonly Uint8Array[],
  got: readonly Uint8Array[],
  port: number,
): Result['differences'][number][] {
  const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? 'nothing' : Buffer.from(bytes).toString('hex'));
  return Array.from({ length: Math.max(wanted.length, got.length) }, (_, i) => ({
    at: `port ${port}, frame ${i}`,
    wanted: hex(wanted[i]),
    got: hex(got[i]),
  })).filter((pair) => pair.wanted !== pair.got);
}

/** The rule as a chain of rules with at most so many actions. */
function chained(rule: RuleTemplate, link: number, nextGroup: NextGroup): RuleTemplate {
  const found = chain(rule, ({ actions }) => actions.length <= link, nextGroup);
  if (found === null) throw new Error(`${rule.name} has no chain of ${link} actions`);
  return found;
}

function main(name: string, seed: number, fault: string | undefined, link: string | undefined): Result {
  const target = targetNamed(name);
  if (target === null) throw new Error(`no target ${name}`);
  const flows = [...natFlows(target, seed), ...linkFlows(target)];
  const packets = flows.flatMap(packetsOf);
  const dataplane = dataplaneOf(name);
  try {
    let rules = 0;
    for (const rule of staticRulesFor(target, CONTEXT)) rules += install(dataplane, rule);
    const groups = (): NextGroup => {
      const found = groupsBeside([], target);
      if (found === null) throw new Error(`${name} cannot jump`);
      return found;
    };
    const nextGroup = link === undefined ? null : groups();
    for (const { rule } of flows) {
      const robbed = { ...rule, actions: rule.actions.filter(({ type }) => String(type) !== fault) };
      const own = fault === 'one-group' ? groups() : nextGroup;
      rules += install(dataplane, own === null ? robbed : chained(robbed, Number(link), own));
    }
    const left = run(dataplane, packets);
    const wanted = packets.flatMap((packet) => (packet.wanted === null ? [] : [packet.wanted]));
    const differences = left.flatMap((frames, port) => {
      const there = wanted.filter((frame) => frame.port === port).map(({ bytes }) => bytes);
      return compare(there, frames, port);
    });
    const forwarded = wanted.length;
    return { rules, packets: packets.length, forwarded, kept: packets.length - forwarded, differences };
  } finally {
    dataplane.close();
  }
}

const [, , name, seed, fault, link] = process.argv;
process.stdout.write(`${JSON.stringify(main(name, Number(seed), fault, link))}\n`);
