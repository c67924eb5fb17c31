"""Hairpinning: hosts that meet at the gateway by their outside addresses (gateway.md, classification 4; facts/nat.md row 4787-9, §6)."""

import pytest

from frames import one_external_address
from harness import THOROUGH, Replay, execute
from packets import fragments_of, reassembled, translated_error
from traffic import (
    BLUE_STATIC_PEERING,
    POOL,
    RED,
    RED2,
    RED_MAPPED,
    RED_MAPPED_EXTERNAL,
    RED_PEERING,
    RED_STATIC,
    RED_STATIC_EXTERNAL,
    TcpConnection,
    X,
    answer,
    as_quoted,
    echo,
    icmp_error,
    tcp,
    udp,
)


def test_two_dynamic_hosts_meet_at_their_external_endpoints(config):
    # facts/nat.md §6 "I→N:8765→S:5678 with source N:new, reply source N:8765"; classification 4 "presenting the external source".
    capture = Replay(config)
    opened = capture.inside("red", udp(RED2, 5678, X, 53))
    server = capture.peek().one(opened).ip.source
    call = capture.inside("red", udp(RED, 1000, *server))
    seen = capture.peek().one(call)
    back = capture.inside("red", answer(seen))
    again = capture.inside("red", udp(RED, 1000, *server, b"again"))
    result = capture.run(THOROUGH)
    assert seen.ip.src in POOL and seen.ip.source != server
    for sent in (call, again):
        result.into("red", sent, source=seen.ip.source, destination=(RED2, 5678))
    result.into("red", back, source=server, destination=(RED, 1000))
    # TTL goes down by one per gateway: the oracle takes one off, not two.
    assert result.flow(inside=(RED, 1000))["class"] == "hairpin" and result.drops == {}


def test_a_host_reaches_a_port_binding_of_its_own_vpc(config):
    # gateway.md, classification 4; facts/nat.md §5 "static destination + dynamic source in one flow".
    capture = Replay(config)
    one = TcpConnection(
        capture,
        lambda p: capture.inside("red", p),
        (RED, 40000),
        (RED_MAPPED_EXTERNAL, 80),
        lambda p: capture.inside("red", p),
    ).open()
    request, response = one.from_a("PA", b"GET /"), one.from_b("PA", b"200 OK" * 50)
    one.close()
    result = capture.run(THOROUGH)
    assert one.b_sees[0] in POOL and one.b == (RED_MAPPED, 8080)
    result.into("red", request, source=one.b_sees, destination=(RED_MAPPED, 8080))
    result.into("red", response, source=(RED_MAPPED_EXTERNAL, 80), destination=(RED, 40000))
    assert result.drops == {}


def test_two_servers_with_static_addresses_meet_and_keep_their_ports(config):
    # facts/nat.md §6 "address-only static hairpin, server to server".
    config["staticBindings"].append({"vpc": "red", "private": "10.0.1.30", "external": "203.0.113.12"})
    capture = Replay(config)
    call = capture.inside("red", tcp(RED_STATIC, 2000, "203.0.113.12", 22))
    reply = capture.inside("red", tcp("10.0.1.30", 22, RED_STATIC_EXTERNAL, 2000, "SA"))
    ping = capture.inside("red", echo("10.0.1.30", RED_STATIC_EXTERNAL, 9))
    pong = capture.inside("red", echo(RED_STATIC, "203.0.113.12", 9, reply=True))
    result = capture.run()
    result.into("red", call, source=(RED_STATIC_EXTERNAL, 2000), destination=("10.0.1.30", 22))
    result.into("red", reply, source=("203.0.113.12", 22), destination=(RED_STATIC, 2000))
    result.into("red", ping, source=("203.0.113.12", None), destination=(RED_STATIC, None))
    result.into("red", pong, source=(RED_STATIC_EXTERNAL, None), destination=("10.0.1.30", None))


def test_a_host_that_calls_its_own_public_address_gets_its_own_packet_once(config):
    # gateway.md "settled": a host's packet to its VPC's public binding is a hairpin; facts/nat.md §10 "hairpin infinite loop".
    capture = Replay(config)
    static = capture.inside("red", udp(RED_STATIC, 1000, RED_STATIC_EXTERNAL, 2000))
    opened = capture.inside("red", udp(RED, 5000, X, 53))
    own = capture.peek().one(opened).ip.source
    dynamic = capture.inside("red", udp(RED, 5000, *own))
    result = capture.run()
    result.into("red", static, source=(RED_STATIC_EXTERNAL, 1000), destination=(RED_STATIC, 2000))
    result.into("red", dynamic, source=own, destination=(RED, 5000))


def test_an_unbound_port_of_the_own_public_address_does_not_leave(config):
    # gateway.md, classification 7: an address of our pools or statics that is not bound never leaves.
    one_external_address(config)
    capture = Replay(config)
    opened = capture.inside("red", udp(RED2, 5678, X, 53))
    server = capture.peek().one(opened).ip.source
    wrong_port = capture.inside("red", udp(RED, 1000, server[0], server[1] ^ 1))
    wrong_protocol = capture.inside("red", tcp(RED, 1000, *server))
    result = capture.run()
    result.none(wrong_port, wrong_protocol)
    assert result.drops == {"no-binding": 2}


