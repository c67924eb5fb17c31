"""Bad input: each malformed packet is dropped under one reason and nothing else moves (DESIGN.md §4 invariants 3 and 6; issue 2).

That each packet is accounted for exactly once is demanded by the harness in every run.
"""

import random

import pytest

from frames import frame_from_outside, frame_from_vpc
from harness import THOROUGH, Replay
from packets import Ipv4, internet_checksum
from traffic import BLUE_STATIC_PEERING, RED, RED_STATIC_EXTERNAL, X, as_quoted, echo, icmp_error, tcp, udp


class GoodFlow:
    """A flow both ways that must go on whatever comes between."""

    def __init__(self, capture):
        self.capture = capture
        self.sent = [capture.inside("red", udp(RED, 1000, X, 53))]
        self.nat = capture.peek().one(self.sent[0]).ip.source
        self.back = []

    def go_on(self):
        self.sent.append(self.capture.inside("red", udp(RED, 1000, X, 53, b"goes on")))
        self.back.append(self.capture.outside(udp(X, 53, *self.nat)))

    def judge(self, result):
        for sent in self.sent:
            result.out(sent, source=self.nat)
        for sent in self.back:
            result.into("red", sent, destination=(RED, 1000))

    @property
    def count(self):
        return len(self.sent) + len(self.back)


def with_header(packet, **changes):
    """An IPv4 packet with bytes of its header changed (names of `fields`), its header checksum made right again."""
    fields = {"version_ihl": (0, 1), "total_length": (2, 2), "flags": (6, 2), "protocol": (9, 1)}
    raw = bytearray(bytes(packet))
    for name, value in changes.items():
        at, size = fields[name]
        raw[at : at + size] = value.to_bytes(size, "big")
    length = max(20, (raw[0] & 15) * 4)
    raw[10:12] = b"\0\0"
    raw[10:12] = internet_checksum(bytes(raw[:length])).to_bytes(2, "big")
    return bytes(raw)


@pytest.mark.parametrize("side", ["fabric", "external"])
def test_every_prefix_of_a_good_frame_is_dropped_and_nothing_else_moves(config, side):
    # STYLE.md: every parser runs on every prefix of every fixture.
    capture = Replay(config)
    good = GoodFlow(capture)
    if side == "fabric":
        frame = frame_from_vpc(config, "red", tcp(RED, 7, X, 80, "S", b"data"))
    else:
        frame = frame_from_outside(config, tcp(X, 7, RED_STATIC_EXTERNAL, 80, "S", b"data"))
    for length in range(1, len(frame)):
        capture.frame(side, frame[:length])
    good.go_on()
    result = capture.run(THOROUGH)
    good.judge(result)
    assert len(result.seen) == good.count and len(result.flows) == 1
    assert sum(result.drops.values()) == len(frame) - 1
    # Too short for an Ethernet header it is malformed; cut within a header or its payload too.
    assert set(result.drops) <= {"malformed", "not-for-us", "not-ipv4"} and result.drops["malformed"] >= len(frame) - 20


def malformed_packets():
    base, syn = udp(RED, 7, X, 53, b"payload"), tcp(RED, 7, X, 80)
    yield "version 6 in an IPv4 frame", with_header(base, version_ihl=0x65)
    yield "version 0", with_header(base, version_ihl=0x05)
    yield "header length 4 words", with_header(base, version_ihl=0x44)
    yield "header length 0", with_header(base, version_ihl=0x40)
    yield "header longer than the packet", with_header(base, version_ihl=0x4F)
    yield "total length 0", with_header(base, total_length=0)
    yield "total length below the header", with_header(base, total_length=19)
    yield "total length without room for UDP", with_header(base, total_length=27)
    yield "total length beyond the frame", with_header(base, total_length=len(bytes(base)) + 1)
    yield "total length 65535", with_header(base, total_length=65535)
    yield "TCP cut before its checksum", with_header(bytes(syn)[:36], total_length=36)
    raw = bytearray(bytes(syn))
    raw[32] = 0x40
    yield "TCP data offset 4", bytes(raw)
    raw[32] = 0xF0
    yield "TCP data offset beyond the packet", bytes(raw)
    raw = bytearray(bytes(base))
    raw[24:26] = (7).to_bytes(2, "big")
    yield "UDP length below its header", bytes(raw)
    raw[24:26] = (500).to_bytes(2, "big")
    yield "UDP length beyond the packet", bytes(raw)
    yield "ICMP of 4 bytes", with_header(bytes(echo(RED, X))[:24], total_length=24)
    yield "nothing after the IPv4 header", with_header(bytes(base)[:20], total_length=20)


def test_malformed_packets_from_a_vpc_are_dropped_and_nothing_else_moves(config):
    # DESIGN.md §4 invariant 6; drop reason malformed.
    capture = Replay(config)
    good = GoodFlow(capture)
    bad = []
    for name, packet in malformed_packets():
        bad.append((name, capture.frame("fabric", frame_from_vpc(config, "red", packet, source=RED))))
        good.go_on()
    result = capture.run(THOROUGH)
    for name, sent in bad:
        assert not result.of(sent), f"{name} left as {result.of(sent)}"
    good.judge(result)
    assert len(result.flows) == 1
    # An unknown version may also be called not-ipv4, a header that cannot be summed bad-checksum.
    assert sum(result.drops.values()) == len(bad) and set(result.drops) <= {"malformed", "not-ipv4", "bad-checksum"}
    assert result.drops["malformed"] >= len(bad) - 7


