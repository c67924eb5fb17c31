"""Half-NAT between gateways (gateway.md, classification 1 and 6, `peerGateways`, "settled"; facts/nat.md §7)."""

import copy

import pytest

from frames import example_config
from harness import Replay, Sent, execute
from packets import Ipv4, translated, translated_error
from traffic import (
    BLUE,
    BLUE_PEERING,
    BLUE_STATIC,
    BLUE_STATIC_PEERING,
    RED,
    RED_PEERING,
    answer,
    as_quoted,
    echo,
    icmp_error,
    other,
    tcp,
    udp,
)

RED_BOUND, RED_BOUND_PEERING = "10.0.1.20", "100.64.1.3"


def both_gateways():
    """Red's gateway and blue's: the same VPCs, each remote at the other; both know the peering addresses of both."""
    one = example_config()
    one["staticBindings"] = [binding for binding in one["staticBindings"] if "peering" in binding]
    one["staticBindings"].append({"vpc": "red", "private": RED_BOUND, "peering": RED_BOUND_PEERING})
    two = copy.deepcopy(one)
    for config in (one, two):
        config["vpcs"][0]["gateway"], config["vpcs"][1]["gateway"] = "gw1", "gw2"
    one["externalPools"][0]["vpcs"] = ["red"]
    two["name"] = "gw2"
    two["underlay"].update(vtep="172.30.0.2", mac="02:00:00:00:f0:02")
    two["ports"]["external"].update(mac="02:00:00:00:e0:02", address="203.0.113.2/24")
    two["externalPools"] = [{"name": "internet", "vpcs": ["blue"], "ranges": ["203.0.113.32-203.0.113.47"]}]
    two["peerGateways"] = [{"name": "gw1", "vtep": "172.30.0.1", "mac": "02:00:00:00:f0:01", "vni": 9000}]
    return one, two


def alone():
    config = example_config()
    config["staticBindings"].append({"vpc": "red", "private": RED_BOUND, "peering": RED_BOUND_PEERING})
    return config


def handed_over(capture, seen, micros):
    """A frame that one gateway sent becomes a frame that the other receives."""
    sent = Sent("fabric", micros, seen.raw, seen.ip.raw)
    capture.packets.append(sent)
    return sent


def to_peer(result, sent, peer_vtep, source=None, destination=None):
    """The packet went to the peer gateway, in its VNI, half translated."""
    seen = result.one(sent)
    # gateway.md "settled": to a peer gateway the inner destination MAC is `peerGateways[].mac` (the harness compares it).
    assert (seen.port_name, seen.vni, seen.outer.dst) == ("fabric", 9000, peer_vtep), seen
    assert seen.ip.raw == translated(sent.packet, source, destination), seen
    return seen


PACKETS = [
    lambda source: udp(source, 1000, BLUE_STATIC_PEERING, 53),
    lambda source: tcp(source, 1000, BLUE_STATIC_PEERING, 80),
    lambda source: echo(source, BLUE_STATIC_PEERING, 77),
]


def blue_answers(seen):
    ip = seen.ip
    return tcp(*ip.destination, *ip.source, "SA") if ip.protocol == 6 else answer(seen)


@pytest.mark.parametrize("host, pool", [(RED_BOUND, {RED_BOUND_PEERING}), (RED, RED_PEERING)], ids=["static source", "dynamic source"])
def test_two_gateways_chained_give_together_what_one_gives_alone(host, pool):
    # issue 3 "two gateways in one replay-driven test giving together exactly what one gives alone"; gateway.md "TTL goes down by one per
    # gateway" is the one difference; a dynamic source may get another port at another gateway.
    red_gateway, blue_gateway = both_gateways()
    first_leg = Replay(red_gateway)
    out = [first_leg.inside("red", packet(host)) for packet in PACKETS]
    leg = first_leg.peek()

    second_leg = Replay(blue_gateway)
    relayed = [handed_over(second_leg, leg.one(sent), sent.micros) for sent in out]
    second_leg.wait(0.01)
    arrived = second_leg.peek()
    answers = [second_leg.inside("blue", blue_answers(arrived.one(sent))) for sent in relayed]
    at_blue = second_leg.run()

    first_leg.wait(0.01)
    returned = []
    for reply in answers:
        returned.append(handed_over(first_leg, at_blue.one(reply), reply.micros))
    at_red = first_leg.run()

    single = Replay(alone())
    direct = [single.inside("red", packet(host)) for packet in PACKETS]
    reached = single.peek()
    direct_answers = [single.inside("blue", blue_answers(reached.one(sent))) for sent in direct]
    at_one = single.run()

    for sent, passed, one in zip(out, relayed, direct):
        nat = to_peer(at_red, sent, "172.30.0.2", source=leg.one(sent).ip.source).ip.source
        assert nat[0] in pool
        half = at_blue.into("blue", passed, destination=(BLUE_STATIC, None))
        whole = at_one.into("blue", one, source=at_one.one(one).ip.source, destination=(BLUE_STATIC, None))
        assert half.outer.dst == whole.outer.dst and half.inner_dst == whole.inner_dst and half.vni == whole.vni
        # The same packet, but for one more gateway on its way and, for a dynamic source, the port.
        assert half.ip.raw == translated(whole.ip.raw, source=nat, ttl_less=1)
        assert len(pool) > 1 or nat == whole.ip.source
    for sent, reply, back, one in zip(out, answers, returned, direct_answers):
        to_peer(at_blue, reply, "172.30.0.1", source=(BLUE_STATIC_PEERING, None))
        restored = at_red.into("red", back, destination=sent.ip.source)
        alike = at_one.into("red", one, source=(BLUE_STATIC_PEERING, None), destination=sent.ip.source)
        assert restored.ip.raw == translated(alike.ip.raw, ttl_less=1)
        assert (restored.outer.dst, restored.inner_dst) == (alike.outer.dst, alike.inner_dst)
    assert at_red.drops == at_blue.drops == at_one.drops == {}
    assert {flow["class"] for flow in at_red.flows} == {"site-to-site"}
    assert {flow["class"] for flow in at_one.flows} == {"vpc-to-vpc"}


