"""Hosts whose kernels know nothing of NAT talk through the gateway."""

import hashlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass

import pytest

from captures import checksums, frames, tshark
from net import eventually
from topology import (
    BLUE,
    EXTERNAL_ADDRESS,
    FAR_ADDRESS,
    GATEWAY_VTEP,
    GREEN,
    GREEN_HOST,
    GREEN_PEERING,
    MAPPED_EXTERNAL,
    MAPPED_HOST,
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
    ping,
    ping_report,
    without_neighbours,
)

FILE_BYTES = 50 * 1024 * 1024
SMALLER_BYTES = 10 * 1024 * 1024
HTTP_PORT = 8000
SEGMENT_BYTES = 1460  # TCP payload of a full frame without options; with timestamps it is less, so packets are never fewer.


@pytest.fixture(scope="module")
def gateway(network, config, tmp_path_factory):
    """A gateway that was told no neighbour's MAC: hosts, next hop and gateway find each other by ARP."""
    network.forget_neighbours()
    network.end_connections()
    made = Gateway(network, without_neighbours(config), tmp_path_factory.mktemp("gateway"))
    yield made.wait_until_it_runs()
    made.kill()


@pytest.fixture(scope="module")
def website(network, tmp_path_factory):
    """Python's own web server outside, with files of several sizes. @returns the folder's URL and the large file's SHA-256"""
    folder = tmp_path_factory.mktemp("website")
    data = os.urandom(FILE_BYTES)
    (folder / "large").write_bytes(data)
    (folder / "smaller").write_bytes(data[:SMALLER_BYTES])
    (folder / "small").write_bytes(data[:20000])
    server = network.outside.start("/usr/bin/python3", "-m", "http.server", "--bind", FAR_ADDRESS, "--directory", folder, HTTP_PORT)
    eventually("the web server listens", lambda: network.outside.socket(seconds=1).connect((FAR_ADDRESS, HTTP_PORT)) is None)
    yield f"http://{FAR_ADDRESS}:{HTTP_PORT}", hashlib.sha256(data).hexdigest()
    server.kill()
    for file in folder.iterdir():
        file.unlink()


@dataclass
class Totals:
    """Packets that a gateway received, and who translated them."""

    received: int
    in_nic: int
    in_software: int

    def __init__(self, counters):
        self.received = sum(port["received"] for port in counters["ports"].values())
        self.in_nic = counters["nic"]["packets"]
        self.in_software = counters["slowPath"]["packets"]

    def __sub__(self, earlier):
        self.received -= earlier.received
        self.in_nic -= earlier.in_nic
        self.in_software -= earlier.in_software
        return self


def exchange(client, server, rounds=20):
    """Both ends of a connection say something in turn and hear exactly that."""
    for number in range(rounds):
        for sender, receiver in ((client, server), (server, client)):
            text = f"{number}: {sender.fileno()} ".encode() * 50
            sender.sendall(text)
            received = b""
            while len(received) < len(text):
                part = receiver.recv(65536)
                assert part, "the connection ended"
                received += part
            assert received == text


def connect(namespace, destination, listener, source=("", 0)):
    """A connection to a listener elsewhere. @returns client socket, server socket, what the server sees as its peer"""
    client = namespace.socket(bind=source if source != ("", 0) else None)
    client.connect(destination)
    server, peer = listener.accept()
    server.settimeout(10)
    return client, namespace.lab.owned(server), peer


def test_a_host_of_every_vpc_pings_outside_through_a_gateway_that_learns_its_neighbours_by_arp(gateway, network):
    for namespace in network.vpcs.values():
        eventually("the first reply", lambda namespace=namespace: all_answered(namespace, FAR_ADDRESS))
        assert ping(namespace, FAR_ADDRESS, count=20) == (0, 20)
        assert ping(namespace, OUTSIDE_ADDRESS, count=3) == (0, 3)


def test_full_size_packets_pass_both_ways_unfragmented(gateway, network):
    for namespace in network.vpcs.values():
        eventually("the first reply", lambda namespace=namespace: all_answered(namespace, FAR_ADDRESS))
        assert ping(namespace, FAR_ADDRESS, count=5, size=1472) == (0, 5)


