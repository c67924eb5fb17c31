"""Faults, and what must hold after each, seen from outside. The numbers are those of docs/ha.md.

Each protection has its negative control beside it: the same fault without the protection, where the same witness must find the harm.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from pair import FAR_ADDRESS, LEASE_MS, NODES, REDIS_ADDRESS, REDIS_PORT, VIRTUAL_MAC, Wires, eventually, hook_at, now
from topology import RED, Pings, all_answered, ping

LEASE = LEASE_MS / 1000
NEVER = {"offload": {"mode": "never"}}


@pytest.fixture
def pings(network):
    """Echo requests from the VPC's host every 10 ms, all test long."""
    started = Pings(network.red, FAR_ADDRESS, interval=0.01)
    yield started
    started.stop()


@pytest.fixture
def wires(network, tmp_path):
    return Wires(network, tmp_path / "wires")


def pair_of(member, first=None, second=None):
    active = member("a", **(first or {}))
    active.wait_until_active()
    standby = member("b", "standby", **(second or {}))
    standby.wait_until_eligible()
    return active, standby


def two_speakers(seen):
    """Packets that one gateway sent after another had begun to speak, planned hand-overs aside: who spoke first never speaks again."""
    first = {}
    for packet in seen:
        first.setdefault(packet.node, packet.at)
    return [packet for packet in seen if any(node != packet.node and began > first[packet.node] and packet.at > began for node, began in first.items())]


def served(pings):
    """Waits until echo requests are answered again."""
    count = len(pings.replies())
    eventually("replies", lambda: len(pings.replies()) > count + 5)


# 3: SIGSTOP beyond the lease, then CONT.


def stopped_and_continued(active, standby, pings, wires, stop=signal.SIGSTOP):
    served(pings)
    active.signal(stop)
    standby.wait_until_active()
    served(pings)
    active.signal(signal.SIGCONT)
    time.sleep(0.5)
    served(pings)
    return wires.stop()


def test_3_a_gateway_that_was_stopped_beyond_its_lease_sends_nothing_when_it_goes_on(member, pings, wires):
    active, standby = pair_of(member, NEVER, NEVER)
    seen = stopped_and_continued(active, standby, pings, wires)
    assert {packet.node for packet in seen} == {"a", "b"}
    assert two_speakers(seen) == []
    active.wait_until_eligible()
    assert active.counters()["drops"]["not-active"] > 0


# Whichever of its threads runs first decides what a gateway without the limit does; here it is the lcore, with its
# backlog of frames, while the event loop is busy.


def test_3_it_sends_nothing_before_its_event_loop_has_looked_either(member, pings, wires):
    active, standby = pair_of(member, {"control": "stop-then-block.cjs", **NEVER}, NEVER)
    seen = stopped_and_continued(active, standby, pings, wires, stop=signal.SIGUSR2)
    assert {packet.node for packet in seen} == {"a", "b"}
    assert two_speakers(seen) == []


def test_3_without_the_native_limit_it_does_send(member, pings, wires):
    active, standby = pair_of(member, {"control": ("no-native-limit.cjs", "stop-then-block.cjs"), **NEVER}, NEVER)
    assert two_speakers(stopped_and_continued(active, standby, pings, wires, stop=signal.SIGUSR2)) != []


# 4: the event loop is blocked for 3 s while the data plane lives.


def blocked(active, standby, pings, wires):
    served(pings)
    active.signal(signal.SIGUSR2)
    standby.wait_until_active()
    served(pings)
    active.wait_until_eligible()
    return wires.stop()


def test_4_a_blocked_event_loop_does_not_keep_the_lcore_speaking(member, pings, wires):
    active, standby = pair_of(member, {"control": "block-event-loop.cjs"})
    seen = blocked(active, standby, pings, wires)
    assert {packet.node for packet in seen} == {"a", "b"}
    assert two_speakers(seen) == []


# 7, 8: the gateway that takes over dies on the way.


