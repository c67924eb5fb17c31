import { connect, createServer, type Server, type Socket } from 'node:net';

/** What happens to bytes on their way. */
export interface WireRules {
  /** ms that each piece waits, each way. */
  delayMs: number;
  /** Bytes a second towards the server; Infinity: all. */
  bytesPerSecond: number;
  /** Replies are swallowed and the connection is cut: the server did what it was asked, and nobody heard. */
  swallowReplies: boolean;
}

/** A wire to a server that can be bad in chosen ways. */
export class BadWire {
  readonly rules: WireRules = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, swallowReplies: false };
  swallowed = 0;
  private server: Server | null = null;
  private readonly sockets = new Set<Socket>();
  port = 0;

  static async to(target: number): Promise<BadWire> {
    const wire = new BadWire();
    wire.server = createServer((client) => wire.pass(client, connect(target, '127.0.0.1')));
    await new Promise<void>((resolve) => wire.server?.listen(0, '127.0.0.1', resolve));
    const address = wire.server.address();
    wire.port = typeof address === 'object' && address !== null ? address.port : 0;
    return wire;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Cuts all connections there are. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.server?.close();
  }

  private pass(client: Socket, server: Socket): void {
    const both = [client, server];
    // Bytes keep their order, also when the delay becomes less.
    const queues = { up: [] as { due: number; then: () => void }[], down: [] as { due: number; then: () => void }[] };
    const run = (way: 'up' | 'down') => {
      const queue = queues[way];
      while (queue.length > 0 && queue[0].due <= Date.now()) queue.shift()?.then();
      if (queue.length > 0) setTimeout(() => run(way), queue[0].due - Date.now());
    };
    const later = (way: 'up' | 'down', ms: number, then: () => void) => {
      const queue = queues[way];
      queue.push({ due: Math.max(Date.now() + ms, queue.at(-1)?.due ?? 0), then });
      if (queue.length === 1) run(way);
    };
    for (const socket of both) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        for (const other of both) other.destroy();
      });
    }
    client.on('data', (data) => {
      const { bytesPerSecond, delayMs } = this.rules;
      if (bytesPerSecond !== Number.POSITIVE_INFINITY) {
        client.pause();
        setTimeout(() => client.resume(), (data.length / bytesPerSecond) * 1000);
      }
      later('up', delayMs, () => server.write(data));
    });
    server.on('data', (data) => {
      if (this.rules.swallowReplies) {
        this.swallowed++;
        client.destroy();
        return;
      }
      later('down', this.rules.delayMs, () => client.write(data));
    });
  }
}
