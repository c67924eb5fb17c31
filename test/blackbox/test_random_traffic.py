"""Random traffic, seeded: invariants that hold whatever comes (DESIGN.md §4; STYLE.md, laws)."""

import random

import pytest

from frames import vpc_of
from harness import THOROUGH, Replay
from packets import Ipv4, translated
from traffic import BLUE_STATIC_PEERING, RED_MAPPED_EXTERNAL, RED_STATIC_EXTERNAL, X, X2, Y, echo, other, tcp, udp

HOSTS = {"red": [f"10.0.1.{n}" for n in (5, 6, 7, 8, 20)], "blue": [f"10.0.1.{n}" for n in (7, 8)] + ["10.0.2.7", "10.0.2.9"]}
REMOTES = [X, X2, Y]


def random_packet(source, host, remote):
    """Something that a host may say to a remote one; few ports, so that flows repeat and meet."""
    port, remote_port = source.choice((0, 1000, 1001, 65535)), source.choice((53, 80))
    ttl = source.choice((64, 64, 64, 64, 2, 1, 255))
    data = source.randbytes(source.choice((0, 1, 8, 100, 1000)))
    kind = source.randrange(10)
    if kind < 5:
        return udp(host, port, remote, remote_port, data, checksum=source.choice((None, None, 0)), ttl=ttl)
    if kind < 8:
        return tcp(host, port, remote, remote_port, source.choice(("S", "S", "A", "PA", "SA", "FA", "R", "RA")), data, ttl=ttl)
    if kind == 8:
        return echo(host, remote, port, source.randrange(4), data, ttl=ttl)
    return other(host, remote, source.choice((47, 50)), data, ttl=ttl)


def reply_to(source, ip):
    """What the receiver of a packet may send back."""
    data = source.randbytes(20)
    if ip.protocol == 17:
        return udp(*ip.destination, *ip.source, data)
    if ip.protocol == 6:
        return tcp(*ip.destination, *ip.source, source.choice(("SA", "A", "PA", "FA", "R")), data)
    if ip.protocol == 1 and ip.icmp_type == 8:
        return echo(ip.dst, ip.src, ip.icmp_id, ip.icmp_sequence, ip.data, reply=True)
    return other(ip.dst, ip.src, ip.protocol, data) if ip.protocol in (47, 50) else None


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_comes_is_translated_whole_or_dropped_for_one_reason(config, seed):
    # DESIGN.md §4 invariants 1, 3, 4, 6: the harness judges sums, addresses, endpoints and accounting; modes are byte-equal. Here: each packet
    # that leaves is the oracle's translation of the one that came, and what answers it arrives at the host that sent it.
    source = random.Random(seed)
    config["nat"]["filtering"] = source.choice(("endpoint-independent", "address-and-port-dependent"))
    config["nat"]["timeouts"].update(udp=30, icmp=5, tcpTransitory=20, other=20)
    vpc_of(config, "red")["limits"] = {"sessions": 25}
    destinations = REMOTES * 3 + [BLUE_STATIC_PEERING, RED_STATIC_EXTERNAL, RED_MAPPED_EXTERNAL, "100.64.2.3", "10.0.2.7", "203.0.113.20", "172.30.0.1"]
    capture = Replay(config)

    def some(count):
        sent = []
        for _ in range(count):
            vpc = source.choice(("red", "blue"))
            packet = random_packet(source, source.choice(HOSTS[vpc]), source.choice(destinations))
            sent.append(capture.inside(vpc, packet))
            if source.random() < 0.15:
                target = source.choice((RED_STATIC_EXTERNAL, RED_MAPPED_EXTERNAL, "203.0.113.18", "203.0.113.1"))
                capture.outside(random_packet(source, source.choice(REMOTES), target))
            capture.wait(source.choice((0.001, 0.01, 0.5)))
        return sent

    some(120)
    answered = []
    before = capture.peek()
    for sent in list(capture.packets):
        for seen in before.of(sent):
            if seen.port_name == "external" and seen.ip.dst in REMOTES and sent.port_name == "fabric" and source.random() < 0.7:
                packet = reply_to(source, seen.ip)
                if packet is not None:
                    answered.append((sent, capture.outside(packet)))
    some(80)
    capture.wait(40)
    some(40)
    result = capture.run(THOROUGH)

    generated = {"172.30.0.1", "203.0.113.1"}
    for sent in capture.packets:
        for seen in result.of(sent):
            if seen.ip.src in generated and seen.ip.protocol == 1:
                continue
            wanted = translated(sent.packet, source=seen.ip.source, destination=seen.ip.destination)
            assert seen.ip.raw == wanted, f"{sent.ip} left as {seen}"
    for sent, reply in answered:
        for seen in result.of(reply):
            # Reverse of forward restores the tuple, unless the mapping is another's by now, which no reply within its life is.
            assert seen.ip.destination == sent.ip.source and seen.ip.src == Ipv4(reply.packet).src
            assert seen.vni == int.from_bytes(sent.frame[46:49], "big")
    # The run must have met these classes of outcome, or it judges nothing.
    assert {"no-binding", "ttl-expired", "not-syn", "private-destination", "local"} <= set(result.drops), result.drops
    assert len(result.external) > 30 and len(result.fabric) > 30 and {f["class"] for f in result.flows} >= {"vpc-to-external"}
