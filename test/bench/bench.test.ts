import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fold } from '../../bench/flame';

const root = join(__dirname, '../..');

// Generous: threads that spin wait long for a core when others have it.
jest.setTimeout(300_000);

type Figures = Record<string, unknown>;

/** Runs a bench with sizes that say nothing about speed, and takes its last line. */
function figuresOf(name: string, resident = 2000, report = name, ...more: string[]): Figures {
  const sizes = ['--runs', '1', '--seconds', '0.1', '--resident', `${resident}`, '--flows', '1000', ...more];
  const output = execFileSync(process.execPath, [join(root, 'dist/bench/main.js'), name, '--json', ...sizes], {
    encoding: 'utf8',
    cwd: root,
  });
  const reported = JSON.parse(output.trimEnd().split('\n').at(-1) as string) as { name: string; figures: Figures };
  expect(reported.name).toBe(report);
  return reported.figures;
}

function expectPositive(value: unknown): void {
  expect(typeof value).toBe('number');
  expect(value).toBeGreaterThan(0);
}

test('setup opens every flow, translated and with its rules, and measures first packets', () => {
  const figures = figuresOf('setup');
  expect(figures.failed).toBe(0);
  expect(figures.resident).toBe(3000);
  expectPositive(figures.newFlowsPerSecond);
  expectPositive(figures.oneCoreNewFlowsPerSecond);
  for (const key of ['missMicros', 'exhaustedMissMicros', 'exhaustedNewHostMissMicros', 'exhaustedMissRatio']) {
    expectPositive(figures[key]);
  }
  const churn = figures.churn as Record<string, number>;
  expect(churn.failed).toBeGreaterThanOrEqual(0);
  expectPositive(churn.newFlowsPerSecond);
  expect(figures.firstPackets).toBe(1000);
  // As many empty wake-ups as first packets: they came by turns and at the same pace.
  expect(figures.emptyWakeups).toBe(1000);
  expect(figures.emptyWakeupsLost).toBe(0);
  for (const key of ['emptyWakeupMicros', 'toEmptyWakeup', 'pingPongWakeupMicros']) {
    for (const value of Object.values(figures[key] as Record<string, number>)) expectPositive(value);
  }
  const { p50, p99, p999, p9999 } = figures.firstPacketMicros as Record<string, number>;
  expectPositive(p50);
  expect(p99).toBeGreaterThanOrEqual(p50);
  expect(p999).toBeGreaterThanOrEqual(p99);
  expect(p9999).toBeGreaterThanOrEqual(p999);
});

test('setup --shards opens every flow in a whole gateway of several, whose lcores hand over what is not theirs', () => {
  // As many flows as take several ticks of 10 ms, in which CPU time is counted.
  const figures = figuresOf('setup', 2000, 'setupShards', '--shards', '3', '--flows', '30000');
  expect(figures.failed).toBe(0);
  const byShards = (key: string) => figures[key] as Record<string, number>;
  for (const key of ['newFlowsPerSecond', 'shardNewFlowsPerSecond', 'inTurnsMicros', 'flowMicros']) {
    expect(Object.keys(byShards(key))).toEqual(['1', '2', '3']);
    for (const value of Object.values(byShards(key))) expectPositive(value);
  }
  const handedOver = byShards('handedOverShare');
  expect(handedOver['1']).toBe(0);
  // A frame comes to one of N queues whoever owns it.
  expect(handedOver['2']).toBeCloseTo(1 / 2, 1);
  expect(handedOver['3']).toBeCloseTo(2 / 3, 1);
});

test('shards are no option of other benches', () => {
  const run = () =>
    execFileSync(process.execPath, [join(root, 'dist/bench/main.js'), 'insert', '--shards', '2'], { stdio: 'pipe' });
  expect(run).toThrow(expect.objectContaining({ status: 2 }));
});

test('forward translates every packet right, in software and in the software NIC alone', () => {
  const figures = figuresOf('forward');
  expect(figures.shapesWrong).toBe(0);
  for (const key of ['softwareMpps', 'nicMpps', 'shapesMpps', 'shapesBoundMpps', 'shapesShareOfBound']) {
    const { random1M, hot1k } = figures[key] as Record<string, number>;
    expectPositive(random1M);
    expectPositive(hot1k);
  }
  expectPositive(figures.boundMpps);
  expect(figures.wrong).toBe(0);
  expect(figures.lost).toBe(0);
  expect(figures.nicShare).toBe(1);
});

test('insert installs and removes every rule; what a driver lacks is null', () => {
  const figures = figuresOf('insert');
  expect(figures.failed).toBe(0);
  for (const key of ['syncPerSecond', 'doNothingPerSecond', 'deletePerSecond', 'doNothingAsyncPerSecond']) {
    expectPositive(figures[key]);
  }
  if (figures.asyncPerSecond !== null) expectPositive(figures.asyncPerSecond);
});

