import type { Dataplane, DataplaneOptions, NativeBinding } from '../../src/native/binding.js';

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
  class FreshDataplane {
    constructor(options: DataplaneOptions) {
      const ports = options.ports.map((port) => ({ ...port, device: fresh(port.device) }));
      // A constructor may return another object: here the native one.
      return new binding.Dataplane({ ...options, ports }) as unknown as FreshDataplane;
    }
  }
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
    now: () => binding.now(),
    Dataplane: FreshDataplane as unknown as new (options: DataplaneOptions) => Dataplane,
  };
}
