import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayMetrics, type Measured } from '../../src/metrics/gateway-metrics.js';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const board: { panels: Panel[] } = JSON.parse(readFileSync(join(__dirname, '../../docs/grafana/sluice.json'), 'utf8'));
const { registry } = new GatewayMetrics({} as Measured);
const served = new Map(
  registry.getMetricsAsArray().map((metric) => {
    // Names of labels are no part of the library's public type.
    const { name, labelNames } = metric as unknown as { name: string; labelNames: string[] };
    return [name, labelNames];
  }),
);
const graphs = board.panels.filter(({ type }) => type === 'timeseries');

test('the board asks for metrics that there are, and tells them apart by labels that they have', () => {
  const asked = new Set<string>();
  for (const { title, targets = [] } of graphs) {
    expect([title, targets.length > 0]).toEqual([title, true]);
    for (const { expr, legendFormat } of targets) {
      // A histogram's buckets are its own.
      const names = [...expr.matchAll(/\b(sluice|nodejs|process)_\w+/g)].map(([name]) => name.replace(/_bucket$/, ''));
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) {
        expect([title, name, served.has(name)]).toEqual([title, name, true]);
        asked.add(name);
      }
      const labels = names.flatMap((name) => served.get(name) ?? []);
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        expect([title, labels]).toEqual([title, expect.arrayContaining([label])]);
      for (const [, label] of expr.matchAll(/[{,](\w+)=/g)) if (label !== 'instance') expect(labels).toContain(label);
    }
  }
  for (const what of [
    'sessions',
    'sessions_opened_total',
    'misses_total',
    'packets_total',
    'bytes_total',
    'first_packet_seconds',
    'drops_total',
  ]) {
    expect(asked).toContain(`sluice_${what}`);
  }
  for (const what of ['nic_rules', 'nic_rule_failures_total', 'nic_rule_inserts_total', 'pool_ports_owned'])
    expect(asked).toContain(`sluice_${what}`);
});

test('counters are asked for as rates, gauges as they are', () => {
  for (const { targets = [] } of graphs) {
    for (const { expr } of targets) {
      for (const [, before, name] of expr.matchAll(/(rate\()?\b(sluice_\w+)/g)) {
        expect([name, before !== undefined]).toEqual([name, /_(total|bucket)$/.test(name)]);
      }
    }
  }
});

test('panels have ids of their own and do not lie on each other', () => {
  expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
  const taken = new Set<string>();
  for (const { title, gridPos } of board.panels) {
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect([title, taken.has(`${x} ${y}`)]).toEqual([title, false]);
        taken.add(`${x} ${y}`);
      }
    }
  }
});
