/** Where `mirror.redis` of the configuration points. */
export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  readonly tls: boolean;
  readonly username: string | null;
  readonly password: string | null;
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** Sentinel: the name of the monitored master. */
  readonly master: string | null;
  readonly database: number;
}

const DEFAULT_PORT = { single: 6379, sentinel: 26379, cluster: 6379 } as const;
const URL_PARTS =
  /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^/?#]+)(?:\/(?<path>[^/?#]*))?(?:\?db=(?<db>[0-9]+))?$/;
const HOST = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<host>[^:[\]\s]+))(?::(?<port>[0-9]{1,5}))?$/i;

/**
 * Reads `redis://HOST[:PORT][/DB]`, `redis+sentinel://HOST[:PORT],…/MASTER[?db=N]` and `redis+cluster://HOST[:PORT],…`;
 * `rediss` for TLS; `USER:PASSWORD@` in front of the hosts.
 *
 * @returns The address, or what is wrong with the text.
 */
export function readRedisUrl(text: string): RedisAddress | string {
  const parts = URL_PARTS.exec(text);
  if (parts === null) return 'is not a redis:// URL';
  const kind = (parts[2] ?? 'single') as RedisAddress['kind'];
  const { user, password, path, db } = parts.groups as Record<string, string | undefined>;
  const hosts: { host: string; port: number }[] = [];
  for (const item of (parts.groups?.hosts ?? '').split(',')) {
    const match = HOST.exec(item);
    const port = match?.groups?.port === undefined ? DEFAULT_PORT[kind] : Number(match.groups.port);
    if (match === null || port < 1 || port > 65535) return `"${item}" is not HOST:PORT`;
    hosts.push({ host: match.groups?.v6 ?? match.groups?.host ?? '', port });
  }
  if (kind === 'single' && hosts.length > 1) return 'names several hosts; redis+sentinel:// and redis+cluster:// may';
  if (kind === 'sentinel' && !path) return 'names no master behind the sentinels';
  if (kind === 'cluster' && (path || db)) return 'names a database, which a cluster has not';
  if (kind === 'single' && path && !/^[0-9]+$/.test(path)) return `"${path}" is not the number of a database`;
  return {
    kind,
    tls: parts[1] === 's',
    username: user ? decode(user) : null,
    password: password === undefined ? null : decode(password),
    hosts,
    master: kind === 'sentinel' ? decode(path ?? '') : null,
    database: Number((kind === 'single' ? path : db) || 0),
  };
}

/** The address without its secrets. */
export function nameOf(address: RedisAddress): string {
  const scheme = `redis${address.tls ? 's' : ''}${address.kind === 'single' ? '' : `+${address.kind}`}`;
  const hosts = address.hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  return `${scheme}://${hosts}${address.master === null ? '' : `/${address.master}`}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
