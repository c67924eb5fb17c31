"""VPC to VPC through peering addresses (gateway.md, classification 6, `peerings`, `peeringPools`; facts/nat.md §7)."""

from frames import add_vpc, vpc_of
from harness import THOROUGH, Replay
from packets import translated_error
from traffic import (
    BLUE,
    BLUE_PEERING,
    BLUE_STATIC,
    BLUE_STATIC_PEERING,
    RED,
    RED2,
    RED_PEERING,
    TcpConnection,
    X,
    answer,
    as_quoted,
    echo,
    icmp_error,
    tcp,
    udp,
)

GREEN, GREEN_PEERING = "10.0.3.9", "100.64.3.9"


def with_green(config):
    """A third VPC, peered with red and blue, with one host at a static peering address."""
    add_vpc(config, "green", 300, ["10.0.1.0/24", "10.0.3.0/24"])
    config["peerings"] += [{"vpcs": ["red", "green"]}, {"vpcs": ["blue", "green"]}]
    config["peeringPools"].append({"vpc": "green", "ranges": ["100.64.3.0/28"]})
    config["staticBindings"].append({"vpc": "green", "private": GREEN, "peering": GREEN_PEERING})
    return config


def test_a_host_reaches_a_peers_static_address_and_the_replies_come_back(config):
    # gateway.md, classification 6: the source becomes a peering address of the source VPC, the destination the private address behind the
    # binding, VNI and outer headers those of the destination's route (the harness compares VTEP and MAC with the route).
    capture = Replay(config)
    out = [
        capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53)),
        capture.inside("red", tcp(RED, 1000, BLUE_STATIC_PEERING, 80)),
        capture.inside("red", echo(RED, BLUE_STATIC_PEERING, 77)),
    ]
    first = capture.peek()
    back = [capture.inside("blue", packet) for packet in (answer(first.one(out[0])), None, answer(first.one(out[2]))) if packet is not None]
    syn = first.one(out[1]).ip
    back.insert(1, capture.inside("blue", tcp(*syn.destination, *syn.source, "SA")))
    again = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53, b"again"))
    result = capture.run(THOROUGH)
    for sent, reply in zip(out, back):
        source = result.one(sent).ip.source
        assert source[0] in RED_PEERING and 1024 <= source[1] <= 65535
        # An echo's identifier belongs to its source; the binding changes the address alone.
        result.into("blue", sent, source=source, destination=(BLUE_STATIC, None))
        result.into("red", reply, source=(BLUE_STATIC_PEERING, None), destination=sent.ip.source)
    result.into("blue", again, source=result.one(out[0]).ip.source, destination=(BLUE_STATIC, None))
    assert result.drops == {}
    flow = result.flow(protocol="udp")
    # DESIGN.md §3: `remote` of vpc-to-vpc is the peering address that the source used.
    assert flow["class"] == "vpc-to-vpc" and flow["vpc"] == "red" and flow["remote"]["address"] == BLUE_STATIC_PEERING
    assert flow["underlay"] == {"vni": 100, "vtep": "172.30.0.11"}


def test_a_static_peering_binding_beats_the_pool_for_the_source_too(config):
    # gateway.md, classification 6 "a peering address of the source VPC (static first)"; facts/nat.md §7 "static wins in every class".
    config["staticBindings"].append({"vpc": "red", "private": RED, "peering": "100.64.1.3"})
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    back = capture.inside("blue", udp(BLUE_STATIC, 53, "100.64.1.3", 1000))
    from_blue = capture.inside("blue", tcp(BLUE_STATIC, 2000, "100.64.1.3", 22))
    to_blue = capture.inside("red", tcp(RED, 22, BLUE_STATIC_PEERING, 2000, "SA"))
    result = capture.run()
    result.into("blue", out, source=("100.64.1.3", 1000), destination=(BLUE_STATIC, 53))
    result.into("red", back, source=(BLUE_STATIC_PEERING, 53), destination=(RED, 1000))
    result.into("red", from_blue, source=(BLUE_STATIC_PEERING, 2000), destination=(RED, 22))
    result.into("blue", to_blue, source=("100.64.1.3", 22), destination=(BLUE_STATIC, 2000))


