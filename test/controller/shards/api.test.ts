import { readFileSync, writeFileSync } from 'node:fs';
import { RunningGateway, until } from '../api/running-gateway.js';

const gateway = new RunningGateway();
/** Sessions of red. */
let opened = 0;

beforeAll(async () => {
  await gateway.start(() => undefined, ['--shards', '2']);
  // Packets are counted as they come, sessions a moment later.
  await until(20_000, async () => (await gateway.lines('/v1/flows')).length > 5);
  opened = (await gateway.lines('/v1/vpcs/red/flows')).length;
});
afterAll(() => gateway.stop());

test('rules of the NICs are compared with what all engines say', async () => {
  // Those of flows that have just come may be under way.
  const repaired = await gateway.json('POST', '/v1/rules/reconcile', {});
  expect(Object.keys(repaired)).toEqual(['fabric', 'external']);
  const { nicRules } = await gateway.json('GET', '/v1/status');
  const rules = Object.values(repaired) as { installed: number }[];
  for (const one of rules) expect(one).toEqual({ installed: expect.any(Number), stale: 0, missing: 0, failed: 0 });
  expect(nicRules).toBeGreaterThan(0);
  expect(rules.reduce((sum, { installed }) => sum + installed, 0)).toBeGreaterThan(nicRules);
  expect(await gateway.json('GET', '/v1/config/diff')).toEqual({ changes: [], faults: [] });
});

test('bad requests are refused as with one engine', async () => {
  const answers: [string, number, string][] = [
    ['/v1/flows?filter=vpc', 400, 'filter'],
    ['/v1/flows?sort=bytes&limit=20000', 400, 'invalid'],
    ['/v1/flows?sort=bytes&after=1.1', 400, 'invalid'],
    ['/v1/flows?limit=none', 400, 'invalid'],
    ['/v1/flows/99999999.1', 404, 'unknown'],
    ['/v1/flows/5.9', 404, 'unknown'],
    ['/v1/vpcs/nobody/flows', 404, 'unknown'],
    ['/v1/targets/none', 404, 'unknown'],
    ['/v1/nothing', 404, 'unknown'],
    ['/v1/mirror', 404, 'unknown'],
  ];
  for (const [path, status, error] of answers) {
    const answer = await gateway.ask('GET', path);
    expect([path, answer.status, JSON.parse(answer.text).error]).toEqual([path, status, error]);
  }
});

test('each flow is found where its id and its packets lead', async () => {
  const flows = await gateway.lines('/v1/flows');
  expect(flows.length).toBeGreaterThan(5);
  // Both engines have some: numbers of the second one's rows begin behind the first one's.
  const rows = flows.map(({ id }) => Number.parseInt(id, 10));
  expect(Math.max(...rows) - Math.min(...rows)).toBeGreaterThan(1000);
  for (const flow of flows) {
    expect(await gateway.json('GET', `/v1/flows/${flow.id}`)).toMatchObject({ id: flow.id, inside: flow.inside });
    expect(await gateway.json('GET', `/v1/flows/${flow.id}/trace`)).toMatchObject({ flow: flow.id });
    if (flow.class === 'external-to-vpc') continue;
    const { protocol, inside, remote } = flow;
    const { flow: found } = await gateway.json('POST', '/v1/trace', {
      vpc: flow.vpc,
      protocol,
      source: inside.address,
      sourcePort: inside.port,
      destination: remote.address,
      destinationPort: remote.port,
      tcpFlags: ['ack'],
    });
    expect(found).toBe(flow.id);
  }
  for (const name of ['red', 'blue']) {
    const own = await gateway.lines(`/v1/vpcs/${name}/flows`);
    expect(own.map(({ id }) => id)).toEqual(flows.filter(({ vpc }) => vpc === name).map(({ id }) => id));
  }
  const filtered = await gateway.lines('/v1/flows?filter=proto+udp&sort=bytes&order=asc');
  expect(filtered).toHaveLength(flows.filter(({ protocol }) => protocol === 'udp').length);
});

/** What a flow has, whatever it has counted. */
function endsOf({ id, vpc, protocol, inside, nat, remote }: Record<string, unknown>): string {
  return JSON.stringify({ id, vpc, protocol, inside, nat, remote });
}

