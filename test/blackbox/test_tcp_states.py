"""TCP as the gateway follows it (gateway.md "settled"; facts/nat.md rows 5382-2, 5382-5, 7857 §2 and §3 "TCP").

Many connections share one capture; each test places its packets by time, opens all connections first and asks once for their endpoints.
"""

from frames import one_external_address
from harness import THOROUGH, Replay
from traffic import RED, RED_STATIC, RED_STATIC_EXTERNAL, X, inbound, outbound, tcp

TRANSITORY, ESTABLISHED = 240, 7440


def connections(capture, count, first_port=40000):
    """`count` connections of one host, their SYNs sent."""
    made = [outbound(capture, inside=(RED, first_port + number)) for number in range(count)]
    syns = [one.from_a("S") for one in made]
    for one, syn in zip(made, syns):
        one.learn(syn)
    return made


def handshake(*made):
    for one in made:
        one.from_b("SA")
    for one in made:
        one.from_a("A")


def test_an_established_connection_outlives_the_transitory_time_and_ends_when_idle(config):
    # facts/nat.md §3 "an idle established session outlives the transitory time", row 5382-5; "settled": for TCP any valid packet of an
    # established session refreshes.
    capture = Replay(config)
    made = connections(capture, 5)
    idle, refreshed_out, refreshed_in, outlived, ended = made
    handshake(*made)
    alive = [capture.at(1000) and outlived.from_b("PA", b"after the transitory time")]
    capture.at(5000)
    outward = refreshed_out.from_a("PA", b"out")
    alive.append(refreshed_in.from_b("PA", b"in"))
    alive.append(capture.at(ESTABLISHED - 0.5) and idle.from_b("PA", b"just in time"))
    gone = [capture.at(ESTABLISHED + 1.5) and ended.from_b("PA", b"too late")]
    capture.at(5000 + ESTABLISHED - 0.5)
    alive += [refreshed_out.from_b("A"), refreshed_in.from_b("A")]
    gone.append(capture.at(1000 + ESTABLISHED + 5000) and outlived.from_b("A"))
    result = capture.run(THOROUGH)
    for sent in alive:
        assert result.one(sent).vni == 100
    assert result.one(outward).vni is None
    result.none(*gone)
    assert result.drops == {"no-binding": 2}


def test_a_connection_that_nobody_answers_ends_after_the_transitory_time(config):
    # gateway.md "settled": established when a SYN was seen both ways; before that the transitory time holds.
    capture = Replay(config)
    in_time, too_late, answered_only = connections(capture, 3)
    answered = [answered_only.from_b("SA")]
    answered.append(capture.at(TRANSITORY - 0.5) and in_time.from_b("SA"))
    late = capture.at(TRANSITORY + 0.5) and too_late.from_b("SA")
    # A lost ACK does not matter: a SYN was seen both ways.
    answered.append(capture.at(1000) and answered_only.from_b("PA", b"data although the ACK was lost"))
    result = capture.run()
    for sent in answered:
        assert result.one(sent).vni == 100
    result.none(late)
    assert result.drops == {"no-binding": 1}


def test_a_retransmitted_syn_or_syn_ack_still_establishes(config):
    # facts/nat.md §3 "lost ACK, retransmitted SYN-ACK still establishes".
    capture = Replay(config)
    (one,) = connections(capture, 1)
    one.a_next -= 1
    one.from_a("S")
    one.from_b("SA")
    one.b_next -= 1
    one.from_b("SA")
    one.from_a("A")
    data = [capture.at(1000) and one.from_a("PA", b"x"), one.from_b("PA", b"y")]
    result = capture.run()
    assert len(result.seen) == len(capture.packets) and result.drops == {}
    assert [result.one(sent).port_name for sent in data] == ["external", "fabric"]


def test_both_sides_may_open_at_once(config):
    # facts/nat.md row 5382-2: all valid TCP sequences, simultaneous open included.
    capture = Replay(config)
    (one,) = connections(capture, 1)
    one.from_b("S")
    one.a_next -= 1
    one.from_a("SA")
    one.b_next -= 1
    one.from_b("SA")
    data = [capture.at(1000) and one.from_b("PA", b"established"), one.from_a("A")]
    result = capture.run()
    assert len(result.seen) == len(capture.packets) and result.drops == {}
    assert result.one(data[0]).vni == 100


