"""Fragments (facts/nat.md row 4787-14, §6; gateway.md "settled": held fragments, their times, fragment-timeout)."""

import pytest

from frames import frame_from_outside, frame_from_vpc
from harness import THOROUGH, Replay
from packets import fragments_of, internet_checksum, reassembled, translated
from traffic import BLUE_STATIC, BLUE_STATIC_PEERING, RED, RED2, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, echo, other, tcp, udp

DATA = bytes(range(256)) * 8


def pieces_seen(result, *sents):
    return [seen.ip for sent in sents for seen in result.of(sent)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_fragments_in_any_order_arrive_as_the_packet_that_was_sent(config, order):
    # facts/nat.md row 4787-14; "settled": released fragments carry the time of the fragment that released them.
    capture = Replay(config)
    known = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(known).ip.source
    packets = [udp(RED, 1000, X, 53, DATA, id=501), udp(RED, 2000, X, 53, DATA, id=502), udp(RED_STATIC, 3000, X, 53, DATA, id=503)]
    into = [udp(X, 53, *nat, DATA, id=504), udp(X2, 1, RED_STATIC_EXTERNAL, 53, DATA, id=505)]
    sent = []
    for packet in packets + into:
        pieces = fragments_of(packet, 800)
        assert len(pieces) == 3
        send = capture.outside if packet in into else lambda piece: capture.inside("red", piece)
        sent.append([send(pieces[index]) for index in order])
    result = capture.run(THOROUGH)
    for packet, group in zip(packets, sent):
        whole = reassembled(pieces_seen(result, *group))
        assert whole.raw == translated(packet, source=whole.source)
    assert reassembled(pieces_seen(result, *sent[0])).source == nat
    for packet, group, host in zip(into, sent[3:], ((RED, 1000), (RED_STATIC, 53))):
        whole = reassembled(pieces_seen(result, *group))
        assert whole.raw == translated(packet, destination=host)
    # What came before the first fragment left with it.
    at_first = order.index(0)
    for group in sent:
        result.none(*group[:at_first])
        assert len(result.of(group[at_first])) == at_first + 1
    assert result.drops == {}


def test_fragments_of_tcp_ping_and_other_protocols_pass(config):
    # facts/nat.md row 4787-14. The first TCP packet must be a SYN, so the fragmented one follows a handshake.
    capture = Replay(config)
    syn = capture.inside("red", tcp(RED, 1000, X, 80))
    nat = capture.peek().one(syn).ip.source
    capture.outside(tcp(X, 80, *nat, "SA"))
    capture.inside("red", tcp(RED, 1000, X, 80, "A"))
    packets = [
        tcp(RED, 1000, X, 80, "PA", DATA, id=601),
        echo(RED, X, 7, 1, DATA, id=602),
        other(RED, X, 47, DATA, id=603),
        udp(RED, 1000, X, 53, DATA, checksum=0, id=604),
        udp(RED, 1000, X, 4789, DATA, id=605),
    ]
    sent = [[capture.inside("red", piece) for piece in fragments_of(packet, 1024)] for packet in packets]
    result = capture.run(THOROUGH)
    for packet, group in zip(packets, sent):
        whole = reassembled(pieces_seen(result, *group))
        assert whole.raw == translated(packet, source=whole.source)
    assert reassembled(pieces_seen(result, *sent[0])).source == nat and result.drops == {}


def test_fragments_between_vpcs_arrive(config):
    # facts/nat.md §6, classification 6.
    capture = Replay(config)
    packet = udp(RED, 1000, BLUE_STATIC_PEERING, 53, DATA, id=700)
    sent = [capture.inside("red", piece) for piece in fragments_of(packet, 1024)[::-1]]
    result = capture.run()
    whole = reassembled(pieces_seen(result, *sent))
    assert whole.raw == translated(packet, source=whole.source, destination=(BLUE_STATIC, 53))
    assert {seen.vni for seen in result.seen} == {200}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["in order", "out of order"])
def test_fragments_to_and_from_a_bypassed_destination_pass_untouched(config, order):
    # facts/nat.md §6 "fragments … forwarded untouched", §5 "identity mapping: untouched".
    config["bypass"] = [{"vpc": "red", "destinations": ["198.51.100.0/24"]}]
    capture = Replay(config)
    packets = [(udp(RED, 1000, X, 53, DATA, id=71), lambda piece: capture.inside("red", piece)), (udp(X, 53, RED, 1000, DATA, id=72), capture.outside)]
    sent = [[send(fragments_of(packet, 800)[index]) for index in order] for packet, send in packets]
    result = capture.run(THOROUGH)
    for (packet, _), group in zip(packets, sent):
        assert reassembled(pieces_seen(result, *group)).raw == translated(packet)
        # Each piece is what was sent but for its TTL.
        assert sorted(seen.raw for seen in pieces_seen(result, *group)) == sorted(fragments_of(translated(packet), 800))
    assert result.drops == {}


