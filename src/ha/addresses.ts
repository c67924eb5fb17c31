import { prefixRange } from '../config/address.js';
import type { Ipv4Range, ValidatedConfig } from '../config/types.js';

/** Addresses announced at most; with a virtual MAC one is enough, and hosts ask for what they do not know. */
const MOST_ANNOUNCED = 1024;

/**
 * The configuration as a member of a pair lives it: with `ha.virtualMac`, both gateways have that MAC on both sides, so
 * that nobody has to learn anything at a takeover but the switches on the way.
 */
export function withVirtualMac(config: ValidatedConfig): ValidatedConfig {
  const mac = config.ha?.virtualMac ?? null;
  if (mac === null) return config;
  return {
    ...config,
    underlay: { ...config.underlay, mac },
    ports: config.ports.map((port) => ({ ...port, mac })),
  };
}

/**
 * What a gateway that has taken over announces: its VTEP on the fabric; outside, the port's own address, the VIP, and
 * the static and pool addresses on the port's link, as many as fit.
 */
export function announcements(config: ValidatedConfig): { readonly port: number; readonly address: number }[] {
  const list = [{ port: config.fabricPort as number, address: config.underlay.vtep }];
  const seen = new Set<number>();
  const port = config.ports[config.externalPort];
  if (port === undefined) return list;
  const say = (address: number) => {
    if (seen.has(address) || list.length >= MOST_ANNOUNCED) return;
    seen.add(address);
    list.push({ port: port.index, address });
  };
  if (port.address !== null) say(port.address.address);
  const link = port.address === null ? null : prefixRange(port.address);
  const onLink = (range: Ipv4Range) => {
    if (link === null) return;
    const last = Math.min(range.last, link.last);
    for (let address = Math.max(range.first, link.first); address <= last && list.length < MOST_ANNOUNCED; address++)
      say(address);
  };
  const vip = config.ha?.vip?.address.address;
  if (vip !== undefined) onLink({ first: vip, last: vip });
  for (const binding of config.staticBindings) if (binding.side === 'external') onLink(binding.public);
  for (const pool of config.externalPools) for (const range of pool.ranges) onLink(range);
  return list;
}