def test_a_reset_from_either_side_is_delivered_and_the_session_ends_after_the_transitory_time(config):
    # facts/nat.md §3 "RST from either side is delivered, then transitory", row 7857 §2; §10 "stray ACK/RST kept zombies".
    capture = Replay(config)
    made = connections(capture, 4)
    handshake(*made)
    from_inside, from_outside, zombie, before_answer = made
    capture.at(10)
    delivered = [from_inside.from_a("RA"), from_outside.from_b("R"), zombie.from_b("RA"), before_answer.from_a("R")]
    for seconds in (100, 200):
        capture.at(seconds)
        zombie.from_b("R")
        zombie.from_b("RA")
    gone = [capture.at(10 + TRANSITORY + 1) and from_inside.from_b("PA", b"x")]
    gone += [from_outside.from_b("PA", b"x"), zombie.from_b("PA", b"x"), before_answer.from_b("PA", b"x")]
    result = capture.run()
    assert [result.one(sent).port_name for sent in delivered] == ["external", "fabric", "fabric", "external"]
    result.none(*gone)
    # The stray RSTs themselves may pass or not; what came after the session's end has no binding.
    assert result.drops["no-binding"] == 4


def test_stray_acks_after_a_reset_do_not_keep_the_session_alive(config):
    # facts/nat.md §10 "stray ACK/RST kept zombies". Such an ACK itself may pass or be refused as tcp-state.
    capture = Replay(config)
    (one,) = connections(capture, 1)
    handshake(one)
    capture.at(10)
    one.from_a("R")
    for seconds in (50, 100, 150, 200, 249):
        capture.at(seconds)
        one.from_b("A")
    gone = capture.at(10 + TRANSITORY + 1) and one.from_b("A")
    result = capture.run()
    result.none(gone)
    assert set(result.drops) <= {"tcp-state", "no-binding"} and result.drops["no-binding"] == 1


def test_after_fin_from_both_sides_the_last_packets_pass_and_then_the_session_goes(config):
    # facts/nat.md §3 "FIN both sides, either first, simultaneous: retransmitted FIN/ACK still pass; after the transitory time ACK drops".
    capture = Replay(config)
    made = connections(capture, 3)
    handshake(*made)
    inside_first, outside_first, at_once = made
    capture.at(10)
    inside_first.close()
    outside_first.from_b("FA")
    outside_first.from_a("A")
    outside_first.from_a("FA")
    outside_first.from_b("A")
    at_once.from_a("FA")
    at_once.from_b("FA")
    at_once.from_a("A")
    at_once.from_b("A")
    for one in made:
        one.a_next -= 1
        one.from_a("FA")
        one.b_next -= 1
        one.from_b("FA")
    passed = len(capture.packets)
    capture.at(10 + TRANSITORY + 1)
    gone = [one.from_b("A") for one in made] + [one.from_a("A") for one in made]
    result = capture.run(THOROUGH)
    assert len(result.seen) == passed
    result.none(*gone)
    assert result.drops == {"no-binding": 3, "not-syn": 3}


def test_one_side_that_has_finished_may_go_on_receiving(config):
    # gateway.md "settled": a first FIN starts the transitory time only with the other side's FIN.
    capture = Replay(config)
    made = connections(capture, 2)
    handshake(*made)
    capture.at(10)
    made[0].from_a("FA")
    made[0].from_b("A")
    made[1].from_b("FA")
    made[1].from_a("A")
    capture.at(1000)
    made[0].from_b("PA", b"the answer takes its time")
    made[0].from_a("A")
    made[1].from_a("PA", b"the request too")
    made[1].from_b("A")
    result = capture.run()
    assert len(result.seen) == len(capture.packets) and result.drops == {}


