import type { ReplayResult } from '../controller/replay.js';
import { installedRules } from '../controller/rule-print.js';
import { flowTable } from './flow-table.js';

const MOST_FLOWS = 20;
const SHOWN_RULES = 2;

/** What a person wants to see of a replay: who handled the packets, the flows, and some rules as a NIC gets them. */
export function replaySummary({ counters, flows, controllers }: ReplayResult): string {
  const ports = Object.entries(counters.ports);
  const received = ports.reduce((sum, [, port]) => sum + port.received, 0);
  const share = received === 0 ? 0 : (100 * counters.nic.packets) / received;
  const lines = [
    'Packets',
    ...ports.map(([name, port]) => `  ${name}: ${port.received} received, ${port.transmitted} transmitted`),
    `  the NIC finished ${counters.nic.packets} of ${received} alone (${share.toFixed(1)}%)`,
    `  the CPU saw ${counters.slowPath.packets}, of which ${counters.slowPath.misses} needed a decision`,
  ];
  const drops = Object.entries(counters.drops);
  if (drops.length > 0) {
    lines.push(`  not forwarded: ${drops.map(([reason, count]) => `${count} ${reason}`).join(', ')}`);
  }
  lines.push('', `Flows (${flows.length})`, indent(flowTable(flows.slice(0, MOST_FLOWS))));
  if (flows.length > MOST_FLOWS) lines.push(`  … ${flows.length - MOST_FLOWS} more: --flows FILE has them all`);
  const rules = sampleRules(controllers);
  if (rules.length > 0)
    lines.push(
      '',
      'Rules in the NIC, as testpmd commands (one flow, both directions)',
      ...rules.map((rule) => `  ${rule}`),
    );
  return lines.join('\n');
}

/** The rules of the first flow that has both its directions in the NIC, else of the first that has any. */
function sampleRules(controllers: ReplayResult['controllers']): string[] {
  let some: string[] = [];
  for (const controller of controllers) {
    const { sessions } = controller.engine;
    for (let row = 0; row < sessions.highWater; row++) {
      if (sessions.life(row) !== 1) continue;
      const rules = installedRules(controller, row);
      const created = rules.filter((line) => line.startsWith('flow create')).length;
      if (created >= SHOWN_RULES) return rules;
      if (some.length === 0) some = rules;
    }
  }
  return some;
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}
