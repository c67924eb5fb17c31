"""Start, end, sudden death and what they leave behind."""

import copy
import http.client
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from exposition import scrape
from net import eventually
from topology import FAR_ADDRESS, SHARED_HOST, SLUICE, STATIC_EXTERNAL, STATIC_HOST, Pings, all_answered, is_fault

# Where DPDK and this program could leave something in a file system.
PLACES = ("/run/dpdk", "/var/run/dpdk", "/dev/hugepages", "/run/sluice", "/dev/shm", "/tmp")

ETH_P_ALL, SOL_PACKET, PACKET_FANOUT = 3, 263, 18  # linux/if_ether.h, bits/socket.h, linux/if_packet.h


def left_in_the_file_system(pid):
    """Files of a process that is gone, by its pid or its name."""
    found = []
    for place in map(Path, PLACES):
        if place.is_dir():
            found += [str(path) for path in place.iterdir() if re.search(rf"sluice-?{pid}|sluice.*map_", path.name)]
    return found


def messages(process):
    """Lines for a person; log records are JSON."""
    return [line for line in process.errors().splitlines() if not line.startswith("{")]


def test_sigterm_ends_a_gateway_under_traffic_within_5_seconds_and_takes_its_socket_away(start, network, config):
    gateway = start(config)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    pings = Pings(network.red, FAR_ADDRESS)
    eventually("replies", lambda: len(pings.replies()) > 5)
    started = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - started < 5
    pings.stop()
    assert not gateway.socket_path.exists()
    assert left_in_the_file_system(gateway.process.pid) == []
    assert [line for line in gateway.process.errors().splitlines() if is_fault(line)] == []


def test_sigint_ends_it_as_sigterm_does(start, config):
    gateway = start(config)
    assert gateway.process.end(signal.SIGINT) == 0
    assert not gateway.socket_path.exists()


def test_sighup_follows_the_file_and_traffic_that_stays_legal_loses_nothing(start, network, config):
    gateway = start(config)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS) and all_answered(network.blue, FAR_ADDRESS))
    red, blue = Pings(network.red, FAR_ADDRESS), Pings(network.blue, FAR_ADDRESS)
    eventually("replies", lambda: len(red.replies()) > 5 and len(blue.replies()) > 5)
    before = {flow["id"] for flow in gateway.sessions() if flow["vpc"] == "red"}
    # Blue may not go outside any more.
    changed = copy.deepcopy(config)
    changed["externalPools"][0]["vpcs"] = ["red"]
    gateway.reload(changed)
    eventually("the reload", lambda: "new configuration is in force" in gateway.log())
    # A ping sent before may still be answered; after that none is.
    seen = len(blue.replies())
    time.sleep(0.5)
    assert len(blue.replies()) <= seen + 2
    eventually("more replies", lambda: len(red.replies()) > 30)
    answered = red.replies()
    assert answered == list(range(1, len(answered) + 1)), "red lost or reordered replies over the reload"
    assert {flow["vpc"] for flow in gateway.sessions()} == {"red"}
    assert before <= {flow["id"] for flow in gateway.sessions()}
    assert gateway.counters()["drops"].get("no-pool", 0) > 0
    red.stop()
    blue.stop()


def test_sighup_refuses_what_cannot_change_and_goes_on_as_before(start, network, config):
    gateway = start(config)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    changed = copy.deepcopy(config)
    changed["externalPools"][0]["vpcs"] = ["red"]
    changed["nat"]["maxSessions"] += 1
    gateway.reload(changed)
    eventually("the refusal", lambda: "new configuration refused" in gateway.log())
    assert "/nat/maxSessions" in gateway.log()
    assert all_answered(network.red, FAR_ADDRESS) and all_answered(network.blue, FAR_ADDRESS)


def test_sighup_during_the_start_is_followed_after_it(start, config):
    gateway = start(config, wait=False)
    # The NIC has been tried, its rules and sockets are still to come.
    eventually("half of the start", lambda: "offload target" in gateway.log(), 20)
    changed = copy.deepcopy(config)
    changed["externalPools"][0]["vpcs"] = ["red"]
    gateway.reload(changed)
    eventually("the reload", lambda: "new configuration is in force" in gateway.log() or not gateway.process.running, 20)
    assert gateway.process.running, gateway.log()
    assert gateway.stop() == 0


