import { pino } from 'pino';
import { GatewayMirror } from '../src/mirror/gateway-mirror.js';
import { fixture } from './fixture.js';
import { LcoreGateway, openFlows, settle } from './gateways.js';
import type { Histogram } from './latency.js';
import { withRedis } from './redis.js';

const WINDOW = 512;

export interface FirstPacketOptions {
  /** Whether the gateway's sessions are mirrored, `async`. */
  readonly mirrored: boolean;
  readonly resident: number;
  readonly flows: number;
  readonly perSecond: number;
  readonly seed: number;
}

export interface FirstPacketResult {
  /** From the burst that received a first packet to the burst that sent it. */
  readonly receive: Histogram;
  readonly failed: number;
  /** Records that Redis acknowledged while the flows were set up. */
  readonly records: number;
}

/** Evenly paced new flows through a live gateway whose resident sessions Redis has already, or which has no mirror. */
export async function firstPackets(options: FirstPacketOptions): Promise<FirstPacketResult> {
  if (!options.mirrored) return paced(options, null);
  return withRedis((redis) => paced(options, redis));
}

async function paced(
  { resident, flows, perSecond, seed }: FirstPacketOptions,
  redis: string | null,
): Promise<FirstPacketResult> {
  const made = fixture({
    flows: resident + flows,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
  });
  const config = redis === null ? made.config : { ...made.config, mirror: { redis, mode: 'async' as const } };
  const under = new LcoreGateway({ ...made, config });
  const { gateway, controller, bench } = under;
  const silent = pino({ enabled: false });
  const mirror = redis === null ? null : new GatewayMirror(controller, config, () => gateway.nowSeconds(), silent);
  await mirror?.writer.begin(1);
  const fill = await openFlows(under, {
    first: 0,
    count: resident,
    window: WINDOW,
    perSecond: 0,
    measureLatency: false,
  });
  await settle(under);
  await mirror?.writer.seeded();
  await mirror?.writer.drained();
  const acknowledged = () => mirror?.writer.status().counters.records ?? 0;
  const before = acknowledged();
  const measured = await openFlows(under, {
    first: resident,
    count: flows,
    window: 0,
    perSecond,
    measureLatency: true,
  });
  await settle(under);
  await mirror?.writer.drained();
  const records = acknowledged() - before;
  if (mirror !== null && records < flows - measured.failed) throw new Error(`${records} records of ${flows} flows`);
  const receive = bench.histogram('receive');
  await mirror?.close();
  under.close();
  return { receive, failed: fill.failed + measured.failed, records };
}