@pytest.mark.long
@pytest.mark.parametrize("stage", ["START", "VIP_ACQUIRED"])
def test_7_and_8_a_gateway_that_dies_while_it_takes_over_is_followed_too(network, member, tmp_path, pings, stage):
    active, standby = pair_of(member, None, {"settings": hook_at(stage, "kill -9 $PPID", tmp_path)})
    served(pings)
    active.kill()
    assert standby.process.wait(10) == -signal.SIGKILL
    again = member("a")
    assert again.wait_until_active()["epoch"] == 3
    served(pings)


@pytest.mark.long
def test_7_nobody_follows_where_a_holder_of_the_lease_counts_as_alive_for_ever(network, member, tmp_path, pings):
    active, standby = pair_of(member, None, {"settings": hook_at("START", "kill -9 $PPID", tmp_path)})
    served(pings)
    active.kill()
    assert standby.process.wait(10) == -signal.SIGKILL
    again = member("a", control="holder-never-silent.cjs")
    again.wait_until("is up", lambda status: status["health"] != [])
    time.sleep(5 * LEASE)
    assert again.status()["role"] == "standby"
    assert not all_answered(network.red, FAR_ADDRESS, seconds=1)


# 12: a Redis that was replaced goes on taking writes on the active gateway's side.


def replaced_for_the_standby(network, redis, tmp_path, standby, least_replicas=0):
    """A replica becomes the master for the standby alone. Neither Redis hears the other any more. @returns the replica"""
    redis.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    redis.command("CONFIG", "SET", "min-replicas-max-lag", "2")
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = network.redis(folder, "--replicaof", REDIS_ADDRESS, str(REDIS_PORT), port=6390)
    eventually("the replica has all", lambda: "master_link_status:up" in replica.command("INFO", "replication"))
    redis.command("CONFIG", "SET", "min-replicas-to-write", str(least_replicas))
    replica.command("REPLICAOF", "NO", "ONE")
    network.lead_elsewhere("b", 6390)
    for client in redis.command("CLIENT", "LIST").splitlines():
        fields = dict(field.split("=", 1) for field in client.split())
        if fields["addr"].startswith(NODES["b"][0]):
            redis.command("CLIENT", "KILL", "ID", fields["id"])
    standby.wait_until("leads by the new master", lambda status: status["epoch"] == 2 and status["role"] == "active", 15)
    return replica


@pytest.mark.long
def test_12_who_leads_by_an_old_master_of_redis_gives_way_to_a_newer_epoch(network, redis, member, many, pings, tmp_path):
    active, standby = pair_of(member)
    sessions = many(1000)
    standby.wait_until("has the sessions", lambda status: status["sessions"] >= 1000)
    replica = replaced_for_the_standby(network, redis, tmp_path, standby)
    active.wait_until("gives way", lambda status: status["role"] == "standby", 5)
    served(pings)
    sessions.ask_again()
    assert (sessions.changed(), sessions.shared()) == ([], [])
    assert int(redis.command("HGET", "{pair}:lease", "epoch")) == 1  # It could have gone on: that master took its renewals.
    replica.kill()


@pytest.mark.long
def test_12_one_that_does_not_hear_of_the_newer_epoch_goes_on(network, redis, member, tmp_path):
    active, standby = pair_of(member)
    network.cut_direct()
    replica = replaced_for_the_standby(network, redis, tmp_path, standby)
    time.sleep(2 * LEASE)
    assert [one.status()["role"] for one in (active, standby)] == ["active", "active"]
    replica.kill()


@pytest.mark.long
def test_12_an_old_master_that_needs_a_replica_takes_no_renewals(network, redis, member, tmp_path):
    active, standby = pair_of(member)
    network.cut_direct()
    replica = replaced_for_the_standby(network, redis, tmp_path, standby, least_replicas=1)
    active.wait_until("falls silent", lambda status: status["role"] == "standby", 10)
    assert "NOREPLICAS" in redis.command("SET", "any", "value")
    replica.kill()


