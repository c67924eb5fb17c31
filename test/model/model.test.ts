import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { checksum } from './checksum.js';
import { checksumsAreRight, encodeIpv4, Packet, rewritten, UDP, withTransportChecksum } from './ipv4.js';
import { Random } from './random.js';

// A process of its own: EAL starts once in one.
const script = join(__dirname, '../../scripts/model.sh');

function model(...options: string[]) {
  return spawnSync(script, options, { encoding: 'utf8', timeout: 280_000 });
}

test('gateway and model agree on random sequences, and every class of outcome occurs', () => {
  const { status, stdout, stderr } = model('--seed', '1', '--sequences', '120', '--seconds', '240', '--all-outcomes');
  expect({ status, stdout: status === 0 ? '' : stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
}, 300_000);

test('gateways of two and four shards do what the model says, each first packet in the shard that looks it up', () => {
  const run = ['--seed', '1', '--sequences', '60', '--seconds', '240', '--shards', '2,4', '--all-outcomes'];
  const { status, stdout, stderr } = model(...run);
  expect({ status, stdout: status === 0 ? '' : stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
}, 300_000);

test('a run in which a class of outcome never occurred fails and names it', () => {
  const { status, stdout } = model('--seed', '1', '--sequences', '1', '--all-outcomes');
  expect(status).toBe(1);
  expect(stdout).toContain('never occurred: ');
}, 60_000);

test('a rewritten checksum is the one that a computation from scratch gives', () => {
  const random = new Random(1);
  for (let n = 0; n < 2000; n++) {
    const payload = Buffer.alloc(8 + random.int(0, 9));
    payload.writeUInt16BE(random.int(0, 0xffff), 0);
    payload.writeUInt16BE(random.int(0, 0xffff), 2);
    payload.writeUInt16BE(payload.length, 4);
    const ends = { source: random.u32(), destination: random.u32() };
    const bytes = withTransportChecksum(encodeIpv4({ ...ends, protocol: UDP, payload }));
    const change = { source: random.u32(), destinationPort: random.int(0, 0xffff) };
    const after = rewritten(bytes, change);
    expect(checksumsAreRight(after)).toBe(true);
    expect(withTransportChecksum(Buffer.from(after)).equals(after)).toBe(true);
    expect(checksum(after, 0, new Packet(after).headerLength)).toBe(0);
  }
});
