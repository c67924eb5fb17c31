"""Rules that are longer than a line of testpmd, as `sluice compile` prints them, typed into Debian's dpdk-testpmd on net_softflow
as limited as mlx5 with hardware steering: what leaves is what the list says, and the rule that matches counts it.
"""

import json
import re
import subprocess

import pytest

scapy = pytest.importorskip("scapy.all")

from testpmd import DRIVER, REPOSITORY, Testpmd, answers  # noqa: E402

pytestmark = pytest.mark.skipif(not DRIVER.exists(), reason="the driver is not built")

FABRIC, WIRE, EXTERNAL = 0, 1, 2  # ethdev ids
GATEWAY, PEER, HOST, SERVER = "172.30.0.1", "172.30.0.12", "10.0.1.5", "198.51.100.7"
FABRIC_MAC, EXTERNAL_MAC, PEER_MAC = "02:00:00:00:f0:01", "02:00:00:00:e0:01", "02:00:00:00:00:12"
HOST_MAC, NEXT_MAC = "02:00:00:02:00:12", "02:00:00:00:e0:fe"

# `sluice compile` numbers ports as the file lists them; in testpmd the wire of the first one has a number too.
PORTS = [
    {"name": "fabric", "role": "fabric", "mac": FABRIC_MAC, "mtu": 1550},
    {"name": "wire", "role": "external", "mac": "02:00:00:00:e0:02", "mtu": 1500},
    {"name": "external", "role": "external", "mac": EXTERNAL_MAC, "mtu": 1500},
]
TUNNEL = [{"type": "eth"}, {"type": "ipv4"}, {"type": "udp", "destination": 4789}]
PUSH = {
    "type": "push-vxlan", "sourceMac": FABRIC_MAC, "destinationMac": PEER_MAC, "source": GATEWAY, "destination": PEER,
    "udpSourcePort": 50123, "udpDestinationPort": 4789, "vni": 200,
}


def flow(name, ingress, match, rewrites, egress):
    actions = [*rewrites, {"type": "count"}, {"type": "age", "seconds": 300}, {"type": "output", "port": egress}]
    return {"name": name, "ingress": ingress, "match": match, "actions": actions}


def rewrites(protocol, source, destination, macs):
    ends = {"source": source[1], "destination": destination[1]}
    return [
        {"type": "set-ipv4", "source": source[0], "destination": destination[0]},
        {"type": "set-l4", "protocol": protocol, **{name: port for name, port in ends.items() if port}},
        {"type": "decrement-ttl"},
        {"type": "checksum"},
        {"type": "set-ethernet", "source": macs[0], "destination": macs[1]},
    ]


def headers(protocol, source, destination):
    return [
        {"type": "ipv4", "source": source[0], "destination": destination[0]},
        {"type": protocol, "source": source[1], "destination": destination[1]},
    ]


LISTS = [
    # Decapsulates, rewrites all there is, encapsulates.
    flow(
        "peers", "fabric",
        [*TUNNEL, {"type": "vxlan", "vni": 100}, {"type": "eth", "destination": FABRIC_MAC},
         *headers("udp", (HOST, 40000), (SERVER, 53))],
        [{"type": "pop-vxlan"}, *rewrites("udp", ("10.9.0.1", 1024), ("10.0.2.9", 5353), (FABRIC_MAC, HOST_MAC)), PUSH],
        "fabric",
    ),
    # Decapsulates, of another VPC: the same packet inside.
    flow(
        "outwards", "fabric",
        [*TUNNEL, {"type": "vxlan", "vni": 101}, {"type": "eth", "destination": FABRIC_MAC},
         *headers("udp", (HOST, 40000), (SERVER, 53))],
        [{"type": "pop-vxlan"}, *rewrites("udp", ("203.0.113.16", 2048), (SERVER, 53), (EXTERNAL_MAC, NEXT_MAC))],
        "external",
    ),
    # Encapsulates.
    flow(
        "inwards", "external",
        [{"type": "eth"}, *headers("tcp", (SERVER, 443), ("203.0.113.16", 3072))],
        [*rewrites("tcp", (SERVER, 443), (HOST, 8080), (FABRIC_MAC, HOST_MAC)), PUSH],
        "fabric",
    ),
]


