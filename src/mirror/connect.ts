import { Cluster, Redis } from 'ioredis';
import { nameOf, type RedisAddress, readRedisUrl } from '../config/redis-url.js';
import type { ConnectionPurpose, RedisConnection, RedisConnector } from './types.js';

/** How long a connection may be silent while a reply is awaited; then it is taken for dead. */
const SILENCE_MS = 2000;
const CONNECT_MS = 1000;
/** How long a connection that is given up may take to say goodbye; ioredis waits so long for one, too, that never was. */
const GOODBYE_MS = 200;
/** Between attempts to connect: quick at first, for a restart takes less than a second. */
const FIRST_RETRY_MS = 50;
const MOST_RETRY_MS = 500;
/** Errors by which a server says that it is not the one to write to (any more). */
const WRONG_SERVER = /^(?:READONLY|MASTERDOWN|LOADING)\b/;

/**
 * @param url       `mirror.redis` of a valid configuration.
 * @param silenceMs For tests: how soon a silent server counts as dead.
 * @throws Error REDIS_URL for what is none
 */
export function redisConnector(url: string, silenceMs = SILENCE_MS): RedisConnector {
  const address = readRedisUrl(url);
  if (typeof address === 'string') throw Object.assign(new Error(`the Redis URL ${address}`), { code: 'REDIS_URL' });
  return {
    kind: address.kind,
    name: nameOf(address),
    connect(purpose, onError = () => undefined) {
      const connection = address.kind === 'cluster' ? cluster(address, silenceMs) : server(address, purpose, silenceMs);
      // An error without a listener would end the process; ioredis goes on connecting by itself.
      connection.on('error', onError);
      return connection;
    },
  };
}

/** Nothing is queued while the connection is down, and nothing sent twice: memory stays the sender's to bound. */
function common(address: RedisAddress, silenceMs: number) {
  return {
    ...(address.username === null ? {} : { username: address.username }),
    ...(address.password === null ? {} : { password: address.password }),
    ...(address.tls ? { tls: {} } : {}),
    protocol: 2 as const,
    disableClientInfo: true,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: GOODBYE_MS,
    socketTimeout: silenceMs,
    keepAlive: 1000,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  };
}

function server(address: RedisAddress, purpose: ConnectionPurpose, silenceMs: number): Redis {
  const options = {
    ...common(address, silenceMs),
    db: address.database,
    enableOfflineQueue: false,
    retryStrategy: (times: number) => Math.min(FIRST_RETRY_MS * times, MOST_RETRY_MS),
    // 1: connect anew, to whoever is master now; the command itself fails, and its sender knows what to do.
    reconnectOnError: (error: Error) => (WRONG_SERVER.test(error.message) ? (1 as const) : false),
  };
  if (address.kind === 'single') return new Redis({ ...options, ...address.hosts[0] });
  // Without this a connection that is given up while no sentinel answers would go on asking for ever.
  let givenUp = false;
  const redis = new Redis({
    ...options,
    sentinels: [...address.hosts],
    name: address.master ?? '',
    ...(address.password === null ? {} : { sentinelPassword: address.password }),
    sentinelRetryStrategy: (times: number) => (givenUp ? null : Math.min(FIRST_RETRY_MS * times, MOST_RETRY_MS)),
    sentinelCommandTimeout: silenceMs,
    failoverDetector: purpose === 'append' || purpose === 'lease',
  });
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect = false) => {
    givenUp = !reconnect;
    disconnect(reconnect);
  };
  return redis;
}

function cluster(address: RedisAddress, silenceMs: number): Cluster {
  return new Cluster([...address.hosts], {
    redisOptions: common(address, silenceMs),
    enableOfflineQueue: false,
    // A command meets a moved slot or a failed node some times; an append that arrives twice is told by its sequence.
    maxRedirections: 4,
    retryDelayOnFailover: FIRST_RETRY_MS,
    retryDelayOnClusterDown: FIRST_RETRY_MS,
    retryDelayOnTryAgain: FIRST_RETRY_MS,
    slotsRefreshTimeout: CONNECT_MS,
    slotsRefreshInterval: 2000,
    clusterRetryStrategy: (times) => Math.min(FIRST_RETRY_MS * times, MOST_RETRY_MS),
  });
}

/** Whether commands can be sent now. */
export function isReady(connection: RedisConnection): boolean {
  return connection.status === 'ready';
}

/** Calls back now and each time that the connection becomes usable. */
export function onReady(connection: RedisConnection, then: () => void): void {
  connection.on('ready', then);
  if (isReady(connection)) then();
}

/** Why a connection failed, in a line: of several addresses that refused, Node tells no message of its own. */
export function faultOf(error: Error): string {
  if (error.message !== '') return error.message;
  return (error as NodeJS.ErrnoException).code ?? error.name;
}
