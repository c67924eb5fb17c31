#!/usr/bin/python3
"""Makes fabric.pcap and external.pcap beside this file: what a gateway with gateway.json might receive in about twenty seconds.

The packets are scapy's (python3-scapy of Debian), so nothing of the gateway has a hand in them. But an answer from outside must go to the
endpoint that the gateway gave the question, and only the gateway knows it. So the captures are made in rounds: `bin/sluice replay` tells
where each first packet came out, the next round adds the answers, and when a round tells what the one before told, the captures are done.
The seed in gateway.json makes them the same every time.
"""

import json
import logging
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.dns import DNS, DNSQR, DNSRR  # noqa: E402
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.layers.vxlan import VXLAN  # noqa: E402
from scapy.packet import Raw  # noqa: E402

HERE = Path(__file__).resolve().parent
SLUICE = HERE.parent / "bin" / "sluice"
CONFIG = json.loads((HERE / "gateway.json").read_text())
EPOCH_SECONDS = 1_704_110_400  # 2024-01-01 12:00:00 UTC
MICROS = 1_000_000

UNDERLAY, EXTERNAL = CONFIG["underlay"], CONFIG["ports"]["external"]
NEXT_HOP_MAC = EXTERNAL["nextHop"]["mac"]
VTEP_MACS = {vtep["address"]: vtep["mac"] for vtep in CONFIG["vteps"]}
VPCS = {vpc["name"]: vpc for vpc in CONFIG["vpcs"]}

RED_HOST, RED_WEB, RED_WEB_PUBLIC = "10.0.1.7", ("10.0.1.6", 8080), ("203.0.113.11", 80)
BLUE_HOST, BLUE_DATABASE, BLUE_DATABASE_PEERING = "10.0.1.7", "10.0.2.9", "100.64.2.9"
DOWNLOADS, RESOLVER, CALLEE, VISITOR = "198.51.100.7", "192.0.2.53", "198.51.100.20", "192.0.2.80"


class Round:
    """One making of the captures, with the endpoints that are known so far: first packet's time → (address, port) it came out with."""

    def __init__(self, endpoints):
        self.endpoints = endpoints
        self.frames = {"fabric": [], "external": []}
        self.openers = {}
        self.times = set()
        self.identification = random.Random(1)

    def add(self, port_name, seconds, frame):
        micros = round(seconds * MICROS)
        while micros in self.times:
            micros += 1
        self.times.add(micros)
        self.frames[port_name].append((micros, bytes(frame)))
        return micros

    def header(self, source, destination, **more):
        return IP(src=source, dst=destination, ttl=64, id=self.identification.randrange(65536), **more)

    def inside(self, vpc_name, seconds, packet, vni=None):
        """A host of a VPC sends, and its VTEP encapsulates for the gateway's."""
        vpc = VPCS[vpc_name]
        route = vpc["routes"][0]
        entropy = 49152 + int(packet.dst.split(".")[3]) * 16 + packet.proto
        outer = Ether(src=VTEP_MACS[route["vtep"]], dst=UNDERLAY["mac"]) / IP(src=route["vtep"], dst=UNDERLAY["vtep"], ttl=64, flags="DF", id=0)
        tunnel = UDP(sport=entropy, dport=UNDERLAY["udpPort"], chksum=0) / VXLAN(flags=8, vni=vni or vpc["vni"])
        return self.add("fabric", seconds, outer / tunnel / Ether(src=route["mac"], dst=UNDERLAY["mac"]) / packet)

    def outside(self, seconds, packet):
        """The next hop delivers to the external port."""
        return self.add("external", seconds, Ether(src=NEXT_HOP_MAC, dst=EXTERNAL["mac"]) / packet)

    def endpoint(self, name, micros):
        """Where the flow that began at `micros` came out, None in the first round."""
        self.openers[name] = micros
        return self.endpoints.get(name)


class Tcp:
    """A TCP connection, a talks first; each end is told how to send, and whom it sees. Times run on as it goes."""

    def __init__(self, made, seconds, send_a, a, a_sees, send_b, b, b_sees):
        self.made, self.now = made, seconds
        self.send = {"a": (send_a, a, a_sees), "b": (send_b, b, b_sees)}
        self.next = {"a": 1_000_000, "b": 7_000_000}

    def say(self, end, flags, data=b"", after=0.0004, options=None):
        self.now += after
        send, here, there = self.send[end]
        other = "b" if end == "a" else "a"
        segment = TCP(
            sport=here[1], dport=there[1], flags=flags, seq=self.next[end], ack=self.next[other] if "A" in flags else 0, window=64240, options=options or []
        )
        packet = self.made.header(here[0], there[0], flags="DF") / segment
        sent = send(self.now, packet / Raw(data) if data else packet)
        self.next[end] += len(data) + ("S" in flags) + ("F" in flags)
        return sent

    def open(self):
        options = [("MSS", 1400), ("SAckOK", b""), ("NOP", None), ("WScale", 7)]
        self.say("b", "SA", after=0.012, options=options)
        self.say("a", "A", after=0.0003)

    def close(self, first="b"):
        second = "a" if first == "b" else "b"
        self.say(first, "FA")
        self.say(second, "A", after=0.010)
        self.say(second, "FA")
        self.say(first, "A", after=0.010)


