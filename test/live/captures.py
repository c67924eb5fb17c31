"""What tshark, with every checksum validation on, finds in a capture."""

import subprocess
from collections import Counter

LAYERS = ("ip", "tcp", "udp", "icmp")
OPTIONS = [
    *("ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"),
    # Streams are not put together: that is work without a use here.
    *("tcp.desegment_tcp_streams:FALSE", "tcp.analyze_sequence_numbers:FALSE"),
]
BAD, GOOD = "0", "1"  # epan/proto.h, proto_checksum_enum_e
TSHARK_SECONDS = 60


def tshark(path, display_filter, *fields):
    """One line of tab-separated fields for each packet that the filter matches; a field has a value for each layer, inner and outer."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "--disable-protocol", "http"]
    command += ["-Y", display_filter] if display_filter else []
    for option in OPTIONS:
        command += ["-o", option]
    for field in fields or ("frame.number",):
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TSHARK_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def frames(path, numbers):
    """The frames with these numbers in full, for a message."""
    chosen = " || ".join(f"frame.number == {number}" for number in numbers)
    command = ["tshark", "-n", "-r", str(path), "-Y", chosen, "-V", "-x"]
    for option in OPTIONS:
        command += ["-o", option]
    return subprocess.run(command, capture_output=True, text=True, timeout=TSHARK_SECONDS, check=False).stdout


def checksums(path):
    """Numbers of frames with a wrong checksum in any header, and how many right ones there are in each protocol: none bad says nothing
    where none were looked at. Headers that ICMP errors quote are cut off, and tshark judges of them what is there."""
    bad, good = [], Counter()
    for line in tshark(path, "", "frame.number", *(f"{layer}.checksum.status" for layer in LAYERS)):
        number, *statuses = line.split("\t")
        for layer, values in zip(LAYERS, statuses):
            if BAD in values.split(","):
                bad.append((int(number), layer))
            good[layer] += values.split(",").count(GOOD)
    return bad, good
