"""Static bindings beside dynamic mappings, and both in one flow (facts/nat.md §4, §5, §7; gateway.md `staticBindings`, "settled")."""

import json

import pytest

from frames import example_config
from harness import THOROUGH, Replay, message_lines, sluice
from packets import translated_error
from traffic import (
    BLUE_STATIC,
    BLUE_STATIC_PEERING,
    POOL,
    RED,
    RED_MAPPED,
    RED_MAPPED_EXTERNAL,
    RED_STATIC,
    RED_STATIC_EXTERNAL,
    X,
    answer,
    as_quoted,
    echo,
    icmp_error,
    other,
    tcp,
    udp,
)

MAPPED_UDP = (RED_MAPPED_EXTERNAL, 53)


def with_udp_mapping(config):
    """203.0.113.11:53 of UDP leads to port 5353 of the host that serves TCP port 80 of the same address."""
    config["staticBindings"].append({"vpc": "red", "protocol": "udp", "private": f"{RED_MAPPED}:5353", "external": "203.0.113.11:53"})
    return config


def test_a_ping_to_a_static_address_keeps_its_identifier(config):
    # facts/nat.md §4 "ping to a static address keeps id".
    capture = Replay(config)
    pairs = []
    for identifier in (0, 1, 1023, 65535):
        into, out = capture.outside(echo(X, RED_STATIC_EXTERNAL, identifier, 3)), capture.inside("red", echo(RED_STATIC, X, identifier, 3, reply=True))
        pairs.append((identifier, into, out))
    # The host's own pings with the same identifiers are flows of their own.
    own = [capture.inside("red", echo(RED_STATIC, X, identifier, 4)) for identifier in (0, 65535)]
    result = capture.run(THOROUGH)
    for identifier, into, out in pairs:
        assert result.into("red", into, destination=(RED_STATIC, None)).ip.icmp_id == identifier
        assert result.out(out, source=(RED_STATIC_EXTERNAL, None)).ip.icmp_id == identifier
    for sent in own:
        result.out(sent, source=(RED_STATIC_EXTERNAL, None))
    assert result.drops == {}


def test_a_protocol_without_a_rule_drops(config):
    # facts/nat.md §5 "protocol without a rule drops", "other ports drop": the address has a mapping of TCP port 80 and nothing else.
    capture = Replay(config)
    refused = [capture.outside(other(X, RED_MAPPED_EXTERNAL, protocol)) for protocol in (4, 47, 50, 132)]
    refused += [capture.outside(udp(X, 1, RED_MAPPED_EXTERNAL, port)) for port in (80, 8080)]
    refused += [capture.outside(tcp(X, 1, RED_MAPPED_EXTERNAL, port)) for port in (79, 81, 8080, 0, 65535)]
    refused += [capture.outside(echo(X, RED_MAPPED_EXTERNAL, 80)), capture.outside(echo(X, RED_MAPPED_EXTERNAL, 80, reply=True))]
    served = capture.outside(tcp(X, 1, RED_MAPPED_EXTERNAL, 80))
    result = capture.run()
    result.none(*refused)
    result.into("red", served, destination=(RED_MAPPED, 8080))
    assert result.drops == {"no-binding": len(refused)} and len(result.flows) == 1


def test_two_mappings_of_one_address_lead_to_different_hosts_by_protocol_and_port(config):
    # facts/nat.md §5 "port mapping both ways; other ports drop"; the mapping is of a tuple, not of its address.
    with_udp_mapping(config)
    config["staticBindings"].append({"vpc": "blue", "protocol": "tcp", "private": "10.0.1.6:8080", "external": "203.0.113.11:81"})
    capture = Replay(config)
    red, blue = capture.outside(tcp(X, 1, RED_MAPPED_EXTERNAL, 80)), capture.outside(tcp(X, 1, RED_MAPPED_EXTERNAL, 81))
    name = capture.outside(udp(X, 1, *MAPPED_UDP))
    replies = [
        ("red", capture.inside("red", tcp(RED_MAPPED, 8080, X, 1, "SA")), 80),
        ("blue", capture.inside("blue", tcp("10.0.1.6", 8080, X, 1, "SA")), 81),
        ("red", capture.inside("red", udp(RED_MAPPED, 5353, X, 1)), 53),
    ]
    result = capture.run()
    result.into("red", red, destination=(RED_MAPPED, 8080))
    result.into("blue", blue, destination=("10.0.1.6", 8080))
    result.into("red", name, destination=(RED_MAPPED, 5353))
    for _, sent, port in replies:
        result.out(sent, source=(RED_MAPPED_EXTERNAL, port))
    assert result.drops == {}


