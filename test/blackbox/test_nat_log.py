"""Who had a public endpoint, and when: `nat.log` and port blocks (facts/nat.md rows 6888-12..15; gateway.md `nat.portBlockSize`, `nat.log`)."""

import json

import pytest

from frames import one_external_address
from harness import Replay, execute
from traffic import BLUE, RED, RED2, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, echo, outbound, tcp, udp

# RFC 8158 section 4, natEvent.
SESSION_CREATED, SESSION_DELETED, BLOCK_ALLOCATED, BLOCK_RELEASED = 4, 5, 16, 17


def log_of(outcome):
    """The log's records of NAT events, in order."""
    records = [json.loads(line) for line in outcome.stderr.splitlines() if line.startswith("{")]
    return [record for record in records if "natEvent" in record]


def run(config, capture):
    """Both modes of offload give the same outputs (judged) and the same log. @returns outcome, log"""
    result = capture.run()
    first, second = (log_of(execute(config, capture.packets, offload)) for offload in ("immediate", "never"))

    def comparable(records):
        return [{name: value for name, value in record.items() if name not in ("time", "pid", "hostname")} for record in records]

    assert comparable(first) == comparable(second)
    return result, first


def conversation(capture):
    """Flows of three hosts in two VPCs; the destinations are told apart from every address and port of the inside."""
    sent = [("red", RED, capture.inside("red", udp(RED, 1000 + number, X, 53))) for number in range(20)]
    sent += [("red", RED, capture.inside("red", tcp(RED, 1000, X2, 443))), ("red", RED, capture.inside("red", echo(RED, X, 9)))]
    sent += [("red", RED2, capture.inside("red", udp(RED2, 1000, X, 53))), ("blue", BLUE, capture.inside("blue", udp(BLUE, 1000, X, 53)))]
    return sent


@pytest.mark.parametrize("mode", ["blocks", "sessions"])
def test_the_log_never_tells_whom_a_host_talked_to(config, mode):
    # facts/nat.md row 6888-12: log without destinations.
    config["nat"]["log"] = mode
    capture = Replay(config)
    conversation(capture)
    capture.outside(udp(X2, 4444, RED_STATIC_EXTERNAL, 8))
    capture.at(8000).inside("red", udp(RED_STATIC, 1, X2, 4445))
    _, log = run(config, capture)
    assert log
    for record in log:
        assert not {str(value) for value in record.values()} & {X, X2, "53", "443", "4444", "4445"}, record
        assert not any("destination" in name.lower() for name in record), record


def test_without_a_log_nothing_is_logged(config):
    for mode in ("none", None):
        config["nat"].pop("log", None)
        if mode:
            config["nat"]["log"] = mode
        capture = Replay(config)
        conversation(capture)
        assert run(config, capture)[1] == []


def test_every_public_port_lies_in_a_block_that_was_logged_for_its_host_before(config):
    # facts/nat.md rows 6888-13, 6888-14: port blocks cut log volume, and each port's owner follows from the log alone.
    one_external_address(config)
    config["nat"].update(log="blocks", portBlockSize=16)
    capture = Replay(config)
    sent = conversation(capture)
    result, log = run(config, capture)
    assert {record["natEvent"] for record in log} == {BLOCK_ALLOCATED}
    for vpc, host, packet in sent:
        seen = result.one(packet).ip
        owners = {
            (record["vpc"], record["sourceIPv4Address"])
            for record in log
            if record["protocolIdentifier"] == seen.protocol
            and record["postNATSourceIPv4Address"] == seen.src
            and record["portRangeStart"] <= seen.source[1] <= record["portRangeEnd"]
        }
        assert owners == {(vpc, host)}
    assert all(record["portRangeEnd"] - record["portRangeStart"] == 15 for record in log)
    # Twenty datagram flows of one host fit two blocks of 16, and every other host and protocol has one.
    assert len(log) == 2 + 1 + 1 + 1 + 1


