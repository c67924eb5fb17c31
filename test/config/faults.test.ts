import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadConfig, validateConfig } from '../../src/config/index.js';
import { type Document, document, faultsOf, smallest } from './fixture.js';

/** A change to the example, and the one place where a fault must be told for it. */
type Case = [what: string, change: (raw: Document) => void, path: string, message: RegExp, hint?: RegExp];

function tell(cases: readonly Case[], from: () => Document = document): void {
  for (const [what, change, path, message, hint] of cases) {
    test(`${what} is told at its place`, () => {
      const raw = from();
      change(raw);
      const faults = faultsOf(raw);
      expect(new Set(faults.map((fault) => fault.path))).toEqual(new Set([path]));
      expect(faults[0].message).toMatch(message);
      expect(faults[0].hint).toMatch(hint ?? /./);
    });
  }
}

describe('shape', () => {
  // biome-ignore format: a table, a case in a line
  tell([
    ['an unknown field', (c) => { c.nat.timeout = {}; }, '/nat/timeout', /not a known field/, /did you mean "timeouts"/],
    ['an unknown field at the top', (c) => { c.vpc = []; }, '/vpc', /not a known field/, /"vpcs"/],
    ['an unknown field with a slash', (c) => { c['a/b~c'] = 1; }, '/a~1b~0c', /not a known field/],
    ['a missing name', (c) => { delete c.name; }, '/name', /is missing/],
    ['a missing VNI', (c) => { delete c.vpcs[1].vni; }, '/vpcs/1/vni', /is missing/],
    ['an array that is an object', (c) => { c.vteps = {}; }, '/vteps', /must be an array, not an object/],
    ['a string that is a number', (c) => { c.underlay.mac = 5; }, '/underlay/mac', /must be a string, not a number/],
    ['a number that is a string', (c) => { c.vpcs[0].vni = '100'; }, '/vpcs/0/vni', /must be an integer, not a string/],
    ['a number with a fraction', (c) => { c.nat.timeouts.udp = 1.5; }, '/nat/timeouts/udp', /must be an integer, not 1.5/],
    ['a VNI of more than 24 bits', (c) => { c.vpcs[0].vni = 2 ** 24; }, '/vpcs/0/vni', /more than 16777215/],
    ['a timeout of zero', (c) => { c.nat.timeouts.tcpEstablished = 0; }, '/nat/timeouts/tcpEstablished', /less than 1/],
    ['no sessions at all', (c) => { c.nat.maxSessions = 0; }, '/nat/maxSessions', /less than 1/],
    ['an unknown mapping', (c) => { c.nat.mapping = 'endpoint-independant'; }, '/nat/mapping', /not allowed/, /did you mean "endpoint-independent"/],
    ['an unknown offload mode', (c) => { c.offload.mode = 'always'; }, '/offload/mode', /not allowed/],
    ['an offload mode of a wrong type', (c) => { c.offload.mode = 3; }, '/offload/mode', /must be a string or an object/],
    ['an offload after no packets', (c) => { c.offload.mode = { afterPackets: 0 }; }, '/offload/mode/afterPackets', /less than 1/],
    ['an unknown field in the offload mode', (c) => { c.offload.mode = { afterPackets: 1, x: 1 }; }, '/offload/mode/x', /not a known field/],
    ['an offload mode without its number', (c) => { c.offload.mode = {}; }, '/offload/mode/afterPackets', /is missing/],
    ['a name with a space', (c) => { c.ha.group = 'g 1'; }, '/ha/group', /malformed/],
    ['a URL of something else than Redis', (c) => { c.mirror.redis = 'http://127.0.0.1'; }, '/mirror/redis', /not a redis/],
    ['a Redis URL without end', (c) => { c.mirror.redis = 'redis://[::1'; }, '/mirror/redis', /not HOST:PORT/],
    ['several servers without saying how', (c) => { c.mirror.redis = 'redis://a:1,b:2'; }, '/mirror/redis', /several hosts/],
    ['sentinels without a master', (c) => { c.mirror.redis = 'redis+sentinel://a,b'; }, '/mirror/redis', /no master/],
    ['a database of a cluster', (c) => { c.mirror.redis = 'redis+cluster://a,b/2'; }, '/mirror/redis', /a database/],
    ['a metrics address without port', (c) => { c.metrics.address = '127.0.0.1'; }, '/metrics/address', /HOST:PORT|malformed/],
    ['a metrics port beyond 65535', (c) => { c.metrics.address = '127.0.0.1:65536'; }, '/metrics/address', /not HOST:PORT/],
    ['a socket path that Linux cannot take', (c) => { c.control.socket = `/${'x'.repeat(107)}`; }, '/control/socket', /longer than 107 bytes/],
    ['an unknown target', (c) => { c.offload.target = 'mlx5-sw'; }, '/offload/target', /unknown target "mlx5-sw"/, /did you mean "mlx5-sws"/],
    ['a target like nothing known', (c) => { c.offload.target = 'a-nic-of-mine'; }, '/offload/target', /unknown target/, /known: "auto", "bnxt"/],
    ['a target of an unknown release', (c) => { c.offload.target = 'sfc@19.11'; }, '/offload/target', /no table of DPDK 19.11/, /sfc@22.11, sfc@26.07/],
    ['one file for both HA files', (c) => { c.ha.resultFile = './ha_config.json'; }, '/ha/resultFile', /same file/],
  ]);

  test.each([[null], [[]], ['gateway'], [3], [{}]])('a document that is %j is refused', (raw) => {
    const faults = faultsOf(raw);
    expect(faults.length).toBeGreaterThan(0);
    for (const { hint } of faults) expect(hint).not.toMatch(/^$|src\//);
  });

  test.each(['auto', 'softflow', 'software', 'mlx5-hws', 'sfc@22.11', 'sfc@26.07'])(
    'the target %s may stand',
    (target) => {
      const raw = document();
      raw.offload.target = target;
      expect(faultsOf(raw)).toEqual([]);
    },
  );
});

describe('underlay and ports', () => {
  // biome-ignore format: a table, a case in a line
  tell([
    ['an address that is none', (c) => { c.underlay.vtep = '172.30.0.256'; }, '/underlay/vtep', /"172.30.0.256" is not an IPv4 address/],
    ['a multicast address', (c) => { c.underlay.vtep = '224.0.0.1'; }, '/underlay/vtep', /not a unicast address/],
    ['a MAC that is none', (c) => { c.underlay.mac = '02:00:00:00:f0'; }, '/underlay/mac', /not a MAC address/],
    ['a multicast MAC', (c) => { c.ports.external.mac = '03:00:00:00:e0:01'; }, '/ports/external/mac', /multicast MAC/],
    ['a MAC of zeros', (c) => { c.vteps[0].mac = '00:00:00:00:00:00'; }, '/vteps/0/mac', /not the MAC/],
    ['an unknown role', (c) => { c.ports.external.role = 'outside'; }, '/ports/external/role', /not allowed/],
    ['a second fabric port', (c) => { c.ports.fabric2 = { role: 'fabric' }; }, '/ports/fabric2/role', /second port of role fabric/],
    ['a gateway without ports', (c) => { c.ports = {}; }, '/ports', /must not be empty/],
    ['a missing fabric port', (c) => { delete c.ports.fabric; }, '/ports', /no port has the role fabric/],
    ['a missing external port that pools need', (c) => { delete c.ports.external; }, '/ports', /no port has the role external, but externalPools/],
    ['an external port without MAC', (c) => { delete c.ports.external.mac; }, '/ports/external/mac', /is missing/],
    ['an external port without address', (c) => { delete c.ports.external.address; }, '/ports/external/address', /is missing/],
    ['an external port without next hop', (c) => { delete c.ports.external.nextHop; }, '/ports/external/nextHop', /is missing/],
    ['an address without prefix length', (c) => { c.ports.external.address = '203.0.113.1'; }, '/ports/external/address', /prefix length/, /203.0.113.1\/24/],
    ['a network address as the port\'s own', (c) => { c.ports.external.address = '203.0.113.0/24'; }, '/ports/external/address', /network address/],
    ['a next hop outside the subnet', (c) => { c.ports.external.nextHop.address = '203.0.114.254'; }, '/ports/external/nextHop/address', /not in the port's subnet/],
    ['a next hop that is the port itself', (c) => { c.ports.external.nextHop.address = '203.0.113.1'; }, '/ports/external/nextHop/address', /own address/],
    ['a VLAN on the fabric port', (c) => { c.ports.fabric.vlan = 5; }, '/ports/fabric/vlan', /belongs to the external port/],
    ['a VLAN beyond 4094', (c) => { c.ports.external.vlan = 4095; }, '/ports/external/vlan', /more than 4094/],
    ['another MAC on the fabric port', (c) => { c.ports.fabric.mac = '02:00:00:00:00:01'; }, '/ports/fabric/mac', /differs from underlay.mac/],
    ['another address on the fabric port', (c) => { c.ports.fabric.address = '172.30.0.9/24'; }, '/ports/fabric/address', /differs from underlay.vtep/],
    ['one device as two ports', (c) => { c.ports.external.device = 'net_softflow0,wire=net_tap1'; }, '/ports/external/device', /is port "fabric" already/],
    ['a port name that no command line could take', (c) => { c.ports['a=b'] = c.ports.external; delete c.ports.external; }, '/ports/a=b', /name is malformed/],
    ['a VTEP listed twice', (c) => { c.vteps[1].address = '172.30.0.11'; }, '/vteps/1/address', /stands at \/vteps\/0\/address already/],
    ['the own VTEP as neighbour', (c) => { c.vteps[1].address = '172.30.0.1'; }, '/vteps/1/address', /own VTEP/],
    ['two peer gateways behind one VTEP', (c) => { c.peerGateways.push({ ...c.peerGateways[0], name: 'gw3' }); }, '/peerGateways/1/vtep', /stands at/],
    ['two peer gateways of one name', (c) => { c.peerGateways.push({ ...c.peerGateways[0], vtep: '172.30.0.3' }); }, '/peerGateways/1/name', /taken by another gateway/],
    ['a peer gateway of this gateway\'s name', (c) => { c.peerGateways[0].name = 'gw1'; }, '/peerGateways/0/name', /own name/],
  ]);
});

describe('VPCs and peerings', () => {
  // biome-ignore format: a table, a case in a line
  tell([
    ['a name taken twice', (c) => { c.vpcs.push({ name: 'red', vni: 300, subnets: ['10.0.0.0/8'] }); }, '/vpcs/2/name', /"red" is taken/],
    ['a VNI taken twice', (c) => { c.vpcs[1].vni = 100; }, '/vpcs/1/vni', /that of VPC "red"/],
    ['the VNI of a peer gateway', (c) => { c.vpcs[1].vni = 9000; }, '/vpcs/1/vni', /that of peer gateway "gw2"/],
    ['an unknown gateway', (c) => { c.vpcs[1].gateway = 'gw22'; }, '/vpcs/1/gateway', /unknown gateway "gw22"/, /did you mean "gw2"/],
    ['a subnet with host bits', (c) => { c.vpcs[0].subnets = ['10.0.1.5/24']; }, '/vpcs/0/subnets/0', /bits set/, /10.0.1.0\/24/],
    ['a subnet without length', (c) => { c.vpcs[1].subnets.push('10.0.9.0'); }, '/vpcs/1/subnets/2', /not an IPv4 prefix/, /10.0.9.0\/32/],
    ['overlapping subnets', (c) => { c.vpcs[1].subnets.push('10.0.2.128/25'); }, '/vpcs/1/subnets/2', /overlaps 10.0.2.0\/24/],
    ['a subnet that contains an earlier one', (c) => { c.vpcs[1].subnets.push('10.0.0.0/16'); }, '/vpcs/1/subnets/2', /overlaps/],
    ['a repeated subnet', (c) => { c.vpcs[1].subnets.push('10.0.2.0/24'); }, '/vpcs/1/subnets/2', /repeats/],
    ['a VPC without subnets', (c) => { c.vpcs.push({ name: 'x', vni: 7 }); }, '/vpcs/2/subnets', /is missing/],
    ['a VPC with no subnet in the list', (c) => { c.vpcs.push({ name: 'x', vni: 7, subnets: [] }); }, '/vpcs/2/subnets', /must not be empty/],
    ['a route prefix with host bits', (c) => { c.vpcs[0].routes[0].prefix = '10.0.1.1/24'; }, '/vpcs/0/routes/0/prefix', /bits set/],
    ['two routes for one prefix', (c) => { c.vpcs[0].routes.push({ ...c.vpcs[0].routes[0], vtep: '172.30.0.12' }); }, '/vpcs/0/routes/1/prefix', /has a route at \/vpcs\/0\/routes\/0/],
    ['a route back to this gateway', (c) => { c.vpcs[0].routes[0].vtep = '172.30.0.1'; }, '/vpcs/0/routes/0/vtep', /own VTEP/],
    ['a multicast MAC in a route', (c) => { c.vpcs[0].routes[0].mac = 'ff:ff:ff:ff:ff:ff'; }, '/vpcs/0/routes/0/mac', /multicast/],
    ['a gateway address outside the subnets', (c) => { c.vpcs[0].gatewayAddress = '10.0.2.1'; }, '/vpcs/0/gatewayAddress', /none of the VPC's subnets/],
    ['an unknown VPC in a peering', (c) => { c.peerings[0].vpcs[1] = 'bleu'; }, '/peerings/0/vpcs/1', /unknown VPC "bleu"/, /did you mean "blue"/],
    ['a VPC peered with itself', (c) => { c.peerings[0].vpcs = ['red', 'red']; }, '/peerings/0/vpcs/1', /peered with itself/],
    ['a peering of one', (c) => { c.peerings[0].vpcs = ['red']; }, '/peerings/0/vpcs', /at least 2/],
  ]);
});

describe('pools', () => {
  const external = (c: Document, ...ranges: string[]) => {
    c.externalPools.push({ name: 'p2', vpcs: ['red'], ranges });
  };
  // biome-ignore format: a table, a case in a line
  tell([
    ['an unknown VPC of a pool', (c) => { c.externalPools[0].vpcs[1] = 'rad'; }, '/externalPools/0/vpcs/1', /unknown VPC/, /did you mean "red"/],
    ['an unknown VPC of a peering pool', (c) => { c.peeringPools[1].vpc = 'nobody'; c.staticBindings.pop(); }, '/peeringPools/1/vpc', /unknown VPC/, /known: "red", "blue"/],
    ['a VPC named twice', (c) => { c.externalPools[0].vpcs = ['red', 'red']; }, '/externalPools/0/vpcs/1', /stands here already/],
    ['a pool name taken twice', (c) => { c.externalPools.push({ name: 'internet', ranges: ['198.51.100.1'] }); }, '/externalPools/1/name', /taken by another external pool/],
    ['a remote VPC with an external pool', (c) => { c.vpcs[1].gateway = 'gw2'; }, '/externalPools/0/vpcs/1', /belongs to gateway "gw2"/],
    ['a range that is none', (c) => external(c, '198.51.100.1-'), '/externalPools/1/ranges/0', /not a range/],
    ['a range with host bits', (c) => external(c, '198.51.100.1/24'), '/externalPools/1/ranges/0', /bits set/, /198.51.100.0\/24/],
    ['a reversed range', (c) => external(c, '198.51.100.9-198.51.100.2'), '/externalPools/1/ranges/0', /ends before it begins/, /198.51.100.2-198.51.100.9/],
    ['a range of addresses that are not unicast', (c) => external(c, '224.0.0.0/24'), '/externalPools/1/ranges/0', /not unicast/],
    ['a range across loopback', (c) => external(c, '126.255.255.255-128.0.0.1'), '/externalPools/1/ranges/0', /not unicast/],
    ['a pool without ranges', (c) => external(c), '/externalPools/1/ranges', /at least 1/],
    ['a pool that repeats an address', (c) => external(c, '198.51.100.0/30', '198.51.100.2'), '/externalPools/1/ranges/1', /overlaps 198.51.100.0\/30/],
    ['a pool over another', (c) => external(c, '203.0.113.20'), '/externalPools/1/ranges/0', /overlaps 203.0.113.16\/28 of \/externalPools\/0\/ranges\/0/],
    ['a peering pool over another VPC\'s', (c) => { c.peeringPools[1].ranges = ['100.64.1.8/29', '100.64.2.0/28']; }, '/peeringPools/1/ranges/0', /overlaps 100.64.1.0\/28/, /different VPCs/],
    ['a peering pool over another of the same VPC', (c) => { c.peeringPools.push({ vpc: 'red', ranges: ['100.64.1.1'] }); }, '/peeringPools/2/ranges/0', /overlaps 100.64.1.0\/28/],
    ['an external pool over a peering pool', (c) => external(c, '100.64.2.1'), '/externalPools/1/ranges/0', /overlaps 100.64.2.0\/28/, /external and peering/],
    ['a peering pool in a peered VPC\'s subnets', (c) => { c.peeringPools.push({ vpc: 'red', ranges: ['10.0.2.128/28'] }); }, '/peeringPools/2/ranges/0', /overlaps the subnet 10.0.2.0\/24 of the peered VPC "blue"/],
    ['a pool with the port\'s own address', (c) => external(c, '203.0.113.0/29'), '/externalPools/1/ranges/0', /contains 203.0.113.1, the own address of port "external"/],
    ['a pool with the next hop', (c) => external(c, '203.0.113.254'), '/externalPools/1/ranges/0', /is the address of the next hop/],
    ['a pool with the VTEP', (c) => external(c, '172.30.0.1'), '/externalPools/1/ranges/0', /is the gateway's own VTEP/],
    ['a pool with the VIP', (c) => { c.ha.vip.address = '203.0.113.20/24'; }, '/externalPools/0/ranges/0', /contains 203.0.113.20, the pair's VIP/, /leave it out/],
    ['a peering pool with the VIP', (c) => { c.ha.vip.address = '100.64.1.3/24'; }, '/peeringPools/0/ranges/0', /contains 100.64.1.3, the pair's VIP/],
    ['a binding of the VIP', (c) => { c.ha.vip.address = '203.0.113.10/24'; }, '/staticBindings/0/external', /is the pair's VIP/],
    ['the next hop as VIP', (c) => { c.ha.vip.address = '203.0.113.254/24'; }, '/ha/vip/address', /is the address of the next hop/],
    ['port 0', (c) => { c.externalPools[0].ports = '0-100'; }, '/externalPools/0/ports', /not a range of ports/],
    ['port 65536', (c) => { c.peeringPools[0].ports = '1-65536'; }, '/peeringPools/0/ports', /not a range of ports/],
    ['port number 0', (c) => { c.peeringPools[0].ports = 0; }, '/peeringPools/0/ports', /less than 1/],
    ['reversed ports', (c) => { c.peeringPools[0].ports = '200-100'; }, '/peeringPools/0/ports', /end before they begin/, /100-200/],
    ['ports that are words', (c) => { c.peeringPools[0].ports = 'high'; }, '/peeringPools/0/ports', /not a range of ports/],
  ]);
});

describe('static bindings', () => {
  const add = (c: Document, ...bindings: Document[]) => {
    c.staticBindings.push(...bindings);
  };
  const web = { vpc: 'red', protocol: 'tcp', private: '10.0.1.7:80', external: '203.0.113.12:80' };
  // biome-ignore format: a table, a case in a line
  tell([
    ['an unknown VPC', (c) => add(c, { ...web, vpc: 'rde' }), '/staticBindings/3/vpc', /unknown VPC/, /did you mean "red"/],
    ['a remote VPC with an external binding', (c) => { c.vpcs.push({ name: 'far', vni: 7, gateway: 'gw2' }); add(c, { ...web, vpc: 'far' }); }, '/staticBindings/3/vpc', /belongs to gateway "gw2"/],
    ['neither external nor peering', (c) => { delete c.staticBindings[0].external; }, '/staticBindings/0/external', /is missing/],
    ['both external and peering', (c) => { c.staticBindings[0].peering = '100.64.1.9'; }, '/staticBindings/0/peering', /beside external/],
    ['a host outside the VPC', (c) => add(c, { ...web, private: '10.0.2.7:80' }), '/staticBindings/3/private', /not in the subnets of VPC "red"/, /10.0.1.0\/24/],
    ['a prefix that leaves the VPC', (c) => { c.vpcs[1].subnets = ['10.0.1.0/24', '10.0.2.0/25']; add(c, { vpc: 'blue', private: '10.0.2.0/24', external: '198.51.100.0/24' }); }, '/staticBindings/3/private', /not in the subnets/],
    ['a port on the public side alone', (c) => add(c, { ...web, private: '10.0.1.7' }), '/staticBindings/3/private', /has no port, but external has one/],
    ['a port on the private side alone', (c) => add(c, { ...web, external: '203.0.113.12' }), '/staticBindings/3/external', /has no port, but private has one/],
    ['a port mapping without protocol', (c) => add(c, { ...web, protocol: undefined }), '/staticBindings/3/protocol', /is missing|must be/],
    ['a protocol without ports', (c) => { c.staticBindings[0].protocol = 'tcp'; }, '/staticBindings/0/protocol', /port mappings only/],
    ['a protocol without port mappings', (c) => add(c, { ...web, protocol: 'gre' }), '/staticBindings/3/protocol', /not allowed/],
    ['port 0', (c) => add(c, { ...web, external: '203.0.113.12:0' }), '/staticBindings/3/external', /not an address with a port/],
    ['prefixes of different size', (c) => add(c, { vpc: 'red', private: '10.0.1.128/28', external: '198.51.100.0/27' }), '/staticBindings/3/external', /has 32 addresses, private has 16/],
    ['a prefix against an address', (c) => add(c, { vpc: 'red', private: '10.0.1.128/28', external: '198.51.100.1' }), '/staticBindings/3/external', /has 1 addresses/],
    ['a prefix with host bits', (c) => add(c, { vpc: 'red', private: '10.0.1.129/28', external: '198.51.100.0/28' }), '/staticBindings/3/private', /bits set/],
    ['a range, which bindings do not take', (c) => add(c, { vpc: 'red', private: '10.0.1.128-10.0.1.129', external: '198.51.100.0/31' }), '/staticBindings/3/private', /neither an address/],
    ['the same public address twice', (c) => add(c, { vpc: 'blue', private: '10.0.2.7', external: '203.0.113.10' }), '/staticBindings/3/external', /bound at \/staticBindings\/0 already/],
    ['a public address inside a bound prefix', (c) => add(c, { vpc: 'blue', private: '10.0.2.0/28', external: '203.0.113.0/28' }), '/staticBindings/3/external', /contains|bound/],
    ['the same public tuple twice', (c) => add(c, { ...web, external: '203.0.113.11:80' }), '/staticBindings/3/external', /mapped at \/staticBindings\/1 already/],
    ['a port mapping on another host\'s address', (c) => add(c, { ...web, external: '203.0.113.10:80' }), '/staticBindings/3/external', /bound as a whole to another host at \/staticBindings\/0/],
    ['an address binding on another host\'s port mapping', (c) => add(c, { vpc: 'red', private: '10.0.1.7', external: '203.0.113.11' }), '/staticBindings/1/external', /bound as a whole to another host at \/staticBindings\/3/],
    ['two external addresses of one host', (c) => add(c, { vpc: 'red', private: '10.0.1.5', external: '203.0.113.12' }), '/staticBindings/3/private', /has a binding at \/staticBindings\/0 already/],
    ['two peering addresses of one host', (c) => add(c, { vpc: 'blue', private: '10.0.2.9', peering: '100.64.2.8' }), '/staticBindings/3/private', /has a binding at \/staticBindings\/2 already/],
    ['an external binding in a peering pool', (c) => add(c, { ...web, external: '100.64.2.3:80' }), '/staticBindings/3/external', /overlaps 100.64.2.0\/28/],
    ['a peering binding in an external pool', (c) => add(c, { vpc: 'red', private: '10.0.1.7', peering: '203.0.113.20' }), '/staticBindings/3/peering', /overlaps 203.0.113.16\/28/],
    ['a peering binding in another VPC\'s pool', (c) => add(c, { vpc: 'red', private: '10.0.1.7', peering: '100.64.2.3' }), '/staticBindings/3/peering', /overlaps 100.64.2.0\/28/],
    ['the port\'s own address', (c) => add(c, { ...web, external: '203.0.113.1:80' }), '/staticBindings/3/external', /is the own address of port "external"/],
    ['the VTEP as peering address', (c) => add(c, { vpc: 'red', private: '10.0.1.7', peering: '172.30.0.1' }), '/staticBindings/3/peering', /own VTEP/],
    ['a multicast public address', (c) => add(c, { ...web, external: '224.0.0.1:80' }), '/staticBindings/3/external', /not unicast/],
    ['the gateway\'s address in the VPC as host', (c) => { c.vpcs[0].gatewayAddress = '10.0.1.7'; add(c, web); }, '/staticBindings/3/private', /gateway's own address in VPC "red"/],
  ]);

  test.each<[string, Document[]]>([
    ['port mappings of one address to different ports', [web, { ...web, external: '203.0.113.12:81' }]],
    ['port mappings of one tuple for two protocols', [web, { ...web, protocol: 'udp' }]],
    ['port mappings of one address to different VPCs', [web, { ...web, vpc: 'blue', external: '203.0.113.12:443' }]],
    [
      'a port mapping of the host that has the whole address',
      [{ ...web, private: '10.0.1.5:8080', external: '203.0.113.10:80' }],
    ],
    ['a binding inside a pool', [{ vpc: 'red', private: '10.0.1.7', external: '203.0.113.20' }]],
    ['an external and a peering address of one host', [{ vpc: 'blue', private: '10.0.2.9', external: '203.0.113.12' }]],
    ['one private address in two VPCs', [{ vpc: 'blue', private: '10.0.1.5', external: '203.0.113.12' }]],
    ['a prefix over two adjoining subnets', [{ vpc: 'blue', private: '10.0.2.0/25', external: '198.51.100.0/25' }]],
  ])('%s may stand', (_, bindings) => {
    const raw = document();
    add(raw, ...bindings);
    expect(faultsOf(raw)).toEqual([]);
  });
});

describe('further parts', () => {
  // biome-ignore format: a table, a case in a line
  tell(
    [
      ['a service on a bound address', (c) => { c.services[0].external = '203.0.113.13:81'; }, '/services/0/external', /bound as a whole/],
      ['a service on a mapped tuple', (c) => { c.services[0].external = '203.0.113.12:2222'; }, '/services/0/external', /mapped at \/staticBindings\/1 already/],
      ['two services on one tuple', (c) => { c.services[1].protocol = 'tcp'; }, '/services/1/external', /mapped at \/services\/0 already/],
      ['a backend outside the VPC', (c) => { c.services[0].backends[1].private = '10.1.8.2:80'; }, '/services/0/backends/1/private', /not in the subnets/],
      ['a backend listed twice', (c) => { c.services[0].backends[1].private = '10.0.8.1:80'; }, '/services/0/backends/1/private', /is the backend at/],
      ['backends that all weigh nothing', (c) => { c.services[1].backends[0].weight = 0; }, '/services/1/backends', /weight above 0/],
      ['a service without backends', (c) => { c.services[1].backends = []; }, '/services/1/backends', /at least 1/],
      ['twice NAT without a pool', (c) => { delete c.twiceNatPools; }, '/services/0/twiceNat', /no twice NAT pool/],
      ['a service of a remote VPC', (c) => { c.services[1].vpc = 'far'; }, '/services/1/vpc', /belongs to gateway/],
      ['twice NAT ranges that overlap', (c) => { c.twiceNatPools[0].ranges.push('192.168.77.9'); }, '/twiceNatPools/0/ranges/1', /overlaps/],
      ['a bypass of a prefix with host bits', (c) => { c.bypass[0].destinations[0] = '198.18.0.1/15'; }, '/bypass/0/destinations/0', /bits set/],
      ['an unknown DS-Lite pool', (c) => { c.dslite.pool = 'c'; }, '/dslite/pool', /unknown external pool/],
      ['an AFTR without pool', (c) => { delete c.dslite.pool; }, '/dslite/pool', /is missing/],
      ['an AFTR that is a B4 too', (c) => { c.dslite = { b4: { address: '::1:1', aftr: '::1:2' }, pool: 'b' }; }, '/dslite/pool', /belongs to an AFTR/],
      ['a B4 prefix with host bits', (c) => { c.dslite.b4Prefixes[0] = '2001:db8:100::1/40'; }, '/dslite/b4Prefixes/0', /bits set/, /2001:db8:100::\/40/],
      ['a multicast AFTR', (c) => { c.dslite.aftr = 'ff02::1'; }, '/dslite/aftr', /not a unicast/],
      ['a virtual MAC that is multicast', (c) => { c.ha.virtualMac = '01:00:5e:00:00:01'; }, '/ha/virtualMac', /multicast/],
    ],
    () => document('everything'),
  );
});

test('all faults are told at once, in the order of the document', () => {
  const raw = document();
  raw.underlay.vtep = 'x';
  raw.vpcs[0].vni = -1;
  raw.vpcs[1].subnets.push('10.0.1.0/25');
  raw.externalPools[0].vpcs.push('green');
  raw.nat.timeouts.udp = 'long';
  raw.log.colour = true;
  expect(faultsOf(raw).map((fault) => fault.path)).toEqual([
    '/underlay/vtep',
    '/vpcs/0/vni',
    '/vpcs/1/subnets/2',
    '/externalPools/0/vpcs/2',
    '/nat/timeouts/udp',
    '/log/colour',
  ]);
});

test('one wrong value is one fault, whatever the schema has against it', () => {
  const raw = document();
  raw.offload.mode = 3;
  raw.underlay.mac = 'x';
  expect(faultsOf(raw).map((fault) => fault.path)).toEqual(['/underlay/mac', '/offload/mode']);
});

test('one wrong value is one fault, whatever refers to it', () => {
  const raw = document();
  raw.vpcs[0].subnets[0] = '10.0.1.0/240';
  expect(faultsOf(raw).map((fault) => fault.path)).toEqual(['/vpcs/0/subnets/0']);
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-config-'));
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const faults = (path: string) => {
    const result = loadConfig(path);
    return result.ok ? [] : result.faults;
  };

  test('a missing file is one fault', () => {
    expect(faults(join(folder, 'none.json'))).toEqual([
      { path: '', message: 'cannot be read: no such file or directory', hint: 'give the path of a JSON file' },
    ]);
  });

  test('a folder is one fault', () => {
    expect(faults(folder)).toMatchObject([{ path: '', message: expect.stringContaining('cannot be read') }]);
  });

  test('a syntax error is told with line and column', () => {
    expect(faults(file('syntax.json', '{\n  "name": "gw1",\n}'))).toMatchObject([
      { path: '', message: expect.stringContaining('line 2, column 16') },
    ]);
  });

  test('a binary file is one fault', () => {
    expect(faults(file('binary.json', Buffer.from([0x7f, 0x45, 0xff, 0xfe])))).toMatchObject([
      { path: '', message: 'is not UTF-8 text' },
    ]);
  });

  test('a field that stands twice is a fault beside the others', () => {
    const text = JSON.stringify({ ...smallest(), extra: 1 }).replace('"name":"gw1"', '"name":"gw1","name":"gw2"');
    expect(faults(file('twice.json', text)).map((fault) => fault.path)).toEqual(['/name', '/extra']);
  });
});

/** Every place in a document, as the path to it. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, child]) => places(child, [...path, key]))];
}

test('whatever stands anywhere, validation tells faults with pointers and never throws', () => {
  const junk = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(
      '',
      '0.0.0.0/0',
      '10.0.0.0/8',
      '203.0.113.10',
      '10.0.1.5:80',
      'red',
      '1-2-3',
      '::',
      '__proto__',
      1e300,
      -0,
      65536,
    ),
  );
  for (const name of ['gateway', 'everything'] as const) {
    const all = places(document(name)).filter((path) => path.length > 0);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...all), junk), { minLength: 1, maxLength: 3 }), (changes) => {
        const raw = document(name);
        for (const [path, value] of changes) {
          let parent: unknown = raw;
          for (const step of path.slice(0, -1)) parent = (parent as Document | undefined)?.[step];
          if (typeof parent === 'object' && parent !== null)
            (parent as Document)[path[path.length - 1]] = structuredClone(value);
        }
        const result = validateConfig(raw, null);
        if (result.ok) return;
        expect(result.faults.length).toBeGreaterThan(0);
        for (const fault of result.faults) {
          expect(fault.path).toMatch(/^(\/([^~/]|~[01])*)*$/);
          expect(fault.message).not.toBe('');
          expect(fault.hint).not.toBe('');
        }
      }),
      { numRuns: 1500 },
    );
  }
});

test('removing any one field gives a configuration or faults, never an exception', () => {
  for (const name of ['gateway', 'everything'] as const) {
    for (const path of places(document(name))) {
      if (path.length === 0) continue;
      const raw = document(name);
      const parent = path.slice(0, -1).reduce<Document>((node, step) => node[step], raw);
      if (Array.isArray(parent)) parent.splice(Number(path[path.length - 1]), 1);
      else delete parent[path[path.length - 1]];
      expect(() => validateConfig(raw, null)).not.toThrow();
    }
  }
});
