import { decode } from './decode.js';
import { instantiate } from './instantiate.js';
import { chain, linksOf, type NextGroup } from './passes/chain.js';
import { printTemplate, templateCommands } from './print-template.js';
import { createCommand, printTestpmd, spelt } from './print-testpmd.js';
import type { RuleTemplate } from './template.js';

/** What rules are printed for: who will read them, and with which values. */
export interface Printing {
  /** Characters that a line of the testpmd holds that will read it. */
  readonly lineLength: number;
  /** Groups for chains, from one source for all rules that are entered beside each other; null for a NIC that cannot jump. */
  readonly nextGroup: NextGroup | null;
  /** FlowArguments of the flow; without it, arguments stand as `<name>`, and count as long as that. */
  readonly row?: DataView;
  /** Ethdev port id of each gateway port; absent: the gateway's indexes. */
  readonly portIds?: readonly number[];
}

/**
 * The rule as `flow create` commands of which each fits a line: as it is installed where it can be, else as a {@link chain}
 * that does the same, after a word on it.
 */
export function printCreates(rule: RuleTemplate, printing: Printing): string[] {
  const { lineLength, nextGroup, row, portIds } = printing;
  const command = (link: RuleTemplate) => createCommand(link, decode(row ? instantiate(link, row) : link), portIds);
  const chained = nextGroup && chain(rule, (link) => spelt(command(link), lineLength) !== null, nextGroup);
  const printed = printTestpmd(chained ?? rule, row, portIds, lineLength);
  return [...announced(rule, chained, [command(rule)], lineLength), ...printed];
}

/** As {@link printCreates}, by templates. Precondition: {@link printTemplate}'s. @param nextId Of templates and their tables. */
export function printTemplates(rule: RuleTemplate, nextId: () => number, printing: Printing): string[] {
  const { lineLength, nextGroup, row, portIds } = printing;
  const first = nextId();
  const commands = (link: RuleTemplate) => templateCommands(link, first, row, portIds);
  const fits = (link: RuleTemplate) => commands(link).every((command) => spelt(command, lineLength) !== null);
  const chained = nextGroup && chain(rule, fits, nextGroup);
  const links = linksOf(chained ?? rule);
  const printed = links
    .map((link, i) => printTemplate(link, i === 0 ? first : nextId(), row, portIds, lineLength))
    .reverse();
  return [...announced(rule, chained, commands(rule), lineLength), ...printed.flat()];
}

/** Tells who reads a chain what belongs together, and why in that order. */
function announced(
  rule: RuleTemplate,
  chained: RuleTemplate | null,
  commands: readonly string[],
  lineLength: number,
): string[] {
  if (chained === null || chained === rule) return [];
  const longest = Math.max(...commands.map(({ length }) => length));
  const count = linksOf(chained).length;
  return [
    `# ${count} rules that do what one does of ${longest} characters, as a line is to hold ${lineLength}. The last one matches; each jumps to the one`,
    '# above it. In this order: a packet that finds nothing where it jumps to would reach the application half translated.',
  ];
}