def test_hosts_with_the_same_private_address_talk_to_a_third_and_each_reply_reaches_its_own_vpc(config):
    # issue 2, "VPC-to-VPC with overlapping private addresses"; facts/nat.md §7.
    with_green(config)
    capture = Replay(config)
    out = {vpc: [capture.inside(vpc, udp(RED, 1000, GREEN_PEERING, 53)), capture.inside(vpc, echo(RED, GREEN_PEERING, 5))] for vpc in ("red", "blue")}
    first = capture.peek()
    back = {vpc: [capture.inside("green", answer(first.one(sent))) for sent in out[vpc]] for vpc in out}
    result = capture.run(THOROUGH)
    for vpc, pool in (("red", RED_PEERING), ("blue", BLUE_PEERING)):
        for sent, reply in zip(out[vpc], back[vpc]):
            source = result.one(sent).ip.source
            assert source[0] in pool
            result.into("green", sent, source=source, destination=(GREEN, None))
            result.into(vpc, reply, source=(GREEN_PEERING, None), destination=sent.ip.source)


def test_two_hosts_with_one_private_address_talk_to_each_other(config):
    # Overlapping 10.0.1.0/24: the same address at both ends, told apart by VNI and peering addresses alone.
    config["staticBindings"].append({"vpc": "blue", "private": RED, "peering": "100.64.2.7"})
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, "100.64.2.7", 1000))
    back = capture.inside("blue", answer(capture.peek().one(out)))
    result = capture.run()
    result.into("blue", out, source=result.one(out).ip.source, destination=(RED, 1000))
    result.into("red", back, source=("100.64.2.7", 1000), destination=(RED, 1000))


def test_a_live_dynamic_peering_address_is_reached_by_other_hosts_of_the_peer(config):
    # gateway.md, classification 6 "static or live dynamic peering address"; default filtering is endpoint-independent.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    mapping = capture.peek().one(out).ip.source
    other = capture.inside("blue", udp(BLUE, 4000, *mapping))
    seen = capture.peek().one(other)
    back = capture.inside("red", answer(seen))
    unbound = capture.inside("blue", udp(BLUE, 4000, mapping[0], mapping[1] ^ 1))
    result = capture.run()
    assert seen.ip.src in BLUE_PEERING
    result.into("red", other, source=seen.ip.source, destination=(RED, 1000))
    result.into("blue", back, source=mapping, destination=(BLUE, 4000))
    result.none(unbound)
    assert result.drops == {"no-binding": 1}


def test_vpcs_that_are_not_peered_do_not_reach_each_other(config):
    # gateway.md, classification 6: not peered → no-peering; "settled": other refusals are silent.
    config["peerings"] = []
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    capture.inside("red", tcp(RED, 1000, BLUE_STATIC_PEERING, 53))
    capture.inside("red", echo(RED, BLUE_STATIC_PEERING))
    # An address of the pool that nobody holds is judged by its VPC first.
    capture.inside("red", udp(RED, 1000, "100.64.2.3", 53))
    result = capture.run()
    assert (result.seen, result.drops, result.flows) == ([], {"no-peering": 4}, [])


def test_a_mapping_towards_one_vpc_is_no_mapping_towards_another(config):
    # gateway.md `peeringPools`: allocation is per destination VPC, protocol, address, port; DESIGN.md §4 invariant 1.
    with_green(config)
    config["peeringPools"][0] = {"vpc": "red", "ranges": ["100.64.1.4/32"], "ports": "5000-5000"}
    capture = Replay(config)
    to_blue = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    to_green = capture.inside("red", udp(RED2, 2000, GREEN_PEERING, 53))
    from_blue = capture.inside("blue", udp(BLUE_STATIC, 53, "100.64.1.4", 5000))
    from_green = capture.inside("green", udp(GREEN, 53, "100.64.1.4", 5000))
    no_more = capture.inside("red", udp(RED2, 1000, BLUE_STATIC_PEERING, 53))
    result = capture.run()
    result.into("blue", to_blue, source=("100.64.1.4", 5000), destination=(BLUE_STATIC, 53))
    result.into("green", to_green, source=("100.64.1.4", 5000), destination=(GREEN, 53))
    result.into("red", from_blue, source=(BLUE_STATIC_PEERING, 53), destination=(RED, 1000))
    result.into("red", from_green, source=(GREEN_PEERING, 53), destination=(RED2, 2000))
    result.refused(no_more, 3, 13, "172.30.0.1", "red")
    assert result.drops == {"pool-exhausted": 1}


