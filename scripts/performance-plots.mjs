// Plots of docs/performance.md as Vega-Lite specifications, one function each: results by bench name in, a specification
// out, or null when a bench that it needs has not been run.

const WIDTH = 460;
const HEIGHT = 220;
const FONT = { font: 'sans-serif', fontSize: 12 };
const CONFIG = {
  background: 'white',
  axis: { labelFont: FONT.font, titleFont: FONT.font },
  legend: { labelFont: FONT.font, titleFont: FONT.font, labelLimit: 260 },
  title: { font: FONT.font, anchor: 'start' },
};

const base = (title, values, rest) => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  title,
  width: WIDTH,
  height: HEIGHT,
  padding: 8,
  config: CONFIG,
  data: { values },
  ...rest,
});

const axisOfRate = (title) => ({ title, axis: { format: '~s' }, scale: { zero: true } });

/** New flows a second over resident sessions; bars from least to most. */
export function setupRate({ setup }) {
  if (setup === undefined) return null;
  const values = Object.entries(setup.figures.byResident).flatMap(([resident, kinds]) =>
    Object.entries(kinds).map(([kind, { median, least, most }]) => ({
      resident: Number(resident),
      kind: kind === 'oneCore' ? 'one core' : 'lcore + JavaScript',
      median,
      least,
      most,
    })),
  );
  const x = {
    field: 'resident',
    type: 'quantitative',
    title: 'resident sessions',
    scale: { type: 'log', base: 2 },
    axis: { format: '~s', values: [...new Set(values.map(({ resident }) => resident))] },
  };
  const color = { field: 'kind', type: 'nominal', title: null, legend: { orient: 'bottom' } };
  return base('New flows a second: median, least and most', values, {
    layer: [
      {
        mark: { type: 'line', point: true },
        encoding: { x, y: { field: 'median', type: 'quantitative', ...axisOfRate('new flows/s') }, color },
      },
      {
        mark: { type: 'rule', strokeWidth: 2 },
        encoding: { x, y: { field: 'least', type: 'quantitative' }, y2: { field: 'most' }, color },
      },
    ],
  });
}

/** Percentiles of first packets beside those of empty wake-ups. */
export function firstPacket({ setup }) {
  if (setup === undefined) return null;
  const shares = { p50: '50', p99: '99', p999: '99.9', p9999: '99.99' };
  const values = [
    ['first packet', setup.figures.firstPacketMicros],
    ['since due on the wire', setup.figures.firstPacketFromWireMicros],
    ['empty wake-up', setup.figures.emptyWakeupMicros],
  ].flatMap(([kind, of]) => Object.entries(shares).map(([key, share]) => ({ kind, share, micros: of[key] })));
  return base('Latency at half the rate', values, {
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'share', type: 'ordinal', sort: Object.values(shares), title: 'percentile', axis: { labelAngle: 0 } },
      y: { field: 'micros', type: 'quantitative', title: 'µs', scale: { type: 'log' } },
      color: { field: 'kind', type: 'nominal', title: null, sort: null, legend: { orient: 'bottom' } },
    },
  });
}

const bars = (title, values, unit) =>
  base(title, values, {
    height: { step: 14 },
    mark: 'bar',
    resolve: { scale: { y: 'independent' } },
    encoding: {
      y: { field: 'what', type: 'nominal', sort: null, title: null, axis: { labelLimit: 260 } },
      x: { field: 'value', type: 'quantitative', title: unit, axis: { format: '~s' } },
      color: { field: 'kind', type: 'nominal', title: null, sort: null, legend: { orient: 'bottom' } },
      ...(values.some(({ group }) => group !== undefined)
        ? {
            row: {
              field: 'group',
              type: 'nominal',
              sort: null,
              title: null,
              header: { labelAngle: 0, labelAlign: 'left' },
            },
          }
        : {}),
    },
  });

/** Packets a second against what the wires and the memory give at most. */
export function forwardRates({ forward }) {
  if (forward === undefined) return null;
  const { softwareMpps, nicMpps, boundMpps, boundHot1kMpps, wireMpps } = forward.figures;
  const resident = Number(forward.conditions.resident).toLocaleString('en');
  const values = [
    { group: `${resident} at random`, what: 'software', value: softwareMpps.random1M * 1e6, kind: 'Sluice' },
    { group: `${resident} at random`, what: 'software NIC', value: nicMpps.random1M * 1e6, kind: 'Sluice' },
    { group: `${resident} at random`, what: 'wires and 5 random lines', value: boundMpps * 1e6, kind: 'bound' },
    { group: '1,000 sessions', what: 'software', value: softwareMpps.hot1k * 1e6, kind: 'Sluice' },
    { group: '1,000 sessions', what: 'software NIC', value: nicMpps.hot1k * 1e6, kind: 'Sluice' },
    { group: '1,000 sessions', what: 'wires and 5 random lines', value: boundHot1kMpps * 1e6, kind: 'bound' },
    { group: '1,000 sessions', what: 'wires alone', value: wireMpps * 1e6, kind: 'bound' },
  ];
  return bars('Forwarding on one core', values, 'packets/s');
}

/** What others do with the same traffic on the same machine. */
export function peers({ peers: result }) {
  if (result === undefined || result.figures.nftables === null) return null;
  const { sluice, nftables } = result.figures;
  const values = [
    { group: 'new flows/s', what: 'Sluice', value: sluice.newFlowsPerSecond, kind: 'Sluice' },
    { group: 'new flows/s', what: 'nftables', value: nftables.newFlowsPerSecond, kind: 'peer' },
    { group: 'packets/s', what: 'Sluice', value: sluice.packetsPerSecond, kind: 'Sluice' },
    { group: 'packets/s', what: 'nftables', value: nftables.packetsPerSecond, kind: 'peer' },
  ];
  return bars('The same traffic: nftables behind veth, Sluice on the bench wires', values, 'a second');
}

/** Bytes a session, by what holds them. */
export function memory({ memory: result }) {
  if (result === undefined) return null;
  const { engineParts, counted, bytesPerRuleCounted } = result.figures;
  const values = [
    ...Object.entries(engineParts).map(([part, bytes]) => ({ what: 'session', part: `engine: ${part}`, bytes })),
    { what: 'session', part: "lcore's rows", bytes: counted.lcoreRows },
    { what: 'session', part: 'software rules', bytes: counted.softwareRules },
    { what: 'its two NIC rules', part: 'net_softflow', bytes: 2 * bytesPerRuleCounted },
  ];
  return base('Memory of a session', values, {
    height: { step: 34 },
    mark: 'bar',
    encoding: {
      y: { field: 'what', type: 'nominal', sort: null, title: null },
      x: { field: 'bytes', type: 'quantitative', title: 'bytes' },
      color: { field: 'part', type: 'nominal', sort: null, title: null, legend: { orient: 'bottom', columns: 4 } },
      order: { field: 'part' },
    },
  });
}
