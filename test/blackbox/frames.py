"""The gateway's configuration as the contract's example gives it, and the frames that hosts and neighbours send to such a gateway."""

import ipaddress
import logging

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import ARP, Dot1Q, Ether  # noqa: E402
from scapy.layers.vxlan import VXLAN  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from packets import Ipv4  # noqa: E402

BROADCAST = "ff:ff:ff:ff:ff:ff"


def example_config():
    """The contract's full example without its optional parts that a replay has no use for, with small tables (they are sized at start)."""
    return {
        "name": "gw1",
        "underlay": {"vtep": "172.30.0.1", "mac": "02:00:00:00:f0:01", "udpPort": 4789},
        "ports": {
            "fabric": {"role": "fabric", "device": "net_softflow0,wire=net_af_packet0:iface=fab0"},
            "external": {
                "role": "external",
                "device": "net_softflow1,wire=net_af_packet1:iface=ext0",
                "mac": "02:00:00:00:e0:01",
                "address": "203.0.113.1/24",
                "nextHop": {"address": "203.0.113.254", "mac": "02:00:00:00:e0:fe"},
            },
        },
        "vteps": [
            {"address": "172.30.0.11", "mac": "02:00:00:00:00:11"},
            {"address": "172.30.0.12", "mac": "02:00:00:00:00:12"},
        ],
        "vpcs": [
            {
                "name": "red",
                "vni": 100,
                "gateway": "gw1",
                "subnets": ["10.0.1.0/24"],
                "routes": [{"prefix": "10.0.1.0/24", "vtep": "172.30.0.11", "mac": "02:00:00:01:00:11"}],
            },
            {
                "name": "blue",
                "vni": 200,
                "gateway": "gw1",
                "subnets": ["10.0.1.0/24", "10.0.2.0/24"],
                "routes": [{"prefix": "10.0.0.0/16", "vtep": "172.30.0.12", "mac": "02:00:00:02:00:12"}],
            },
        ],
        "peerings": [{"vpcs": ["red", "blue"]}],
        "peeringPools": [
            {"vpc": "red", "ranges": ["100.64.1.0/28"], "ports": "1024-65535"},
            {"vpc": "blue", "ranges": ["100.64.2.0/28"]},
        ],
        "externalPools": [{"name": "internet", "vpcs": ["red", "blue"], "ranges": ["203.0.113.16-203.0.113.31"]}],
        "staticBindings": [
            {"vpc": "red", "private": "10.0.1.5", "external": "203.0.113.10"},
            {"vpc": "red", "protocol": "tcp", "private": "10.0.1.6:8080", "external": "203.0.113.11:80"},
            {"vpc": "blue", "private": "10.0.2.9", "peering": "100.64.2.9"},
        ],
        "peerGateways": [{"name": "gw2", "vtep": "172.30.0.2", "mac": "02:00:00:00:f0:02", "vni": 9000}],
        "nat": {
            "seed": 1,
            "mapping": "endpoint-independent",
            "filtering": "endpoint-independent",
            "timeouts": {"udp": 300, "tcpEstablished": 7440, "tcpTransitory": 240, "icmp": 60, "other": 300},
            "portReuseDelay": 120,
            "maxSessions": 20000,
        },
        "offload": {"mode": "immediate", "target": "auto", "maxRules": 40000, "tcpWithoutFlags": False},
        "log": {"level": "info"},
    }


def vpc_of(config, name):
    return next(vpc for vpc in config["vpcs"] if vpc["name"] == name)


def add_vpc(config, name, vni, subnets, vtep="172.30.0.13", vtep_mac="02:00:00:00:00:13", mac="02:00:00:03:00:13", **more):
    """A further VPC whose hosts all live behind one VTEP."""
    if vtep not in {entry["address"] for entry in config["vteps"]}:
        config["vteps"].append({"address": vtep, "mac": vtep_mac})
    routes = [{"prefix": subnet, "vtep": vtep, "mac": mac} for subnet in subnets]
    config["vpcs"].append({"name": name, "vni": vni, "gateway": config["name"], "subnets": subnets, "routes": routes, **more})


