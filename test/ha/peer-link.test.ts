import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { PeerLink, type PeerMessage } from '../../src/ha/peer-link';
import { until } from './keeper-pair';

const ADDRESS = '127.0.0.1';
const open: PeerLink[] = [];
const sockets: Socket[] = [];

afterEach(() => {
  for (const link of open.splice(0)) link.close();
  for (const socket of sockets.splice(0)) socket.close();
});

/** Alone on its port: nobody else can bind there. */
async function exclusive(): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket('udp4');
  socket.bind(0, ADDRESS);
  await once(socket, 'listening');
  return { socket, port: socket.address().port };
}

function link(boot: string, listen: number, address: number, heard: PeerMessage[]): PeerLink {
  const settings = {
    listen: { address: ADDRESS, port: listen },
    address: { address: ADDRESS, port: address },
    heartbeatMs: 20,
    secret: 'a secret of the pair',
  };
  const message: PeerMessage = {
    group: 'g',
    node: boot,
    boot,
    state: 'INIT',
    epoch: 1,
    redis: true,
    ask: '',
    promise: '',
  };
  const made = new PeerLink('g', boot, settings, () => message);
  made.onMessage = (from) => heard.push(from);
  open.push(made);
  made.open();
  return made;
}

test('an_address_that_cannot_be_listened_on_yet_is_listened_on_as_soon_as_it_can_be', async () => {
  const [taken, other] = [await exclusive(), await exclusive()];
  other.socket.close();
  let sent = 0;
  sockets.push(
    createSocket({ type: 'udp4', reuseAddr: true })
      .on('message', () => sent++)
      .bind(other.port, ADDRESS),
  );
  await once(sockets[0], 'listening');
  const heard: PeerMessage[] = [];
  const late = link('late', taken.port, other.port, heard);
  await until('the fault is told', () => late.fault?.includes('EADDRINUSE') === true);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(late.fault).toContain('EADDRINUSE');
  expect(sent).toBe(0);
  taken.socket.close();
  await until('it listens', () => late.fault === null && sent > 0);
  link('other', 0, taken.port, []);
  await until('it hears', () => heard.some(({ node }) => node === 'other'));
});

test('closed_while_it_waits_it_leaves_nothing_behind', async () => {
  const taken = await exclusive();
  const waiting = link('late', taken.port, taken.port, []);
  await until('the fault is told', () => waiting.fault !== null);
  waiting.close();
  taken.socket.close();
  await new Promise((resolve) => setTimeout(resolve, 700));
  // The port is free: somebody who wants it alone gets it.
  const again = createSocket('udp4');
  again.bind(taken.port, ADDRESS);
  await once(again, 'listening');
  again.close();
});
