import type { DataplaneOptions, NativeBinding, ShardAttachment } from '../../src/native/binding.js';

/**
 * The binding as one gateway after another sees it in one process: EAL starts once and the memory wires stay, while
 * every gateway gets software NICs of its own, fresh and under new names.
 */
export function reusedBinding(binding: NativeBinding): NativeBinding & { next(): void } {
  let started = false;
  let wires: readonly string[] | null = null;
  let first = 0;
  const fresh = (device: string) =>
    device.replace(/net_softflow(\d+)/, (_, index: string) => `net_softflow${first + Number(index)}`);
  const Dataplane = new Proxy(binding.Dataplane, {
    construct: (target, [options]: [DataplaneOptions | ShardAttachment]) => {
      if ('shardOf' in options) return new target(options);
      return new target({ ...options, ports: options.ports.map((port) => ({ ...port, device: fresh(port.device) })) });
    },
  });
  return {
    next() {
      first += 2;
    },
    startEal(args) {
      if (!started) binding.startEal(args);
      started = true;
    },
    createMemoryWires(names) {
      wires ??= binding.createMemoryWires(names);
      return wires;
    },
    probeDevice: (devargs) => binding.probeDevice(fresh(devargs)),
    driverOf: (device) => binding.driverOf(fresh(device)),
    dpdkVersion: () => binding.dpdkVersion(),
    formatFlowLines: (lines, count, texts, out) => binding.formatFlowLines(lines, count, texts, out),
    cpus: () => binding.cpus(),
    now: () => binding.now(),
    Dataplane,
  };
}
