import { printTestpmd } from '../compiler/print-testpmd.js';
import { writeArguments } from '../nat/arguments.js';
import { type Egress, emptyEgress, resolveEgress } from '../nat/egress.js';
import { emptyFacts } from '../nat/session-table.js';
import { idleSeconds } from '../nat/session-timers.js';
import { FlowArguments, RulePath, SessionRow } from '../native/records.js';
import type { GatewayController } from './gateway.js';

/** @returns testpmd commands of the rules that a session has in the NIC, forward first; none where it has none. */
export function installedRules(controller: GatewayController, row: number): string[] {
  const { engine, rows, templates } = controller;
  const lines: string[] = [];
  const view = new DataView(new ArrayBuffer(FlowArguments.size));
  const facts = emptyFacts();
  engine.sessions.read(row, facts);
  const shapes = engine.sessions.shapes(row);
  for (const reverse of [false, true]) {
    const path = rows.byte(row, reverse ? SessionRow.reversePath : SessionRow.forwardPath);
    const { nicTemplate } = templates.of(reverse ? shapes >>> 16 : shapes & 0xffff);
    if (path !== RulePath.offloaded || nicTemplate === null) continue;
    const egress: Egress = emptyEgress();
    const context = reverse ? facts.forwardContext : facts.reverseContext;
    const address = reverse ? facts.forwardSource : facts.translatedDestination;
    resolveEgress(engine.topology, context, address, egress);
    const tcpState = rows.byte(row, SessionRow.tcpState);
    const age = idleSeconds(controller.config.nat.timeouts, facts.protocol, tcpState);
    writeArguments(new Int32Array(view.buffer), 0, facts, reverse, egress, age, controller.config);
    lines.push(...printTestpmd(nicTemplate, view));
  }
  return lines;
}
