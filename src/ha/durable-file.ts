import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

let files = 0;

/**
 * Replaces a file so that whoever reads it, at any time and after any crash, finds the old or the new one whole:
 * temporary file beside it, fsync, rename, fsync of the folder. The event loop does not wait for the disk.
 *
 * @throws The file system's error; the old file stays then.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const temporary = `${path}.${process.pid}.${files++}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // It may never have been made.
    throw error;
  }
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
