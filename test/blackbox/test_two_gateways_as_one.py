"""Two gateways in series against one that serves both VPCs (facts/nat.md §7 "half-NAT"; gateway.md, classification 1 and 6, `peerGateways`).

The same packets are sent by the same hosts at the same times to both arrangements. What each host receives must be the same, byte for byte but
for the one TTL that the second gateway takes; so must be what leaves outside. Frames that one gateway sends to the other's VTEP arrive there.
"""

import copy

import pytest

from frames import example_config
from harness import Replay, Sent
from packets import fragments_of, translated
from traffic import BLUE, BLUE_STATIC, BLUE_STATIC_PEERING, POOL, RED, X, as_quoted, echo, icmp_error, other, tcp, udp

RED_STATIC, RED_STATIC_PEERING = "10.0.1.20", "100.64.1.3"
DATA = bytes(range(256)) * 5


def one_gateway():
    config = example_config()
    config["staticBindings"].append({"vpc": "red", "private": RED_STATIC, "peering": RED_STATIC_PEERING})
    # Pools of one address, one port and one VPC each, so that the arrangements have nothing to choose.
    config["externalPools"] = [
        {"name": "red", "vpcs": ["red"], "ranges": ["203.0.113.16/32"], "ports": "5000-5000"},
        {"name": "blue", "vpcs": ["blue"], "ranges": ["203.0.113.17/32"], "ports": "6000-6000"},
    ]
    config["peeringPools"] = [
        {"vpc": "red", "ranges": ["100.64.1.4/32"], "ports": "7000-7000"},
        {"vpc": "blue", "ranges": ["100.64.2.4/32"], "ports": "8000-8000"},
    ]
    return config


def two_gateways():
    one = one_gateway()
    two = copy.deepcopy(one)
    for config in (one, two):
        config["vpcs"][0]["gateway"], config["vpcs"][1]["gateway"] = "gw1", "gw2"
        # A remote VPC's external pools and bindings are its own gateway's.
        name = config["name"] if config is one else "gw2"
        config["externalPools"] = [pool for pool in config["externalPools"] if pool["name"] == ("red" if name == "gw1" else "blue")]
    two["staticBindings"] = [binding for binding in two["staticBindings"] if "peering" in binding]
    two["name"] = "gw2"
    two["underlay"].update(vtep="172.30.0.2", mac="02:00:00:00:f0:02")
    two["ports"]["external"].update(mac="02:00:00:00:e0:02", address="203.0.113.2/24")
    two["peerGateways"] = [{"name": "gw1", "vtep": "172.30.0.1", "mac": "02:00:00:00:f0:01", "vni": 9000}]
    return {"red": one, "blue": two}


def conversation():
    """(VPC, packet) in the order of sending; both VPCs begin some of it, statically bound hosts and one dynamic host of each."""
    red, blue = (RED_STATIC, RED_STATIC_PEERING), (BLUE_STATIC, BLUE_STATIC_PEERING)
    said = [
        ("red", udp(RED_STATIC, 1000, blue[1], 53, b"question")),
        ("blue", udp(BLUE_STATIC, 53, red[1], 1000, b"answer")),
        ("blue", udp(BLUE_STATIC, 2000, red[1], 54, b"the other way", checksum=0)),
        ("red", udp(RED_STATIC, 54, blue[1], 2000, b"", checksum=0)),
        ("red", echo(RED_STATIC, blue[1], 77, 5)),
        ("blue", echo(BLUE_STATIC, red[1], 77, 5, reply=True)),
        ("red", other(RED_STATIC, blue[1], 47)),
        ("blue", other(BLUE_STATIC, red[1], 47)),
        ("red", tcp(RED_STATIC, 4000, blue[1], 80, "S", options=[("MSS", 1460)])),
        ("blue", tcp(BLUE_STATIC, 80, red[1], 4000, "SA", acknowledgement=1001)),
        ("red", tcp(RED_STATIC, 4000, blue[1], 80, "A", sequence=1001, acknowledgement=1001)),
        ("red", tcp(RED_STATIC, 4000, blue[1], 80, "PA", b"GET /", sequence=1001, acknowledgement=1001)),
        ("blue", tcp(BLUE_STATIC, 80, red[1], 4000, "PA", DATA, sequence=1001, acknowledgement=1006)),
        ("red", tcp(RED_STATIC, 4000, blue[1], 80, "FA", sequence=1006, acknowledgement=2281)),
        ("blue", tcp(BLUE_STATIC, 80, red[1], 4000, "FA", sequence=2281, acknowledgement=1007)),
        # Hosts that have no binding, behind pools of one port: they are answered at their mapping.
        ("red", udp(RED, 1000, blue[1], 53)),
        ("blue", udp(BLUE_STATIC, 53, "100.64.1.4", 7000)),
        ("blue", udp(BLUE, 1000, red[1], 53)),
        ("red", udp(RED_STATIC, 53, "100.64.2.4", 8000)),
        # An error from the far host, quoting what it got.
        ("blue", icmp_error(BLUE_STATIC, RED_STATIC_PEERING, as_quoted(udp(RED_STATIC_PEERING, 1000, BLUE_STATIC, 53, b"question"), 62))),
        ("red", icmp_error(RED, BLUE_STATIC_PEERING, as_quoted(udp(BLUE_STATIC_PEERING, 53, RED, 1000), 62))),
        # The outside, from both.
        ("red", udp(RED, 1000, X, 53)),
        ("blue", udp(BLUE, 1000, X, 53)),
        # Nobody's port.
        ("blue", udp(BLUE_STATIC, 53, "100.64.1.4", 7001)),
        ("red", udp(RED, 1001, blue[1], 53)),
    ]
    pieces = fragments_of(udp(RED_STATIC, 1000, blue[1], 53, DATA, id=9), 640)
    return said + [("red", piece) for piece in pieces] + [("blue", piece) for piece in fragments_of(udp(BLUE_STATIC, 53, red[1], 1000, DATA, id=9), 640)[::-1]]


