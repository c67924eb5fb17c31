import { DiagnosticCollector } from './diagnostics.js';
import type { Compile, CompileContext, CompileResult, Diagnostic } from './index.js';
import type { FlowList } from './ir.js';
import { canonicalise } from './passes/canonicalise.js';
import { emit } from './passes/emit.js';
import { legalise } from './passes/legalise.js';
import { order } from './passes/order.js';
import { selectForms } from './passes/select-forms.js';
import { splitGroups } from './passes/split-groups.js';
import { verify } from './passes/verify.js';
import type { Placement, Rule } from './rule.js';
import { toRule } from './rule.js';
import type { Target } from './target.js';
import { targets } from './target.js';

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
  { name: 'order', run: (rule, { target }) => order(rule, target) },
];

export const compile: Compile = (list, target, context) => {
  const found = targets().get(target);
  if (found) return compileFor(list, found, context);
  const diagnostic: Diagnostic = {
    code: 'target-unknown',
    rule: list.name,
    target,
    message: `there is no target ${target}`,
    hint: `targets: ${[...targets().keys()].join(', ')}`,
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
  let rule = toRule(list);
  verify(rule, context, report);
  if (report.found.length > 0) return { ok: false, diagnostics: report.found };

  for (const pass of LIST_PASSES) {
    rule = pass.run(rule, { target, context, report });
    if (report.found.length > 0) return { ok: false, diagnostics: report.found };
    assertVerified(rule, target, context, pass.name);
  }
  const placed = splitGroups(rule, target);
  return { ok: true, template: emit(selectForms(placement ? { ...placed, placement } : placed, target)) };
}

function assertVerified(rule: Rule, target: Target, context: CompileContext, pass: string): void {
  const report = new DiagnosticCollector(rule.name, target.name);
  verify(rule, context, report);
  if (report.found.length > 0) throw new Error(`${pass} broke ${rule.name}: ${report.found[0].message}`);
}
