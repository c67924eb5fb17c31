"""IPv4 packets and frames read from their bytes, their checksums, and the oracle of what NAT makes of them."""

import ipaddress
import struct

from scapy.layers.l2 import ARP, Ether

MICROS = 1_000_000
TCP, UDP, ICMP = 6, 17, 1
ICMP_ERRORS = {3, 4, 5, 11, 12}


def internet_checksum(data):
    """RFC 1071: the complement of the one's complement sum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def updated_checksum(checksum, old, new):
    """RFC 1624 equation 3, by hand over two byte strings of equal, even length."""
    total = ~checksum & 0xFFFF
    for before, after in zip(struct.unpack(f"!{len(old) // 2}H", old), struct.unpack(f"!{len(new) // 2}H", new)):
        total += (~before & 0xFFFF) + after
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Ipv4:
    """An IPv4 packet, read no further than its bytes allow."""

    def __init__(self, raw):
        if len(raw) < 20 or raw[0] >> 4 != 4:
            raise ValueError(f"not an IPv4 packet: {raw[:20].hex()}")
        self.header_length = (raw[0] & 15) * 4
        self.tos = raw[1]
        self.total_length, self.id, flags, self.ttl, self.protocol, self.checksum = struct.unpack("!HHHBBH", raw[2:12])
        self.reserved, self.df, self.mf = bool(flags & 0x8000), bool(flags & 0x4000), bool(flags & 0x2000)
        self.offset = (flags & 0x1FFF) * 8
        self.src, self.dst = str(ipaddress.ip_address(raw[12:16])), str(ipaddress.ip_address(raw[16:20]))
        self.raw = raw[: self.total_length]
        self.trailer = raw[self.total_length :]
        self.whole = len(raw) >= self.total_length
        self.header = raw[: self.header_length]
        self.options = raw[20 : self.header_length]
        self.payload = self.raw[self.header_length :]

    @property
    def fragment(self):
        return self.mf or self.offset > 0

    @property
    def sport(self):
        assert self.protocol in (TCP, UDP), self
        return int.from_bytes(self.payload[0:2], "big")

    @property
    def dport(self):
        assert self.protocol in (TCP, UDP), self
        return int.from_bytes(self.payload[2:4], "big")

    @property
    def l4_checksum(self):
        offset = {TCP: 16, UDP: 6, ICMP: 2}[self.protocol]
        return int.from_bytes(self.payload[offset : offset + 2], "big")

    @property
    def tcp_flags(self):
        assert self.protocol == TCP, self
        return "".join(letter for bit, letter in enumerate("FSRPAUEC") if self.payload[13] & (1 << bit))

    @property
    def icmp_type(self):
        assert self.protocol == ICMP, self
        return self.payload[0]

    @property
    def icmp_code(self):
        assert self.protocol == ICMP, self
        return self.payload[1]

    @property
    def icmp_id(self):
        assert self.protocol == ICMP, self
        return int.from_bytes(self.payload[4:6], "big")

    @property
    def icmp_sequence(self):
        return int.from_bytes(self.payload[6:8], "big")

    @property
    def next_hop_mtu(self):
        return int.from_bytes(self.payload[6:8], "big")

    @property
    def data(self):
        """What the transport carries."""
        if self.protocol == TCP:
            return self.payload[(self.payload[12] >> 4) * 4 :]
        return self.payload[8:] if self.protocol in (UDP, ICMP) else self.payload

    @property
    def quoted(self):
        """The packet that an ICMP error is about."""
        assert self.icmp_type in ICMP_ERRORS, self
        return Ipv4(self.payload[8:])

    @property
    def source(self):
        """Address and port, or address and query identifier, or address and 0 for a protocol without either."""
        if self.protocol in (TCP, UDP):
            return self.src, self.sport
        return self.src, self.icmp_id if self.protocol == ICMP and self.icmp_type not in ICMP_ERRORS else 0

    @property
    def destination(self):
        if self.protocol in (TCP, UDP):
            return self.dst, self.dport
        return self.dst, self.icmp_id if self.protocol == ICMP and self.icmp_type not in ICMP_ERRORS else 0

    def __repr__(self):
        text = f"{self.src}->{self.dst} protocol {self.protocol} ttl {self.ttl} length {self.total_length}"
        if self.fragment:
            text += f" fragment {self.offset}{'+' if self.mf else ''}"
        elif self.protocol in (TCP, UDP) and len(self.payload) >= 8:
            text += f" ports {self.sport}->{self.dport}" + (f" {self.tcp_flags}" if self.protocol == TCP and len(self.payload) >= 14 else "")
        elif self.protocol == ICMP and len(self.payload) >= 8:
            text += f" type {self.icmp_type} code {self.icmp_code} id {self.icmp_id}"
        return f"<{text}>"


def mac_text(raw):
    return ":".join(f"{octet:02x}" for octet in raw)


class Seen:
    """A frame that the gateway transmitted: its Ethernet header, its outer IPv4 packet when encapsulated, and the IPv4 packet of a host."""

    def __init__(self, port_name, micros, raw, vxlan_port=4789):
        self.port_name, self.micros, self.raw = port_name, micros, raw
        self.ether_dst, self.ether_src = mac_text(raw[0:6]), mac_text(raw[6:12])
        self.ether_type, rest = int.from_bytes(raw[12:14], "big"), raw[14:]
        self.vlan = None
        if self.ether_type == 0x8100:
            self.vlan, self.ether_type, rest = int.from_bytes(rest[0:2], "big") & 0xFFF, int.from_bytes(rest[2:4], "big"), rest[4:]
        self.body = rest
        self.outer = self.ip = self.vni = self.vxlan_flags = self.inner_dst = self.inner_src = self.inner_type = None
        if self.ether_type == 0x0800:
            self.ip = Ipv4(rest)
            if port_name == "fabric" and self.ip.protocol == UDP and self.ip.dport == vxlan_port:
                self.outer, vxlan = self.ip, self.ip.payload[8:]
                self.ip = None
                self.vxlan_header = vxlan[:8]
                self.vni, inner = int.from_bytes(vxlan[4:7], "big"), vxlan[8:]
                self.inner_dst, self.inner_src = mac_text(inner[0:6]), mac_text(inner[6:12])
                self.inner_type = int.from_bytes(inner[12:14], "big")
                self.inner_body = inner[14:]
                if self.inner_type == 0x0800:
                    self.ip = Ipv4(self.inner_body)

    @property
    def time(self):
        return self.micros / MICROS

    @property
    def packet(self):
        """The same frame as scapy reads it."""
        frame = Ether(self.raw)
        frame.time = self.time
        return frame

    @property
    def arp(self):
        body = self.inner_body if self.inner_type == 0x0806 else self.body if self.ether_type == 0x0806 else None
        return ARP(body) if body is not None else None

    def __repr__(self):
        where = f" vni {self.vni} to {self.outer.dst}" if self.outer else ""
        return f"[{self.time:.6f} {self.port_name}{where} {self.ip or (self.arp and self.arp.summary()) or hex(self.ether_type)}]"


def transport_checksum(ip):
    """What the transport checksum of a whole packet should be, or None when there is none to judge (UDP 0, protocols without)."""
    payload = ip.payload
    if ip.protocol == ICMP:
        return internet_checksum(payload[:2] + b"\0\0" + payload[4:])
    if ip.protocol == UDP:
        payload = payload[: int.from_bytes(payload[4:6], "big")]
    if ip.protocol not in (TCP, UDP) or (ip.protocol == UDP and ip.l4_checksum == 0):
        return None
    at = 16 if ip.protocol == TCP else 6
    pseudo = ip.raw[12:20] + struct.pack("!BBH", 0, ip.protocol, len(payload))
    checksum = internet_checksum(pseudo + payload[:at] + b"\0\0" + payload[at + 2 :])
    return 0xFFFF if checksum == 0 and ip.protocol == UDP else checksum


def ip_faults(ip, where, transport_too=True):
    """Wrong lengths and checksums of a packet and, in an ICMP error, of the packet that it quotes."""
    faults = []
    header = ip.header
    right = internet_checksum(header[:10] + b"\0\0" + header[12:])
    if ip.checksum != right:
        faults.append(f"{where}: IPv4 header checksum {ip.checksum:#06x}, right is {right:#06x}: {ip}")
    if ip.fragment or not ip.whole or not transport_too:
        return faults
    minimum = {TCP: 20, UDP: 8, ICMP: 8}.get(ip.protocol, 0)
    if len(ip.payload) < minimum:
        return faults + [f"{where}: transport header cut off: {ip}"]
    if ip.protocol == UDP and int.from_bytes(ip.payload[4:6], "big") != len(ip.payload):
        faults.append(f"{where}: UDP length {int.from_bytes(ip.payload[4:6], 'big')}, IPv4 carries {len(ip.payload)}: {ip}")
    right = transport_checksum(ip)
    if right is not None and ip.l4_checksum != right:
        faults.append(f"{where}: transport checksum {ip.l4_checksum:#06x}, right is {right:#06x}: {ip}")
    if ip.protocol == ICMP and ip.icmp_type in ICMP_ERRORS:
        try:
            faults += ip_faults(ip.quoted, f"{where}, quoted packet")
        except ValueError as error:
            faults.append(f"{where}: quotes {error}")
    return faults


def translated(packet, source=None, destination=None, ttl_less=1):
    """The bytes of an IPv4 packet after NAT, all checksums made anew. Endpoints are (address, port or query identifier)."""
    ip = Ipv4(bytes(packet))
    header, payload = bytearray(ip.header), bytearray(ip.payload)
    header[8] -= ttl_less
    if source:
        header[12:16] = ipaddress.ip_address(source[0]).packed
    if destination:
        header[16:20] = ipaddress.ip_address(destination[0]).packed
    header[10:12] = struct.pack("!H", internet_checksum(bytes(header[:10]) + b"\0\0" + bytes(header[12:])))
    if ip.protocol in (TCP, UDP):
        if source and source[1] is not None:
            payload[0:2] = struct.pack("!H", source[1])
        if destination and destination[1] is not None:
            payload[2:4] = struct.pack("!H", destination[1])
    elif ip.protocol == ICMP and ip.icmp_type not in ICMP_ERRORS:
        for endpoint in (source, destination):
            if endpoint and endpoint[1] is not None:
                payload[4:6] = struct.pack("!H", endpoint[1])
    out = Ipv4(bytes(header + payload))
    checksum = transport_checksum(out)
    if checksum is not None:
        at = {TCP: 16, UDP: 6, ICMP: 2}[ip.protocol]
        payload[at : at + 2] = struct.pack("!H", checksum)
    return bytes(header + payload)


def translated_quote(quote, source=None, destination=None):
    """A quoted packet put back as its sender knew it: addresses, ports and the checksums that were quoted (RFC 5508 REQ-4, REQ-5)."""
    ip = Ipv4(quote)
    header, payload = bytearray(ip.header), bytearray(quote[ip.header_length :])
    before = bytes(header[12:20])
    ports_before = bytes(payload[0:4]) if ip.protocol != ICMP else bytes(payload[4:6])
    for endpoint, address_at, port_at in ((source, 12, 0), (destination, 16, 2)):
        if not endpoint:
            continue
        header[address_at : address_at + 4] = ipaddress.ip_address(endpoint[0]).packed
        if endpoint[1] is None:
            continue
        if ip.protocol in (TCP, UDP):
            payload[port_at : port_at + 2] = struct.pack("!H", endpoint[1])
        elif ip.protocol == ICMP:
            payload[4:6] = struct.pack("!H", endpoint[1])
    header[10:12] = struct.pack("!H", updated_checksum(ip.checksum, before, bytes(header[12:20])))
    at = {TCP: 16, UDP: 6, ICMP: 2}.get(ip.protocol)
    if at is not None and len(payload) >= at + 2:
        checksum = int.from_bytes(payload[at : at + 2], "big")
        if not (ip.protocol == UDP and checksum == 0):
            if ip.protocol == ICMP:
                new = updated_checksum(checksum, ports_before, bytes(payload[4:6]))
            else:
                new = updated_checksum(checksum, before + ports_before, bytes(header[12:20]) + bytes(payload[0:4]))
                new = 0xFFFF if new == 0 and ip.protocol == UDP else new
            payload[at : at + 2] = struct.pack("!H", new)
    return bytes(header + payload)


def translated_error(packet, source=None, destination=None, quoted_source=None, quoted_destination=None):
    """The bytes of an ICMP error after NAT. `source` and `destination` are addresses, the quoted ones endpoints."""
    ip = Ipv4(bytes(packet))
    body = ip.payload[:2] + b"\0\0" + ip.payload[4:8] + translated_quote(ip.payload[8:], quoted_source, quoted_destination)
    return translated(
        ip.header + body, source=source and (source, None), destination=destination and (destination, None)
    )


def fragments_of(packet, size):
    """An IPv4 packet cut into fragments that carry `size` bytes each (a multiple of 8), made from its finished bytes."""
    assert size % 8 == 0
    ip = Ipv4(bytes(packet))
    pieces = []
    for offset in range(0, len(ip.payload), size):
        header = bytearray(ip.header)
        piece = ip.payload[offset : offset + size]
        more = 0x2000 if offset + size < len(ip.payload) else 0
        header[2:4] = struct.pack("!H", len(header) + len(piece))
        header[6:8] = struct.pack("!H", more | offset // 8)
        header[10:12] = struct.pack("!H", internet_checksum(bytes(header[:10]) + b"\0\0" + bytes(header[12:])))
        pieces.append(bytes(header) + piece)
    return pieces


def reassembled(ips):
    """One packet out of its fragments in any order; fails on a gap, an overlap or a mixture."""
    assert len({(ip.src, ip.dst, ip.protocol, ip.id, ip.ttl) for ip in ips}) == 1, f"fragments of different packets: {ips}"
    payload = b""
    ordered = sorted(ips, key=lambda ip: ip.offset)
    for ip in ordered:
        assert ip.offset == len(payload), f"gap or overlap at {ip.offset}: {ips}"
        payload += ip.payload
    assert [ip.mf for ip in ordered] == [True] * (len(ordered) - 1) + [False], f"more-fragments flags: {ips}"
    header = bytearray(ordered[0].header)
    header[2:4] = struct.pack("!H", len(header) + len(payload))
    header[6:8] = struct.pack("!H", 0)
    header[10:12] = struct.pack("!H", internet_checksum(bytes(header[:10]) + b"\0\0" + bytes(header[12:])))
    whole = Ipv4(bytes(header) + payload)
    assert not ip_faults(whole, "reassembled"), ip_faults(whole, "reassembled")
    return whole
