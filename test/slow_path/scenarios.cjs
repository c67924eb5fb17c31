'use strict';
// Scenarios of the dataplane's native side, each in a process of its own: EAL starts once a process.
//   node scenarios.cjs NAME

const assert = require('node:assert/strict');
const { mkdtempSync, readdirSync, readFileSync, writeFileSync, existsSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { allowedCpus } = require('../../dist/src/native/eal.js');
const f = require('./frames.cjs');
const { binding, startEal, Gateway, Event, Decision, MissKind, SessionRow, Reason, NO_HOLD } = require('./gateway.cjs');

const HOST = 0x0a000107;
const X = 0xc6336407;
const request = (port = 1000, body) => f.fromVpc(f.ipv4(17, HOST, X, f.udp(port, 53, body)));
const reply = (port, options) => f.fromOutside(f.ipv4(17, X, f.NAT, f.udp(53, port), options));
const fails = (code, call, pattern = /./) =>
  assert.throws(call, (error) => error.code === code && pattern.test(error.message));

function check(packet) {
  assert.equal(f.checksum(packet.subarray(0, (packet[0] & 15) * 4)), 0, 'IPv4 header checksum');
  return packet;
}

const scenarios = {
  a_decided_session_sends_the_held_packet_and_translates_what_follows() {
    const gateway = new Gateway().registerTemplates();
    const out = gateway.replay(
      [
        [1, 0, 0, request()],
        [1, 5, 1, reply(2000)],
        [2, 0, 0, request()],
      ],
      (event) => gateway.session(event),
    );
    assert.equal(gateway.seen.length, 1);
    const [first, second] = out[1].map(([, , frame]) => check(frame.subarray(14)));
    assert.equal(first.readUInt32BE(12), f.NAT);
    assert.equal(first.readUInt16BE(20), 2000);
    assert.equal(first[8], 63);
    assert.deepEqual(first, second);
    const inner = check(out[0][0][2].subarray(64));
    assert.equal(inner.readUInt32BE(16), HOST);
    assert.equal(inner.readUInt16BE(22), 1000);
    assert.deepEqual(
      out[1].map(([s, us]) => [s, us]),
      [
        [1, 0],
        [2, 0],
      ],
    );
    assert.equal(gateway.rows.getUint32(SessionRow.lastForwardSeconds, true), 2, 'last forward hit');
    assert.equal(gateway.rows.getUint32(SessionRow.lastReverseSeconds, true), 1, 'last reverse hit');
    const statistics = gateway.dataplane.statistics();
    assert.deepEqual(statistics.ports, [
      { received: 2, transmitted: 1 },
      { received: 1, transmitted: 2 },
    ]);
    assert.equal(statistics.slowPath.misses, 1);
  },

  packets_of_a_flow_wait_behind_its_first_and_leave_in_order() {
    const gateway = new Gateway().registerTemplates();
    const held = [];
    const input = [1, 2, 3].map((n) => [1, n, 0, request(1000, Buffer.from(`number ${n}`))]);
    const out = gateway.replay(input, (event) => held.push(event), {
      finish: () => {
        assert.equal(held.length, 1);
        assert.equal(gateway.dataplane.statistics().held, 3);
        gateway.session(held[0]);
      },
    });
    assert.deepEqual(
      out[1].map(([, us, frame]) => [us, frame.subarray(42).toString()]),
      [
        [1, 'number 1'],
        [2, 'number 2'],
        [3, 'number 3'],
      ],
    );
    assert.equal(gateway.dataplane.statistics().held, 0);
  },

  a_dropped_first_packet_makes_the_next_of_its_flow_ask_again() {
    const gateway = new Gateway().registerTemplates();
    const held = [];
    gateway.replay(
      [1, 2, 3].map((n) => [1, n, 0, request()]),
      (event) => held.push(event),
      {
        finish: () => {
          for (let at = 0; at < 3; at++) {
            gateway.push({ type: Decision.drop, hold: held[at].hold, reason: Reason.filtered });
            gateway.run((event) => held.push(event), 32);
          }
        },
      },
    );
    assert.equal(held.length, 3);
    assert.deepEqual(gateway.drops(), { filtered: 3 });
  },

  a_retried_packet_that_misses_again_is_dropped() {
    const gateway = new Gateway().registerTemplates();
    gateway.replay([[1, 0, 0, request()]], (event) => gateway.push({ type: Decision.retry, hold: event.hold }));
    assert.equal(gateway.seen.length, 1);
    assert.deepEqual(gateway.drops(), { noBinding: 1 });
  },

  decisions_that_name_nothing_are_ignored() {
    const gateway = new Gateway().registerTemplates();
    const out = gateway.replay(
      [
        [1, 0, 0, request()],
        [1, 9, 0, request()],
      ],
      (event) => {
        for (const type of [1, 2, 8, 9, 10]) {
          for (const hold of [NO_HOLD, event.hold + 1, event.hold ^ (1 << 20), 0, 0x7fffffff])
            gateway.push({ type, hold, reason: 4, egressPort: 200 });
        }
        for (const type of [4, 5, 6, 7]) {
          for (const row of [0, 15, 16, 0xffffffff]) gateway.push({ type, row, generation: 99 });
        }
        gateway.push({ type: 77, hold: event.hold });
        gateway.push({ type: Decision.session, row: 3, generation: 5, softwareForward: 900, softwareReverse: 901 });
        gateway.push({ type: Decision.session, row: 0xffffff, generation: 5, softwareForward: 0, softwareReverse: 1 });
      },
    );
    assert.deepEqual(out, [[], []]);
  },

  a_hold_answered_twice_is_answered_once() {
    const gateway = new Gateway().registerTemplates();
    gateway.replay([[1, 0, 0, request()]], (event) => {
      for (let n = 0; n < 3; n++) gateway.push({ type: Decision.drop, hold: event.hold, reason: Reason.filtered });
    });
    assert.deepEqual(gateway.drops(), { filtered: 1 });
  },

  a_row_in_use_takes_no_second_session() {
    const gateway = new Gateway().registerTemplates();
    gateway.replay(
      [
        [1, 0, 0, request(1000)],
        [1, 1, 0, request(1001)],
        [1, 2, 0, request(1000)],
      ],
      (event) => {
        if (event.type === Event.miss) gateway.session(event, { row: 0, generation: event.sourcePort });
      },
    );
    assert.deepEqual(
      gateway.seen.slice(2).map(({ type, direction, error }) => [type, direction, error]),
      [[Event.installFailed, 2, -22]],
    );
    assert.deepEqual(gateway.drops(), { tableFull: 1 });
    assert.equal(gateway.rows.getUint32(0, true), 1000);
  },

  what_is_held_is_bounded() {
    const gateway = new Gateway({ maxHeld: 3 }).registerTemplates();
    gateway.replay(
      [1, 2, 3, 4, 5].map((n) => [1, n, 0, request(1000 + n)]),
      () => {},
    );
    assert.deepEqual(gateway.drops(), { heldLimit: 2 });
    assert.equal(gateway.dataplane.statistics().held, 3);
  },

  removal_tells_the_final_counters_and_frees_the_row() {
    const gateway = new Gateway().registerTemplates();
    gateway.replay(
      [
        [1, 0, 0, request()],
        [1, 5, 1, reply(2000)],
        [2, 0, 0, request()],
      ],
      (event) => {
        if (event.type === Event.miss) gateway.session(event);
      },
      {
        finish: () => {
          gateway.push({ type: Decision.query, row: 0, generation: 1 });
          gateway.push({ type: Decision.remove, row: 0, generation: 1 });
          gateway.push({ type: Decision.remove, row: 0, generation: 1 });
        },
      },
    );
    const [queried, removed, ...rest] = gateway.seen.slice(1);
    assert.deepEqual([queried.type, removed.type], [Event.queried, Event.removed]);
    assert.deepEqual(
      [removed.forwardPackets, removed.forwardBytes, removed.reversePackets, removed.reverseBytes],
      [2, 72, 1, 36],
    );
    assert.deepEqual(rest, []);
    assert.equal(gateway.rows.getUint32(0, true), 0);
    assert.equal(gateway.dataplane.statistics().softwareRules, 0);
  },

  what_expires_is_as_idle_as_was_thought_whoever_has_its_rules() {
    for (const offloaded of [false, true]) {
      const gateway = new Gateway({ softflow: offloaded }).registerTemplates();
      if (offloaded) gateway.registerNicTemplates({ counting: true });
      const nic = offloaded ? { nicForward: gateway.nicForward, nicReverse: gateway.nicReverse } : {};
      const ports = [1000, 1001, 1002, 1003, 1004, 1005];
      gateway.replay(
        ports.map((port) => [1, 0, 0, request(port)]),
        (event) => {
          if (event.type === Event.miss) gateway.session(event, nic);
        },
      );
      const idle = { type: Decision.expire, tcpState: 0, stateSince: 1, lastForward: 1, lastReverse: 0 };
      const expire = (row, more = {}) => gateway.push({ ...idle, row, generation: row + 1, ...more });
      gateway.replay(
        [
          [5, 0, 0, request(1000)],
          [5, 0, 1, reply(2001)],
        ],
        () => {},
        {
          finish: () => {
            expire(0, { lastForward: 4 });
            expire(1);
            expire(2);
            expire(2);
            expire(3, { tcpState: 3 });
            expire(4, { stateSince: 0 });
            expire(5, { generation: 9 });
            expire(1, { lastReverse: 0xffffffff });
          },
        },
      );
      const answers = gateway.seen.filter(({ type }) => type === Event.queried || type === Event.removed);
      assert.deepEqual(
        answers.map(({ row, type }) => [row, type]),
        [
          [0, Event.queried],
          [1, Event.queried],
          [2, Event.removed],
          [3, Event.queried],
          [4, Event.queried],
          [1, Event.removed],
        ],
        offloaded ? 'in the NIC' : 'in software',
      );
      assert.deepEqual([answers[0].forwardPackets, answers[5].reversePackets], [2, 1]);
      const lives = [0, 1, 2, 3, 4, 5].filter((row) => gateway.rows.getUint32(row * SessionRow.size, true) !== 0);
      assert.deepEqual(lives, [0, 3, 4, 5]);
      const { softwareRules, nicRules } = gateway.dataplane.statistics();
      assert.deepEqual([softwareRules, nicRules], [8, offloaded ? 8 : 0]);
    }
  },

  sessions_decided_together_get_their_rules_in_the_nic_and_give_them_back() {
    const gateway = new Gateway({ softflow: true }).registerTemplates().registerNicTemplates();
    const { nicForward, nicReverse, dataplane } = gateway;
    const held = [];
    gateway.replay(
      [1, 2, 3].map((n) => [1, n, 0, request(1000 + n)]),
      (event) => held.push(event),
      {
        finish: () => {
          for (const event of held.splice(0)) gateway.session(event, { nicForward, nicReverse });
        },
      },
    );
    assert.equal(dataplane.statistics().nicRules, 6);
    assert.deepEqual(
      [0, 1, 2].map((row) => gateway.paths(row)),
      [
        [2, 2],
        [2, 2],
        [2, 2],
      ],
    );
    const out = gateway.replay(
      [
        [2, 0, 0, request(1002)],
        [2, 1, 1, reply(2001)],
      ],
      () => {},
      {
        finish: () => {
          for (const row of [0, 1, 2]) gateway.push({ type: Decision.remove, row, generation: row + 1 });
        },
      },
    );
    assert.deepEqual([out[0].length, out[1].length], [1, 1], 'the NIC translates both ways');
    assert.equal(dataplane.statistics().nic.packets, 2);
    const removed = gateway.seen.filter(({ type }) => type === Event.removed);
    assert.deepEqual(
      removed.map(({ row, forwardPackets, reversePackets }) => [row, forwardPackets, reversePackets]),
      [
        [0, 1, 0],
        // Ages are queried, and without COUNT the NIC tells no packets.
        [1, 1, 0],
        [2, 1, 0],
      ],
    );
    const { nicRules, softwareRules } = dataplane.statistics();
    assert.deepEqual([nicRules, softwareRules], [0, 0]);
  },

  an_installation_that_fails_in_the_nic_leaves_the_session_in_software() {
    const gateway = new Gateway({ softflow: true, softflowArguments: ',fail_every=2' });
    const { dataplane } = gateway.registerTemplates().registerNicTemplates();
    const { nicForward, nicReverse } = gateway;
    // Each NIC fails its second rule: those of the second session.
    const input = [
      [1, 0, 0, request()],
      [1, 1, 0, request(1001)],
    ];
    gateway.replay(input, (event) => {
      if (event.type === Event.miss) gateway.session(event, { nicForward, nicReverse });
    });
    const failed = gateway.seen.filter(({ type }) => type === Event.installFailed);
    assert.deepEqual(
      failed.map(({ row, direction, error }) => [row, direction, error]),
      [
        [1, 0, -5],
        [1, 1, -5],
      ],
    );
    assert.deepEqual(
      [gateway.paths(0), gateway.paths(1)],
      [
        [2, 2],
        [3, 3],
      ],
    );
    assert.equal(dataplane.statistics().nicRules, 2, 'failed rules are given back');
    const out = gateway.replay(
      [
        [2, 0, 0, request(1001)],
        [2, 1, 1, reply(2001)],
      ],
      () => {},
      {
        finish: () => {
          for (const row of [0, 1]) gateway.push({ type: Decision.remove, row, generation: row + 1 });
        },
      },
    );
    assert.deepEqual([out[0].length, out[1].length], [1, 1], 'software translates what the NIC does not');
    assert.equal(dataplane.statistics().nicRules, 0);
  },

  the_result_does_not_depend_on_the_burst() {
    const input = [];
    for (let n = 0; n < 200; n++)
      input.push([1 + (n >> 6), n, 0, request(1000 + (n % 7))], [1 + (n >> 6), n, 1, reply(2000 + (n % 9))]);
    const run = (burst) => {
      const gateway = new Gateway().registerTemplates();
      const out = gateway.replay(
        input,
        (event) => {
          if (event.port === 0) gateway.session(event);
          else gateway.push({ type: Decision.drop, hold: event.hold, reason: Reason.noBinding });
        },
        { burst },
      );
      const drops = gateway.drops();
      gateway.dataplane.close();
      return [out, drops];
    };
    const [one, thirtyTwo, most] = [run(1), run(32), run(256)];
    assert.equal(one[0][1].length, 200);
    assert.deepEqual(one, thirtyTwo);
    assert.deepEqual(one, most);
  },

  a_clock_that_goes_backwards_stands_still_and_stamps_stay() {
    const gateway = new Gateway().registerTemplates();
    const out = gateway.replay(
      [
        [9, 0, 0, request()],
        [4, 0, 0, request()],
      ],
      (event) => gateway.session(event),
    );
    assert.deepEqual(
      out[1].map(([s]) => s),
      [9, 4],
    );
    assert.equal(gateway.rows.getUint32(SessionRow.lastForwardSeconds, true), 9);
    assert.deepEqual(gateway.dataplane.clock(), [9, 0]);
  },

  fragments_before_their_first_wait_and_leave_with_its_time() {
    const gateway = new Gateway().registerTemplates();
    const whole = f.udp(1000, 53, Buffer.alloc(56, 7));
    const piece = (from, to, more) =>
      f.fromVpc(f.ipv4(17, HOST, X, whole.subarray(from, to), { id: 5, fragment: (more ? 0x2000 : 0) | (from / 8) }));
    const out = gateway.replay(
      [
        [1, 1, 0, piece(48, 64, false)],
        [1, 2, 0, piece(24, 48, true)],
        [1, 3, 0, piece(0, 24, true)],
        [1, 4, 0, piece(48, 64, false)],
      ],
      (event) => gateway.session(event),
    );
    const sent = out[1].map(([, us, frame]) => [us, check(frame.subarray(14)).readUInt16BE(6) & 0x1fff, frame.length]);
    assert.deepEqual(sent, [
      [3, 0, 58],
      [3, 6, 50],
      [3, 3, 58],
      [4, 6, 50],
    ]);
    for (const [, , frame] of out[1]) assert.equal(frame.readUInt32BE(26), f.NAT);
  },

  fragments_share_what_befell_their_first() {
    const gateway = new Gateway().registerTemplates();
    const piece = (offset, more) =>
      f.fromVpc(
        f.ipv4(17, HOST, X, f.udp(1000, 53, Buffer.alloc(16)), { id: 5, fragment: (more ? 0x2000 : 0) | offset }),
      );
    gateway.replay(
      [
        [1, 1, 0, piece(3, false)],
        [1, 2, 0, piece(0, true)],
        [1, 3, 0, piece(3, false)],
      ],
      (event) => gateway.push({ type: Decision.drop, hold: event.hold, reason: Reason.filtered }),
    );
    assert.deepEqual(gateway.drops(), { filtered: 3 });
  },

  orphan_fragments_are_bounded_and_time_out() {
    const gateway = new Gateway({ maxHeld: 256 }).registerTemplates();
    const orphan = (offset) => f.fromVpc(f.ipv4(17, HOST, X, Buffer.alloc(8), { id: 5, fragment: 0x2000 | offset }));
    const input = Array.from({ length: 70 }, (_, n) => [1, n, 0, orphan(1 + n)]);
    gateway.replay([...input, [30, 999999, 0, orphan(90)], [31, 0, 0, orphan(91)]], () => {});
    // 64 wait, the most of one datagram; 7 more do not; at second 31 the 64 have waited for 30, and one begins anew until the drain.
    assert.deepEqual(gateway.drops(), { fragmentTimeout: 65, fragmentLimit: 7 });
  },

  a_result_above_the_mtu_is_cut_or_refused() {
    const gateway = new Gateway({ mtu: [1550, 600] }).registerTemplates();
    const payload = Buffer.from(Array.from({ length: 1200 }, (_, n) => n & 255));
    const big = (fragment) => f.fromVpc(f.ipv4(17, HOST, X, f.udp(1000, 53, payload), { id: 3, fragment }));
    const out = gateway.replay(
      [
        [1, 1, 0, request()],
        [1, 2, 0, big(0)],
        [1, 3, 0, big(0x4000)],
      ],
      (event) => {
        if (event.kind === MissKind.ipv4) return gateway.session(event);
        assert.deepEqual([event.kind, event.mtu, event.row, event.totalLength], [MissKind.tooBig, 600, 0, 1228]);
        return gateway.push({
          type: Decision.icmpError,
          hold: event.hold,
          reason: Reason.tooBig,
          icmpType: 3,
          icmpCode: 4,
          icmpMtu: event.mtu,
          sourceAddress: f.VTEP,
          egressPort: 0,
          egressVni: 100,
          egressAddress: 0xac1e000b,
          egressMac: f.PEER_MAC,
          egressInnerMac: f.PEER_MAC,
        });
      },
    );
    const pieces = out[1].slice(1).map(([, , frame]) => check(frame.subarray(14)));
    assert.ok(
      pieces.every(
        (piece) =>
          piece.length <= 600 && piece.readUInt32BE(12) === f.NAT && piece.readUInt16BE(4) === 3 && piece[8] === 63,
      ),
    );
    assert.deepEqual(
      pieces.map((piece) => [piece.readUInt16BE(6) >> 13, (piece.readUInt16BE(6) & 0x1fff) * 8]),
      [
        [1, 0],
        [1, 576],
        [0, 1152],
      ],
    );
    assert.deepEqual(Buffer.concat(pieces.map((piece) => piece.subarray(20))).subarray(8), payload);
    const error = check(out[0][0][2].subarray(64));
    assert.deepEqual([error[20], error[21], error.readUInt16BE(26), error.length], [3, 4, 600, 576]);
    assert.equal(f.checksum(error.subarray(20)), 0);
    assert.deepEqual(error.subarray(28), big(0x4000).subarray(64, 64 + 548));
    assert.deepEqual(gateway.drops(), { tooBig: 1 });
  },

  an_icmp_error_is_translated_with_the_packet_that_it_quotes() {
    const gateway = new Gateway().registerTemplates();
    const router = 0xc0000263;
    const quoted = f.ipv4(17, f.NAT, X, f.udp(2000, 53), { ttl: 60 });
    const error = f.fromOutside(f.ipv4(1, router, f.NAT, f.icmp(3, 1, Buffer.alloc(4), quoted)));
    const unknown = f.fromOutside(
      f.ipv4(1, router, f.NAT, f.icmp(3, 1, Buffer.alloc(4), f.ipv4(17, f.NAT, X, f.udp(2999, 53)))),
    );
    const out = gateway.replay(
      [
        [1, 1, 0, request()],
        [1, 2, 1, error],
        [1, 3, 1, unknown],
      ],
      (event) => {
        if (event.kind === MissKind.ipv4) return gateway.session(event);
        assert.equal(event.kind, MissKind.icmpError);
        return gateway.push({ type: Decision.drop, hold: event.hold, reason: Reason.noBinding });
      },
    );
    assert.equal(out[0].length, 1);
    const packet = check(out[0][0][2].subarray(64));
    assert.deepEqual([packet.readUInt32BE(12), packet.readUInt32BE(16)], [router, HOST]);
    assert.equal(f.checksum(packet.subarray(20)), 0);
    const inner = check(packet.subarray(28));
    assert.deepEqual(
      [inner.readUInt32BE(12), inner.readUInt32BE(16), inner.readUInt16BE(20), inner.readUInt16BE(22)],
      [HOST, X, 1000, 53],
    );
    assert.equal(gateway.rows.getUint32(SessionRow.lastReverseSeconds, true), 0, 'an error refreshes nothing');
  },

  no_error_is_sent_about_an_error_or_to_nobody() {
    const gateway = new Gateway().registerTemplates();
    const answer = (event) =>
      gateway.push({
        type: Decision.icmpError,
        hold: event.hold,
        reason: Reason.ttlExpired,
        icmpType: 11,
        sourceAddress: f.VTEP,
        egressPort: 1,
        egressMac: f.NEXT_HOP_MAC,
      });
    const expired = (source, protocol, body, options) =>
      f.fromVpc(f.ipv4(protocol, source, X, body, { ttl: 1, ...options }));
    const quoted = f.icmp(3, 1, Buffer.alloc(4), f.ipv4(17, X, HOST, f.udp(53, 1000)));
    const out = gateway.replay(
      [
        [1, 1, 0, expired(HOST, 17, f.udp(1, 2))],
        [1, 2, 0, expired(HOST, 1, quoted)],
        [1, 3, 0, expired(0, 17, f.udp(1, 2))],
        [1, 4, 0, expired(0xe0000001, 17, f.udp(1, 2))],
        [1, 5, 0, expired(0xffffffff, 17, f.udp(1, 2))],
        [1, 6, 0, expired(HOST, 17, f.udp(1, 2), { fragment: 9 })],
      ],
      answer,
    );
    assert.deepEqual(
      out[1].map(([, us]) => us),
      [1],
    );
    assert.deepEqual(gateway.drops(), { ttlExpired: 6 });
  },

  the_vtep_answers_a_ping_by_itself() {
    const gateway = new Gateway();
    const ping = f.ethernet(
      f.UNDERLAY_MAC,
      f.PEER_MAC,
      0x0800,
      f.ipv4(1, 0xac1e000b, f.VTEP, f.icmp(8, 0, Buffer.from([1, 2, 3, 4]), Buffer.from('echo'))),
    );
    const out = gateway.replay([[1, 1, 0, ping]], () => assert.fail('no event is due'));
    const answer = check(out[0][0][2].subarray(14));
    assert.deepEqual(
      [answer.readUInt32BE(12), answer.readUInt32BE(16), answer[20], answer.subarray(28).toString()],
      [f.VTEP, 0xac1e000b, 0, 'echo'],
    );
    assert.equal(f.checksum(answer.subarray(20)), 0);
    assert.deepEqual(gateway.drops(), { local: 1 });
  },

  frames_are_refused_for_the_reason_the_contract_names() {
    const gateway = new Gateway();
    const good = request();
    const changed = (change) => {
      const copy = Buffer.from(good);
      change(copy);
      return copy;
    };
    const outer = (change) =>
      changed((frame) => {
        change(frame);
        frame.writeUInt16BE(0, 24);
        frame.writeUInt16BE(f.checksum(frame.subarray(14, 34)), 24);
      });
    const cases = [
      ['malformed', good.subarray(0, 13)],
      [
        'notForUs',
        changed((b) => {
          b[5] ^= 1;
        }),
      ],
      [
        'badChecksum',
        changed((b) => {
          b[24] ^= 1;
        }),
      ],
      [
        'notForUs',
        outer((b) => {
          b[33] ^= 1;
        }),
      ],
      [
        'notForUs',
        outer((b) => {
          b[20] |= 0x20;
        }),
      ],
      [
        'malformed',
        changed((b) => {
          b[42] = 0;
        }),
      ],
      [
        'notForUs',
        changed((b) => {
          b[50] ^= 4;
        }),
      ],
      [
        'badChecksum',
        changed((b) => {
          b[74] ^= 1;
        }),
      ],
      [
        'malformed',
        changed((b) => {
          b[64] = 0x44;
        }),
      ],
      ['tooBig', Buffer.concat([good, Buffer.alloc(1565 - good.length)])],
      ['tooBig', Buffer.concat([good, Buffer.alloc(9000)])],
      ['notForUs', Buffer.concat([good.subarray(0, 12), Buffer.from([0x81, 0, 0, 7]), good.subarray(12)])],
    ];
    for (const [reason, frame] of cases) {
      const fresh = new Gateway();
      fresh.replay([[1, 0, 0, frame]], () => assert.fail(`an event instead of ${reason}`));
      assert.deepEqual(fresh.drops(), { [reason]: 1 });
      fresh.dataplane.close();
    }
    gateway.dataplane.close();
  },

  a_bad_capture_is_named() {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-slow-path-'));
    const path = (name) => join(folder, name);
    const gateway = new Gateway().registerTemplates();
    const open = (input, output = path('out.pcap')) =>
      gateway.dataplane.replayOpen([{ port: 0, path: input }], [{ port: 1, path: output }]);
    writeFileSync(path('noise'), Buffer.alloc(100, 3));
    writeFileSync(path('raw'), f.pcap([], 101));
    fails('CAPTURE_OPEN', () => open(path('absent')), /absent/);
    fails('CAPTURE_OPEN', () => open(path('noise')), /noise/);
    fails('CAPTURE_FORMAT', () => open(path('raw')), /raw.*RAW.*Ethernet/);
    assert.equal(existsSync(path('out.pcap')), false, 'a bad input costs no output');
    const whole = f.pcap([
      [1, 0, request(1)],
      [2, 0, request(2)],
    ]);
    writeFileSync(path('cut'), whole.subarray(0, whole.length - 3));
    fails('CAPTURE_OPEN', () => open(path('cut'), path('no/such/folder/out')), /folder/);
    open(path('cut'));
    assert.equal(
      gateway.run((event) => gateway.session(event), 32),
      3,
    );
    const damaged = gateway.dataplane.replayClose();
    assert.equal(damaged.length, 1);
    assert.match(damaged[0], /cut/);
    assert.equal(gateway.dataplane.statistics().ports[0].received, 1);
  },

  bad_templates_and_options_are_refused_with_a_cause() {
    const gateway = new Gateway();
    const bad = (change) => {
      const template = f.outwards();
      change(template);
      return () => gateway.dataplane.registerTemplate('software', 0, template);
    };
    fails(
      'TEMPLATE',
      bad((t) => {
        t.items[6].spec = new Uint8Array(19);
      }),
      /size/,
    );
    fails(
      'TEMPLATE',
      bad((t) => {
        t.actions[2].conf = new Uint8Array(5);
      }),
      /5 bytes/,
    );
    fails(
      'TEMPLATE',
      bad((t) => {
        t.patches = [1, 99, 0, 4, 0];
      }),
      /patch/,
    );
    fails(
      'TEMPLATE',
      bad((t) => {
        t.patches = [1, 2, 2, 4, 0];
      }),
      /patch/,
    );
    fails(
      'TEMPLATE',
      bad((t) => {
        t.actions[7].conf = Uint8Array.of(9, 0);
      }),
      /port 9/,
    );
    fails(
      'ARGUMENT',
      bad((t) => {
        t.patches = [1, 2];
      }),
    );
    fails(
      'ARGUMENT',
      bad((t) => {
        t.actions = null;
      }),
      /actions/,
    );
    assert.throws(
      bad((t) => {
        t.items[2] = { type: 99 };
      }),
      (error) => error.code === 'TEMPLATE' && error.causeIndex === 2,
    );
    fails('ARGUMENT', () => gateway.dataplane.registerTemplate('nowhere', 0, f.outwards()));
    fails('ARGUMENT', () => gateway.dataplane.registerTemplate('nic', 2, f.outwards()));
    fails('ARGUMENT', () => new Gateway({ maxHeld: 0 }), /maxHeld/);
    fails('ARGUMENT', () => new Gateway({ eventSlots: 100 }), /eventSlots/);
    fails('PORT', () => binding.probeDevice('net_nonsense0,x=1'), /net_nonsense0/);
    fails('EAL', () => binding.startEal(['again']));
  },

  after_close_buffers_live_and_calls_are_refused() {
    const gateway = new Gateway({ replay: false });
    const { rows, events } = gateway.dataplane;
    gateway.dataplane.poll(32);
    gateway.dataplane.close();
    gateway.dataplane.close();
    gateway.dataplane.stop();
    new Uint8Array(rows).fill(1);
    new Uint8Array(events).fill(1);
    for (const call of ['poll', 'statistics', 'clock', 'armDoorbell', 'replayRun', 'replayClose'])
      fails('STATE', () => gateway.dataplane[call](1, 0, 0));
  },

  an_lcore_serves_calls_and_stops() {
    const gateway = new Gateway({ replay: false });
    fails('ARGUMENT', () => gateway.dataplane.start(32));
    gateway.dataplane.start(32, () => {});
    fails('STATE', () => gateway.dataplane.start(32, () => {}));
    fails('STATE', () => gateway.dataplane.poll(32));
    gateway.registerTemplates();
    fails('TEMPLATE', () =>
      gateway.dataplane.registerTemplate('software', 0, { ...f.outwards(), items: [{ type: 99 }] }),
    );
    assert.equal(gateway.dataplane.statistics().held, 0);
    assert.equal(gateway.dataplane.armDoorbell(), false);
    gateway.dataplane.stop();
    gateway.dataplane.stop();
    gateway.dataplane.start(32, () => {});
    gateway.dataplane.close();
  },

  the_process_exits_with_an_lcore_at_work() {
    const gateway = new Gateway({ replay: false });
    gateway.dataplane.start(32, () => {});
    process.exit(0);
  },

  the_doorbell_rings_when_a_session_is_removed() {
    const gateway = new Gateway({ replay: false }).registerTemplates();
    gateway.push({
      ...{},
      type: Decision.session,
      row: 0,
      generation: 1,
      protocol: 17,
      forwardPort: 0,
      reversePort: 1,
      softwareForward: 0,
      softwareReverse: 1,
      forward: {
        source: 1,
        destination: 2,
        sourcePort: 3,
        destinationPort: 4,
        newSource: 5,
        newDestination: 6,
        newSourcePort: 7,
        newDestinationPort: 8,
      },
      reverse: {
        source: 2,
        destination: 5,
        sourcePort: 4,
        destinationPort: 7,
        newSource: 2,
        newDestination: 1,
        newSourcePort: 4,
        newDestinationPort: 3,
      },
    });
    gateway.dataplane.start(32, () => {
      const event = gateway.take();
      assert.equal(event.type, Event.removed);
      gateway.dataplane.close();
    });
    assert.equal(gateway.dataplane.armDoorbell(), false);
    gateway.push({ type: Decision.remove, row: 0, generation: 1 });
  },

  all_threads_leave_an_lcore_its_cpu() {
    assert.ok(binding.cpus().length > 1 && binding.cpus().includes(1), 'the CPUs are told as they were before');
    const cpusOf = (thread) => {
      const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
      return { name: /^Name:\s*(.*)$/m.exec(status)[1], cpus: allowedCpus(status) };
    };
    const threads = readdirSync('/proc/self/task').map(cpusOf);
    const lcores = threads.filter(({ name }) => name.startsWith('rte-worker'));
    assert.deepEqual(lcores, [{ name: 'rte-worker-1', cpus: [1] }]);
    const others = threads.filter(({ name }) => !name.startsWith('rte-worker'));
    assert.ok(others.length > 3, "V8's are among them");
    assert.deepEqual(
      others.filter(({ cpus }) => cpus.includes(1)),
      [],
    );
  },
};

const name = process.argv[2];
if (name === undefined) {
  process.stdout.write(`${Object.keys(scenarios).join('\n')}\n`);
} else {
  startEal({ lcores: /lcore|doorbell/.test(name) ? '0,1' : '0' });
  scenarios[name]();
}
