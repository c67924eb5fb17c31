import { createHmac, timingSafeEqual } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isEpoch } from '../mirror/epoch.js';
import type { PairSettings } from './settings.js';
import type { FailoverState } from './transitions.js';

/** What the gateways of a pair tell each other directly, a datagram each. */
export interface PeerMessage {
  readonly group: string;
  readonly node: string;
  /** This boot of it. */
  readonly boot: string;
  readonly state: FailoverState;
  /** Highest epoch that it knows. */
  readonly epoch: number;
  /** Whether Redis answers it. */
  readonly redis: boolean;
  /** An active gateway without Redis asks for the promise that its peer will not take over for a lease's time: a token. */
  readonly ask: string;
  /** The token of the asked promise that is given. */
  readonly promise: string;
}

const MAC_BYTES = 32;

/** Encodes a message; with a secret, its HMAC-SHA256 comes first. */
export function encodeMessage(message: PeerMessage, secret: string | null): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  return secret === null ? body : Buffer.concat([mac(secret, body), body]);
}

/** @returns Null for what is not a message of this group, or not of somebody who knows the secret. Never throws. */
export function decodeMessage(datagram: Buffer, group: string, secret: string | null): PeerMessage | null {
  let body = datagram;
  if (secret !== null) {
    if (datagram.length < MAC_BYTES) return null;
    body = datagram.subarray(MAC_BYTES);
    if (!timingSafeEqual(datagram.subarray(0, MAC_BYTES), mac(secret, body))) return null;
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return null;
  }
  const m = value as Partial<Record<keyof PeerMessage, unknown>> | null;
  if (m === null || typeof m !== 'object' || m.group !== group) return null;
  const texts = [m.node, m.boot, m.state, m.ask, m.promise].every((text) => typeof text === 'string');
  return texts && isEpoch(m.epoch) && typeof m.redis === 'boolean' ? (m as PeerMessage) : null;
}

function mac(secret: string, body: Buffer): Buffer {
  return createHmac('sha256', secret).update(body).digest();
}

/** An address that is not there yet may come: interfaces come up in any order. */
const LISTEN_AGAIN_MS = 500;

/** Heartbeats over UDP. A datagram that is lost is followed by the next. */
export class PeerLink {
  private socket: Socket | null = null;
  private timer: NodeJS.Timeout | null = null;
  private again: NodeJS.Timeout | null = null;
  private closed = false;
  /** Called for each message of the other gateway. */
  onMessage: ((message: PeerMessage) => void) | null = null;
  /** Why nothing can be sent or heard; null: nothing is wrong. */
  fault: string | null = null;

  constructor(
    private readonly group: string,
    private readonly boot: string,
    private readonly settings: NonNullable<PairSettings['peer']>,
    private readonly say: () => PeerMessage,
  ) {}

  open(): void {
    this.listen();
    this.timer = setInterval(() => this.send(), this.settings.heartbeatMs);
  }

  /** Sends how this gateway is, now. */
  send(): void {
    const { address, secret } = this.settings;
    this.socket?.send(encodeMessage(this.say(), secret), address.port, address.address, (error) => {
      this.fault = error?.message ?? null;
    });
  }

  close(): void {
    this.closed = true;
    if (this.timer !== null) clearInterval(this.timer);
    if (this.again !== null) clearTimeout(this.again);
    this.timer = null;
    this.again = null;
    this.socket?.close();
    this.socket = null;
  }

  private listen(): void {
    const { listen, secret } = this.settings;
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    let isBound = false;
    socket.on('listening', () => {
      isBound = true;
      if (this.closed) return void socket.close();
      // Not before: a heartbeat would bind it to any port, and be sent while none is heard.
      this.socket = socket;
      this.fault = null;
    });
    socket.on('error', (error) => {
      this.fault = error.message;
      if (isBound) return;
      socket.close();
      if (!this.closed) this.again = setTimeout(() => this.listen(), LISTEN_AGAIN_MS);
    });
    socket.on('message', (datagram) => {
      const message = decodeMessage(datagram, this.group, secret);
      if (message !== null && message.boot !== this.boot) this.onMessage?.(message);
    });
    socket.bind(listen.port, listen.address);
  }
}
