import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.js';
import { emptyClassification } from '../../src/nat/classify.js';
import { OwnAnswers } from '../../src/nat/own-answers.js';
import { emptyPacket } from '../../src/nat/packet.js';
import type { DecisionSink } from '../../src/nat/sink.js';
import { Topology } from '../../src/nat/topology.js';
import { DropReason } from '../../src/native/records.js';

const result = loadConfig(join(__dirname, 'fixtures/two-gateways.json'));
if (!result.ok) throw new Error(JSON.stringify(result.faults));
const { config } = result;

/** What is decided about one packet that is too big. */
function decided(port: number, sourceVpc: number, source: number): string[] {
  const said: string[] = [];
  const sink = new Proxy({} as DecisionSink, {
    get: (_, name) => (hold: number) => said.push(`${String(name)} ${hold}`),
  });
  const packet = Object.assign(emptyPacket(), { port, source, hold: 7 });
  const c = Object.assign(emptyClassification(), { sourceVpc });
  new OwnAnswers(new Topology(config), sink, () => false).tellSender(packet, c, DropReason.tooBig, 3, 4, 1400);
  return said;
}

test('the sender of a packet is told on the side that it came from', () => {
  expect(decided(config.fabricPort, 0, config.vpcs[0].subnets[0].address + 7)).toEqual(['icmpError 7']);
  expect(decided(config.externalPort, -1, 0xc6336407)).toEqual(['icmpError 7']);
});

test('a packet whose VPC has left the configuration while it waited is dropped, and nobody is told', () => {
  expect(decided(config.fabricPort, -1, 0x0a000107)).toEqual(['drop 7']);
});
