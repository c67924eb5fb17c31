"""Other wires under the software NIC, other MTUs, and no NIC at all."""

import json
import socket

from net import eventually
from topology import FAR_ADDRESS, GREEN_PEERING, ORDINARY_DROPS, OUTSIDE_ADDRESS, SHARED_HOST, STATIC_EXTERNAL, all_answered, on_wires, ping, ping_report


def test_fragments_pass_both_ways_on_wires_that_do_not_reassemble_them(start, network, config):
    # net_af_packet asks the kernel to (PACKET_FANOUT_FLAG_DEFRAG); inside VXLAN nothing is reassembled on any wire.
    gateway = start(on_wires(config, "net_softflow0,wire=net_pcap0:rx_iface_in=fab0:tx_iface=fab0", "net_softflow1,wire=net_pcap1:rx_iface_in=ext0:tx_iface=ext0"))
    for destination in (FAR_ADDRESS, GREEN_PEERING):
        eventually("the first reply", lambda destination=destination: all_answered(network.red, destination))
        assert ping(network.red, destination, count=5, size=4000, fragment=True) == (0, 5)
    server = network.outside.socket(socket.SOCK_DGRAM, (FAR_ADDRESS, 9501))
    client = network.blue.socket(socket.SOCK_DGRAM, (SHARED_HOST, 28000))
    for size in (1, 1473, 8000, 20000):
        client.sendto(b"q" * size, (FAR_ADDRESS, 9501))
        question, peer = server.recvfrom(65536)
        server.sendto(question, peer)
        assert client.recv(65536) == b"q" * size
    drops = gateway.counters()["drops"]
    assert set(drops) <= ORDINARY_DROPS, drops


def test_fragments_between_vpcs_pass_on_packet_sockets(start, network, config):
    start(config)
    eventually("the first reply", lambda: all_answered(network.red, GREEN_PEERING))
    assert ping(network.red, GREEN_PEERING, count=5, size=4000, fragment=True) == (0, 5)


def test_without_a_software_nic_the_gateway_translates_all_in_software(start, network, config):
    gateway = start(on_wires(config, "net_af_packet0,iface=fab0", "net_af_packet1,iface=ext0"))
    eventually("the first reply", lambda: all_answered(network.red, FAR_ADDRESS))
    assert ping(network.red, FAR_ADDRESS, count=5, size=1472) == (0, 5)
    server = network.outside.socket(socket.SOCK_DGRAM, (FAR_ADDRESS, 9502))
    client = network.red.socket(socket.SOCK_DGRAM, (SHARED_HOST, 28001))
    for _ in range(20):
        client.sendto(b"question", (FAR_ADDRESS, 9502))
        server.sendto(b"answer", server.recvfrom(100)[1])
        assert client.recv(100) == b"answer"
    counters = gateway.counters()
    assert counters["nic"]["packets"] == 0
    assert counters["slowPath"]["packets"] == sum(port["received"] for port in counters["ports"].values())
    paths = {(flow["forward"]["path"], flow["reverse"]["path"]) for flow in json.loads(gateway.flows("--format", "json"))}
    assert paths == {("software", "software")}


def test_the_outside_learns_the_path_mtu_of_a_small_fabric_from_the_gateway(start, network, config):
    config = json.loads(json.dumps(config))
    config["ports"]["fabric"]["mtu"] = 1500
    gateway = start(config)
    try:
        eventually("the first reply", lambda: all_answered(network.outside, STATIC_EXTERNAL))
        report = ping_report(network.outside, STATIC_EXTERNAL, "-M", "do", "-s", 1472, "-I", OUTSIDE_ADDRESS)
        assert "From 203.0.113.1 icmp_seq=1 Frag needed and DF set (mtu = 1450)" in report
        assert ping(network.outside, STATIC_EXTERNAL, size=1422, source=OUTSIDE_ADDRESS) == (0, 1)
        # TCP from outside: full segments are refused once, then all fit.
        listener = network.outside.listen(FAR_ADDRESS, 9503)
        client = network.blue.socket()
        client.connect((FAR_ADDRESS, 9503))
        server, _ = listener.accept()
        server.settimeout(10)
        data = bytes(range(256)) * 256
        server.sendall(data)
        received = b""
        while len(received) < len(data):
            part = client.recv(65536)
            assert part
            received += part
        assert received == data
        flow = [flow for flow in json.loads(gateway.flows("--format", "json")) if flow["protocol"] == "tcp"]
        assert len(flow) == 1 and flow[0]["forward"]["path"] == "offloaded"
        assert flow[0]["reverse"]["path"] == "software" and flow[0]["reverse"]["reason"]
    finally:
        network.outside.ip("route flush cache")
