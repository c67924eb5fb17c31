import { type Command, Argument as CommandArgument } from 'commander';

export function register(program: Command): void {
  program
    .command('completion')
    .description('print what completes sluice’s commands and options in a shell: eval "$(sluice completion bash)"')
    .addArgument(new CommandArgument('<shell>', 'bash; zsh reads it after bashcompinit').choices(['bash']))
    .action(() => {
      process.stdout.write(bashCompletion(program));
    });
}

/** A bash function made of the commands that there are: words by what stands before them. */
export function bashCompletion(program: Command): string {
  return `# bash completion of sluice; made by: sluice completion bash
_sluice() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path= word words=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path/$word" in
${paths(program, '')
  .map((path) => `      ${path}) path=${path} ;;`)
  .join('\n')}
    esac
  done
  case "$path $previous" in
${choices(program, '').join('\n')}
    *)
      case "$path" in
${words(program, '').join('\n')}
      esac ;;
  esac
  if [ "$words" = FILES ]; then COMPREPLY=($(compgen -f -- "$current")); return; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _sluice sluice
`;
}

/** Of every command, as /ha/status. */
function paths(command: Command, path: string): string[] {
  return command.commands.flatMap((child) => {
    const own = `${path}/${child.name()}`;
    return [own, ...paths(child, own)];
  });
}

/** What may follow an option. */
function choices(command: Command, path: string): string[] {
  const own = command.options
    .filter(({ long, required }) => long !== undefined && required)
    .map(({ long, argChoices, flags }) => {
      const files = /<(file|path|pcap|f|port=pcap)>/i.test(flags) ? 'FILES' : '';
      return `    "${path} ${long}") words="${argChoices?.join(' ') ?? files}" ;;`;
    });
  return [...own, ...command.commands.flatMap((child) => choices(child, `${path}/${child.name()}`))];
}

/** What may stand where no option waits for its value. */
function words(command: Command, path: string): string[] {
  const own = [
    ...command.commands.map((child) => child.name()),
    ...command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    ...command.options.flatMap(({ long }) => (long === undefined ? [] : [long])),
    '--help',
  ];
  const line = `        "${path}") words="${own.join(' ')}" ;;`;
  return [line, ...command.commands.flatMap((child) => words(child, `${path}/${child.name()}`))];
}
