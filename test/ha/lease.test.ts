import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monotonicMs } from '../../src/ha/clock';
import { EpochFile } from '../../src/ha/epoch-file';
import { LeaseStore } from '../../src/ha/lease-store';
import { Peer } from '../../src/ha/peer';
import { redisConnector } from '../../src/mirror/connect';
import { LEASE_MS, Member, overlapMs, until, wait } from './keeper-pair';
import { RedisServer } from './redis-server';

let server: RedisServer;
let folder: string;
const members: Member[] = [];

function member(node: string, options = {}): Member {
  const made = new Member(node, server.url, folder, options);
  members.push(made);
  return made;
}

async function pair(): Promise<[Member, Member]> {
  const a = member('a');
  const b = member('b');
  a.keeper.start();
  await until('a holds the lease', () => a.keeper.holding);
  b.keeper.start();
  await until('b sees it', () => b.keeper.record?.node === 'a');
  return [a, b];
}

beforeEach(async () => {
  server = await RedisServer.start();
  folder = mkdtempSync(join(tmpdir(), 'sluice-ha-lease-'));
});

afterEach(async () => {
  for (const { keeper } of members.splice(0)) keeper.stop();
  await server.close();
  // Not at once: an epoch may still be on its way to the disk.
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

test('a_lease_is_renewed_and_the_other_member_stays_a_standby', async () => {
  const [a, b] = await pair();
  await wait(3 * LEASE_MS);
  expect(a.keeper.holding).toBe(true);
  expect(a.events).toHaveLength(1);
  expect(b.events).toHaveLength(0);
  expect(b.keeper.members.map(({ node }) => node).sort()).toEqual(['a', 'b']);
});

test('a_holder_that_falls_silent_is_followed_within_a_lease_and_never_overlaps', async () => {
  const [a, b] = await pair();
  a.keeper.stop();
  const stoppedMs = monotonicMs();
  await until('b holds the lease', () => b.keeper.holding);
  expect(b.events[0].epoch).toBe(2);
  expect(b.events[0].atMs - stoppedMs).toBeLessThan(2 * LEASE_MS);
  expect(overlapMs(a, b)).toBeLessThan(0);
});

test('two_members_that_start_at_once_never_both_win_an_epoch', async () => {
  const both = [member('a'), member('b')];
  for (const { keeper } of both) keeper.start();
  await until('one of them holds the lease', () => both.some(({ keeper }) => keeper.holding));
  await wait(2 * LEASE_MS);
  expect(both.filter(({ keeper }) => keeper.holding)).toHaveLength(1);
  expect(both.flatMap(({ events }) => events)).toHaveLength(1);
});

test('one_that_prefers_to_stand_by_lets_the_other_have_a_lease_that_nobody_ever_had', async () => {
  const b = member('b', { prefersStandby: true });
  b.keeper.start();
  await wait(LEASE_MS / 2);
  const a = member('a');
  a.keeper.start();
  await until('somebody holds the lease', () => a.keeper.holding || b.keeper.holding);
  expect(a.keeper.holding).toBe(true);
});

test('one_that_prefers_to_stand_by_takes_a_lease_that_nobody_comes_for', async () => {
  const b = member('b', { prefersStandby: true });
  b.keeper.start();
  await until('it holds the lease', () => b.keeper.holding);
});

test('a_renewal_that_arrives_after_the_takeover_is_fenced', async () => {
  const [a, b] = await pair();
  const { epoch } = a.keeper;
  a.keeper.stop();
  await until('b holds the lease', () => b.keeper.holding);
  const connection = redisConnector(server.url).connect('lease');
  await new Promise((resolve) => connection.once('ready', resolve));
  const late = new LeaseStore(connection, 'g', { holder: a.holder, node: 'a' }, LEASE_MS);
  const reply = await late.renew(epoch, 'late', '{}');
  connection.disconnect();
  expect(reply.code).toBe('FENCED');
  expect(reply.record.node).toBe('b');
  await wait(LEASE_MS);
  expect(b.keeper.holding).toBe(true);
});

test('a_jump_of_redis_clock_moves_no_role', async () => {
  // The deadline is all that Redis' clock decides: an hour early and an hour late are the same to a watcher.
  const [a, b] = await pair();
  for (const shift of [-3_600_000, 3_600_000]) {
    const deadline = Number(await server.command('HGET', '{g}:lease', 'deadline'));
    await server.command('HSET', '{g}:lease', 'deadline', String(deadline + shift));
    await wait(LEASE_MS / 2);
  }
  expect(a.keeper.holding).toBe(true);
  a.keeper.stop();
  await server.command('HSET', '{g}:lease', 'deadline', String(Date.now() + 3_600_000));
  await until('b holds the lease in spite of a deadline an hour away', () => b.keeper.holding, 3 * LEASE_MS);
});

test('redis_restarted_empty_keeps_the_holder_and_its_epoch', async () => {
  const [a, b] = await pair();
  await server.end();
  await server.begin();
  await until('the lease is there again', async () => (await server.command('HGET', '{g}:lease', 'node')) === 'a');
  await wait(2 * LEASE_MS);
  expect(a.keeper.holding).toBe(true);
  expect(a.events.concat(b.events)).toHaveLength(1);
  expect(Number(await server.command('HGET', '{g}:lease', 'epoch'))).toBe(a.keeper.epoch);
});

test('redis_restarted_from_an_old_dump_revives_nobody', async () => {
  const [a, b] = await pair();
  a.keeper.stop();
  await until('b holds the lease', () => b.keeper.holding);
  // What an old dump would bring back: the record of a, silent since.
  await server.command(
    'HSET',
    '{g}:lease',
    'holder',
    a.holder,
    'node',
    'a',
    'epoch',
    '1',
    'beat',
    'old',
    'deadline',
    '0',
  );
  await wait(2 * LEASE_MS);
  expect(b.keeper.holding).toBe(true);
  expect(await server.command('HGET', '{g}:lease', 'node')).toBe('b');
});

test('an_epoch_that_redis_has_forgotten_is_not_given_out_again', async () => {
  const [a, b] = await pair();
  a.keeper.stop();
  await until('b holds the lease', () => b.keeper.holding);
  // A gateway speaks only once its epoch is on disk.
  await until('it is on disk', () => new EpochFile(join(folder, 'b.epoch'), 'g').epoch === 2);
  b.keeper.stop();
  await server.command('FLUSHALL');
  const again = member('b');
  again.keeper.start();
  await until('it holds the lease', () => again.keeper.holding);
  expect(again.keeper.epoch).toBe(3);
});

test('without_its_epoch_file_a_forgotten_epoch_is_given_out_again', async () => {
  // Negative control of the test before.
  const [a, b] = await pair();
  const { epoch } = a.keeper;
  a.keeper.stop();
  b.keeper.stop();
  await server.command('FLUSHALL');
  const forgetful = new Member('c', server.url, null);
  members.push(forgetful);
  forgetful.keeper.start();
  await until('it holds the lease', () => forgetful.keeper.holding);
  expect(forgetful.keeper.epoch).toBe(epoch);
});

test('a_holder_that_loses_redis_and_has_no_peer_is_silent_before_the_other_speaks', async () => {
  const [a, b] = await pair();
  server.signal('SIGSTOP');
  await until('a has given up', () => !a.keeper.holding);
  server.signal('SIGCONT');
  await until('somebody holds the lease', () => a.keeper.holding || b.keeper.holding);
  expect(overlapMs(a, b)).toBeLessThan(0);
});

test('roles_stay_while_redis_is_down_and_the_peer_promises', async () => {
  const [a, b] = await pair();
  // The direct way, without its datagrams: each beat asks, and the standby answers as HaMember does.
  const beat = setInterval(() => {
    if (!a.keeper.holding || a.keeper.redisAnswers) return;
    const token = a.peer.ask(monotonicMs());
    if (!b.keeper.canPromise) return;
    b.peer.promise(monotonicMs());
    a.peer.heard(
      { group: 'g', node: 'b', boot: b.holder, state: 'INIT', epoch: 1, redis: false, ask: '', promise: token },
      monotonicMs(),
    );
  }, 15);
  try {
    await server.end();
    await wait(4 * LEASE_MS);
    expect(a.keeper.holding).toBe(true);
    await server.begin();
    await until('the lease is renewed', async () => (await server.command('HGET', '{g}:lease', 'node')) === 'a');
    await wait(2 * LEASE_MS);
    expect(a.events.concat(b.events)).toHaveLength(1);
  } finally {
    clearInterval(beat);
  }
});

test('a_full_redis_ends_no_lease', async () => {
  const [a] = await pair();
  await server.command('CONFIG', 'SET', 'maxmemory', '1');
  await expect(server.command('SET', 'x', 'y')).rejects.toThrow('OOM');
  await wait(2 * LEASE_MS);
  expect(a.keeper.holding).toBe(true);
});

test('a_lease_is_handed_over_at_once_and_taken_back_from_one_that_does_not_come', async () => {
  const [a, b] = await pair();
  b.may = false;
  await expect(a.keeper.handOver('b', 50, () => true)).rejects.toThrow('did not take the lease');
  expect(a.keeper.holding).toBe(true);
  b.may = true;
  const startedMs = monotonicMs();
  await a.keeper.handOver('b', LEASE_MS, (status) => status.includes('DONE'));
  expect(monotonicMs() - startedMs).toBeLessThan(LEASE_MS);
  expect([a.keeper.holding, b.keeper.holding]).toEqual([false, true]);
  expect(b.events[0].cause).toContain('handed over');
});

test.each([
  ['an epoch that is none', ['HSET', '{g}:lease', 'epoch', 'abc']],
  ['an epoch beyond all', ['HSET', '{g}:lease', 'epoch', '1795299045828']],
  ['a deadline that is none', ['HSET', '{g}:lease', 'deadline', 'soon']],
  ['a lease of another kind', ['SET', '{g}:lease', 'x']],
  ['members of another kind', ['SET', '{g}:members', 'x']],
  ['a member that is none', ['HSET', '{g}:members', 'c', 'garbage']],
])('what_somebody_else_writes_into_the_lease_ends_nothing: %s', async (_what, words) => {
  const [a, b] = await pair();
  await server.command(words[0], ...words.slice(1));
  await wait(1.5 * LEASE_MS);
  expect(a.keeper.holding).toBe(true);
  expect(b.events).toHaveLength(0);
  for (const node of ['a', 'b']) expect(new EpochFile(join(folder, `${node}.epoch`), 'g').epoch).toBe(1);
  expect(a.keeper.members.map(({ node }) => node)).toEqual(expect.arrayContaining(['a', 'b']));
  // And a dead holder is still followed, from what it wrote last or from nothing.
  a.keeper.stop();
  await server.command(words[0], ...words.slice(1));
  await until('b holds the lease', () => b.keeper.holding);
  expect(b.events.map(({ epoch }) => epoch)).toEqual([2]);
});

test('a_promise_to_an_earlier_boot_of_this_node_lets_nobody_speak', () => {
  const asked = new Peer(1000, 100).ask(0);
  const afterRestart = new Peer(1000, 100);
  afterRestart.ask(5000);
  const stale = {
    group: 'g',
    node: 'b',
    boot: 'b',
    state: 'INIT',
    epoch: 1,
    redis: true,
    ask: '',
    promise: asked,
  } as const;
  afterRestart.heard(stale, 5001);
  expect(afterRestart.speakUntilMs).toBe(-Infinity);
});
