import { Tcp } from './ipv4.js';

/** RFC 7857 section 2 and RFC 6146 section 3.5.2, read as docs/decisions/0005 does. */
export type TcpPhase = 'opening' | 'established' | 'closed' | 'reset' | 'reopening';
export type Direction = 'forward' | 'reverse';

export interface TcpConnection {
  phase: TcpPhase;
  /** Who has sent a FIN since the connection was established. */
  finished: { forward: boolean; reverse: boolean };
  /** While reopening: whose SYN came. */
  reopener: Direction;
  /** Seconds at which the transitory time began. */
  since: number;
  /** Seconds of the last segment of the established connection. */
  last: number;
}

export function openedAt(second: number): TcpConnection {
  return {
    phase: 'opening',
    finished: { forward: false, reverse: false },
    reopener: 'forward',
    since: second,
    last: second,
  };
}

export function isBareSyn(flags: number): boolean {
  return (flags & (Tcp.syn | Tcp.ack | Tcp.fin | Tcp.rst)) === Tcp.syn;
}

/** @returns Whether the state permits the segment; the connection has moved on if it does. */
export function segment(tcp: TcpConnection, from: Direction, flags: number, second: number): boolean {
  const syn = (flags & Tcp.syn) !== 0;
  const fin = (flags & Tcp.fin) !== 0;
  const rst = (flags & Tcp.rst) !== 0;
  if (syn && (fin || rst)) return false;
  switch (tcp.phase) {
    case 'opening':
      if (rst) leave(tcp, 'reset', second);
      else if (syn && from === 'forward') tcp.since = second;
      else if (syn) establish(tcp, second);
      return true;
    case 'established':
      tcp.last = second;
      if (rst) leave(tcp, 'reset', second);
      else if (fin) {
        tcp.finished[from] = true;
        if (tcp.finished.forward && tcp.finished.reverse) leave(tcp, 'closed', second);
      }
      return true;
    case 'closed':
    case 'reset':
      if (syn) {
        tcp.phase = 'reopening';
        tcp.reopener = from;
      }
      return true;
    case 'reopening':
      if (syn && from !== tcp.reopener) establish(tcp, second);
      return true;
  }
}

export function deadline(tcp: TcpConnection, times: { established: number; transitory: number }): number {
  return tcp.phase === 'established' ? tcp.last + times.established : tcp.since + times.transitory;
}

function leave(tcp: TcpConnection, phase: TcpPhase, second: number): void {
  tcp.phase = phase;
  tcp.since = second;
}

function establish(tcp: TcpConnection, second: number): void {
  tcp.phase = 'established';
  tcp.finished = { forward: false, reverse: false };
  tcp.last = second;
}