def test_the_gateway_answers_ping_on_each_of_its_own_addresses(gateway, network):
    assert eventually("the VPC's gateway address", lambda: all_answered(network.red, RED.gateway_address))
    assert eventually("the VPC's gateway address, found by ARP inside the VPC", lambda: all_answered(network.blue, BLUE.gateway_address))
    assert eventually("the VTEP", lambda: all_answered(network.red, GATEWAY_VTEP, source="eth0"))
    assert eventually("the external port", lambda: all_answered(network.outside, EXTERNAL_ADDRESS))


def test_50_megabytes_arrive_whole_and_the_software_nic_translates_most_of_their_packets(gateway, network, website, tmp_path, record_property):
    url, digest = website
    before = Totals(gateway.counters())
    started = time.monotonic()
    network.red.run("curl", "--silent", "--show-error", "--fail", "--max-time", 40, "--output", tmp_path / "got", f"{url}/large", seconds=45)
    seconds = time.monotonic() - started
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == digest
    (tmp_path / "got").unlink()

    def counted():
        run = Totals(gateway.counters()) - before
        return run if run.received == run.in_nic + run.in_software else None

    run = eventually("every packet received is counted once, in the NIC or in software", counted)
    figures = f"{FILE_BYTES * 8 / seconds / 1e6:.0f} Mbit/s, {run.in_nic} packets in the NIC, {run.in_software} in software"
    record_property("download", figures)
    print(figures)
    if PATH == "software":
        assert run.in_nic == 0 and run.in_software >= FILE_BYTES / SEGMENT_BYTES
        return
    assert run.in_nic >= FILE_BYTES / SEGMENT_BYTES
    assert run.in_nic / run.received > 0.95


def test_an_upload_of_some_megabytes_arrives_whole(gateway, network):
    listener = network.outside.listen(FAR_ADDRESS, 9301)
    client, server, _ = connect(network.blue, (FAR_ADDRESS, 9301), listener)
    data = os.urandom(8 * 1024 * 1024)
    sender = threading.Thread(target=client.sendall, args=(data,), daemon=True)
    sender.start()
    received = bytearray()
    while len(received) < len(data):
        part = server.recv(1 << 20)
        assert part
        received += part
    assert received == data


def test_a_connection_from_outside_reaches_an_address_only_static_binding(gateway, network):
    listener = network.red.listen(STATIC_HOST, 7000)
    client, server, peer = connect(network.outside, (STATIC_EXTERNAL, 7000), listener, (FAR_ADDRESS, 21000))
    assert peer == (FAR_ADDRESS, 21000)
    assert server.getsockname() == (STATIC_HOST, 7000)
    exchange(client, server)


def test_a_connection_from_outside_reaches_a_port_mapping(gateway, network):
    listener = network.red.listen(*MAPPED_HOST)
    client, server, peer = connect(network.outside, MAPPED_EXTERNAL, listener)
    assert peer[0] == OUTSIDE_ADDRESS
    assert server.getsockname() == MAPPED_HOST
    exchange(client, server)


def test_a_host_with_an_address_only_static_binding_goes_out_with_it_and_keeps_its_port(gateway, network):
    listener = network.outside.listen(FAR_ADDRESS, 9302)
    client, server, peer = connect(network.red, (FAR_ADDRESS, 9302), listener, (STATIC_HOST, 22000))
    assert peer == (STATIC_EXTERNAL, 22000)
    exchange(client, server)


def test_ping_of_a_static_binding_from_outside_is_answered_by_the_host(gateway, network):
    eventually("the first reply", lambda: all_answered(network.outside, STATIC_EXTERNAL))
    assert ping(network.outside, STATIC_EXTERNAL, count=5) == (0, 5)


@pytest.mark.parametrize("destination", ["green by its peering address", "outside"])
def test_tcp_of_two_vpcs_with_the_same_host_address_and_port_comes_back_each_to_its_own(gateway, network, destination):
    if destination == "outside":
        listener, target = network.outside.listen(FAR_ADDRESS, 9200), (FAR_ADDRESS, 9200)
    else:
        listener, target = network.green.listen(GREEN_HOST, 9200), (GREEN_PEERING, 9200)
    port = 23000 if destination == "outside" else 23001
    red, red_server, red_peer = connect(network.red, target, listener, (SHARED_HOST, port))
    blue, blue_server, blue_peer = connect(network.blue, target, listener, (SHARED_HOST, port))
    assert red_peer != blue_peer
    if destination == "outside":
        assert red_peer[0] in POOL and blue_peer[0] in POOL
    else:
        assert red_peer[0].startswith("100.64.1.") and blue_peer[0].startswith("100.64.2.")
    for _ in range(3):
        exchange(red, red_server)
        exchange(blue, blue_server)


