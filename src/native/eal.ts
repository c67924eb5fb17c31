import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface EalOptions {
  /** Memory for packet buffers, MiB. */
  readonly memoryMb: number;
  /** 1: inline; 2: with a worker for the slow path. The first lcore is the JavaScript thread's. */
  readonly lcores: number;
  /** PCI addresses of the devices to probe; no others are touched. */
  readonly pci: readonly string[];
  /** CPUs that the lcores take in turn; absent: those that this process may use. */
  readonly cpus?: readonly number[];
}

/** Path of the software NIC's driver in a built tree. */
export function softflowDriver(root: string): string {
  return join(root, 'build/native/librte_net_softflow.so');
}

/**
 * Arguments of rte_eal_init. Works without hugepages and in a network namespace, shares nothing with other DPDK
 * processes, leaves nothing behind in the file system, and loads the software NIC's driver.
 */
export function ealArguments(root: string, options: EalOptions): string[] {
  const cpus = options.cpus ?? ownCpus();
  return [
    'sluice',
    '--no-huge',
    '-m',
    String(options.memoryMb),
    ...(options.pci.length === 0 ? ['--no-pci'] : options.pci.flatMap((address) => ['-a', address])),
    '--no-shconf',
    '--no-telemetry',
    // Names a folder that EAL makes and, with --no-shconf, never uses: the same one for every process, so that a kill
    // before it is removed again leaves no folder for each.
    '--file-prefix',
    'sluice',
    '--lcores',
    Array.from({ length: options.lcores }, (_, lcore) => `${lcore}@${cpus[lcore % cpus.length]}`).join(','),
    '-d',
    softflowDriver(root),
    '--log-level',
    'lib.*:error',
    '--log-level',
    'pmd.*:error',
  ];
}

/** As they were before EAL took the lcores' from this thread. */
let cpusAtFirst: readonly number[] | null = null;

/** CPUs that this process may use. For a thread that asks before EAL starts; others ask NativeBinding.cpus(). */
export function ownCpus(): readonly number[] {
  cpusAtFirst ??= allowedCpus(readFileSync('/proc/self/status', 'utf8'));
  return cpusAtFirst;
}

/** CPUs of a Linux `/proc/PID/status`: a container's or a service's may be any few of the machine's. [0] when it does not say. */
export function allowedCpus(status: string): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
