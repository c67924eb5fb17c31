"""Checksums: right ones stay right, wrong ones are dropped or stay wrong (gateway.md "settled"; facts/nat.md row 1624, §10)."""

import struct

from harness import THOROUGH, Replay
from packets import Ipv4, internet_checksum, translated, updated_checksum
from traffic import BLUE_STATIC_PEERING, RED, RED_STATIC, RED_STATIC_EXTERNAL, X, echo, tcp, udp


def damaged(packet, at, flip=0x1234):
    raw = bytearray(bytes(packet))
    raw[at : at + 2] = struct.pack("!H", struct.unpack("!H", raw[at : at + 2])[0] ^ flip)
    return bytes(raw)


def test_a_wrong_ipv4_header_checksum_is_dropped_wherever_it_is(config):
    # gateway.md "settled": IPv4 header checksum wrong: dropped; drop reason bad-checksum.
    capture = Replay(config)
    good = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(good).ip.source
    bad = [
        capture.inside("red", damaged(udp(RED, 1000, X, 53), 10)),
        capture.inside("red", damaged(tcp(RED, 1000, X, 80), 10, 1)),
        capture.inside("red", udp(RED, 1000, X, 53), outer_ip={"chksum": 0x1234}),
        capture.outside(damaged(udp(X, 53, *nat), 10)),
        capture.outside(damaged(udp(X, 1, RED_STATIC_EXTERNAL, 53), 10)),
        capture.outside(damaged(echo(X, "203.0.113.1"), 10)),
    ]
    result = capture.run(THOROUGH)
    result.none(*bad)
    assert result.drops == {"bad-checksum": len(bad)}


def test_a_wrong_tcp_or_udp_checksum_is_forwarded_exactly_as_wrong(config):
    # gateway.md "settled": wrong TCP/UDP checksum: forwarded still wrong (incremental update); DESIGN.md §4 invariant 4.
    capture = Replay(config)
    good = capture.inside("red", udp(RED, 1000, X, 53))
    syn = capture.inside("red", tcp(RED, 1000, X, 80))
    first = capture.peek()
    nat, tcp_nat = first.one(good).ip.source, first.one(syn).ip.source
    cases = [
        (capture.inside("red", damaged(udp(RED, 1000, X, 53, b"data"), 26), wrong_checksum=True), {"source": nat}),
        (capture.inside("red", damaged(udp(RED, 1001, X, 53, b"first of its flow"), 26), wrong_checksum=True), None),
        (capture.outside(damaged(udp(X, 53, *nat, b"reply"), 26), wrong_checksum=True), {"destination": (RED, 1000)}),
        (capture.outside(damaged(tcp(X, 80, *tcp_nat, "SA"), 36), wrong_checksum=True), {"destination": (RED, 1000)}),
        (capture.inside("red", damaged(tcp(RED, 1000, X, 80, "A"), 36), wrong_checksum=True), {"source": tcp_nat}),
        (capture.inside("red", damaged(udp(RED, 7, BLUE_STATIC_PEERING, 53), 26), wrong_checksum=True), None),
        (capture.outside(damaged(udp(X, 5, RED_STATIC_EXTERNAL, 53), 26), wrong_checksum=True), {"destination": (RED_STATIC, 53)}),
    ]
    result = capture.run(THOROUGH)
    for sent, change in cases:
        seen, before = result.one(sent).ip, sent.ip
        if change is not None:
            right = Ipv4(translated(sent.packet, **change))
            at = 36 if seen.protocol == 6 else 26
            assert seen.raw[:at] + seen.raw[at + 2 :] == right.raw[:at] + right.raw[at + 2 :]
        old = before.raw[12:20] + before.payload[0:4]
        new = seen.raw[12:20] + seen.payload[0:4]
        assert seen.l4_checksum == updated_checksum(before.l4_checksum, old, new)
        assert seen.l4_checksum != Ipv4(translated(seen.raw, ttl_less=0)).l4_checksum, "the wrong checksum was put right"
    assert result.drops == {}


def test_a_udp_checksum_of_zero_stays_zero_and_the_ports_are_rewritten_all_the_same(config):
    # facts/nat.md row 1624 "UDP 0 stays 0", §10 "zero-UDP-checksum packets skipped the port rewrite".
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53, checksum=0))
    nat = capture.peek().one(out).ip.source
    back = capture.outside(udp(X, 53, *nat, checksum=0))
    again = [capture.inside("red", udp(RED, 1000, X, 53, bytes([n]), checksum=0)) for n in range(4)]
    with_one = capture.inside("red", udp(RED, 1000, X, 53))
    result = capture.run(THOROUGH)
    for sent in [out] + again:
        assert result.out(sent, source=nat).ip.l4_checksum == 0
    assert result.into("red", back, destination=(RED, 1000)).ip.l4_checksum == 0
    assert result.out(with_one, source=nat).ip.l4_checksum != 0


