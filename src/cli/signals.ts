/** The first SIGTERM or SIGINT; a second one ends the process at once. */
export function endSignal(): Promise<string> {
  return new Promise((resolve) => {
    const names = ['SIGTERM', 'SIGINT'] as const;
    const end = (name: string) => {
      for (const other of names) process.removeListener(other, end);
      resolve(name);
    };
    for (const name of names) process.on(name, end);
  });
}

/**
 * SIGHUPs, from the start of the process on: unhandled they end it, and `systemctl reload` right after `start` sends one
 * while ports are still being opened. What came before anybody could follow it is followed as soon as somebody can.
 */
export class HangUps {
  private missed = false;
  private follow: (() => void) | null = null;

  constructor() {
    process.on('SIGHUP', () => {
      if (this.follow === null) this.missed = true;
      else this.follow();
    });
  }

  /** @param follow Called for each from now on, and at once for those that came before. */
  lead(follow: () => void): void {
    this.follow = follow;
    if (this.missed) follow();
  }
}
