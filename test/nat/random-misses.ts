import { parseIpv4 } from '../../src/config/address.js';
import { MissEvent, MissKind, NO_VNI } from '../../src/native/records.js';

const address = (text: string) => parseIpv4(text) as number;

/** Values that meet each other often. */
const SOURCES = ['10.0.1.5', '10.0.1.6', '10.0.1.7', '10.0.2.9', '10.3.0.9', '198.51.100.9', '100.64.3.1', '10.9.9.9'];
const DESTINATIONS = [
  ...SOURCES,
  '10.0.1.1',
  '172.30.0.1',
  '203.0.113.1',
  '203.0.113.10',
  '203.0.113.11',
  '203.0.113.16',
  '203.0.113.17',
  '100.64.1.0',
  '100.64.2.9',
  '192.0.2.7',
];

export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A first packet of the fixture's gateway, as a miss record. @param learned Ports that are worth calling. */
export function missRecord(
  draw: (below: number) => number,
  ports: { fabric: number; external: number },
  learned: number[],
) {
  const view = new DataView(new ArrayBuffer(MissEvent.size));
  const pick = <T>(list: readonly T[]) => list[draw(list.length)];
  const outside = draw(3) === 0;
  const protocol = pick([6, 6, 17, 17, 1, 47]);
  view.setUint8(MissEvent.kind, MissKind.ipv4);
  view.setUint8(MissEvent.port, outside ? ports.external : ports.fabric);
  view.setUint8(MissEvent.protocol, protocol);
  view.setUint32(MissEvent.seconds, 1000, true);
  view.setUint32(MissEvent.vni, outside ? NO_VNI : pick([100, 100, 200, 200, 9000, 555]), true);
  view.setUint32(MissEvent.outerSourceAddress, address(pick(['172.30.0.11', '172.30.0.2'])), true);
  view.setUint32(MissEvent.sourceAddress, address(pick(SOURCES)), true);
  view.setUint32(MissEvent.destinationAddress, address(pick(DESTINATIONS)), true);
  const hasPorts = protocol !== 47;
  const source = hasPorts ? pick([1000, 1001, 1002, 1003]) : 0;
  view.setUint16(MissEvent.sourcePort, source, true);
  const known = learned.length > 0 && draw(2) === 0 ? pick(learned) : pick([80, 443]);
  view.setUint16(MissEvent.destinationPort, protocol === 1 ? source : hasPorts ? known : 0, true);
  view.setUint8(MissEvent.tcpFlags, pick([2, 2, 2, 16]));
  view.setUint8(MissEvent.ttl, pick([64, 64, 64, 64, 1]));
  view.setUint8(MissEvent.icmpType, pick([8, 8, 0, 13]));
  return new Int32Array(view.buffer);
}
