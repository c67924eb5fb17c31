"""TTL and sizes (gateway.md, classification, "settled", `ports.*.mtu`, `nat.mssClamp`; facts/nat.md row 4787-13)."""

import pytest

from frames import vpc_of
from harness import THOROUGH, Replay
from packets import Ipv4, reassembled, translated
from traffic import (
    BLUE_STATIC,
    BLUE_STATIC_PEERING,
    RED,
    RED_STATIC,
    RED_STATIC_EXTERNAL,
    ROUTER,
    X,
    as_quoted,
    echo,
    icmp_error,
    tcp,
    udp,
)


@pytest.mark.parametrize("gateway_address", [None, "10.0.1.1"])
def test_a_packet_with_ttl_1_is_answered_with_time_exceeded_from_the_gateways_address_on_that_side(config, gateway_address):
    # gateway.md "TTL goes down by one per gateway; at 1 it is not forwarded"; "settled": from `gatewayAddress` (else `underlay.vtep`) towards
    # a VPC host, from the port's own address towards outside; facts/nat.md §4 "quoting the original packet".
    if gateway_address:
        vpc_of(config, "red")["gatewayAddress"] = gateway_address
    capture = Replay(config)
    source = gateway_address or "172.30.0.1"
    inside = [
        capture.inside("red", packet)
        for packet in (
            udp(RED, 1000, X, 53, ttl=1),
            tcp(RED, 1000, X, 80, ttl=1),
            echo(RED, X, 7, ttl=1),
            udp(RED, 1000, BLUE_STATIC_PEERING, 53, ttl=1),
            udp(RED_STATIC, 1000, X, 53, ttl=1),
            udp(RED, 1000, RED_STATIC_EXTERNAL, 53, ttl=1),
        )
    ]
    # Within the second that the rate limit of code 13 speaks of there are several of these: that limit is not theirs.
    outside = [capture.outside(udp(X, 1000, RED_STATIC_EXTERNAL, 53, ttl=1)), capture.outside(tcp(X, 1, RED_STATIC_EXTERNAL, 53, ttl=1))]
    result = capture.run(THOROUGH)
    for sent in inside:
        result.refused(sent, 11, 0, source, "red")
    for sent in outside:
        result.refused(sent, 11, 0, "203.0.113.1")
    assert result.drops == {"ttl-expired": len(capture.packets)}


def test_ttl_2_leaves_with_1_in_every_class_and_a_live_flow_is_not_spared_at_1(config):
    # gateway.md "TTL goes down by one per gateway (inner header)"; never served by a NIC rule: TTL ≤ 1.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53, ttl=2))
    nat = capture.peek().one(out).ip.source
    back = capture.outside(udp(X, 53, *nat, ttl=2))
    more = [capture.inside("red", udp(RED, 1000, X, 53, ttl=ttl)) for ttl in (255, 128, 2)]
    peer = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53, ttl=2))
    hairpin = capture.inside("red", udp(RED, 1000, RED_STATIC_EXTERNAL, 53, ttl=2))
    last = [capture.inside("red", udp(RED, 1000, X, 53, ttl=1)), capture.outside(udp(X, 53, *nat, ttl=1))]
    result = capture.run(THOROUGH)
    for sent in [out] + more:
        result.out(sent, source=nat)
    result.into("red", back, destination=(RED, 1000))
    assert result.one(peer).ip.ttl == 1 and result.one(peer).ip.dst == BLUE_STATIC
    assert result.one(hairpin).ip.ttl == 1 and result.one(hairpin).ip.dst == RED_STATIC
    result.refused(last[0], 11, 0, "172.30.0.1", "red")
    result.refused(last[1], 11, 0, "203.0.113.1")
    assert result.drops == {"ttl-expired": 2}


def test_ttl_0_goes_nowhere(config):
    # gateway.md "never served by a NIC rule: TTL ≤ 1"; RFC 1812 §5.2.3: such a packet should not exist, and may be answered or not.
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53, ttl=0))
    capture.outside(udp(X, 1000, RED_STATIC_EXTERNAL, 53, ttl=0))
    result = capture.run()
    assert all(seen.ip.src in ("172.30.0.1", "203.0.113.1") and seen.ip.icmp_type == 11 for seen in result.seen)
    assert result.drops in ({"ttl-expired": 2}, {"malformed": 2})


