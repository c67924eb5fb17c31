import { FIRST_SOURCE_PORT } from '../../../bench/fixture.js';
import { offloadReason } from '../../../src/controller/offload-reason.js';
import { emptyFacts } from '../../../src/nat/session-table.js';
import { RulePath, SessionCounters } from '../../../src/native/records.js';
import type { InlineGateway } from './inline-gateway.js';

/** Inner IPv4 bytes of each packet of the made-up traffic. */
const PACKET_BYTES = 20 + 8 + 18;
const PRIVATE_BASE = 0x0a00_0000;
const facts = emptyFacts();
/** Numbers of a flow in the ledger, and which. */
const LEDGER = { size: 6, acceptedFabric: 2, acceptedExternal: 3 } as const;

/** Judges a gateway that is quiet: by its sessions, its NIC's own word, and what the wires saw. */
export class Account {
  /** Of each flow, what the ledger said when its session opened. */
  private readonly base: Uint32Array;

  constructor(
    private readonly gateway: InlineGateway,
    private readonly flows: number,
    /** What the NIC has no more room for, constant rules included, each port; infinity: nobody knows. */
    private readonly room: number,
    /** Part of the rules that the NIC may leave in software for good. */
    private readonly givenUp: number,
  ) {
    this.base = new Uint32Array(flows * LEDGER.size);
  }

  /** Sessions of these flows open from here on. */
  opened(first: number, count: number): void {
    const from = first * LEDGER.size;
    this.base.set(this.gateway.bench.ledger().subarray(from, from + count * LEDGER.size), from);
  }

  /** Rules have gone, with what they had counted: what is counted now is taken for right. */
  recount(): void {
    for (const { field, left, packets } of this.counted()) this.base[field] += left - packets;
  }

  /** @returns What is wrong; empty: nothing. */
  faults(): string[] {
    return [...this.lost(), ...this.rules(), ...this.counters()];
  }

  /** Directions in the NIC of some flows' sessions, by the side that their packets come from. */
  offloaded(first: number, count: number): { fabric: number; external: number } {
    const found = { fabric: 0, external: 0 };
    for (const { row, isForward, path } of this.gateway.directions()) {
      const flow = this.flowOf(row);
      if (path !== RulePath.offloaded || flow < first || flow >= first + count) continue;
      found[isForward ? 'fabric' : 'external']++;
    }
    return found;
  }

  /** No packet is lost, none comes twice, none before an older one of its flow. */
  private lost(): string[] {
    const ledger = this.gateway.bench.ledger();
    const sums = new Array<number>(LEDGER.size).fill(0);
    for (let i = 0; i < ledger.length; i++) sums[i % LEDGER.size] += ledger[i];
    const [sentIn, sentOut, backIn, backOut, disorderIn, disorderOut] = sums;
    const { fabric, external } = this.gateway.bench.counters();
    const bad = fabric.bad + external.bad + fabric.badChecksum + external.badChecksum;
    const faults: string[] = [];
    if (sentIn !== backOut) faults.push(`${sentIn} packets came from the fabric, ${backOut} left outside`);
    if (sentOut !== backIn) faults.push(`${sentOut} packets came from outside, ${backIn} left to the fabric`);
    if (disorderIn + disorderOut > 0) faults.push(`${disorderIn + disorderOut} packets twice, or overtaken`);
    if (bad > 0) faults.push(`${bad} packets were wrong`);
    return faults;
  }

