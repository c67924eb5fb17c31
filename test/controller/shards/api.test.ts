import { RunningGateway, until } from '../api/running-gateway.js';

const gateway = new RunningGateway();

beforeAll(async () => {
  await gateway.start(() => undefined, ['--shards', '2']);
  // Packets are counted as they come, sessions a moment later.
  await until(20_000, async () => (await gateway.lines('/v1/flows')).length > 5);
});
afterAll(() => gateway.stop());

test('what one engine alone cannot do is refused by name, and nothing has changed', async () => {
  const before = await gateway.json('GET', '/v1/config');
  const refused: [string, string, object?][] = [
    ['POST', '/v1/config/reload'],
    ['POST', '/v1/rules/reconcile'],
    ['GET', '/v1/capture'],
    ['POST', '/v1/static-bindings', { vpc: 'red', private: '10.0.1.9', external: '203.0.113.12' }],
    ['DELETE', '/v1/vteps/172.30.0.11'],
  ];
  for (const [method, path, body] of refused) {
    const { status, text } = await gateway.ask(method, path, body);
    expect([path, status]).toEqual([path, 501]);
    expect(JSON.parse(text)).toEqual({ error: 'shards', message: expect.stringMatching(/--shards 1/) });
  }
  expect(await gateway.json('GET', '/v1/config')).toEqual(before);
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

test('what moves is watched in all engines, and what ends is counted in all', async () => {
  const { flows, top } = await gateway.json('GET', '/v1/top?seconds=0.1');
  const { sessions } = await gateway.json('GET', '/v1/status');
  expect(flows).toBe(sessions);
  expect(top).toEqual([]);
  const red = (await gateway.lines('/v1/vpcs/red/flows')).length;
  expect(await gateway.json('DELETE', '/v1/flows?filter=vpc+red')).toEqual({ ended: red });
  await until(20_000, async () => (await gateway.lines('/v1/vpcs/red/flows')).length === 0);
  const vpcs = await gateway.json('GET', '/v1/vpcs');
  expect(vpcs.map(({ name, opened }: { name: string; opened: number }) => [name, opened])).toContainEqual(['red', red]);
});
