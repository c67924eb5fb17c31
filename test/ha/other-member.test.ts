import { OtherMember } from '../../src/ha/other-member';
import { Peer } from '../../src/ha/peer';
import type { MemberStatus } from '../../src/ha/status';

const OWN = { node: 'a', bootId: 'boot-a', leaseMs: 1000 };

function successorAmong(members: readonly { node: string; agoMs: number; status: string }[]): string {
  const keeper = { members, record: null, holderIsSilent: false };
  return new OtherMember(OWN, keeper, new Peer(1000, 100), () => null).successor();
}

const standby: MemberStatus = {
  boot: 'boot-b',
  state: 'INIT',
  epoch: 0,
  eligible: true,
  reasons: [],
  wants: false,
  unwritten: 0,
};
const b = { node: 'b', agoMs: 40, status: JSON.stringify(standby) };

test('of several nodes the one that reported last is the other member', () => {
  expect(successorAmong([b, { ...b, node: 'replaced', agoMs: 900 }])).toBe('b');
});

test('a node that reported before Redis’ clock was set back does not hide the one that lives', () => {
  expect(successorAmong([b, { ...b, node: 'replaced', agoMs: -3_600_000 }])).toBe('b');
  expect(() => successorAmong([{ ...b, agoMs: -3_600_000 }])).toThrow('does not report');
});

test.each([
  ['before it', (other: typeof b) => [other, b]],
  ['behind it', (other: typeof b) => [b, other]],
])('an entry of Redis that no member wrote does not hide the one that lives: %s', (_where, order) => {
  expect(successorAmong(order({ node: 'c', agoMs: Number.NaN, status: 'garbage' }))).toBe('b');
});
