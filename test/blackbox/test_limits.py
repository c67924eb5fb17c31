"""Limits and exhaustion (gateway.md `vpcs[].limits`, `nat.maxSessions`, "settled"; facts/nat.md rows 5508-8, 6888-4/5, §7)."""

from frames import one_external_address, vpc_of
from harness import THOROUGH, Replay
from traffic import BLUE, BLUE_STATIC_PEERING, RED, RED2, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, echo, tcp, udp


def test_a_vpc_at_its_limit_of_sessions_is_refused_and_harms_no_other(config):
    # gateway.md limits.sessions, vpc-limit; facts/nat.md §7 "one VPC at its limit never harms another"; §2 "the reverse half of an admitted
    # pair is not" refused.
    vpc_of(config, "red")["limits"] = {"sessions": 3}
    config["nat"]["timeouts"]["udp"] = 30
    capture = Replay(config)
    admitted = [capture.inside("red", udp(f"10.0.1.{host}", 1000, X, 53)) for host in (10, 11)]
    admitted.append(capture.inside("red", udp("10.0.1.11", 1000, X2, 53)))
    refused = [capture.inside("red", packet) for packet in (udp(RED, 1000, X, 53), tcp(RED2, 1000, X, 53), echo("10.0.1.12", X))]
    refused.append(capture.inside("red", udp("10.0.1.13", 1000, BLUE_STATIC_PEERING, 53)))
    blue = [capture.inside("blue", udp(BLUE, 1000 + number, X, 53)) for number in range(6)]
    first = capture.peek()
    back = [capture.outside(udp(X, 53, *first.one(admitted[0]).ip.source))]
    after = capture.at(31).inside("red", udp(RED, 1000, X, 53))
    result = capture.run(THOROUGH)
    for sent in admitted + blue + [after]:
        result.out(sent, source=result.one(sent).ip.source)
    result.into("red", back[0], destination=("10.0.1.10", 1000))
    for sent in refused:
        # "settled": exhaustion and limits: ICMP destination unreachable code 13 to the inside host; here each is another host's first.
        result.refused(sent, 3, 13, "172.30.0.1", "red")
    assert result.drops == {"vpc-limit": 4}


def test_a_private_address_at_its_limit_is_refused_and_harms_no_other(config):
    # gateway.md limits.sessionsPerAddress, address-limit; "settled": limits count sessions.
    vpc_of(config, "red")["limits"] = {"sessionsPerAddress": 2}
    capture = Replay(config)
    admitted = [capture.inside("red", udp(RED, 1000, X, 53)), capture.inside("red", udp(RED, 1000, X2, 53))]
    refused = capture.inside("red", tcp(RED, 2000, X, 80))
    others = [capture.inside("red", udp(RED2, 1000 + number, X, 53)) for number in range(2)]
    elsewhere = [capture.inside("blue", udp("10.0.1.7", 1000 + number, X, 53)) for number in range(4)]
    repeat = capture.inside("red", udp(RED, 1000, X, 53, b"again"))
    result = capture.run()
    for sent in admitted + others + elsewhere + [repeat]:
        result.out(sent, source=result.one(sent).ip.source)
    result.refused(refused, 3, 13, "172.30.0.1", "red")
    assert result.drops == {"address-limit": 1}


def test_new_sessions_are_limited_by_a_token_bucket_one_second_deep(config):
    # gateway.md limits.newSessionsPerSecond; "settled": the rate limit is a token bucket one second deep; buckets start full.
    vpc_of(config, "red")["limits"] = {"newSessionsPerSecond": 5}
    capture = Replay(config)
    port = iter(range(1000, 2000))

    def new(seconds, count):
        capture.at(seconds)
        return [capture.inside("red", udp(RED, next(port), X, 53)) for _ in range(count)]

    full, over = new(0, 5), new(0.05, 2)
    repeat = capture.inside("red", udp(RED, 1000, X, 53, b"a known flow needs no token"))
    blue = [capture.inside("blue", udp(BLUE, 1000 + number, X, 53)) for number in range(10)]
    # After more than a second the bucket is full again, and holds no more than one second's worth.
    refilled, over_again = new(10, 5), new(10.05, 1)
    # A token comes every 200 ms: at 10.23 s the sixth is there, the seventh is not.
    one, none = new(10.3, 1), new(10.31, 1)
    result = capture.run(THOROUGH)
    for sent in full + refilled + one + blue + [repeat]:
        assert result.one(sent).port_name == "external"
    for sent in over + over_again + none:
        assert not [seen for seen in result.of(sent) if seen.port_name == "external"]
    assert result.drops == {"rate-limit": 4}
    result.refused(over[0], 3, 13, "172.30.0.1", "red")


