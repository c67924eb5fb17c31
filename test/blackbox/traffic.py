"""Packets and conversations that the tests send, made with scapy."""

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

from packets import Ipv4, internet_checksum, translated

# Hosts outside; none of these addresses belongs to the gateway.
X = "198.51.100.7"
X2 = "198.51.100.8"
Y = "192.0.2.9"
ROUTER = "192.0.2.254"

# Hosts of the VPCs of the contract's example: dynamic ones, and those with a static binding.
RED = "10.0.1.7"
RED2 = "10.0.1.8"
RED_STATIC, RED_STATIC_EXTERNAL = "10.0.1.5", "203.0.113.10"
RED_MAPPED, RED_MAPPED_EXTERNAL = "10.0.1.6", "203.0.113.11"
BLUE = "10.0.2.7"
BLUE_STATIC, BLUE_STATIC_PEERING = "10.0.2.9", "100.64.2.9"

POOL = {f"203.0.113.{host}" for host in range(16, 32)}
RED_PEERING = {f"100.64.1.{host}" for host in range(16)}
BLUE_PEERING = {f"100.64.2.{host}" for host in range(16)} - {BLUE_STATIC_PEERING}


def ipv4(source, destination, body, **header):
    """A finished IPv4 packet; `header` are scapy's fields (ttl, id, flags, tos, options, proto …)."""
    return IP(bytes(IP(**{"src": source, "dst": destination, "ttl": 64, "id": 7, **header}) / body))


def udp(source, source_port, destination, destination_port, data=b"datagram", checksum=None, **header):
    body = UDP(sport=source_port, dport=destination_port) / Raw(data)
    if checksum is not None:
        body[UDP].chksum = checksum
    return ipv4(source, destination, body, **{"proto": 17, **header})


def tcp(source, source_port, destination, destination_port, flags="S", data=b"", sequence=1000, acknowledgement=0, options=None, **header):
    acknowledgement = acknowledgement if "A" in flags else 0
    body = TCP(sport=source_port, dport=destination_port, flags=flags, seq=sequence, ack=acknowledgement, window=8192, options=options or [])
    return ipv4(source, destination, body / Raw(data) if data else body, **{"proto": 6, **header})


def echo(source, destination, identifier=1, sequence=1, data=b"abcdefgh", reply=False, **header):
    return ipv4(source, destination, ICMP(type=0 if reply else 8, id=identifier, seq=sequence) / Raw(data), **{"proto": 1, **header})


def other(source, destination, protocol, data=b"whatever the protocol carries", **header):
    return ipv4(source, destination, Raw(data), **{"proto": protocol, **header})


def icmp_error(source, destination, quote, kind=3, code=3, rest=0, **header):
    """An ICMP error; `quote` are the bytes of the packet that it is about, `rest` the four bytes before it (next-hop MTU)."""
    message = Raw(bytes([kind, code, 0, 0]) + rest.to_bytes(4, "big") + bytes(quote))
    packet = bytearray(bytes(ipv4(source, destination, message, **{"proto": 1, **header})))
    at = (packet[0] & 15) * 4
    packet[at + 2 : at + 4] = internet_checksum(bytes(packet[at:])).to_bytes(2, "big")
    return bytes(packet)


def as_quoted(packet, ttl=1, length=None):
    """A packet as a router further on quotes it: its TTL almost used up, cut to `length` bytes."""
    ip = Ipv4(bytes(packet))
    worn = translated(ip.raw, ttl_less=ip.ttl - ttl) if ip.ttl != ttl else ip.raw
    return worn[:length]


def answer(seen, data=b"answer", **header):
    """The UDP datagram or echo reply that the host which got this packet sends back."""
    ip = seen.ip
    if ip.protocol == 17:
        return udp(ip.dst, ip.dport, ip.src, ip.sport, data, **header)
    if ip.protocol == 1:
        return echo(ip.dst, ip.src, ip.icmp_id, ip.icmp_sequence, ip.data, reply=True, **header)
    return other(ip.dst, ip.src, ip.protocol, data, **header)


class TcpConnection:
    """One TCP connection through the gateway, seen from both ends, with sequence numbers that fit.

    `a` sends with `send_a` from endpoint `a` to `a_sees`; `b` sends with `send_b` from `b` to `b_sees`. Where an endpoint is not known before
    the gateway has translated the first packet, `open` asks the replay so far.
    """

    def __init__(self, replay, send_a, a, a_sees, send_b, b=None, b_sees=None):
        self.replay, self.send_a, self.send_b = replay, send_a, send_b
        self.a, self.a_sees, self.b, self.b_sees = a, a_sees, b or a_sees, b_sees
        self.a_next, self.b_next = 1000, 500_000

    def from_a(self, flags, data=b"", **header):
        packet = tcp(*self.a, *self.a_sees, flags, data, self.a_next, self.b_next, **header)
        self.a_next += len(data) + ("S" in flags) + ("F" in flags)
        return self.send_a(packet)

    def from_b(self, flags, data=b"", **header):
        assert self.b_sees, "nobody has told this end whom it talks to"
        packet = tcp(*self.b, *self.b_sees, flags, data, self.b_next, self.a_next, **header)
        self.b_next += len(data) + ("S" in flags) + ("F" in flags)
        return self.send_b(packet)

    def syn(self, **header):
        """The first packet from `a`; afterwards `b` knows whom it talks to."""
        sent = self.from_a("S", **header)
        if self.b_sees is None:
            self.learn(sent)
        return sent

    def learn(self, sent):
        seen = self.replay.peek().one(sent)
        self.b, self.b_sees = seen.ip.destination, seen.ip.source

    def open(self):
        self.syn()
        self.from_b("SA")
        self.from_a("A")
        return self

    def close(self):
        self.from_a("FA")
        self.from_b("A")
        self.from_b("FA")
        self.from_a("A")
        return self


def outbound(replay, vpc="red", inside=(RED, 40000), remote=(X, 443)):
    """A connection that a host of a VPC opens to the outside."""
    return TcpConnection(replay, lambda p: replay.inside(vpc, p), inside, remote, replay.outside)


def inbound(replay, external, vpc="red", inside=(RED_STATIC, 443), remote=(X, 50000)):
    """A connection that a host outside opens to a static binding."""
    return TcpConnection(replay, replay.outside, remote, external, lambda p: replay.inside(vpc, p), inside, remote)
