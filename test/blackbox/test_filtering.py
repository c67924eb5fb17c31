"""Who may answer: filtering of inbound packets (gateway.md `nat.filtering`, "settled"; facts/nat.md rows 4787-8, 5382-3, 5382-4)."""

import pytest

from harness import THOROUGH, Replay
from traffic import (
    BLUE_STATIC,
    BLUE_STATIC_PEERING,
    RED,
    RED2,
    RED_STATIC,
    RED_STATIC_EXTERNAL,
    X,
    X2,
    Y,
    echo,
    tcp,
    udp,
)

MODES = ["endpoint-independent", "address-dependent", "address-and-port-dependent"]


@pytest.mark.parametrize("mode", MODES)
def test_udp_from_others_passes_as_the_filtering_says(config, mode):
    # facts/nat.md row 4787-8.
    config["nat"]["filtering"] = mode
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(sent).ip.source
    called = capture.outside(udp(X, 53, *nat))
    other_port = capture.outside(udp(X, 54, *nat))
    other_address = capture.outside(udp(X2, 53, *nat))
    capture.inside("red", udp(RED, 1000, X2, 99))
    now_port = capture.outside(udp(X2, 99, *nat))
    now_address = capture.outside(udp(X2, 53, *nat))
    result = capture.run(THOROUGH)
    passed = {called, now_port}
    if mode != "address-and-port-dependent":
        passed |= {other_port, now_address}
    if mode == "endpoint-independent":
        passed.add(other_address)
    for packet in (called, other_port, other_address, now_port, now_address):
        if packet in passed:
            result.into("red", packet, destination=(RED, 1000))
        else:
            result.none(packet)
    assert result.drops.get("filtered", 0) == 5 - len(passed) == sum(result.drops.values())


@pytest.mark.parametrize("mode", MODES)
def test_tcp_from_others_passes_as_the_filtering_says(config, mode):
    # facts/nat.md row 5382-3. What a mapping lets in makes a session of its own, which must begin with a bare SYN.
    config["nat"]["filtering"] = mode
    capture = Replay(config)
    sent = capture.inside("red", tcp(RED, 1000, X, 80))
    nat = capture.peek().one(sent).ip.source
    called = capture.outside(tcp(X, 80, *nat, "SA"))
    other_port = capture.outside(tcp(X, 81, *nat, "S"))
    other_address = capture.outside(tcp(X2, 80, *nat, "S"))
    result = capture.run()
    result.into("red", called, destination=(RED, 1000))
    passed = {"endpoint-independent": 2, "address-dependent": 1, "address-and-port-dependent": 0}[mode]
    for packet in (other_port, other_address)[:passed]:
        result.into("red", packet, destination=(RED, 1000))
    for packet in (other_port, other_address)[passed:]:
        result.none(packet)
    assert result.drops == ({"filtered": 2 - passed} if passed < 2 else {})


@pytest.mark.parametrize("mode", MODES)
def test_static_bindings_are_open_to_everyone_whatever_the_filtering(config, mode):
    # gateway.md `staticBindings`: reached from outside; filtering speaks of live mappings.
    config["nat"]["filtering"] = mode
    capture = Replay(config)
    sent = [
        capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53)),
        capture.outside(tcp(X, 1, RED_STATIC_EXTERNAL, 53)),
        capture.outside(echo(X, RED_STATIC_EXTERNAL, 1)),
    ]
    result = capture.run()
    for packet in sent:
        result.into("red", packet, destination=(RED_STATIC, None))


def test_an_echo_request_to_a_dynamic_identifier_is_filtered(config):
    # gateway.md "settled": an inbound echo request to a dynamic mapping's id is dropped; an echo request to a dynamic id → filtered.
    capture = Replay(config)
    sent = capture.inside("red", echo(RED, X, 77))
    nat = capture.peek().one(sent).ip.source
    request = capture.outside(echo(X, *nat))
    static = capture.outside(echo(X, RED_STATIC_EXTERNAL, 5))
    result = capture.run()
    result.none(request)
    result.into("red", static, destination=(RED_STATIC, None))
    assert result.drops == {"filtered": 1}


