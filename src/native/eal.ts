import { join } from 'node:path';

export interface EalOptions {
  /** Memory for packet buffers, MiB. */
  readonly memoryMb: number;
  /** Lcores, e.g. [0] inline, [0, 1] with a worker for the slow path. The first is the JavaScript thread's. */
  readonly lcores: readonly number[];
  /** Whether PCI devices are probed. */
  readonly pci: boolean;
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
  return [
    'sluice',
    '--no-huge',
    '-m',
    String(options.memoryMb),
    ...(options.pci ? [] : ['--no-pci']),
    '--no-shconf',
    '--no-telemetry',
    // Names a folder that EAL makes and, with --no-shconf, never uses: the same one for every process, so that a kill
    // before it is removed again leaves no folder for each.
    '--file-prefix',
    'sluice',
    '-l',
    options.lcores.join(','),
    '-d',
    softflowDriver(root),
    '--log-level',
    'lib.*:error',
    '--log-level',
    'pmd.*:error',
  ];
}