SYN_OPTIONS = [("MSS", 1400), ("SAckOK", b""), ("NOP", None), ("WScale", 7)]


def outbound(made, name, vpc, seconds, here, there):
    """A TCP connection from a VPC to the outside, handshake done; None while its endpoint is unknown."""
    one = Tcp(made, seconds, lambda t, p: made.inside(vpc, t, p), here, there, made.outside, there, None)
    nat = made.endpoint(name, one.say("a", "S", options=SYN_OPTIONS))
    if nat is None:
        return None
    one.send["b"] = (made.outside, there, nat)
    one.open()
    return one


def download(made):
    """A host of red fetches some 600 kB: 500 segments, every second one acknowledged."""
    one = outbound(made, "download", "red", 1.0, (RED_HOST, 40112), (DOWNLOADS, 443))
    if one is None:
        return
    content = random.Random(2)
    one.say("a", "PA", content.randbytes(517))
    one.say("b", "A", after=0.011)
    for number in range(500):
        one.say("b", "PA" if number % 20 == 19 else "A", content.randbytes(1200), after=0.0008)
        if number % 2:
            one.say("a", "A", after=0.0002)
    one.close()


def call(made):
    """A voice call over UDP: a packet every 20 ms for 16 s from red, 800 out and 250 back."""
    content, nat = random.Random(3), None
    for number in range(800):
        seconds = 2.0 + number * 0.02
        packet = made.header(RED_HOST, CALLEE, tos=0xB8) / UDP(sport=16384, dport=30000)
        sent = made.inside("red", seconds, packet / Raw(struct.pack("!BBHII", 0x80, 0, number, number * 160, 7) + content.randbytes(80)))
        if number == 0:
            nat = made.endpoint("call", sent)
        elif nat and number % 16 < 5:
            voice = struct.pack("!BBHII", 0x80, 0, number, number * 160, 8) + content.randbytes(80)
            made.outside(seconds + 0.009, made.header(CALLEE, nat[0], tos=0xB8) / UDP(sport=30000, dport=nat[1]) / Raw(voice))


def database(made):
    """Red asks blue's database by its peering address: 160 questions and answers over one connection."""
    one = Tcp(
        made, 3.0, lambda t, p: made.inside("red", t, p), (RED_HOST, 51000), (BLUE_DATABASE_PEERING, 5432),
        lambda t, p: made.inside("blue", t, p), (BLUE_DATABASE, 5432), None,
    )  # fmt: skip
    nat = made.endpoint("database", one.say("a", "S", options=SYN_OPTIONS))
    if nat is None:
        return
    one.send["b"] = (one.send["b"][0], (BLUE_DATABASE, 5432), nat)
    one.open()
    content = random.Random(4)
    for _ in range(160):
        one.say("a", "PA", content.randbytes(60), after=0.02)
        one.say("b", "PA", content.randbytes(180), after=0.003)
    one.close("a")


def visit(made):
    """Somebody outside opens a connection to red's published web server and loads a page of 250 segments."""
    one = Tcp(made, 4.0, made.outside, (VISITOR, 55001), RED_WEB_PUBLIC, lambda t, p: made.inside("red", t, p), RED_WEB, (VISITOR, 55001))
    one.say("a", "S", options=SYN_OPTIONS)
    one.open()
    one.say("a", "PA", b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" + b"All work and no play makes a dull page.\n" * 2500
    for number in range(250):
        one.say("b", "A", page[number * 400 : number * 400 + 400], after=0.002)
        if number % 2:
            one.say("a", "A", after=0.0005)
    one.close("a")


def twin(made):
    """A host of blue that has the same private address as red's host, asking the same server from the same port: two different flows."""
    one = outbound(made, "twin", "blue", 1.5, (BLUE_HOST, 40112), (DOWNLOADS, 443))
    if one is None:
        return
    content = random.Random(6)
    one.say("a", "PA", content.randbytes(300))
    for _ in range(20):
        one.say("b", "A", content.randbytes(500), after=0.004)
        one.say("a", "A", after=0.001)
    one.close()


def lookups(made):
    """DNS from both VPCs."""
    names = ["www.example.com", "mail.example.net", "db.example.org", "cdn.example.com"]
    for number, name in enumerate(names):
        vpc, host = (("red", RED_HOST), ("blue", BLUE_HOST))[number % 2]
        question = DNS(id=4000 + number, rd=1, qd=DNSQR(qname=name))
        sent = made.inside(vpc, 0.5 + number * 0.7, made.header(host, RESOLVER) / UDP(sport=33000 + number, dport=53) / question)
        nat = made.endpoint(f"lookup {name}", sent)
        if nat:
            answer = DNS(id=4000 + number, qr=1, rd=1, ra=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, ttl=300, rdata=f"198.51.100.{7 + number}"))
            made.outside(sent / MICROS + 0.015, made.header(RESOLVER, nat[0]) / UDP(sport=53, dport=nat[1]) / answer)


