"""The flow dump and the counters, to the letter (DESIGN.md §3, "Flow dump and counters, JSON"; gateway.md "settled").

That every entry has exactly the contract's fields with values of the right kind, and that received, transmitted, dropped and generated
packets add up, the harness demands of every run of every test; here are the values.
"""

from frames import vpc_of
from harness import THOROUGH, Replay
from traffic import (
    BLUE_STATIC_PEERING,
    RED,
    RED2,
    RED_MAPPED,
    RED_MAPPED_EXTERNAL,
    RED_STATIC_EXTERNAL,
    X,
    X2,
    echo,
    other,
    outbound,
    tcp,
    udp,
)


def test_a_flow_from_inside_shows_its_endpoints_counts_and_times(config):
    # DESIGN.md §3: fields; "settled": bytes are inner IPv4 bytes; `underlay` is the inside host's; `idleMs` counts either direction.
    capture = Replay(config)
    out = capture.at(1).inside("red", udp(RED, 1000, X, 53, b"x" * 100))
    nat = capture.peek().one(out).ip.source
    for seconds in (2, 3):
        capture.at(seconds).inside("red", udp(RED, 1000, X, 53, b"y" * 10))
    for seconds in (4, 5, 6, 7):
        capture.at(seconds).outside(udp(X, 53, *nat, b"z" * 1000))
    capture.at(10).inside("blue", udp("10.0.2.7", 1, X, 53))
    result = capture.run(THOROUGH)
    flow = result.flow(vpc="red")
    assert (flow["class"], flow["protocol"]) == ("vpc-to-external", "udp")
    assert flow["inside"] == {"address": RED, "port": 1000}
    assert flow["nat"] == {"address": nat[0], "port": nat[1]}
    assert flow["remote"] == {"address": X, "port": 53}
    assert flow["underlay"] == {"vni": 100, "vtep": "172.30.0.11"}
    assert (flow["forward"]["packets"], flow["forward"]["bytes"]) == (3, 128 + 2 * 38)
    assert (flow["reverse"]["packets"], flow["reverse"]["bytes"]) == (4, 4 * 1028)
    assert (flow["ageMs"], flow["idleMs"]) == (9000, 3000)
    # The last packet from inside came at second 3; UDP lives 300 s after it; it is second 10.
    assert flow["expiresInMs"] == 293_000
    blue = result.flow(vpc="blue")
    assert blue["underlay"] == {"vni": 200, "vtep": "172.30.0.12"} and (blue["ageMs"], blue["idleMs"], blue["expiresInMs"]) == (0, 0, 300_000)


def test_the_path_of_each_direction_says_who_translates_it(config):
    # DESIGN.md §3: `path` ∈ offloaded, software, pending, failed; gateway.md: ICMP of every kind is never served by a NIC rule.
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    for _ in range(5):
        capture.inside("red", udp(RED, 1000, X, 53))
        capture.outside(udp(X, 53, *nat))
    capture.inside("red", echo(RED, X, 7))
    one = outbound(capture).open()
    for _ in range(5):
        one.from_b("A", b"data")
        one.from_a("A")
    result = capture.run()
    immediate, never = result.by_mode[("immediate", None)], result.by_mode[("never", None)]
    for protocol in ("udp", "tcp"):
        flow = immediate.flow(protocol=protocol)
        assert flow["forward"]["path"] == flow["reverse"]["path"] == "offloaded"
    for flow in (immediate.flow(protocol="icmp"), *never.flows):
        assert flow["forward"]["path"] == flow["reverse"]["path"] == "software"
    icmp = immediate.flow(protocol="icmp")
    assert icmp["forward"]["reason"], "a flow that stays in software says why"
    assert immediate.counters["nic"]["packets"] >= 10 + 10 and never.counters["nic"]["packets"] == 0


