"""Static bindings: one-to-one addresses, prefixes and ports, towards outside (gateway.md `staticBindings`, "settled"; facts/nat.md §5)."""

import pytest

from harness import THOROUGH, Replay
from traffic import (
    POOL,
    RED,
    RED_MAPPED,
    RED_MAPPED_EXTERNAL,
    RED_STATIC,
    RED_STATIC_EXTERNAL,
    X,
    X2,
    echo,
    inbound,
    other,
    outbound,
    tcp,
    udp,
)


def test_an_address_binding_serves_both_directions_and_keeps_ports(config):
    # gateway.md "settled": an address-only static binding serves both directions, ports kept; facts/nat.md §4 "ping to a static address keeps id".
    capture = Replay(config)
    out = [
        capture.inside("red", udp(RED_STATIC, 53, X, 1000)),
        capture.inside("red", tcp(RED_STATIC, 1, X, 80)),
        capture.inside("red", echo(RED_STATIC, X, 0)),
        capture.inside("red", other(RED_STATIC, X, 47)),
    ]
    into = [
        capture.outside(udp(X2, 1000, RED_STATIC_EXTERNAL, 0)),
        capture.outside(tcp(X2, 1000, RED_STATIC_EXTERNAL, 22)),
        capture.outside(echo(X2, RED_STATIC_EXTERNAL, 9)),
        capture.outside(other(X2, RED_STATIC_EXTERNAL, 47)),
    ]
    replies_in = [
        capture.outside(udp(X, 1000, RED_STATIC_EXTERNAL, 53)),
        capture.outside(tcp(X, 80, RED_STATIC_EXTERNAL, 1, "SA")),
        capture.outside(echo(X, RED_STATIC_EXTERNAL, 0, reply=True)),
        capture.outside(other(X, RED_STATIC_EXTERNAL, 47)),
    ]
    replies_out = [
        capture.inside("red", udp(RED_STATIC, 0, X2, 1000)),
        capture.inside("red", tcp(RED_STATIC, 22, X2, 1000, "SA")),
        capture.inside("red", echo(RED_STATIC, X2, 9, reply=True)),
        capture.inside("red", other(RED_STATIC, X2, 47)),
    ]
    result = capture.run(THOROUGH)
    for sent in out + replies_out:
        result.out(sent, source=(RED_STATIC_EXTERNAL, None))
    for sent in into + replies_in:
        result.into("red", sent, destination=(RED_STATIC, None))
    assert result.drops == {} and len(result.flows) == 8
    assert sorted(f["class"] for f in result.flows) == ["external-to-vpc"] * 4 + ["vpc-to-external"] * 4


def test_a_port_binding_is_reached_from_outside_and_its_replies_leave_as_the_mapped_port(config):
    # gateway.md `staticBindings` "with ports a port mapping"; facts/nat.md §5 "port mapping both ways; other ports drop".
    capture = Replay(config)
    one = inbound(capture, (RED_MAPPED_EXTERNAL, 80), inside=(RED_MAPPED, 8080)).open()
    request = one.from_a("PA", b"GET / HTTP/1.1\r\n\r\n")
    response = one.from_b("PA", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 900)
    one.close()
    refused = [
        capture.outside(tcp(X, 50001, RED_MAPPED_EXTERNAL, 8080)),
        capture.outside(udp(X, 50001, RED_MAPPED_EXTERNAL, 80)),
        capture.outside(echo(X, RED_MAPPED_EXTERNAL, 80)),
    ]
    result = capture.run(THOROUGH)
    for sent in capture.packets:
        if sent in refused:
            result.none(sent)
        elif sent.port_name == "external":
            result.into("red", sent, destination=(RED_MAPPED, 8080))
        else:
            result.out(sent, source=(RED_MAPPED_EXTERNAL, 80))
    assert result.one(request).ip.data.startswith(b"GET") and len(result.one(response).ip.data) == 919
    assert sum(result.drops.values()) == 3 and set(result.drops) <= {"no-binding", "filtered"}


