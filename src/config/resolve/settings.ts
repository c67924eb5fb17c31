import { isIPv6 } from 'node:net';
import { resolve } from 'node:path';
import { formatIpv6, parsePort } from '../address.js';
import type { Field, NameTable } from '../field.js';
import { readRedisUrl } from '../redis-url.js';
import { resolveTarget } from '../target-names.js';
import type {
  AftrSettings,
  B4Settings,
  HaSettings,
  MirrorSettings,
  NatSettings,
  OffloadSettings,
  ValidatedConfig,
} from '../types.js';
import { resolveLimits } from './vpcs.js';

/** sizeof(sockaddr_un.sun_path) of Linux, with its closing zero. */
const SOCKET_PATH_BYTES = 108;
const NO_IPV6 = [0, 0, 0, 0] as const;

export function resolveNat(field: Field): NatSettings {
  const timeouts = field.at('timeouts');
  return {
    seed: field.at('seed').integer(),
    mapping:
      field.at('mapping').choice(['endpoint-independent', 'address-and-port-dependent']) ?? 'endpoint-independent',
    filtering:
      field.at('filtering').choice(['endpoint-independent', 'address-dependent', 'address-and-port-dependent']) ??
      'endpoint-independent',
    timeouts: {
      udpSeconds: timeouts.at('udp').integer() ?? 300,
      tcpEstablishedSeconds: timeouts.at('tcpEstablished').integer() ?? 7440,
      tcpTransitorySeconds: timeouts.at('tcpTransitory').integer() ?? 240,
      icmpSeconds: timeouts.at('icmp').integer() ?? 60,
      otherSeconds: timeouts.at('other').integer() ?? 300,
    },
    portReuseDelaySeconds: field.at('portReuseDelay').integer() ?? 120,
    maxSessions: field.at('maxSessions').integer() ?? 1_000_000,
    portBlockSize: field.at('portBlockSize').integer() ?? 256,
    log: field.at('log').choice(['none', 'blocks', 'sessions']) ?? 'none',
    mssClampBytes: field.at('mssClamp').integer(),
  };
}

export function resolveOffload(field: Field): OffloadSettings {
  const mode = field.at('mode');
  const afterPackets = mode.at('afterPackets').integer();
  return {
    mode: afterPackets !== null ? 'after' : (mode.choice(['immediate', 'never']) ?? 'immediate'),
    afterPackets: afterPackets ?? 0,
    target: resolveTarget(field.at('target')),
    maxRules: field.at('maxRules').integer() ?? 2_000_000,
    evictionsPerSecond: field.at('evictionsPerSecond').integer() ?? 1000,
    tcpWithoutFlags: field.at('tcpWithoutFlags').flag() ?? false,
  };
}

export function resolveMirror(field: Field): MirrorSettings | null {
  if (!field.isPresent) return null;
  const redis = field.at('redis').text();
  const address = redis === null ? null : readRedisUrl(redis);
  if (typeof address === 'string') {
    field
      .at('redis')
      .fault(address, 'redis://HOST:PORT, redis+sentinel://HOST:PORT,…/MASTER, redis+cluster://HOST:PORT,…');
  }
  return {
    redis: redis ?? '',
    mode: field.at('mode').choice(['async', 'defer-open', 'defer-closed']) ?? 'async',
  };
}

export function resolveHa(field: Field, gatewayName: string, folder: string): HaSettings | null {
  if (!field.isPresent) return null;
  const vip = field.at('vip').at('address').interfaceAddress();
  const path = (name: string) => {
    const text = field.at(name).text();
    return text === null ? null : resolve(folder, text);
  };
  const [configFile, resultFile] = [path('configFile'), path('resultFile')];
  if (configFile !== null && configFile === resultFile) {
    field.at('resultFile').fault('is the same file as configFile', 'the result would overwrite it');
  }
  return {
    group: field.at('group').text() ?? gatewayName,
    vip: vip && { address: vip, interface: field.at('vip').at('interface').text() },
    leaseMs: field.at('leaseMs').integer() ?? 1000,
    configFile,
    resultFile,
    virtualMac: field.at('virtualMac').mac(),
  };
}

export function resolveControl(field: Field, folder: string): ValidatedConfig['control'] {
  const socket = field.at('socket').text();
  if (socket === null) return null;
  const path = resolve(folder, socket);
  if (Buffer.byteLength(path) >= SOCKET_PATH_BYTES) {
    field
      .at('socket')
      .fault(`the path is longer than ${SOCKET_PATH_BYTES - 1} bytes`, 'Linux allows no longer one for a socket');
  }
  return { socket: path };
}

export function resolveMetrics(field: Field): ValidatedConfig['metrics'] {
  const text = field.at('address').text();
  if (text === null) return null;
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = parsePort(text.slice(colon + 1));
  if (colon < 1 || port === null) field.at('address').fault(`"${text}" is not HOST:PORT`, 'port 1 to 65535');
  else if (host.includes(':') && !isIPv6(host))
    field.at('address').fault(`"${host}" is not an IPv6 address`, 'such as [::1]:9100');
  return { host, port: port ?? 0 };
}

export function resolveLog(field: Field): ValidatedConfig['log'] {
  const level = field.at('level').choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']);
  return { level: level ?? 'info' };
}

export function resolveDslite(field: Field, poolNames: NameTable): AftrSettings | B4Settings | null {
  if (!field.isPresent) return null;
  const b4 = field.at('b4');
  const aftrFields = ['aftr', 'pool', 'b4Prefixes', 'subscriberPrefixLength', 'limits'].filter(
    (name) => field.at(name).isPresent,
  );
  if (b4.isPresent) {
    for (const name of aftrFields)
      field.at(name).fault('belongs to an AFTR, but b4 stands here', 'a gateway is one of the two');
    const settings = { address: b4.at('address').ipv6() ?? NO_IPV6, aftr: b4.at('aftr').ipv6() ?? NO_IPV6 };
    if (b4.at('aftr').isPresent && formatIpv6(settings.address) === formatIpv6(settings.aftr)) {
      b4.at('aftr').fault('is the same address as the B4 element has', 'give that of the other end');
    }
    return { role: 'b4', ...settings };
  }
  for (const name of ['aftr', 'pool', 'b4Prefixes']) {
    if (!field.at(name).isPresent) {
      field
        .at(name)
        .fault('is missing', aftrFields.length > 0 ? 'an AFTR needs it' : 'give aftr, pool and b4Prefixes, or b4');
    }
  }
  const seen = new Map<string, string>();
  const b4Prefixes = field
    .at('b4Prefixes')
    .items()
    .flatMap((item) => {
      const prefix = item.ipv6Prefix();
      if (prefix === null) return [];
      const text = `${formatIpv6(prefix.address)}/${prefix.length}`;
      const before = seen.get(text);
      if (before !== undefined) item.fault(`repeats ${before}`, 'remove one of the two');
      else seen.set(text, item.path);
      return [prefix];
    });
  return {
    role: 'aftr',
    aftr: field.at('aftr').ipv6() ?? NO_IPV6,
    pool: poolNames.resolve(field.at('pool')) ?? 0,
    b4Prefixes,
    subscriberPrefixLength: field.at('subscriberPrefixLength').integer() ?? 56,
    limits: resolveLimits(field.at('limits')),
  };
}
