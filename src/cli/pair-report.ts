import type { PairStatus } from '../ha/status.js';

/** What `sluice ha status` prints. */
export function pairReport(s: PairStatus): string {
  const lines: [string, string][] = [
    ['node', `${s.node} of ${s.group}`],
    ['role', `${s.role}, ${s.failoverState}`],
    ['epoch', String(s.epoch)],
    ['lease', leaseText(s)],
  ];
  if (s.role === 'standby') lines.push(['eligible', s.eligible ? 'yes' : 'no']);
  for (const { detail, forbids } of s.reasons) lines.push(['', forbids ? `${detail} (forbids a takeover)` : detail]);
  if (s.protection !== null) lines.push(['sessions are', s.protection]);
  for (const reason of s.protectionReasons) lines.push(['', reason]);
  lines.push(['peer', peerText(s)], ['sessions', `${s.sessions}, ${s.rulesInstalled} NIC rules`]);
  if (s.role === 'active') {
    const { own, quarantined, unreserved } = s.portBlocks;
    lines.push(['port blocks', `${own} own, ${quarantined} in quarantine, ${unreserved} unreserved`]);
  }
  if (s.mirror !== null) {
    const { dirty, inFlightBytes, lagMs, snapshotAgeMs, snapshotRecords } = s.mirror;
    const age =
      snapshotAgeMs === null ? 'none' : `${(snapshotAgeMs / 1000).toFixed(1)} s old, ${snapshotRecords} sessions`;
    lines.push([
      'mirror',
      `${dirty} to be written, ${inFlightBytes} bytes on their way, ${lagMs.toFixed(0)} ms behind`,
    ]);
    lines.push(['snapshot', age]);
    for (const [i, shard] of s.mirror.shards.entries()) {
      lines.push([`shard ${i}`, `here ${shard.local}, Redis ${shard.redis}, standby ${shard.applied ?? 'unknown'}`]);
    }
  }
  for (const [i, shard] of s.replay.entries()) {
    const { position, head, state, sessions } = shard;
    lines.push([`shard ${i}`, `${state}, applied ${position.sequence} of ${head.sequence}, ${sessions} sessions`]);
  }
  for (const { check, ok, detail } of s.health) lines.push([`check ${check}`, ok ? 'ok' : `FAILED: ${detail}`]);
  if (s.lastTransition !== null) {
    const { from, to, cause, at } = s.lastTransition;
    lines.push(['last change', `${from} → ${to} at ${new Date(at).toISOString()}: ${cause}`]);
  }
  const stages = Object.entries(s.phases).map(([state, ms]) => `${state} ${ms.toFixed(1)} ms`);
  if (stages.length > 0) {
    const lost = s.estimatedLost === null ? 'cannot be told' : String(s.estimatedLost);
    lines.push(['takeover', stages.join(', ')], ['', `sessions that may be missing since: ${lost}`]);
  }
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n');
}

function leaseText({ lease, role }: PairStatus): string {
  if (lease.epoch === 0) return 'nobody holds it';
  const left = role === 'active' ? `, ${lease.leftMs} ms left` : '';
  return `held by ${lease.holder} in epoch ${lease.epoch}${left}`;
}

function peerText({ peer }: PairStatus): string {
  if (peer === null) return 'never seen';
  const { node, member, agoMs, heard } = peer;
  const direct = heard === null ? '' : heard ? ', heard directly' : ', not heard directly';
  if (member === null || agoMs === null) return `${node}${direct}`;
  const fit = member.eligible ? 'eligible' : `not eligible: ${member.reasons.join('; ')}`;
  return `${node}: ${member.state}, ${fit}, reported ${agoMs} ms ago${direct}`;
}
