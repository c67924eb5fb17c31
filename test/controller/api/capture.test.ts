import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rowsOfShard } from '../../../src/nat/shards/shared-state.js';
import { ROOT, RunningGateway, until } from './running-gateway.js';

/** What tshark reads in a file, a line a packet. */
function fields(file: string, ...names: string[]): string[][] {
  const asked = names.flatMap((name) => ['-e', name]);
  const given = ['-r', file, '-T', 'fields', '-E', 'separator=|', ...asked];
  const text = execFileSync('tshark', given, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return text
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('|'));
}

describe.each([1, 2, 4])('packets of %i shards are captured to pcapng, which tshark reads', (shards) => {
  const gateway = new RunningGateway();
  const folder = mkdtempSync(join(tmpdir(), 'sluice-capture-'));

  beforeAll(async () => {
    // The example captures over and over.
    await gateway.start(
      (document) => {
        for (const port of Object.values(document.ports) as { device: string }[]) {
          port.device = port.device.replace('tx_pcap=', 'infinite_rx=1:tx_pcap=');
        }
      },
      ['--shards', String(shards)],
    );
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function capture(...args: string[]): string {
    const file = join(folder, `${args.join('').replace(/\W/g, '')}.pcapng`);
    const given = ['capture', '--socket', gateway.socket, '--write', file, ...args];
    const { status, stderr } = spawnSync(join(ROOT, 'bin/sluice'), given, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    return file;
  }

  test('dropped ones as they came, with the reason, the port and the time of day', () => {
    const before = Date.now() / 1000;
    const names = ['bad-checksum', 'unknown-vni', 'not-for-us'];
    // With several shards the endpoints are others than in the example's replies: most packets are those then.
    const by = shards === 1 ? [[]] : names.map((reason) => ['--reason', reason]);
    const packets = 300 / by.length;
    const found = by.flatMap((more) =>
      fields(
        capture('--kind', 'dropped', '--packets', String(packets), '--seconds', '20', ...more),
        ...['frame.comment', 'frame.interface_name', 'frame.time_epoch', 'frame.packet_flags_direction'],
      ),
    );
    expect(found).toHaveLength(300);
    const reasons = new Set(found.map(([comment]) => comment));
    for (const reason of names) expect(reasons).toContain(`dropped: ${reason}`);
    expect(new Set(found.map(([, port]) => port))).toEqual(new Set(['fabric', 'external']));
    // INBOUND of the packet's flags.
    for (const [, , seconds, direction] of found) {
      expect(Number(direction)).toBe(1);
      expect(Number(seconds)).toBeGreaterThan(before - 1);
      expect(Number(seconds)).toBeLessThan(Date.now() / 1000 + 1);
    }
  }, 60_000);

  test('by reason: a wrong checksum is one for tshark too', () => {
    const file = capture('--kind', 'dropped', '--reason', 'bad-checksum', '--packets', '20', '--seconds', '20');
    const found = fields(file, 'frame.comment', 'frame.len', 'frame.cap_len');
    expect(found).toHaveLength(20);
    for (const [comment, length, kept] of found) {
      expect(comment).toBe('dropped: bad-checksum');
      expect(kept).toBe(length);
    }
    const wrong = ['-r', file, '-o', 'ip.check_checksum:TRUE', '-Y', 'ip.checksum.status == "Bad"'];
    const shown = execFileSync('tshark', wrong, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    expect(shown.trimEnd().split('\n')).toHaveLength(20);
  }, 60_000);

  test('punted ones by protocol, address and port; translated ones as they leave', () => {
    const punted = fields(
      capture('--kind', 'punted', '--proto', 'udp', '--vpc', 'red', '--packets', '50', '--seconds', '20'),
      ...['frame.comment', 'frame.interface_name', 'vxlan.vni', 'ip.proto'],
    );
    expect(punted.length).toBeGreaterThan(10);
    for (const found of punted) expect(found).toEqual(['punted', 'fabric', '100', '17,17']);
    const translated = fields(
      capture('--kind', 'translated', '--vpc', 'red', '--packets', '50', '--seconds', '20'),
      ...['frame.comment', 'frame.interface_name', 'ip.src', 'frame.packet_flags_direction'],
    );
    expect(translated.length).toBeGreaterThan(10);
    const outside = translated.filter(([, port]) => port === 'external');
    expect(outside.length).toBeGreaterThan(0);
    for (const [comment, , source, direction] of outside) {
      expect(Number(direction)).toBe(2);
      expect(comment).toBe('translated');
      expect(source).toMatch(/^203\.0\.113\.(1[0-9]|2[0-9]|3[01])$/);
    }
  }, 60_000);

  test('of sessions of different shards, in the order of time', async () => {
    const { maxSessions } = (await gateway.json('GET', '/v1/config')).nat;
    const rows = rowsOfShard(maxSessions, shards);
    const flows = await gateway.lines('/v1/flows');
    const [between, outward] = ['vpc-to-vpc', 'vpc-to-external'].map((name) => {
      const { id, nat } = flows.find((flow) => flow.class === name);
      return { shard: Math.floor(Number.parseInt(id, 10) / rows), address: nat.address };
    });
    expect(between.shard === outward.shard).toBe(shards === 1);
    const found = fields(
      capture('--kind', 'translated', '--proto', 'tcp', '--packets', '1000', '--seconds', '20'),
      ...['frame.time_epoch', 'ip.src'],
    );
    const times = found.map(([seconds]) => seconds);
    expect(times).toEqual([...times].sort());
    const sources = new Set(found.map(([, source]) => source.split(',').at(-1)));
    expect(sources).toContain(between.address);
    expect([...sources].some((source) => source?.startsWith('203.0.113.'))).toBe(true);
  }, 60_000);

  test('one at a time; a reader that goes makes room for the next one', async () => {
    const path = '/v1/capture?kind=dropped&reason=too-big&seconds=3600';
    const asked = request({ socketPath: gateway.socket, path });
    asked.on('error', () => undefined);
    await new Promise((resolve) => asked.once('response', resolve).end());
    expect((await gateway.ask('GET', path)).status).toBe(429);
    asked.destroy();
    await until(5000, async () => {
      const { status } = await gateway.ask('GET', `${path.replace('3600', '0.1')}`);
      return status === 200;
    });
  }, 30_000);

  test.each([
    ['kind=all', 400],
    ['net=10.0.0.0/33', 400],
    ['reason=bad-luck', 400],
    ['seconds=0', 400],
    ['vpc=green', 404],
  ])('%s is refused', async (query, status) => {
    expect((await gateway.ask('GET', `/v1/capture?${query}`)).status).toBe(status);
  });

  test('nothing is left behind in the file but whole blocks', () => {
    const file = capture('--kind', 'dropped', '--reason', 'too-big', '--seconds', '1');
    expect(statSync(file).size % 4).toBe(0);
    expect(fields(file, 'frame.number')).toEqual([]);
  }, 30_000);
});
