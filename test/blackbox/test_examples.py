"""The example captures, as a newcomer replays them: who handled the packets, and that what left is right for tshark too."""

import collections
import json
import pathlib
import subprocess

import pytest

from captures import read_pcap

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PORTS = ("fabric", "external")
LONG_FLOW = 100  # packets, both directions


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    command = [ROOT / "bin/sluice", "replay", "--config", EXAMPLES / "gateway.json"]
    for port in PORTS:
        command += ["--in", f"{port}={EXAMPLES / port}.pcap", "--out", f"{port}={folder / port}.pcap"]
    command += ["--flows", folder / "flows.json", "--counters", folder / "counters.json"]
    subprocess.run(command, check=True, timeout=60)
    return folder


def test_counters_agree_with_the_captures_to_the_packet(replayed):
    # issue 2: "counters of both sides agree with the capture's count to the packet".
    counters = json.loads((replayed / "counters.json").read_text())
    for port in PORTS:
        assert counters["ports"][port]["received"] == len(read_pcap(EXAMPLES / f"{port}.pcap"))
        assert counters["ports"][port]["transmitted"] == len(read_pcap(replayed / f"{port}.pcap"))
    received = sum(counters["ports"][port]["received"] for port in PORTS)
    assert counters["nic"]["packets"] + counters["slowPath"]["packets"] == received


def test_the_nic_does_at_least_95_percent_of_the_packets_of_long_flows(replayed):
    counters = json.loads((replayed / "counters.json").read_text())
    flows = json.loads((replayed / "flows.json").read_text())
    packets = [flow["forward"]["packets"] + flow["reverse"]["packets"] for flow in flows]
    assert sum(count >= LONG_FLOW for count in packets) >= 4
    # Even if every packet that the CPU saw were of a long flow.
    assert counters["slowPath"]["packets"] <= 0.05 * sum(count for count in packets if count >= LONG_FLOW)


def test_tshark_finds_no_bad_checksum_in_what_left(replayed):
    # issue 2: with checksum validation on, no bad IPv4, TCP, UDP or ICMP checksum, inner and outer.
    fields = ("ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status")
    seen = collections.Counter()
    for port in PORTS:
        command = ["tshark", "-n", "-r", replayed / f"{port}.pcap", "-T", "fields"]
        for layer in ("ip", "tcp", "udp"):
            command += ["-o", f"{layer}.check_checksum:TRUE"]
        for field in fields:
            command += ["-e", field]
        lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
        for line in lines:
            for field, statuses in zip(fields, line.split("\t")):
                seen.update((field, status) for status in statuses.split(",") if status)
    assert not [key for key in seen if key[1] in ("0", "Bad")], seen
    for field in fields:
        assert seen[(field, "1")] + seen[(field, "Good")] > 0, seen
