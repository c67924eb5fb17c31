"""gateway.md, "How traffic is classified", line by line: what each packet is taken for, and under which reason it is dropped."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from frames import BROADCAST, add_vpc, frame_from_outside, frame_from_vpc, vpc_of, vxlan_frame
from harness import THOROUGH, Replay
from packets import Ipv4
from traffic import BLUE, BLUE_STATIC, BLUE_STATIC_PEERING, POOL, RED, RED_STATIC, RED_STATIC_EXTERNAL, X, echo, tcp, udp


def test_each_line_of_the_classification_takes_its_packet(config):
    # gateway.md, classification 2 to 8, one packet for each line.
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    add_vpc(config, "green", 300, ["10.0.3.0/24"])
    capture = Replay(config)
    unknown_vni = capture.inside("red", udp(RED, 1, X, 2), vni=101)
    stranger = capture.inside("red", udp("10.0.9.7", 1, X, 2))
    ping = capture.inside("red", echo(RED, "10.0.1.1"))
    knock = capture.inside("red", udp(RED, 1, "10.0.1.1", 2))
    hairpin = capture.inside("red", udp(RED, 1, RED_STATIC_EXTERNAL, 2))
    neighbour = capture.inside("red", udp(RED, 1, "10.0.1.8", 2))
    peer = capture.inside("red", udp(RED, 1, BLUE_STATIC_PEERING, 2))
    unpeered = capture.inside("green", udp("10.0.3.7", 1, BLUE_STATIC_PEERING, 2))
    unbound_peer = capture.inside("red", udp(RED, 1, "100.64.2.3", 2))
    private = capture.inside("red", udp(RED, 1, BLUE, 2))
    unbound = capture.inside("red", udp(RED, 1, "203.0.113.11", 81))
    unused = capture.inside("red", udp(RED, 1, "203.0.113.31", 81))
    outward = capture.inside("red", udp(RED, 1, X, 2))
    result = capture.run(THOROUGH)

    assert result.one(ping).ip.src == "10.0.1.1"
    assert result.one(hairpin).ip.dst == RED_STATIC and result.one(hairpin).vni == 100
    assert result.one(peer).ip.dst == BLUE_STATIC and result.one(peer).vni == 200
    assert result.one(outward).port_name == "external" and result.one(outward).ip.src in POOL
    result.none(unknown_vni, stranger, knock, neighbour, unpeered, unbound_peer, private, unbound, unused)
    assert result.drops == {
        "unknown-vni": 1, "source-not-in-vpc": 1, "local": 1, "not-for-us": 1, "private-destination": 2, "no-peering": 1, "no-binding": 3,
    }  # fmt: skip
    assert {f["class"] for f in result.flows} == {"hairpin", "vpc-to-vpc", "vpc-to-external"}


@pytest.mark.parametrize(
    "send, reason",
    [
        (lambda c: c.inside("red", udp(RED, 1, X, 2), vni=0), "unknown-vni"),
        (lambda c: c.inside("red", udp(RED, 1, X, 2), vni=0xFFFFFF), "unknown-vni"),
        # Source in another VPC's subnets only, and an address of the gateway's own.
        (lambda c: c.inside("red", udp(BLUE, 1, X, 2)), "source-not-in-vpc"),
        (lambda c: c.inside("red", udp("203.0.113.1", 1, X, 2)), "source-not-in-vpc"),
        # Line 2 comes before line 3: who may not speak gets no answer to a ping either.
        (lambda c: c.inside("red", echo("10.0.9.7", "172.30.0.1")), "source-not-in-vpc"),
        (lambda c: c.inside("red", tcp(RED, 1, "172.30.0.1", 22)), "not-for-us"),
        (lambda c: c.inside("red", udp(RED, 1, "203.0.113.1", 53)), "not-for-us"),
        (lambda c: c.inside("blue", udp("10.0.1.7", 1, BLUE, 2)), "private-destination"),
        # facts/nat.md §2 "inbound to an unallocated port drops, counted"; classification, external port.
        (lambda c: c.outside(udp(X, 1, "203.0.113.16", 5000)), "no-binding"),
        (lambda c: c.outside(tcp(X, 1, "203.0.113.11", 81)), "no-binding"),
        (lambda c: c.outside(udp(X, 1, "203.0.113.11", 80)), "no-binding"),
        (lambda c: c.outside(udp(X, 1, "203.0.113.99", 80)), "not-for-us"),
        (lambda c: c.outside(udp(X, 1, RED, 80)), "not-for-us"),
        (lambda c: c.outside(udp(X, 1, "203.0.113.1", 80)), "not-for-us"),
    ],
)
def test_a_packet_of_no_use_is_dropped_silently_for_the_right_reason(config, send, reason):
    # gateway.md, classification 2, 3, 5 and the external port; "settled": other refusals are silent.
    capture = Replay(config)
    send(capture)
    result = capture.run()
    assert (result.seen, result.drops, result.flows) == ([], {reason: 1}, [])


def test_frames_that_are_not_addressed_to_the_gateway_are_not_for_us(config):
    # gateway.md, "A packet's destination MAC must be the gateway's …, or, for ARP, broadcast"; "settled": other destination MAC than ours,
    # VLAN-tagged without a configured tag, outer fragments, other UDP or other packets to our own addresses.
    packet = udp(RED, 1, X, 2)
    other_mac = "02:00:00:00:77:77"
    capture = Replay(config)
    inbound = udp(X, 1, RED_STATIC_EXTERNAL, 2)
    for destination in (other_mac, BROADCAST, "01:00:5e:00:00:01"):
        capture.inside("red", packet, outer={"dst": destination})
        capture.inside("red", packet, inner={"dst": destination})
        capture.outside(inbound, dst=destination)
    tagged = Ether(frame_from_vpc(config, "red", packet))
    capture.frame("fabric", Ether(src=tagged.src, dst=tagged.dst, type=0x8100) / Dot1Q(vlan=5, type=0x0800) / tagged.payload)
    plain = Ether(frame_from_outside(config, inbound))
    capture.frame("external", Ether(src=plain.src, dst=plain.dst, type=0x8100) / Dot1Q(vlan=5, type=0x0800) / plain.payload)
    capture.frame("external", Ether(src=plain.src, dst=plain.dst, type=0x8100) / Dot1Q(vlan=0, type=0x0800) / plain.payload)
    capture.inside("red", packet, outer_ip={"dst": "172.30.0.77"})
    capture.inside("red", packet, udp={"dport": 4790})
    capture.inside("red", packet, outer_ip={"flags": "MF"})
    capture.inside("red", packet, outer_ip={"flags": 0, "frag": 3})
    result = capture.run()
    assert result.seen == [] and result.drops == {"not-for-us": len(capture.packets)}


def test_packets_to_the_vtep_that_are_no_vxlan_are_not_for_us(config):
    # gateway.md "settled": other UDP or other packets to our own addresses → not-for-us.
    capture = Replay(config)

    def underlay(body):
        return Ether(src="02:00:00:00:00:11", dst=config["underlay"]["mac"], type=0x0800) / body

    capture.frame("fabric", underlay(udp("172.30.0.11", 50000, "172.30.0.1", 53)))
    capture.frame("fabric", underlay(tcp("172.30.0.11", 50000, "172.30.0.1", 22)))
    capture.frame("fabric", underlay(udp("172.30.0.11", 50000, "172.30.0.99", 53)))
    result = capture.run()
    assert result.seen == [] and result.drops == {"not-for-us": 3}


def test_vxlan_without_the_i_flag_is_malformed(config):
    # gateway.md "settled": no I flag → malformed. RFC 7348 §5: the other flag and reserved bits are ignored on receipt.
    capture = Replay(config)
    without = capture.inside("red", udp(RED, 1, X, 2), vxlan={"flags": 0})
    reserved = capture.inside("red", udp(RED, 1, X, 2), vxlan={"flags": 8, "reserved2": 7})
    result = capture.run()
    result.none(without)
    assert result.one(reserved).port_name == "external"
    assert result.drops == {"malformed": 1}


def test_ipv6_and_unknown_ether_types_are_dropped_as_not_ipv4(config):
    # gateway.md "settled": IPv6 inside VXLAN: dropped.
    capture = Replay(config)
    packet = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=1, dport=2) / Raw(b"six"))
    capture.frame("fabric", frame_from_vpc(config, "red", packet, source=RED, inner_type=0x86DD))
    capture.frame("fabric", frame_from_vpc(config, "red", packet, source=RED, inner_type=0x88CC))
    capture.frame("external", frame_from_outside(config, packet, 0x86DD))
    capture.frame("external", frame_from_outside(config, packet, 0x88CC))
    result = capture.run()
    assert result.seen == [] and result.drops == {"not-ipv4": 4}


def test_a_vni_is_24_bits_long(config):
    # facts/nat.md row 7348: 24-bit VNI.
    add_vpc(config, "green", 0xABCDEF, ["10.0.3.0/24"])
    config["externalPools"][0]["vpcs"].append("green")
    capture = Replay(config)
    sent = capture.inside("green", udp("10.0.3.7", 1000, X, 53))
    nat = capture.peek().one(sent).ip.source
    back = capture.outside(udp(X, 53, *nat))
    cut = capture.inside("green", udp("10.0.3.7", 1000, X, 53), vni=0xCDEF)
    result = capture.run()
    result.into("green", back, destination=("10.0.3.7", 1000))
    result.none(cut)
    assert result.drops == {"unknown-vni": 1}


def test_the_outer_udp_checksum_may_be_zero_or_right(config):
    # facts/nat.md row 7348: outer UDP checksum 0 sent and accepted. A right one is accepted too (RFC 7348 §5).
    capture = Replay(config)
    zero = capture.inside("red", udp(RED, 1, X, 2))
    right = capture.inside("red", udp(RED, 1, X, 2), udp={"chksum": None})
    assert Ether(right.frame)[UDP].chksum != 0
    result = capture.run()
    assert result.one(zero).raw == result.one(right).raw and result.drops == {}


def test_routes_go_by_the_longest_prefix(config):
    # gateway.md, `vpcs[].routes`: longest prefix wins.
    config["vteps"].append({"address": "172.30.0.13", "mac": "02:00:00:00:00:13"})
    red = vpc_of(config, "red")
    red["routes"] += [
        {"prefix": "10.0.1.128/25", "vtep": "172.30.0.12", "mac": "02:00:00:01:00:12"},
        {"prefix": "10.0.1.200/32", "vtep": "172.30.0.13", "mac": "02:00:00:01:00:13"},
        {"prefix": "0.0.0.0/0", "vtep": "172.30.0.12", "mac": "02:00:00:01:00:ff"},
    ]
    hosts = {"10.0.1.127": "172.30.0.11", "10.0.1.128": "172.30.0.12", "10.0.1.199": "172.30.0.12", "10.0.1.200": "172.30.0.13"}
    hosts["10.0.1.201"] = "172.30.0.12"
    capture = Replay(config)
    sent = {host: capture.inside("red", udp(host, 1000, X, 53)) for host in hosts}
    first = capture.peek()
    back = {host: capture.outside(udp(X, 53, *first.one(sent[host]).ip.source)) for host in hosts}
    result = capture.run()
    for host, vtep in hosts.items():
        # The harness compares the inner MAC with the route's as well.
        assert result.into("red", back[host], destination=(host, 1000)).outer.dst == vtep


def test_a_binding_without_a_route_drops_no_route_and_a_vtep_without_a_mac_unknown_vtep(config):
    # gateway.md, drop reasons; "settled": a route whose VTEP has no known MAC → unknown-vtep.
    red = vpc_of(config, "red")
    red["subnets"] = ["10.0.1.0/24", "10.0.5.0/24", "10.0.6.0/24"]
    red["routes"].append({"prefix": "10.0.6.0/24", "vtep": "172.30.0.66", "mac": "02:00:00:01:00:66"})
    config["staticBindings"] += [
        {"vpc": "red", "private": "10.0.5.5", "external": "203.0.113.12"},
        {"vpc": "red", "private": "10.0.6.5", "external": "203.0.113.13"},
    ]
    capture = Replay(config)
    capture.outside(udp(X, 1, "203.0.113.12", 2))
    capture.outside(udp(X, 1, "203.0.113.13", 2))
    fine = capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 2))
    result = capture.run()
    result.into("red", fine, destination=(RED_STATIC, 2))
    assert result.drops == {"no-route": 1, "unknown-vtep": 1} and len(result.seen) == 1


def test_a_public_binding_of_another_vpc_is_never_reached_untranslated(config):
    # gateway.md, classification 4 speaks of the VPC's own bindings only, 7 of unbound ones. Three readings fit: delivered like traffic
    # from outside, dropped as no-binding or no-peering, or sent to the next hop as any outside address (line 8).
    capture = Replay(config)
    sent = capture.inside("blue", udp(BLUE, 1000, RED_STATIC_EXTERNAL, 53))
    result = capture.run()
    for seen in result.of(sent):
        assert seen.ip.src in POOL
        assert seen.ip.dst == (RED_STATIC if seen.port_name == "fabric" else RED_STATIC_EXTERNAL)
    assert result.seen or set(result.drops) <= {"no-binding", "no-peering"}


def test_a_gateway_without_any_vpc_drops_what_it_gets(config):
    # gateway.md, first paragraph: optional parts may be left out whole.
    for part in ("vpcs", "peerings", "peeringPools", "externalPools", "staticBindings", "peerGateways"):
        del config[part]
    capture = Replay(config)
    frame = vxlan_frame(config, udp(RED, 1, X, 2), 100, "172.30.0.11", "02:00:00:00:00:11", "02:00:00:01:00:11")
    capture.frame("fabric", frame)
    capture.outside(udp(X, 1, "203.0.113.16", 2))
    result = capture.run()
    assert result.drops == {"unknown-vni": 1, "not-for-us": 1}


def with_router_alert(packet):
    """The packet with an IPv4 option (RFC 2113), checksum made anew."""
    raw = bytes(packet)
    length = (len(raw) + 4).to_bytes(2, "big")
    packet = IP(b"\x46" + raw[1:2] + length + raw[4:20] + b"\x94\x04\x00\x00" + raw[20:])
    del packet.chksum, packet.len
    return bytes(packet)


def test_a_packet_keeps_its_type_of_service_identification_and_options(config):
    # gateway.md "settled": IP options are carried. TOS of the inner packet is the host's; only the outer one is constant.
    capture = Replay(config)
    plain = capture.inside("red", udp(RED, 1000, X, 53, tos=0xB8, id=4711, flags="DF"))
    alert = capture.inside("red", with_router_alert(udp(RED, 1000, X, 53)))
    assert Ipv4(alert.packet).options == b"\x94\x04\x00\x00"
    nat = capture.peek().one(plain).ip.source
    back = capture.outside(with_router_alert(udp(X, 53, *nat)))
    result = capture.run(THOROUGH)
    result.out(plain, source=nat)
    result.out(alert, source=nat)
    result.into("red", back, destination=(RED, 1000))
