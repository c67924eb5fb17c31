import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface ForwardingResult {
  readonly packetsPerSecond: number;
}

/**
 * Packets a second that DPDK's testpmd moves between the two wires of the benches on one core, in one of its forwarding
 * modes.
 *
 * @throws Error with what it said when it did not start or told no count
 */
export function testpmdForwarding(
  root: string,
  mode: 'io' | 'macswap' | 'csum',
  flows: number,
  seconds: number,
): Promise<ForwardingResult> {
  const wires = ['fabric', 'external'].map((side, i) => `net_traffic${i},side=${side},flows=${flows}`);
  const eal = [
    '-l',
    '0,1',
    '--no-huge',
    '-m',
    '512',
    '--no-pci',
    '--no-shconf',
    '--no-telemetry',
    '--file-prefix',
    'sluice-bench',
  ];
  const devices = wires.flatMap((wire) => ['--vdev', wire]);
  const driver = ['-d', join(root, 'build/native/librte_net_bench.so')];
  const forwarding = ['--nb-cores=1', '--burst=32', '--total-num-mbufs=16384', `--forward-mode=${mode}`, '-i'];
  return new Promise((resolve, reject) => {
    const child = spawn('dpdk-testpmd', [...eal, ...driver, ...devices, '--', ...forwarding], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let said = '';
    let begun = 0;
    let ended = 0;
    const hear = (chunk: Buffer) => {
      said += chunk.toString();
      if (begun === 0 && said.includes('testpmd>')) {
        begun = performance.now();
        child.stdin.write('start\n');
        setTimeout(() => {
          ended = performance.now();
          child.stdin.write('stop\nquit\n');
        }, seconds * 1000);
      }
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('close', () => {
      const all = said.slice(said.indexOf('Accumulated forward statistics for all ports'));
      const sent = /TX-packets: (\d+)/.exec(all)?.[1];
      if (ended === 0 || sent === undefined) reject(new Error(`dpdk-testpmd told no count:\n${said.slice(-2000)}`));
      else resolve({ packetsPerSecond: Number(sent) / ((ended - begun) / 1000) });
    });
  });
}
