import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayMetrics, type Measured } from '../../src/metrics/gateway-metrics.js';

const page = readFileSync(join(__dirname, '../../docs/metrics.md'), 'utf8');

interface Documented {
  readonly name: string;
  readonly type: string;
  readonly labels: string;
}

/** Rows `| name | type | labels | …`; "as above" is the row's before. */
function documented(): Documented[] {
  const rows: Documented[] = [];
  for (const [, name, type, labels] of page.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/gm)) {
    const shown = labels.trim() === 'as above' ? rows[rows.length - 1].labels : labels.replace(/[` ]/g, '');
    rows.push({ name, type, labels: shown });
  }
  return rows;
}

test('docs/metrics.md has each metric of the gateway with its type and labels, and no other', () => {
  const { registry } = new GatewayMetrics({} as Measured);
  const served = registry.getMetricsAsArray().map((metric) => {
    // Names of labels are no part of the library's public type.
    const { name, type, labelNames } = metric as unknown as { name: string; type: string; labelNames: string[] };
    return { name, type, labels: labelNames.filter((label) => label !== 'le').join(',') };
  });
  const rows = documented();
  const own = ({ name }: Documented) => name.startsWith('sluice_');
  const byName = (a: Documented, b: Documented) => (a.name < b.name ? -1 : 1);
  expect(rows.filter(own).sort(byName)).toEqual(served.filter(own).sort(byName));
  for (const row of rows) expect(served.map(({ name }) => name)).toContain(row.name);
});
