import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '../../src/config/load';
import type { ValidatedConfig } from '../../src/config/types';
import { announcements, withVirtualMac } from '../../src/ha/addresses';
import { firstPairSettings, fixedChanges, loadPairSettings, readPairSettings } from '../../src/ha/settings';

function config(ha: Record<string, unknown> = {}): ValidatedConfig {
  const text = readFileSync(join(__dirname, '../config/fixtures/gateway.json'), 'utf8');
  const document = JSON.parse(text) as { ha: Record<string, unknown> };
  document.ha = { group: 'g1', ...ha };
  const result = parseConfig(JSON.stringify(document), '/etc/sluice/gateway.json');
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.config;
}

function settings(text: string, ha: Record<string, unknown> = {}) {
  const result = readPairSettings(text, config(ha));
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.settings;
}

function faults(text: string, ha: Record<string, unknown> = {}): string[] {
  const result = readPairSettings(text, config(ha));
  return result.ok ? [] : result.faults.map(({ path, message }) => `${path} ${message}`);
}

test('what_is_left_out_follows_from_the_lease', () => {
  expect(settings('{"schema":1}')).toMatchObject({
    renewMs: 200,
    marginMs: 100,
    epochFile: '/etc/sluice/sluice-g1.epoch',
    peer: null,
    onIsolation: 'fence',
    preempt: false,
    announce: { times: 10, intervalMs: 10 },
  });
  expect(settings('{"schema":1}', { leaseMs: 300 })).toMatchObject({ renewMs: 60, marginMs: 30 });
});

test('a_bad_file_is_refused_with_all_its_faults_at_their_places', () => {
  expect(faults('{')[0]).toContain('line 1');
  expect(faults('{}')).toEqual(['/schema is missing']);
  const wrong = '{"schema":1,"renewMs":"fast","preemt":true,"peer":{"listen":"10.0.0.1:1"}}';
  const found = faults(wrong).join('\n');
  for (const part of ['/renewMs must be', '/preemt is not a known field', '/peer/address is missing'])
    expect(found).toContain(part);
  expect(faults('{"schema":1,"peer":{"listen":"10.0.0.1:99999","address":"1.2.3:4"}}')).toHaveLength(2);
  expect(faults('{"schema":1,"renewMs":950}')[0]).toContain('leave nothing of ha.leaseMs');
  expect(faults('{"schema":1,"probe":{"vpc":"pink"}}')).toEqual(['/probe/vpc there is no VPC "pink"']);
  expect(faults('{"schema":2}')).toHaveLength(1);
});

test.each([
  '{',
  '{}',
  '{"schema":2}',
  '{"schema":1,"renewMs":"fast","preemt":true,"hook":{"command":"on-change"}}',
  '{"schema":1,"renewMs":4,"holdDownMs":86400001,"onIsolation":"stay","peer":{}}',
  '{"schema":1,"peer":{"listen":"10.0.0.1:99999","address":"10.0.0.300:1"}}',
  '{"schema":1,"probe":{"source":"10.0.0","destination":"1.2.3.4.5","vpc":"pink"}}',
])('every_fault_has_a_remedy: %s', (text) => {
  const result = readPairSettings(text, config());
  const found = result.ok ? [] : result.faults;
  expect(found).not.toHaveLength(0);
  expect(found.filter(({ hint }) => hint === '')).toEqual([]);
});

test('a_missing_file_is_refused_with_what_would_do', () => {
  const missing = loadPairSettings(config({ configFile: '/nowhere/ha_config.json' }));
  expect(missing.ok ? [] : missing.faults.map(({ hint }) => hint)).toEqual([expect.stringContaining('{"schema": 1}')]);
});

test('a_gateway_that_starts_without_its_file_has_the_defaults_and_a_name_of_its_own', () => {
  const first = firstPairSettings(config({ configFile: '/nowhere/ha_config.json' }));
  if (!first.ok) throw new Error(JSON.stringify(first.faults));
  expect(first.missing).toBe(true);
  const ofNothing = createHash('sha256').digest('hex');
  expect(first.settings).toEqual({ ...settings('{"schema":1}'), hash: ofNothing });
  expect(first.settings.node).toMatch(/-[0-9a-f]{6}$/);
});

test('who_a_gateway_is_cannot_change_while_it_runs', () => {
  const old = settings('{"schema":1,"node":"a"}');
  expect(fixedChanges(old, settings('{"schema":1,"node":"b"}')).map(({ path }) => path)).toEqual(['/node']);
  expect(fixedChanges(old, settings('{"schema":1,"node":"a","holdDownMs":5}'))).toEqual([]);
});

test('with_a_virtual_mac_both_sides_have_it', () => {
  const mac = '02:00:5e:00:01:07';
  const virtual = withVirtualMac(config({ virtualMac: mac }));
  const expected = 0x02005e000107;
  expect(virtual.underlay.mac).toBe(expected);
  expect(virtual.ports.map((port) => port.mac)).toEqual(virtual.ports.map(() => expected));
  const plain = config();
  expect(withVirtualMac(plain)).toBe(plain);
});

test('announced_are_the_vtep_the_own_address_and_what_is_on_the_link_once_each', () => {
  const list = announcements(config());
  const texts = list.map(
    ({ port, address }) => `${port} ${[24, 16, 8, 0].map((bits) => (address >>> bits) & 255).join('.')}`,
  );
  expect(texts.slice(0, 2)).toEqual(['0 172.30.0.1', '1 203.0.113.1']);
  expect(new Set(texts).size).toBe(texts.length);
  for (const own of ['203.0.113.10', '203.0.113.11', '203.0.113.16', '203.0.113.31'])
    expect(texts).toContain(`1 ${own}`);
  expect(texts.filter((text) => text.startsWith('1 ')).every((text) => text.startsWith('1 203.0.113.'))).toBe(true);
});
