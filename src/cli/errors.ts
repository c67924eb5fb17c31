/** One thing wrong with what the user gave: where, what, and what would be right. */
export interface Fault {
  /** JSON Pointer, file, file:line, option, …; empty when the message says it all. */
  readonly path: string;
  readonly message: string;
  /** May be empty. */
  readonly hint: string;
}

/** Input that is refused: the command prints one line per fault on stderr and exits 1. */
export class UserFault extends Error {
  override readonly name = 'UserFault';
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.map(formatFault).join('\n'));
    this.faults = faults;
  }

  /** A UserFault with one fault. */
  static of(path: string, message: string, hint = ''): UserFault {
    return new UserFault([{ path, message, hint }]);
  }
}

/** @returns `path: what (hint)` in one line. */
export function formatFault(fault: Fault): string {
  const what = fault.path === '' ? fault.message : `${fault.path}: ${fault.message}`;
  const line = fault.hint === '' ? what : `${what} (${fault.hint})`;
  return line.replace(/[\r\n]+/g, ' ');
}
