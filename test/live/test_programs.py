"""Everyday programs through one gateway: traceroute, tracepath, iperf3, dig and a real name server."""

import json
import re

import pytest

from captures import checksums, frames, tshark
from net import eventually
from topology import (
    BEYOND_ADDRESS,
    BEYOND_MTU,
    EXTERNAL_ADDRESS,
    FAR_ADDRESS,
    GREEN_HOST,
    GREEN_PEERING,
    ORDINARY_DROPS,
    OUTSIDE_ADDRESS,
    PATH,
    POOL,
    RED,
    SHARED_HOST,
    STATIC_EXTERNAL,
    STATIC_HOST,
    Gateway,
    all_answered,
)

IPERF_BITS = {"tcp": 40_000_000, "udp": 20_000_000}  # Within what a busy machine carries, so that nothing is lost.
TRACEROUTES = {"udp": ["-U"], "icmp": ["-I"], "udp to one port after another": [], "tcp": ["-T", "-p", "9"]}
NAME, NAME_ADDRESS = "www.example.test", "192.0.2.80"


@pytest.fixture(scope="module")
def gateway(network, config, tmp_path_factory):
    network.end_connections()
    made = Gateway(network, config, tmp_path_factory.mktemp("gateway")).wait_until_it_runs()
    for namespace in network.vpcs.values():
        eventually("the first reply", lambda namespace=namespace: all_answered(namespace, FAR_ADDRESS))
    yield made
    made.kill()


def hops_of(report):
    """What the lines of traceroute or tracepath name, hop by hop: the addresses of all answers of that hop."""
    found = {}
    for line in report.splitlines():
        hop = re.match(r"\s*(\d+)[:?\s]", line)
        if hop and "no reply" not in line and "[LOCALHOST]" not in line:
            found.setdefault(int(hop.group(1)), set()).update(re.findall(r"\d+\.\d+\.\d+\.\d+", line) or {"*"})
    return [found[number] for number in sorted(found)]


def assert_hops(gateway, namespace, mode, destination, *hops):
    """traceroute names exactly these addresses, one a hop, in every probe."""
    report = namespace.run("traceroute", "-n", "-q", 2, "-w", 3, "-m", 6, *TRACEROUTES[mode], destination, seconds=40)
    assert hops_of(report) == [{hop} for hop in hops], f"{report}{gateway.counters()['drops']}"


@pytest.mark.parametrize("mode", TRACEROUTES)
def test_traceroute_from_a_vpc_names_the_gateway_once_and_every_hop_behind_it(gateway, network, mode):
    assert_hops(gateway, network.red, mode, BEYOND_ADDRESS, RED.gateway_address, OUTSIDE_ADDRESS, BEYOND_ADDRESS)


@pytest.mark.parametrize("mode", ["udp to one port after another", "icmp"])
def test_traceroute_from_outside_to_a_static_address_names_the_gateway_once_and_never_a_private_address(gateway, network, mode):
    assert_hops(gateway, network.beyond, mode, STATIC_EXTERNAL, "192.0.2.1", EXTERNAL_ADDRESS, STATIC_EXTERNAL)


@pytest.mark.parametrize("mode", ["udp to one port after another", "icmp"])
def test_traceroute_to_a_host_of_a_peer_names_the_gateway_once_and_the_peering_address(gateway, network, mode):
    assert_hops(gateway, network.red, mode, GREEN_PEERING, RED.gateway_address, GREEN_PEERING)


def test_tracepath_from_a_vpc_learns_the_mtu_of_a_link_far_behind_the_gateway(gateway, network):
    try:
        report = network.red.run("tracepath", "-n", "-m", 6, BEYOND_ADDRESS, seconds=30)
        assert f"Resume: pmtu {BEYOND_MTU} hops 3" in report, report
        # At its third probe the router also tells the MTU of the next link.
        assert hops_of(report) == [{RED.gateway_address}, {OUTSIDE_ADDRESS}, {OUTSIDE_ADDRESS, BEYOND_ADDRESS}]
        # A transfer with DF set, as kernels do, with what the host has learned.
        listener = network.beyond.listen(BEYOND_ADDRESS, 9600)
        client = network.red.socket()
        client.connect((BEYOND_ADDRESS, 9600))
        server, peer = listener.accept()
        client.sendall(b"x" * 100_000)
        server.settimeout(10)
        received = 0
        while received < 100_000:
            received += len(server.recv(65536))
        assert peer[0] in POOL
    finally:
        network.red.ip("route flush cache")


@pytest.fixture(scope="module")
def iperf(network):
    """iperf3 servers: outside, and in a VPC behind a static address."""
    servers = [network.outside.start("iperf3", "-s", "-B", FAR_ADDRESS, "-p", 5201), network.red.start("iperf3", "-s", "-B", STATIC_HOST, "-p", 5201)]
    for namespace, address in ((network.outside, FAR_ADDRESS), (network.red, STATIC_HOST)):
        eventually("iperf3 listens", lambda namespace=namespace, address=address: f"{address}:5201" in namespace.run("ss -Hltn"))
    yield {"outside": FAR_ADDRESS, "static": STATIC_EXTERNAL}
    for server in servers:
        server.kill()


IPERF_PATHS = {"from a VPC to the outside": ("blue", "outside"), "from outside to a static address": ("outside", "static")}