def test_killed_in_the_middle_of_traffic_the_next_start_works_at_once_and_traffic_goes_on(start, network, config):
    first = start(config)
    listener = network.red.listen(STATIC_HOST, 7100)
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    pings = Pings(network.red, FAR_ADDRESS)
    flood = network.blue.start("ping", "-n", "-q", "-f", FAR_ADDRESS)
    eventually("replies", lambda: len(pings.replies()) > 10)
    interfaces = network.gateway.interfaces()

    first.kill()
    assert first.process.popen.returncode == -signal.SIGKILL
    before = len(pings.replies())
    assert network.gateway.interfaces() == interfaces == ["ext0", "fab0", "lo"]
    assert left_in_the_file_system(first.process.pid) == []

    started = time.monotonic()
    second = start(config)
    seconds = time.monotonic() - started
    eventually("the same ping goes on", lambda: len(pings.replies()) > before + 10)
    for process in (pings.process, flood):
        process.kill()
    assert seconds < 10
    assert second.faults() == []
    client = network.outside.socket()
    client.connect((STATIC_EXTERNAL, 7100))
    server, _ = listener.accept()
    server.sendall(b"still here")
    assert client.recv(100) == b"still here"
    flows = json.loads(second.flows("--format", "json"))
    assert {flow["protocol"] for flow in flows} == {"icmp", "tcp"}, "only what came since the start"
    assert second.stop() == 0


def test_killed_at_any_time_of_its_start_the_next_start_works(start, network, config):
    for milliseconds in (20, 150, 300, 450, 600, 900):
        gateway = start(config, wait=False)
        time.sleep(milliseconds / 1000)
        gateway.kill()
        assert left_in_the_file_system(gateway.process.pid) == []
    last = start(config)
    eventually("traffic", lambda: all_answered(network.blue, FAR_ADDRESS))
    assert network.gateway.interfaces() == ["ext0", "fab0", "lo"]
    assert last.faults() == []
    assert last.stop() == 0


def test_a_udp_flow_survives_a_restart_from_the_hosts_view(start, network, config):
    server = network.outside.socket(socket.SOCK_DGRAM, (FAR_ADDRESS, 9401), seconds=0.2)
    client = network.red.socket(socket.SOCK_DGRAM, (SHARED_HOST, 27000), seconds=0.2)

    def asked_and_answered():
        client.sendto(b"question", (FAR_ADDRESS, 9401))
        _, peer = server.recvfrom(100)
        server.sendto(b"answer", peer)
        return client.recv(100) == b"answer"

    for _ in range(2):
        gateway = start(config)
        eventually("an answer", asked_and_answered)
        for _ in range(20):
            assert asked_and_answered()
        gateway.kill()


@pytest.mark.parametrize("fault", ["an interface that is not there", "a driver that is not there", "a wire that is not there", "a PCI address that is not there"])
def test_a_device_that_cannot_be_opened_is_one_clear_line_and_exit_1(start, config, tmp_path, fault):
    device, named = {
        "an interface that is not there": ("net_softflow1,wire=net_af_packet1:iface=nosuch0", "nosuch0"),
        "a driver that is not there": ("net_nosuch1,iface=ext0", "net_nosuch1"),
        "a wire that is not there": ("net_softflow1,wire=net_nosuch1:iface=ext0", "net_nosuch1"),
        "a PCI address that is not there": ("0000:99:00.0", "0000:99:00.0"),
    }[fault]
    wrong = json.loads(json.dumps(config))
    wrong["ports"]["external"]["device"] = device
    wrong["control"]["socket"] = str(tmp_path / "gw.sock")
    gateway = start(wrong, wait=False)
    assert gateway.process.wait(15) == 1
    lines = messages(gateway.process)
    assert len(lines) == 1, gateway.log()
    assert lines[0].startswith("/ports/external/device: ") and named in lines[0] and lines[0].endswith(")"), lines[0]
    assert gateway.process.output() == ""
    assert not gateway.socket_path.exists()


