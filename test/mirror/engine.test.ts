import { formatIpv4 } from '../../src/config/address.js';
import { BatchBuffer, BatchReader, R, RECORD_WORDS, recordAt, sealBatch, setVersion } from '../../src/mirror/batch.js';
import type { EngineSink } from '../../src/mirror/engine-sink.js';
import { BatchKind, MirrorRecord } from '../../src/mirror/records.js';
import { emptyFacts } from '../../src/nat/session-table.js';
import { SessionClassNames } from '../../src/native/records.js';
import { EngineNode, exampleConfig, type Frame } from './engine-node.js';
import { random } from './tables.js';

type Draw = (below: number) => number;

/** Traffic of every class: hosts with and without static bindings, the outside, the peer gateway, answers to what is bound. */
function frame(draw: Draw, node: EngineNode): Frame {
  const protocol = [6, 17, 1, 47][draw(4)];
  const inside = ['10.0.1.5', '10.0.1.6', '10.0.1.7', '10.0.2.9', '10.0.1.8'][draw(5)];
  const sourcePort = 1000 + draw(5);
  const outsiders = ['198.51.100.7', '198.51.100.8', '192.0.2.9'];
  const bound = [
    ...publicEndpoints(node),
    { address: '203.0.113.10', port: 80 },
    { address: '203.0.113.11', port: 80 },
  ];
  const target = bound[draw(bound.length)];
  switch (draw(6)) {
    case 0:
      return {
        from: 'external',
        protocol,
        source: outsiders[draw(3)],
        sourcePort,
        destination: target.address,
        destinationPort: target.port,
      };
    case 1:
      return {
        from: { vni: 9000, outerSource: '172.30.0.2' },
        protocol,
        source: `100.64.3.${1 + draw(3)}`,
        sourcePort,
        destination: '100.64.2.9',
        destinationPort: 53,
      };
    case 2:
      return {
        from: { vni: 200 },
        protocol,
        source: inside,
        sourcePort,
        destination: `100.64.3.${1 + draw(3)}`,
        destinationPort: 53,
      };
    case 3:
      return {
        from: { vni: draw(2) === 0 ? 100 : 200 },
        protocol,
        source: inside,
        sourcePort,
        destination: target.address,
        destinationPort: target.port,
      };
    case 4:
      return {
        from: { vni: 100 },
        protocol,
        source: inside,
        sourcePort,
        destination: '100.64.2.9',
        destinationPort: 53,
      };
    default:
      return {
        from: { vni: draw(2) === 0 ? 100 : 200 },
        protocol,
        source: inside,
        sourcePort,
        destination: outsiders[draw(3)],
        destinationPort: 53,
      };
  }
}

function publicEndpoints({ engine }: EngineNode): { address: string; port: number }[] {
  return [...engine.mappings.rowsInUse()].map((row) => ({
    address: formatIpv4(engine.mappings.publicAddress(row)),
    port: engine.mappings.publicPort(row),
  }));
}

/** What a mapping is, whatever its row and its VPCs' indexes. */
function mappingsOf({ engine }: EngineNode): string[] {
  const { mappings, config } = engine;
  const name = (vpc: number) => config.vpcs[vpc]?.name ?? 'outside';
  return [...mappings.rowsInUse()]
    .map((row) =>
      [
        name(mappings.vpc(row)),
        name(mappings.scope(row) - 1),
        mappings.protocol(row),
        formatIpv4(mappings.insideAddress(row)),
        mappings.insidePort(row),
        formatIpv4(mappings.publicAddress(row)),
        mappings.publicPort(row),
        mappings.sessions(row),
        mappings.tenure(row),
      ].join(' '),
    )
    .sort();
}

function liveRows({ engine }: EngineNode): number[] {
  return [...engine.sessions.rowsInUse()].filter((row) => engine.sessions.life(row) === 1);
}

/** Records of all live sessions without what is the writer's own numbering. */
function recordsOf(node: EngineNode): string[] {
  const words = new Int32Array(RECORD_WORDS);
  node.source.beginBatch();
  return liveRows(node)
    .map((row) => {
      words.fill(0);
      expect(node.source.encode(row, words, 0)).toBe(true);
      words[R.row] = 0;
      words[R.generation] = 0;
      return Buffer.from(words.buffer).toString('hex');
    })
    .sort();
}

/** Carries all live sessions from one node to the other through sealed batches. */
function carry(from: EngineNode, sink: EngineSink): number {
  const reader = new BatchReader(1);
  let refused = 0;
  from.source.beginBatch();
  for (const row of liveRows(from)) {
    const buffer = new BatchBuffer(1);
    expect(from.source.encode(row, buffer.words, recordAt(0))).toBe(true);
    setVersion(buffer.words, recordAt(0), 1);
    sealBatch(buffer.words, {
      kind: BatchKind.log,
      shard: 0,
      count: 1,
      epoch: 1,
      dataset: { low: 1, high: 2 },
      sequence: 1,
      generation: 0,
      previousCrc: 0,
      writtenSeconds: 0,
    });
    expect(reader.open(buffer.bytes)).toBeNull();
    expect(sink.conflict(reader.words, recordAt(0))).toBe(-1);
    if (sink.adopt(reader.words, recordAt(0), -1) < 0) refused++;
    else expect(sink.find(reader.words, recordAt(0))).toBeGreaterThanOrEqual(0);
  }
  return refused;
}

