"""facts/nat.md §10, "Bugs that bit others (each deserves a named test)": those that have no place in another file.

Elsewhere: out-of-ports rollback, uneven port ranges, port 65535, all hosts on the first address (test_ports_and_pools); a packet on an expired
session (test_timeouts); stray ACK/RST (test_tcp_states); inner IP of ICMP errors, the router's source (test_icmp); negative zero, zero UDP
checksum (test_checksums); the hairpin loop (test_hairpin); cross-tenant collision (test_external_dynamic).
"""

import time

from frames import one_external_address
from harness import THOROUGH, Replay, execute
from traffic import RED, RED2, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, echo, other, outbound, tcp, udp


def test_a_session_is_not_used_after_it_ended_even_if_its_row_serves_another(config):
    # §10 "use of a session after free": rows are few, flows come and go, and each late packet meets what is there now.
    config["nat"].update(maxSessions=4, portReuseDelay=0)
    config["nat"]["timeouts"].update(udp=10)
    one_external_address(config)
    capture = Replay(config)
    sent = []
    for turn in range(12):
        capture.at(turn * 11)
        for number in range(4):
            host = f"10.0.1.{20 + (turn + number) % 7}"
            sent.append(capture.inside("red" if turn % 2 else "blue", udp(host, 1000 + turn, X, 53)))
            sent.append(capture.inside("red" if turn % 2 else "blue", udp(host, 1000 + turn, X, 53, b"again")))
    result = capture.run(THOROUGH)
    for first, second in zip(sent[::2], sent[1::2]):
        nat = result.one(first).ip.source
        result.out(first, source=nat)
        result.out(second, source=nat)
    assert len(result.flows) == 4 and result.drops == {}


def test_late_replies_to_rows_that_serve_other_flows_now_reach_nobody(config):
    # §10 "use of a session after free", seen from outside.
    config["nat"].update(maxSessions=1)
    config["nat"]["timeouts"].update(udp=10)
    capture = Replay(config)
    old = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(old).ip.source
    new = capture.at(11).inside("blue", udp("10.0.2.7", 2000, X, 53))
    late = capture.outside(udp(X, 53, *nat))
    result = capture.run()
    assert result.one(new).port_name == "external"
    result.none(late)
    assert result.drops == {"no-binding": 1}


def test_a_long_idle_session_does_not_keep_others_from_expiring(config):
    # §10 "one long idle session blocked eviction".
    one_external_address(config, ports="5000-5001")
    config["nat"]["portReuseDelay"] = 0
    capture = Replay(config)
    long_lived = outbound(capture, inside=(RED, 1)).open()
    capture.inside("red", tcp(RED, 2, X, 80))
    freed = capture.at(241).inside("red", tcp(RED, 3, X, 80))
    alive = long_lived.from_b("A", b"still here")
    result = capture.run()
    assert result.one(freed).port_name == "external" and result.one(alive).vni == 100
    assert result.drops == {}


def test_a_packet_on_an_expired_tcp_session_makes_a_new_one_when_it_is_a_syn(config):
    # §10 "a packet on an expired session dropped instead of making a new one".
    capture = Replay(config)
    capture.inside("red", tcp(RED, 1000, X, 80))
    capture.inside("red", udp(RED, 1000, X, 80))
    capture.inside("red", echo(RED, X, 1000))
    capture.at(1000)
    anew = [capture.inside("red", packet) for packet in (tcp(RED, 1000, X, 80, sequence=77), udp(RED, 1000, X, 80), echo(RED, X, 1000))]
    stale = capture.inside("red", tcp(RED, 1001, X, 80, "A"))
    result = capture.run(THOROUGH)
    for sent in anew:
        result.out(sent, source=result.one(sent).ip.source)
    result.none(stale)
    assert len(result.flows) == 3 and all(flow["ageMs"] < 10 for flow in result.flows)


def test_exhaustion_floods_neither_the_log_nor_the_processor(config):
    # §10 "log flood on exhaustion", "retries burned CPU on exhaustion".
    one_external_address(config, ports="5000-5000")
    for log in ("none", "sessions"):
        config["nat"]["log"] = log
        capture = Replay(config)
        capture.inside("red", udp(RED, 1, X, 53))
        for number in range(2000):
            capture.inside("red", udp(RED2, 1000 + number, X, 53))
        before = time.monotonic()
        outcome = execute(config, capture.packets, "immediate")
        took = time.monotonic() - before
        assert outcome.drops == {"pool-exhausted": 2000}
        assert len(outcome.stderr.splitlines()) < 100, outcome.stderr[:2000]
        assert took < 20


def test_flows_that_differ_in_what_is_matched_and_not_in_values_stay_apart(config):
    # §10 "rule identity hashed values but not masks": zero ports, zero identifiers and protocols without ports, between the same addresses.
    capture = Replay(config)
    out = [
        capture.inside("red", udp(RED_STATIC, 0, X, 0)),
        capture.inside("red", tcp(RED_STATIC, 0, X, 0)),
        capture.inside("red", echo(RED_STATIC, X, 0)),
        capture.inside("red", other(RED_STATIC, X, 47, b"\0" * 30)),
        capture.inside("red", other(RED_STATIC, X, 50, b"\0" * 30)),
        capture.inside("red", udp(RED_STATIC, 0, X2, 0)),
    ]
    again = [capture.inside("red", sent.packet) for sent in out]
    back = [
        capture.outside(udp(X, 0, RED_STATIC_EXTERNAL, 0)),
        capture.outside(tcp(X, 0, RED_STATIC_EXTERNAL, 0, "SA")),
        capture.outside(echo(X, RED_STATIC_EXTERNAL, 0, reply=True)),
        capture.outside(other(X, RED_STATIC_EXTERNAL, 47)),
        capture.outside(other(X, RED_STATIC_EXTERNAL, 50)),
        capture.outside(udp(X2, 0, RED_STATIC_EXTERNAL, 0)),
    ]
    result = capture.run(THOROUGH)
    for sent in out + again:
        result.out(sent, source=(RED_STATIC_EXTERNAL, None))
    for sent in back:
        result.into("red", sent, destination=(RED_STATIC, None))
    assert [(flow["forward"]["packets"], flow["reverse"]["packets"]) for flow in result.flows] == [(2, 1)] * 6


def test_a_flow_that_comes_back_after_a_packet_too_many_hops_old_is_still_translated(config):
    # §10, "use of a session after free" and TTL together: an expired TTL neither makes nor ends a session.
    capture = Replay(config)
    expired = capture.inside("red", udp(RED, 1000, X, 53, ttl=1))
    fine = capture.inside("red", udp(RED, 1000, X, 53))
    again_expired = capture.inside("red", udp(RED, 1000, X, 53, ttl=1))
    still = capture.inside("red", udp(RED, 1000, X, 53))
    result = capture.run()
    for sent in (expired, again_expired):
        result.refused(sent, 11, 0, "172.30.0.1", "red")
    assert result.out(fine, source=result.one(fine).ip.source).ip.source == result.one(still).ip.source
