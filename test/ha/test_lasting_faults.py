"""Faults that stay while the pair works: a NIC that refuses rules, a pool most of which is in quarantine, one failure within another."""

import pytest
from pair import FAR_ADDRESS, configuration, eventually
from topology import Pings

SESSIONS = 1000


def kept(sessions):
    sessions.ask_again()
    assert (sessions.changed(), sessions.shared()) == ([], [])


def has_them(standby, count=SESSIONS):
    standby.wait_until("has the sessions", lambda status: status["eligible"] and status["sessions"] >= count)


@pytest.mark.long
def test_41_a_nic_that_refuses_one_rule_in_a_hundred_leaves_those_flows_to_software(network, member, many, tmp_path):
    ports = configuration(tmp_path)["ports"]
    for port in ports.values():
        port["device"] += ",fail_every=100"
    active = member("a", ports=ports)
    active.wait_until_active()
    standby = member("b", "standby", ports=ports)
    standby.wait_until_eligible()
    sessions = many(SESSIONS)
    has_them(standby)
    for one in (active, standby):
        paths = [flow[way]["path"] for flow in one.flows() for way in ("forward", "reverse")]
        # Both installed the same sessions; each NIC refused some of them.
        assert SESSIONS * 0.01 < paths.count("failed") < SESSIONS * 0.1, (one.node, {path: paths.count(path) for path in set(paths)})
        assert paths.count("offloaded") > 1.9 * SESSIONS
    active.kill()
    standby.wait_until_active(15)
    kept(sessions)


@pytest.mark.long
def test_45_redis_loses_all_and_the_active_one_dies_before_it_is_filled_anew(network, redis, pair, many):
    active, standby = pair
    sessions = many(SESSIONS)
    has_them(standby)
    redis.kill()
    redis.begin()
    active.kill()
    taken = standby.wait_until_active(20)
    # What it had loaded it still has, though nobody can tell it any more.
    assert taken["sessions"] >= SESSIONS
    assert taken["epoch"] >= 2
    kept(sessions)


@pytest.mark.long
def test_45_one_that_forgets_what_redis_has_lost_has_other_endpoints_for_them(redis, member, many):
    active = member("a")
    active.wait_until_active()
    standby = member("b", "standby", control="takes-over-with-nothing.cjs")
    sessions = many(SESSIONS)
    has_them(standby)
    redis.kill()
    redis.begin()
    active.kill()
    standby.wait_until_active(20)
    sessions.ask_again()
    assert len(sessions.changed()) > 0.9 * SESSIONS


def crowd(network, member, many):
    """A pool of 1024 ports; sessions that nobody knows of own most of them when their gateway dies. @returns who took over, those sessions"""
    small = {
        "externalPools": [{"name": "internet", "vpcs": ["red"], "ranges": ["203.0.113.20"], "ports": "2048-3071"}],
        "nat": {"portBlockSize": 64},
        "ha": {"leaseMs": 3000},
    }
    active = member("a", **small)
    active.wait_until_active()
    standby = member("b", "standby", **small)
    standby.wait_until_eligible()
    known = many(600)
    has_them(standby, 600)
    active.wait_until("has reserved its ports", lambda status: status["portBlocks"]["unreserved"] == 0)
    network.cut("mgmt", "a")
    active.kill()
    standby.wait_until("serves", lambda status: status["failoverState"] == "E2E_CONN_DONE", 20)
    return standby, known


@pytest.mark.long
def test_47_a_pool_in_quarantine_refuses_new_sessions_and_serves_the_old_ones(network, member, many):
    standby, known = crowd(network, member, many)
    status = standby.status()
    assert status["portBlocks"]["quarantined"] >= 600 / 64
    pings = Pings(network.red, FAR_ADDRESS, interval=0.05)
    eventually("ICMP has blocks of its own", lambda: len(pings.replies()) > 5)
    pings.stop()
    # 1024 ports, 600 in use: as many again cannot be had, and none of them at the price of another's.
    known.more(600)
    eventually("some are refused", lambda: standby.counters()["drops"].get("pool-exhausted", 0) > 50)
    assert known.shared() == []
    known.others.pop().kill()
    kept(known)
