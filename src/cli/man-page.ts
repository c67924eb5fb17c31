import type { Argument, Command } from 'commander';
import { FILTER_TERMS } from './filter-terms.js';

/** Sections that a page has beside those which every command has. */
const MORE: Readonly<Record<string, () => string[]>> = { flows: filterSection };

/** A command's manual page, in man(7)'s macros, from what its help is made of. */
export function manPage(command: Command, version: string): string {
  const name = fullName(command);
  const page = name.replaceAll(' ', '-');
  const lines = [
    `.TH ${page.toUpperCase()} 1 "" "sluice ${version}" "Sluice"`,
    '.SH NAME',
    `${page} \\- ${text(command.description())}`,
    '.SH SYNOPSIS',
    `.B ${name}`,
    text(synopsis(command)),
  ];
  const { commands, options, registeredArguments } = command;
  if (commands.length > 0) {
    lines.push('.SH COMMANDS');
    for (const child of commands)
      lines.push('.TP', `.B ${child.name()} ${text(synopsis(child))}`.trimEnd(), text(child.description()));
  }
  if (registeredArguments.length > 0) {
    lines.push('.SH ARGUMENTS');
    for (const argument of registeredArguments)
      lines.push('.TP', `.B ${text(shownArgument(argument))}`, text(argument.description));
  }
  if (options.length > 0) {
    lines.push('.SH OPTIONS');
    for (const option of options) {
      const usual = typeof option.defaultValue === 'string' ? ` Usually ${option.defaultValue}.` : '';
      const known = option.argChoices === undefined ? '' : ` One of ${option.argChoices.join(', ')}.`;
      lines.push('.TP', `.B ${text(option.flags)}`, text(`${sentence(option.description)}${known}${usual}`));
    }
  }
  lines.push(...(MORE[command.name()]?.() ?? []));
  lines.push('.SH EXIT STATUS', '0 on success, 1 on refused input with one line per fault, 2 on a usage error.');
  return `${lines.join('\n')}\n`;
}

function filterSection(): string[] {
  const lines = [
    '.SH FILTERS',
    text('Terms are joined by and, or, not (also &&, ||, !) and parentheses; and binds closer than or.'),
  ];
  for (const [term, takes] of FILTER_TERMS) lines.push('.TP', `.B ${text(term)}`, text(sentence(takes)));
  lines.push(
    '.SH EXAMPLES',
    '.nf',
    text('sluice flows --filter "vpc red and path software"'),
    text('sluice flows --filter "nat endpoint 203.0.113.16:40001"'),
    text('sluice flows --sort bytes --limit 10'),
    text('sluice flows --format jsonl | wc -l'),
    text('sluice flows --watch --filter "proto udp and remote port 53"'),
    '.fi',
  );
  return lines;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function synopsis(command: Command): string {
  const parts = command.registeredArguments.map(shownArgument);
  if (command.options.length > 0) parts.push('[options]');
  if (command.commands.length > 0) parts.push('<command>');
  return parts.join(' ');
}

function shownArgument(argument: Argument): string {
  return argument.required ? `<${argument.name()}>` : `[${argument.name()}]`;
}

const sentence = (words: string) => `${words}${words.endsWith('.') ? '' : '.'}`;

/** What roff would take for its own is written so that it is not. */
function text(words: string): string {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('…', '...')
    .replace(/^(['.])/, '\\&$1');
}
