import { DiagnosticCollector } from './diagnostics.js';
import type { Compile, CompileContext, CompileResult, Diagnostic } from './index.js';
import type { FlowList } from './ir.js';
import { budget } from './passes/budget.js';
import { canonicalise } from './passes/canonicalise.js';
import { emit } from './passes/emit.js';
import { legalise } from './passes/legalise.js';
import { order } from './passes/order.js';
import { type FormedRule, selectForms } from './passes/select-forms.js';
import { placementOf, splitGroups } from './passes/split-groups.js';
import { verify } from './passes/verify.js';
import type { Placement, Rule } from './rule.js';
import { toRule } from './rule.js';
import type { Target } from './target.js';
import { targetNamed, targets } from './target.js';

/** What a pass may consult and where it complains. */
interface PassInput {
  readonly target: Target;
  readonly context: CompileContext;
  readonly report: DiagnosticCollector;
}

/** Passes on the list, in order. After each the IR's invariants are verified again. */
const LIST_PASSES: readonly { readonly name: string; readonly run: (rule: Rule, input: PassInput) => Rule }[] = [
  { name: 'canonicalise', run: (rule) => canonicalise(rule) },
  { name: 'legalise', run: (rule, { target, context, report }) => legalise(rule, target, context, report) },
];

/** Passes on the rule once its actions are rte_flow's, in order. */
const RULE_PASSES: readonly ((formed: FormedRule, input: PassInput) => FormedRule)[] = [
  (formed, { target, report }) => order(formed, target, report),
  (formed, { target, context, report }) => splitGroups(formed, target, context, report),
  (formed, { target, report }) => budget(formed, target, report),
];

export const compile: Compile = (list, target, context) => {
  const found = targetNamed(target);
  if (found) return compileFor(list, found, context);
  const diagnostic: Diagnostic = {
    code: 'target-unknown',
    rule: list.name,
    target,
    message: `there is no target ${target}`,
    hint: `targets: ${[...targets().keys()].join(', ')}; NAME@22.11 is one as of DPDK 22.11`,
  };
  return { ok: false, diagnostics: [diagnostic] };
};

/** As {@link compile}, for a target at hand; `placement` overrides the target's group and priority of NAT rules. */
export function compileFor(
  list: FlowList,
  target: Target,
  context: CompileContext,
  placement?: Placement,
): CompileResult {
  const report = new DiagnosticCollector(list.name, target.name);
  const input: PassInput = { target, context, report };
  const refused = (): CompileResult => ({ ok: false, diagnostics: report.found });
  let rule = toRule(list);
  verify(rule, context, report);
  if (report.found.length > 0) return refused();

  for (const pass of LIST_PASSES) {
    rule = pass.run(rule, input);
    if (report.found.length > 0) return refused();
    assertVerified(rule, target, context, pass.name);
  }
  let formed = selectForms(rule, placement ?? placementOf(rule, target), target);
  for (const pass of RULE_PASSES) formed = pass(formed, input);
  return report.found.length > 0 ? refused() : { ok: true, template: emit(formed) };
}

function assertVerified(rule: Rule, target: Target, context: CompileContext, pass: string): void {
  const report = new DiagnosticCollector(rule.name, target.name);
  verify(rule, context, report);
  if (report.found.length > 0) throw new Error(`${pass} broke ${rule.name}: ${report.found[0].message}`);
}
