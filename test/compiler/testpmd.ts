import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Arguments } from '../../src/compiler/trial/list-interpreter';

/** One flow of the examples: host 10.0.1.5 of a VPC, and whom it talks to. */
export const EXAMPLE: Required<Arguments> = {
  matchSourceAddress: 0x0a00_0105,
  matchDestinationAddress: 0xc633_6407,
  matchSourcePort: 40000,
  matchDestinationPort: 53,
  matchVni: 100,
  matchOuterSourceAddress: 0xac1e_0002,
  newSourceAddress: 0xcb00_7110,
  newDestinationAddress: 0x0a00_0209,
  newSourcePort: 1024,
  newDestinationPort: 8080,
  newVni: 200,
  outerDestinationAddress: 0xac1e_000c,
  outerDestinationMac: 0x0200_0000_0012,
  innerDestinationMac: 0x0200_0002_0012,
  outerUdpSourcePort: 50123,
  protocol: 47,
  ageSeconds: 300,
  ruleTag: 77,
};

export const testpmd = spawnSync('sh', ['-c', 'command -v dpdk-testpmd']).status === 0;
export const softflow = join(__dirname, '../../build/native/librte_net_softflow.so');

/** What Debian's testpmd says to the commands, on ports made by the EAL arguments. */
export function testpmdOutput(eal: readonly string[], commands: readonly string[]): string {
  const folder = mkdtempSync(join(homedir(), '.sluice-testpmd-'));
  try {
    const { stdout, stderr } = spawnSync(
      'dpdk-testpmd',
      [
        ...['--no-huge', '-m', '256', '--no-pci', '--no-shconf', '--lcores', '0@0,1@0', ...eal],
        ...['--', '-i', '--total-num-mbufs=2048'],
      ],
      {
        input: [...commands, 'quit', ''].join('\n'),
        env: { ...process.env, XDG_RUNTIME_DIR: folder },
        encoding: 'utf8',
      },
    );
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const times = (output: string, pattern: string | RegExp): number => output.split(pattern).length - 1;
