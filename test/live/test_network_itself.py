"""The hosts and cables without the gateway: what is found bad in other tests is not the network's fault."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from captures import checksums
from net import NAMESPACES, Lab, eventually
from topology import GREEN, GREEN_HOST, RED, ping, vxlan_device


def test_a_kernel_vxlan_peer_exchanges_tcp_with_a_vpc_host_without_a_bad_checksum(lab, network, tmp_path):
    peer = network.underlay_host("peer", "172.30.0.99", "02:00:00:00:00:99")
    vxlan_device(peer, GREEN.vni, "172.30.0.99", "02:00:00:03:00:99")
    peer.ip("address add 10.0.3.99/24 dev vx0")
    for host, mac, vtep in ((peer, GREEN.inner_mac, GREEN.vtep), (network.green, "02:00:00:03:00:99", "172.30.0.99")):
        for entry in (mac, "00:00:00:00:00:00"):
            host.run("bridge", "fdb", "append", entry, "dev", "vx0", "dst", vtep)
    capture = network.fabric.capture("green", tmp_path / "green.pcap")
    try:
        assert eventually("a reply", lambda: ping(peer, GREEN_HOST) == (0, 1))
        assert ping(peer, GREEN_HOST, count=3, size=1472) == (0, 3)
        listener = network.green.listen(GREEN_HOST, 9100)
        client = peer.socket()
        client.connect((GREEN_HOST, 9100))
        server, _ = listener.accept()
        server.settimeout(10)
        data = os.urandom(256 * 1024)
        client.sendall(data)
        received = b""
        while len(received) < len(data):
            received += server.recv(65536)
        assert received == data
    finally:
        lost = capture.stop()
        network.green.run("bridge", "fdb", "del", "00:00:00:00:00:00", "dev", "vx0", "dst", "172.30.0.99")
    assert lost == 0
    bad, good = checksums(capture.path)
    assert bad == []
    assert good["tcp"] > 100 and good["ip"] > 200


def test_a_kernels_checksum_of_negative_zero_is_right_and_every_other_deviation_is_found(tmp_path):
    # A segment inside VXLAN as a kernel sent it: its checksum's sum is zero, which Linux writes as 0xffff.
    frame = bytes.fromhex(
        "02000000f001020000000012080045000066007e0000401121c0ac1e000cac1e00019efd12b500525e9f080000000000c80002000000f001020000020012"
        "080045000034e3a84000400621da0a000107c633640788be1f403a8f4927cbfc2154801037f0ffff00000101080ad29bbc16b832a9a0"
    )
    checksum_at = frame.index(b"\xff\xff\0\0\x01\x01")
    zero = frame[:checksum_at] + b"\0\0" + frame[checksum_at + 2 :]
    wrong = [zero[: checksum_at + 1] + b"\x01" + zero[checksum_at + 2 :], frame[:-1] + b"\0", frame[: checksum_at - 6] + b"\0" + frame[checksum_at - 5 :]]
    # The outer UDP checksum covers these bytes too; 0 is none.
    udp_at = frame.index(b"\x9e\xfd\x12\xb5") + 6
    path = tmp_path / "segments.pcap"
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, sent in enumerate([frame, zero, *wrong]):
            sent = sent[:udp_at] + b"\0\0" + sent[udp_at + 2 :]
            file.write(struct.pack("<IIII", number, 0, len(sent), len(sent)) + sent)
    bad, good = checksums(path)
    assert bad == [(3, "tcp"), (4, "tcp"), (5, "tcp")]
    assert good["tcp"] == 2 and good["ip"] == 10


def test_hosts_of_two_vpcs_have_the_same_addresses_and_do_not_reach_each_other(network):
    assert set(RED.hosts) <= set(network.red.ip("-4 -o address").replace("/", " ").split())
    assert set(RED.hosts) <= set(network.blue.ip("-4 -o address").replace("/", " ").split())
    assert ping(network.red, "10.0.1.9") == (1, 1)


def test_a_killed_run_leaves_nothing_that_the_next_one_does_not_sweep(lab, tmp_path):
    script = "import sys, time; from net import Lab; lab = Lab(sys.argv[1]); ns = lab.namespace('left'); p = ns.start('sleep 60'); print(ns.name, p.pid, flush=True); time.sleep(60)"
    for number in (signal.SIGTERM, signal.SIGKILL):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(__file__)) as child:
            name, pid = child.stdout.readline().split()
            assert (NAMESPACES / name).exists()
            child.send_signal(number)
            assert child.wait(10) == -number
        assert (NAMESPACES / name).exists() == (number == signal.SIGKILL)
        eventually("its process is gone", lambda pid=pid: not os.path.exists(f"/proc/{pid}"))
    with Lab(tmp_path):
        assert not (NAMESPACES / name).exists()


@pytest.mark.parametrize("ci, outcome", [("true", "1 error"), (None, "1 skipped")])
def test_refused_namespaces_fail_in_continuous_integration_and_are_skipped_elsewhere(tmp_path, ci, outcome):
    refusing = tmp_path / "ip"
    refusing.write_text("#!/bin/sh\necho 'Operation not permitted' >&2\nexit 1\n", encoding="utf-8")
    refusing.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if ci:
        environment["CI"] = ci
    chosen = f"{Path(__file__)}::test_hosts_of_two_vpcs_have_the_same_addresses_and_do_not_reach_each_other"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "run", chosen]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert outcome in done.stdout.splitlines()[-1], done.stdout
    assert (done.returncode != 0) == bool(ci)
