"""A machine with more cores runs more gateways: each has ports, CPUs and VPCs of its own, and VPCs of both reach each other.

    red 10.0.1.x ────┐            ┌── fab0 [ gw1 ] ext0 ── 203.0.113.254 ┐
                     ├── bridge ──┤                                      ├ outside 198.51.100.7
    amber 10.0.4.9 ──┘            └── fab1 [ gw2 ] ext1 ── 198.18.0.254 ─┘
"""

import copy
import os
import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from net import eventually
from topology import (
    EXTERNAL_ADDRESS,
    FAR_ADDRESS,
    GATEWAY_MAC,
    GATEWAY_VTEP,
    ORDINARY_DROPS,
    RED,
    SHARED_HOST,
    UNDERLAY_MTU,
    Gateway,
    Pings,
    Vpc,
    all_answered,
    configuration,
    vxlan_device,
    whole_checksums,
)

AMBER = Vpc("amber", 400, "172.30.0.14", "02:00:00:00:00:14", "02:00:00:04:00:14", "10.0.4.0/24", "10.0.4.1", ("10.0.4.9",))
AMBER_HOST, AMBER_PEERING = "10.0.4.9", "100.64.4.9"
SECOND_VTEP, SECOND_MAC = "172.30.0.2", "02:00:00:00:f0:02"
SECOND_NETWORK, SECOND_ADDRESS, SECOND_EXTERNAL_MAC = "198.18.0.0/24", "198.18.0.1", "02:00:00:00:e0:02"
SECOND_OUTSIDE, SECOND_OUTSIDE_MAC = "198.18.0.254", "02:00:00:00:e1:fe"
BETWEEN_VNI = 9000
TCP_PORT = 7000
TRANSFER_BYTES = 200_000


def vpc_of(vpc, gateway):
    return {
        "name": vpc.name,
        "vni": vpc.vni,
        "gateway": gateway,
        "subnets": [vpc.subnet],
        "gatewayAddress": vpc.gateway_address,
        "routes": [{"prefix": vpc.subnet, "vtep": vpc.vtep, "mac": vpc.inner_mac}],
    }


def first_gateway(socket_path):
    """Red is its own, amber the other one's."""
    config = configuration(socket_path)
    config.update(
        name="gw1",
        vpcs=[vpc_of(RED, "gw1"), vpc_of(AMBER, "gw2")],
        vteps=[{"address": RED.vtep, "mac": RED.underlay_mac}],
        peerings=[{"vpcs": ["red", "amber"]}],
        peeringPools=[{"vpc": "red", "ranges": ["100.64.1.0/28"]}, {"vpc": "amber", "ranges": ["100.64.4.0/28"]}],
        peerGateways=[{"name": "gw2", "vtep": SECOND_VTEP, "mac": SECOND_MAC, "vni": BETWEEN_VNI}],
        staticBindings=[{"vpc": "amber", "private": AMBER_HOST, "peering": AMBER_PEERING}],
    )
    config["externalPools"][0]["vpcs"] = ["red"]
    return config


def second_gateway(socket_path):
    """Amber is its own. The VPCs and what they look like to each other stand in both configurations."""
    config = copy.deepcopy(first_gateway(socket_path))
    config.update(
        name="gw2",
        underlay={"vtep": SECOND_VTEP, "mac": SECOND_MAC},
        vteps=[{"address": AMBER.vtep, "mac": AMBER.underlay_mac}],
        peerGateways=[{"name": "gw1", "vtep": GATEWAY_VTEP, "mac": GATEWAY_MAC, "vni": BETWEEN_VNI}],
        externalPools=[{"name": "internet", "vpcs": ["amber"], "ranges": ["198.18.0.16-198.18.0.31"]}],
    )
    config["ports"]["fabric"]["device"] = "net_softflow0,wire=net_af_packet0:iface=fab1"
    config["ports"]["external"] = {
        "role": "external",
        "device": "net_softflow1,wire=net_af_packet1:iface=ext1",
        "mac": SECOND_EXTERNAL_MAC,
        "address": f"{SECOND_ADDRESS}/24",
        "nextHop": {"address": SECOND_OUTSIDE, "mac": SECOND_OUTSIDE_MAC},
    }
    return config


@pytest.fixture(scope="module")
def second_namespace(network):
    """The second gateway's ports. In a namespace of their own: see docs/wires.md on packet sockets of two processes."""
    made = network.lab.namespace("gw2")
    network.attach(made, "fab1", "gateway2")
    network.lab.veth(made, "ext1", network.outside, "eth2", 1500, other_mac=SECOND_OUTSIDE_MAC)
    whole_checksums(network.outside, "eth2")
    network.outside.ip("address", "add", f"{SECOND_OUTSIDE}/24", "dev", "eth2")
    return made


