"""Faults and the sessions that must outlive them: every one that Redis had acknowledged, at the endpoint that the outside knows it by."""

import json
import signal
import time

import pytest
from pair import FAR_ADDRESS, LEASE_MS, eventually, hook_at
from topology import Pings, all_answered

LEASE = LEASE_MS / 1000
SESSIONS = 1000
NOTHING = "takes-over-with-nothing.cjs"


def kept(sessions):
    """Every session still has its endpoint, and no endpoint has had two."""
    sessions.ask_again()
    assert (sessions.changed(), sessions.shared()) == ([], [])


def lost(sessions):
    """Negative control of kept(): sessions that nobody knew of any more have other endpoints now, free ones."""
    sessions.ask_again()
    assert len(sessions.changed()) > 0.9 * SESSIONS


def has_them(standby):
    standby.wait_until("has the sessions", lambda status: status["eligible"] and status["sessions"] >= SESSIONS)


def test_1_killed_while_sessions_open_no_endpoint_gets_a_second_owner(pair, many):
    active, standby = pair
    sessions = many(SESSIONS * 5, wait=False)
    active.wait_until("has some", lambda status: status["sessions"] > SESSIONS)
    active.kill()
    standby.wait_until_active(15)
    sessions.wait_until_open()
    sessions.ask_again()
    assert sessions.shared() == []


def lose_records(network, member, many, control=None):
    """The sessions of a gateway that Redis never heard of are asked again after its standby has taken over. @returns them"""
    # Cut off, the gateway is to be active until all of them are open, however long that takes here.
    small = {
        "externalPools": [{"name": "internet", "vpcs": ["red"], "ranges": ["203.0.113.20"], "ports": "2048-5119"}],
        "nat": {"portBlockSize": 64},
        "ha": {"leaseMs": 10 * LEASE_MS},
    }
    active = member("a", **small)
    active.wait_until_active()
    standby = member("b", "standby", control=control, **small)
    standby.wait_until_eligible()
    network.cut("mgmt", "a")
    sessions = many(SESSIONS)
    assert active.status()["mirror"]["shards"][0]["redis"] < active.status()["sessions"] / 8
    # Stays cut: the kernel goes on sending what a process had written before it was killed.
    active.kill()
    taken = standby.wait_until_active(30)
    sessions.ask_again()
    # Redis had none of them: each has another endpoint now.
    assert len(sessions.changed()) > 0.9 * SESSIONS
    return sessions, taken


def test_1_ports_of_sessions_that_nobody_knows_of_are_given_to_nobody_else(network, member, many):
    sessions, taken = lose_records(network, member, many)
    assert sessions.shared() == []
    assert taken["portBlocks"]["quarantined"] > 0


@pytest.mark.long
def test_1_without_port_blocks_such_ports_get_a_second_owner(network, member, many):
    sessions, _ = lose_records(network, member, many, "no-port-blocks.cjs")
    assert sessions.shared() != []


@pytest.mark.long
def test_5_both_killed_the_first_to_come_back_has_the_sessions(member, pair, many):
    sessions = many(SESSIONS)
    has_them(pair[1])
    for one in pair:
        one.kill()
    again = member("a")
    assert again.wait_until_active()["sessions"] >= SESSIONS
    kept(sessions)


@pytest.mark.long
def test_5_one_that_comes_back_with_nothing_has_other_endpoints_for_them(member, pair, many):
    sessions = many(SESSIONS)
    has_them(pair[1])
    for one in pair:
        one.kill()
    member("a", control=NOTHING).wait_until_active()
    lost(sessions)


@pytest.mark.long
def test_6_a_standby_killed_while_it_loads_comes_back_and_harms_nobody(member, many):
    active = member("a")
    active.wait_until_active()
    sessions = many(SESSIONS)
    for _ in range(2):
        standby = member("b", "standby")
        eventually("it loads", lambda standby=standby: "mirror" in standby.log())
        standby.kill()
    standby = member("b", "standby")
    has_them(standby)
    active.kill()
    standby.wait_until_active(15)
    kept(sessions)


@pytest.mark.long
def test_6_a_standby_that_takes_over_with_nothing_has_other_endpoints_for_them(member, many):
    active = member("a")
    active.wait_until_active()
    sessions = many(SESSIONS)
    standby = member("b", "standby", control=NOTHING)
    has_them(standby)
    active.kill()
    standby.wait_until_active(15)
    lost(sessions)


def test_9_redis_restarted_empty_is_filled_anew_and_nothing_is_lost(redis, pair, many):
    active, standby = pair
    sessions = many(SESSIONS)
    has_them(standby)
    redis.kill()
    redis.begin()
    active.wait_until("is protected again", lambda status: status["protection"] == "PROTECTED" and status["epoch"] == 1)
    has_them(standby)
    active.kill()
    standby.wait_until_active(15)
    kept(sessions)


