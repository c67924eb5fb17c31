import { type ProbeAccess, ProbeRounds } from '../../src/ha/probe-rounds';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

interface Member {
  epoch: number | null;
  isFirst: boolean;
  /** What the probes to come see; afterwards they pass. */
  readonly failures: string[];
  readonly seen: string[];
}

function roundsOf(everyMs: number, failures: readonly string[]): { rounds: ProbeRounds; member: Member } {
  const member: Member = { epoch: 3, isFirst: true, failures: [...failures], seen: [] };
  const access: ProbeAccess = {
    run: () => {
      const detail = member.failures.shift();
      return Promise.resolve({ ok: detail === undefined, detail: detail ?? 'passed' });
    },
    epoch: () => member.epoch,
    isFirst: () => member.isFirst,
    everyMs: () => everyMs,
    saw: ({ ok, detail }) => {
      member.isFirst = !ok;
      member.seen.push(detail);
    },
  };
  return { rounds: new ProbeRounds(access), member };
}

test('a first probe that fails is repeated until it passes, even if none is asked for afterwards', async () => {
  const { rounds, member } = roundsOf(0, ['no ARP answer', 'no reply']);
  await rounds.run();
  expect(member.seen).toEqual(['no ARP answer']);
  await jest.advanceTimersByTimeAsync(60_000);
  expect(member.seen).toEqual(['no ARP answer', 'no reply', 'passed']);
});

test('it does not wait for the settings’ turn either; once it has passed it does', async () => {
  const { rounds, member } = roundsOf(10_000, ['no ARP answer']);
  await rounds.run();
  await jest.advanceTimersByTimeAsync(1000);
  expect(member.seen).toEqual(['no ARP answer', 'passed']);
  await jest.advanceTimersByTimeAsync(9999);
  expect(member.seen).toHaveLength(2);
  await jest.advanceTimersByTimeAsync(1);
  expect(member.seen).toHaveLength(3);
});

test('a shorter turn is kept', async () => {
  const { rounds, member } = roundsOf(200, ['a', 'b', 'c']);
  await rounds.run();
  await jest.advanceTimersByTimeAsync(600);
  expect(member.seen).toEqual(['a', 'b', 'c', 'passed']);
});

test('what a probe of an epoch that is over has seen says nothing', async () => {
  const { rounds, member } = roundsOf(0, []);
  const running = rounds.run();
  member.epoch = 4;
  await running;
  expect(member.seen).toEqual([]);
});

test('a gateway that does not serve has no probe, and one that stopped none any more', async () => {
  const { rounds, member } = roundsOf(500, []);
  member.epoch = null;
  await rounds.run();
  await jest.advanceTimersByTimeAsync(5000);
  expect(member.seen).toEqual([]);
  member.epoch = 5;
  await jest.advanceTimersByTimeAsync(500);
  expect(member.seen).toEqual(['passed']);
  rounds.stop();
  await jest.advanceTimersByTimeAsync(60_000);
  expect(member.seen).toEqual(['passed']);
});