# 13, 14, 16, 17: what is cut off from what.


@pytest.mark.long
def test_13_an_active_gateway_that_alone_loses_redis_is_silent_before_the_other_speaks(network, member, pings, wires):
    active, standby = pair_of(member)
    served(pings)
    network.cut("mgmt", "a")
    cut = now()
    standby.wait_until_active()
    served(pings)
    assert now() - cut < 2.5 * LEASE
    assert two_speakers(wires.stop()) == []
    network.mend("mgmt", "a")
    active.wait_until_eligible()
    assert (active.status()["epoch"], standby.status()["role"]) == (2, "active")


@pytest.mark.long
def test_13_without_the_native_limit_it_speaks_to_whoever_reaches_it(network, member, pings, wires):
    active, standby = pair_of(member, {"control": "no-native-limit.cjs"})
    served(pings)
    network.cut("mgmt", "a")
    standby.wait_until_active()
    # The hosts reach the one, then the other: as if they were behind two switches.
    for mine, others in (("b", "a"), ("a", "b")):
        for what in ("fab", "ext"):
            network.cut(what, others)
            network.mend(what, mine)
        served(pings)
    assert two_speakers(wires.stop()) != []


@pytest.mark.long
def test_14_a_standby_that_loses_redis_is_not_eligible_until_redis_answers(network, member, pings):
    active, standby = pair_of(member)
    network.cut("mgmt", "b")
    status = standby.wait_until("is not eligible", lambda status: not status["eligible"], 5)
    assert "redis-down" in [reason["code"] for reason in status["reasons"]]
    time.sleep(2.5 * LEASE)
    assert not standby.status()["eligible"]
    with pytest.raises(AssertionError, match="does not report|not eligible"):
        active.cli("switchover")
    network.mend("mgmt", "b")
    standby.wait_until_eligible()
    assert active.status()["epoch"] == 1
    served(pings)


@pytest.mark.long
def test_16_the_loss_of_the_direct_way_moves_no_role(network, member, pings):
    active, standby = pair_of(member)
    network.cut_direct()
    active.wait_until("misses its peer", lambda status: status["peer"]["heard"] is False, 5)
    time.sleep(2 * LEASE)
    assert (active.status()["role"], standby.status()["role"]) == ("active", "standby")
    served(pings)


@pytest.mark.long
def test_16_a_gateway_that_goes_by_heartbeats_alone_takes_the_role(network, member):
    active, standby = pair_of(member, None, {"control": "peer-silence-is-death.cjs"})
    network.cut_direct()
    assert standby.wait_until("has taken the role", lambda status: status["epoch"] == 2, 10)["role"] == "active"


def isolate(network, active, standby, pings, wires):
    served(pings)
    network.cut_direct()
    network.cut("mgmt", "a")
    standby.wait_until_active()
    time.sleep(0.5)
    return two_speakers(wires.stop())


@pytest.mark.long
def test_17_an_active_gateway_without_redis_and_peer_falls_silent(network, member, pings, wires):
    active, standby = pair_of(member)
    # Old and new must both be reached: hosts' frames are flooded to them.
    assert isolate(network, active, standby, pings, wires) == []
    assert active.status()["role"] == "standby"


@pytest.mark.long
def test_17_told_to_go_on_in_isolation_it_does_not(network, member, wires):
    active, standby = pair_of(member, {"settings": {"onIsolation": "continue"}})
    flood = Pings(network.red, FAR_ADDRESS, interval=0.01)
    served(flood)
    network.cut_direct()
    network.cut("mgmt", "a")
    standby.wait_until_active()
    flood.stop()
    # A host behind another switch still reaches the old one: its frames are not asked who is active.
    network.switches.ip("link set fab-b down")
    late = Pings(network.red, FAR_ADDRESS, interval=0.01)
    time.sleep(0.5)
    late.stop()
    seen = wires.stop()
    assert active.status()["role"] == "active"
    assert two_speakers(seen) != []


