import { emptyFacts, type SessionFacts } from '../nat/session-table.js';
import type { NativeBinding } from '../native/binding.js';
import { FLOW_LINE_BYTES, FlowLine, SessionCounters, SessionRow } from '../native/records.js';
import { cameFromOutside } from './flow-dump.js';
import { FlowTexts } from './flow-texts.js';
import type { GatewayController } from './gateway.js';
import { offloadReason } from './offload-reason.js';

/** Lines that become text at a time: their records stay in the core's own cache. */
const MOST_LINES = 512;
/** A line with its texts; lines with longer ones make the room grow. */
const USUAL_LINE_BYTES = FLOW_LINE_BYTES + 512;

/**
 * Writes flows as JSON lines, the same text that FlowDump's entries have. A million of them while first packets come
 * leave no time for an object and a string each, nor for JavaScript to write half a gigabyte byte by byte: what a line
 * tells is gathered as a record of numbers here, and the addon makes text of some hundreds at a time.
 */
export class FlowLines {
  private readonly records = new Uint8Array(MOST_LINES * FlowLine.size);
  private readonly words = new Uint32Array(this.records.buffer);
  private readonly halves = new Uint16Array(this.records.buffer);
  private readonly numbers = new Float64Array(this.records.buffer);
  private count = 0;
  private out = Buffer.allocUnsafeSlow(MOST_LINES * USUAL_LINE_BYTES);
  private written = 0;
  private readonly texts: FlowTexts;
  private readonly facts: SessionFacts = emptyFacts();
  private readonly counters: Float64Array;

  constructor(
    private readonly controller: GatewayController,
    private readonly binding: Pick<NativeBinding, 'formatFlowLines'>,
  ) {
    this.texts = new FlowTexts(controller);
    this.counters = new Float64Array(controller.dataplane.counters);
  }

  /** @returns What was written since the last call; it stands there until the next line is written. */
  take(): Buffer {
    this.format();
    const taken = this.out.subarray(0, this.written);
    this.written = 0;
    return taken;
  }

  /** @param nowMs Gateway clock. */
  write(row: number, nowMs: number): void {
    const { facts: f, texts, words, halves, numbers, counters } = this;
    if (this.count === MOST_LINES) this.format();
    if (texts.isSpent) {
      this.format();
      texts.clear();
    }
    const { engine, rows } = this.controller;
    const { sessions } = engine;
    sessions.read(row, f);
    const at = this.count++ * FlowLine.size;
    const word = at >>> 2;
    const half = at >>> 1;
    const outside = cameFromOutside(f);
    const inside = outside ? f.translatedDestination : f.forwardSource;
    words[word + FlowLine.row / 4] = sessions.firstRow + row;
    words[word + FlowLine.generation / 4] = sessions.generation(row);
    words[word + FlowLine.head / 4] = texts.head(
      f.vpc,
      f.sessionClass,
      f.protocol,
      rows.byte(row, SessionRow.tcpState),
    );
    words[word + FlowLine.underlay / 4] = texts.underlay(f.vpc, inside);
    const shapes = sessions.shapes(row);
    words[word + FlowLine.forwardPath / 4] = this.path(row, false, shapes & 0xffff);
    words[word + FlowLine.reversePath / 4] = this.path(row, true, shapes >>> 16);
    words[word + FlowLine.insideAddress / 4] = inside;
    words[word + FlowLine.natAddress / 4] = outside ? f.forwardDestination : f.translatedSource;
    words[word + FlowLine.remoteAddress / 4] = outside ? f.forwardSource : f.forwardDestination;
    halves[half + FlowLine.insidePort / 2] = outside ? f.translatedDestinationPort : f.forwardSourcePort;
    halves[half + FlowLine.natPort / 2] = outside ? f.forwardDestinationPort : f.translatedSourcePort;
    halves[half + FlowLine.remotePort / 2] = outside ? f.forwardSourcePort : f.forwardDestinationPort;
    const number = at >>> 3;
    const counted = (row * SessionCounters.size) / 8;
    numbers[number + FlowLine.forwardPackets / 8] = counters[counted + SessionCounters.forwardPackets / 8];
    numbers[number + FlowLine.forwardBytes / 8] = counters[counted + SessionCounters.forwardBytes / 8];
    numbers[number + FlowLine.reversePackets / 8] = counters[counted + SessionCounters.reversePackets / 8];
    numbers[number + FlowLine.reverseBytes / 8] = counters[counted + SessionCounters.reverseBytes / 8];
    const forward = rows.word(row, SessionRow.lastForwardSeconds);
    const reverse = rows.word(row, SessionRow.lastReverseSeconds);
    const created = rows.word(row, SessionRow.createdSeconds);
    numbers[number + FlowLine.ageMs / 8] = Math.max(0, nowMs - created * 1000);
    numbers[number + FlowLine.idleMs / 8] = Math.max(0, nowMs - Math.max(forward, reverse) * 1000);
    numbers[number + FlowLine.expiresInMs / 8] = Math.max(0, engine.deadlineOf(row) * 1000 - nowMs);
  }

  private path(row: number, isReverse: boolean, shape: number): number {
    const path = this.controller.rows.byte(row, isReverse ? SessionRow.reversePath : SessionRow.forwardPath);
    return this.texts.path(path, offloadReason(this.controller, row, isReverse, path, shape));
  }

  private format(): void {
    if (this.count === 0) return;
    const most = this.count * (FLOW_LINE_BYTES + this.texts.mostOfLine);
    if (this.out.length - this.written < most) this.grow(most);
    const { records, count, texts, out, written } = this;
    this.written += this.binding.formatFlowLines(records, count, texts.bytes, out.subarray(written));
    this.count = 0;
  }

  private grow(more: number): void {
    const larger = Buffer.allocUnsafeSlow(this.written + more);
    this.out.copy(larger, 0, 0, this.written);
    this.out = larger;
  }
}