def test_a_router_on_the_way_to_a_peer_gateway_gets_the_outer_frame_and_the_peer_the_inner_one():
    # gateway.md: `vteps` is the outer destination MAC of each VTEP; to a peer gateway the inner destination MAC is `peerGateways[].mac`.
    config, _ = both_gateways()
    router = "02:00:00:00:99:99"
    config["vteps"].append({"address": "172.30.0.2", "mac": router})
    capture = Replay(config)
    sent = capture.inside("red", udp(RED_BOUND, 1000, BLUE_STATIC_PEERING, 53))
    for mode in ("immediate", "never"):
        seen = execute(config, capture.packets, mode).one(sent)
        assert (seen.ether_dst, seen.outer.dst, seen.inner_dst) == (router, "172.30.0.2", "02:00:00:00:f0:02")


def test_the_second_half_translates_the_destination_alone_and_allocates_nothing():
    # gateway.md, classification 1; facts/nat.md §7 "from it only the destination, nothing allocated".
    _, config = both_gateways()
    config["peeringPools"][1].update(ranges=["100.64.2.0/32"], ports="5000-5000")
    capture = Replay(config)
    sent = [capture.peer("gw1", udp("100.64.1.7", port, BLUE_STATIC_PEERING, 53)) for port in (0, 1, 1023, 2000, 2001)]
    again = capture.peer("gw1", udp("100.64.1.7", 2000, BLUE_STATIC_PEERING, 53))
    # The only port of blue's pool is still free.
    own = capture.inside("blue", udp(BLUE, 1000, RED_BOUND_PEERING, 53))
    result = capture.run()
    for s in sent + [again]:
        result.into("blue", s, destination=(BLUE_STATIC, 53))
    to_peer(result, own, "172.30.0.1", source=("100.64.2.0", 5000))
    assert {flow["class"] for flow in result.flows} == {"site-to-site"} and result.drops == {}


def test_a_live_dynamic_peering_address_is_reached_through_the_peer_gateway():
    # gateway.md, classification 6 "or in a peering pool" at the first gateway; "live dynamic peering address" at the second.
    red_gateway, blue_gateway = both_gateways()
    at_blue = Replay(blue_gateway)
    out = at_blue.inside("blue", udp(BLUE, 4000, RED_BOUND_PEERING, 53))
    mapping = at_blue.peek().one(out).ip.source
    assert mapping[0] in BLUE_PEERING

    at_red = Replay(red_gateway)
    relayed = handed_over(at_red, at_blue.peek().one(out), out.micros)
    at_red.wait(0.01)
    reply = at_red.inside("red", udp(RED_BOUND, 53, *mapping))
    # Another host of red calls the same address without having been called.
    call = at_red.inside("red", udp(RED, 999, *mapping))
    outcome = at_red.run()
    outcome.into("red", relayed, destination=(RED_BOUND, 53))
    to_peer(outcome, reply, "172.30.0.2", source=(RED_BOUND_PEERING, 53))
    to_peer(outcome, call, "172.30.0.2", source=outcome.one(call).ip.source)

    at_blue.wait(0.01)
    back = [handed_over(at_blue, outcome.one(sent), sent.micros) for sent in (reply, call)]
    final = at_blue.run()
    for sent in back:
        final.into("blue", sent, destination=(BLUE, 4000))


