"""The harness judged: what it calls right is right by scapy, and every fault that it should find is found."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from captures import read_pcap, write_pcap
from frames import example_config, frame_from_outside, frame_from_vpc
from harness import Outcome, Replay, Sent, counters_faults, endpoint_faults, flow_faults, frame_faults, judge
from packets import (
    Ipv4,
    Seen,
    fragments_of,
    internet_checksum,
    ip_faults,
    reassembled,
    translated,
    translated_error,
    transport_checksum,
    updated_checksum,
)
from traffic import RED, X, as_quoted, echo, icmp_error, tcp, udp

PACKETS = [udp(RED, 1000, X, 53), tcp(RED, 1000, X, 80, "PA", b"odd"), echo(RED, X, 7, 9), udp(RED, 1, X, 2, b"x" * 1001)]


def gateway_frame(config, packet, vni=200, vtep="172.30.0.12", mac="02:00:00:02:00:12", **outer):
    """A frame as the gateway itself should send it into VPC blue."""
    return bytes(
        Ether(src=config["underlay"]["mac"], dst="02:00:00:00:00:12")
        / IP(**{"src": config["underlay"]["vtep"], "dst": vtep, "ttl": 64, "flags": "DF", "id": 0, **outer})
        / UDP(sport=50000, dport=4789, chksum=0)
        / VXLAN(flags=8, vni=vni)
        / Ether(src=config["underlay"]["mac"], dst=mac, type=0x0800)
        / Raw(bytes(packet))
    )


@pytest.mark.parametrize("packet", PACKETS, ids=["udp", "tcp", "echo", "long"])
def test_right_checksums_are_called_right(packet):
    assert ip_faults(Ipv4(bytes(packet)), "packet") == []


@pytest.mark.parametrize("packet", PACKETS, ids=["udp", "tcp", "echo", "long"])
def test_every_single_flipped_bit_of_a_packet_is_found(packet):
    raw = bytes(packet)[:60]
    packet = IP(raw)
    packet.len = len(raw)
    del packet.chksum
    packet[packet.payload.__class__].chksum = None
    if UDP in packet:
        packet[UDP].len = None
    raw = bytes(packet)
    assert ip_faults(Ipv4(raw), "packet") == []
    for bit in range(8, len(raw) * 8):
        # Version, lengths and fragment bits change what the packet is, not merely whether its sums fit; a UDP checksum cannot flip to 0.
        if bit // 8 in (0, 2, 3, 6, 7):
            continue
        broken = bytearray(raw)
        broken[bit // 8] ^= 0x80 >> bit % 8
        assert ip_faults(Ipv4(bytes(broken)), "packet"), f"bit {bit} flipped unnoticed"


def test_a_wrong_checksum_inside_an_icmp_error_is_found():
    quote = bytearray(bytes(udp("203.0.113.16", 1000, X, 53)))
    error = icmp_error("192.0.2.1", "203.0.113.16", quote)
    assert ip_faults(Ipv4(error), "error") == []
    quote[-1] ^= 1
    assert any("quoted" in fault for fault in ip_faults(Ipv4(icmp_error("192.0.2.1", "203.0.113.16", quote)), "error"))
    quote[-1] ^= 1
    quote[8] ^= 1
    assert any("quoted" in fault for fault in ip_faults(Ipv4(icmp_error("192.0.2.1", "203.0.113.16", quote)), "error"))


def test_udp_checksum_zero_is_allowed_and_negative_zero_in_a_header_is_not():
    assert ip_faults(Ipv4(bytes(udp(RED, 1, X, 2, checksum=0))), "packet") == []
    raw = bytearray(bytes(udp(RED, 1, X, 2)))
    for identifier in range(65536):
        raw[4:6] = struct.pack("!H", identifier)
        if internet_checksum(bytes(raw[:10]) + b"\0\0" + bytes(raw[12:20])) == 0:
            break
    raw[10:12] = b"\0\0"
    assert ip_faults(Ipv4(bytes(raw)), "packet") == []
    raw[10:12] = b"\xff\xff"
    assert ip_faults(Ipv4(bytes(raw)), "packet")


def test_a_frame_as_it_should_leave_has_no_fault_and_each_deviation_is_one():
    config = example_config()
    packet = udp(X, 53, "10.0.2.7", 1000)

    def faults(frame):
        return frame_faults(config, Seen("fabric", 0, frame))

    assert faults(gateway_frame(config, packet)) == []
    good = gateway_frame(config, packet)
    # Offsets: outer Ethernet 0, outer IPv4 14, UDP 34, VXLAN 42, inner Ethernet 50, inner IPv4 64.
    for at, name in [
        (5, "outer destination MAC"),
        (11, "outer source MAC"),
        (15, "TOS"),
        (22, "TTL"),
        (24, "header checksum"),
        (41, "UDP checksum"),
        (42, "VXLAN flags"),
        (43, "VXLAN reserved"),
        (48, "VNI"),
        (49, "VXLAN reserved"),
        (55, "inner destination MAC"),
        (61, "inner source MAC"),
        (72, "inner TTL"),
        (92, "inner payload"),
    ]:
        broken = bytearray(good)
        broken[at] ^= 1
        assert faults(bytes(broken)), name
    assert faults(gateway_frame(config, packet, ttl=63))
    assert faults(gateway_frame(config, packet, flags=0))
    assert faults(gateway_frame(config, packet, vtep="172.30.0.11"))
    assert faults(gateway_frame(config, packet, vni=100))
    assert faults(gateway_frame(config, udp(X, 53, "10.9.9.9", 1000)))


def test_a_plain_frame_with_a_wrong_address_is_found():
    config = example_config()
    external = config["ports"]["external"]
    right = bytes(Ether(src=external["mac"], dst=external["nextHop"]["mac"], type=0x0800) / Raw(bytes(PACKETS[0])))
    assert frame_faults(config, Seen("external", 0, right)) == []
    for at in (0, 5, 6, 11):
        broken = bytearray(right)
        broken[at] ^= 1
        assert frame_faults(config, Seen("external", 0, bytes(broken)))


@pytest.mark.parametrize("packet", PACKETS, ids=["udp", "tcp", "echo", "long"])
def test_the_oracle_translates_as_scapy_does(packet):
    rebuilt = IP(bytes(packet))
    rebuilt.src, rebuilt.ttl = "203.0.113.16", rebuilt.ttl - 1
    del rebuilt.chksum
    if ICMP in rebuilt:
        rebuilt[ICMP].id = 5000
        del rebuilt[ICMP].chksum
    else:
        transport = TCP if TCP in rebuilt else UDP
        rebuilt[transport].sport = 5000
        del rebuilt[transport].chksum
    assert translated(packet, source=("203.0.113.16", 5000)) == bytes(rebuilt)


@pytest.mark.parametrize("packet", PACKETS, ids=["udp", "tcp", "echo", "long"])
def test_the_oracle_put_in_reverse_restores_the_packet(packet):
    ip = Ipv4(bytes(packet))
    there = translated(packet, ("203.0.113.16", 5000), ("192.0.2.1", 5000 if ip.protocol == 1 else 6000), 0)
    assert translated(there, ip.source, ip.destination, 0) == bytes(packet)


@pytest.mark.parametrize("length", [28, 40, None])
def test_the_oracle_restores_a_quoted_packet(length):
    for packet in PACKETS:
        sent = translated(packet, source=("203.0.113.16", 5000))
        error = icmp_error("192.0.2.254", "203.0.113.16", as_quoted(sent, 1, length), 11, 0)
        back = translated_error(error, destination=RED, quoted_source=Ipv4(bytes(packet)).source)
        assert Ipv4(back).quoted.raw == as_quoted(packet, 1, length)
        assert ip_faults(Ipv4(back), "error") == []


def test_incremental_and_full_checksums_agree():
    for packet in PACKETS:
        ip, out = Ipv4(bytes(packet)), Ipv4(translated(packet, source=("203.0.113.16", 5000)))
        old, new = (ip.raw[12:16], out.raw[12:16]) if ip.protocol != 1 else (b"", b"")
        at = 4 if ip.protocol == 1 else 0
        checksum = updated_checksum(ip.l4_checksum, old + ip.payload[at : at + 2], new + out.payload[at : at + 2])
        assert checksum == out.l4_checksum == transport_checksum(out)


def test_fragments_reassemble_in_any_order_and_a_missing_one_is_noticed():
    packet = udp(RED, 1000, X, 53, bytes(range(256)) * 5)
    pieces = [Ipv4(piece) for piece in fragments_of(packet, 400)]
    assert len(pieces) == 4 and all(ip_faults(piece, "fragment") == [] for piece in pieces)
    assert reassembled(pieces[::-1]).raw == bytes(packet)
    for missing in range(4):
        with pytest.raises(AssertionError):
            reassembled(pieces[:missing] + pieces[missing + 1 :])
    pieces[2].payload = b"\1" + pieces[2].payload[1:]
    with pytest.raises(AssertionError):
        reassembled(pieces)


def test_captures_are_read_as_they_were_written(tmp_path):
    records = [(0, b"a" * 60), (999_999, b"b" * 61), (1_000_000, b"c" * 1500)]
    write_pcap(tmp_path / "little.pcap", records)
    write_pcap(tmp_path / "big.pcap", records, ">")
    assert read_pcap(tmp_path / "little.pcap") == read_pcap(tmp_path / "big.pcap") == records


def test_scapy_reads_the_frames_that_tests_send():
    config = example_config()
    frame = Ether(frame_from_vpc(config, "red", PACKETS[0]))
    assert (frame.dst, frame[IP].dst, frame[UDP].dport, frame[VXLAN].vni) == ("02:00:00:00:f0:01", "172.30.0.1", 4789, 100)
    assert frame[UDP].sport >= 49152 and frame[VXLAN].flags == 8
    assert frame[VXLAN].payload.dst == "02:00:00:00:f0:01" and bytes(frame[VXLAN].payload.payload) == bytes(PACKETS[0])
    plain = Ether(frame_from_outside(config, PACKETS[0]))
    assert plain.dst == "02:00:00:00:e0:01" and bytes(plain.payload) == bytes(PACKETS[0])


def good_flow():
    direction = {"path": "software", "reason": None, "packets": 1, "bytes": 36}
    return {
        "id": "1", "class": "vpc-to-external", "vpc": "red", "protocol": "udp", "state": "open",
        "inside": {"address": RED, "port": 1000}, "nat": {"address": "203.0.113.16", "port": 5000}, "remote": {"address": X, "port": 53},
        "underlay": {"vni": 100, "vtep": "172.30.0.11"}, "forward": dict(direction), "reverse": dict(direction),
        "ageMs": 0, "idleMs": 0, "expiresInMs": 300000,
    }  # fmt: skip


def test_a_flow_dump_that_departs_from_the_contract_is_found():
    assert flow_faults(good_flow()) == []
    for change in (
        lambda f: f.pop("vpc"),
        lambda f: f.update(extra=1),
        lambda f: f.update({"class": "outbound"}),
        lambda f: f.update(protocol=17),
        lambda f: f.update(protocol="UDP"),
        lambda f: f["inside"].update(address="10.0.1"),
        lambda f: f["nat"].update(port="5000"),
        lambda f: f["forward"].update(path="nic"),
        lambda f: f["reverse"].pop("bytes"),
        lambda f: f["underlay"].pop("vni"),
        lambda f: f.update(ageMs=-1),
    ):
        flow = good_flow()
        change(flow)
        assert flow_faults(flow)


def test_an_endpoint_held_twice_is_found():
    other = {**good_flow(), "vpc": "blue"}
    assert endpoint_faults(example_config(), [good_flow(), good_flow()]) == []
    assert endpoint_faults(example_config(), [good_flow(), other])


def test_counters_that_do_not_add_up_are_found():
    config = example_config()
    packets = [Sent("fabric", 0, b"x" * 60), Sent("fabric", 1, b"y" * 60)]
    external = config["ports"]["external"]
    frame = bytes(Ether(src=external["mac"], dst=external["nextHop"]["mac"], type=0x0800) / Raw(translated(PACKETS[0])))

    def outcome(received=2, transmitted=1, slow=2, nic=0, drops=1):
        counters = {
            "ports": {"fabric": {"received": received, "transmitted": 0}, "external": {"received": 0, "transmitted": transmitted}},
            "slowPath": {"packets": slow, "misses": 1}, "nic": {"packets": nic}, "drops": {"malformed": drops},
        }  # fmt: skip
        return Outcome(config, {}, [], counters, "", [Seen("external", 0, frame)])

    assert counters_faults(config, packets, outcome(), 0) == []
    assert counters_faults(config, packets, outcome(slow=1, nic=1), 0) == []
    for wrong in (outcome(received=3), outcome(transmitted=2), outcome(slow=1), outcome(drops=0), outcome(drops=2)):
        assert counters_faults(config, packets, wrong, 0)
    assert counters_faults(config, packets, outcome(), 1)


def test_an_output_stamped_with_another_time_is_found():
    capture = Replay()
    sent = capture.inside("red", PACKETS[0])
    external = capture.config["ports"]["external"]
    frame = bytes(Ether(src=external["mac"], dst=external["nextHop"]["mac"], type=0x0800) / Raw(translated(PACKETS[0])))
    counters = {
        "ports": {"fabric": {"received": 1, "transmitted": 0}, "external": {"received": 0, "transmitted": 1}},
        "slowPath": {"packets": 1, "misses": 1}, "nic": {"packets": 0}, "drops": {},
    }  # fmt: skip
    assert judge(capture.config, [sent], Outcome(capture.config, {}, [], counters, "", [Seen("external", 0, frame)])) == []
    assert judge(capture.config, [sent], Outcome(capture.config, {}, [], counters, "", [Seen("external", 1, frame)]))