  /** The NIC has the rules that the session table says, and those are the ones that it should have. */
  private rules(): string[] {
    const { gateway } = this;
    const { controller, devices, bench } = gateway;
    const faults: string[] = [];
    const { constantRulesLacking } = controller.templates;
    if (constantRulesLacking > 0) faults.push(`${constantRulesLacking} constant rules are not there`);
    const said = { fabric: 0, external: 0, failed: 0, lacking: 0, sessions: 0 };
    for (const { row, isForward, path } of gateway.directions()) {
      said.sessions += 0.5;
      if (path === RulePath.offloaded) said[isForward ? 'fabric' : 'external']++;
      if (path === RulePath.pending || path === RulePath.removing) faults.push(`row ${row} is at ${path} all the time`);
      if (isForward) said.lacking += controller.rulesLacking(row);
      const shapes = controller.engine.sessions.shapes(row);
      const reason = offloadReason(controller, row, !isForward, path, isForward ? shapes & 0xffff : shapes >>> 16);
      if (path !== RulePath.offloaded && reason === null) faults.push(`row ${row} is at ${path}, nobody says why`);
      if (reason === 'nic-busy') faults.push(`row ${row} waits for a NIC that is not busy`);
      if (path === RulePath.failed) said.failed++;
    }
    /** What the ports have room for beside their constant rules, and what is left of it where it is least. */
    let room = 0;
    let free = controller.config.offload.maxRules - controller.nicRulesWanted;
    (['fabric', 'external'] as const).forEach((side, i) => {
      const lines = bench.installedRules(devices[i]).trimEnd().split('\n');
      const has = lines.filter((line) => COUNTS.test(line)).length;
      room += this.room - (lines.length - has);
      free = Math.min(free, this.room - lines.length);
      if (has !== said[side]) faults.push(`${side}: the NIC has ${has} rules, the sessions say ${said[side]}`);
    });
    const installed = said.fabric + said.external;
    if (controller.nicRulesWanted !== installed)
      faults.push(`${controller.nicRulesWanted} rules are wanted, ${installed} are there`);
    const { nicRules } = controller.dataplane.statistics();
    if (nicRules !== installed) faults.push(`${nicRules} rules are counted, ${installed} are there`);
    if (said.failed > said.sessions * 2 * this.givenUp && this.room === Number.POSITIVE_INFINITY)
      faults.push(`${said.failed} of ${said.sessions * 2} rules were given up`);
    const full = Math.min(controller.config.offload.maxRules, room);
    const isNeedless = said.lacking <= free || installed < full * 0.9;
    if (said.lacking > 0 && isNeedless)
      faults.push(`${installed} rules, though there is room for ${full} and ${said.lacking} wait`);
    return faults;
  }

  /** Packets and bytes of each session, software and NIC together, are those that left. */
  private counters(): string[] {
    const faults: string[] = [];
    for (const { flow, left, packets, bytes } of this.counted()) {
      if (packets !== left || bytes !== left * PACKET_BYTES)
        faults.push(`flow ${flow}: ${left} packets left, ${packets} with ${bytes} bytes are counted`);
    }
    return faults;
  }

  private counted(): { flow: number; field: number; left: number; packets: number; bytes: number }[] {
    const { gateway } = this;
    const { controller } = gateway;
    for (let from = 0; from >= 0; ) {
      from = controller.queryLive(from);
      gateway.settle();
    }
    const counters = new Float64Array(controller.dataplane.counters);
    const ledger = gateway.bench.ledger();
    return gateway.directions().map(({ row, isForward }) => {
      const flow = this.flowOf(row);
      if (flow < 0 || flow >= this.flows) throw new Error(`row ${row} is none of the flows'`);
      const field = flow * LEDGER.size + (isForward ? LEDGER.acceptedExternal : LEDGER.acceptedFabric);
      const left = ledger[field] - this.base[field];
      const at = row * (SessionCounters.size / 8);
      const [packets, bytes] = isForward
        ? [counters[at + SessionCounters.forwardPackets / 8], counters[at + SessionCounters.forwardBytes / 8]]
        : [counters[at + SessionCounters.reversePackets / 8], counters[at + SessionCounters.reverseBytes / 8]];
      return { flow, field, left, packets, bytes };
    });
  }

  /** The fixture's hosts have one flow each. */
  flowOf(row: number): number {
    this.gateway.controller.engine.sessions.read(row, facts);
    return facts.forwardSourcePort === FIRST_SOURCE_PORT ? (facts.forwardSource >>> 0) - PRIVATE_BASE : -1;
  }
}

/** Of the dump's lines, those of flows: constant rules count nothing. */
const COUNTS = / COUNT\b/;
