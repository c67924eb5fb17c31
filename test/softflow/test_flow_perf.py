"""dpdk-test-flow-perf inserts and deletes NAT rules: another client's idea of what a NIC answers."""

import re
import shutil
import subprocess

import pytest

from testpmd import DRIVER

RULES = 100_000


@pytest.mark.skipif(not DRIVER.exists(), reason="the driver is not built")
@pytest.mark.skipif(shutil.which("dpdk-test-flow-perf") is None, reason="dpdk-test-flow-perf is not installed")
def test_flow_perf_inserts_and_deletes_vxlan_nat_rules():
    command = [
        "dpdk-test-flow-perf", "-l", "0,1", "--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--no-telemetry",
        "-d", str(DRIVER), "--vdev", "net_softflow0,wire=net_null0", "--",
        "--ingress", "--ether", "--ipv4", "--udp", "--vxlan", "--count", "--set-src-ipv4", "--set-src-tp", "--dec-ttl",
        "--vxlan-decap", "--queue", f"--rules-count={RULES}", f"--rules-batch={RULES // 10}", "--deletion-rate",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert not re.search(r"error|failed", done.stdout, re.IGNORECASE), done.stdout
    assert re.search(r"Rules insertion rate -> [0-9.]+ K Rule/Sec", done.stdout), done.stdout
    assert re.search(r"Rules deletion rate -> [0-9.]+ K Rule/Sec", done.stdout), done.stdout