def pings(made):
    """Red pings a host outside, and its gateway."""
    nat = None
    for number in range(5):
        data = Raw(bytes(range(48)))
        sent = made.inside("red", 6.0 + number, made.header(RED_HOST, DOWNLOADS) / ICMP(type=8, id=2201, seq=number + 1) / data)
        if number == 0:
            nat = made.endpoint("ping", sent)
        if nat:
            made.outside(sent / MICROS + 0.014, made.header(DOWNLOADS, nat[0]) / ICMP(type=0, id=nat[1], seq=number + 1) / data)
    made.inside("red", 6.5, made.header(RED_HOST, VPCS["red"]["gatewayAddress"]) / ICMP(type=8, id=2202, seq=1) / Raw(bytes(48)))


def oddities(made):
    """What any network carries too: a VNI of nobody, an address of nobody, a damaged packet, a traceroute's first hop, an ARP request."""
    made.inside("red", 7.1, made.header(RED_HOST, DOWNLOADS) / UDP(sport=1, dport=9) / Raw(b"which VPC?"), vni=999)
    made.outside(7.2, made.header("198.51.100.99", "203.0.113.99") / UDP(sport=1, dport=9) / Raw(b"for nobody here"))
    damaged = made.header("198.51.100.99", RED_WEB_PUBLIC[0])
    damaged.chksum = 0xBAD0
    made.outside(7.3, damaged / TCP(sport=1, dport=80, flags="S"))
    probe = made.header(RED_HOST, DOWNLOADS)
    probe.ttl = 1
    made.inside("red", 7.4, probe / UDP(sport=44444, dport=33434) / Raw(bytes(12)))
    who_has = ARP(op=1, hwsrc=NEXT_HOP_MAC, psrc=EXTERNAL["nextHop"]["address"], pdst=EXTERNAL["address"].split("/")[0])
    made.add("external", 0.1, Ether(src=NEXT_HOP_MAC, dst="ff:ff:ff:ff:ff:ff") / who_has)


def write_pcap(path, records):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for micros, frame in sorted(records):
            seconds, fraction = divmod(micros, MICROS)
            file.write(struct.pack("<IIII", EPOCH_SECONDS + seconds, fraction, len(frame), len(frame)) + frame)


def read_pcap(path):
    data, at, records = path.read_bytes(), 24, {}
    while at < len(data):
        seconds, micros, length, _ = struct.unpack("<IIII", data[at : at + 16])
        records[(seconds - EPOCH_SECONDS) * MICROS + micros] = data[at + 16 : at + 16 + length]
        at += 16 + length
    return records


def source_of(frame):
    """Address and port (or query identifier) that a transmitted frame shows as its source."""
    packet = Ether(frame)
    packet = packet[VXLAN].payload[IP] if VXLAN in packet else packet[IP]
    if ICMP in packet:
        return packet.src, packet[ICMP].id
    return packet.src, packet.sport


def make(endpoints):
    made = Round(endpoints)
    for scene in (lookups, download, twin, call, database, visit, pings, oddities):
        scene(made)
    return made


def main():
    endpoints = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for _ in range(6):
            made = make(endpoints)
            arguments = [SLUICE, "replay", "--config", HERE / "gateway.json"]
            for name, records in made.frames.items():
                write_pcap(folder / f"{name}.pcap", records)
                arguments += ["--in", f"{name}={folder / name}.pcap", "--out", f"{name}={folder / name}-out.pcap"]
            subprocess.run([str(a) for a in arguments], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
            left = {**read_pcap(folder / "fabric-out.pcap"), **read_pcap(folder / "external-out.pcap")}
            told = {name: source_of(left[micros]) for name, micros in made.openers.items()}
            if told == endpoints:
                break
            endpoints = told
        else:
            sys.exit("the gateway's endpoints differ from round to round; is nat.seed set in gateway.json?")
    for name, records in made.frames.items():
        write_pcap(HERE / f"{name}.pcap", records)
        print(f"{name}.pcap: {len(records)} packets, {(HERE / f'{name}.pcap').stat().st_size} bytes")


if __name__ == "__main__":
    main()
