import { nameOf, readRedisUrl } from '../../src/config/redis-url.js';

test.each([
  ['redis://127.0.0.1', { kind: 'single', hosts: [{ host: '127.0.0.1', port: 6379 }], database: 0 }],
  ['redis://[::1]:7000/3', { kind: 'single', hosts: [{ host: '::1', port: 7000 }], database: 3 }],
  ['rediss://me:s%40fe@db', { tls: true, username: 'me', password: 's@fe', hosts: [{ host: 'db', port: 6379 }] }],
  ['redis://:secret@db:1', { username: null, password: 'secret' }],
  [
    'redis+sentinel://a:1,b/mirror?db=2',
    {
      kind: 'sentinel',
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b', port: 26379 },
      ],
      master: 'mirror',
      database: 2,
    },
  ],
  [
    'rediss+cluster://a,b:7',
    {
      kind: 'cluster',
      tls: true,
      hosts: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 7 },
      ],
    },
  ],
])('%s is understood', (text, parts) => {
  expect(readRedisUrl(text)).toMatchObject(parts);
});

test.each(['redis://', 'redis://a:0', 'redis://a:70000', 'redis://a/b', 'redis+other://a', 'redis://a b', 'http://a'])(
  '%s is refused',
  (text) => {
    expect(typeof readRedisUrl(text)).toBe('string');
  },
);

test('a name has no secrets', () => {
  const address = readRedisUrl('rediss+sentinel://me:secret@[::1]:5,b/m');
  if (typeof address === 'string') throw new Error(address);
  expect(nameOf(address)).toBe('rediss+sentinel://[::1]:5,b:26379/m');
});
