import { ActionType, ItemType } from '../../native/records.js';
import { readLittleEndian, writeLittleEndian } from '../fields.js';
import type { Target } from '../target.js';
import type { RuleTemplate, TemplateAction, TemplateItem } from '../template.js';

/**
 * First group that a chain takes: far from those of any target's table, and far below 6553, the last one of mlx5 (DPDK
 * drivers/net/mlx5/mlx5.h: MLX5_MAX_TABLES_FDB, of which a group takes MLX5_FLOW_TABLE_FACTOR).
 */
export const FIRST_CHAIN_GROUP = 1000;

/** Gives another group each time: a link's group is its own, as it serves whatever jumps there. */
export type NextGroup = () => number;

/** Groups for the chains of rules that are entered beside each other: beyond all that these stand in or jump to. Null: no chains. */
export function groupsBeside(rules: readonly RuleTemplate[], target: Target): NextGroup | null {
  if (target.actions.jump.forms.length === 0) return null;
  const taken = rules.flatMap(linksOf).flatMap(({ group, actions }) => [group, ...actions.flatMap(jumpOf)]);
  let next = taken.reduce((first, group) => Math.max(first, group + 1), FIRST_CHAIN_GROUP);
  return () => next++;
}

/** The rule and the rules that its packets go on to, first to last. */
export const linksOf = (rule: RuleTemplate): readonly RuleTemplate[] =>
  rule.second === undefined ? [rule] : [rule, ...linksOf(rule.second)];

/**
 * The rule as a chain of rules that each fit: the first matches and does as many of the actions as fit, then jumps; the next one
 * stands in a group of its own, takes whatever comes there and goes on.
 *
 * The actions run in the rule's own order, so a chain does what the rule does wherever the target executes both; each link's
 * are some of the rule's, in its order. Links match the headers that the packet has by then, without values: they are there, and
 * actions may need to know it. What stands behind an encapsulation stays with it.
 *
 * @param fits Whether a rule can be said; asked of links, whose `second` does not matter.
 * @returns The rule itself where it fits; null where no chain does: the match and one action, or an encapsulation and its
 *   fate, are too much, or the rule itself ends with a jump.
 */
export function chain(
  rule: RuleTemplate,
  fits: (link: RuleTemplate) => boolean,
  nextGroup: NextGroup,
): RuleTemplate | null {
  const chained = split(rule, fits, nextGroup);
  if (chained !== null) assertSame(rule, chained);
  return chained;
}

function split(rule: RuleTemplate, fits: (link: RuleTemplate) => boolean, nextGroup: NextGroup): RuleTemplate | null {
  if (fits(rule)) {
    const whole = rule.second !== undefined && rule.second.group <= rule.group ? joinedBehind(rule, nextGroup()) : rule;
    if (whole.second === undefined) return whole;
    const second = split(whole.second, fits, nextGroup);
    return second === whole.second ? whole : second && { ...whole, second };
  }
  const group = nextGroup();
  const [end] = jumpOf(rule.actions[rule.actions.length - 1]);
  if (rule.second === undefined && end <= group) return null; // jumps lead to higher groups alone, or could go in circles
  for (let at = lastCut(rule.actions); at > 0; at--) {
    const first = headOf(rule, at, group);
    if (!fits(first)) continue;
    const second = split(tailOf(rule, at, group), fits, nextGroup);
    return second && { ...first, second };
  }
  return null;
}

/** A rule that is two, its second half behind the groups of the first half's chain. */
function joinedBehind(rule: RuleTemplate, group: number): RuleTemplate {
  const second = rule.second && { ...rule.second, group };
  return { ...rule, actions: [...rule.actions.slice(0, -1), jumpTo(group)], ...(second && { second }) };
}

const ENCAPSULATES: ReadonlySet<ActionType> = new Set([ActionType.vxlanEncap, ActionType.rawEncap]);
const DECAPSULATES: ReadonlySet<ActionType> = new Set([ActionType.vxlanDecap, ActionType.rawDecap]);
/** Items that say nothing of headers: of a port, a register, a checksum, which the first link has matched. */
const NO_HEADER: ReadonlySet<ItemType> = new Set([ItemType.representedPort, ItemType.tag, ItemType.integrity]);

/** The last place where the actions may be cut: before the encapsulation, else before the fate. */
function lastCut(actions: readonly TemplateAction[]): number {
  const pushed = actions.findIndex(({ type }) => ENCAPSULATES.has(type));
  return pushed < 0 ? actions.length - 1 : pushed;
}

function headOf(rule: RuleTemplate, at: number, group: number): RuleTemplate {
  const { second, ...alone } = rule;
  return {
    ...alone,
    actions: [...rule.actions.slice(0, at), jumpTo(group)],
    patches: rule.patches.filter(({ target, index }) => target === 'item' || index < at),
  };
}

function tailOf(rule: RuleTemplate, at: number, group: number): RuleTemplate {
  return {
    ...rule,
    ...{ name: `${rule.name}-on`, group, priority: 0 },
    items: headersAfter(rule.items, rule.actions.slice(0, at)),
    actions: rule.actions.slice(at),
    patches: rule.patches
      .filter(({ target, index }) => target === 'action' && index >= at)
      .map((patch) => ({ ...patch, index: patch.index - at })),
  };
}

/** The headers that a packet of the match has after the actions, outermost first. */
function headersAfter(items: readonly TemplateItem[], done: readonly TemplateAction[]): readonly TemplateItem[] {
  let types = items.map(({ type }) => type).filter((type) => !NO_HEADER.has(type));
  for (const { type } of done) {
    if (DECAPSULATES.has(type)) types = types.slice(types.indexOf(ItemType.vxlan) + 1);
    if (type === ActionType.ofPushVlan) types = [ItemType.eth, ItemType.vlan, ...types.slice(1)];
    if (type === ActionType.ofPopVlan) types = types.filter((_, i) => i !== types.indexOf(ItemType.vlan));
  }
  return (types.length === 0 ? [ItemType.eth] : types).map((type) => ({ type }));
}

function jumpTo(group: number): TemplateAction {
  const conf = new Uint8Array(4);
  writeLittleEndian(conf, 0, 4, group);
  return { type: ActionType.jump, conf };
}

const jumpOf = ({ type, conf }: TemplateAction): number[] =>
  type === ActionType.jump ? [readLittleEndian(conf, 0, 4)] : [];

/** Actions of all links, without the jumps from each to the next. */
function actionsOf(rule: RuleTemplate): readonly TemplateAction[] {
  return linksOf(rule).flatMap(({ actions, second }) => {
    const leads = second !== undefined && jumpOf(actions[actions.length - 1])[0] === second.group;
    return leads ? actions.slice(0, -1) : actions;
  });
}

/**
 * States what makes a chain the rule that it was: the first link's match, every action in its place, each link in a higher
 * group than the one before it.
 */
function assertSame(rule: RuleTemplate, chained: RuleTemplate): void {
  const [wanted, got] = [actionsOf(rule), actionsOf(chained)];
  const links = linksOf(chained);
  const sound =
    chained.items === rule.items &&
    got.length === wanted.length &&
    got.every((action, i) => action === wanted[i]) &&
    links.every(({ group }, i) => i === 0 || group > links[i - 1].group);
  if (!sound) throw new Error(`the chain of ${rule.name} is not the rule`);
}
