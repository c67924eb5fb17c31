"""What tshark, with every checksum validation on, finds in a capture."""

import atexit
import functools
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

LAYERS = ("ip", "tcp", "udp", "icmp")
PROTOCOLS = {"frame", "eth", "eth_withoutfcs", "eth_maybefcs", "ethertype", "arp", "ip", "tcp", "udp", "icmp", "vxlan", "data"}
OPTIONS = [
    *("ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"),
    # Streams are not put together: that is work without a use here.
    *("tcp.desegment_tcp_streams:FALSE", "tcp.analyze_sequence_numbers:FALSE"),
]
BAD, GOOD = "0", "1"  # epan/proto.h, proto_checksum_enum_e
TSHARK_SECONDS = 60


@functools.cache
def profile():
    """A configuration folder in which all other protocols are off: tshark takes payload for whatever its port is known for, and would judge
    "headers" in a file that is being downloaded."""
    folder = tempfile.TemporaryDirectory(prefix="slc-tshark-")
    atexit.register(folder.cleanup)
    table = subprocess.run(["tshark", "-G", "protocols"], capture_output=True, text=True, timeout=TSHARK_SECONDS, check=True).stdout
    names = {line.split("\t")[2] for line in table.splitlines()}
    assert {"tcp", "vxlan"} <= names
    Path(folder.name, "disabled_protos").write_text("".join(f"{name}\n" for name in sorted(names - PROTOCOLS)), encoding="utf-8")
    return folder.name


def run_on(path, display_filter, *options):
    command = ["tshark", "-n", "-r", str(path), *options]
    command += ["-Y", display_filter] if display_filter else []
    for option in OPTIONS:
        command += ["-o", option]
    environment = os.environ | {"WIRESHARK_CONFIG_DIR": profile()}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TSHARK_SECONDS, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tshark(path, display_filter, *fields):
    """One line of tab-separated fields for each packet that the filter matches; a field has a value for each layer, inner and outer."""
    return run_on(path, display_filter, "-T", "fields", *(word for field in fields or ("frame.number",) for word in ("-e", field))).splitlines()


def frames(path, numbers):
    """The frames with these numbers in full, for a message."""
    chosen = " || ".join(f"frame.number == {number}" for number in numbers)
    return run_on(path, chosen, "-V", "-x")


def checksums(path):
    """Numbers of frames with a wrong checksum in any header, and how many right ones there are in each protocol: none bad says nothing
    where none were looked at. Headers that ICMP errors quote are cut off, and tshark judges of them what is there."""
    bad, good = [], Counter()
    for line in tshark(path, "", "frame.number", "tcp.checksum", "tcp.checksum_calculated", *(f"{layer}.checksum.status" for layer in LAYERS)):
        number, tcp_found, tcp_right, *statuses = line.split("\t")
        # Linux writes a TCP checksum of zero as 0xffff (CSUM_MANGLED_0). To a receiver both are zero; tshark knows one of them.
        negative_zero = (tcp_found, tcp_right) == ("0xffff", "0x0000")
        for layer, values in zip(LAYERS, statuses):
            if BAD in values.split(",") and not (layer == "tcp" and negative_zero):
                bad.append((int(number), layer))
            good[layer] += values.split(",").count(GOOD) + (layer == "tcp" and negative_zero)
    return bad, good