@pytest.fixture(scope="module")
def amber(network):
    """The host of the second gateway's VPC."""
    host = network.underlay_host("amber", AMBER.vtep, AMBER.underlay_mac)
    vxlan_device(host, AMBER.vni, AMBER.vtep, AMBER.inner_mac)
    host.ip("address", "add", f"{AMBER_HOST}/24", "dev", "vx0")
    host.ip("neighbour", "add", AMBER.gateway_address, "lladdr", SECOND_MAC, "dev", "vx0", "nud", "permanent")
    host.run("bridge", "fdb", "append", SECOND_MAC, "dev", "vx0", "dst", SECOND_VTEP)
    host.ip("route", "add", "default", "via", AMBER.gateway_address, "src", AMBER_HOST)
    return host


@pytest.fixture(scope="module")
def cpus():
    """One for each gateway; on a machine with one they share it."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


@pytest.fixture(scope="module")
def gateways(network, second_namespace, amber, cpus, tmp_path_factory):
    network.end_connections()
    folders = [tmp_path_factory.mktemp(name) for name in ("gw1", "gw2")]
    configs = [make(folder / "gw.sock") for make, folder in zip((first_gateway, second_gateway), folders)]
    places = (network.gateway, second_namespace)
    made = [Gateway(network, *one) for one in zip(configs, folders, places, cpus)]
    yield [gateway.wait_until_it_runs() for gateway in made]
    for gateway in made:
        gateway.kill()


def names_and_cpus(pid):
    """Threads of a process: name and number, and the list of CPUs that each may use."""
    for thread in Path("/proc", str(pid), "task").iterdir():
        try:
            status = (thread / "status").read_text()
        except OSError:
            continue  # It has ended since.
        name, cpus = (re.search(rf"^{field}:\s*(.+)$", status, re.M).group(1) for field in ("Name", "Cpus_allowed_list"))
        yield f"{name} {thread.name}", cpus


def test_each_has_the_cpus_that_it_was_given(gateways, cpus):
    for gateway, cpu in zip(gateways, cpus):
        threads = dict(names_and_cpus(gateway.process.pid))
        assert any("worker" in name for name in threads), "no lcore"
        assert set(threads.values()) == {str(cpu)}


def test_each_takes_its_own_vpcs_outside_with_its_own_addresses(gateways, network, amber):
    first, second = gateways
    assert all_answered(network.red, FAR_ADDRESS)
    assert all_answered(amber, FAR_ADDRESS)
    outside = [[flow for flow in gateway.sessions() if flow["class"] == "vpc-to-external"] for gateway in gateways]
    assert [{flow["vpc"] for flow in flows} for flows in outside] == [{"red"}, {"amber"}]
    assert all(ip_address(flow["nat"]["address"]) in ip_network(f"{EXTERNAL_ADDRESS}/24", strict=False) for flow in outside[0])
    assert all(ip_address(flow["nat"]["address"]) in ip_network(SECOND_NETWORK) for flow in outside[1])
    for gateway in (first, second):
        assert set(gateway.counters()["drops"]) <= ORDINARY_DROPS


def test_hosts_of_both_exchange_data_through_both(gateways, network, amber):
    """Half-NAT: the first translates the source, the second the destination."""
    listener = amber.listen(AMBER_HOST, TCP_PORT)
    data = os.urandom(TRANSFER_BYTES)
    client = network.red.socket(bind=(SHARED_HOST, 0))
    client.connect((AMBER_PEERING, TCP_PORT))
    server, (address, _) = listener.accept()
    network.lab.owned(server).settimeout(10)
    assert ip_address(address) in ip_network("100.64.1.0/28")
    client.sendall(data)
    received = bytearray()
    while len(received) < len(data):
        piece = server.recv(65536)
        assert piece, f"the connection ended after {len(received)} bytes"
        received += piece
    assert received == data
    server.sendall(b"thanks")
    assert client.recv(16) == b"thanks"
    for gateway in gateways:
        between = [flow for flow in gateway.sessions() if flow["class"] == "site-to-site" and flow["protocol"] == "tcp"]
        assert [flow["inside"]["port"] for flow in between] in ([client.getsockname()[1]], [TCP_PORT])


def test_the_end_of_one_costs_the_other_nothing(gateways, network, amber):
    first, second = gateways
    pings = Pings(network.red, FAR_ADDRESS)
    eventually("red hears from outside", lambda: len(pings.replies()) >= 5, seconds=20)
    second.kill()
    seen = len(pings.replies())
    eventually("red goes on hearing from outside", lambda: len(pings.replies()) >= seen + 20, seconds=20)
    answered = pings.replies()
    pings.stop()
    assert answered == list(range(1, len(answered) + 1))
    assert not all_answered(amber, FAR_ADDRESS)
    assert first.process.running and first.faults() == []
