"""Capture files, written and read without any library, to the microsecond."""

import struct
from pathlib import Path

from packets import MICROS

# Captures start at a whole second, so that flooring to seconds means the same whether a clock counts from the epoch or from the
# first packet.
EPOCH_SECONDS = 1_700_000_000


def write_pcap(path, records, byte_order="<", magic=0xA1B2C3D4, link_type=1):
    """`records`: (microseconds since the capture's start, frame). With the nanosecond magic the fraction is written in nanoseconds."""
    unit = 1000 if magic == 0xA1B23C4D else 1
    with open(path, "wb") as file:
        file.write(struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type))
        for micros, frame in records:
            seconds, fraction = divmod(micros, MICROS)
            file.write(struct.pack(byte_order + "IIII", EPOCH_SECONDS + seconds, fraction * unit, len(frame), len(frame)) + frame)


def write_pcapng(path, records):
    """One section, one Ethernet interface, microseconds: the defaults of the format."""

    def block(kind, body):
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    with open(path, "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        file.write(block(1, struct.pack("<HHI", 1, 0, 262144)))
        for micros, frame in records:
            stamp = EPOCH_SECONDS * MICROS + micros
            file.write(block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame)) + frame))


def read_pcap(path):
    """Reads a classic pcap, Ethernet, microseconds (what `--out` must be), in either byte order."""
    data = Path(path).read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(data[:4])
    assert order, f"{path} is no classic pcap with microseconds: {data[:4].hex()}"
    major, _, _, _, _, link_type = struct.unpack(order + "HHiIII", data[4:24])
    assert (major, link_type & 0xFFFF) == (2, 1), f"{path}: version {major}, link type {link_type}"
    records, at = [], 24
    while at < len(data):
        seconds, micros, captured, length = struct.unpack(order + "IIII", data[at : at + 16])
        frame = data[at + 16 : at + 16 + captured]
        assert captured == length == len(frame) and micros < MICROS, f"{path}: bad record at {at}"
        records.append(((seconds - EPOCH_SECONDS) * MICROS + micros, frame))
        at += 16 + captured
    return records
