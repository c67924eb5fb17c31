import { readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

/** A file that a command line names. */
export interface NamedFile {
  /** As the user wrote it: `--out fabric=a.pcap`. */
  readonly option: string;
  readonly path: string;
  readonly isWritten: boolean;
}

/** As many links in a row as Linux follows (path_resolution(7)). */
const MOST_LINKS = 40;

/**
 * Finds a file that would be written twice, or read and written: one would take the other's content away.
 *
 * @returns What is wrong with the later of the two, or null. Opens nothing.
 */
export function fileClash(files: readonly NamedFile[]): string | null {
  const seen = new Map<string, NamedFile>();
  for (const file of files) {
    const identity = identityOf(file.path);
    if (identity === null) continue;
    const before = seen.get(identity);
    if (before === undefined) seen.set(identity, file);
    else if (before.isWritten || file.isWritten) {
      return `'${file.option}' is the same file as '${before.option}'; what replay writes needs files of its own`;
    }
  }
  return null;
}

/** One text for all names of a file, also of one that is yet to be written; null for what keeps no content (/dev/null, a pipe). */
function identityOf(path: string, links = 0): string | null {
  try {
    const stat = statSync(path, { bigint: true });
    return stat.isFile() ? `${stat.dev}:${stat.ino}` : null;
  } catch {
    // Not there yet, or not to be looked at: then its folder and name tell it.
  }
  const folder = realFolder(dirname(resolve(path)));
  try {
    const target = readlinkSync(path);
    return links < MOST_LINKS ? identityOf(resolve(folder, target), links + 1) : null;
  } catch {
    return resolve(folder, basename(path));
  }
}

function realFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}