class TwoGateways:
    """Both replays, and the frames that pass from one to the other, handed over until there are no more."""

    def __init__(self, said):
        self.replays = {vpc: Replay(config) for vpc, config in two_gateways().items()}
        self.sent = []
        for index, (vpc, packet) in enumerate(said):
            capture = self.replays[vpc].at(index * 0.01)
            self.sent.append(capture.inside(vpc, packet))
        # The captures' clocks are one clock: each sender's packets first, then what the other gateway made of them.
        self.relayed = {"red": [], "blue": []}
        own = {vpc: list(replay.packets) for vpc, replay in self.replays.items()}
        for _ in range(6):
            before = {vpc: len(frames) for vpc, frames in self.relayed.items()}
            for vpc, peer in (("red", "blue"), ("blue", "red")):
                seen = [s for s in self.replays[vpc].peek().fabric if s.vni == 9000]
                self.relayed[peer] = [Sent("fabric", s.micros + 100 + n, s.raw, s.ip.raw) for n, s in enumerate(seen)]
                self.replays[peer].packets = sorted(own[peer] + self.relayed[peer], key=lambda p: p.micros)
            if before == {vpc: len(frames) for vpc, frames in self.relayed.items()}:
                break
        else:
            raise AssertionError("the gateways send each other ever more frames")
        self.outcomes = {vpc: replay.run() for vpc, replay in self.replays.items()}

    def delivered(self):
        """All that reached a host or the outside."""
        return [s for outcome in self.outcomes.values() for s in outcome.seen if s.vni != 9000]


def arrival(seen, ttl_less=0):
    """Where a packet arrived, and its bytes but for the header checksum (which the harness has judged), `ttl_less` hops later."""
    raw = bytearray(seen.ip.raw)
    raw[8] -= ttl_less
    raw[10:12] = b"\0\0"
    return seen.vni or 0, bytes(raw)


def is_own_error(seen):
    """The gateways' own messages differ: they come from another VTEP."""
    return seen.ip.protocol == 1 and seen.ip.src.startswith("172.30.0.")


def test_two_gateways_in_series_deliver_exactly_what_one_gateway_delivers():
    said = conversation()
    single = Replay(one_gateway())
    for index, (vpc, packet) in enumerate(said):
        single.at(index * 0.01).inside(vpc, packet)
    alone = single.run()
    together = TwoGateways(said)

    # What reaches a VPC host has crossed a second gateway; what went outside has not.
    wanted = sorted(arrival(s, ttl_less=1 if s.port_name == "fabric" else 0) for s in alone.seen if not is_own_error(s))
    got = sorted(arrival(s) for s in together.delivered() if not is_own_error(s))
    assert len(wanted) > 25
    assert got == wanted

    drops = [outcome.drops for outcome in together.outcomes.values()]
    assert {reason: sum(d.get(reason, 0) for d in drops) for d in drops for reason in d} == alone.drops
    assert alone.drops == {"no-binding": 1, "pool-exhausted": 1}
    classes = {flow["class"] for outcome in together.outcomes.values() for flow in outcome.flows}
    assert classes == {"site-to-site", "vpc-to-external"}
    # The translations too: whoever began a session has the NAT endpoint at its own gateway that it has at the one gateway. What the
    # gateway at the other end holds besides is that session seen from there: its NAT endpoint is the one that was called.
    ours = bindings(alone.flows)
    theirs = set().union(*(bindings(outcome.flows) for outcome in together.outcomes.values()))
    assert ours <= theirs
    called = {(flow["protocol"], flow["remote"]["address"], flow["remote"]["port"]) for flow in alone.flows}
    assert {(protocol, *nat) for _, protocol, _, _, *nat in theirs - ours} <= called


def bindings(flows):
    """(VPC, protocol, inside, NAT) of sessions that an inside host began."""
    return {
        (f["vpc"], f["protocol"], f["inside"]["address"], f["inside"]["port"], f["nat"]["address"], f["nat"]["port"])
        for f in flows
        if f["inside"]["address"].startswith("10.")
    }


@pytest.mark.parametrize("vpc, host, nat", [("red", RED, ("203.0.113.16", 5000)), ("blue", BLUE, ("203.0.113.17", 6000))])
def test_each_of_two_gateways_serves_its_own_vpcs_outside_traffic_and_not_the_others(vpc, host, nat):
    # gateway.md "a remote VPC may not be in `externalPools`": its packets to the outside are its own gateway's.
    gateways = two_gateways()
    capture = Replay(gateways[vpc])
    sent = capture.inside(vpc, udp(host, 1000, X, 53))
    foreign = capture.inside("blue" if vpc == "red" else "red", udp(BLUE if vpc == "red" else RED, 1000, X, 53))
    back = capture.outside(udp(X, 53, *nat))
    result = capture.run()
    assert result.out(sent, source=nat).ip.src in POOL
    result.into(vpc, back, destination=(host, 1000))
    result.none(foreign)
    assert result.drops == {"unknown-vni": 1}
    assert result.one(sent).ip.raw == translated(sent.packet, source=nat)