# 18, 19, 23: ways that are bad.


@pytest.mark.long
@pytest.mark.parametrize("deaf", ["a", "b"])
def test_18_heartbeats_that_are_heard_one_way_alone_keep_roles_or_end_them_but_never_double_them(network, redis, member, pings, wires, deaf):
    active, standby = pair_of(member)
    served(pings)
    network.deafen(deaf, "peer0")
    time.sleep(LEASE)
    assert (active.status()["role"], standby.status()["role"]) == ("active", "standby")
    # Now promises are needed, and cannot be asked for or cannot be heard: the active gateway falls silent.
    redis.kill()
    active.wait_until("falls silent", lambda status: status["role"] == "standby", 10)
    redis.begin()
    served(pings)
    seen = wires.stop()
    assert two_speakers(seen) == [] or len({packet.node for packet in seen}) == 1


@pytest.mark.long
def test_18_a_gateway_that_takes_heartbeats_for_promises_goes_on_though_nobody_has_promised(network, redis, member, pings):
    active, standby = pair_of(member, {"control": "heartbeat-is-promise.cjs"})
    network.deafen("b", "peer0")
    redis.kill()
    time.sleep(4 * LEASE)
    # The standby has heard nothing of that: with Redis back it may take over at any time.
    assert active.status()["role"] == "active"
    served(pings)


@pytest.mark.long
def test_19_a_way_to_redis_that_comes_and_goes_never_doubles_the_active_role(network, member, pings, wires):
    active, standby = pair_of(member)
    served(pings)
    for _ in range(8):
        network.cut("mgmt", "a")
        time.sleep(0.3)
        network.mend("mgmt", "a")
        time.sleep(0.4)
    eventually("roles are settled", lambda: sorted(one.status()["role"] for one in (active, standby)) == ["active", "standby"], 20)
    served(pings)
    assert two_speakers(wires.stop()) == []


@pytest.mark.long
def test_23_a_redis_that_takes_200_ms_more_moves_no_role_and_a_takeover_still_comes(network, member, pings):
    network.store.start("/usr/bin/python3", Path(__file__).with_name("slow_way.py"), REDIS_ADDRESS, 6380, REDIS_ADDRESS, 6379, 100)
    eventually("the slow way is open", lambda: ":6380" in network.store.run("ss -Hltn"))
    slow = {"mirror": {"redis": f"redis://{REDIS_ADDRESS}:6380"}}
    active, standby = pair_of(member, slow, slow)
    time.sleep(3 * LEASE)
    assert (active.status()["epoch"], active.status()["role"]) == (1, "active")
    served(pings)
    active.kill()
    assert standby.wait_until_active(15)["epoch"] == 2
    served(pings)


# 15: Redis is gone for both.


def test_15_without_redis_roles_stay_and_hosts_are_served(redis, member, pings):
    active, standby = pair_of(member)
    served(pings)
    before = len(pings.replies())
    redis.kill()
    time.sleep(4 * LEASE)
    assert (active.status()["role"], standby.status()["role"]) == ("active", "standby")
    assert not standby.status()["eligible"]
    assert active.status()["protection"] == "UNPROTECTED"
    assert len(pings.replies()) - before > 200  # falling silent would leave a quarter of that
    redis.begin()
    active.wait_until("has its lease again", lambda status: status["lease"]["holder"] == "a" and status["epoch"] == 1)
    standby.wait_until_eligible()
    assert active.status()["epoch"] == 1


@pytest.mark.long
def test_15_without_the_direct_way_the_active_gateway_falls_silent(redis, network, member, pings):
    active, standby = pair_of(member, {"settings": {"peer": None}}, {"settings": {"peer": None}})
    served(pings)
    redis.kill()
    active.wait_until("has stepped down", lambda status: status["role"] == "standby", 5)
    assert ping(network.red, FAR_ADDRESS, count=3, seconds=1)[0] == 3
    redis.begin()
    served(pings)


