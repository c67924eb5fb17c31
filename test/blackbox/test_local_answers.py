"""What the gateway answers itself: ARP and pings of its own addresses (gateway.md, classification 3, "settled")."""

import pytest
from scapy.layers.l2 import ARP, Ether

from frames import BROADCAST, arp_request, frame_from_vpc, vpc_of
from harness import THOROUGH, Replay
from packets import ip_faults
from traffic import BLUE, RED, RED_STATIC_EXTERNAL, X, echo, tcp, udp

NEIGHBOUR_MAC, NEIGHBOUR = "02:00:00:00:e0:aa", "203.0.113.200"
VTEP_MAC = "02:00:00:00:00:11"


def ask_outside(capture, target, destination=BROADCAST, sender=NEIGHBOUR):
    return capture.frame("external", Ether(src=NEIGHBOUR_MAC, dst=destination, type=0x0806) / arp_request(NEIGHBOUR_MAC, sender, target))


def assert_arp_answer(seen, mac, address, asker_mac, asker):
    """RFC 826: the answer goes to who asked, with the asked address as its sender."""
    arp = seen.arp
    assert (arp.op, arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (2, mac, address, asker_mac, asker), seen
    destination, source = (seen.inner_dst, seen.inner_src) if seen.vni is not None else (seen.ether_dst, seen.ether_src)
    assert (destination, source) == (asker_mac, mac)


def test_arp_for_own_nat_and_static_addresses_is_answered_on_the_external_port(config):
    # gateway.md "settled": ARP for the gateway's own, NAT and static addresses is answered on the external port; other ARP is ignored;
    # ignored ARP counts as local.
    capture = Replay(config)
    known = ["203.0.113.1", "203.0.113.16", "203.0.113.31", RED_STATIC_EXTERNAL, "203.0.113.11"]
    asked = [(address, ask_outside(capture, address)) for address in known]
    direct = ask_outside(capture, "203.0.113.1", config["ports"]["external"]["mac"])
    probe = ask_outside(capture, "203.0.113.20", sender="0.0.0.0")  # RFC 5227 address conflict probe
    ignored = [ask_outside(capture, address) for address in ("203.0.113.99", "203.0.113.15", "203.0.113.32", RED, "172.30.0.1", NEIGHBOUR)]
    result = capture.run(THOROUGH)
    for address, sent in asked:
        assert_arp_answer(result.one(sent), config["ports"]["external"]["mac"], address, NEIGHBOUR_MAC, NEIGHBOUR)
    assert_arp_answer(result.one(direct), config["ports"]["external"]["mac"], "203.0.113.1", NEIGHBOUR_MAC, NEIGHBOUR)
    assert_arp_answer(result.one(probe), config["ports"]["external"]["mac"], "203.0.113.20", NEIGHBOUR_MAC, "0.0.0.0")
    result.none(*ignored)
    assert result.drops == {"local": len(capture.packets)}


def test_arp_for_the_vtep_alone_is_answered_on_the_fabric_port(config):
    # gateway.md "settled": for the VTEP on the fabric port.
    capture = Replay(config)

    def ask(target):
        return capture.frame("fabric", Ether(src=VTEP_MAC, dst=BROADCAST, type=0x0806) / arp_request(VTEP_MAC, "172.30.0.11", target))

    answered = ask("172.30.0.1")
    ignored = [ask(target) for target in ("172.30.0.2", "203.0.113.1", "203.0.113.16", "100.64.1.3")]
    result = capture.run()
    assert_arp_answer(result.one(answered), config["underlay"]["mac"], "172.30.0.1", VTEP_MAC, "172.30.0.11")
    result.none(*ignored)
    assert result.drops == {"local": 5}


def test_arp_inside_a_vpc_is_answered_for_the_gateway_address_alone(config):
    # gateway.md, classification 3: ARP inside a VPC is answered for `gatewayAddress` only; `vpcs[].gatewayAddress`.
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    mac = "02:00:00:01:00:11"

    def ask(vpc, target):
        frame = frame_from_vpc(config, vpc, arp_request(mac, RED, target), source=RED, inner_type=0x0806, inner={"dst": BROADCAST, "src": mac})
        return capture.frame("fabric", frame)

    answered = ask("red", "10.0.1.1")
    ignored = [ask("red", "10.0.1.8"), ask("red", "172.30.0.1"), ask("red", "203.0.113.1"), ask("red", RED_STATIC_EXTERNAL), ask("blue", "10.0.1.1")]
    result = capture.run()
    seen = result.one(answered)
    assert (seen.vni, seen.outer.dst) == (100, "172.30.0.11")
    assert_arp_answer(seen, config["underlay"]["mac"], "10.0.1.1", mac, RED)
    result.none(*ignored)
    assert result.drops == {"local": 6}


def test_arp_replies_and_announcements_are_ignored(config):
    # "settled": other ARP is ignored, and counts as local.
    capture = Replay(config)
    mac = config["ports"]["external"]["mac"]
    reply = ARP(op=2, hwsrc=NEIGHBOUR_MAC, psrc=NEIGHBOUR, hwdst=mac, pdst="203.0.113.1")
    capture.frame("external", Ether(src=NEIGHBOUR_MAC, dst=mac, type=0x0806) / reply)
    announcement = ARP(op=1, hwsrc=NEIGHBOUR_MAC, psrc=NEIGHBOUR, hwdst="00:00:00:00:00:00", pdst=NEIGHBOUR)
    capture.frame("external", Ether(src=NEIGHBOUR_MAC, dst=BROADCAST, type=0x0806) / announcement)
    result = capture.run()
    assert result.seen == [] and result.drops == {"local": 2}


@pytest.mark.parametrize("length", [0, 1, 56, 1400])
def test_pings_of_the_gateways_own_addresses_are_answered(config, length):
    # gateway.md, classification 3; "settled": ping of the VTEP and of the port's address is answered; classification: TTL 1 is judged after
    # this line, so a ping with TTL 1 is answered too.
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    data = bytes(range(256))[:length] if length < 256 else b"p" * length
    inside = [
        (capture.inside("red", echo(RED, target, 5, 9, data, ttl=ttl)), target)
        for ttl, target in ((64, "10.0.1.1"), (1, "10.0.1.1"), (64, "172.30.0.1"), (64, "203.0.113.1"))
    ]
    blue = capture.inside("blue", echo(BLUE, "172.30.0.1", 6, 1, data))
    outside = [capture.outside(echo(X, "203.0.113.1", 7, 2, data, ttl=ttl)) for ttl in (64, 1)]
    ping = echo("172.30.0.11", "172.30.0.1", 8, 3, data)
    underlay = capture.frame("fabric", Ether(src=VTEP_MAC, dst=config["underlay"]["mac"], type=0x0800) / ping, ping)
    result = capture.run(THOROUGH)

    def assert_pong(sent, source):
        pong, asked = result.one(sent).ip, sent.ip
        assert (pong.src, pong.dst) == (source, asked.src)
        assert (pong.icmp_type, pong.icmp_code, pong.icmp_id, pong.icmp_sequence) == (0, 0, asked.icmp_id, asked.icmp_sequence)
        assert pong.data == data and pong.ttl > 1 and ip_faults(pong, "pong") == []

    for sent, target in inside:
        assert_pong(sent, target)
        assert result.one(sent).vni == 100
    assert_pong(blue, "172.30.0.1")
    assert result.one(blue).vni == 200
    for sent in outside:
        assert_pong(sent, "203.0.113.1")
    assert_pong(underlay, "172.30.0.1")
    seen = result.one(underlay)
    assert (seen.port_name, seen.vni, seen.ether_dst) == ("fabric", None, VTEP_MAC)
    assert result.drops == {"local": len(capture.packets)} and result.flows == []


def test_the_gateway_address_of_one_vpc_means_nothing_in_another(config):
    # facts/nat.md §7: VPCs stay apart. 10.0.1.1 lies in blue's own subnets: line 5.
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    capture.inside("blue", echo(BLUE, "10.0.1.1"))
    result = capture.run()
    assert result.seen == [] and result.drops == {"private-destination": 1}


def test_anything_but_a_ping_to_an_own_address_is_not_for_us(config):
    # gateway.md, classification 3: ping is answered, anything else dropped (not-for-us).
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    for target in ("10.0.1.1", "172.30.0.1", "203.0.113.1"):
        capture.inside("red", udp(RED, 1, target, 53))
        capture.inside("red", tcp(RED, 1, target, 22))
        capture.inside("red", echo(RED, target, reply=True))
    capture.outside(udp(X, 1, "203.0.113.1", 53))
    capture.outside(tcp(X, 1, "203.0.113.1", 22))
    capture.outside(echo(X, "203.0.113.1", reply=True))
    result = capture.run()
    assert result.seen == [] and result.drops == {"not-for-us": 12}


def test_a_ping_of_the_external_port_from_the_next_hop_and_from_afar_both_go_by_the_next_hop(config):
    # gateway.md `nextHop`; the harness sends from the next hop's MAC, so an answer to the asker and one by the next hop look alike.
    capture = Replay(config)
    near, far = capture.outside(echo("203.0.113.254", "203.0.113.1")), capture.outside(echo(X, "203.0.113.1"))
    result = capture.run()
    assert [result.one(sent).ether_dst for sent in (near, far)] == [config["ports"]["external"]["nextHop"]["mac"]] * 2
