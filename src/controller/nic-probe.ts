import {
  type CompileContext,
  nativeTemplate,
  printTestpmd,
  type RuleTemplate,
  type Target,
} from '../compiler/index.js';
import type { FlowList } from '../compiler/ir.js';
import { offer } from '../compiler/partial.js';
import { probeLines } from '../compiler/probe-lines.js';
import { staticRulesFor } from '../compiler/static-rules.js';
import type { Dataplane, NativeError, ProbeResult } from '../native/binding.js';
import { ActionType, ItemType } from '../native/records.js';

/** One rule that was created in a device, queried and destroyed, or refused by it. */
export interface ProbedRule {
  readonly part: 'item' | 'action' | 'constant rule' | 'direction';
  readonly name: string;
  /** What the table says, and what the device did. */
  readonly table: 'takes' | 'refuses';
  readonly device: 'takes' | 'refuses';
  readonly agrees: boolean;
  /** Of a refusal, in the driver's words. */
  readonly error?: {
    readonly errno?: number | undefined;
    readonly rteType?: number | undefined;
    readonly message: string;
  };
  /** What went wrong with a rule that was taken. */
  readonly flaws: readonly string[];
  /** The rule, as testpmd has it. */
  readonly testpmd: readonly string[];
}

export interface ProbeReport {
  readonly target: string;
  readonly device: string;
  readonly driver: string;
  readonly dpdk: string;
  /** Whether rules went through template tables. */
  readonly calls: 'synchronous' | 'template tables' | 'none';
  readonly tried: number;
  readonly agree: number;
  readonly rules: readonly ProbedRule[];
}

/**
 * Tries every line of a target's table, its constant rules and what it offers for every NAT direction in a device.
 *
 * @param dataplane Of one port, or of two; with one, traffic to the other port goes out of the first.
 * @param lists     The NAT directions.
 */
export function probeNic(
  dataplane: Dataplane,
  ports: number,
  target: Target,
  context: CompileContext,
  lists: readonly FlowList[],
): Pick<ProbeReport, 'calls' | 'tried' | 'agree' | 'rules'> {
  let calls: ProbeReport['calls'] = 'none';
  const attempt = (part: ProbedRule['part'], name: string, isInTable: boolean, rule: RuleTemplate): ProbedRule => {
    const fitted = ports === 1 ? onOnePort(rule) : rule;
    const said = { part, name, table: isInTable ? 'takes' : 'refuses', testpmd: printTestpmd(fitted) } as const;
    let result: ProbeResult;
    try {
      result = dataplane.probeTemplate(fitted.ingress, nativeTemplate(fitted));
    } catch (error) {
      const { errno, rteType, message } = error as NativeError;
      return { ...said, device: 'refuses', agrees: !isInTable, error: { errno, rteType, message }, flaws: [] };
    }
    if (calls !== 'template tables') calls = result.queued ? 'template tables' : 'synchronous';
    const flaws = flawsOf(fitted, result);
    return { ...said, device: 'takes', agrees: isInTable && flaws.length === 0, flaws };
  };
  const rules = [
    ...probeLines(target, context).map(({ part, name, isInTable, rule }) => attempt(part, name, isInTable, rule)),
    ...staticRulesFor(target, context).map((rule) => attempt('constant rule', rule.name, true, rule)),
    ...lists.flatMap((list) => {
      const offered = offer(list, target, context);
      if (offered.kind === 'none') return [];
      return [attempt('direction', `${list.name}, ${offered.kind}`, true, offered.template)];
    }),
  ];
  return { calls, tried: rules.length, agree: rules.filter(({ agrees }) => agrees).length, rules };
}

function flawsOf(rule: RuleTemplate, result: ProbeResult): string[] {
  const has = (type: ActionType) => rule.actions.some((action) => action.type === type);
  return [
    ...(has(ActionType.count) && !result.counted ? ['its COUNT cannot be asked for'] : []),
    ...(has(ActionType.age) && !result.aged ? ['its AGE cannot be asked for'] : []),
    ...(result.destroyed ? [] : ['it could not be destroyed']),
  ];
}

const PORT_ACTIONS: ReadonlySet<ActionType> = new Set([ActionType.representedPort, ActionType.portRepresentor]);

/** The rule with every port the first one. */
function onOnePort(rule: RuleTemplate): RuleTemplate {
  return {
    ...rule,
    ingress: 0,
    items: rule.items.map((item) =>
      item.type === ItemType.representedPort ? { ...item, spec: new Uint8Array(2) } : item,
    ),
    actions: rule.actions.map((action) =>
      PORT_ACTIONS.has(action.type) ? { ...action, conf: new Uint8Array(2) } : action,
    ),
  };
}
