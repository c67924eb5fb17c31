import { formatIpv4 } from '../../src/config/address.js';
import { RECORD_WORDS } from '../../src/mirror/batch.js';
import { Random } from '../../src/nat/random.js';
import { SessionLife } from '../../src/nat/session-table.js';
import { TcpState } from '../../src/native/records.js';
import { EngineNode, exampleConfig, type Frame } from '../mirror/engine-node.js';

const TIMEOUTS = { udp: 130, icmp: 65, other: 90, tcpEstablished: 200, tcpTransitory: 70 };
const WITHOUT_TAKE_OVER = -1;

/** What the RFCs say of one session, told of each packet when it comes. */
interface Expected {
  readonly row: number;
  readonly generation: number;
  readonly protocol: number;
  readonly outboundIsForward: boolean;
  last: { forward: number; reverse: number };
  created: number;
  established: boolean;
  since: number;
}

/** RFC 4787 REQ-6 (outbound packets refresh), RFC 5382 REQ-5 with RFC 7857 section 2, RFC 5508 REQ-2. */
function endOf(e: Expected, tookOver: number): number {
  if (e.protocol === 6 && !e.established) return e.since + TIMEOUTS.tcpTransitory;
  const begin = Math.max(e.created, tookOver);
  if (e.protocol === 6) return Math.max(e.last.forward, e.last.reverse, begin) + TIMEOUTS.tcpEstablished;
  const outbound = e.outboundIsForward ? e.last.forward : e.last.reverse;
  const idle = e.protocol === 17 ? TIMEOUTS.udp : e.protocol === 1 ? TIMEOUTS.icmp : TIMEOUTS.other;
  return Math.max(outbound, begin) + idle;
}

function configOf(timeouts: typeof TIMEOUTS) {
  return exampleConfig((document) => {
    document.nat = { ...(document.nat as object), timeouts, maxSessions: 64 };
  });
}

const RED = { vni: 100 };
const FRAMES: readonly (Frame & { outboundIsForward: boolean })[] = [
  ...[17, 6, 1, 47].map((protocol) => ({
    from: RED,
    protocol,
    source: '10.0.1.20',
    sourcePort: protocol === 47 ? 0 : 4000,
    destination: '198.51.100.7',
    destinationPort: protocol === 47 ? 0 : protocol === 1 ? 4000 : 53,
    outboundIsForward: true,
  })),
  ...[17, 6].map((protocol) => ({
    from: 'external' as const,
    protocol,
    source: '198.51.100.9',
    sourcePort: 5000,
    destination: '203.0.113.10',
    destinationPort: 80,
    outboundIsForward: false,
  })),
];