def one_external_address(config, address="203.0.113.16", ports=None, vpcs=("red", "blue")):
    """Leaves one external pool of one address, so that a test knows where its flows come out."""
    pool = {"name": "internet", "vpcs": list(vpcs), "ranges": [f"{address}-{address}"]}
    if ports:
        pool["ports"] = ports
    config["externalPools"] = [pool]
    return config


def route_of(config, vpc, address):
    """The VPC's route to a private address: the longest prefix (gateway.md, `vpcs[].routes`)."""
    covering = [r for r in vpc.get("routes", []) if ipaddress.ip_address(address) in ipaddress.ip_network(r["prefix"])]
    return max(covering, key=lambda r: ipaddress.ip_network(r["prefix"]).prefixlen, default=None)


def mac_of_vtep(config, address):
    for entry in config.get("vteps", []) + [{"address": g["vtep"], "mac": g["mac"]} for g in config.get("peerGateways", [])]:
        if entry["address"] == address:
            return entry["mac"]
    return None


def own_addresses(config):
    own = {config["underlay"]["vtep"], config["ports"]["external"]["address"].split("/")[0]}
    return own | {vpc["gatewayAddress"] for vpc in config.get("vpcs", []) if "gatewayAddress" in vpc}


def vxlan_frame(config, payload, vni, outer_source, outer_source_mac, inner_source_mac, **changes):
    """An Ethernet frame as the fabric delivers it. `changes`: outer, inner (keyword arguments of the layers), udp, vxlan, outer_ip, inner_type."""
    underlay = config["underlay"]
    inner_type = changes.get("inner_type", 0x0800)
    inner = Ether(**{"dst": underlay["mac"], "src": inner_source_mac, "type": inner_type, **changes.get("inner", {})}) / Raw(bytes(payload))
    entropy = 49152 + sum(bytes(payload)[12:24]) % 16384
    frame = (
        Ether(**{"dst": underlay["mac"], "src": outer_source_mac, "type": 0x0800, **changes.get("outer", {})})
        / IP(**{"src": outer_source, "dst": underlay["vtep"], "ttl": 60, "flags": "DF", "id": 0, **changes.get("outer_ip", {})})
        / UDP(**{"sport": entropy, "dport": underlay.get("udpPort", 4789), "chksum": 0, **changes.get("udp", {})})
        / VXLAN(**{"flags": 8, "vni": vni, **changes.get("vxlan", {})})
        / inner
    )
    return bytes(frame)


def frame_from_vpc(config, vpc_name, payload, source=None, vtep=None, vni=None, **changes):
    """What a host of a VPC sends. The VTEP and MAC are those of the route to the source, so an answer by route goes where it came from."""
    vpc = vpc_of(config, vpc_name)
    source = source or (Ipv4(bytes(payload)).src if changes.get("inner_type", 0x0800) == 0x0800 and len(bytes(payload)) >= 20 else None)
    route = (route_of(config, vpc, source) if source else None) or (vpc.get("routes") or [None])[0]
    vtep = vtep or (route["vtep"] if route else config["vteps"][0]["address"])
    return vxlan_frame(
        config,
        payload,
        vpc["vni"] if vni is None else vni,
        vtep,
        mac_of_vtep(config, vtep) or "02:00:00:00:00:99",
        route["mac"] if route else "02:00:00:99:00:99",
        **changes,
    )


def frame_from_peer_gateway(config, name, payload, **changes):
    peer = next(g for g in config["peerGateways"] if g["name"] == name)
    return vxlan_frame(config, payload, peer["vni"], peer["vtep"], peer["mac"], peer["mac"], **changes)


def frame_from_outside(config, payload, ether_type=0x0800, trailer=b"", **ether):
    """What the next hop delivers to the external port, tagged when the configuration has a VLAN."""
    external = config["ports"]["external"]
    addresses = {"dst": external["mac"], "src": external["nextHop"]["mac"], **ether}
    if "vlan" in external:
        return bytes(Ether(**addresses, type=0x8100) / Dot1Q(vlan=external["vlan"], type=ether_type) / Raw(bytes(payload))) + trailer
    return bytes(Ether(**{"type": ether_type, **addresses}) / Raw(bytes(payload))) + trailer


def arp_request(source_mac, source, target):
    return ARP(op=1, hwsrc=source_mac, psrc=source, hwdst="00:00:00:00:00:00", pdst=target)
