import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(__dirname, '../../..');
const START_MS = 30_000;

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

// biome-ignore lint/suspicious/noExplicitAny: a document that tests change as they like
type Document = any;

/**
 * A real gateway whose wires are the example captures: it receives them once and then lives on with their sessions. Its
 * control socket is asked as any client would.
 */
export class RunningGateway {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-api-'));
  readonly socket = join(this.folder, 'gw.sock');
  readonly file = join(this.folder, 'gw.json');
  log = '';
  private child: ChildProcess | null = null;

  /** @param change Made to examples/gateway.json. @param more Arguments of the command. */
  async start(change: (document: Document) => void = () => undefined, more: readonly string[] = []): Promise<void> {
    const document = JSON.parse(readFileSync(join(ROOT, 'examples/gateway.json'), 'utf8'));
    const wire = (index: number, side: string) =>
      `net_softflow${index},wire=net_pcap${index}:rx_pcap=${join(ROOT, 'examples', `${side}.pcap`)}:tx_pcap=/dev/null`;
    document.ports.fabric.device = wire(0, 'fabric');
    document.ports.external.device = wire(1, 'external');
    document.control = { socket: this.socket };
    change(document);
    writeFileSync(this.file, JSON.stringify(document));
    this.child = spawn(join(ROOT, 'bin/sluice'), ['gateway', '--config', this.file, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr?.on('data', (part) => {
      this.log += part;
    });
    await until(START_MS, () => this.log.includes('gateway runs') || !this.isAlive);
    if (!this.isAlive) throw new Error(`the gateway did not start: ${this.log}`);
    // All packets of the captures: the number is what README shows.
    await until(
      START_MS,
      async () => JSON.parse((await this.ask('GET', '/v1/counters')).text).slowPath.packets >= 2590,
    );
  }

  get isAlive(): boolean {
    return this.child !== null && this.child.exitCode === null && this.child.signalCode === null;
  }

  get pid(): number {
    return this.child?.pid as number;
  }

  ask(method: string, path: string, body?: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? '' : JSON.stringify(body);
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const asked = request({ socketPath: this.socket, method, path, headers, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => {
          text += part;
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), text }),
        );
      });
      asked.on('error', reject);
      asked.end(text);
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are checked field by field
  async json(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await this.ask(method, path, body);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text);
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are checked field by field
  async lines(path: string): Promise<any[]> {
    const answer = await this.ask('GET', path);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** Resident memory, bytes. */
  memory(): number {
    const [, pages] = readFileSync(`/proc/${this.pid}/statm`, 'utf8').split(' ');
    return Number(pages) * 4096;
  }

  files(): number {
    return require('node:fs').readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child !== null && this.isAlive) {
      child.kill('SIGTERM');
      await until(START_MS, () => !this.isAlive);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function until(patienceMs: number, done: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await done())) {
    if (Date.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