def test_a_static_binding_wins_over_dynamic_in_every_class(config):
    # facts/nat.md §7 "static binding wins over dynamic in every class", §5 "static beats dynamic". Site-to-site: test_half_nat.
    config["staticBindings"] += [{"vpc": "red", "private": RED_STATIC, "peering": "100.64.1.3"}]
    # The static addresses lie in the pools besides.
    config["externalPools"][0]["ranges"] = ["203.0.113.10-203.0.113.31"]
    capture = Replay(config)
    outward = capture.inside("red", udp(RED_STATIC, 1000, X, 53))
    to_peer = capture.inside("red", udp(RED_STATIC, 1000, BLUE_STATIC_PEERING, 53))
    server = capture.inside("red", udp(RED, 5678, X, 53))
    nat = capture.peek().one(server).ip.source
    hairpin = capture.inside("red", udp(RED_STATIC, 1000, *nat))
    inward = capture.outside(udp(X, 99, RED_STATIC_EXTERNAL, 1000))
    crowd = [capture.inside("red" if host % 2 else "blue", udp(f"10.0.1.{host}", 1000, X, 53)) for host in range(20, 100)]
    result = capture.run()
    result.out(outward, source=(RED_STATIC_EXTERNAL, 1000))
    result.into("blue", to_peer, source=("100.64.1.3", 1000), destination=(BLUE_STATIC, 53))
    result.into("red", hairpin, source=(RED_STATIC_EXTERNAL, 1000), destination=(RED, 5678))
    result.into("red", inward, destination=(RED_STATIC, 1000))
    assert RED_STATIC_EXTERNAL not in {result.one(sent).ip.src for sent in crowd}
    assert result.drops == {}


def errors_of(capture, call, arrived, reply, returned):
    """What the server's side says about the call as it arrived, the caller's about the reply as it came back, and routers before each."""
    return [
        ("call", capture.inside("red", icmp_error(RED_MAPPED, arrived.src, as_quoted(arrived.raw, arrived.ttl)))),
        ("call", capture.inside("red", icmp_error("10.0.1.2", arrived.src, as_quoted(arrived.raw, 1, 28), 11, 0))),
        ("reply", capture.inside("red", icmp_error(RED, returned.src, as_quoted(returned.raw, returned.ttl)))),
        ("reply", capture.inside("red", icmp_error("10.0.1.3", returned.src, as_quoted(returned.raw, 1), 3, 4, 1400))),
    ]


@pytest.mark.parametrize("protocol", ["udp", "tcp", "udp without checksum"])
def test_static_destination_and_dynamic_source_in_one_flow_are_restored_in_icmp_errors_both_ways(config, protocol):
    # facts/nat.md §5 "static destination + dynamic source in one flow; ICMP error fully restored", row 5508-7, §10 "inner IP of ICMP errors".
    with_udp_mapping(config)
    capture = Replay(config)
    if protocol == "tcp":
        service, inner_port = (RED_MAPPED_EXTERNAL, 80), 8080
        call = capture.inside("red", tcp(RED, 1000, *service))
        arrived = capture.peek().one(call).ip
        reply = capture.inside("red", tcp(*arrived.destination, *arrived.source, "SA"))
    else:
        service, inner_port = MAPPED_UDP, 5353
        checksum = 0 if "without" in protocol else None
        call = capture.inside("red", udp(RED, 1000, *service, checksum=checksum))
        arrived = capture.peek().one(call).ip
        reply = capture.inside("red", udp(*arrived.destination, *arrived.source, checksum=checksum))
    returned = capture.peek().one(reply).ip
    errors = errors_of(capture, call, arrived, reply, returned)
    result = capture.run(THOROUGH)
    nat = arrived.source
    assert nat[0] in POOL
    result.into("red", call, source=nat, destination=(RED_MAPPED, inner_port))
    result.into("red", reply, source=service, destination=(RED, 1000))
    for about, error in errors:
        if about == "call":
            wanted = translated_error(error.packet, source=service[0], destination=RED, quoted_source=(RED, 1000), quoted_destination=service)
        else:
            wanted = translated_error(error.packet, source=nat[0], destination=RED_MAPPED, quoted_source=(RED_MAPPED, inner_port), quoted_destination=nat)
        seen = result.one(error)
        assert seen.vni == 100 and seen.ip.raw == wanted, f"{seen}: quotes {seen.ip.quoted}"
    assert result.drops == {}


def test_an_icmp_error_about_a_bypassed_flow_passes_untouched(config):
    # facts/nat.md §4 "an error with no session drops or passes untouched in forwarding mode", §5 "identity mapping: untouched".
    config["bypass"] = [{"vpc": "red", "destinations": ["198.51.100.0/24"]}]
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    back = capture.outside(udp(X, 53, RED, 1000))
    first = capture.peek()
    from_router = capture.outside(icmp_error("192.0.2.254", RED, as_quoted(first.one(out).ip.raw, 1), 11, 0))
    from_host = capture.inside("red", icmp_error(RED, X, as_quoted(first.one(back).ip.raw, 63)))
    stray = capture.outside(icmp_error("192.0.2.254", RED, as_quoted(udp(RED, 1001, X, 53)), 11, 0))
    result = capture.run(THOROUGH)
    result.out(out)
    result.into("red", back)
    assert result.one(from_router).vni == 100 and result.one(from_router).ip.raw == translated_error(from_router.packet)
    assert result.one(from_host).port_name == "external" and result.one(from_host).ip.raw == translated_error(from_host.packet)
    result.none(stray)
    assert sum(result.drops.values()) == 1 and set(result.drops) <= {"icmp-error-unknown", "not-for-us"}


