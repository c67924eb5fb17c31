"""First packets that wait for the mirror (`mirror.mode`): whose session survives the loss of the gateway that opened it."""

import signal
import time
from pathlib import Path

import pytest
from pair import LEASE_MS, REDIS_ADDRESS, eventually

MODES = ("defer-open", "defer-closed")
SESSIONS = 3000
SLOW_PORT, SLOW_MS = 6380, 4
SLOW_WAY = Path(__file__).resolve().parent / "slow_way.py"


def slow_redis(network, mode, delay=SLOW_MS):
    """A mirror behind a way that takes `delay` ms each way; as changes of a configuration."""
    network.store.start("/usr/bin/python3", SLOW_WAY, REDIS_ADDRESS, SLOW_PORT, REDIS_ADDRESS, 6379, delay)
    eventually("the slow way listens", lambda: f":{SLOW_PORT}" in network.store.run("ss -Hltn"))
    return {"mirror": {"redis": f"redis://{REDIS_ADDRESS}:{SLOW_PORT}", "mode": mode}}


def pair_of(member, changes):
    active = member("a", **changes)
    # With defer-closed the probe passes once there is a standby.
    active.wait_until("serves", lambda status: status["failoverState"] in ("DONE", "E2E_CONN_DONE"))
    standby = member("b", "standby", **changes)
    standby.wait_until_eligible()
    active.wait_until("is protected", lambda status: status["protection"] == "PROTECTED")
    return active, standby


def test_a_first_probe_that_fails_is_repeated_until_it_passes(member):
    # With defer-closed a gateway alone lets no first packet out, the probe's neither.
    changes = {"mirror": {"redis": f"redis://{REDIS_ADDRESS}:6379", "mode": "defer-closed"}, "settings": {"probe": {"everyMs": 0}}}
    active = member("a", **changes)
    status = active.wait_until("has failed a probe", lambda status: any(one["check"] == "probe" for one in status["health"]))
    assert status["failoverState"] == "DONE"
    assert [one["ok"] for one in status["health"] if one["check"] == "probe"] == [False]
    member("b", "standby", **changes)
    active.wait_until_active()


def killed_while_sessions_open(network, member, many, mode, delay=SLOW_MS):
    """@returns the sessions, each of which has been answered again by the standby that took over"""
    active, standby = pair_of(member, slow_redis(network, mode, delay))
    sessions = many(SESSIONS, wait=False)
    eventually("some have left", lambda: len(sessions.seen()) > SESSIONS / 10, pause=0.001)
    active.kill()
    standby.wait_until("serves", lambda status: status["failoverState"] in ("DONE", "E2E_CONN_DONE"), 20)
    if mode == "defer-closed":
        member("a", "standby", **standby.changes)
    sessions.wait_until_open()
    sessions.ask_again()
    return sessions


def test_1_with_defer_closed_no_session_whose_first_packet_has_left_is_lost(network, member, many):
    sessions = killed_while_sessions_open(network, member, many, "defer-closed")
    assert (sessions.changed(), sessions.shared()) == ([], [])


@pytest.mark.long
def test_1_with_defer_open_next_to_none_is_lost(network, member, many):
    sessions = killed_while_sessions_open(network, member, many, "defer-open")
    # Those that a busy machine kept waiting for longer than 20 ms.
    assert len(sessions.changed()) < SESSIONS / 50
    assert sessions.shared() == []


@pytest.mark.long
def test_1_with_async_those_of_the_last_moments_are_lost(network, member, many):
    sessions = killed_while_sessions_open(network, member, many, "async", 100)
    assert sessions.changed() != []
    assert sessions.shared() == []


def refused(active):
    return active.counters()["drops"].get("not-mirrored", 0)


@pytest.mark.long
def test_24_without_redis_defer_open_goes_on_and_defer_closed_refuses(network, redis, member, many):
    for mode in MODES:
        active, standby = pair_of(member, {"mirror": {"mode": mode}})
        redis.process.send(signal.SIGSTOP)
        sessions = many(20, wait=False)
        if mode == "defer-open":
            sessions.wait_until_open()
            assert refused(active) == 0
        else:
            eventually("first packets are dropped", lambda active=active: refused(active) > 20)
            assert sessions.seen() == []
        redis.process.send(signal.SIGCONT)
        sessions.wait_until_open()
        sessions.close()
        active.kill()
        standby.kill()
        redis.command("FLUSHALL")
        time.sleep(LEASE_MS / 1000)


@pytest.mark.long
def test_52_with_the_standby_dead_defer_open_goes_on_and_defer_closed_refuses(redis, member, many):
    for mode in MODES:
        active, standby = pair_of(member, {"mirror": {"mode": mode}})
        standby.kill()
        active.wait_until("misses its standby", lambda status: status["protection"] == "DEGRADED")
        sessions = many(20, wait=False)
        if mode == "defer-open":
            sessions.wait_until_open()
        else:
            eventually("first packets are dropped", lambda active=active: refused(active) > 20)
            assert sessions.seen() == []
            member("b", "standby", mirror={"mode": mode}).wait_until_eligible()
            sessions.wait_until_open()
        sessions.close()
        active.kill()
        redis.command("FLUSHALL")
        time.sleep(LEASE_MS / 1000)
