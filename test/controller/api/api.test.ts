import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import { openApiDescription } from '../../../src/controller/api/index.js';
import { ROOT, RunningGateway, until } from './running-gateway.js';

const DESCRIPTION = join(ROOT, 'schemas/control-api.json');

// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
type Description = any;

/** Checks an answer against what the description says of it. */
class Described {
  private readonly ajv = new Ajv2020({ strict: false });

  constructor(private readonly description: Description) {
    this.ajv.addSchema(description, 'api');
  }

  expect(method: string, path: string, status: number, type: string, value: unknown): void {
    const responses = this.description.paths[path]?.[method.toLowerCase()]?.responses;
    const own = responses?.[String(status)] !== undefined ? String(status) : `${String(status)[0]}XX`;
    const at = `#/paths/${path.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${own}/content/${type.replace('/', '~1')}/schema`;
    const validate = this.ajv.getSchema(`api${at.replaceAll('{', '%7B').replaceAll('}', '%7D')}`);
    if (validate === undefined) throw new Error(`the description has no ${at}`);
    expect([method, path, validate(value), validate.errors]).toEqual([method, path, true, null]);
  }
}

test('schemas/control-api.json is what the routes say; UPDATE_GOLDEN=1 writes it', async () => {
  const text = `${JSON.stringify(await openApiDescription(), null, 2)}\n`;
  if (process.env.UPDATE_GOLDEN === '1' && process.env.CI !== 'true') writeFileSync(DESCRIPTION, text);
  if (!existsSync(DESCRIPTION)) throw new Error('missing: UPDATE_GOLDEN=1 writes it');
  expect(text).toBe(readFileSync(DESCRIPTION, 'utf8'));
});

