"""Traffic that is not translated, and protocols without ports (gateway.md `bypass`; facts/nat.md row 6888-6, §6)."""

import pytest

from frames import one_external_address
from harness import THOROUGH, Replay
from traffic import POOL, RED, RED2, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, Y, echo, other, tcp, udp


def test_a_bypassed_destination_is_reached_untranslated_and_answers_find_back(config):
    # gateway.md `bypass`: leaves untranslated (identity), RFC 6888 REQ-6; classification 7: as a session.
    config["bypass"] = [{"vpc": "red", "destinations": ["198.51.100.0/24", "192.0.2.9/32"]}]
    capture = Replay(config)
    out = [
        capture.inside("red", udp(RED, 1000, X, 53)),
        capture.inside("red", tcp(RED, 1000, X, 80)),
        capture.inside("red", echo(RED, Y, 7)),
        capture.inside("red", udp(RED_STATIC, 1000, X, 53)),
    ]
    back = [
        capture.outside(udp(X, 53, RED, 1000)),
        capture.outside(tcp(X, 80, RED, 1000, "SA")),
        capture.outside(echo(Y, RED, 7, reply=True)),
        capture.outside(udp(X, 53, RED_STATIC, 1000)),
    ]
    translated_still = [capture.inside("red", udp(RED, 1000, "192.0.2.10", 53)), capture.inside("blue", udp("10.0.1.7", 1000, X, 53))]
    unasked = [capture.outside(udp(X, 54, RED, 1000)), capture.outside(udp(X, 53, RED2, 1000))]
    not_syn = capture.inside("red", tcp(RED, 1001, X, 80, "A"))
    result = capture.run(THOROUGH)
    for sent in out:
        result.out(sent)
    for sent in back:
        result.into("red", sent)
    for sent in translated_still:
        assert result.one(sent).ip.src in POOL
    result.none(*unasked, not_syn)
    # A destination nobody has a session with may be called nobody's address or an unbound one.
    drops = dict(result.drops)
    assert drops.pop("not-syn") == 1 and sum(drops.values()) == 2
    assert set(drops) <= {"not-for-us", "no-binding", "filtered"}
    flow = result.flow(protocol="icmp")
    assert flow["class"] == "vpc-to-external" and flow["nat"]["address"] == RED


@pytest.mark.parametrize("protocol", [47, 50, 132, 4, 89], ids=["gre", "esp", "sctp", "ipip", "ospf"])
def test_a_protocol_without_ports_passes_both_ways_by_its_addresses(config, protocol):
    # facts/nat.md §6 "GRE and other protocols both ways, one flow per (N, X, protocol), over 1:1 too"; issue 3 "one per remote".
    one_external_address(config)
    capture = Replay(config)
    out = capture.inside("red", other(RED, X, protocol))
    back = capture.outside(other(X, "203.0.113.16", protocol))
    again = [capture.inside("red", other(RED, X, protocol, bytes([n]) * 70)) for n in range(3)]
    static = capture.inside("red", other(RED_STATIC, X, protocol))
    static_back = capture.outside(other(X, RED_STATIC_EXTERNAL, protocol))
    static_in = capture.outside(other(X2, RED_STATIC_EXTERNAL, protocol))
    # The same remote behind the same address cannot be told apart for another host; another remote can.
    taken = capture.inside("red", other(RED2, X, protocol))
    free = capture.inside("red", other(RED2, X2, protocol))
    free_back = capture.outside(other(X2, "203.0.113.16", protocol))
    stranger = capture.outside(other(Y, "203.0.113.16", protocol))
    result = capture.run(THOROUGH)
    for sent in [out] + again:
        result.out(sent, source=("203.0.113.16", None))
    result.into("red", back, destination=(RED, None))
    result.out(static, source=(RED_STATIC_EXTERNAL, None))
    for sent in (static_back, static_in):
        result.into("red", sent, destination=(RED_STATIC, None))
    assert not [seen for seen in result.of(taken) if seen.ip.src == "203.0.113.16"]
    result.out(free, source=("203.0.113.16", None))
    result.into("red", free_back, destination=(RED2, None))
    result.none(stranger)
    drops = dict(result.drops)
    assert drops.pop("pool-exhausted") == 1
    assert sum(drops.values()) == 1 and set(drops) <= {"no-binding", "filtered"}
    # DESIGN.md §3: `protocol` is tcp, udp, icmp or the IANA number as a string.
    assert {flow["protocol"] for flow in result.flows} == {str(protocol)}


def test_different_protocols_between_the_same_hosts_are_different_flows(config):
    # facts/nat.md §10 "rule identity hashed values but not masks".
    one_external_address(config)
    capture = Replay(config)
    sent = [capture.inside("red", other(RED, X, protocol)) for protocol in (47, 50, 51, 132)]
    two = [capture.inside("red", other(RED2, X, protocol)) for protocol in (46, 48)]
    back = [capture.outside(other(X, "203.0.113.16", protocol)) for protocol in (47, 50, 51, 132, 46, 48)]
    result = capture.run()
    for s in sent + two:
        result.out(s, source=("203.0.113.16", None))
    for s, host in zip(back, [RED] * 4 + [RED2] * 2):
        result.into("red", s, destination=(host, None))


def test_a_reply_of_a_bypassed_flow_with_ttl_1_is_answered_with_time_exceeded(config):
    # gateway.md "TTL goes down by one per gateway … at 1 it is not forwarded: ICMP time exceeded goes back"; facts/nat.md §4.
    config["bypass"] = [{"vpc": "red", "destinations": ["198.51.100.0/24"]}]
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    fine, expired = capture.outside(udp(X, 53, RED, 1000, ttl=2)), capture.outside(udp(X, 53, RED, 1000, ttl=1))
    result = capture.run()
    result.into("red", fine)
    result.refused(expired, 11, 0, "203.0.113.1")
    assert result.drops == {"ttl-expired": 1}
