import type { NativeTemplate } from '../native/binding.js';
import { FlowArguments, PatchTarget } from '../native/records.js';
import type { RuleTemplate } from './template.js';

/** Added to a patch's width when the number is written in network order. */
export const PATCH_BIG_ENDIAN = 256;

/** The template as the addon takes it: patches as flat quintuples. */
export function nativeTemplate(template: RuleTemplate): NativeTemplate {
  const patches: number[] = [];
  for (const { target, index, offset, width, argument, bigEndian } of template.patches) {
    patches.push(
      target === 'item' ? PatchTarget.item : PatchTarget.action,
      index,
      offset,
      width + (bigEndian ? PATCH_BIG_ENDIAN : 0),
      FlowArguments[argument],
    );
  }
  return {
    group: template.group,
    priority: template.priority,
    transfer: template.domain === 'transfer',
    items: template.items,
    actions: template.actions,
    patches,
    ...(template.second === undefined ? {} : { second: nativeTemplate(template.second) }),
  };
}