def test_a_closed_connection_is_revived_by_a_full_handshake_and_not_by_one_syn(config):
    # facts/nat.md §3 "CLOSING + one-sided SYN still expires; full handshake revives".
    capture = Replay(config)
    made = connections(capture, 2)
    revived, abandoned = made
    handshake(*made)
    capture.at(10)
    revived.close()
    abandoned.close()
    capture.at(100)
    for one in made:
        one.a_next, one.b_next = 70_000, 80_000
    syns = [revived.from_a("S"), abandoned.from_a("S")]
    revived.from_b("SA")
    revived.from_a("A")
    alive = capture.at(1000) and revived.from_b("PA", b"alive")
    gone = abandoned.from_b("SA")
    result = capture.run()
    assert [result.one(syn).port_name for syn in syns] == ["external", "external"]
    # The revived session keeps the mapping it has; else the answers would not have come in.
    assert result.one(alive).vni == 100
    result.none(gone)
    assert result.drops == {"no-binding": 1}


def test_a_first_syn_may_ask_for_ecn_and_carry_data(config):
    # gateway.md "settled": bare SYN: ECE and CWR allowed. Data on a SYN is valid TCP (5382-2; RFC 7413).
    capture = Replay(config)
    ecn = capture.inside("red", tcp(RED, 1000, X, 80, "SEC"))
    fast_open = capture.inside("red", tcp(RED, 1001, X, 80, "S", b"early data"))
    into = capture.outside(tcp(X, 1000, RED_STATIC_EXTERNAL, 80, "SEC"))
    result = capture.run()
    result.out(ecn, source=result.one(ecn).ip.source)
    result.out(fast_open, source=result.one(fast_open).ip.source)
    result.into("red", into, destination=(RED_STATIC, 80))


def test_connections_from_outside_follow_the_same_states(config):
    # gateway.md "settled" on TCP; the initiator is outside, the binding static.
    capture = Replay(config)
    made = [inbound(capture, (RED_STATIC_EXTERNAL, 443), inside=(RED_STATIC, 443), remote=(X, 50000 + n)) for n in range(3)]
    syns = [one.from_a("S") for one in made]
    for one, syn in zip(made, syns):
        one.learn(syn)
    idle, closed, unanswered = made
    handshake(idle, closed)
    capture.at(10)
    closed.close()
    capture.at(10 + TRANSITORY + 1)
    gone = [closed.from_a("A"), closed.from_b("A"), unanswered.from_b("SA"), unanswered.from_a("A")]
    alive = [capture.at(1000) and idle.from_a("PA", b"x"), idle.from_b("A")]
    result = capture.run()
    result.none(*gone)
    assert result.one(alive[0]).vni == 100 and result.one(alive[1]).port_name == "external"
    assert result.drops == {"not-syn": 4}


def test_the_timeouts_of_tcp_are_configured(config):
    # gateway.md `nat.timeouts`: tcpEstablished, tcpTransitory, in seconds.
    config["nat"]["timeouts"].update(tcpEstablished=1000, tcpTransitory=20)
    capture = Replay(config)
    made = connections(capture, 4)
    established, established_late, _, _ = made
    handshake(established, established_late)
    half = [capture.at(19.5) and made[2].from_b("SA")]
    late = [capture.at(20.5) and made[3].from_b("SA")]
    half.append(capture.at(999.5) and established.from_b("A"))
    late.append(capture.at(1000.5) and established_late.from_b("A"))
    result = capture.run()
    for sent in half:
        assert result.one(sent).vni == 100
    result.none(*late)


def test_a_port_whose_connection_was_reset_rests_before_another_gets_it(config):
    # "settled" and facts/nat.md row 7857 §2: after RST state is kept four minutes; row 6888-8: then the port rests.
    one_external_address(config, ports="5000-5000")
    capture = Replay(config)
    (one,) = connections(capture, 1)
    handshake(one)
    one.from_b("R")
    kept = capture.at(TRANSITORY - 5) and capture.inside("red", tcp(RED, 41000, X, 80))
    resting = capture.at(TRANSITORY + 60) and capture.inside("red", tcp(RED, 41000, X, 80))
    free = capture.at(TRANSITORY + 122) and capture.inside("red", tcp(RED, 41000, X, 80))
    result = capture.run()
    for sent in (kept, resting):
        result.refused(sent, 3, 13, "172.30.0.1", "red")
    result.out(free, source=("203.0.113.16", 5000))