def test_fragments_with_the_same_identification_from_different_hosts_and_vpcs_do_not_mix(config):
    # facts/nat.md §7; RFC 791: a datagram's fragments are told by source, destination, protocol and identification, here in each VPC.
    capture = Replay(config)
    packets = [
        ("red", udp(RED, 1000, X, 53, b"r" * 1600, id=42)),
        ("blue", udp(RED, 1000, X, 53, b"b" * 1600, id=42)),
        ("red", udp(RED2, 1000, X, 53, b"s" * 1600, id=42)),
        ("red", echo(RED, X, 1000, 1, b"e" * 1600, id=42)),
        ("red", udp(RED, 1000, X2, 53, b"t" * 1600, id=42)),
    ]
    sent = {index: [] for index in range(len(packets))}
    # All last fragments first, then all first ones.
    for part in (1, 0):
        for index, (vpc, packet) in enumerate(packets):
            sent[index].append(capture.inside(vpc, fragments_of(packet, 808)[part]))
    result = capture.run(THOROUGH)
    for index, (_, packet) in enumerate(packets):
        whole = reassembled(pieces_seen(result, *sent[index]))
        assert whole.raw == translated(packet, source=whole.source)


def test_fragments_whose_first_never_comes_are_counted_as_timed_out(config):
    # gateway.md "settled": at drain, held fragments count as fragment-timeout; facts/nat.md row 4787-14: bounded memory (and time).
    capture = Replay(config)
    pieces = fragments_of(udp(RED, 1000, X, 53, DATA, id=800), 800)
    orphans = [capture.inside("red", piece) for piece in pieces[1:]]
    first_late = capture.at(300).inside("red", pieces[0])
    at_the_end = [capture.inside("red", piece) for piece in fragments_of(udp(RED, 1001, X, 53, DATA, id=801), 800)[1:]]
    result = capture.run()
    result.none(*orphans, *at_the_end)
    # The late first fragment is passed on by itself: there is nothing left to release.
    assert len(result.of(first_late)) == 1
    assert result.drops == {"fragment-timeout": 4}


def test_fragments_of_a_packet_that_is_refused_are_dropped_for_the_same_reason_or_in_time(config):
    # DESIGN.md §4 invariant 3: no packet leaves half. The later fragments of a refused packet may be called by its reason, or be left
    # to time out.
    config["staticBindings"] = []
    del config["externalPools"]
    capture = Replay(config)
    for piece in fragments_of(udp(RED, 1000, X, 53, DATA, id=900), 800):
        capture.inside("red", piece)
    result = capture.run()
    assert result.seen == [] and sum(result.drops.values()) == 3
    assert result.drops["no-pool"] >= 1 and set(result.drops) <= {"no-pool", "fragment-timeout"}


def test_a_flood_of_orphan_fragments_is_bounded_and_harms_nobody(config):
    # facts/nat.md row 4787-14 "bounded memory"; DESIGN.md §4 invariants 5 and 6.
    capture = Replay(config)
    good = capture.inside("red", udp(RED, 1000, X, 53))
    count = 3000
    for number in range(count):
        piece = fragments_of(udp(f"10.0.1.{20 + number % 200}", 1000, X, 53, b"x" * 40, id=number + 1), 24)[1]
        capture.inside("red", piece)
    again = capture.inside("red", udp(RED, 1000, X, 53, b"still here"))
    result = capture.run()
    result.out(again, source=result.one(good).ip.source)
    assert sum(result.drops.values()) == count and set(result.drops) <= {"fragment-timeout", "fragment-limit", "held-limit"}


def with_identification(frame, identification):
    """The frame with its innermost packet, 24 bytes of payload behind a bare header, renumbered."""
    at = len(frame) - 44
    header = bytearray(frame[at : at + 20])
    header[4:6] = identification.to_bytes(2, "big")
    header[10:12] = b"\0\0"
    header[10:12] = internet_checksum(bytes(header)).to_bytes(2, "big")
    return frame[:at] + bytes(header) + frame[at + 20 :]