def test_each_class_and_protocol_is_named_as_the_contract_names_it(config):
    # DESIGN.md §3: `class`, `protocol`; `remote` of vpc-to-vpc is the peering address that the source used; one entry a session.
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    capture.inside("red", udp(RED, 1001, BLUE_STATIC_PEERING, 53))
    capture.outside(tcp(X, 50000, RED_MAPPED_EXTERNAL, 80))
    capture.inside("red", udp(RED, 1002, RED_STATIC_EXTERNAL, 53))
    capture.inside("red", echo(RED, X, 1003))
    capture.inside("red", other(RED, X, 47))
    config["vpcs"].append({"name": "far", "vni": 400, "gateway": "gw2", "subnets": ["10.4.0.0/24"], "routes": []})
    config["peerings"].append({"vpcs": ["red", "far"]})
    config["peeringPools"].append({"vpc": "far", "ranges": ["100.64.4.0/28"]})
    capture.inside("red", tcp(RED, 1004, "100.64.4.3", 80))
    result = capture.run()
    assert len(result.flows) == 7
    external = result.flow(protocol="udp", inside=(RED, 1000))
    assert external["class"] == "vpc-to-external"
    peer = result.flow(protocol="udp", inside=(RED, 1001))
    assert peer["class"] == "vpc-to-vpc" and peer["remote"] == {"address": BLUE_STATIC_PEERING, "port": 53}
    assert peer["nat"]["address"].startswith("100.64.1.")
    served = result.flow(protocol="tcp", inside=(RED_MAPPED, 8080))
    assert served["class"] == "external-to-vpc" and served["remote"] == {"address": X, "port": 50000}
    assert served["nat"] == {"address": RED_MAPPED_EXTERNAL, "port": 80}
    assert result.flow(protocol="udp", inside=(RED, 1002))["class"] == "hairpin"
    ping = result.flow(protocol="icmp")
    # The query identifier is the port of a ping.
    assert ping["inside"] == {"address": RED, "port": 1003} and ping["nat"]["port"] >= 1024
    assert result.flow(protocol="47")["inside"]["address"] == RED
    far = result.flow(protocol="tcp", inside=(RED, 1004))
    assert far["class"] == "site-to-site" and far["remote"] == {"address": "100.64.4.3", "port": 80}
    assert {flow["vpc"] for flow in result.flows} == {"red"}


def test_an_inbound_session_counts_both_directions(config):
    # DESIGN.md §3. Whether `forward` of a session opened from outside is its first packet's direction or the inside host's is not said.
    capture = Replay(config)
    for number in range(3):
        capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53, b"q" * number))
    capture.inside("red", udp("10.0.1.5", 53, X, 1, b"r" * 72))
    result = capture.run(THOROUGH)
    flow = result.flow(protocol="udp")
    counts = {(flow[d]["packets"], flow[d]["bytes"]) for d in ("forward", "reverse")}
    assert counts == {(3, 28 + 29 + 30), (1, 100)}


def test_tcp_times_follow_the_state(config):
    # gateway.md timeouts: transitory before both SYNs and after the end, established between.
    capture = Replay(config)
    half = outbound(capture, inside=(RED, 1))
    whole = outbound(capture, inside=(RED, 2))
    closed = outbound(capture, inside=(RED, 3))
    syns = [one.from_a("S") for one in (half, whole, closed)]
    for one, syn in zip((half, whole, closed), syns):
        one.learn(syn)
    for one in (whole, closed):
        one.from_b("SA")
        one.from_a("A")
    closed.close()
    capture.at(10).inside("red", udp(RED, 9, X, 9))
    result = capture.run()
    wanted = {1: 230_000, 2: 7_430_000, 3: 230_000}
    states = {}
    for port, expires in wanted.items():
        flow = result.flow(protocol="tcp", inside=(RED, port))
        assert flow["expiresInMs"] == expires, flow
        states[port] = flow["state"]
    assert len(set(states.values())) == 3, f"three states look alike: {states}"


def test_counters_name_every_reason_that_occurred_and_count_each_packet_once(config):
    # DESIGN.md §3: drops: {REASON: n}; a packet that the gateway consumes counts as local; "settled": nic.packets are those that the NIC
    # finished alone, slowPath.packets all others received. The sums are the harness'.
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    capture.inside("red", udp(RED, 1, X, 2))
    capture.inside("red", udp(RED, 1, X, 2), vni=9)
    capture.inside("red", udp("10.9.9.9", 1, X, 2))
    capture.inside("red", udp(RED, 1, "10.0.1.1", 2))
    capture.inside("red", echo(RED, "10.0.1.1"))
    capture.inside("red", echo(RED2, "10.0.1.1"))
    capture.inside("red", tcp(RED, 1, X2, 2, "A"))
    capture.inside("red", udp(RED, 1, X, 2, ttl=1))
    capture.outside(udp(X, 1, "203.0.113.17", 2))
    result = capture.run(THOROUGH)
    assert result.drops == {
        "unknown-vni": 1, "source-not-in-vpc": 1, "not-for-us": 1, "local": 2, "not-syn": 1, "ttl-expired": 1, "no-binding": 1,
    }  # fmt: skip
    assert result.counters["ports"] == {"fabric": {"received": 8, "transmitted": 3}, "external": {"received": 1, "transmitted": 1}}
    assert result.counters["slowPath"]["misses"] >= 1


def test_a_session_that_ended_is_no_longer_in_the_dump(config):
    # DESIGN.md §4 invariant 2, as a dump can show it.
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    capture.at(301).inside("red", udp(RED2, 1000, X, 53))
    result = capture.run()
    assert [flow["inside"]["address"] for flow in result.flows] == [RED2]
