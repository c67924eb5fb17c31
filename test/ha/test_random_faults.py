"""Faults drawn at random, one after another, while sessions are opened and asked for; HA_SECONDS of it (60), HA_SEED to repeat a run.

With HA_CONTROL=no-native-limit.cjs it must fail: the lcores are never told to stop.
"""

import os
import random
import signal
import time

import pytest
from pair import LEASE_MS, Wires, eventually, now
from sessions import Sessions

LEASE = LEASE_MS / 1000
SESSIONS = 300


class World:
    def __init__(self, network, redis, member):
        self.network, self.redis, self.member = network, redis, member
        self.members = {node: self.begin(node, "gateway") for node in ("a", "b")}
        self.history = []

    def kill(self, draw):
        node = draw.choice("ab")
        self.members[node].kill()
        time.sleep(draw.random() * 2)
        self.members[node] = self.begin(node, draw.choice(["gateway", "standby"]))
        return node

    def begin(self, node, command):
        return self.member(node, command, settings={"holdDownMs": 500}, control=os.environ.get("HA_CONTROL"))

    def stop_and_go_on(self, draw):
        node = draw.choice("ab")
        self.members[node].signal(signal.SIGSTOP)
        time.sleep(draw.random() * 2.5)
        self.members[node].signal(signal.SIGCONT)
        return node

    def cut(self, draw):
        node = draw.choice("ab")
        self.network.cut("mgmt", node)
        time.sleep(draw.random() * 2.5)
        self.network.mend("mgmt", node)
        return node

    def flap(self, draw):
        for _ in range(4):
            self.network.cut("mgmt", "a")
            time.sleep(draw.random() * 0.3)
            self.network.mend("mgmt", "a")
            time.sleep(draw.random() * 0.3)

    def cut_direct(self, draw):
        self.network.cut_direct()
        time.sleep(draw.random() * 2)
        self.network.gateways["a"].ip("link set peer0 up")

    def stop_redis(self, draw):
        self.redis.process.send(signal.SIGSTOP)
        time.sleep(draw.random() * 3)
        self.redis.process.send(signal.SIGCONT)

    def empty_redis(self, draw):
        self.redis.kill()
        time.sleep(draw.random())
        self.redis.begin()

    def switch_over(self, _draw):
        for one in self.members.values():
            if (one.status_or_none() or {}).get("role") == "active":
                return one.ask("/v1/ha/switchover", "POST")[0]
        return None

    def one_serves(self):
        """One is active and through, the other one eligible. @returns the statuses"""

        def probe():
            statuses = [one.status_or_none() for one in self.members.values()]
            if None in statuses:
                return None
            roles = sorted((status["role"], status["failoverState"], status["eligible"]) for status in statuses)
            return statuses if roles[0][:2] == ("active", "E2E_CONN_DONE") and roles[1] == ("standby", "INIT", True) else None

        return eventually(f"one serves and the other stands by after {self.history[-3:]}", probe, 40, 0.1)


@pytest.mark.long
def test_whatever_fails_one_after_another_no_endpoint_has_two_owners_and_none_is_lost(network, redis, member, tmp_path):
    seed = int(os.environ.get("HA_SEED", time.time()))
    draw = random.Random(seed)
    end = now() + float(os.environ.get("HA_SECONDS", "60"))
    world = World(network, redis, member)
    world.one_serves()
    faults = [world.kill, world.stop_and_go_on, world.cut, world.flap, world.cut_direct, world.stop_redis, world.empty_redis, world.switch_over]
    sessions = Sessions(network, SESSIONS)
    epoch = 0
    try:
        while now() < end:
            wires = Wires(network, tmp_path / f"wires-{len(world.history)}")
            fault = draw.choice(faults)
            world.history.append((fault.__name__, fault(draw)))
            statuses = world.one_serves()
            sessions.ask_again()
            told = f"seed {seed}: {world.history}"
            # What Redis had acknowledged is there: the sessions are older than a flush.
            assert (sessions.changed(), sessions.shared()) == ([], []), told
            after = max(status["epoch"] for status in statuses)
            assert after >= epoch, told
            epoch = after
            assert alternations(wires.stop()) <= 3, told
            sizes = [one["sessions"] for one in statuses]
            assert abs(sizes[0] - sizes[1]) <= 5, f"{sizes} {told}"
    finally:
        sessions.close()
    print(f"seed {seed}: {len(world.history)} faults, epoch {epoch}")


def alternations(seen):
    """How often what is sent outside changes from one gateway to the other; two that speak at once alternate all the time."""
    return sum(1 for before, after in zip(seen, seen[1:], strict=False) if before.node != after.node)