@pytest.mark.parametrize("destination", ["green by its peering address", "outside"])
def test_datagrams_of_two_vpcs_with_the_same_host_address_and_port_come_back_each_to_its_own(gateway, network, destination):
    if destination == "outside":
        server, target = network.outside.socket(socket.SOCK_DGRAM, (FAR_ADDRESS, 9201)), (FAR_ADDRESS, 9201)
    else:
        server, target = network.green.socket(socket.SOCK_DGRAM, (GREEN_HOST, 9201)), (GREEN_PEERING, 9201)
    port = 24000 if destination == "outside" else 24001
    clients = {name: network.vpcs[name].socket(socket.SOCK_DGRAM, (SHARED_HOST, port)) for name in ("red", "blue")}
    peers = {}
    for number in range(30):
        # Both ask before either is answered.
        for name, client in clients.items():
            client.sendto(f"{name} {number}".encode(), target)
        for _ in clients:
            question, peer = server.recvfrom(2048)
            name = question.split()[0].decode()
            assert peers.setdefault(name, peer) == peer, "a mapping changed"
            server.sendto(b"to " + question, peer)
        for name, client in clients.items():
            answer, source = client.recvfrom(2048)
            assert (answer, source) == (f"to {name} {number}".encode(), target)
    assert len(set(peers.values())) == 2


