"""Who serves after what, with real hosts as witnesses."""

import os
import re

import pytest

from pair import FAR_ADDRESS, HOST, LEASE_MS, VIRTUAL_MAC, assert_valid, eventually, now
from topology import Pings, all_answered


def test_a_gateway_alone_takes_over_and_serves_its_hosts(network, member, tmp_path):
    active = member("a")
    status = active.wait_until_active()
    assert status["role"] == "active" and status["epoch"] == 1
    assert eventually("a reply", lambda: all_answered(network.red, FAR_ADDRESS))
    report = active.cli("status")
    for told in (r"^port blocks +[1-9]\d* own, 0 in quarantine, 0 unreserved$", r" \d+ ms behind$", r"^ +sessions that may be missing since: 0$"):
        assert re.search(told, report, re.MULTILINE), report
    assert eventually("the monitor's file says so", lambda: active.result()["failoverState"] == "E2E_CONN_DONE")
    assert_valid("ha-monitor-result.schema.json", active.folder / "ha_monitor_result.json")
    (tmp_path / "status.json").write_text(active.cli("status", "--json"), encoding="utf-8")
    assert_valid("ha-status.schema.json", tmp_path / "status.json")


def first_reply_after(pings, count):
    """Waits until more than `count` echo requests were answered. @returns when, by time.monotonic()"""
    eventually("the next reply", lambda: len(pings.replies()) > count, seconds=5, pause=0.001)
    return now()


def test_the_standby_takes_over_from_a_gateway_that_is_killed(network, pair):
    active, standby = pair
    pings = Pings(network.red, FAR_ADDRESS, interval=0.01)
    eventually("replies", lambda: len(pings.replies()) > 20)
    active.kill()
    killed = now()
    count = len(pings.replies())
    took = first_reply_after(pings, count + 2) - killed
    print(f"kill to first translated packet: {took * 1000:.0f} ms")
    pings.stop()
    status = standby.wait_until_active()
    # The figure is `npm run bench -- takeover`; here the machine may be busy.
    assert took < 3 * LEASE_MS / 1000, standby.log()
    assert status["epoch"] == 2
    assert network.learned_from(VIRTUAL_MAC, "br-fab") == "fab-b"
    print(standby.cli("status"))


def test_a_planned_switchover_and_back_loses_next_to_nothing(network, pair):
    a, b = pair
    pings = Pings(network.red, FAR_ADDRESS, interval=0.005)
    eventually("replies", lambda: len(pings.replies()) > 20)
    print(a.cli("switchover"))
    b.wait_until_active()
    a.wait_until_eligible()
    print(b.cli("switchover"))
    a.wait_until_active()
    pings.stop()
    sent = set(range(1, max(pings.replies()) + 1))
    lost = sorted(sent - set(pings.replies()))
    print(f"lost {len(lost)} of {len(sent)}: {lost}")
    assert a.status()["epoch"] == 3
    assert len(lost) <= 20


BIG_BYTES = 60_000_000
OPEN_SESSIONS = 10_000


@pytest.fixture
def web(network, tmp_path):
    """A web server outside with one large file."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(1 << 20) * (BIG_BYTES >> 20))
    server = network.outside.start("/usr/bin/python3", "-m", "http.server", "--bind", FAR_ADDRESS, "--directory", folder, 8080)
    eventually("the web server listens", lambda: f"{FAR_ADDRESS}:8080" in network.outside.run("ss -Hltn"))
    yield folder / "big"
    server.kill()


def test_a_download_goes_on_when_the_active_gateway_is_killed_amid_ten_thousand_sessions(network, pair, web, many, tmp_path):
    active, standby = pair
    sessions = many(OPEN_SESSIONS)
    standby.wait_until("has the sessions", lambda status: status["sessions"] >= OPEN_SESSIONS)
    target = tmp_path / "downloaded"
    curl = network.red.start("curl", "-sS", "--limit-rate", "12M", "--interface", HOST, "-o", target, f"http://{FAR_ADDRESS}:8080/big")
    eventually("the download is on its way", lambda: target.exists() and target.stat().st_size > BIG_BYTES // 10)
    active.kill()
    killed = now()
    size = target.stat().st_size
    eventually("it goes on", lambda: target.stat().st_size > size + 2_000_000, seconds=10, pause=0.001)
    took = now() - killed
    status = standby.wait_until_active(15)
    assert curl.wait(30) == 0, curl.errors()
    assert target.read_bytes() == web.read_bytes()
    # Each of the sessions from before still reaches its host, at the public endpoint that the outside knows it by.
    sessions.ask_again()
    assert (sessions.changed(), sessions.shared()) == ([], [])
    assert status["epoch"] >= 2  # A busy machine may cost it a lease of its own.
    print(f"kill to 2 MB more of the download: {took * 1000:.0f} ms, takeover {status['phases']}")


def test_sigterm_hands_over_before_the_gateway_goes(network, pair):
    active, standby = pair
    pings = Pings(network.red, FAR_ADDRESS, interval=0.01)
    eventually("replies", lambda: len(pings.replies()) > 20)
    assert active.stop() == 0
    status = standby.wait_until_active(15)
    assert "handed over" in standby.records("failover state")[-4]["cause"] and status["epoch"] == 2
    count = len(pings.replies())
    eventually("more replies", lambda: len(pings.replies()) > count + 20)
    pings.stop()
    replies = pings.replies()
    assert max(replies) - len(set(replies)) <= 3


@pytest.mark.long
def test_a_vip_is_answered_by_whoever_is_active_and_by_nobody_else(network, member):
    vip = {"ha": {"vip": {"address": "203.0.113.5/24"}}}
    active = member("a", **vip)
    active.wait_until_active()
    standby = member("b", "standby", **vip)
    standby.wait_until_eligible()
    assert eventually("the VIP answers outside", lambda: all_answered(network.outside, "203.0.113.5"))
    active.kill()
    standby.wait_until_active(15)
    assert eventually("the VIP answers again", lambda: all_answered(network.outside, "203.0.113.5"))
    standby.kill()
    network.outside.ip("neighbour flush all nud reachable nud stale nud delay nud probe nud failed nud incomplete")
    assert not all_answered(network.outside, "203.0.113.5", seconds=1)