const VARIANTS: readonly [string, Record<string, unknown>][] = [
  ['endpoint-independent', {}],
  ['address-and-port-dependent mapping', { mapping: 'address-and-port-dependent' }],
  ['address-dependent filtering', { filtering: 'address-dependent' }],
  ['port blocks of subscribers', { log: 'blocks', portBlockSize: 64 }],
];

describe.each(VARIANTS)('%s', (_name, nat) => {
  const document = (reversed: boolean) =>
    exampleConfig((config) => {
      config.nat = { seed: 1, maxSessions: 4096, portReuseDelay: 0, ...nat };
      // A gateway that has followed other configurations numbers its VPCs otherwise.
      if (reversed) (config.vpcs as unknown[]).reverse();
    });

  test('a standby has the same sessions, mappings and times, and gives no endpoint to a second owner', () => {
    const active = new EngineNode(document(false), 1);
    const standby = new EngineNode(document(true), 1);
    const sink = standby.asReplica();
    standby.now = 5_000_000;
    const draw = random(11);
    const classes = new Set<string>();
    const facts = emptyFacts();
    for (let i = 0; i < 3000; i++) {
      active.now += draw(2);
      const row = active.open(frame(draw, active));
      if (row < 0) continue;
      active.engine.sessions.read(row, facts);
      classes.add(
        `${SessionClassNames[facts.sessionClass]} ${facts.sourceMapping >= 0} ${facts.destinationMapping >= 0}`,
      );
      if (draw(2) === 0) active.hit(row, true);
      if (facts.protocol === 6 && draw(2) === 0) active.become(row, 1 + draw(7));
      if (draw(4) === 0) active.end(row);
    }
    expect(classes.size).toBeGreaterThanOrEqual(7);
    expect(carry(active, sink)).toBe(0);
    expect(mappingsOf(standby)).toEqual(mappingsOf(active));
    // Ranks do not depend on the order in which the file names the VPCs.
    expect(recordsOf(standby)).toEqual(recordsOf(active));

    standby.engine.takeOver(standby.now);
    const owners = new Map<string, string>();
    for (let i = 0; i < 3000; i++) {
      standby.open(frame(draw, standby));
      if (draw(3) === 0) standby.end(liveRows(standby)[draw(liveRows(standby).length)]);
    }
    const { mappings } = standby.engine;
    for (const row of mappings.rowsInUse()) {
      if (!mappings.ownsPort(row)) continue;
      const endpoint = `${mappings.scope(row)} ${mappings.protocol(row)} ${mappings.publicAddress(row)} ${mappings.publicPort(row)}`;
      expect(owners.get(endpoint)).toBeUndefined();
      owners.set(endpoint, String(row));
    }
    for (const row of liveRows(standby)) standby.end(row);
    expect(standby.engine.mappings.count).toBe(0);
    expect(standby.engine.hosts.find(0, 0, 0)).toBe(-1);
    for (const { owned } of standby.engine.poolUse) expect(owned).toBe(0);
  });
});

test('an endpoint that was not claimed would be given away: the check above sees it', () => {
  const tight = exampleConfig((config) => {
    config.nat = { seed: 1, maxSessions: 64, portReuseDelay: 0, portBlockSize: 4 };
    config.externalPools = [{ name: 'one', vpcs: ['red', 'blue'], ranges: ['203.0.113.16'], ports: '5000-5003' }];
  });
  const open = (node: EngineNode, host: number) =>
    node.open({
      from: { vni: 100 },
      protocol: 17,
      source: `10.0.1.${host}`,
      sourcePort: 1,
      destination: '198.51.100.7',
      destinationPort: 1,
    });
  const active = new EngineNode(tight, 1);
  for (const host of [20, 21, 22]) expect(open(active, host)).toBeGreaterThanOrEqual(0);
  const ports = (node: EngineNode) => publicEndpoints(node).map(({ port }) => port);
  const claimed = new EngineNode(tight, 1);
  expect(carry(active, claimed.asReplica())).toBe(0);
  claimed.engine.takeOver(claimed.now);
  expect(open(claimed, 30)).toBeGreaterThanOrEqual(0);
  expect(new Set(ports(claimed)).size).toBe(4);
  expect(open(claimed, 31)).toBe(-1);
  // The fourth port only: what is given back is given out again.
  claimed.end(0);
  expect(open(claimed, 32)).toBeGreaterThanOrEqual(0);
  expect(new Set(ports(claimed)).size).toBe(4);
});

test('idle times and states stand on the standby as they stood', () => {
  const active = new EngineNode(exampleConfig(), 1);
  const standby = new EngineNode(exampleConfig(), 1);
  const sink = standby.asReplica();
  const row = active.open({
    from: { vni: 100 },
    protocol: 6,
    source: '10.0.1.7',
    sourcePort: 1,
    destination: '198.51.100.7',
    destinationPort: 80,
  });
  active.become(row, 3);
  active.now += 40;
  active.hit(row, true);
  active.now += 2;
  standby.now = 77;
  expect(carry(active, sink)).toBe(0);
  standby.engine.takeOver(standby.now);
  // Established, last hit unknown: the whole idle time from the takeover on.
  expect(standby.engine.deadlineOf(0)).toBe(77 + 7440);
  expect(recordsOf(standby)[0].slice(0, MirrorRecord.size * 2)).not.toBe('');
  // A transitory state runs from when it began.
  standby.become(0, 7);
  standby.now += 10;
  expect(standby.engine.deadlineOf(0)).toBe(77 + 240);
});
