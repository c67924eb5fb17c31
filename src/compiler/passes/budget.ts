import { ActionType } from '../../native/records.js';
import type { DiagnosticCollector } from '../diagnostics.js';
import { matchedFields } from '../fields.js';
import type { MatchItem } from '../ir.js';
import type { Target } from '../target.js';
import type { FormedAction, FormedRule } from './select-forms.js';

/**
 * Dwords that a match takes in a NIC which selects header dwords for its look-up key.
 *
 * Fields of one dword of a header share it; a 48-bit MAC takes two. What layers there are is one more, whatever is matched.
 * A metadata item takes one.
 */
export function matchDwords(match: readonly MatchItem[], matchesPort: boolean): number {
  const used = new Set<string>();
  let layer = 0;
  for (const item of match) {
    if (item.type === 'vxlan') layer++;
    if (item.type === 'integrity') used.add('integrity');
    for (const { layout } of matchedFields(item)) {
      const first = Math.floor(layout.offset / 4);
      const last = Math.floor((layout.offset + layout.bytes - 1) / 4);
      for (let dword = first; dword <= last; dword++)
        used.add(`${layer}/${item.type === 'tcp' ? 'udp' : item.type}/${dword}`);
    }
  }
  return used.size + 1 + (matchesPort ? 1 : 0);
}

const COMMANDS: Partial<Record<ActionType, number>> = {
  [ActionType.setMacSource]: 2,
  [ActionType.setMacDestination]: 2,
  [ActionType.setIpv4Source]: 1,
  [ActionType.setIpv4Destination]: 1,
  [ActionType.setTpSource]: 1,
  [ActionType.setTpDestination]: 1,
  [ActionType.decTtl]: 1,
};

/** Header-modification commands, 32 bits each, that the actions become: DPDK's mlx5_flow.h, MLX5_ACT_NUM_MDF_*. */
export function modifyCommands(actions: readonly FormedAction[]): number {
  let commands = 0;
  for (const { type, conf } of actions) {
    commands += type === ActionType.modifyField ? Math.ceil(conf[1] / 32) : (COMMANDS[type] ?? 0);
  }
  return commands;
}

/** Refuses a rule that is too large for the target. */
export function budget(formed: FormedRule, target: Target, report: DiagnosticCollector): FormedRule {
  const { budgets } = target;
  if (!budgets) return formed;
  const { rule } = formed;
  const dwords = matchDwords(
    rule.match.map((at) => at.node),
    formed.matchesPort,
  );
  // The first group is matched by other means than the NAT rules' (mlx5: root table).
  const selects = formed.placement.group !== target.groups.static;
  if (selects && budgets.matchDwords !== undefined && dwords > budgets.matchDwords) {
    report.list(
      'match-budget',
      `the match takes ${dwords} dwords, ${target.name} has ${budgets.matchDwords}`,
      `match fewer fields; ${budgets.source}`,
    );
  }
  const commands = modifyCommands(formed.formed);
  if (budgets.modifyCommands !== undefined && commands > budgets.modifyCommands) {
    report.list(
      'modify-budget',
      `the rewrites take ${commands} commands, ${target.name} has ${budgets.modifyCommands}`,
      `rewrite fewer fields; ${budgets.source}`,
    );
  }
  for (const action of [...formed.formed, ...(formed.second?.formed ?? [])]) {
    const encapsulates = action.type === ActionType.vxlanEncap || action.type === ActionType.rawEncap;
    if (!encapsulates || budgets.encapBytes === undefined || action.conf.length <= budgets.encapBytes) continue;
    report.action(
      action,
      'encap-budget',
      `the pushed headers have ${action.conf.length} bytes, ${target.name} pushes ${budgets.encapBytes}`,
      budgets.source,
    );
  }
  return formed;
}
