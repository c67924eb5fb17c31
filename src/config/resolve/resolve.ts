import { dirname } from 'node:path';
import type { FaultList } from '../faults.js';
import { Field, NameTable } from '../field.js';
import type { HaSettings, ValidatedConfig } from '../types.js';
import { checkOwnership, checkPeeringReach, type OwnAddress, type PublicClaim } from './ownership.js';
import {
  resolveBypass,
  resolveExternalPools,
  resolvePeeringPools,
  resolveServices,
  resolveStaticBindings,
  resolveTwiceNatPools,
} from './pools.js';
import { resolvePeerGateways, resolvePorts, resolveUnderlay, resolveVteps } from './ports.js';
import {
  resolveControl,
  resolveDslite,
  resolveHa,
  resolveLog,
  resolveMetrics,
  resolveMirror,
  resolveNat,
  resolveOffload,
} from './settings.js';
import { resolvePeerings, resolveVpcs } from './vpcs.js';

/**
 * Turns a document into a configuration and collects every fault on the way.
 *
 * Works on any JSON value, also one that the schema refuses, so that one run tells all faults. Never throws.
 *
 * @param path Absolute path of the file, or null.
 * @returns A configuration that means something only when `faults` stayed empty.
 */
export function resolveConfig(document: unknown, path: string | null, faults: FaultList): ValidatedConfig {
  const root = new Field(faults, [], document);
  const folder = path === null ? process.cwd() : dirname(path);
  const name = root.at('name').text();
  const underlay = resolveUnderlay(root.at('underlay'));
  const ports = resolvePorts(root.at('ports'), underlay, externalUsers(root));
  const peerNames = new NameTable('gateway');
  const peerGateways = resolvePeerGateways(root.at('peerGateways'), name, underlay, peerNames);
  const vpcNames = new NameTable('VPC');
  const gateways = { own: name, peers: peerNames, peerGateways, vtep: underlay.vtep };
  const vpcs = resolveVpcs(root.at('vpcs'), gateways, vpcNames);
  const peerings = resolvePeerings(root.at('peerings'), vpcs, vpcNames);

  const claims: PublicClaim[] = [];
  const context = { vpcs, names: vpcNames, peerGateways, claims };
  const poolNames = new NameTable('external pool');
  const peeringPools = resolvePeeringPools(root.at('peeringPools'), context);
  const externalPools = resolveExternalPools(root.at('externalPools'), context, poolNames);
  const staticBindings = resolveStaticBindings(root.at('staticBindings'), context);
  const twiceNatPools = resolveTwiceNatPools(root.at('twiceNatPools'), context);
  const services = resolveServices(root.at('services'), context, twiceNatPools);
  const ha = resolveHa(root.at('ha'), name ?? '', folder);
  checkVip(root.at('ha').at('vip').at('address'), ha, ports.ports);
  checkOwnership(claims, ownAddresses(underlay.vtep, ports.ports, ha));
  checkPeeringReach(claims, vpcs, peerings);

  return {
    path,
    raw: document,
    name: name ?? '',
    underlay,
    ...ports,
    vteps: resolveVteps(root.at('vteps'), underlay),
    vpcs: vpcs.map(({ hasAllSubnets: _, ...vpc }) => vpc),
    peerings,
    peeringPools,
    externalPools,
    staticBindings,
    peerGateways,
    bypass: resolveBypass(root.at('bypass'), context),
    services,
    twiceNatPools,
    nat: resolveNat(root.at('nat')),
    offload: resolveOffload(root.at('offload')),
    mirror: resolveMirror(root.at('mirror')),
    ha,
    control: resolveControl(root.at('control'), folder),
    metrics: resolveMetrics(root.at('metrics')),
    log: resolveLog(root.at('log')),
    dslite: resolveDslite(root.at('dslite'), poolNames),
  };
}

/** Names of the parts that send or receive on the external port. */
function externalUsers(root: Field): readonly string[] {
  const users = ['externalPools', 'services', 'bypass'].filter((name) => root.at(name).items().length > 0);
  if (
    root
      .at('staticBindings')
      .items()
      .some((item) => item.at('external').isPresent)
  ) {
    users.push('external staticBindings');
  }
  return users;
}

/** A VIP that is the port's own address as well is told once, where the next hop stands. */
function checkVip(field: Field, ha: HaSettings | null, ports: ValidatedConfig['ports']): void {
  const vip = ha?.vip?.address.address;
  if (vip === undefined || ports.some(({ address }) => address?.address === vip)) return;
  if (ports.some(({ nextHop }) => nextHop?.address === vip)) {
    field.fault('is the address of the next hop', 'give an address that nobody else has');
  }
}

function ownAddresses(vtep: number, ports: ValidatedConfig['ports'], ha: HaSettings | null): readonly OwnAddress[] {
  const own: OwnAddress[] = [{ address: vtep, what: "the gateway's own VTEP", forPeering: true }];
  for (const port of ports) {
    if (port.role !== 'external') continue;
    if (port.address)
      own.push({ address: port.address.address, what: `the own address of port "${port.name}"`, forPeering: true });
    if (port.nextHop)
      own.push({ address: port.nextHop.address, what: 'the address of the next hop', forPeering: false });
  }
  const vip = ha?.vip?.address.address;
  if (vip !== undefined && own.every(({ address }) => address !== vip)) {
    own.push({ address: vip, what: "the pair's VIP", forPeering: true });
  }
  return own;
}