def test_a_vpc_without_a_peering_pool_cannot_present_itself(config):
    # gateway.md "settled": no-pool (the VPC has none) is silent.
    config["peeringPools"] = [pool for pool in config["peeringPools"] if pool["vpc"] == "blue"]
    config["staticBindings"].append({"vpc": "red", "private": RED2, "peering": "100.64.1.3"})
    capture = Replay(config)
    without = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    static = capture.inside("red", udp(RED2, 1000, BLUE_STATIC_PEERING, 53))
    result = capture.run()
    result.none(without)
    result.into("blue", static, source=("100.64.1.3", 1000), destination=(BLUE_STATIC, 53))
    assert result.drops == {"no-pool": 1}


def test_dynamic_peering_addresses_never_are_a_static_one(config):
    # gateway.md "a static binding may lie inside a pool: its tuples are withheld from dynamic use".
    config["staticBindings"].append({"vpc": "red", "private": "10.0.1.20", "peering": "100.64.1.3"})
    config["peeringPools"][0]["ranges"] = ["100.64.1.2/31"]
    capture = Replay(config)
    sent = [capture.inside("red", udp(f"10.0.1.{host}", 1000, BLUE_STATIC_PEERING, 53)) for host in range(30, 60)]
    result = capture.run()
    assert {result.one(s).ip.src for s in sent} == {"100.64.1.2"}


def test_tcp_between_vpcs_lives_as_any_tcp(config):
    # gateway.md "settled": outbound, for refreshing, is the initiator's direction in vpc-to-vpc; TCP states as elsewhere.
    capture = Replay(config)
    one = TcpConnection(
        capture,
        lambda p: capture.inside("red", p),
        (RED, 40000),
        (BLUE_STATIC_PEERING, 80),
        lambda p: capture.inside("blue", p),
    ).open()
    data = [one.from_a("PA", b"request"), one.from_b("PA", b"response" * 100)]
    capture.at(3600)
    late = [one.from_a("PA", b"much later"), one.from_b("A")]
    one.close()
    not_syn = capture.inside("red", tcp(RED, 40001, BLUE_STATIC_PEERING, 80, "A"))
    result = capture.run(THOROUGH)
    for sent in data[:1] + late[:1]:
        result.into("blue", sent, source=one.b_sees, destination=(BLUE_STATIC, 80))
    for sent in data[1:] + late[1:]:
        result.into("red", sent, source=(BLUE_STATIC_PEERING, 80), destination=(RED, 40000))
    result.none(not_syn)
    assert result.drops == {"not-syn": 1}


def test_an_icmp_error_between_vpcs_is_translated_at_both_levels(config):
    # facts/nat.md row 5508-4/5, §4; the host behind the peering address never shows its private one.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    seen = capture.peek().one(out).ip
    error = icmp_error(BLUE_STATIC, seen.src, as_quoted(seen.raw, seen.ttl))
    sent = capture.inside("blue", error)
    result = capture.run()
    wanted = translated_error(
        error, source=BLUE_STATIC_PEERING, destination=RED, quoted_source=(RED, 1000), quoted_destination=(BLUE_STATIC_PEERING, 53)
    )
    assert result.one(sent).vni == 100 and result.one(sent).ip.raw == wanted


def test_a_vpc_reaches_peers_and_the_outside_at_once_with_mappings_of_their_own(config):
    # External and peering mappings of one inside endpoint are different mappings.
    capture = Replay(config)
    external = capture.inside("red", udp(RED, 1000, X, 53))
    peering = capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    first = capture.peek()
    replies = [capture.outside(udp(X, 53, *first.one(external).ip.source)), capture.inside("blue", answer(first.one(peering)))]
    result = capture.run()
    assert result.one(peering).ip.src in RED_PEERING and result.one(external).port_name == "external"
    result.into("red", replies[0], destination=(RED, 1000))
    result.into("red", replies[1], source=(BLUE_STATIC_PEERING, 53), destination=(RED, 1000))
    assert len(result.flows) == 2 and vpc_of(config, "red")["vni"] == 100
