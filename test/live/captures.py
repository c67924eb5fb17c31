"""What tshark, with every checksum validation on, finds in a capture."""

import subprocess

VALIDATE = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"]
BAD, GOOD = 0, 1  # epan/proto.h, proto_checksum_enum_e
TSHARK_SECONDS = 60


def tshark(path, display_filter, *fields):
    """One line for each packet that the filter matches, in any layer: inner headers count as outer ones."""
    command = ["tshark", "-n", "-r", str(path), "-Y", display_filter]
    for option in VALIDATE:
        command += ["-o", option]
    if fields:
        command += ["-T", "fields"] + [word for field in fields for word in ("-e", field)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TSHARK_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def bad_checksums(path):
    """Packets with a wrong IPv4, TCP, UDP or ICMP checksum; quoted headers inside ICMP errors are cut and not judged."""
    return tshark(path, " || ".join(f"{layer}.checksum.status == {BAD}" for layer in ("ip", "tcp", "udp", "icmp")))


def checked_checksums(path, layer):
    """How many packets have a right checksum in that layer: none bad says nothing where none were looked at."""
    return len(tshark(path, f"{layer}.checksum.status == {GOOD}", "frame.number"))