def test_an_unsolicited_syn_that_filtering_refuses_is_answered_after_six_seconds_of_silence(config):
    # gateway.md "settled": silence for 6 s, then port unreachable from the NAT address if no outbound SYN came; packets that a timer sends
    # carry the timer's due time; facts/nat.md row 5382-4.
    config["nat"]["filtering"] = "address-and-port-dependent"
    capture = Replay(config)
    sent = capture.inside("red", tcp(RED, 1000, X, 80))
    nat = capture.peek().one(sent).ip.source
    knock = capture.at(10).outside(tcp(Y, 5000, *nat, "S"))
    quiet = capture.at(15.9).inside("red", udp(RED, 1, X, 2))
    later = capture.at(20).inside("red", udp(RED, 2, X, 2))
    result = capture.run(timers=True, extra=1)
    result.none(knock)
    for packet in (quiet, later):
        assert result.one(packet).port_name == "external"
    (error,) = [s for s in result.external if s.ip.protocol == 1]
    # Six seconds after the SYN; a clock of whole seconds may say so at most one second later.
    assert 16.0 <= error.time <= 17.0
    assert (error.ip.icmp_type, error.ip.icmp_code, error.ip.src, error.ip.dst) == (3, 3, nat[0], Y)
    assert knock.packet.startswith(error.ip.payload[8:]) and len(error.ip.payload) >= 36
    assert result.drops == {"filtered": 1}


def test_an_unsolicited_syn_is_forgotten_when_the_inside_host_calls_within_six_seconds(config):
    # facts/nat.md row 5382-4: drop it silently if the outbound SYN comes (simultaneous open, 5382-2).
    config["nat"]["filtering"] = "address-and-port-dependent"
    capture = Replay(config)
    sent = capture.inside("red", tcp(RED, 1000, X, 80))
    nat = capture.peek().one(sent).ip.source
    knock = capture.at(10).outside(tcp(Y, 5000, *nat, "S", sequence=9))
    call = capture.at(13).inside("red", tcp(RED, 1000, Y, 5000))
    again = capture.at(14).outside(tcp(Y, 5000, *nat, "S", sequence=9))
    capture.at(30).inside("red", udp(RED, 2, X, 2))
    result = capture.run(timers=True)
    result.none(knock)
    result.out(call, source=nat)
    result.into("red", again, destination=(RED, 1000))
    assert not [s for s in result.external if s.ip.protocol == 1]


def test_an_unsolicited_syn_is_not_answered_at_the_end_of_a_replay(config):
    # gateway.md "settled": never at drain of a replay.
    config["nat"]["filtering"] = "address-and-port-dependent"
    capture = Replay(config)
    sent = capture.inside("red", tcp(RED, 1000, X, 80))
    nat = capture.peek().one(sent).ip.source
    knock = capture.at(10).outside(tcp(Y, 5000, *nat, "S"))
    capture.at(15).inside("red", udp(RED, 2, X, 2))
    result = capture.run()
    result.none(knock)
    assert len(result.seen) == 2


def test_a_syn_to_a_port_without_a_mapping_gets_no_answer_at_all(config):
    # gateway.md "settled": other refusals are silent; the rule of six seconds is about live mappings.
    capture = Replay(config)
    capture.outside(tcp(Y, 5000, "203.0.113.16", 5000, "S"))
    capture.at(30).outside(udp(Y, 5000, "203.0.113.16", 5000))
    result = capture.run()
    assert result.seen == [] and result.drops == {"no-binding": 2}


@pytest.mark.parametrize("vpc, caller, address", [("red", RED_STATIC, RED_STATIC_EXTERNAL), ("blue", BLUE_STATIC, BLUE_STATIC_PEERING)], ids=["hairpin", "peering"])
def test_address_dependent_filtering_knows_inside_callers_by_their_public_addresses(config, vpc, caller, address):
    # facts/nat.md rows 4787-8, 4787-9: the mapping's owner has called this address, so it may answer from any port, although it is inside.
    config["nat"]["filtering"] = "address-dependent"
    capture = Replay(config)
    call = capture.inside("red", udp(RED, 1000, address, 53))
    nat = capture.peek().one(call).ip.source
    answer = capture.inside(vpc, udp(caller, 9999, *nat))
    result = capture.run()
    result.into("red", answer, source=(address, 9999), destination=(RED, 1000))


@pytest.mark.parametrize("mode", MODES)
def test_two_hosts_behind_one_gateway_meet_when_filtering_is_endpoint_independent_only(config, mode):
    # facts/nat.md rows 4787-8, 4787-9: each sends to the other's external endpoint. A listed deviation (docs/rfc-compliance.md): where the
    # callee's filter refuses a call, nothing is left of it, so the caller's own filter does not open either.
    config["nat"]["filtering"] = mode
    capture = Replay(config)
    opened = [capture.inside("red", udp(RED, 1000, X, 53)), capture.inside("red", udp(RED2, 2000, X, 53))]
    one, two = (capture.peek().one(sent).ip.source for sent in opened)
    calls = [(udp(RED, 1000, *two), one, (RED2, 2000)), (udp(RED2, 2000, *one), two, (RED, 1000))]
    sent = [(capture.inside("red", packet), source, host) for packet, source, host in calls * 2]
    result = capture.run()
    for packet, source, host in sent:
        if mode == "endpoint-independent":
            result.into("red", packet, source=source, destination=host)
        else:
            result.none(packet)
    assert result.drops == ({} if mode == "endpoint-independent" else {"filtered": 4})