def test_time_exceeded_is_never_sent_about_an_icmp_error(config):
    # RFC 1122 §3.2.2: no error about an error.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    error = capture.outside(icmp_error(ROUTER, nat[0], as_quoted(udp(*nat, X, 53)), ttl=1))
    result = capture.run()
    result.none(error)
    assert result.drops == {"ttl-expired": 1}


def test_ttl_is_judged_after_the_packets_that_are_refused_before(config):
    # gateway.md, classification 3: "TTL 1 is judged after this line, before the next ones".
    capture = Replay(config)
    capture.inside("red", udp("10.0.9.9", 1, X, 2, ttl=1))
    capture.inside("red", udp(RED, 1, "172.30.0.1", 2, ttl=1))
    capture.inside("red", udp(RED, 1, X, 2, ttl=1), vni=4711)
    later = capture.inside("red", udp(RED, 1, "10.0.1.8", 2, ttl=1))
    result = capture.run()
    assert result.drops == {"source-not-in-vpc": 1, "not-for-us": 1, "unknown-vni": 1, "ttl-expired": 1}
    result.refused(later, 11, 0, "172.30.0.1", "red")
    assert len(result.seen) == 1


def test_full_size_packets_pass_with_the_default_mtus(config):
    # gateway.md `ports.*.mtu`: default 1500 external, 1550 fabric: 1500 bytes of host's packet fit both.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53, b"x" * 1472, flags="DF"))
    nat = capture.peek().one(out).ip.source
    back = capture.outside(udp(X, 53, *nat, b"y" * 1472, flags="DF"))
    assert out.ip.total_length == back.ip.total_length == 1500
    result = capture.run(THOROUGH)
    result.out(out, source=nat)
    seen = result.into("red", back, destination=(RED, 1000))
    assert seen.outer.total_length == 1550


def test_a_frame_above_the_mtu_of_its_port_is_dropped_on_receipt(config):
    # gateway.md "settled": a frame above its port's MTU is dropped on receipt (too-big), as a NIC does: silently.
    config["ports"]["fabric"]["mtu"] = 1400
    config["ports"]["external"]["mtu"] = 1300
    capture = Replay(config)
    big = [
        capture.inside("red", udp(RED, 1000, X, 53, b"x" * (1351 - 28))),
        capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53, b"x" * (1301 - 28))),
    ]
    fits = [
        capture.inside("red", udp(RED, 1000, X, 53, b"x" * (1300 - 28))),
        capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53, b"x" * (1300 - 28))),
    ]
    result = capture.run()
    result.none(*big)
    assert len(result.seen) == len(fits)
    assert result.drops == {"too-big": 2}


def test_a_packet_too_big_for_the_fabric_is_answered_with_fragmentation_needed_or_cut(config):
    # gateway.md "settled": software answers fragmentation needed when DF is set, else fragments; facts/nat.md row 4787-13, 7348 "a VTEP never
    # fragments" (so the host's packet is cut, not the encapsulated one).
    config["ports"]["fabric"]["mtu"] = 1500
    capture = Replay(config)
    data = bytes(range(250)) * 5 + b"end" * 73
    keep = capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53, b"x" * 1423, flags="DF"))
    fits = capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53, b"x" * 1422, flags="DF"))
    cut = capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53, data, id=77))
    assert (keep.ip.total_length, fits.ip.total_length, cut.ip.total_length) == (1451, 1450, 1497)
    result = capture.run(THOROUGH, extra=1)
    # The next-hop MTU is what an inner packet may have: 1500 less 50 bytes of encapsulation.
    result.refused(keep, 3, 4, "203.0.113.1", rest=1450)
    result.into("red", fits, destination=(RED_STATIC, 53))
    pieces = result.of(cut)
    assert len(pieces) == 2 and all(piece.vni == 100 and piece.outer.total_length <= 1500 for piece in pieces)
    whole = reassembled([piece.ip for piece in pieces])
    assert whole.raw == translated(cut.packet, destination=(RED_STATIC, 53))
    assert result.drops == {"too-big": 1}


