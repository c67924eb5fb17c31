import fc from 'fast-check';
import { type DocumentChange, documentChanges } from '../../src/config/diff.js';
import { document } from './fixture.js';

test('an element in front changes none of those that have a name', () => {
  const next = document();
  next.vpcs.unshift({ name: 'green', vni: 300, subnets: ['10.3.0.0/24'], routes: [] });
  expect(documentChanges(document(), next)).toEqual([{ op: 'add', path: '/vpcs/0', to: next.vpcs[0] }]);
});

test('a change inside a named element is told where it stands now', () => {
  const next = document();
  next.vpcs.reverse();
  const at = next.vpcs.length - 1;
  const from = next.vpcs[at].vni;
  next.vpcs[at].vni = 777;
  expect(documentChanges(document(), next)).toEqual([{ op: 'replace', path: `/vpcs/${at}/vni`, from, to: 777 }]);
});

test('elements without a name are matched whole, as often as they stand there', () => {
  expect(documentChanges([1, 2, 2, 3], [2, 3, 2, 2])).toEqual([
    { op: 'remove', path: '/0', from: 1 },
    { op: 'add', path: '/3', to: 2 },
  ]);
});

test('fields come and go by their JSON Pointers', () => {
  expect(documentChanges({ a: 1, 'b/c': { d: null } }, { 'b/c': { 'e~': [] } })).toEqual([
    { op: 'remove', path: '/a', from: 1 },
    { op: 'remove', path: '/b~1c/d', from: null },
    { op: 'add', path: '/b~1c/e~0', to: [] },
  ]);
});

/** Of lists an order that is not told apart. */
function unordered(value: unknown): unknown {
  if (Array.isArray(value))
    return value
      .map(unordered)
      .map((one) => JSON.stringify(one))
      .sort();
  if (value === null || typeof value !== 'object') return value;
  const fields = Object.entries(value).map(([name, part]) => [name, unordered(part)] as const);
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test('there are changes exactly when documents differ in more than the order of lists', () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  fc.assert(
    fc.property(value, value, (a, b) => {
      const differs = JSON.stringify(unordered(a)) !== JSON.stringify(unordered(b));
      const told: readonly DocumentChange[] = documentChanges(a, b);
      expect(documentChanges(a, structuredClone(a))).toEqual([]);
      // Inside elements without names an order is a difference: they are matched whole.
      if (differs) expect(told).not.toEqual([]);
    }),
  );
});
