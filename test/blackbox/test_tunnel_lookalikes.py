"""Hosts that use VXLAN's own port, and what trails a packet (facts/nat.md §4 "Ethernet trailers are tolerated", §6 "UDP 4789 fragments")."""

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from harness import THOROUGH, Replay
from packets import fragments_of, reassembled, translated
from traffic import BLUE_STATIC, BLUE_STATIC_PEERING, RED, RED_STATIC, RED_STATIC_EXTERNAL, X, echo, tcp, udp

VXLAN_PORT = 4789


def tunnel(vni=100, data=b"inside the inside"):
    """VXLAN as a host may send it by itself: to the gateway it is the payload of a datagram."""
    inner = Ether(src="02:aa:00:00:00:01", dst="02:aa:00:00:00:02") / IP(src=RED, dst=X) / UDP(sport=1, dport=2) / Raw(data)
    return bytes(VXLAN(flags=8, vni=vni) / inner)


PAYLOADS = [tunnel(), tunnel(0xFFFFFF), tunnel()[:30], b"", b"\x08\0\0\0", b"\0" * 8, b"\xff" * 40]


def test_a_hosts_datagrams_to_port_4789_are_datagrams_like_any_other(config):
    # facts/nat.md §6; RFC 7348 is spoken between VTEPs: on the external side and inside a VPC the port means nothing.
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, VXLAN_PORT, b"plain"))
    nat = capture.peek().one(first).ip.source
    out = [capture.inside("red", udp(RED, 1000, X, VXLAN_PORT, data)) for data in PAYLOADS]
    back = [capture.outside(udp(X, VXLAN_PORT, *nat, data)) for data in PAYLOADS]
    into = [capture.outside(udp(X, 7, RED_STATIC_EXTERNAL, VXLAN_PORT, data)) for data in PAYLOADS]
    replies = [capture.inside("red", udp(RED_STATIC, VXLAN_PORT, X, 7, data)) for data in PAYLOADS]
    across = [capture.inside("red", udp(RED_STATIC, 9, BLUE_STATIC_PEERING, VXLAN_PORT, data)) for data in PAYLOADS]
    result = capture.run(THOROUGH)
    for sent in [first] + out:
        result.out(sent, source=nat)
    for sent in back:
        result.into("red", sent, destination=(RED, 1000))
    for sent in into:
        result.into("red", sent, destination=(RED_STATIC, VXLAN_PORT))
    for sent in replies:
        result.out(sent, source=(RED_STATIC_EXTERNAL, VXLAN_PORT))
    for sent in across:
        result.into("blue", sent, source=result.one(sent).ip.source, destination=(BLUE_STATIC, VXLAN_PORT))
    assert result.drops == {} and result.nic_packets > 0


def test_fragments_of_udp_to_port_4789_arrive_as_the_packet_that_was_sent(config):
    # facts/nat.md §6 "UDP 4789 fragments": payload that looks like VXLAN, in every order, both ways.
    capture = Replay(config)
    data = tunnel(data=bytes(range(256)) * 8)
    out, into = udp(RED, 1000, X, VXLAN_PORT, data, id=31), udp(X, 7, RED_STATIC_EXTERNAL, VXLAN_PORT, data, id=32)
    groups = []
    for packet, send, change in (
        (out, lambda piece: capture.inside("red", piece), None),
        (into, capture.outside, {"destination": (RED_STATIC, VXLAN_PORT)}),
    ):
        for turn, order in enumerate(((0, 1, 2), (2, 1, 0), (1, 2, 0))):
            renumbered = translated(packet, ttl_less=turn)
            pieces = fragments_of(renumbered, 800)
            groups.append((renumbered, [send(pieces[index]) for index in order], change))
    result = capture.run(THOROUGH)
    for packet, group, change in groups:
        whole = reassembled([seen.ip for sent in group for seen in result.of(sent)])
        assert whole.raw == translated(packet, **(change or {"source": whole.source}))
    assert result.drops == {}


def test_ethernet_trailers_are_tolerated_outside_and_inside_the_tunnel(config):
    # facts/nat.md §4 "Ethernet trailers are tolerated": the packet is what its total length says, whatever follows it, and the trailer
    # neither spoils a checksum nor counts as bytes of the flow.
    capture = Replay(config)
    trailers = (b"\0" * 18, b"\xff", b"\xde\xad\xbe\xef" * 5)
    kinds = (udp(RED, 1000, X, 53, b"u"), echo(RED, X, 7, data=b"e"), tcp(RED, 1000, X, 80))
    plain = [capture.inside("red", packet) for packet in kinds]
    nats = [capture.peek().one(sent).ip.source for sent in plain]
    inside, outside = [], []
    for trailer in trailers:
        for packet, nat in zip(kinds, nats):
            sent = capture.inside("red", bytes(packet) + trailer)
            inside.append((sent, packet, nat))
        for reply, packet in ((udp(X, 53, *nats[0], b"r"), kinds[0]), (echo(X, *nats[1], reply=True, data=b"r"), kinds[1]), (tcp(X, 80, *nats[2], "SA"), kinds[2])):
            outside.append((capture.outside(reply, trailer=trailer), reply, packet))
    result = capture.run(THOROUGH)
    for sent, packet, nat in inside:
        assert result.one(sent).ip.raw == translated(packet, source=nat)
    for sent, reply, packet in outside:
        inside_endpoint = (packet.src, 7 if packet.proto == 1 else 1000)
        assert result.one(sent).ip.raw == translated(reply, destination=inside_endpoint)
    assert result.drops == {}
    flow = result.flow(protocol="udp")
    assert flow["forward"]["bytes"] == 4 * len(bytes(kinds[0])) and flow["reverse"]["bytes"] == 3 * len(bytes(udp(X, 1, RED, 1, b"r")))
