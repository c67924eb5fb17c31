import { ActionTypeNames } from '../../native/records.js';
import type { DiagnosticCollector } from '../diagnostics.js';
import type { Action } from '../ir.js';
import type { Target } from '../target.js';
import type { FormedAction, FormedRule } from './select-forms.js';
import { isFate } from './verify.js';

/** What an action touches, as far as its place among others matters. */
type Effect = 'none' | 'fields' | 'tag' | 'tunnel';

const EFFECTS: Partial<Record<Action['type'], Effect>> = {
  count: 'none',
  age: 'none',
  mark: 'none',
  'pop-vxlan': 'tunnel',
  'push-vxlan': 'tunnel',
  'pop-vlan': 'tag',
  'push-vlan': 'tag',
};

/**
 * Whether two actions may change places in any packet: what neither reads nor changes headers with all; rewrites of fields
 * with one another (by now each field is written once) and with a tag, which lies between them; nothing with what
 * changes the frame that others act on. Proved for each pair in test/proofs.
 */
export function commute(a: Action['type'], b: Action['type']): boolean {
  const [one, other] = [EFFECTS[a] ?? 'fields', EFFECTS[b] ?? 'fields'];
  if (one === 'none' || other === 'none') return true;
  if (one === 'tunnel' || other === 'tunnel') return false;
  return one !== other || one === 'fields';
}

/**
 * Puts the rule's actions into the target's order: its steps, then what no step names, the fate last; all else as listed.
 *
 * Refuses a list whose actions would have to pass one that they do not commute with, if the target insists on its order.
 */
export function order(formed: FormedRule, target: Target, report: DiagnosticCollector): FormedRule {
  const { steps, strict, source } = target.actionOrder;
  const rank = (action: FormedAction): number => {
    if (isFate({ type: action.of } as Action)) return steps.length + 1;
    const step = steps.findIndex((names) => names.includes(ActionTypeNames[action.type]));
    return step < 0 ? steps.length : step;
  };
  // An insertion sort that stops at what cannot be passed: lists have a dozen actions.
  const ordered: FormedAction[] = [];
  for (const action of formed.formed) {
    let at = ordered.length;
    while (at > 0 && rank(ordered[at - 1]) > rank(action)) {
      const before = ordered[at - 1];
      if (!commute(before.of, action.of)) {
        if (strict) {
          report.action(
            action,
            'order-impossible',
            `${target.name} executes ${action.of} before ${before.of}, which the list has the other way round`,
            source,
          );
        }
        break;
      }
      at--;
    }
    ordered.splice(at, 0, action);
  }
  return { ...formed, formed: ordered };
}
