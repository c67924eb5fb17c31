import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '../../src/config/index.js';
import { unsupportedParts } from '../../src/controller/supported.js';

const example = () =>
  JSON.parse(readFileSync(join(__dirname, '../nat/fixtures/two-gateways.json'), 'utf8')) as Record<string, unknown>;

function validated(change: Record<string, unknown>) {
  const result = parseConfig(JSON.stringify({ ...example(), ...change }), 'gateway.json');
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.config;
}

const service = {
  vpc: 'red',
  protocol: 'tcp',
  external: '203.0.113.12:80',
  backends: [{ private: '10.0.1.9:80', weight: 1 }],
};

test('what this version cannot do to packets is refused at its pointer, nothing else is', () => {
  expect(unsupportedParts(validated({}))).toEqual([]);
  expect(unsupportedParts(validated({ services: [service] })).map(({ path }) => path)).toEqual(['/services']);
});