def data_that_sums_to(packet_of, checksum):
    """Four bytes of data with which `packet_of(data)` has the wanted checksum after all else is fixed."""
    bare = Ipv4(bytes(packet_of(b"\0\0same")))
    # One's complement: the checksum falls by what a word of data rises. Try the word that should do it, and its neighbour for the carry.
    for word in ((bare.l4_checksum - checksum) % 0xFFFF, (bare.l4_checksum - checksum) % 0xFFFF + 1):
        packet = packet_of(struct.pack("!H", word & 0xFFFF) + b"same")
        raw = Ipv4(bytes(packet))
        if raw.l4_checksum == checksum:
            return packet
    raise AssertionError("no such data")


def test_a_udp_checksum_that_comes_out_as_zero_leaves_as_all_ones(config):
    # facts/nat.md row 1624 "a computed UDP 0 goes out as 0xFFFF", §10 "negative-zero checksum".
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    # Data with which the translated packet's sum is 0, which scapy writes as 0xFFFF; the packet as sent carries another checksum.
    outside = data_that_sums_to(lambda data: udp(*nat, X, 53, data), 0xFFFF)
    sent = [capture.inside("red", udp(RED, 1000, X, 53, bytes(outside)[28:])) for _ in range(3)]
    inside = data_that_sums_to(lambda data: udp(X, 53, RED, 1000, data), 0xFFFF)
    back = capture.outside(udp(X, 53, *nat, bytes(inside)[28:]))
    # And the other way about: a checksum of 0xFFFF comes in.
    ones = capture.inside("red", data_that_sums_to(lambda data: udp(RED, 1000, X, 53, data), 0xFFFF))
    assert ones.ip.l4_checksum == 0xFFFF
    result = capture.run(THOROUGH)
    for s in sent:
        assert result.out(s, source=nat).ip.l4_checksum == 0xFFFF
    assert result.into("red", back, destination=(RED, 1000)).ip.l4_checksum == 0xFFFF
    assert result.out(ones, source=nat).ip.l4_checksum not in (0, 0xFFFF)


def test_a_header_checksum_that_comes_out_as_zero_leaves_as_zero(config):
    # RFC 1624 §3: the update yields what a full sum would, here 0x0000, never 0xFFFF.
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    chosen = None
    for identification in range(65536):
        header = bytearray(bytes(udp(*nat, X, 53, id=0, ttl=63))[:20])
        header[4:6] = struct.pack("!H", identification)
        if internet_checksum(bytes(header[:10]) + b"\0\0" + bytes(header[12:])) == 0:
            chosen = identification
            break
    sent = capture.inside("red", udp(RED, 1000, X, 53, id=chosen))
    result = capture.run()
    assert result.out(sent, source=nat).ip.checksum == 0


def test_tcp_and_echo_checksums_are_right_at_both_ends_of_the_range(config):
    # facts/nat.md row 1624: checksums 0x0000 and 0xFFFF of TCP and ICMP are ordinary values; the full sum never gives 0xFFFF.
    capture = Replay(config)
    syn = capture.inside("red", tcp(RED, 1000, X, 80))
    ping = capture.inside("red", echo(RED, X, 5))
    first = capture.peek()
    nat, ping_nat = first.one(syn).ip.source, first.one(ping).ip.source
    capture.outside(tcp(X, 80, *nat, "SA"))
    capture.inside("red", tcp(RED, 1000, X, 80, "A"))
    out = data_that_sums_to(lambda data: tcp(*nat, X, 80, "PA", data), 0)
    segment = capture.inside("red", tcp(RED, 1000, X, 80, "PA", bytes(out)[40:]))
    zero = capture.inside("red", data_that_sums_to(lambda data: tcp(RED, 1000, X, 80, "PA", data), 0))
    pong = data_that_sums_to(lambda data: echo(ping_nat[0], X, ping_nat[1], 5, data), 0)
    query = capture.inside("red", echo(RED, X, 5, 5, bytes(pong)[28:]))
    result = capture.run(THOROUGH)
    assert zero.ip.l4_checksum == 0
    assert result.out(segment, source=nat).ip.l4_checksum == 0
    result.out(zero, source=nat)
    assert result.out(query, source=ping_nat).ip.l4_checksum == 0


def test_every_checksum_value_range_survives_many_random_payloads(config):
    # STYLE.md laws: incremental checksum equals full. 300 payloads through one flow, each judged by a full sum.
    import random

    source = random.Random(1624)
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    sent = []
    for _ in range(150):
        data = source.randbytes(source.choice((0, 1, 2, 3, 64, 65)))
        sent.append((capture.inside("red", udp(RED, 1000, X, 53, data, id=source.randrange(65536), ttl=source.randrange(2, 256))), True))
        sent.append((capture.outside(udp(X, 53, *nat, data, id=source.randrange(65536), ttl=source.randrange(2, 256))), False))
    result = capture.run()
    for s, outwards in sent:
        if outwards:
            result.out(s, source=nat)
        else:
            result.into("red", s, destination=(RED, 1000))