def compiled(tmp_path):
    """Lines as they are printed, by the name of what they make; comments among them."""
    lists = tmp_path / "lists.json"
    underlay = {"vtep": GATEWAY, "mac": FABRIC_MAC, "udpPort": 4789}
    lists.write_text(json.dumps({"ports": PORTS, "underlay": underlay, "lists": LISTS}), encoding="utf-8")
    command = ["node", str(REPOSITORY / "bin" / "sluice"), "compile", "--target", "mlx5-hws", "--static", str(lists)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    parts = re.split(r"^# ([\w-]+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.splitlines() for part in parts[2::2])))


def plain(protocol, source, destination, macs, ttl, size):
    layer = {"udp": scapy.UDP, "tcp": scapy.TCP}[protocol](sport=source[1], dport=destination[1])
    if protocol == "tcp":
        layer.flags = "A"
    packet = scapy.Ether(src=macs[0], dst=macs[1]) / scapy.IP(src=source[0], dst=destination[0], ttl=ttl) / layer / (b"x" * size)
    return scapy.Ether(bytes(packet))


def tunnelled(packet, vni, source=("172.30.0.11", "02:00:00:00:00:11"), destination=(GATEWAY, FABRIC_MAC), port=50000):
    # As the NIC writes it: no identification, no UDP checksum. `set vxlan` has no word for DF.
    outer = scapy.Ether(src=source[1], dst=destination[1]) / scapy.IP(src=source[0], dst=destination[0], id=0, ttl=64)
    return outer / scapy.UDP(sport=port, dport=4789, chksum=0) / scapy.VXLAN(vni=vni, flags=8) / packet


def test_chains_leave_the_bytes_of_the_list_and_count_them(tmp_path):
    printed = compiled(tmp_path)
    assert all(len(line) <= 512 for lines in printed.values() for line in lines)
    for each in LISTS:
        assert printed[each["name"]][0].startswith("# 2 rules that do what one does of ")
    lines = [line for lines in printed.values() for line in lines]
    # Debian's testpmd takes comments for what they are.
    commands = [line for line in lines if not line.startswith(f"flow create {WIRE} ")]

    sizes = range(10, 15)
    own = {  # list: ingress, packets, what leaves, where
        "peers": (0, [tunnelled(plain("udp", (HOST, 40000), (SERVER, 53), (HOST_MAC, FABRIC_MAC), 64, n), 100) for n in sizes],
                  [tunnelled(plain("udp", ("10.9.0.1", 1024), ("10.0.2.9", 5353), (FABRIC_MAC, HOST_MAC), 63, n), 200,
                             (GATEWAY, FABRIC_MAC), (PEER, PEER_MAC), 50123) for n in sizes], 0),
        "outwards": (0, [tunnelled(plain("udp", (HOST, 40000), (SERVER, 53), (HOST_MAC, FABRIC_MAC), 9, n), 101) for n in sizes[:3]],
                     [plain("udp", ("203.0.113.16", 2048), (SERVER, 53), (EXTERNAL_MAC, NEXT_MAC), 8, n) for n in sizes[:3]], 1),
        "inwards": (1, [plain("tcp", (SERVER, 443), ("203.0.113.16", 3072), (NEXT_MAC, EXTERNAL_MAC), 60, n) for n in sizes[:4]],
                    [tunnelled(plain("tcp", (SERVER, 443), (HOST, 8080), (FABRIC_MAC, HOST_MAC), 59, n), 200,
                               (GATEWAY, FABRIC_MAC), (PEER, PEER_MAC), 50123) for n in sizes[:4]], 0),
    }
    # Nobody's: another VNI, another port, a TTL that is at its end.
    stray = [
        tunnelled(plain("udp", (HOST, 40000), (SERVER, 53), (HOST_MAC, FABRIC_MAC), 64, 20), 102),
        tunnelled(plain("udp", (HOST, 40001), (SERVER, 53), (HOST_MAC, FABRIC_MAC), 64, 20), 100),
        tunnelled(plain("udp", (HOST, 40000), (SERVER, 53), (HOST_MAC, FABRIC_MAC), 1, 20), 100),
    ]
    received = [[], []]
    for ingress, packets, _, _ in own.values():
        received[ingress] += packets
    received[0] += stray

    run = Testpmd(tmp_path, received, (",profile=mlx5-hws", ",profile=mlx5-hws"))
    matching = {}
    made = {FABRIC: 0, EXTERNAL: 0}
    for name, lines in printed.items():
        for line in lines:
            port = re.match(r"flow create (\d) ", line)
            if port and int(port[1]) != WIRE:
                matching[name] = (int(port[1]), made[int(port[1])])  # the last one matches
                made[int(port[1])] += 1
    queries = {name: f"flow query {port} {rule} count" for name, (port, rule) in matching.items() if name in own}
    awaited = [(queries[name], f"hits: {len(packets)}") for name, (_, packets, _, _) in own.items()]
    output = run.run(["set fwd rxonly", *commands, "start", *awaited, "stop", *queries.values()])

    assert output.count("created") == sum(made.values())
    assert not re.search("Bad arguments|Command not found|port_flow_complain", output)
    said = dict(answers(output))
    for name, (_, packets, _, _) in own.items():
        # Behind the decapsulation, which comes first on this NIC.
        inner = [packet[scapy.VXLAN].payload if scapy.VXLAN in packet else packet for packet in packets]
        assert f"hits: {len(packets)}" in said[queries[name]], name
        assert f"bytes: {sum(len(packet) for packet in inner)}" in said[queries[name]], name
    for port in (0, 1):
        wanted = sorted(bytes(packet) for _, _, leaving, egress in own.values() if egress == port for packet in leaving)
        assert sorted(bytes(packet) for packet in run.sent(port)) == wanted