def test_a_full_session_table_refuses_new_flows_and_keeps_the_old(config):
    # gateway.md `nat.maxSessions` "may be as small as 1", table-full; facts/nat.md §2 "table at cap: new flow dropped, the reverse half of
    # an admitted pair is not".
    config["nat"]["maxSessions"] = 1
    capture = Replay(config)
    admitted = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(admitted).ip.source
    refused = [capture.inside("red", udp(RED2, 1000, X, 53)), capture.inside("blue", udp(BLUE, 1000, X, 53))]
    silent = capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53))
    back = capture.outside(udp(X, 53, *nat))
    again = capture.inside("red", udp(RED, 1000, X, 53))
    anew = capture.at(301).inside("red", udp(RED2, 1000, X, 53))
    result = capture.run(THOROUGH)
    for sent in (admitted, again):
        result.out(sent, source=nat)
    result.into("red", back, destination=(RED, 1000))
    # No code 13 is sent when the refused packet came from outside.
    result.none(silent)
    result.refused(refused[0], 3, 13, "172.30.0.1", "red")
    result.refused(refused[1], 3, 13, "172.30.0.1", "blue")
    assert result.one(anew).port_name == "external"
    assert result.drops == {"table-full": 3}


def test_code_13_is_sent_at_most_once_a_second_to_each_host(config):
    # gateway.md "settled": at most 1 per second and host; from `gatewayAddress` (else the VTEP), as other errors.
    one_external_address(config, ports="5000-5000")
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    capture.inside("red", udp("10.0.1.100", 1, X, 53))

    def refused(seconds, host, vpc="red"):
        capture.at(seconds)
        return [capture.inside(vpc, udp(host, 1000 + number, X, 53)) for number in range(3)]

    first, second, third = refused(0.1, RED), refused(0.15, RED2), refused(0.9, RED)
    later, same_address = refused(1.5, RED), refused(1.55, "10.0.1.7", "blue")
    result = capture.run(THOROUGH)
    for group, source, vpc in ((first, "10.0.1.1", "red"), (second, "10.0.1.1", "red"), (later, "10.0.1.1", "red"), (same_address, "172.30.0.1", "blue")):
        result.refused(group[0], 3, 13, source, vpc)
        result.none(*group[1:])
    result.none(*third)
    assert result.drops == {"pool-exhausted": 15}


def test_limits_hold_for_sessions_from_outside_but_are_not_answered_there(config):
    # "settled": limits count sessions; no code 13 is sent when the refused packet came from outside.
    vpc_of(config, "red")["limits"] = {"sessionsPerAddress": 1}
    capture = Replay(config)
    admitted = capture.outside(udp(X, 1, RED_STATIC_EXTERNAL, 53))
    refused = [capture.outside(udp(X, 2, RED_STATIC_EXTERNAL, 53)), capture.outside(tcp(X2, 2, RED_STATIC_EXTERNAL, 53))]
    own = capture.inside("red", udp(RED_STATIC, 7, X, 53))
    result = capture.run()
    result.into("red", admitted, destination=(RED_STATIC, 53))
    result.none(*refused)
    result.refused(own, 3, 13, "172.30.0.1", "red")
    assert result.drops == {"address-limit": 3}


def test_refusals_that_are_no_exhaustion_are_silent(config):
    # gateway.md "settled": other refusals are silent.
    capture = Replay(config)
    capture.inside("red", udp(RED, 1, "10.0.2.7", 2))
    capture.inside("red", udp(RED, 1, "203.0.113.31", 2))
    capture.inside("red", tcp(RED, 1, X, 2, "A"))
    capture.inside("red", udp(RED, 1, "100.64.2.3", 2))
    result = capture.run()
    assert result.seen == [] and sum(result.drops.values()) == 4


def test_what_is_refused_takes_no_port_and_no_place(config):
    # facts/nat.md §10 "out-of-ports rollback …": a refusal leaves nothing behind.
    one_external_address(config, ports="5000-5001")
    vpc_of(config, "red")["limits"] = {"sessionsPerAddress": 1}
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    for number in range(10):
        capture.inside("red", udp(RED, 2000 + number, X, 53))
    last = capture.inside("red", udp(RED2, 1000, X, 53))
    result = capture.run()
    # The host whose sessions are limited took one port of two (blocks may be a host's own: then the second host is refused for that).
    seen = result.one(last)
    assert seen.port_name == "external" or result.drops.get("pool-exhausted") == 1
    assert result.drops["address-limit"] == 10
