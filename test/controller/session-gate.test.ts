import { DecisionRing } from '../../src/controller/rings.js';
import { SessionGate } from '../../src/controller/session-gate.js';
import { emptyDecision } from '../../src/nat/sink.js';
import {
  Decision as D,
  DecisionType,
  DropReason,
  NO_HOLD,
  RING_HEADER_BYTES,
  RING_SLOT_BYTES,
} from '../../src/native/records.js';
import { exampleConfig } from '../mirror/engine-node.js';

const SLOTS = 1024;
const TEMPLATES = {
  softwareForward: 0,
  softwareReverse: 0,
  nicForward: 0,
  nicReverse: 0,
  offloadAfterPackets: 0,
};

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

/** A real ring with a gate; `told()` is what the lcore would have been told, in order. */
function gated(slots = SLOTS) {
  const memory = new ArrayBuffer(RING_HEADER_BYTES + slots * RING_SLOT_BYTES);
  const ring = new DecisionRing(memory, exampleConfig(), () => TEMPLATES, false);
  const refused: number[] = [];
  const gate = new SessionGate(
    ring,
    (row) => refused.push(row),
    () => performance.now(),
  );
  ring.gate = gate;
  const open = (row: number, generation = 1, hold = 1000 + row) =>
    ring.session(hold, { ...emptyDecision(), row, generation });
  const told = () => {
    const view = new DataView(memory);
    return Array.from({ length: ring.pending() }, (_, i) => {
      const at = RING_HEADER_BYTES + i * RING_SLOT_BYTES;
      const [type] = Object.entries(DecisionType).find(([, value]) => value === view.getUint8(at)) ?? ['?'];
      const hold = view.getUint32(at + D.hold, true);
      const of = type === 'drop' ? '' : ` ${view.getUint32(at + D.row, true)}`;
      return `${type}${of}${hold === NO_HOLD || type === 'remove' ? '' : ` hold ${hold}`}`;
    });
  };
  return { ring, gate, refused, open, told };
}

const OPEN = { patienceMs: 20, letsGo: true };
const CLOSED = { patienceMs: 20, letsGo: false };

test('a session goes once it is admitted, in that order; without a keeper, or without a packet, at once', () => {
  const { gate, open, told } = gated();
  open(1);
  gate.keepBy(CLOSED);
  open(2);
  open(3);
  open(4, 1, NO_HOLD);
  expect(told()).toEqual(['session 1 hold 1001', 'session 4']);
  gate.admit(3, 1);
  gate.admit(2, 9); // The row's session of before.
  expect(told().slice(2)).toEqual(['session 3 hold 1003']);
  expect(gate.count).toBe(1);
  gate.admit(2, 1);
  gate.admit(2, 1);
  expect(told().slice(3)).toEqual(['session 2 hold 1002']);
  expect(gate.count).toBe(0);
});

test('whose time is over goes all the same, or is dropped and its session ends', () => {
  for (const keeper of [OPEN, CLOSED]) {
    const { gate, open, told, refused } = gated();
    gate.keepBy(keeper);
    open(5);
    jest.advanceTimersByTime(19);
    expect([told(), refused]).toEqual([[], []]);
    jest.advanceTimersByTime(6);
    expect([told(), refused]).toEqual(keeper.letsGo ? [['session 5 hold 1005'], []] : [['drop hold 1005'], [5]]);
    gate.admit(5, 1);
    expect(told()).toHaveLength(1);
    expect(jest.getTimerCount()).toBe(0);
  }
});

test('what else is decided about a waiting session finds it installed, and its packet dropped', () => {
  const { ring, gate, open, told } = gated();
  gate.keepBy(CLOSED);
  open(6);
  ring.remove(6, 1);
  expect(told()).toEqual(['drop hold 1006', 'session 6', 'remove 6']);
  open(7);
  gate.keepBy(null); // Another gateway decides now.
  expect(told().slice(3)).toEqual(['drop hold 1007', 'session 7']);
  expect(ring.refused).toBe(DropReason.notMirrored);
});

test('a full decision ring keeps them back, and nobody waits beyond the bound', () => {
  const { ring, gate, open, told } = gated(512);
  gate.keepBy(OPEN);
  for (let row = 0; row < 5000; row++) {
    if (ring.free() > 300) open(row);
    else break;
  }
  const kept = gate.count;
  expect(kept).toBe(4096);
  jest.advanceTimersByTime(30);
  // Room for everything else stays.
  expect(ring.free()).toBeGreaterThanOrEqual(255);
  expect(gate.count).toBeGreaterThan(3000);
  expect(told().length).toBeLessThanOrEqual(512 - 255);
  gate.close();
});
