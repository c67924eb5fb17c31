import type { FlowDirection, FlowEndpoint, FlowEntry } from '../controller/flow-dump.js';
import type { FlowRate } from '../controller/flow-top.js';
import { type Column, Columns } from './columns.js';
import type { Colour, Terminal } from './terminal.js';

const COLOURS: Readonly<Record<FlowDirection['path'], Colour>> = {
  offloaded: 'green',
  software: 'yellow',
  pending: 'yellow',
  failed: 'red',
};
const SHORT: Readonly<Record<FlowDirection['path'], string>> = {
  offloaded: 'nic',
  software: 'sw',
  pending: 'wait',
  failed: 'fail',
};
const PLAIN: Terminal = { width: null, height: 0, colours: false };

/** Rows that widths are taken from before the first line is printed. */
export const SAMPLE_ROWS = 200;

const identity: readonly Column<FlowEntry>[] = [
  { head: 'CLASS', text: (flow) => flow.class, spare: 3 },
  { head: 'VPC', text: (flow) => flow.vpc, spare: 0 },
  { head: 'PROTO', text: (flow) => flow.protocol, spare: 0 },
  { head: 'STATE', text: (flow) => flow.state, spare: 4 },
  { head: 'INSIDE', text: ({ inside }) => endpoint(inside), spare: 0 },
  { head: 'NAT', text: ({ nat }) => endpoint(nat), spare: 0 },
  { head: 'REMOTE', text: ({ remote }) => endpoint(remote), spare: 0 },
];

export const FLOW_COLUMNS: readonly Column<FlowEntry>[] = [
  { head: 'ID', text: (flow) => flow.id, spare: 6 },
  ...identity,
  {
    head: 'FORWARD',
    text: ({ forward }) => direction(forward),
    short: ({ forward }) => `${SHORT[forward.path]} ${forward.packets}`,
    spare: 1,
    colour: ({ forward }) => COLOURS[forward.path],
  },
  {
    head: 'REVERSE',
    text: ({ reverse }) => direction(reverse),
    short: ({ reverse }) => `${SHORT[reverse.path]} ${reverse.packets}`,
    spare: 2,
    colour: ({ reverse }) => COLOURS[reverse.path],
  },
  { head: 'EXPIRES', text: (flow) => `${Math.ceil(flow.expiresInMs / 1000)}s`, spare: 5, right: true },
];

export const RATE_COLUMNS: readonly Column<FlowRate>[] = [
  { head: 'BIT/S', text: ({ bitsPerSecond }) => amount(bitsPerSecond), spare: 0, right: true },
  { head: 'PACKET/S', text: ({ packetsPerSecond }) => amount(packetsPerSecond), spare: 0, right: true },
  ...FLOW_COLUMNS.filter(({ head }) => head !== 'EXPIRES').map(({ head, text, short, spare, colour }) => ({
    head,
    text: ({ flow }: FlowRate) => text(flow),
    ...(short === undefined ? {} : { short: ({ flow }: FlowRate) => short(flow) }),
    spare,
    ...(colour === undefined ? {} : { colour: ({ flow }: FlowRate) => colour(flow) }),
  })),
];

/** Flows as a table for people, one line each. */
export function flowTable(flows: readonly FlowEntry[], onto: Terminal = PLAIN): string {
  // In a replay nothing has an id that could be asked for.
  const columns = new Columns(
    FLOW_COLUMNS.filter(({ head }) => onto !== PLAIN || head !== 'ID'),
    flows,
    onto,
  );
  return [columns.head(), ...flows.map((flow) => columns.row(flow))].join('\n');
}

function endpoint({ address, port }: FlowEndpoint): string {
  return port === 0 ? address : `${address}:${port}`;
}

function direction({ path, packets, reason }: FlowDirection): string {
  return `${path} ${packets}${reason === null ? '' : ` (${reason})`}`;
}

/** Three digits and a unit. */
export function amount(value: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size * 0.9995) return `${(value / size).toPrecision(3)}${unit}`;
  }
  return value.toFixed(value > 0 && value < 10 ? 1 : 0);
}
