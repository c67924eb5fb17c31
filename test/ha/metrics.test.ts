import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { PairMetrics } from '../../src/ha/metrics.js';
import type { PairStatus } from '../../src/ha/status.js';

const STATUS: PairStatus = {
  node: 'a',
  bootId: 'x',
  group: 'g',
  role: 'active',
  failoverState: 'DONE',
  epoch: 7,
  lease: { holder: 'a', epoch: 7, leftMs: 850 },
  eligible: true,
  reasons: [],
  protection: 'DEGRADED',
  protectionReasons: [],
  peer: null,
  health: [{ check: 'redis', ok: false, since: 1, detail: '' }],
  sessions: 3,
  rulesInstalled: 6,
  applied: [],
  replay: [],
  mirror: null,
  phases: { VIP_ACQUIRED: 12 },
  lastTransition: null,
  shardsIncomplete: [],
  estimatedLost: 0,
  portBlocks: { own: 6, quarantined: 2, unreserved: 1 },
  configHash: '',
  pairConfigHash: '',
};

test('docs/ha.md has each metric of a pair with its type and labels, and no other', () => {
  const registry = new Registry();
  new PairMetrics(registry, () => STATUS);
  const page = readFileSync(join(__dirname, '../../docs/ha.md'), 'utf8');
  const documented = [...page.matchAll(/^\| `(sluice_ha_\w+)` \| (\w+) \|([^|]*)\|/gm)].map(
    ([, name, type, labels]) => `${name} ${type} ${labels.replace(/[` ]/g, '')}`,
  );
  const served = registry.getMetricsAsArray().map((metric) => {
    const { name, type, labelNames } = metric as unknown as { name: string; type: string; labelNames: string[] };
    return `${name} ${type} ${labelNames.join(',')}`;
  });
  expect(documented.sort()).toEqual(served.sort());
});

test('a scrape shows the status of that moment', async () => {
  const registry = new Registry();
  let status = STATUS;
  const metrics = new PairMetrics(registry, () => status);
  metrics.moved('START');
  const text = await registry.metrics();
  for (const line of [
    'sluice_ha_role{role="active"} 1',
    'sluice_ha_role{role="standby"} 0',
    'sluice_ha_failover_state{state="DONE"} 1',
    'sluice_ha_epoch 7',
    'sluice_ha_port_blocks{state="quarantined"} 2',
    'sluice_ha_lease_left_seconds 0.85',
    'sluice_ha_check_ok{check="redis"} 0',
    'sluice_ha_protection{protection="DEGRADED"} 1',
    'sluice_ha_takeover_seconds{state="VIP_ACQUIRED"} 0.012',
    'sluice_ha_transitions_total{to="START"} 1',
  ]) {
    expect(text).toContain(`${line}\n`);
  }
  status = { ...STATUS, role: 'standby', epoch: 8 };
  expect(await registry.metrics()).toContain('sluice_ha_epoch 8\n');
});
