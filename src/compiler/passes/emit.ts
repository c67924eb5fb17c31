import { ItemType } from '../../native/records.js';
import {
  fullMask,
  ITEM_LAYOUTS,
  isArgument,
  isMasked,
  isRange,
  matchedFields,
  writeBigEndian,
  writeLittleEndian,
} from '../fields.js';
import type { MatchItem } from '../ir.js';
import type { RuleTemplate, TemplateItem, TemplatePatch } from '../template.js';
import { type FormedAction, type FormedRule, TAG_REGISTER } from './select-forms.js';

const ITEM_TYPES: Record<MatchItem['type'], ItemType> = {
  eth: ItemType.eth,
  vlan: ItemType.vlan,
  ipv4: ItemType.ipv4,
  ipv6: ItemType.ipv6,
  udp: ItemType.udp,
  tcp: ItemType.tcp,
  icmp: ItemType.icmp,
  vxlan: ItemType.vxlan,
  integrity: ItemType.integrity,
};

/** `bits` of an integrity item; see TemplateItem. */
export const INTEGRITY_IPV4_CSUM_OK = 2;

/** Writes the pattern (the ingress port first, if the rule says it) and the actions; what varies becomes patches. */
export function emit(formed: FormedRule): RuleTemplate {
  const { rule, placement } = formed;
  const patches: TemplatePatch[] = [];
  const items = formed.matchesPort ? [ingressItem(rule.ingress)] : [];
  for (const { node } of rule.match) items.push(headerItem(node, items.length, patches));
  const { name, ingress } = rule;
  const { group, priority, domain } = placement;
  return {
    ...{ name, ingress, group, priority, domain, items },
    ...emitActions(formed.formed, patches),
    ...(formed.second === undefined ? {} : { second: secondHalf(formed, formed.second) }),
  };
}

function emitActions(
  formed: readonly FormedAction[],
  ofItems: readonly TemplatePatch[],
): Pick<RuleTemplate, 'actions' | 'patches'> {
  const ofActions = formed.flatMap((action, index) =>
    action.patches.map((patch): TemplatePatch => ({ target: 'action', index, ...patch })),
  );
  return { actions: formed.map(({ type, conf }) => ({ type, conf })), patches: [...ofItems, ...ofActions] };
}

/** What packets of the flow's tag meet where the first half jumps to. */
function secondHalf(first: FormedRule, second: NonNullable<FormedRule['second']>): RuleTemplate {
  const { rule, placement } = first;
  const port = first.matchesPort ? [ingressItem(rule.ingress)] : [];
  const spec = new Uint8Array([0, 0, 0, 0, TAG_REGISTER]);
  const tag: TemplateItem = { type: ItemType.tag, spec, mask: new Uint8Array(5).fill(0xff) };
  const items = [...port, tag, { type: ItemType.eth }];
  const tagged: TemplatePatch = {
    ...{ target: 'item', index: port.length, offset: 0, width: 4 },
    ...{ argument: 'ruleTag', bigEndian: false },
  };
  const { priority, domain } = placement;
  return {
    ...{ name: `${rule.name}-joined`, ingress: rule.ingress, group: second.group, priority, domain, items },
    ...emitActions(second.formed, [tagged]),
  };
}

function ingressItem(port: number): TemplateItem {
  const spec = new Uint8Array(2);
  writeLittleEndian(spec, 0, 2, port);
  return { type: ItemType.representedPort, spec, mask: new Uint8Array([0xff, 0xff]) };
}

function headerItem(item: MatchItem, index: number, patches: TemplatePatch[]): TemplateItem {
  const type = ITEM_TYPES[item.type];
  if (item.type === 'integrity') {
    const spec = new Uint8Array([item.layer, item.ipv4ChecksumOk ? INTEGRITY_IPV4_CSUM_OK : 0]);
    return { type, spec, mask: new Uint8Array([0, INTEGRITY_IPV4_CSUM_OK]) };
  }
  const fields = matchedFields(item);
  if (fields.length === 0) return { type };
  const { bytes } = ITEM_LAYOUTS[item.type];
  const spec = new Uint8Array(bytes);
  const mask = new Uint8Array(bytes);
  const last = new Uint8Array(bytes);
  for (const { layout, value } of fields) {
    const { offset, bytes: width } = layout;
    const constrained = isMasked(value) || isRange(value) ? (value.mask ?? fullMask(layout)) : fullMask(layout);
    writeBigEndian(mask, offset, width, constrained);
    if (isArgument(value)) {
      patches.push({
        target: 'item',
        index,
        offset,
        width,
        argument: value.argument,
        bigEndian: width !== 6 && width !== 1,
      });
    } else if (isRange(value)) {
      writeBigEndian(spec, offset, width, value.first);
      writeBigEndian(last, offset, width, value.last);
    } else writeBigEndian(spec, offset, width, isMasked(value) ? value.value : value);
  }
  return fields.some(({ value }) => isRange(value)) ? { type, spec, mask, last } : { type, spec, mask };
}
