"""A tagged external side (gateway.md `ports.external.vlan`, "settled")."""

import pytest
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from frames import BROADCAST, arp_request
from harness import THOROUGH, Replay
from traffic import RED, RED_STATIC, RED_STATIC_EXTERNAL, X, echo, udp


@pytest.fixture
def tagged(config):
    config["ports"]["external"]["vlan"] = 42
    return config


def raw_outside(capture, tag, packet):
    external = capture.config["ports"]["external"]
    addresses = {"dst": external["mac"], "src": external["nextHop"]["mac"]}
    if tag is None:
        return capture.frame("external", Ether(**addresses, type=0x0800) / Raw(bytes(packet)))
    return capture.frame("external", Ether(**addresses, type=0x8100) / Dot1Q(vlan=tag, type=0x0800) / Raw(bytes(packet)))


def test_all_that_leaves_is_tagged_and_only_tagged_frames_come_in(tagged):
    # gateway.md "settled": a configured VLAN: untagged frames are dropped. The harness demands the tag on each frame that leaves.
    capture = Replay(tagged)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    back = capture.outside(udp(X, 53, *nat))
    again = capture.inside("red", udp(RED, 1000, X, 53))
    into = capture.outside(udp(X, 9, RED_STATIC_EXTERNAL, 53))
    pong = capture.outside(echo(X, "203.0.113.1"))
    expired = capture.outside(udp(X, 9, RED_STATIC_EXTERNAL, 53, ttl=1))
    wrong = [raw_outside(capture, tag, udp(X, 53, *nat)) for tag in (None, 41, 43)]
    result = capture.run(THOROUGH)
    for sent in (out, again):
        assert result.out(sent, source=nat).vlan == 42
    result.into("red", back, destination=(RED, 1000))
    result.into("red", into, destination=(RED_STATIC, 53))
    assert result.one(pong).vlan == 42
    result.refused(expired, 11, 0, "203.0.113.1")
    result.none(*wrong)
    assert result.drops == {"not-for-us": 3, "local": 1, "ttl-expired": 1}


def test_arp_is_answered_with_the_tag(tagged):
    # gateway.md "settled": ARP … is answered on the external port; 802.1Q tag of the external side.
    capture = Replay(tagged)
    mac = "02:00:00:00:e0:aa"
    request = arp_request(mac, "203.0.113.200", "203.0.113.1")
    answered = capture.frame("external", Ether(src=mac, dst=BROADCAST, type=0x8100) / Dot1Q(vlan=42, type=0x0806) / request)
    untagged = capture.frame("external", Ether(src=mac, dst=BROADCAST, type=0x0806) / request)
    result = capture.run()
    assert result.one(answered).arp.hwsrc == tagged["ports"]["external"]["mac"] and result.one(answered).vlan == 42
    result.none(untagged)
    assert result.drops == {"local": 1, "not-for-us": 1}


def test_the_tag_does_not_count_towards_the_mtu(tagged):
    # gateway.md "settled": the tag does not count towards the MTU.
    capture = Replay(tagged)
    out = capture.inside("red", udp(RED, 1000, X, 53, b"x" * 1472, flags="DF"))
    into = capture.outside(udp(X, 9, RED_STATIC_EXTERNAL, 53, b"x" * 1472, flags="DF"))
    result = capture.run()
    assert len(result.one(out).raw) == 1518
    result.into("red", into, destination=(RED_STATIC, 53))