def test_a_block_is_released_when_its_ports_have_rested_and_only_then_serves_another_host(config):
    # facts/nat.md rows 6888-8, 6888-13: no two hosts' times in a block overlap.
    one_external_address(config, ports="5000-5015")
    config["nat"].update(log="blocks", portBlockSize=16)
    config["nat"]["timeouts"]["udp"] = 30
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    refused = [capture.at(seconds).inside("red", udp(RED2, 1000, X, 53)) for seconds in (1, 60, 148)]
    second = capture.at(152).inside("red", udp(RED2, 1000, X, 53))
    result, log = run(config, capture)
    assert result.one(first).port_name == result.one(second).port_name == "external"
    for packet in refused:
        result.refused(packet, 3, 13, "172.30.0.1", "red")
    events = [(record["natEvent"], record["sourceIPv4Address"]) for record in log]
    assert events == [(BLOCK_ALLOCATED, RED), (BLOCK_RELEASED, RED), (BLOCK_ALLOCATED, RED2)]
    start = log[0]["observationTimeSeconds"]
    assert [record["observationTimeSeconds"] - start >= least for record, least in zip(log, (0, 150, 150))] == [True] * 3


def test_a_session_log_has_one_line_for_each_beginning_and_each_end(config):
    # gateway.md `nat.log` "sessions": who had which endpoint from when until when, static bindings and inbound sessions too.
    config["nat"]["log"] = "sessions"
    config["nat"]["timeouts"]["udp"] = 30
    capture = Replay(config)
    dynamic = capture.inside("red", udp(RED, 1000, X, 53))
    capture.inside("red", udp(RED_STATIC, 7, X, 53))
    capture.outside(udp(X, 9999, RED_STATIC_EXTERNAL, 8))
    connection = outbound(capture).open()
    capture.at(31).inside("blue", echo(BLUE, X))
    result, log = run(config, capture)
    nat = result.one(dynamic).ip.source

    def lines(event):
        return sorted(
            (r["sourceIPv4Address"], r["sourceTransportPort"], r["postNATSourceIPv4Address"], r["postNAPTSourceTransportPort"])
            for r in log
            if r["natEvent"] == event and r["protocolIdentifier"] == 17
        )

    datagrams = sorted([(RED, 1000, *nat), (RED_STATIC, 7, RED_STATIC_EXTERNAL, 7), (RED_STATIC, 8, RED_STATIC_EXTERNAL, 8)])
    assert lines(SESSION_CREATED) == lines(SESSION_DELETED) == datagrams
    tcp_lines = [r for r in log if r["protocolIdentifier"] == 6]
    assert [(r["natEvent"], r["sourceTransportPort"], r["postNAPTSourceTransportPort"]) for r in tcp_lines] == [(SESSION_CREATED, 40000, connection.b_sees[1])]
    assert len(log) == 3 + 3 + 1 + 1


def test_blocks_exhaust_without_a_duplicate_and_withhold_static_tuples(config):
    # facts/nat.md §2 "exhaustion: no duplicate", "static tuples are never given to dynamic flows", with blocks.
    one_external_address(config, ports="5000-5015", vpcs=("red",))
    config["staticBindings"].append({"vpc": "red", "protocol": "udp", "private": "10.0.1.99:53", "external": "203.0.113.16:5003"})
    config["nat"].update(log="blocks", portBlockSize=8)
    capture = Replay(config)
    sent = [capture.inside("red", udp(host, 1000 + number, X, 53)) for number in range(9) for host in (RED, RED2, "10.0.1.9")]
    result, log = run(config, capture)
    used = [seen.ip.source for packet in sent for seen in result.of(packet) if seen.port_name == "external"]
    assert len(used) == len(set(used)) == 15 and ("203.0.113.16", 5003) not in used
    assert result.drops == {"pool-exhausted": len(sent) - 15}
    # Two blocks are two hosts'; the third host gets none.
    assert len({record["sourceIPv4Address"] for record in log}) == len(log) == 2
