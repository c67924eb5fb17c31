import { formatIpv4 } from '../../src/config/address.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import type { GatewayController } from '../../src/controller/gateway.js';
import { emptyPacket, type MissedPacket, readMiss } from '../../src/nat/packet.js';
import type { LeftOver } from '../../src/nat/shards/following.js';
import { type Found, type LookedUp, Router } from '../../src/nat/shards/router.js';
import { BlockOwners, SharedRemotes } from '../../src/nat/shards/shared-state.js';
import { MissEvent, MissKind } from '../../src/native/records.js';
import type { Outcomes } from './outcomes.js';
import { Disagreement } from './step.js';

/**
 * From now on each packet that an engine of several is asked about has to be its shard's, as the router says whose it is
 * by the configuration as it is.
 *
 * @param outcomes Told by what each was found.
 */
export function watchMisses(
  controllers: readonly GatewayController[],
  shared: () => { readonly config: ValidatedConfig; readonly leftOver: LeftOver },
  outcomes: Outcomes,
): void {
  const [{ engine, dataplane }] = controllers;
  const [blocks, remotes] = [new BlockOwners(dataplane.blocks), new SharedRemotes(dataplane.remotes)];
  let known: ValidatedConfig | null = null;
  let router: Router;
  const followed = () => {
    const { config, leftOver } = shared();
    if (config === known) return router;
    known = config;
    if (leftOver.addresses.length > 0) outcomes.add('shard:left:address');
    if (leftOver.peering.length > 0) outcomes.add('shard:left:peering');
    router = new Router(config, engine.topology, controllers.length, blocks, remotes, leftOver);
    return router;
  };
  for (const [shard, { engine: own }] of controllers.entries()) {
    const decide = own.onMiss.bind(own);
    own.onMiss = (words, at, index) => {
      const found = ownerOf(followed(), words, at);
      if (found.shard !== shard && !isOfKnown(followed(), words, at, shard))
        throw new Disagreement(
          `shard ${shard} was asked about a packet of ${found.shard} by ${found.by}: ${textOf(words, at)}`,
        );
      outcomes.add(`shard:${found.by}`);
      if (shard > 0) outcomes.add(`shard:${found.by}:other`);
      decide(words, at, index);
    };
  }
}

/** Whoever knows a packet's session says that its time is over, and judges an error about it. */
function isOfKnown(router: Router, words: Int32Array, at: number, shard: number): boolean {
  const packet = emptyPacket();
  readMiss(words, at, packet);
  if (packet.kind === MissKind.ttl) return router.stops(packet).includes(shard);
  return packet.kind === MissKind.icmpError && router.stops(answerTo(packet, words, at)).includes(shard);
}

function textOf(words: Int32Array, at: number): string {
  const packet = emptyPacket();
  readMiss(words, at, packet);
  const { kind, protocol, source, sourcePort, destination, destinationPort, ttl } = packet;
  const ends = `${formatIpv4(source)}:${sourcePort} > ${formatIpv4(destination)}:${destinationPort}`;
  return `kind ${kind}, protocol ${protocol}, ${ends}, ttl ${ttl}`;
}

function ownerOf(router: Router, words: Int32Array, at: number): Found {
  const packet = emptyPacket();
  readMiss(words, at, packet);
  if (packet.kind === MissKind.arp) return { shard: 0, by: 'arp' };
  if (packet.kind !== MissKind.icmpError) return router.lookUp(packet);
  const { shard, by } = router.lookUp(answerTo(packet, words, at));
  return { shard, by: `error-${by}` };
}

/** The reply to the packet that an ICMP error quotes. */
function answerTo(packet: MissedPacket, words: Int32Array, at: number): LookedUp {
  const view = new DataView(words.buffer, words.byteOffset);
  return {
    port: packet.port,
    vni: packet.vni,
    protocol: view.getUint8(at + MissEvent.embeddedProtocol),
    source: view.getUint32(at + MissEvent.embeddedDestinationAddress, true),
    destination: view.getUint32(at + MissEvent.embeddedSourceAddress, true),
    destinationPort: view.getUint16(at + MissEvent.embeddedSourcePort, true),
  };
}