test('each session ends in the second in which it has been idle for long enough, wherever its packets were seen', () => {
  const config = configOf(TIMEOUTS);
  const counts = { expired: 0, refreshed: 0, queried: 0, states: 0, seconds: 0 };
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Random(seed);
    const draw = (bound: number) => random.below(bound);
    const node = new EngineNode(config);
    let tookOver = WITHOUT_TAKE_OVER;
    if (seed % 4 === 0) {
      node.engine.standBy();
      node.engine.takeOver(node.now + 60);
      tookOver = node.now + 60;
    }
    const there = FRAMES.map((frame): Expected => {
      const row = node.open(frame);
      expect(row).toBeGreaterThanOrEqual(0);
      const { protocol, outboundIsForward } = frame;
      const generation = node.engine.sessions.generation(row);
      const last = { forward: node.now, reverse: 0 };
      const born = { created: node.now, established: false, since: node.now };
      return { row, generation, protocol, outboundIsForward, last, ...born };
    });
    // To the mapping of the first: what a stranger sends decides of no other session's end.
    const [first] = there;
    const { mappings, sessions } = node.engine;
    const mapping = sessions.sourceMapping(first.row);
    const stranger = node.open({
      ...{ from: 'external', protocol: 17, source: '198.51.100.77', sourcePort: 6000 },
      destination: formatIpv4(mappings.publicAddress(mapping)),
      destinationPort: mappings.publicPort(mapping),
    });
    expect(stranger).toBeGreaterThanOrEqual(0);
    const quiet = 500 + draw(300);
    for (let second = 0; second < quiet + 300; second++, node.now++) {
      while (node.engine.runSessionTimers(node.now, 3) > 0) node.settle();
      for (const e of there) {
        const lives =
          node.engine.sessions.life(e.row) === SessionLife.live &&
          node.engine.sessions.generation(e.row) === e.generation;
        const ends = endOf(e, tookOver);
        counts.seconds++;
        if (lives !== node.now < ends)
          throw new Error(`seed ${seed}, protocol ${e.protocol}, second ${node.now}: ends at ${ends}, lives: ${lives}`);
        if (!lives || second > quiet) continue;
        if (draw(140) === 0) {
          const isReply = draw(2) === 0;
          if (draw(2) === 0) node.hit(e.row, isReply);
          else node.hitInNic(e.row, isReply);
          e.last[isReply ? 'reverse' : 'forward'] = node.now;
        }
        if (e.protocol === 6 && draw(150) === 0) {
          const state = [TcpState.established, TcpState.finForward, TcpState.rst, TcpState.finBoth][draw(4)];
          e.established = state === TcpState.established || state === TcpState.finForward;
          e.since = node.now;
          e.last.forward = node.now;
          node.hit(e.row, false);
          node.become(e.row, state);
          counts.states++;
        }
      }
    }
    expect(node.engine.sessions.count).toBe(0);
    counts.expired += node.expired;
    counts.refreshed += node.refreshed;
    counts.queried += node.queried;
  }
  for (const [what, count] of Object.entries(counts)) expect([what, count > 5]).toEqual([what, true]);
});

describe('while the lcore is asked after a session', () => {
  const config = configOf(TIMEOUTS);
  const asked = () => {
    const node = new EngineNode(config);
    const row = node.open(FRAMES[0]);
    const generation = node.engine.sessions.generation(row);
    node.now += TIMEOUTS.udp;
    node.answerLater();
    expect(node.engine.runSessionTimers(node.now, 100)).toBe(1);
    expect(node.engine.isAsked(row)).toBe(true);
    return { node, row, generation };
  };
  const lives = ({ node, row, generation }: ReturnType<typeof asked>) =>
    node.engine.sessions.life(row) === SessionLife.live && node.engine.sessions.generation(row) === generation;

  test('it lives, and its end is told once if somebody else ends it too', () => {
    const all = asked();
    const { node, row } = all;
    expect(lives(all)).toBe(true);
    node.end(row);
    expect(lives(all)).toBe(false);
    node.answer();
    node.settle();
    expect([node.engine.sessions.count, node.engine.mappings.count]).toEqual([0, 0]);
    expect(node.open(FRAMES[0])).toBe(row);
  });

  test('a configuration with shorter idle times leaves no timer behind', () => {
    const { node, row } = asked();
    node.engine.reconfigure(configOf({ ...TIMEOUTS, udp: TIMEOUTS.udp - 5 }));
    node.engine.reviewSessions(100, node.now);
    expect(node.engine.isAsked(row)).toBe(false);
    node.answer();
    node.settle();
    expect(node.engine.sessions.count).toBe(0);
    expect(node.engine.nextSessionTimer()).toBe(Number.POSITIVE_INFINITY);
  });

  test('a record of it says that it has ended once it has, heard of or not', () => {
    const all = asked();
    const { node, row } = all;
    const record = new Int32Array(RECORD_WORDS);
    expect(node.source.encode(row, record, 0)).toBe(true);
    node.answer();
    expect(lives(all)).toBe(true);
    expect(node.source.encode(row, record, 0)).toBe(false);
  });

  test('a gateway that stands by finds its timer when it takes over again', () => {
    const all = asked();
    const { node, row } = all;
    node.hitInNic(row, false);
    node.engine.standBy();
    node.answer();
    expect(lives(all)).toBe(true);
    node.engine.takeOver(node.now);
    node.now += TIMEOUTS.udp - 1;
    node.engine.runSessionTimers(node.now, 100);
    expect(lives(all)).toBe(true);
    node.now++;
    expect(node.engine.runSessionTimers(node.now, 100)).toBe(1);
    node.settle();
    expect(node.engine.sessions.count).toBe(0);
  });
});