def test_a_host_that_calls_its_own_public_address_needs_one_rule_and_its_other_direction_says_so(config):
    # DESIGN.md §4.2: a flow that stays in software does so with its reason. There is room; both directions have the same key.
    capture = Replay(config)
    for _ in range(3):
        capture.inside("red", udp(RED_STATIC, 7, RED_STATIC_EXTERNAL, 7))
    flow = execute(config, capture.packets, "immediate").flow(inside=(RED_STATIC, 7))
    assert (flow["forward"]["path"], flow["reverse"]["path"], flow["reverse"]["reason"]) == ("offloaded", "software", "same-rule")
    config["offload"]["maxRules"] = 0
    flow = execute(config, capture.packets, "immediate").flow(inside=(RED_STATIC, 7))
    assert (flow["forward"]["reason"], flow["reverse"]["reason"]) == ("nic-full", "same-rule")
    flow = execute(config, capture.packets, "never").flow(inside=(RED_STATIC, 7))
    assert (flow["forward"]["reason"], flow["reverse"]["reason"]) == ("offload-off", "offload-off")


def test_an_icmp_error_inside_a_hairpin_is_restored(config):
    # facts/nat.md row 5508-7: hairpinned ICMP errors.
    capture = Replay(config)
    opened = capture.inside("red", udp(RED2, 5678, X, 53))
    server = capture.peek().one(opened).ip.source
    call = capture.inside("red", udp(RED, 1000, *server))
    arrived = capture.peek().one(call).ip
    error = icmp_error(RED2, arrived.src, as_quoted(arrived.raw, arrived.ttl))
    sent = capture.inside("red", error)
    result = capture.run()
    wanted = translated_error(error, source=server[0], destination=RED, quoted_source=(RED, 1000), quoted_destination=server)
    assert result.one(sent).vni == 100 and result.one(sent).ip.raw == wanted


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "out of order"])
def test_fragments_are_hairpinned(config, order):
    # facts/nat.md §6 "fragments in order, out of order, hairpinned": a static and a dynamic destination, replies too.
    capture = Replay(config)
    opened = capture.inside("red", udp(RED2, 5678, X, 53))
    server = capture.peek().one(opened).ip.source
    data = bytes(range(256)) * 6

    def pieces(packet):
        return [capture.inside("red", fragments_of(packet, 800)[index]) for index in order]

    calls = [(pieces(udp(RED, 1000, RED_STATIC_EXTERNAL, 53, data, id=99)), (RED_STATIC, 53)), (pieces(udp(RED, 1000, *server, data, id=98)), (RED2, 5678))]
    caller = next(seen for piece in calls[0][0] for seen in capture.peek().of(piece) if seen.ip.offset == 0).ip.source
    back = pieces(udp(RED_STATIC, 53, *caller, data, id=97))
    result = capture.run(THOROUGH)
    for sent, host in calls:
        whole = reassembled([seen.ip for piece in sent for seen in result.of(piece)])
        assert whole.source == caller and caller[0] in POOL
        assert whole.destination == host and whole.data == data
    whole = reassembled([seen.ip for piece in back for seen in result.of(piece)])
    assert (whole.source, whole.destination, whole.data) == ((RED_STATIC_EXTERNAL, 53), (RED, 1000), data)
    assert {seen.vni for seen in result.fabric} == {100} and result.drops == {}


def test_a_host_may_call_its_own_vpc_by_its_peering_address(config):
    # gateway.md "settled": a peering hairpin presents a peering address; the scope is its own VPC; mappings of other scopes do not match.
    config["staticBindings"].append({"vpc": "red", "private": RED2, "peering": "100.64.1.3"})
    capture = Replay(config)
    call = capture.inside("red", udp(RED, 1000, "100.64.1.3", 53))
    seen = capture.peek().one(call)
    back = capture.inside("red", answer(seen))
    own = capture.inside("red", udp(RED2, 1000, "100.64.1.3", 53))
    towards_blue = capture.inside("red", udp("10.0.1.40", 1000, BLUE_STATIC_PEERING, 53))
    other_scope = capture.peek().one(towards_blue).ip.source
    foreign = capture.inside("red", udp("10.0.1.41", 1000, *other_scope))
    result = capture.run()
    assert seen.ip.src in RED_PEERING
    result.into("red", call, source=seen.ip.source, destination=(RED2, 53))
    result.into("red", back, source=("100.64.1.3", 53), destination=(RED, 1000))
    result.into("red", own, source=("100.64.1.3", 1000), destination=(RED2, 53))
    if other_scope != seen.ip.source:
        result.none(foreign)
        assert result.drops == {"no-binding": 1}
    assert result.flow(inside=(RED, 1000))["class"] == "hairpin"