def test_forwarded_and_own_flows_of_one_host_to_one_remote_stay_apart(config):
    # facts/nat.md §5 "a forwarded host initiating uses its dynamic pool, never the forwarded tuple": both at once, to the very same remote.
    with_udp_mapping(config)
    capture = Replay(config)
    served = capture.outside(udp(X, 9, *MAPPED_UDP))
    own = capture.inside("red", udp(RED_MAPPED, 4000, X, 9))
    nat = capture.peek().one(own).ip.source
    reply, back = capture.inside("red", udp(RED_MAPPED, 5353, X, 9)), capture.outside(udp(X, 9, *nat))
    elsewhere = capture.inside("red", udp(RED_MAPPED, 5353, "198.51.100.99", 9))
    result = capture.run()
    assert nat[0] in POOL and result.one(elsewhere).ip.src in POOL
    result.into("red", served, destination=(RED_MAPPED, 5353))
    result.out(reply, source=MAPPED_UDP)
    result.into("red", back, destination=(RED_MAPPED, 4000))
    assert result.one(elsewhere).ip.source != MAPPED_UDP and result.drops == {}
    assert answer(result.one(own)).dst == nat[0]


CONFLICTS = {
    "one public address for two hosts": {"vpc": "blue", "private": "10.0.2.1", "external": "203.0.113.10"},
    "two public addresses of one host": {"vpc": "red", "private": RED_STATIC, "external": "203.0.113.12"},
    "one public port for two hosts": {"vpc": "red", "protocol": "tcp", "private": "10.0.1.9:1", "external": "203.0.113.11:80"},
    "a port of an address that is bound whole": {"vpc": "red", "protocol": "tcp", "private": "10.0.1.9:1", "external": "203.0.113.10:80"},
    "a prefix over a bound address": {"vpc": "blue", "private": "10.0.2.16/28", "external": "203.0.113.0/28"},
    "the gateway's own address": {"vpc": "red", "private": "10.0.1.9", "external": "203.0.113.1"},
}


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_conflicting_static_mapping_is_refused_at_its_place(tmp_path, conflict):
    # facts/nat.md §2 "conflicting SM", as far as one configuration can hold it: nobody's traffic is decided by the order of a file.
    config = example_config()
    config["staticBindings"].append(CONFLICTS[conflict])
    (tmp_path / "gateway.json").write_text(json.dumps(config))
    for command in (["check"], ["replay", "--in", "fabric=/dev/null"]):
        refused = sluice(*command, "--config", tmp_path / "gateway.json")
        lines = message_lines(refused.stderr)
        assert refused.returncode == 1 and lines and refused.stdout == ""
        assert all("/staticBindings/3/" in line for line in lines), lines


def test_two_public_endpoints_of_one_server_never_mix_their_connections(config):
    # facts/nat.md §5 "port mapping both ways"; DESIGN.md §4 invariant 3: replies to one remote port reached over both could not be told
    # apart, so the second is refused and the first goes on.
    config["staticBindings"].append({"vpc": "red", "protocol": "tcp", "private": f"{RED_MAPPED}:8080", "external": "203.0.113.12:80"})
    capture = Replay(config)
    first, second = capture.outside(tcp(X, 1, RED_MAPPED_EXTERNAL, 80)), capture.outside(tcp(X, 2, "203.0.113.12", 80))
    clash = capture.outside(tcp(X, 1, "203.0.113.12", 80))
    replies = [capture.inside("red", tcp(RED_MAPPED, 8080, X, port, "SA")) for port in (1, 2)]
    result = capture.run(THOROUGH)
    for sent in (first, second):
        result.into("red", sent, destination=(RED_MAPPED, 8080))
    result.none(clash)
    result.out(replies[0], source=(RED_MAPPED_EXTERNAL, 80))
    result.out(replies[1], source=("203.0.113.12", 80))
    assert sum(result.drops.values()) == 1 and len(result.flows) == 2


def test_a_host_with_a_static_address_and_a_port_mapping_serves_each_as_itself(config):
    # facts/nat.md §5: what comes by the mapping leaves by it; what the host begins leaves by its own address.
    config["staticBindings"].append({"vpc": "red", "private": RED_MAPPED, "external": "203.0.113.12"})
    capture = Replay(config)
    mapped, whole = capture.outside(tcp(X, 1, RED_MAPPED_EXTERNAL, 80)), capture.outside(tcp(X, 2, "203.0.113.12", 8080))
    replies = [capture.inside("red", tcp(RED_MAPPED, 8080, X, port, "SA")) for port in (1, 2)]
    own = capture.inside("red", tcp(RED_MAPPED, 8080, X, 443))
    result = capture.run()
    for sent in (mapped, whole):
        result.into("red", sent, destination=(RED_MAPPED, 8080))
    result.out(replies[0], source=(RED_MAPPED_EXTERNAL, 80))
    result.out(replies[1], source=("203.0.113.12", 8080))
    result.out(own, source=("203.0.113.12", 8080))
    assert result.drops == {}
