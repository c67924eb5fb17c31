// One process: the templates' registry of a gateway over two software NICs. node nic-probe.cjs TARGET PROFILE; the last
// line is JSON: what the start tried, what was told, and what became of each direction.
'use strict';
const { join } = require('node:path');

const root = join(__dirname, '../..');
const { loadBinding } = require(join(root, 'dist/src/native/binding.js'));
const { ealArguments } = require(join(root, 'dist/src/native/eal.js'));
const { TemplateRegistry } = require(join(root, 'dist/src/controller/templates.js'));
const { nativePorts } = require(join(root, 'dist/src/controller/native-ports.js'));
const { sampleConfig } = require(join(root, 'dist/src/cli/sample-shapes.js'));
const { natDirections } = require(join(root, 'dist/src/nat/directions.js'));

const [, , target, profile] = process.argv;
const binding = loadBinding(root);
binding.startEal(ealArguments(root, { memoryMb: 128, lcores: 1, pci: [] }));
const devices = [0, 1].map((number) => {
  binding.probeDevice(
    `net_softflow${number},wire=net_null${number}${profile === undefined ? '' : `,profile=${profile}`}`,
  );
  return `net_softflow${number}`;
});
const config = sampleConfig();
const dataplane = new binding.Dataplane({
  ports: nativePorts(config, devices).map((port) => ({ ...port, mtu: 1500 })),
  underlay: config.underlay,
  maxSessions: 64,
  maxHeld: 64,
  eventSlots: 64,
  decisionSlots: 64,
  replay: false,
});
const told = [];
const registry = new TemplateRegistry(config, dataplane, target);
registry.probesWith((rule, message) => told.push({ rule, message }));
registry.installStaticRules();
const before = dataplane.statistics().nicRules;
const start = registry.probeDirections();
const left = dataplane.statistics().nicRules - before;
const shapes = new Set(natDirections().map(({ shape }) => shape));
const reasons = [...shapes].map((shape) => registry.of(shape).refusal?.code ?? 'offloaded');
const toldByStart = told.length;
dataplane.close();
process.stdout.write(`${JSON.stringify({ start, left, toldByStart, told, reasons })}\n`);
process.exit(0);
