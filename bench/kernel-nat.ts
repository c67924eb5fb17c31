import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { formatIpv4, formatMac } from '../src/config/address.js';
import type { Scenario } from './native.js';

const INNER_HOP = '10.255.255.253';
const INNER_OWN = '10.255.255.254';
const EXTERNAL_OWN = '203.0.113.1/24';
const EXTERNAL_HOP = '203.0.113.254';
/** Kernel settings that namespaces share: put back afterwards. */
const SHARED_SETTINGS = {
  '/proc/sys/net/netfilter/nf_conntrack_max': (sessions: number) => sessions * 2,
  '/sys/module/nf_conntrack/parameters/hashsize': (sessions: number) => sessions,
} as const;

/**
 * The kernel as the same gateway: VXLAN in, nftables source NAT to the same pool, plain out, in a network namespace. Its
 * two wires end in a namespace of the traffic's: interfaces `fabric` and `external`.
 */
export class KernelNat {
  /** Namespace that the traffic must come from. */
  readonly traffic: string;
  private readonly gateway: string;
  private readonly before = new Map<string, string>();

  /** @throws Error with what the kernel or a tool refused; nothing is left then */
  constructor(scenario: Scenario, sessions: number) {
    this.traffic = `sluice-bench-${process.pid}-traffic`;
    this.gateway = `sluice-bench-${process.pid}-nat`;
    try {
      this.makeLinks(scenario);
      this.makeRoutes(scenario);
      this.makeNat(scenario, sessions);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Takes both namespaces away and puts shared settings back. */
  close(): void {
    for (const name of [this.traffic, this.gateway]) {
      try {
        command('ip', 'netns', 'delete', name);
      } catch {} // it was not made
    }
    for (const [path, value] of this.before) writeFileSync(path, value);
    this.before.clear();
  }

  private makeLinks({ gatewayMac, externalMac }: Scenario): void {
    for (const name of [this.traffic, this.gateway]) command('ip', 'netns', 'add', name);
    // Neighbour discovery would send frames of its own.
    for (const name of [this.traffic, this.gateway])
      inside(name, 'sysctl', '-q', '-w', 'net.ipv6.conf.default.disable_ipv6=1');
    for (const [link, mac] of [
      ['fabric', gatewayMac],
      ['external', externalMac],
    ] as const) {
      const ours = ['name', link, 'netns', this.traffic];
      const theirs = ['name', link, 'address', formatMac(mac), 'netns', this.gateway];
      command('ip', 'link', 'add', ...ours, 'type', 'veth', 'peer', ...theirs);
      for (const name of [this.traffic, this.gateway]) inside(name, 'ip', 'link', 'set', link, 'mtu', '2000', 'up');
    }
  }

  private makeRoutes({
    gatewayVtep,
    hostVtep,
    hostVtepMac,
    hostMac,
    gatewayMac,
    nextHopMac,
    vni,
    vxlanPort,
  }: Scenario) {
    const ip = (...args: string[]) => inside(this.gateway, 'ip', ...args);
    ip('address', 'add', `${formatIpv4(gatewayVtep)}/24`, 'dev', 'fabric');
    ip('address', 'add', EXTERNAL_OWN, 'dev', 'external');
    const neighbour = (address: string, mac: number, device: string) =>
      ip('neighbour', 'add', address, 'lladdr', formatMac(mac), 'dev', device, 'nud', 'permanent');
    neighbour(formatIpv4(hostVtep), hostVtepMac, 'fabric');
    neighbour(EXTERNAL_HOP, nextHopMac, 'external');
    const tunnel = ['id', String(vni), 'local', formatIpv4(gatewayVtep), 'dstport', String(vxlanPort)];
    ip(
      'link',
      'add',
      'vpc',
      'address',
      formatMac(gatewayMac),
      'type',
      'vxlan',
      ...tunnel,
      'nolearning',
      'dev',
      'fabric',
    );
    ip('link', 'set', 'vpc', 'up');
    ip('address', 'add', `${INNER_OWN}/32`, 'dev', 'vpc');
    neighbour(INNER_HOP, hostMac, 'vpc');
    inside(this.gateway, 'bridge', 'fdb', 'append', formatMac(hostMac), 'dev', 'vpc', 'dst', formatIpv4(hostVtep));
    ip('route', 'add', '10.0.0.0/8', 'via', INNER_HOP, 'dev', 'vpc', 'onlink');
    ip('route', 'add', 'default', 'via', EXTERNAL_HOP, 'dev', 'external');
  }

  private makeNat({ poolFirst, poolLast }: Scenario, sessions: number): void {
    for (const [path, wanted] of Object.entries(SHARED_SETTINGS)) {
      if (!existsSync(path)) throw new Error(`the kernel has no connection tracking: ${path} is missing`);
      const before = readFileSync(path, 'utf8').trim();
      if (Number(before) >= wanted(sessions)) continue;
      this.before.set(path, before);
      writeFileSync(path, String(wanted(sessions)));
    }
    for (const setting of [
      'net.ipv4.ip_forward=1',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
      'net.ipv4.conf.fabric.rp_filter=0',
      'net.ipv4.conf.external.rp_filter=0',
      'net.ipv4.conf.vpc.rp_filter=0',
      'net.netfilter.nf_conntrack_udp_timeout=3600',
    ]) {
      inside(this.gateway, 'sysctl', '-q', '-w', setting);
    }
    const pool = `${formatIpv4(poolFirst)}-${formatIpv4(poolLast)}`;
    const rule = `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "external" snat to ${pool}; }; }`;
    inside(this.gateway, 'nft', rule);
    // What arrives is handled on the second CPU: the traffic spins on the first.
    for (const link of ['fabric', 'external']) {
      inside(this.gateway, 'sh', '-c', `echo 2 > /sys/class/net/${link}/queues/rx-0/rps_cpus`);
    }
  }
}

function inside(namespace: string, ...args: string[]): void {
  command('ip', 'netns', 'exec', namespace, ...args);
}

/** @throws Error with what the command said */
function command(program: string, ...args: string[]): void {
  try {
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  } catch (error) {
    const { stderr, message } = error as Error & { readonly stderr?: string };
    throw new Error(`${program} ${args.join(' ')}: ${stderr?.trim() || message}`);
  }
}
