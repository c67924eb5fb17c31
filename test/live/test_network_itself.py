"""The hosts and cables without the gateway: what is found bad in other tests is not the network's fault."""

import os
import signal
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