@pytest.mark.parametrize("side", ["red", "outside"])
def test_a_flood_of_orphan_fragments_leaves_other_tenants_their_new_flows(config, side):
    # DESIGN.md §4 invariants 5 and 6; facts/nat.md §7 "one VPC at its limit never harms another": as many orphans as there are packets that may
    # be held, within a second, then another VPC's first packets.
    capture = Replay(config)
    count = 4200
    if side == "red":
        port_name, model = "fabric", frame_from_vpc(config, "red", fragments_of(udp(RED2, 1000, X, 53, b"x" * 40), 24)[1])
    else:
        port_name, model = "external", frame_from_outside(config, fragments_of(udp(X, 1000, RED_STATIC_EXTERNAL, 53, b"x" * 40), 24)[1])
    for number in range(count):
        sent = capture.frame(port_name, with_identification(model, number + 1))
        capture.now_micros = sent.micros + 10
    new = [capture.inside("blue", packet) for packet in (echo(BLUE_STATIC, X), udp(BLUE_STATIC, 77, X, 53), tcp(BLUE_STATIC, 78, X, 80))]
    whole = udp(BLUE_STATIC, 79, X, 53, DATA, id=5)
    pieces = [capture.inside("blue", piece) for piece in fragments_of(whole, 800)]
    result = capture.run()
    for sent in new:
        result.out(sent, source=result.one(sent).ip.source)
    assert reassembled(pieces_seen(result, *pieces)).data == DATA
    assert sum(result.drops.values()) == count


def test_tiny_and_overlapping_fragments_do_no_harm(config):
    # DESIGN.md §4 invariants 3 and 6; RFC 1858, RFC 3128. Whether such a piece is dropped or passed is not said; it is accounted for once,
    # what leaves has the right addresses, and other traffic goes on.
    capture = Replay(config)
    good = capture.inside("red", udp(RED, 1000, X, 53))
    raw = fragments_of(udp(RED, 1000, X, 53, b"x" * 64, id=4), 8)
    capture.inside("red", raw[0])
    capture.inside("red", raw[1])
    capture.inside("red", raw[1])
    capture.inside("red", fragments_of(tcp(RED, 1000, X, 80, "S", id=5), 8)[0])
    capture.inside("red", fragments_of(tcp(RED, 1000, X, 80, "S", id=5), 8)[1])
    capture.inside("red", fragments_of(udp(RED, 1000, X, 53, DATA, id=6), 800)[0])
    capture.inside("red", fragments_of(udp(RED, 1000, X, 53, DATA, id=6), 1600)[1])
    beyond = bytearray(fragments_of(udp(RED, 1000, X, 53, DATA, id=7), 800)[2])
    beyond[6:8] = b"\x1f\xff"
    capture.inside("red", translated(bytes(beyond), ttl_less=0))
    again = capture.inside("red", udp(RED, 1000, X, 53, b"still here"))
    result = capture.run(THOROUGH)
    nat = result.one(good).ip.source
    result.out(again, source=nat)
    assert {seen.ip.src for seen in result.seen} == {nat[0]}


def test_a_repeated_flow_of_fragments_and_whole_packets_mixes_in_order(config):
    # facts/nat.md row 4787-14, with the flow in the NIC meanwhile: fragments are never served by a NIC rule.
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    for number in range(5):
        capture.inside("red", udp(RED, 1000, X, 53, bytes([number])))
        for piece in fragments_of(udp(RED, 1000, X, 53, DATA, id=100 + number), 1024):
            capture.inside("red", piece)
    result = capture.run(THOROUGH)
    assert len(result.seen) == len(capture.packets) and result.drops == {}
    assert {seen.ip.src for seen in result.seen} == {result.one(first).ip.src}


def test_orphans_of_vnis_that_lead_nowhere_are_not_held(config):
    # gateway.md "How traffic is classified", line 2: whatever VNI a stranger makes up, and however many.
    capture = Replay(config)
    late = fragments_of(udp(RED, 1000, X, 53, DATA, id=900), 800)
    strangers = [capture.inside("red", late[1], vni=1000 + i) for i in range(3000)]
    pieces = [capture.inside("red", piece) for piece in reversed(fragments_of(udp(RED, 1000, X, 53, DATA, id=901), 800))]
    result = capture.run(THOROUGH)
    result.none(*strangers)
    assert len(pieces_seen(result, *pieces)) == 3
    assert result.drops == {"unknown-vni": 3000}