test('a configuration that changes is followed by all engines: sessions that it allows go on where they are, others end', async () => {
  const before = (await gateway.lines('/v1/flows')).map(endsOf);
  // Over an endpoint that a dynamic mapping of the other VPC has just now, and beside it.
  const dynamic = (await gateway.lines('/v1/flows?filter=vpc+red+and+proto+udp')).find(
    (flow) => flow.class === 'vpc-to-external' && flow.nat.port > 1024,
  );
  const external = `${dynamic.nat.address}:${dynamic.nat.port}`;
  for (const binding of [
    { vpc: 'blue', protocol: 'udp', private: '10.0.2.77:53', external },
    { vpc: 'blue', private: '10.0.2.78', external: '203.0.113.13' },
  ]) {
    const { sessions } = await gateway.json('POST', '/v1/static-bindings', binding);
    expect(sessions).toEqual({ kept: before.length, updated: 0, ended: 0 });
    expect(await gateway.json('GET', '/v1/static-bindings')).toContainEqual(binding);
  }
  expect((await gateway.lines('/v1/flows')).map(endsOf)).toEqual(before);
  // A packet of the session is found where it was opened, one of nobody leads to the new host.
  const reply = {
    port: 'external',
    protocol: 'udp',
    destination: dynamic.nat.address,
    destinationPort: dynamic.nat.port,
  };
  const from = (address: string, port: number) => ({ ...reply, source: address, sourcePort: port });
  const { address, port } = dynamic.remote;
  expect((await gateway.json('POST', '/v1/trace', from(address, port))).flow).toBe(dynamic.id);
  const told = await gateway.json('POST', '/v1/trace', from('198.51.100.77', 7));
  expect([told.flow, JSON.stringify(told).includes('10.0.2.77')]).toEqual([null, true]);
  // The file is as it was: a reload takes both bindings back, and what they stood over is the mapping's again.
  const reloaded = await gateway.json('POST', '/v1/config/reload');
  expect(reloaded.sessions).toEqual({ kept: before.length, updated: 0, ended: 0 });
  expect((await gateway.json('GET', '/v1/config')).staticBindings).not.toContainEqual(
    expect.objectContaining({ external }),
  );
  expect((await gateway.lines('/v1/flows')).map(endsOf)).toEqual(before);
});

test('what cannot change is refused by its path and nothing has changed; SIGHUP follows the file', async () => {
  const document = JSON.parse(readFileSync(gateway.file, 'utf8'));
  const before = (await gateway.lines('/v1/flows')).map(endsOf);
  writeFileSync(gateway.file, JSON.stringify({ ...document, nat: { ...document.nat, maxSessions: 77 } }));
  const refused = await gateway.ask('POST', '/v1/config/reload');
  expect([refused.status, refused.text.includes('/nat/maxSessions')]).toEqual([422, true]);
  expect((await gateway.lines('/v1/flows')).map(endsOf)).toEqual(before);
  // Without the blue VPC its sessions end, in whichever engine they are.
  const vpcs = document.vpcs.filter(({ name }: { name: string }) => name !== 'blue');
  const isLeft = (part: { vpc?: string; vpcs?: string[] }) => part.vpc !== 'blue' && !part.vpcs?.includes('blue');
  const left = Object.fromEntries(
    ['peerings', 'peeringPools', 'staticBindings', 'bypass', 'services', 'twiceNatPools'].map((name) => [
      name,
      document[name]?.filter(isLeft),
    ]),
  );
  const externalPools = document.externalPools.map((pool: { vpcs: string[] }) => ({
    ...pool,
    vpcs: pool.vpcs.filter((name) => name !== 'blue'),
  }));
  writeFileSync(gateway.file, JSON.stringify({ ...document, ...left, externalPools, vpcs }));
  process.kill(gateway.pid, 'SIGHUP');
  await until(20_000, () => gateway.log.includes('new configuration is in force'));
  await until(20_000, async () => (await gateway.lines('/v1/flows')).every(({ vpc }) => vpc === 'red'));
  const after = new Set((await gateway.lines('/v1/flows')).map(endsOf));
  expect(after.size).toBeGreaterThan(0);
  expect([...after].every((flow) => before.includes(flow))).toBe(true);
  const blue = (await gateway.json('GET', '/v1/vpcs')).find(({ name }: { name: string }) => name === 'blue');
  expect(blue).toBeUndefined();
  // And back: it is another VPC of the same name.
  writeFileSync(gateway.file, JSON.stringify(document));
  expect((await gateway.json('POST', '/v1/config/reload')).sessions.ended).toBe(0);
  expect((await gateway.json('GET', '/v1/vpcs')).map(({ name }: { name: string }) => name)).toContain('blue');
});

test('what moves is watched in all engines, and what ends is counted in all', async () => {
  const { flows, top } = await gateway.json('GET', '/v1/top?seconds=0.1');
  const { sessions } = await gateway.json('GET', '/v1/status');
  expect(flows).toBe(sessions);
  expect(top).toEqual([]);
  const live = (await gateway.lines('/v1/vpcs/red/flows')).length;
  expect(await gateway.json('DELETE', '/v1/flows?filter=vpc+red')).toEqual({ ended: live });
  await until(20_000, async () => (await gateway.lines('/v1/vpcs/red/flows')).length === 0);
  const vpcs = await gateway.json('GET', '/v1/vpcs');
  const red = vpcs.find(({ name }: { name: string }) => name === 'red');
  expect([red.sessions, red.opened]).toEqual([0, opened]);
});
