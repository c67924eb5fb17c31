import { EngineAlone, Outcome, scarceFixture } from '../../bench/misses.js';
import { PortSet } from '../../src/nat/port-set.js';
import { Random } from '../../src/nat/random.js';
import { DropReason } from '../../src/native/records.js';

const ADDRESSES = 16;
const PORTS_OF_ADDRESS = 64_512;
const FIRST_PORT = 1024;
const ENDPOINTS = ADDRESSES * PORTS_OF_ADDRESS;
const HOSTS = 100_000;
const UNREACHABLE = 3;
const PROHIBITED = 13;
const BEGIN = 1000;

/** As `expect`, which takes 50 µs a call. */
function check(right: boolean, otherwise: string): void {
  if (!right) throw new Error(otherwise);
}

/** Counts what the choice of a port does: sets asked, and numbers drawn. Counts nothing while it is not running. */
class PortWork {
  operations = 0;

  /** Operations of the misses that `run` makes, a miss. */
  perMiss(misses: number, run: (i: number) => void): number {
    this.operations = 0;
    const { take, hasFree } = PortSet.prototype;
    const { next } = Random.prototype;
    const count = () => {
      this.operations++;
    };
    PortSet.prototype.take = function (...given) {
      count();
      return take.apply(this, given);
    };
    PortSet.prototype.hasFree = function (...given) {
      count();
      return hasFree.apply(this, given);
    };
    Random.prototype.next = function () {
      count();
      return next.call(this);
    };
    try {
      for (let i = 0; i < misses; i++) run(i);
    } finally {
      Object.assign(PortSet.prototype, { take, hasFree });
      Object.assign(Random.prototype, { next });
    }
    return this.operations / misses;
  }
}

test('a million sessions of 100,000 hosts over 16 addresses, until nothing is left and after', () => {
  const made = scarceFixture({ addresses: ADDRESSES, seed: 1 });
  const { poolFirst } = made.scenario;
  const alone = new EngineAlone(made);
  const { engine } = alone;
  const work = new PortWork();
  const owned = new Uint8Array(ENDPOINTS);
  const addressOfHost = new Int32Array(HOSTS).fill(-1);
  const sessionsOfAddress = new Int32Array(ADDRESSES);
  const hostsOfAddress = new Int32Array(ADDRESSES);

  /** What a miss of the host's n-th flow becomes; a session's endpoint is noted. */
  const open = (host: number, flow: number, seconds: number): Outcome => {
    const outcome = alone.open(host, flow, seconds);
    if (outcome !== Outcome.session) return outcome;
    const address = alone.externalAddress - poolFirst;
    const port = alone.externalPort - FIRST_PORT;
    check(address >= 0 && address < ADDRESSES, `address ${address} is not of the pool`);
    check(port >= 0 && port < PORTS_OF_ADDRESS, `port ${alone.externalPort} is not of the pool`);
    const endpoint = address * PORTS_OF_ADDRESS + port;
    check(owned[endpoint] === 0, `endpoint ${address}:${port} has two sessions`);
    owned[endpoint] = 1;
    sessionsOfAddress[address]++;
    if (addressOfHost[host] < 0) {
      addressOfHost[host] = address;
      hostsOfAddress[address]++;
    }
    check(addressOfHost[host] === address, `host ${host} has two addresses`);
    return outcome;
  };
  /** Hosts in an order that is not theirs, the same each time. */
  const hostAt = (i: number) => (i * 7919) % HOSTS;

  // Ten sessions of each host: a million. The tenth is measured, half of each address's ports and more being owned.
  let ordinary = 0;
  for (let flow = 0; flow < 10; flow++) {
    const round = (i: number) =>
      check(open(hostAt(i), flow, BEGIN) === Outcome.session, `flow ${flow} of host ${hostAt(i)} was refused`);
    if (flow < 9) for (let i = 0; i < HOSTS; i++) round(i);
    else ordinary = work.perMiss(HOSTS, round);
  }
  expect(engine.sessions.count).toBe(10 * HOSTS);
  // Hosts take the addresses in turn; all have the same number of sessions here, so the addresses do too.
  expect(Math.max(...hostsOfAddress) - Math.min(...hostsOfAddress)).toBe(0);
  expect(Math.max(...sessionsOfAddress) - Math.min(...sessionsOfAddress)).toBe(0);

  // On to the last port. From now on a host is refused when its address is full, though others may have room.
  for (let i = 0; engine.sessions.count < ENDPOINTS; i++) {
    check(i < HOSTS, 'ports stay that nobody gets');
    if (open(hostAt(i), 10, BEGIN + 1) === Outcome.session) continue;
    check(sessionsOfAddress[addressOfHost[hostAt(i)]] === PORTS_OF_ADDRESS, 'refused, with room on its address');
    check(alone.reason === DropReason.poolExhausted, `refused for reason ${alone.reason}`);
  }
  expect(owned.every((taken) => taken === 1)).toBe(true);
  expect(Math.max(...sessionsOfAddress)).toBe(PORTS_OF_ADDRESS);

  // Nothing is left. A host that has sessions and one that has none are refused for the same reason and no more work.
  const refused = (host: number, flow: number, seconds: number) =>
    check(
      open(host, flow, seconds) !== Outcome.session && alone.reason === DropReason.poolExhausted,
      `host ${host} was not refused for want of ports`,
    );
  const known = work.perMiss(20_000, (i) => refused(hostAt(i), 11, BEGIN + 10));
  const unknown = work.perMiss(20_000, (i) => refused(HOSTS + i, 0, BEGIN + 20));
  expect(ordinary).toBeGreaterThanOrEqual(1);
  expect(known).toBeLessThanOrEqual(ordinary);
  expect(unknown).toBeLessThanOrEqual(ordinary);
  expect(engine.sessions.count).toBe(ENDPOINTS);

  // Told with code 13 once a second, however often it asks; other hosts are told in the same second.
  const toldAt: number[] = [];
  for (let milliseconds = 0; milliseconds < 3500; milliseconds += 50) {
    const seconds = BEGIN + 30 + Math.floor(milliseconds / 1000);
    const outcome = alone.open(5, 11, seconds, (milliseconds % 1000) * 1e6);
    check(alone.reason === DropReason.poolExhausted, `refused for reason ${alone.reason}`);
    if (outcome !== Outcome.told) continue;
    expect([alone.icmpType, alone.icmpCode]).toEqual([UNREACHABLE, PROHIBITED]);
    toldAt.push(milliseconds);
  }
  expect(toldAt).toEqual([0, 1000, 2000, 3000]);
  expect(alone.open(6, 11, BEGIN + 33, 400e6)).toBe(Outcome.told);

  // All end; their ports rest, and each can be had again from the very second on at which the rest is over.
  const end = BEGIN + 4000;
  expect(alone.endDue(end)).toBe(ENDPOINTS);
  expect(engine.sessions.count).toBe(0);
  const rested = end + made.config.nat.portReuseDelaySeconds;
  expect(made.config.nat.portReuseDelaySeconds).toBe(120);
  for (const i of [0, 1, 2]) refused(i, 20, end + i);
  refused(3, 20, rested - 1);
  owned.fill(0);
  addressOfHost.fill(-1);
  sessionsOfAddress.fill(0);
  hostsOfAddress.fill(0);
  for (let i = 0; engine.sessions.count < ENDPOINTS; i++) {
    check(i < 11 * HOSTS, 'ports stay that nobody gets');
    open(hostAt(i), Math.floor(i / HOSTS), rested);
  }
  expect(owned.every((taken) => taken === 1)).toBe(true);
}, 60_000);