describe('a running gateway', () => {
  const gateway = new RunningGateway();
  let described: Described;

  beforeAll(async () => {
    described = new Described(await openApiDescription());
    await gateway.start();
  });
  afterAll(() => gateway.stop());

  test('only its owner and group may use the socket', () => {
    expect(statSync(gateway.socket).mode & 0o777).toBe(0o660);
  });

  test('serves the description that is committed', async () => {
    expect(await gateway.json('GET', '/v1/openapi.json')).toEqual(JSON.parse(readFileSync(DESCRIPTION, 'utf8')));
  });

  test.each([
    ['/v1/status', '/v1/status'],
    ['/v1/counters', '/v1/counters'],
    ['/v1/vpcs', '/v1/vpcs'],
    ['/v1/pools', '/v1/pools'],
    ['/v1/drops', '/v1/drops?seconds=300&packets=1000'],
    ['/v1/targets', '/v1/targets'],
    ['/v1/targets/{name}', '/v1/targets/softflow'],
    ['/v1/holders', '/v1/holders?address=203.0.113.10&port=1'],
    ['/v1/config', '/v1/config'],
    ['/v1/config/diff', '/v1/config/diff'],
    ['/v1/static-bindings', '/v1/static-bindings'],
    ['/v1/vteps', '/v1/vteps'],
    ['/v1/vpcs/{name}/routes', '/v1/vpcs/red/routes'],
    ['/v1/top', '/v1/top?seconds=0.1'],
  ])('%s answers as described', async (path, asked) => {
    const { status, type, text } = await gateway.ask('GET', asked);
    expect(status).toBe(200);
    described.expect('GET', path, status, type.split(';')[0], JSON.parse(text));
  });

  test('flows come one a line, each as described, with every packet of the captures', async () => {
    const flows = await gateway.lines('/v1/flows');
    expect(flows.length).toBe(10);
    for (const flow of flows) described.expect('GET', '/v1/flows', 200, 'application/x-ndjson', flow);
    const packets = flows.reduce((sum, { forward, reverse }) => sum + forward.packets + reverse.packets, 0);
    const { drops } = await gateway.json('GET', '/v1/counters');
    const notOfFlows = Object.values(drops as Record<string, number>).reduce((sum, count) => sum + count, 0);
    // One ping of the gateway itself is answered and is no drop.
    expect(packets + notOfFlows).toBeGreaterThan(2500);
  });

  test('pages follow each other without gap or repetition', async () => {
    const all = (await gateway.lines('/v1/flows')).map(({ id }) => id);
    const paged: string[] = [];
    for (let after = ''; ; after = `&after=${paged.at(-1)}`) {
      const page = await gateway.lines(`/v1/flows?limit=3${after}`);
      paged.push(...page.map(({ id }) => id));
      if (page.length < 3) break;
    }
    expect(paged).toEqual(all);
  });

  test('a sorted list has the largest first, and goes on by offset', async () => {
    const bytes = ({ forward, reverse }: { forward: { bytes: number }; reverse: { bytes: number } }) =>
      forward.bytes + reverse.bytes;
    const all = (await gateway.lines('/v1/flows')).map(bytes).sort((a, b) => b - a);
    expect((await gateway.lines('/v1/flows?sort=bytes&limit=4')).map(bytes)).toEqual(all.slice(0, 4));
    expect((await gateway.lines('/v1/flows?sort=bytes&limit=4&offset=4')).map(bytes)).toEqual(all.slice(4, 8));
    const least = (await gateway.lines('/v1/flows?sort=bytes&order=asc&limit=2')).map(bytes);
    expect(least).toEqual(all.slice(-2).reverse());
  });

  test('flows of a VPC are those and no others', async () => {
    const all = await gateway.lines('/v1/flows');
    const blue = await gateway.lines('/v1/vpcs/blue/flows?filter=proto+udp');
    expect(blue).toHaveLength(all.filter(({ vpc, protocol }) => vpc === 'blue' && protocol === 'udp').length);
    expect((await gateway.ask('GET', '/v1/vpcs/grey/flows')).status).toBe(404);
  });

  test('one flow, and why it is where it is', async () => {
    const [icmp] = await gateway.lines('/v1/flows?filter=proto+icmp');
    const one = await gateway.json('GET', `/v1/flows/${icmp.id}`);
    expect(one.inside).toEqual(icmp.inside);
    const trace = await gateway.json('GET', `/v1/flows/${icmp.id}/trace`);
    described.expect('GET', '/v1/flows/{id}/trace', 200, 'application/json', trace);
    expect(trace.directions[0]).toMatchObject({ path: 'software', reason: 'icmp-in-software' });
    expect((await gateway.ask('GET', '/v1/flows/99999.1')).status).toBe(404);
    expect((await gateway.ask('GET', `/v1/flows/${icmp.id.split('.')[0]}.77`)).status).toBe(404);
  });

  test('a packet of a flow is traced to it, and to where it goes', async () => {
    const [flow] = await gateway.lines('/v1/flows?filter=proto+udp+and+vpc+red');
    const { inside, remote } = flow;
    const packet = {
      vpc: 'red',
      protocol: 'udp',
      source: inside.address,
      sourcePort: inside.port,
      destination: remote.address,
      destinationPort: remote.port,
    };
    const trace = await gateway.json('POST', '/v1/trace', packet);
    described.expect('POST', '/v1/trace', 200, 'application/json', trace);
    expect(trace).toMatchObject({ verdict: 'session', flow: flow.id });
    expect(trace.directions[0].path).toBe('offloaded');
    const stranger = await gateway.json('POST', '/v1/trace', { ...packet, source: '10.9.9.9' });
    expect(stranger).toMatchObject({ verdict: 'drop', reason: 'source-not-in-vpc' });
    expect(await gateway.lines('/v1/flows')).toHaveLength(10);
  });

  test('who holds a public endpoint', async () => {
    const [flow] = await gateway.lines('/v1/flows?filter=proto+tcp+and+class+vpc-to-external+and+vpc+red');
    const { holders, pools } = await gateway.json(
      'GET',
      `/v1/holders?address=${flow.nat.address}&port=${flow.nat.port}`,
    );
    expect(pools).toEqual(['internet']);
    expect(holders).toMatchObject([{ kind: 'dynamic', protocol: 'tcp', vpc: 'red', inside: flow.inside }]);
    const mapped = await gateway.json('GET', '/v1/holders?address=203.0.113.11&port=80');
    expect(mapped.holders).toMatchObject([
      { kind: 'static', protocol: 'tcp', inside: { address: '10.0.1.6', port: 8080 } },
    ]);
  });

  test('drops of the last minute are those of the counters, with the packets that were refused', async () => {
    const { last, total, packets } = await gateway.json('GET', '/v1/drops?seconds=300&packets=100');
    const { drops } = await gateway.json('GET', '/v1/counters');
    const { local: _, ...dropped } = drops;
    expect(total).toEqual(dropped);
    expect(last).toEqual(dropped);
    const refused = packets.map(({ reason }: { reason: string }) => reason).sort();
    expect(refused).toEqual(['filtered', 'no-binding', 'not-for-us', 'not-syn', 'ttl-expired', 'unknown-vni']);
  });

  test('a static binding, a VTEP and a route are added and removed as a change of the configuration', async () => {
    const binding = { vpc: 'red', private: '10.0.1.9', external: '203.0.113.12' };
    const added = await gateway.json('POST', '/v1/static-bindings', binding);
    described.expect('POST', '/v1/static-bindings', 200, 'application/json', added);
    expect(added.changes).toEqual([{ op: 'add', path: '/staticBindings/3', to: binding }]);
    const held = await gateway.json('GET', '/v1/holders?address=203.0.113.12&port=9');
    expect(held.holders).toMatchObject([{ kind: 'static', inside: { address: '10.0.1.9', port: 9 } }]);
    const vtep = { address: '172.30.0.13', mac: '02:00:00:00:00:13' };
    await gateway.json('PUT', '/v1/vteps/172.30.0.13', { mac: vtep.mac });
    const route = { prefix: '10.0.1.128/25', vtep: '172.30.0.13', mac: '02:00:00:01:00:13' };
    await gateway.json('POST', '/v1/vpcs/red/routes', route);
    const { changes } = await gateway.json('GET', '/v1/config/diff');
    expect(changes).toEqual([
      { op: 'remove', path: '/vteps/2', from: vtep },
      { op: 'remove', path: '/vpcs/0/routes/1', from: route },
      { op: 'remove', path: '/staticBindings/3', from: binding },
    ]);
    const way = await gateway.json('POST', '/v1/trace', {
      vpc: 'red',
      protocol: 'udp',
      source: '10.0.1.200',
      destination: '192.0.2.1',
    });
    expect(JSON.stringify(way.stages)).toContain('VTEP 172.30.0.13');
    await gateway.json('DELETE', '/v1/static-bindings?external=203.0.113.12');
    await gateway.json('DELETE', '/v1/vpcs/red/routes?prefix=10.0.1.128/25');
    await gateway.json('DELETE', '/v1/vteps/172.30.0.13');
    expect(await gateway.json('GET', '/v1/config/diff')).toEqual({ changes: [], faults: [] });
    expect((await gateway.ask('DELETE', '/v1/static-bindings?external=203.0.113.12')).status).toBe(404);
    expect((await gateway.ask('DELETE', '/v1/static-bindings?vpc=red')).status).toBe(409);
  });

  test('what the configuration refuses is refused with each fault and its place, and changes nothing', async () => {
    const before = await gateway.json('GET', '/v1/config');
    const refused = await gateway.ask('POST', '/v1/static-bindings', {
      vpc: 'red',
      private: '10.77.0.1',
      external: '203.0.113.10',
    });
    expect(refused.status).toBe(422);
    const { faults } = JSON.parse(refused.text);
    expect(faults.map(({ path }: { path: string }) => path)).toEqual([
      '/staticBindings/3/private',
      '/staticBindings/3/external',
    ]);
    const compared = await gateway.json('POST', '/v1/config/diff', { ...before, name: 'other' });
    described.expect('POST', '/v1/config/diff', 200, 'application/json', compared);
    expect(compared.faults).toMatchObject([{ path: '/name', message: 'cannot change while the gateway runs' }]);
    expect(await gateway.json('GET', '/v1/config')).toEqual(before);
  });

  test('the file is followed when asked for, as by SIGHUP', async () => {
    const document = JSON.parse(readFileSync(gateway.file, 'utf8'));
    document.log = { level: 'debug' };
    writeFileSync(gateway.file, JSON.stringify(document));
    const { changes, sessions } = await gateway.json('POST', '/v1/config/reload');
    expect(changes).toEqual([{ op: 'replace', path: '/log/level', from: 'info', to: 'debug' }]);
    expect(sessions).toEqual({ kept: 10, updated: 0, ended: 0 });
    writeFileSync(gateway.file, '{');
    expect((await gateway.ask('POST', '/v1/config/reload')).status).toBe(422);
    writeFileSync(gateway.file, JSON.stringify(document));
  });

  test('the NIC has the rules that it should have, and somebody who asks is told so', async () => {
    const { status, type, text } = await gateway.ask('POST', '/v1/rules/reconcile', {});
    const found = JSON.parse(text);
    described.expect('POST', '/v1/rules/reconcile', status, type.split(';')[0], found);
    expect(status).toBe(200);
    for (const port of ['fabric', 'external']) {
      expect(found[port]).toMatchObject({ stale: 0, missing: 0, failed: 0 });
      expect(found[port].installed).toBeGreaterThan(5);
    }
    const run = spawnSync(join(ROOT, 'bin/sluice'), ['reconcile', '--socket', gateway.socket], { encoding: 'utf8' });
    expect(run.stdout).toMatch(/^fabric: [0-9]+ rules, all as they should be\nexternal: [0-9]+ rules, all/);
  });

  test('flows are cleared by filter, with their rules', async () => {
    const blue = (await gateway.lines('/v1/flows?filter=vpc+blue')).length;
    expect((await gateway.ask('DELETE', '/v1/flows')).status).toBe(400);
    expect(await gateway.json('DELETE', '/v1/flows?filter=vpc+blue')).toEqual({ ended: blue });
    expect(await gateway.lines('/v1/flows?filter=vpc+blue')).toHaveLength(0);
    await until(5000, async () => (await gateway.json('GET', '/v1/status')).sessions === 10 - blue);
    const { nicRules } = await gateway.json('GET', '/v1/status');
    const { text } = await gateway.ask('GET', '/v1/rules');
    expect(text.match(/^(?:# )?flow create /gm)).toHaveLength(nicRules);
  });
});
