"""Gateways with MTUs and timeouts of their own, seen by tracepath, TCP transfers and netcat."""

import copy
import json
import os
import socket

import pytest

from net import eventually
from topology import FAR_ADDRESS, RED, SHARED_HOST, STATIC_EXTERNAL, STATIC_HOST, all_answered


def with_mtu(config, port, mtu, folder):
    changed = copy.deepcopy(config)
    changed["ports"][port]["mtu"] = mtu
    changed["control"]["socket"] = str(folder / "gw.sock")
    return changed


def test_a_vpc_host_learns_from_the_gateway_itself_that_the_outside_carries_less(start, network, config, tmp_path):
    start(with_mtu(config, "external", 1280, tmp_path))
    try:
        eventually("the first reply", lambda: all_answered(network.red, FAR_ADDRESS))
        report = network.red.run("tracepath", "-n", "-m", 6, FAR_ADDRESS, seconds=30)
        assert "Resume: pmtu 1280 hops 2" in report, report
        assert "mtu 1280" in network.red.ip("route", "get", FAR_ADDRESS, "from", SHARED_HOST)
    finally:
        network.red.ip("route flush cache")


def test_the_outside_learns_from_the_gateway_that_the_fabric_carries_less_by_tracepath_and_by_a_transfer(start, network, config, tmp_path):
    # 1500 bytes of underlay carry 1450 of a host's: 50 are the envelope's. The host behind it keeps 1500.
    gateway = start(with_mtu(config, "fabric", 1500, tmp_path))
    try:
        eventually("the first reply", lambda: all_answered(network.outside, STATIC_EXTERNAL))
        report = network.outside.run("tracepath", "-n", "-m", 6, STATIC_EXTERNAL, seconds=30)
        assert "Resume: pmtu 1450 hops 2" in report, report
        network.outside.ip("route flush cache")
        listener = network.red.listen(STATIC_HOST, 9601)
        client = network.outside.socket(bind=(FAR_ADDRESS, 0))
        client.connect((STATIC_EXTERNAL, 9601))
        server, _ = listener.accept()
        server.settimeout(10)
        client.sendall(os.urandom(300_000))
        received = 0
        while received < 300_000:
            received += len(server.recv(65536))
        assert "mtu 1450" in network.outside.ip("route", "get", STATIC_EXTERNAL, "from", FAR_ADDRESS)
        assert gateway.counters()["drops"]["too-big"] >= 2
    finally:
        network.outside.ip("route flush cache")


def test_a_netcat_session_idle_past_the_transitory_time_goes_on_and_an_unanswered_one_does_not(start, network, config, tmp_path):
    quick = copy.deepcopy(config)
    quick["nat"]["timeouts"] = {"udp": 2, "icmp": 2, "tcpTransitory": 2, "tcpEstablished": 60}
    quick["control"]["socket"] = str(tmp_path / "gw.sock")
    gateway = start(quick)
    eventually("the first reply", lambda: all_answered(network.red, FAR_ADDRESS))
    talk = "(echo {0} one; sleep 5; echo {0} two; sleep 1) | nc.openbsd -N {1}"
    server = network.outside.start("sh", "-c", talk.format("server", f"-l {FAR_ADDRESS} 9602"))
    eventually("netcat listens", lambda: f"{FAR_ADDRESS}:9602" in network.outside.run("ss -Hltn"))
    client = network.red.start("sh", "-c", talk.format("client", f"{FAR_ADDRESS} 9602"))
    asked = network.red.socket(seconds=1)
    # Nobody answers at this address, in no way: the outside's kernel forwards it into nothing.
    network.outside.ip("route add blackhole 198.51.100.10/32")
    with pytest.raises(TimeoutError):
        asked.connect(("198.51.100.10", 9603))
    asked.close()
    network.outside.ip("route del blackhole 198.51.100.10/32")
    eventually("both have said their first word", lambda: "client one" in server.output() and "server one" in client.output())

    def tcp_flows():
        return {flow["remote"]["port"]: flow for flow in json.loads(gateway.flows("--format", "json", "--filter", "proto tcp"))}

    eventually("the unanswered flow is gone and the idle one is not", lambda: set(tcp_flows()) == {9602}, seconds=10)
    idle = tcp_flows()[9602]
    assert idle["state"] == "established" and idle["idleMs"] >= 2000
    assert "two" not in server.output() + client.output()
    eventually("both go on", lambda: "client two" in server.output() and "server two" in client.output(), seconds=10)
    assert (client.wait(10), server.wait(10)) == (0, 0)
    eventually("the closed session ends after the transitory time", lambda: tcp_flows() == {}, seconds=10)


def as_nic(config, profile, target, folder):
    """The gateway on software NICs that are as limited as a NIC, told to compile for a target."""
    changed = copy.deepcopy(config)
    changed["control"]["socket"] = str(folder / "gw.sock")
    for port in changed["ports"].values():
        port["device"] += f",profile={profile}"
    changed.setdefault("offload", {})["target"] = target
    return changed


def nic_paths(gateway):
    """How each direction of each UDP session is served."""
    return {way["path"] for flow in gateway.sessions() if flow["protocol"] == "udp" for way in (flow["forward"], flow["reverse"])}


def udp_exchange(network, rounds=20):
    listener = network.red.socket(kind=socket.SOCK_DGRAM, bind=(STATIC_HOST, 9700))
    client = network.outside.socket(kind=socket.SOCK_DGRAM, bind=(FAR_ADDRESS, 0))
    for peer in (listener, client):
        peer.settimeout(5)
    for number in range(rounds):
        client.sendto(b"%d" % number, (STATIC_EXTERNAL, 9700))
        data, sender = listener.recvfrom(100)
        listener.sendto(data, sender)
        assert client.recvfrom(100)[0] == b"%d" % number


def test_auto_takes_the_profile_of_the_software_nic_and_offloads_what_that_nic_can(start, network, config, tmp_path):
    gateway = start(as_nic(config, "mlx5-hws", "auto", tmp_path))
    eventually("the first reply", lambda: all_answered(network.red, FAR_ADDRESS))
    udp_exchange(network)
    assert '"target":"mlx5-hws"' in gateway.log()
    assert nic_paths(gateway) == {"offloaded"}
    assert gateway.counters()["nic"]["packets"] > 20


def test_a_nic_that_refuses_what_its_table_allows_is_told_in_the_log_and_everything_works_in_software(start, network, config, tmp_path):
    gateway = start(as_nic(config, "cxgbe", "softflow", tmp_path))
    eventually("the first reply", lambda: all_answered(network.red, FAR_ADDRESS))
    udp_exchange(network)
    assert "the NIC refuses a rule that its table allows" in gateway.log()
    assert nic_paths(gateway) == {"software"}
    assert gateway.counters()["nic"]["packets"] == 0