# 28: a wall clock jumps.


@pytest.mark.long
def test_28_a_wall_clock_that_jumps_by_hours_moves_no_role(member, pings):
    active, standby = pair_of(member, {"control": "shift-wall-clock.cjs"}, {"control": "shift-wall-clock.cjs"})
    for one in (active, standby, active, standby, standby):
        one.signal(signal.SIGUSR2)
        time.sleep(LEASE / 2)
    assert (active.status()["role"], standby.status()["eligible"], active.status()["epoch"]) == ("active", True, 1)
    active.kill()
    assert standby.wait_until_active(15)["epoch"] == 2
    served(pings)


@pytest.mark.long
def test_28_leases_by_the_wall_clock_end_with_it(member):
    active, standby = pair_of(member, {"control": "leases-by-wall-clock.cjs"})
    for _ in range(2):
        active.signal(signal.SIGUSR2)
        time.sleep(LEASE / 2)
    standby.wait_until("has taken the role", lambda status: status["epoch"] == 2, 10)


# 38, 39: settings.


@pytest.mark.long
def test_38_a_bad_ha_config_is_refused_and_reported_and_the_old_one_stays(member):
    active = member("a")
    before = active.wait_until_active()["configHash"]
    for bad in ("{", '{"schema":1,"renewMs":"x"}', '{"schema":1,"node":"z"}', '{"schema":1,"holdDown":1}'):
        active.write_settings(bad)
        status = active.wait_until("reports it", lambda status: not check(status, "config")["ok"], 5)
        assert status["configHash"] == before and status["role"] == "active"
        eventually("the monitor's file tells", lambda: not check(active.result(), "config")["ok"])
        active.write_settings(active.settings)
        active.wait_until("is well again", lambda status: check(status, "config")["ok"], 5)
    active.write_settings({**active.settings, "holdDownMs": 77})
    active.wait_until("echoes the new hash", lambda status: status["configHash"] != before, 5)


def check(status, name):
    return next((one for one in status["health"] if one["check"] == name), {"ok": True})


# 42: gratuitous ARP is lost.


@pytest.mark.long
@pytest.mark.parametrize(("times", "heals"), [(10, True), (1, False)], ids=["repeated", "said once"])
def test_42_lost_gratuitous_arp_is_said_again(network, member, times, heals):
    settings = {"settings": {"announce": {"times": times}, "probe": {"everyMs": 0}}}
    active, standby = pair_of(member, None, settings)
    eventually("the static address answers", lambda: all_answered(network.outside, "203.0.113.10"))
    network.switches.run("bridge", "link", "set", "dev", "ext-b", "state", "0")
    active.kill()
    standby.wait_until_active(15)
    time.sleep(0.3)
    network.switches.run("bridge", "link", "set", "dev", "ext-b", "state", "3")
    time.sleep(2)
    assert (network.learned_from(VIRTUAL_MAC, "br-ext") == "ext-b") is heals
    assert all_answered(network.outside, "203.0.113.10", seconds=1) is heals


# 44: failback right after failover.


@pytest.mark.long
@pytest.mark.parametrize(("hold_down", "stays"), [(60_000, True), (300, False)], ids=["held down", "not held down"])
def test_44_a_preferred_gateway_that_comes_back_waits(member, hold_down, stays):
    settings = {"settings": {"preempt": True, "holdDownMs": hold_down}}
    active, standby = pair_of(member, settings, {"settings": {"holdDownMs": hold_down}})
    active.kill()
    standby.wait_until_active(15)
    again = member("a", "gateway", **settings)
    again.wait_until("is up", lambda status: status["eligible"] or status["role"] == "active")
    if stays:
        time.sleep(2 * LEASE)
        assert standby.status()["role"] == "active"
    else:
        assert again.wait_until_active(15)["epoch"] == 3


# 49: the result file cannot be written, nor the epoch's.