def test_both_vpcs_ping_a_third_at_the_same_time(gateway, network):
    lost = {}
    threads = [threading.Thread(target=lambda name=name: lost.update({name: ping(network.vpcs[name], GREEN_PEERING, count=20, source=SHARED_HOST)})) for name in ("red", "blue")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert lost == {"red": (0, 20), "blue": (0, 20)}


def test_hundreds_of_short_connections_at_once_all_succeed_and_are_all_offloaded(gateway, network, website, tmp_path):
    url, _ = website
    urls = tmp_path / "urls"
    urls.write_text(f'url = "{url}/small"\noutput = "/dev/null"\n' * 300)
    network.green.run("curl", "--silent", "--show-error", "--fail", "--max-time", 40, "--header", "Connection: close", "--parallel", "--parallel-max", 20, "--config", urls, seconds=45)
    flows = json.loads(gateway.flows("--format", "json", "--filter", "vpc green and proto tcp"))
    # A kernel may take a source port again: that is the same session once more.
    assert len(flows) >= 270
    assert {(flow["forward"]["path"], flow["reverse"]["path"]) for flow in flows} == {(PATH, PATH)}
    assert len({(flow["nat"]["address"], flow["nat"]["port"]) for flow in flows}) == len(flows)


def test_a_packet_whose_life_ends_at_the_gateway_is_answered_by_the_gateway(gateway, network):
    assert "From 10.0.1.1 icmp_seq=1 Time to live exceeded" in ping_report(network.red, FAR_ADDRESS, "-t", 1)
    assert f"From {EXTERNAL_ADDRESS} icmp_seq=1 Time to live exceeded" in ping_report(network.outside, STATIC_EXTERNAL, "-t", 1)


def test_sluice_flows_shows_a_running_download_offloaded_both_ways(gateway, network, website, tmp_path):
    url, _ = website
    curl = network.red.start("curl", "--silent", "--limit-rate", "4M", "--max-time", 30, "--output", tmp_path / "got", "--local-port", 25000, f"{url}/large")
    served = ("nic", "packets") if PATH == "offloaded" else ("slowPath", "packets")
    packets = gateway.counters()[served[0]][served[1]]
    eventually("the download is under way", lambda: gateway.counters()[served[0]][served[1]] > packets + 500)
    dump = json.loads(gateway.flows("--format", "json"))
    table = gateway.flows("--filter", "vpc red and proto tcp")
    rules = gateway.flows("--format", "testpmd")
    curl.kill()
    # The port is outside of what kernels choose from, so nobody else has it.
    flows = [flow for flow in dump if flow["inside"]["port"] == 25000]
    assert len(flows) == 1, f"{len(flows)} of {len(dump)}: {flows}"
    flow = flows[0]
    assert (flow["class"], flow["vpc"], flow["protocol"]) == ("vpc-to-external", "red", "tcp")
    assert flow["inside"] == {"address": SHARED_HOST, "port": 25000}
    assert flow["remote"] == {"address": FAR_ADDRESS, "port": HTTP_PORT}
    assert flow["nat"]["address"] in POOL
    assert flow["underlay"] == {"vni": RED.vni, "vtep": RED.vtep}
    assert (flow["forward"]["path"], flow["reverse"]["path"]) == (PATH, PATH)
    assert flow["reverse"]["bytes"] > 500 * 1000
    assert flow["forward"]["packets"] > 0
    row = [line for line in table.splitlines() if ":25000" in line]
    assert len(row) == 1 and PATH in row[0]
    rules = sum(line.startswith("flow create") for line in rules.splitlines())
    assert rules >= 2 if PATH == "offloaded" else rules == 0


def test_no_frame_on_either_wire_has_a_bad_checksum(gateway, network, website, tmp_path):
    url, _ = website
    # At the cables' other ends: what a packet socket sends passes a tcpdump beside it unseen (PACKET_QDISC_BYPASS).
    wires = {"fabric": network.fabric.capture("gateway", tmp_path / "fabric.pcap"), "external": network.outside.capture("eth0", tmp_path / "external.pcap")}
    try:
        network.blue.run("curl", "--silent", "--fail", "--max-time", 30, "--output", "/dev/null", f"{url}/smaller", seconds=35)
        assert ping(network.red, FAR_ADDRESS, count=5) == (0, 5)
        assert ping(network.red, GREEN_PEERING, count=5) == (0, 5)
        # Nobody listens: the host's kernel answers port unreachable, whose quote has to be translated too.
        refused = network.red.socket(socket.SOCK_DGRAM, (SHARED_HOST, 26000))
        refused.connect((FAR_ADDRESS, 9))
        refused.send(b"x" * 99)
        with pytest.raises(ConnectionRefusedError):
            refused.recv(100)
        with pytest.raises(ConnectionRefusedError):
            network.outside.socket().connect((STATIC_EXTERNAL, 7))
        listener = network.red.listen(*MAPPED_HOST)
        exchange(*connect(network.outside, MAPPED_EXTERNAL, listener)[:2])
        udp = network.green.socket(socket.SOCK_DGRAM, (GREEN_HOST, 9202))
        asker = network.blue.socket(socket.SOCK_DGRAM, (SHARED_HOST, 26001))
        asker.sendto(b"odd", (GREEN_PEERING, 9202))
        udp.sendto(b"length", udp.recvfrom(100)[1])
        assert asker.recv(100) == b"length"
    finally:
        lost = {name: capture.stop() for name, capture in wires.items()}
    assert lost == {"fabric": 0, "external": 0}
    least_segments = SMALLER_BYTES // SEGMENT_BYTES
    for name, capture in wires.items():
        bad, good = checksums(capture.path)
        assert bad == [], f"{len(bad)} on {name}: {bad[:9]}\n{frames(capture.path, [number for number, _ in bad[:3]])}"
        for layer, least in (("ip", least_segments), ("tcp", least_segments), ("udp", 1), ("icmp", 10)):
            assert good[layer] >= least, f"{layer} on {name}: {good}"
    # Both directions were on both wires, encapsulated on one and plain on the other.
    assert tshark(wires["fabric"].path, f"vxlan.vni == {BLUE.vni} && ip.src == {GATEWAY_VTEP}")
    assert tshark(wires["fabric"].path, f"vxlan.vni == {GREEN.vni} && ip.dst == {GATEWAY_VTEP}")
    assert not tshark(wires["external"].path, "vxlan || ip.addr == 10.0.0.0/8 || ip.addr == 100.64.0.0/10")


def test_the_gateway_logged_no_fault_and_dropped_nothing_unexplained(gateway):
    assert gateway.faults() == []
    drops = gateway.counters()["drops"]
    assert set(drops) <= ORDINARY_DROPS | {"ttl-expired"}, drops