@pytest.mark.parametrize("path", IPERF_PATHS)
@pytest.mark.parametrize("reverse", [False, True], ids=["upload", "download"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_iperf3_measures_both_directions_translated_offloaded_and_without_a_bad_checksum(gateway, network, iperf, tmp_path, record_property, protocol, path, reverse):
    client, server = IPERF_PATHS[path]
    client = network.outside if client == "outside" else network.vpcs[client]
    before = gateway.counters()
    wires = {"fabric": network.fabric.capture("gateway", tmp_path / "fabric.pcap"), "external": network.outside.capture("eth0", tmp_path / "external.pcap")}
    try:
        load = ["-t", 1, "-b", IPERF_BITS[protocol], *(["-u", "-l", 1400] if protocol == "udp" else [])]
        report = json.loads(client.run("iperf3", "-c", iperf[server], "-p", 5201, "-J", *load, *(["-R"] if reverse else []), seconds=40))
        flows = json.loads(gateway.flows("--format", "json", "--filter", f"proto {protocol}"))
    finally:
        lost = {name: capture.stop() for name, capture in wires.items()}
    end, after = report["end"], gateway.counters()
    assert lost == {"fabric": 0, "external": 0}
    if protocol == "tcp":
        # The receiver stops counting when the sender says that it is done, whatever is still on its way.
        assert end["sum_received"]["bytes"] >= max(1_000_000, end["sum_sent"]["bytes"] * 0.8)
        packets = end["sum_received"]["bytes"] // 1460
    else:
        packets = end["sum"]["packets"]
        # A packet socket's ring may overflow on a busy machine: a few may be lost, but not many.
        assert packets >= 1500 and end["sum"]["lost_packets"] <= packets * 0.05, end["sum"]
    record_property("rate", end.get("sum_received", end.get("sum"))["bits_per_second"])
    in_nic = after["nic"]["packets"] - before["nic"]["packets"]
    assert in_nic >= packets * 0.95 if PATH == "offloaded" else in_nic == 0, f"{in_nic} of {packets} packets in the NIC"
    # Of the flows at iperf3's port (TCP has a control connection too) the measurement's own is the one with most bytes.
    side = "remote" if server == "outside" else "inside"
    flow = max((entry for entry in flows if entry[side]["port"] == 5201), key=lambda entry: entry["forward"]["bytes"] + entry["reverse"]["bytes"])
    assert (flow["forward"]["path"], flow["reverse"]["path"]) == (PATH, PATH)
    assert flow["class"] == ("vpc-to-external" if server == "outside" else "external-to-vpc")
    assert flow["nat"]["address"] in POOL if server == "outside" else flow["nat"]["address"] == STATIC_EXTERNAL
    for name, capture in wires.items():
        bad, good = checksums(capture.path)
        assert bad == [], f"{len(bad)} on {name}: {bad[:9]}\n{frames(capture.path, [number for number, _ in bad[:3]])}"
        assert good["ip"] >= packets and good[protocol] >= packets * 0.95, f"{name}: {good}"
        if name == "external":
            assert not tshark(capture.path, "vxlan || ip.addr == 10.0.0.0/8")
        capture.path.unlink()


@pytest.fixture(scope="module")
def name_servers(network, tmp_path_factory):
    """dnsmasq, outside and in green; each knows one name, and one whose answer is long."""
    options = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root", "--pid-file", "--no-daemon"]
    options += [f"--address=/{NAME}/{NAME_ADDRESS}", f"--txt-record=long.example.test,{','.join('t' * 200 + str(number) for number in range(5))}", "--edns-packet-max=4096"]
    servers = []
    for namespace, address in ((network.outside, FAR_ADDRESS), (network.green, GREEN_HOST)):
        servers.append(namespace.start("dnsmasq", *options, f"--listen-address={address}", "--except-interface=lo"))
        eventually("dnsmasq listens", lambda namespace=namespace, address=address: f"{address}:53" in namespace.run("ss -Hlun"))
    yield FAR_ADDRESS, GREEN_PEERING
    for server in servers:
        server.kill()


def dig(namespace, server, name, *options):
    return namespace.run("dig", f"@{server}", name, "+time=2", "+tries=2", "+short", *options).split("\n")[:-1]


def test_names_are_resolved_over_udp_and_tcp_outside_and_at_a_peer_by_hosts_of_both_vpcs(gateway, network, name_servers):
    for server in name_servers:
        for namespace in (network.red, network.blue):
            # Both hosts ask from the same address and port.
            assert dig(namespace, server, NAME, "-b", f"{SHARED_HOST}#5353") == [NAME_ADDRESS]
            assert dig(namespace, server, NAME, "+tcp") == [NAME_ADDRESS]
            (text,) = dig(namespace, server, "long.example.test", "TXT", "+bufsize=4096", "+notcp", "+ignore")
            assert text.count('"') == 10 and len(text) > 1000
    asked = json.loads(gateway.flows("--format", "json", "--filter", "proto udp"))
    mine = [flow for flow in asked if flow["inside"] == {"address": SHARED_HOST, "port": 5353} and flow["remote"]["port"] == 53]
    assert {(flow["vpc"], flow["class"]) for flow in mine} == {(vpc, kind) for vpc in ("red", "blue") for kind in ("vpc-to-external", "vpc-to-vpc")}
    assert len({(flow["nat"]["address"], flow["nat"]["port"]) for flow in mine}) == 4


def test_the_gateway_logged_no_fault_and_dropped_nothing_unexplained(gateway):
    assert gateway.faults() == []
    drops = gateway.counters()["drops"]
    assert set(drops) <= ORDINARY_DROPS | {"ttl-expired"}, drops