test('memory measures and counts a session and a rule', () => {
  // What fewer sessions take is lost in what a process takes anyway.
  const figures = figuresOf('memory', 50_000);
  for (const key of [
    'bytesPerSession',
    'engineBytesPerSession',
    'bytesPerSessionCounted',
    'bytesPerRule',
    'bytesPerRuleCounted',
  ]) {
    expectPositive(figures[key]);
  }
});

test('idle measures a gateway with every session in the NIC, also while sessions end', () => {
  const figures = figuresOf('idle');
  expect(figures.resident).toBe(2000);
  expectPositive(figures.idlePercentOfCore);
  expectPositive(figures.endingPercentOfCore);
  expect(figures.endedPerSecond).toBeGreaterThanOrEqual(0);
});

test('bounds measures the machine without a gateway', () => {
  const figures = figuresOf('bounds');
  for (const key of ['handOverPerSecond', 'roundTripNanos', 'doNothingPerSecond']) expectPositive(figures[key]);
  for (const key of ['touchesPerSecond', 'chainedTouchesPerSecond', 'emptyWakeupMicros']) {
    for (const value of Object.values(figures[key] as Record<string, number>)) expectPositive(value);
  }
});

test('shards opens every flow in each of several engines, with ports that they ask for', () => {
  const figures = figuresOf('shards');
  expect(figures.refused).toBe(0);
  for (const key of ['cpuMicrosAMiss', 'missesPerSecond']) {
    for (const value of Object.values(figures[key] as Record<string, number>)) expectPositive(value);
  }
  expect((figures.blocksAskedAThousand as Record<string, number>)['1']).toBe(0);
});

test('rfc9693 finds a rate without failures, the whole capacity and no more', () => {
  const figures = figuresOf('rfc9693');
  expect(figures.tableCapacity).toBe(2000);
  expect(figures.maximumEstablishmentPerSecond).toBeGreaterThanOrEqual(0);
  expect(figures.trials).toBeGreaterThan(3);
  expectPositive(figures.tearDownPerSecond);
});

test('peers: the kernel translates the same traffic, frame by frame as expected, and testpmd moves it', () => {
  const figures = figuresOf('peers');
  expect(figures.wrong).toBe(0);
  for (const value of Object.values(figures.testpmdPacketsPerSecond as Record<string, number>)) expectPositive(value);
  const { newFlowsPerSecond, packetsPerSecond } = figures.sluice as Record<string, number>;
  expectPositive(newFlowsPerSecond);
  expectPositive(packetsPerSecond);
  // Null where the kernel refuses namespaces; the report says so.
  if (figures.nftables !== null) {
    expect(figures.failed).toBe(0);
    for (const value of Object.values(figures.nftables as Record<string, number>)) expectPositive(value);
  }
});

test("stacks of perf become a line each, outermost first, a thread's together", () => {
  const script = [
    'rte-worker-1  100/102 ',
    '\t    7f00 sluice::(anonymous namespace)::parse(unsigned int, char const*)',
    '\t    7f10 sluice::SlowPath::receive(rte_mbuf*)',
    '\t    7f20 [unknown]',
    '',
    'node  100/100 ',
    '\t    1 LazyCompile:*open /some/where/engine.js:361',
    '',
    'rte-worker-1  100/102 ',
    '\t    7f04 sluice::(anonymous namespace)::parse(unsigned int, char const*)',
    '\t    7f10 sluice::SlowPath::receive(rte_mbuf*)',
    '',
  ].join('\n');
  const { folded, pids } = fold(script);
  expect(folded.split('\n')).toEqual([
    'rte-worker-1;sluice::SlowPath::receive;sluice::parse 2',
    'node;LazyCompile:*open engine.js:361 1',
  ]);
  expect([...pids]).toEqual([100]);
});

test('an unknown bench is a usage error', () => {
  const run = () => execFileSync(process.execPath, [join(root, 'dist/bench/main.js'), 'speed'], { stdio: 'pipe' });
  expect(run).toThrow(expect.objectContaining({ status: 2 }));
});

test('compile fills rules, compiles every shape for every NIC and random lists', () => {
  const figures = figuresOf('compile');
  for (const key of ['rowsPerSecond', 'shapeMicros', 'listsPerSecond']) expectPositive(figures[key]);
  // Many random lists are such as no NIC serves; enough of them are not.
  expect(figures.listsCompiled).toBeGreaterThan(0.2);
});

test('mirror carries every changed session through Redis and into a standby’s engine', () => {
  const figures = figuresOf('mirror');
  for (const key of ['eventsPerSecond', 'eventsPerCpuSecond', 'replaySessionsPerSecond', 'lossMillisP99']) {
    expectPositive(figures[key]);
  }
  expect(figures.sessions).toBe(2000);
});
