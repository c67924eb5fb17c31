import { hidden, withoutPassword } from '../../../src/controller/api/passwords.js';

test.each([
  ['redis://:secret@10.0.0.1:6379/0', 'redis://:***@10.0.0.1:6379/0'],
  ['rediss://user:se:c@ret@host', 'rediss://user:***@host'],
  ['redis+sentinel://u:p@a:1,b:2/main', 'redis+sentinel://u:***@a:1,b:2/main'],
  ['redis+cluster://:p@a:1', 'redis+cluster://:***@a:1'],
  ['redis://10.0.0.1:6379', 'redis://10.0.0.1:6379'],
])('%s is told as %s', (url, told) => {
  expect(hidden(url)).toBe(told);
});

test('only the mirror is changed, and the document itself stays', () => {
  const document = { name: 'gw1', mirror: { redis: 'redis://:secret@h', mode: 'async' } };
  expect(withoutPassword(document)).toEqual({ name: 'gw1', mirror: { redis: 'redis://:***@h', mode: 'async' } });
  expect(document.mirror.redis).toContain('secret');
  expect(withoutPassword({ name: 'gw1' })).toEqual({ name: 'gw1' });
});
