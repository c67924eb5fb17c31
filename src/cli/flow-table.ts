import Table from 'cli-table3';
import type { FlowDirection, FlowEndpoint, FlowEntry } from '../controller/flow-dump.js';

const PLAIN = {
  chars: {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: ' ',
  },
  style: { 'padding-left': 0, 'padding-right': 1, head: [], border: [] },
};

/** Flows as a table for people, one line each. */
export function flowTable(flows: readonly FlowEntry[]): string {
  const table = new Table({
    ...PLAIN,
    head: ['CLASS', 'VPC', 'PROTO', 'STATE', 'INSIDE', 'NAT', 'REMOTE', 'FORWARD', 'REVERSE', 'EXPIRES'],
  });
  for (const flow of flows) {
    table.push([
      flow.class,
      flow.vpc,
      flow.protocol,
      flow.state,
      endpoint(flow.inside),
      endpoint(flow.nat),
      endpoint(flow.remote),
      direction(flow.forward),
      direction(flow.reverse),
      `${Math.ceil(flow.expiresInMs / 1000)}s`,
    ]);
  }
  return table.toString().replace(/ +$/gm, '');
}

function endpoint({ address, port }: FlowEndpoint): string {
  return port === 0 ? address : `${address}:${port}`;
}

function direction({ path, packets, reason }: FlowDirection): string {
  return `${path} ${packets}${reason === null ? '' : ` (${reason})`}`;
}
