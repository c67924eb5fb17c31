import type { Logger } from 'pino';
import type { GatewayController } from './gateway.js';
import { loseRules, offloadAgain } from './rule-repair.js';

/** Repairs after a NIC has lost its rules: what was under way meanwhile is told by a later one. */
const RECOVERY_LOOKS = 3;
/** Between two attempts to reset a NIC, ms. */
const RESET_AGAIN_MS = 1000;

interface Reset {
  /** Sessions whose rules went with it. */
  sessions: ReadonlySet<bigint>;
  dueMs: number;
}

/**
 * NICs that have failed. One that recovered by itself (RTE_ETH_EVENT_RECOVERY_SUCCESS) has lost its rules. One that has
 * to be reset (RTE_ETH_EVENT_INTR_RESET; a virtual function whose physical one was reset) does nothing until its port is
 * closed, reset and opened again; the other ports go on meanwhile.
 */
export class FailedNics {
  private readonly recovered = new Set<number>();
  private looks = 0;
  private readonly resets = new Map<number, Reset>();

  constructor(
    private readonly controller: GatewayController,
    private readonly isRunning: () => boolean,
    private readonly log: Logger,
  ) {}

  /** Asked every now and then. @param nowMs Of a monotonic clock. */
  look(nowMs: number): void {
    for (const { port, keepsRules } of this.controller.dataplane.recoveredPorts()) {
      this.log.warn({ port: this.nameOf(port) }, 'the NIC has failed and recovered: rules that it lost are made anew');
      if (!keepsRules) this.recovered.add(port);
      this.looks = RECOVERY_LOOKS;
    }
    for (const port of this.controller.dataplane.portsToReset()) this.close(port, nowMs);
    for (const [port, reset] of this.resets) if (reset.dueMs <= nowMs) this.reset(port, reset, nowMs);
  }

  /** Whether rules are to be compared. Says so some times after each recovery. */
  takeLook(): boolean {
    if (this.looks === 0) return false;
    this.looks--;
    return true;
  }

  /** @returns Ports whose NICs have lost all of their rules since the last call. */
  takeRecovered(): ReadonlySet<number> {
    const taken = new Set(this.recovered);
    this.recovered.clear();
    return taken;
  }

  private close(port: number, nowMs: number): void {
    this.log.warn({ port: this.nameOf(port) }, 'the NIC asks to be reset: nothing passes the port until it is');
    const before = this.resets.get(port)?.sessions ?? new Set();
    const sessions = loseRules(this.controller, this.controller.dataplane.closePort(port));
    this.resets.set(port, { sessions: new Set([...before, ...sessions]), dueMs: nowMs });
  }

  private reset(port: number, reset: Reset, nowMs: number): void {
    const name = this.nameOf(port);
    try {
      this.controller.dataplane.reopenPort(port);
    } catch (error) {
      reset.dueMs = nowMs + RESET_AGAIN_MS;
      this.log.error(
        { port: name, error: (error as Error).message },
        'the NIC could not be reset: tried again each second',
      );
      return;
    }
    this.resets.delete(port);
    this.log.info({ port: name, sessions: reset.sessions.size }, 'the NIC has been reset: its rules are made anew');
    void offloadAgain(this.controller, reset.sessions, this.isRunning);
  }

  private nameOf(port: number): string {
    return this.controller.config.ports[port].name;
  }
}