@pytest.mark.long
def test_24_a_redis_that_stands_still_stops_no_traffic_and_moves_no_role(network, redis, pair, many):
    active, standby = pair
    sessions = many(SESSIONS)
    pings = Pings(network.red, FAR_ADDRESS, interval=0.01)
    redis.process.send(signal.SIGSTOP)
    before = len(pings.replies())
    time.sleep(5 * LEASE)
    assert (active.status()["role"], standby.status()["role"]) == ("active", "standby")
    assert len(pings.replies()) - before > 250
    pings.stop()
    redis.process.send(signal.SIGCONT)
    active.wait_until("is protected again", lambda status: status["protection"] == "PROTECTED")
    has_them(standby)
    assert active.status()["epoch"] == 1
    active.kill()
    standby.wait_until_active(15)
    kept(sessions)


@pytest.mark.long
def test_37_a_standby_with_other_pools_never_takes_over(member, pair):
    active, standby = pair
    standby.kill()
    other = member("b", "standby", externalPools=[{"name": "internet", "vpcs": ["red"], "ranges": ["203.0.113.40-203.0.113.50"]}])
    status = other.wait_until("is told apart", lambda status: "config" in [reason["code"] for reason in status["reasons"]])
    assert not status["eligible"]
    active.kill()
    time.sleep(2.5 * LEASE)
    assert other.status()["failoverState"] == "INIT"


@pytest.mark.long
def test_39_settings_changed_during_a_failover_count_after_it(member, tmp_path):
    active = member("a")
    active.wait_until_active()
    standby = member("b", "standby", settings=hook_at("START", "sleep 0.5", tmp_path))
    before = standby.wait_until_eligible()["configHash"]
    active.kill()
    standby.wait_until("takes over", lambda status: status["failoverState"] == "START", 5)
    standby.write_settings({**standby.settings, "holdDownMs": 5})
    status = standby.wait_until_active(15)
    assert status["configHash"] != before


def test_a_gateway_that_handed_over_is_not_eligible_before_the_new_one_writes(member, tmp_path):
    before = member("a")
    before.wait_until_active()
    now_active = member("b", "standby", settings=hook_at("VIP_ACQUIRED", "sleep 1", tmp_path))
    now_active.wait_until_eligible()
    before.cli("switchover")
    now_active.wait_until("serves", lambda status: status["failoverState"] == "VIP_ACQUIRED", 5)
    seen = []
    while (status := before.status()) and now_active.status()["failoverState"] == "VIP_ACQUIRED":
        seen.append(status)
    assert seen and {(status["role"], status["eligible"]) for status in seen} == {("standby", False)}
    assert "not yet begun to write" in " ".join(reason["detail"] for reason in seen[-1]["reasons"])
    before.wait_until_eligible()


@pytest.mark.long
def test_40_a_standby_whose_nic_holds_few_rules_serves_the_rest_in_software(member, many):
    active = member("a")
    active.wait_until_active()
    standby = member("b", "standby", offload={"mode": "immediate", "maxRules": 100})
    sessions = many(SESSIONS)
    has_them(standby)
    assert standby.status()["rulesInstalled"] <= 100
    active.kill()
    standby.wait_until_active(15)
    kept(sessions)


def test_43_a_switchover_under_load_loses_no_session_and_next_to_no_packet(network, pair, many):
    active, standby = pair
    sessions = many(SESSIONS)
    has_them(standby)
    pings = Pings(network.red, FAR_ADDRESS, interval=0.005)
    eventually("replies", lambda: len(pings.replies()) > 20)
    took = json.loads(active.cli("switchover", "--json"))
    standby.wait_until_active()
    count = len(pings.replies())
    eventually("more replies", lambda: len(pings.replies()) > count + 50)
    pings.stop()
    replies = pings.replies()
    lost = max(replies) - len(set(replies))
    kept(sessions)
    print(f"switchover {took['tookMs']:.1f} ms, lost {lost} of {max(replies)} echo requests")
    assert lost <= 3
    has_them(active)


@pytest.mark.long
def test_43_a_hand_over_by_silence_loses_what_comes_meanwhile(network, member):
    active = member("a", control="hands-over-by-silence.cjs")
    active.wait_until_active()
    standby = member("b", "standby")
    standby.wait_until_eligible()
    pings = Pings(network.red, FAR_ADDRESS, interval=0.005)
    eventually("replies", lambda: len(pings.replies()) > 20)
    active.cli("switchover", "--json")
    standby.wait_until_active()
    count = len(pings.replies())
    eventually("more replies", lambda: len(pings.replies()) > count + 50)
    pings.stop()
    replies = pings.replies()
    assert max(replies) - len(set(replies)) > 20


@pytest.mark.long
def test_43_a_switchover_to_one_that_is_not_there_is_refused_and_harms_nothing(network, member):
    active = member("a")
    active.wait_until_active()
    with pytest.raises(AssertionError, match="does not report to Redis"):
        active.cli("switchover")
    assert active.status()["failoverState"] == "E2E_CONN_DONE"
    assert eventually("a reply", lambda: all_answered(network.red, FAR_ADDRESS))