def test_malformed_packets_from_outside_are_dropped_and_nothing_else_moves(config):
    # The same towards a static binding.
    capture = Replay(config)
    good = GoodFlow(capture)
    bad = []
    for name, packet in malformed_packets():
        raw = bytearray(packet)
        swapped = raw[16:20]
        raw[12:16], raw[16:20] = swapped, bytes([203, 0, 113, 10])
        bad.append((name, capture.frame("external", frame_from_outside(config, with_header(bytes(raw))))))
        good.go_on()
    result = capture.run()
    for name, sent in bad:
        assert not result.of(sent), f"{name} left as {result.of(sent)}"
    good.judge(result)
    assert len(result.flows) == 1
    assert sum(result.drops.values()) == len(bad) and set(result.drops) <= {"malformed", "not-ipv4", "bad-checksum"}


def test_bad_outer_headers_are_dropped_and_nothing_else_moves(config):
    # The outer packet on the fabric: lengths that do not fit, no room for VXLAN or for the inner Ethernet header.
    capture = Replay(config)
    good = GoodFlow(capture)
    packet = udp(RED, 7, X, 53)
    whole = frame_from_vpc(config, "red", packet)

    def outer(**changes):
        return whole[:14] + with_header(whole[14:], **changes)

    bad = [
        capture.frame("fabric", outer(total_length=20)),
        capture.frame("fabric", outer(total_length=27)),
        capture.frame("fabric", outer(total_length=35)),
        capture.frame("fabric", outer(total_length=49)),
        capture.frame("fabric", outer(total_length=60)),
        capture.frame("fabric", outer(total_length=65535)),
        capture.frame("fabric", outer(version_ihl=0x44)),
        capture.inside("red", packet, udp={"len": 8}),
        capture.inside("red", packet, udp={"len": 0}),
        capture.inside("red", packet, udp={"len": 1400}),
    ]
    good.go_on()
    result = capture.run()
    result.none(*bad)
    good.judge(result)
    assert result.drops == {"malformed": len(bad)}


def test_random_frames_never_crash_and_change_no_flow(config):
    # DESIGN.md §4 invariant 6: bad input never crashes the process and never changes another flow.
    source = random.Random(20)
    capture = Replay(config)
    good = GoodFlow(capture)
    noise = []
    underlay, external = bytes.fromhex("02000000f001"), bytes.fromhex("02000000e001")
    for number in range(400):
        side = source.choice(("fabric", "external"))
        frame = source.randbytes(source.randrange(1, 200))
        if number % 2:
            frame = (underlay if side == "fabric" else external) + source.randbytes(6) + b"\x08\x00" + frame
        noise.append(capture.frame(side, frame))
        if number % 40 == 0:
            good.go_on()
    result = capture.run(THOROUGH)
    result.none(*noise)
    good.judge(result)
    assert sum(result.drops.values()) == len(noise) and len(result.flows) == 1


def test_good_frames_with_flipped_bits_are_accounted_for_once_and_change_no_other_flow(config):
    # As above, nearer to good traffic: what of it leaves, leaves with the addresses and sums it should have, as far as sums were right.
    source = random.Random(21)
    capture = Replay(config)
    good = GoodFlow(capture)
    originals = [
        ("fabric", frame_from_vpc(config, "red", udp(RED, 7, X, 53, b"payload"))),
        ("fabric", frame_from_vpc(config, "red", tcp(RED, 7, BLUE_STATIC_PEERING, 80))),
        ("external", frame_from_outside(config, tcp(X, 7, RED_STATIC_EXTERNAL, 80))),
    ]
    for number in range(300):
        side, frame = source.choice(originals)
        broken = bytearray(frame)
        # Addresses and type of the outer Ethernet header, then the outer IPv4 header: what is behind may be legal traffic of another host.
        broken[source.randrange(0, 34)] ^= 1 << source.randrange(8)
        if side == "external":
            broken = bytearray(frame)
            broken[source.randrange(0, 34)] ^= 1 << source.randrange(8)
        if bytes(broken[6:12]) != frame[6:12]:
            continue
        capture.frame(side, bytes(broken))
        if number % 50 == 0:
            good.go_on()
    result = capture.run()
    good.judge(result)
    assert len(result.seen) == good.count


def test_icmp_errors_with_random_quotes_change_nothing(config):
    # facts/nat.md rows 5382-9, 5508-4: the quote is a packet too, read with the same care.
    source = random.Random(22)
    capture = Replay(config)
    good = GoodFlow(capture)
    quote = as_quoted(udp(*good.nat, X, 53))
    bad = []
    # From 24 bytes on the ports are there, and whether they do is not said.
    for length in range(0, 24):
        bad.append(capture.outside(icmp_error(X, good.nat[0], quote[:length])))
    for _ in range(60):
        broken = bytearray(quote)
        broken[source.randrange(0, 20)] ^= 1 << source.randrange(8)
        bad.append(capture.outside(icmp_error(X, good.nat[0], bytes(broken))))
    good.go_on()
    result = capture.run()
    result.none(*bad)
    good.judge(result)
    assert sum(result.drops.values()) == len(bad)
    assert set(result.drops) <= {"malformed", "bad-checksum", "icmp-error-unknown"}


def test_a_frame_of_the_largest_capture_length_is_too_big(config):
    # gateway.md "settled": a frame above its port's MTU is dropped on receipt (too-big).
    capture = Replay(config)
    good = GoodFlow(capture)
    packet = udp(RED, 7, X, 53, b"x" * 8972)
    assert Ipv4(bytes(packet)).total_length == 9000
    capture.inside("red", packet)
    capture.outside(udp(X, 7, RED_STATIC_EXTERNAL, 53, b"x" * 60000))
    good.go_on()
    result = capture.run()
    good.judge(result)
    assert result.drops == {"too-big": 2}