@pytest.mark.parametrize("gateway_address", [None, "10.0.1.1"])
def test_a_packet_too_big_for_the_outside_is_answered_with_fragmentation_needed_or_cut(config, gateway_address):
    # gateway.md "settled": as above; the error towards a VPC host comes from `gatewayAddress`, else from the VTEP.
    if gateway_address:
        vpc_of(config, "red")["gatewayAddress"] = gateway_address
    config["ports"]["external"]["mtu"] = 1280
    capture = Replay(config)
    keep = capture.inside("red", udp(RED, 1000, X, 53, b"x" * 1253, flags="DF"))
    fits = capture.inside("red", udp(RED, 1000, X, 53, b"x" * 1252, flags="DF"))
    nat = capture.peek().one(fits).ip.source
    cut = capture.inside("red", udp(RED, 1000, X, 53, bytes(range(250)) * 5 + b"x" * 20))
    again = capture.inside("red", udp(RED, 1000, X, 53, b"x" * 1300, flags="DF"))
    result = capture.run(THOROUGH, extra=1)
    for sent in (keep, again):
        result.refused(sent, 3, 4, gateway_address or "172.30.0.1", "red", rest=1280)
    result.out(fits, source=nat)
    pieces = [seen.ip for seen in result.of(cut)]
    assert all(piece.total_length <= 1280 for piece in pieces) and len(pieces) == 2
    assert reassembled(pieces).raw == translated(cut.packet, source=nat)
    assert result.drops == {"too-big": 2}


def test_the_maximum_segment_size_of_a_syn_is_clamped_both_ways(config):
    # gateway.md `nat.mssClamp`: bytes.
    config["nat"]["mssClamp"] = 1360
    capture = Replay(config)
    options = [("NOP", None), ("MSS", 1460), ("SAckOK", b""), ("WScale", 7)]
    syn = capture.inside("red", tcp(RED, 1000, X, 80, options=options))
    nat = capture.peek().one(syn).ip.source
    syn_ack = capture.outside(tcp(X, 80, *nat, "SA", options=[("MSS", 1460)]))
    small = capture.inside("red", tcp(RED, 1001, X, 80, options=[("MSS", 536)]))
    none = capture.inside("red", tcp(RED, 1002, X, 80))
    data = capture.inside("red", tcp(RED, 1000, X, 80, "A", b"\x02\x04\x05\xb4"))
    result = capture.run(THOROUGH)
    clamped = bytes(tcp(RED, 1000, X, 80, options=[("NOP", None), ("MSS", 1360), ("SAckOK", b""), ("WScale", 7)]))
    assert result.one(syn).ip.raw == translated(clamped, source=nat)
    assert result.one(syn_ack).ip.raw == translated(bytes(tcp(X, 80, *nat, "SA", options=[("MSS", 1360)])), destination=(RED, 1000))
    for sent in (small, none, data):
        result.out(sent, source=result.one(sent).ip.source)


def test_without_a_clamp_segment_sizes_are_left_alone(config):
    # gateway.md `nat.mssClamp` is optional.
    capture = Replay(config)
    syn = capture.inside("red", tcp(RED, 1000, X, 80, options=[("MSS", 8960)]))
    result = capture.run()
    assert result.out(syn, source=result.one(syn).ip.source).ip.raw[40:44] == b"\x02\x04\x23\x00"


def test_time_exceeded_quotes_a_packet_with_all_its_options(config):
    # RFC 792: the internet header, which has options here, and 64 bits.
    raw = bytes(udp(RED, 1000, X, 53, ttl=1))
    packet = translated(Ipv4(b"\x46" + raw[1:2] + (len(raw) + 4).to_bytes(2, "big") + raw[4:20] + b"\x94\x04\0\0" + raw[20:]).raw, ttl_less=0)
    capture = Replay(config)
    sent = capture.inside("red", packet)
    result = capture.run()
    result.refused(sent, 11, 0, "172.30.0.1", "red")