def test_a_mapped_host_that_initiates_uses_its_pool_never_the_mapped_tuple(config):
    # gateway.md "settled": a port mapping is for inbound use; facts/nat.md §5.
    capture = Replay(config)
    served = capture.outside(tcp(X, 50000, RED_MAPPED_EXTERNAL, 80))
    sent = [
        capture.inside("red", tcp(RED_MAPPED, 8080, X2, 80)),
        capture.inside("red", tcp(RED_MAPPED, 8080, X, 80)),
        capture.inside("red", udp(RED_MAPPED, 8080, X, 80)),
        capture.inside("red", echo(RED_MAPPED, X, 80)),
    ]
    reply = capture.inside("red", tcp(RED_MAPPED, 8080, X, 50000, "SA"))
    result = capture.run()
    result.into("red", served, destination=(RED_MAPPED, 8080))
    result.out(reply, source=(RED_MAPPED_EXTERNAL, 80))
    for s in sent:
        assert result.one(s).ip.src in POOL


def test_a_static_binding_beats_dynamic_allocation(config):
    # gateway.md `staticBindings` "beats dynamic"; classification 8 "source from a static binding, else from the pools".
    capture = Replay(config)
    static = capture.inside("red", udp(RED_STATIC, 1000, X, 53))
    dynamic = capture.inside("red", udp(RED, 1000, X, 53))
    same_address_elsewhere = capture.inside("blue", udp(RED_STATIC, 1000, X, 53))
    result = capture.run()
    result.out(static, source=(RED_STATIC_EXTERNAL, 1000))
    assert result.one(dynamic).ip.src in POOL and result.one(same_address_elsewhere).ip.src in POOL


def test_prefix_bindings_keep_offsets_both_ways(config):
    # gateway.md `staticBindings` "CIDR to CIDR of equal size keeps offsets"; facts/nat.md §5 "N:N ranges keep offsets; exact inverse at both ends".
    config["staticBindings"].append({"vpc": "red", "private": "10.0.1.64/28", "external": "203.0.113.128/28"})
    capture = Replay(config)
    out = [(offset, capture.inside("red", udp(f"10.0.1.{64 + offset}", 1000, X, 53))) for offset in (0, 1, 7, 15)]
    into = [(offset, capture.outside(udp(X2, 1000, f"203.0.113.{128 + offset}", 53))) for offset in (0, 2, 15)]
    outside_it = [capture.inside("red", udp(f"10.0.1.{host}", 1000, X, 53)) for host in (63, 80)]
    beyond = [capture.outside(udp(X2, 1000, f"203.0.113.{host}", 53)) for host in (127, 144)]
    result = capture.run()
    for offset, sent in out:
        result.out(sent, source=(f"203.0.113.{128 + offset}", 1000))
    for offset, sent in into:
        result.into("red", sent, destination=(f"10.0.1.{64 + offset}", 53))
    for sent in outside_it:
        assert result.one(sent).ip.src in POOL
    result.none(*beyond)
    assert result.drops == {"not-for-us": 2}


@pytest.mark.parametrize("flags", ["A", "SA", "R", "FA"])
def test_the_first_packet_to_a_static_binding_must_be_a_bare_syn_too(config, flags):
    # gateway.md "settled": first TCP packet of a session must be a bare SYN, for static bindings too.
    capture = Replay(config)
    capture.outside(tcp(X, 50000, RED_STATIC_EXTERNAL, 80, flags))
    capture.outside(tcp(X, 50000, RED_MAPPED_EXTERNAL, 80, flags))
    capture.inside("red", tcp(RED_STATIC, 80, X, 50000, flags))
    result = capture.run()
    assert (result.seen, result.drops, result.flows) == ([], {"not-syn": 3}, [])


def test_connections_opened_from_both_sides_between_the_same_hosts_stay_apart(config):
    # facts/nat.md §5 "1:1 address: both ways"; a session is a 5-tuple.
    capture = Replay(config)
    server = inbound(capture, (RED_STATIC_EXTERNAL, 443), inside=(RED_STATIC, 443), remote=(X, 50000)).open()
    client = outbound(capture, inside=(RED_STATIC, 50000), remote=(X, 443)).open()
    answers = [server.from_b("PA", b"from the server"), client.from_b("PA", b"to the client")]
    result = capture.run()
    result.out(answers[0], source=(RED_STATIC_EXTERNAL, 443))
    result.into("red", answers[1], destination=(RED_STATIC, 50000))
    assert client.b_sees == (RED_STATIC_EXTERNAL, 50000)
    assert {f["class"] for f in result.flows} == {"external-to-vpc", "vpc-to-external"}
