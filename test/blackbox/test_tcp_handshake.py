"""How a connection comes to be established, and comes to be again (facts/nat.md §3 "TCP", row 5382-2; gateway.md "settled")."""

import pytest

from harness import THOROUGH, Replay
from traffic import RED, RED_STATIC, RED_STATIC_EXTERNAL, X, inbound, outbound, tcp

TRANSITORY, ESTABLISHED = 240, 7440


def expiry(outcome):
    (flow,) = outcome.flows
    return flow["expiresInMs"] / 1000


def test_syn_syn_ack_and_ack_establish_a_connection(config):
    # facts/nat.md §3 "SYN, SYN-ACK, ACK → established": the dump's time to live tells which timer governs after each segment.
    capture = Replay(config)
    one = outbound(capture)
    one.syn()
    times = [expiry(capture.peek())]
    one.from_b("SA")
    times.append(expiry(capture.peek()))
    ack = one.from_a("A")
    times.append(expiry(capture.peek()))
    late = [capture.at(TRANSITORY * 4) and one.from_b("PA", b"from outside"), one.from_a("PA", b"from inside")]
    result = capture.run(THOROUGH)
    assert [round(seconds) for seconds in times] == [TRANSITORY, ESTABLISHED, ESTABLISHED]
    result.out(ack, source=one.b_sees)
    result.into("red", late[0], destination=one.a)
    result.out(late[1], source=one.b_sees)
    assert result.drops == {} and result.flow(protocol="tcp")["state"] == "established"


def test_a_lost_ack_and_a_retransmitted_syn_ack_still_establish_a_connection(config):
    # facts/nat.md §3 "lost ACK, retransmitted SYN-ACK still establishes": the ACK never passes the gateway, the answer comes three times.
    capture = Replay(config)
    one = outbound(capture)
    one.syn()
    answers = [one.from_b("SA")]
    for seconds in (1, 3):
        one.b_next -= 1
        answers.append(capture.at(seconds) and one.from_b("SA"))
    late = [capture.at(TRANSITORY * 2) and one.from_a("PA", b"request"), one.from_b("PA", b"response")]
    result = capture.run(THOROUGH)
    for sent in answers:
        result.into("red", sent, destination=one.a)
    result.out(late[0], source=one.b_sees)
    result.into("red", late[1], destination=one.a)
    assert result.drops == {}


def test_one_syn_from_outside_does_not_revive_a_closed_connection(config):
    # facts/nat.md §3 "CLOSING + one-sided SYN still expires; full handshake revives", the SYN being the outside's.
    capture = Replay(config)
    made = [inbound(capture, (RED_STATIC_EXTERNAL, 443), inside=(RED_STATIC, 443), remote=(X, 50000 + number)).open() for number in range(2)]
    revived, abandoned = made
    capture.at(10)
    for one in made:
        one.close()
    capture.at(100)
    for one in made:
        one.a_next, one.b_next = 70_000, 80_000
    syns = [one.from_a("S") for one in made]
    revived.from_b("SA")
    revived.from_a("A")
    alive = [capture.at(1000) and revived.from_a("PA", b"x"), revived.from_b("PA", b"y")]
    gone = [abandoned.from_a("PA", b"x"), abandoned.from_b("PA", b"y")]
    result = capture.run()
    for sent in syns + alive[:1]:
        result.into("red", sent, destination=(RED_STATIC, 443))
    result.out(alive[1], source=(RED_STATIC_EXTERNAL, 443))
    result.none(*gone)
    assert result.drops == {"not-syn": 2}


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_a_reset_in_answer_to_a_syn_is_delivered_and_a_new_try_opens_anew(config, side):
    # facts/nat.md §3 "RST from either side is delivered": connection refused, as a closed port answers; the same ports again at once.
    capture = Replay(config)
    if side == "inside":
        one = outbound(capture)
        one.syn()
    else:
        one = inbound(capture, (RED_STATIC_EXTERNAL, 443), inside=(RED_STATIC, 443))
        one.syn()
    refused = one.from_b("RA")
    one.a_next, one.b_next = 90_000, 95_000
    again, answer = one.from_a("S"), one.from_b("SA")
    one.from_a("A")
    late = capture.at(1000) and one.from_b("PA", b"open")
    result = capture.run(THOROUGH)
    for sent in (refused, answer, late):
        seen = result.one(sent)
        assert seen.ip.destination == one.a and seen.ip.source == one.a_sees
    assert result.one(again).ip.destination == one.b
    assert result.drops == {}


def test_segments_of_an_unknown_connection_leave_no_trace(config):
    # facts/nat.md §2 "a first TCP packet that is not a bare SYN drops, no session", seen afterwards: the tuple is free for its owner.
    capture = Replay(config)
    strays = [capture.inside("red", tcp(RED, 1000, X, 80, flags)) for flags in ("A", "SA", "RA", "FA", "PA")]
    syn = capture.inside("red", tcp(RED, 1000, X, 80))
    nat = capture.peek().one(syn).ip.source
    answer = capture.outside(tcp(X, 80, *nat, "SA"))
    result = capture.run(THOROUGH)
    result.none(*strays)
    result.into("red", answer, destination=(RED, 1000))
    flow = result.flow(protocol="tcp")
    assert (flow["forward"]["packets"], flow["reverse"]["packets"]) == (1, 1)
    assert result.drops == {"not-syn": len(strays)}
