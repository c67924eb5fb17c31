"""A gateway that mirrors its sessions to a Redis in its own namespace: shown from there, filled again when Redis lost it all."""

import copy
import json
import socket
import time

import pytest

from net import eventually
from topology import FAR_ADDRESS, RED, SHARED_HOST, SLUICE, Pings, all_answered, ping

PORT = 16379
URL = f"redis://127.0.0.1:{PORT}"
# What a session is, whoever tells it; paths, counters and times are the gateway's own.
IDENTITY = ("id", "class", "vpc", "protocol", "state", "inside", "nat", "remote", "underlay")


class Redis:
    def __init__(self, network, folder):
        self.network, self.folder = network, folder
        self.process = None
        self.start()

    def start(self):
        command = ["redis-server", "--port", PORT, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
        self.process = self.network.gateway.start(*map(str, command))
        eventually("Redis answers", lambda: "PONG" in self.cli("ping"))

    def cli(self, *arguments):
        try:
            return self.network.gateway.run("redis-cli", "-p", str(PORT), *map(str, arguments))
        except Exception as failed:  # pylint: disable=broad-except
            return str(failed)

    def kill(self):
        self.process.kill()


@pytest.fixture
def redis(network, tmp_path):
    network.gateway.ip("link set lo up")
    server = Redis(network, tmp_path)
    yield server
    server.kill()


@pytest.fixture
def mirrored(config, tmp_path):
    changed = copy.deepcopy(config)
    changed["control"]["socket"] = str(tmp_path / "gw.sock")
    changed["mirror"] = {"redis": URL}
    return changed


def identities(flows):
    return sorted(json.dumps({name: flow[name] for name in IDENTITY}) for flow in flows)


def shown_by_the_mirror(network, *arguments):
    return json.loads(network.gateway.run(SLUICE, "flows", "--redis", URL, "--format", "json", *arguments))


def mirror_of(gateway):
    return json.loads(gateway.get("/v1/mirror"))


def is_protected(gateway):
    return mirror_of(gateway)["protection"] == "PROTECTED"


def tcp(network, port):
    listener = network.outside.listen(FAR_ADDRESS, port)
    client = network.red.socket(bind=(SHARED_HOST, 0))
    client.connect((FAR_ADDRESS, port))
    server, _ = listener.accept()
    return client, server


def test_flows_of_the_mirror_are_those_of_the_socket_and_outlive_the_gateway(start, network, mirrored, redis):
    gateway = start(mirrored)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    eventually("protection", lambda: is_protected(gateway))
    kept = tcp(network, 9701)
    client, server = tcp(network, 9702)
    for end in (client, server):
        end.shutdown(socket.SHUT_RDWR)
    eventually("both ends of the closed one", lambda: any(flow["state"] == "fin-both" for flow in gateway.sessions()))
    eventually("the same", lambda: identities(shown_by_the_mirror(network)) == identities(gateway.sessions()))
    flows = gateway.sessions()
    assert {flow["state"] for flow in flows} >= {"established", "fin-both"}
    for told, known in zip(*(sorted(all_flows, key=lambda flow: flow["id"]) for all_flows in (shown_by_the_mirror(network), gateway.sessions()))):
        assert abs(told["expiresInMs"] - known["expiresInMs"]) < 5000, (told, known)
        assert abs(told["ageMs"] - known["ageMs"]) < 5000, (told, known)
    only = shown_by_the_mirror(network, "--filter", "proto tcp and vpc red")
    assert len(only) == len(kept) == 2 and all(flow["vpc"] == RED.name for flow in only)
    gateway.kill()
    assert identities(shown_by_the_mirror(network)) == identities(flows)


def test_a_redis_that_dies_and_comes_back_empty_costs_traffic_nothing_and_is_filled_again(start, network, mirrored, redis):
    gateway = start(mirrored)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    eventually("protection", lambda: is_protected(gateway))
    tcp(network, 9703)
    pings = Pings(network.red, FAR_ADDRESS)
    eventually("replies", lambda: len(pings.replies()) > 5)
    redis.kill()
    eventually("it is seen", lambda: mirror_of(gateway)["protection"] == "UNPROTECTED")
    assert [reason["code"] for reason in mirror_of(gateway)["reasons"]][0] == "redis-down"
    tcp(network, 9704)
    lost, _ = ping(network.red, FAR_ADDRESS, count=5)
    assert lost == 0
    redis.start()
    eventually("protection again", lambda: is_protected(gateway), 10)
    eventually("all of it", lambda: identities(shown_by_the_mirror(network)) == identities(gateway.sessions()))
    replies = pings.replies()
    pings.stop()
    assert replies == list(range(1, len(replies) + 1))
    assert gateway.stop() == 0


def test_a_redis_that_is_not_there_keeps_no_gateway_from_running_or_ending(start, network, mirrored):
    gateway = start(mirrored)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    assert mirror_of(gateway)["protection"] == "UNPROTECTED"
    started = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - started < 5