def test_strangers_unbound_destinations_and_unpeered_vpcs_get_nothing_through_the_gateway_vni():
    # gateway.md "settled": a peer gateway's VNI from a stranger → unknown-vtep; on the second half the peering is checked too, the source
    # VPC is told by its peering address; no binding → no-binding.
    _, config = both_gateways()
    capture = Replay(config)
    capture.peer("gw1", udp("100.64.1.7", 1, BLUE_STATIC_PEERING, 53), outer_ip={"src": "172.30.0.77"})
    capture.peer("gw1", udp("100.64.1.7", 1, "100.64.2.3", 53))
    result = capture.run()
    assert (result.seen, result.drops) == ([], {"unknown-vtep": 1, "no-binding": 1})

    config["peerings"] = []
    capture = Replay(config)
    capture.peer("gw1", udp("100.64.1.7", 1, BLUE_STATIC_PEERING, 53))
    capture.peer("gw1", udp(RED_BOUND_PEERING, 1, BLUE_STATIC_PEERING, 53))
    result = capture.run()
    assert (result.seen, result.drops) == ([], {"no-peering": 2})


def test_two_vpcs_that_are_not_peered_are_refused_at_the_first_gateway_already():
    # gateway.md, classification 6: not peered → no-peering comes before "its gateway is another one".
    config, _ = both_gateways()
    config["peerings"] = []
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    result = capture.run()
    assert (result.seen, result.drops) == ([], {"no-peering": 1})


def test_peer_gateways_that_share_a_vni_are_told_apart_by_their_vteps():
    # gateway.md "Peer gateways may share a VNI: they are told apart by the outer source".
    config, _ = both_gateways()
    config["peerGateways"].append({"name": "gw3", "vtep": "172.30.0.3", "mac": "02:00:00:00:f0:03", "vni": 9000})
    config["vpcs"].append({"name": "green", "vni": 300, "gateway": "gw3", "subnets": ["10.0.3.0/24"], "routes": []})
    config["peerings"].append({"vpcs": ["red", "green"]})
    config["peeringPools"].append({"vpc": "green", "ranges": ["100.64.3.0/28"]})
    capture = Replay(config)
    to_blue = capture.inside("red", udp(RED_BOUND, 1000, BLUE_STATIC_PEERING, 53))
    to_green = capture.inside("red", udp(RED_BOUND, 1000, "100.64.3.4", 53))
    from_green = capture.peer("gw3", udp("100.64.3.4", 53, RED_BOUND_PEERING, 1000))
    from_blue = capture.peer("gw2", udp(BLUE_STATIC_PEERING, 53, RED_BOUND_PEERING, 1000))
    result = capture.run()
    to_peer(result, to_blue, "172.30.0.2", source=(RED_BOUND_PEERING, 1000))
    to_peer(result, to_green, "172.30.0.3", source=(RED_BOUND_PEERING, 1000))
    for sent in (from_green, from_blue):
        result.into("red", sent, destination=(RED_BOUND, 1000))


def test_an_icmp_error_is_restored_across_both_halves():
    # facts/nat.md §4; issue 3 "errors with embedded packet translated both ways (… also inside hairpins and half-NAT)".
    red_gateway, blue_gateway = both_gateways()
    at_red = Replay(red_gateway)
    out = at_red.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    nat = at_red.peek().one(out).ip.source
    at_blue = Replay(blue_gateway)
    relayed = handed_over(at_blue, at_red.peek().one(out), out.micros)
    at_blue.wait(0.01)
    arrived = at_blue.peek().one(relayed).ip
    error = icmp_error(BLUE_STATIC, arrived.src, as_quoted(arrived.raw, arrived.ttl))
    sent = at_blue.inside("blue", error)
    outcome = at_blue.run()
    half = translated_error(error, source=BLUE_STATIC_PEERING, quoted_destination=(BLUE_STATIC_PEERING, 53))
    assert outcome.one(sent).vni == 9000 and outcome.one(sent).ip.raw == half

    at_red.wait(0.01)
    back = handed_over(at_red, outcome.one(sent), sent.micros)
    final = at_red.run()
    whole = translated_error(half, destination=RED, quoted_source=(RED, 1000))
    assert final.one(back).vni == 100 and final.one(back).ip.raw == whole
    # But for the TTL that three hops used up, the quote is what the host sent.
    assert final.one(back).ip.quoted.raw == as_quoted(out.packet, Ipv4(half).quoted.ttl) and nat[0] in RED_PEERING


def test_other_protocols_cross_both_halves_too():
    # facts/nat.md §6 "GRE and other protocols both ways".
    red_gateway, blue_gateway = both_gateways()
    at_red = Replay(red_gateway)
    out = at_red.inside("red", other(RED_BOUND, BLUE_STATIC_PEERING, 47))
    at_blue = Replay(blue_gateway)
    relayed = handed_over(at_blue, at_red.peek().one(out), out.micros)
    result = at_blue.run()
    result.into("blue", relayed, destination=(BLUE_STATIC, None))
    to_peer(at_red.run(), out, "172.30.0.2", source=(RED_BOUND_PEERING, None))