def test_packet_sockets_whose_group_another_process_has_are_one_clear_line_with_a_remedy(network, config, tmp_path):
    """net_af_packet's group is its process id xor the interface's index: that one is taken, on another interface."""
    file, go = tmp_path / "gateway.json", tmp_path / "go"
    file.write_text(json.dumps(config), encoding="utf-8")
    # The shell becomes the gateway, whose process id is known before it begins.
    process = network.gateway.start("sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done; exec "$@"', go, SLUICE, "gateway", "--config", file)
    indexes = {name: index for index, name in network.gateway.inside(socket.if_nameindex)}

    def taken():
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        one.bind(("lo", ETH_P_ALL))
        one.setsockopt(SOL_PACKET, PACKET_FANOUT, (process.pid ^ indexes["fab0"]) & 0xFFFF)
        return one

    network.lab.owned(network.gateway.inside(taken))
    go.touch()
    assert process.wait(20) == 1
    lines = messages(process)
    assert len(lines) == 1, process.errors()
    assert lines[0].startswith("/ports/fabric/device: ") and "PACKET_FANOUT" in lines[0] and "namespace of its own" in lines[0]


def test_a_control_socket_in_use_is_one_clear_line_and_exit_1_and_the_first_gateway_goes_on(start, network, config):
    first = start(config)
    second = start(config, wait=False)
    assert second.process.wait(15) == 1
    lines = messages(second.process)
    assert len(lines) == 1, second.log()
    assert str(first.socket_path) in lines[0]
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    assert first.counters()
    assert first.stop() == 0


def with_metrics(config, port, folder):
    changed = json.loads(json.dumps(config))
    changed["metrics"] = {"address": f"127.0.0.1:{port}"}
    changed["control"]["socket"] = str(folder / "gw.sock")
    return changed


def test_metrics_are_scraped_while_traffic_flows(start, network, config, tmp_path):
    gateway = start(with_metrics(config, 9464, tmp_path))
    eventually("traffic", lambda: all_answered(network.red, FAR_ADDRESS))
    pings = Pings(network.red, FAR_ADDRESS)
    eventually("replies", lambda: len(pings.replies()) > 5)
    types, first = scrape(network, 9464)
    replies = len(pings.replies())
    eventually("more replies", lambda: len(pings.replies()) >= replies + 20)
    network.red.socket(socket.SOCK_DGRAM).sendto(b"a flow for the NIC, which echo requests are not", (FAR_ADDRESS, 9402))
    eventually("a NIC rule each way", lambda: scrape(network, 9464)[1][("sluice_nic_rules_wanted",)] >= 2)
    _, second = scrape(network, 9464)
    pings.stop()

    ours = {name: kind for name, kind in types.items() if name.startswith("sluice_")}
    assert all((kind == "counter") == name.endswith("_total") for name, kind in ours.items())
    assert {"sluice_sessions", "sluice_drops_total", "process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds"} <= set(types)
    # Labels in alphabetical order: class, vpc.
    session = ("vpc-to-external", "red")
    assert second[("sluice_sessions", *session)] >= 1
    opened, ended = (second[(f"sluice_sessions_{what}_total", *session)] for what in ("opened", "ended"))
    assert opened - ended == second[("sluice_sessions", *session)]
    assert second[("sluice_sessions_max",)] == 10000
    owned = second[("sluice_pool_ports_owned", "external", "internet", "icmp", "")]
    assert 1 <= owned <= second[("sluice_mappings",)]
    assert second[("sluice_pool_ports_max", "external", "internet", "icmp", "")] > 16 * 60000
    for direction in ("received", "transmitted"):
        key = ("sluice_port_packets_total", direction, "external")
        assert second[key] >= first[key] + 20
    paths = [sum(sample[("sluice_packets_total", path)] for path in ("software", "nic")) for sample in (first, second)]
    assert paths[1] >= paths[0] + 40, "requests and replies"
    assert second[("sluice_nic_rules",)] >= second[("sluice_nic_rules_wanted",)] - first[("sluice_nic_rules_wanted",)]
    for key, value in first.items():
        if types.get(key[0]) == "counter":
            assert second[key] >= value, key

    gateway.file.write_text("{", encoding="utf-8")
    gateway.process.send(signal.SIGHUP)
    eventually("a refusal is counted", lambda: scrape(network, 9464)[1][("sluice_config_reloads_total", "refused")] == 1)
    assert gateway.stop() == 0


def test_an_address_for_metrics_in_use_is_one_clear_line_and_exit_1(start, network, config, tmp_path):
    network.gateway.listen("127.0.0.1", 9465)
    gateway = start(with_metrics(config, 9465, tmp_path), wait=False)
    assert gateway.process.wait(15) == 1
    lines = messages(gateway.process)
    assert len(lines) == 1, gateway.log()
    assert lines[0].startswith("/metrics/address: 127.0.0.1:9465 is in use")
    assert not gateway.socket_path.exists()


def test_sluice_flows_says_in_one_line_that_no_gateway_answers(network, config):
    asked = network.gateway.start(os.environ.get("SLUICE", Path(__file__).resolve().parents[2] / "bin" / "sluice"), "flows", "--socket", config["control"]["socket"])
    assert asked.wait(10) == 1
    assert len(messages(asked)) == 1 and config["control"]["socket"] in messages(asked)[0]