@pytest.mark.long
def test_49_an_unwritable_result_file_is_reported_and_harms_nothing(network, member, tmp_path):
    active = member("a", start=False)
    place = active.folder / "ha_monitor_result.json"
    place.mkdir()
    (place / "in the way").write_text("", encoding="ascii")
    active.start()
    status = active.wait_until("says so", lambda status: status["failoverState"] == "E2E_CONN_DONE" and not check(status, "files")["ok"])
    assert status["role"] == "active"
    assert eventually("a reply", lambda: all_answered(network.red, FAR_ADDRESS))
    assert [name for name in os.listdir(active.folder) if "result" in name] == ["ha_monitor_result.json"]
    (place / "in the way").unlink()
    place.rmdir()
    active.wait_until("says that it can be written again", lambda status: check(status, "files")["ok"])
    assert active.result()["failoverState"] == "E2E_CONN_DONE"


@pytest.mark.long
def test_49_an_epoch_that_cannot_be_kept_is_reported_until_it_is_on_disk(member):
    active = member("a", start=False, settings={"epochFile": "disk/epoch"})
    (active.folder / "disk").symlink_to("not mounted")
    active.start()
    active.wait_until_active()
    time.sleep(1)  # Checks are made four times a second: the failure must not be forgotten by the next one.
    assert not check(active.status(), "files")["ok"]
    (active.folder / "not mounted").mkdir()
    status = active.wait_until("says that it can be written", lambda status: check(status, "files")["ok"])
    assert json.loads((active.folder / "disk" / "epoch").read_text(encoding="ascii")) == {"group": "pair", "epoch": status["epoch"]}


@pytest.mark.long
def test_49_a_gateway_that_does_not_look_after_its_result_file_dies_of_it(member):
    active = member("a", start=False, control="result-file-throws.cjs")
    place = active.folder / "ha_monitor_result.json"
    place.mkdir()
    (place / "in the way").write_text("", encoding="ascii")
    active.start()
    assert active.process.wait(20) != 0


@pytest.mark.long
def test_a_vpc_whose_routes_lead_to_its_hosts_alone_is_probed_from_an_address_that_is_told(member):
    routed = [{"prefix": f"10.0.1.{last}/32", "vtep": RED.vtep, "mac": RED.inner_mac} for last in (7, 250)]
    vpc = {"name": "red", "vni": RED.vni, "subnets": [RED.subnet], "routes": routed}
    active = member("a", vpcs=[vpc], staticBindings=[])
    status = active.wait_until("says why it is not probed", lambda status: not check(status, "probe")["ok"])
    assert status["failoverState"] == "DONE"
    assert "10.0.1.255" in check(status, "probe")["detail"] and "probe.source" in check(status, "probe")["detail"]
    active.write_settings({**active.settings, "probe": {"source": "10.0.1.250"}})
    active.wait_until_active()


# 50: two actives booted at once.


def test_50_of_two_gateways_that_start_at_once_one_leads(member, pings, wires):
    both = [member("a"), member("b")]
    eventually("one is active", lambda: any((one.status_or_none() or {}).get("failoverState") == "E2E_CONN_DONE" for one in both), 25)
    time.sleep(1.5 * LEASE)
    roles = sorted(one.status()["role"] for one in both)
    assert roles == ["active", "standby"]
    served(pings)
    assert len({packet.node for packet in wires.stop()}) == 1
    assert {one.status()["epoch"] for one in both} == {1}


@pytest.mark.long
def test_50_where_everybody_gets_the_lease_both_win_it(member):
    both = [member(node, control="lease-for-all.cjs") for node in ("a", "b")]
    for one in both:
        eventually(f"{one.node} wins it", lambda one=one: any(record["to"] == "START" for record in one.records("failover state")), 25)


@pytest.mark.long
def test_50_two_gateways_of_one_name_are_told(member):
    active = member("a")
    active.wait_until_active()
    twin = member("b", settings={"node": "a"})
    twin.wait_until("is told", lambda status: "node-name-taken" in [reason["code"] for reason in status["reasons"]])
