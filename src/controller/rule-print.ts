import { printTestpmd } from '../compiler/print-testpmd.js';
import { writeArguments } from '../nat/arguments.js';
import { emptyEgress } from '../nat/egress.js';
import { emptyFacts } from '../nat/session-table.js';
import { idleSeconds } from '../nat/session-timers.js';
import { FlowArguments, RulePath, SessionRow } from '../native/records.js';
import type { GatewayController } from './gateway.js';

/** @returns testpmd commands of the rules that a session has in the NIC, forward first; none where it has none. */
export function installedRules(controller: GatewayController, row: number): string[] {
  const { engine, rows, templates } = controller;
  const lines: string[] = [];
  const facts = emptyFacts();
  engine.sessions.read(row, facts);
  const shapes = engine.sessions.shapes(row);
  const { ways } = engine.topology;
  const forward = ways.find(facts.reverseContext, facts.translatedDestination) ?? emptyEgress();
  const backward = ways.find(facts.forwardContext, facts.forwardSource) ?? emptyEgress();
  const age = idleSeconds(controller.config.nat.timeouts, facts.protocol, rows.byte(row, SessionRow.tcpState));
  const both = new Int32Array((FlowArguments.size * 2) / 4);
  writeArguments(both, 0, facts, forward, backward, age);
  for (const reverse of [false, true]) {
    const path = rows.byte(row, reverse ? SessionRow.reversePath : SessionRow.forwardPath);
    const { nicTemplate } = templates.of(reverse ? shapes >>> 16 : shapes & 0xffff);
    if (path !== RulePath.offloaded || nicTemplate === null) continue;
    const own = new DataView(both.buffer, reverse ? FlowArguments.size : 0, FlowArguments.size);
    lines.push(...printTestpmd(nicTemplate, own));
  }
  return lines;
}
