"""The hosts around the gateway, and the gateway in their middle.

      red  10.0.1.5 .6 .7 ─┐ VXLAN 100 (kernel)
      blue 10.0.1.5 .6 .7 ─┤ VXLAN 200 (kernel)    bridge ── fab0 [ gateway ] ext0 ── outside 203.0.113.254, 198.51.100.7
      green 10.0.3.9      ─┘ VXLAN 300 (kernel)                                          └── beyond 192.0.2.9, MTU 1400

Every VPC host is a namespace whose only way out is its VXLAN device; hosts of red and blue have the same addresses. None of the gateway's
addresses sits on a kernel interface: a kernel that owns the VTEP's address answers VXLAN with port unreachable. The underlay's cables have
an MTU of 1550, so that VPC hosts keep 1500. Outside is the router to what lies beyond it, over a link that carries less.
"""

import copy
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from net import Failed, eventually, run

ROOT = Path(__file__).resolve().parents[2]
SLUICE = os.environ.get("SLUICE", str(ROOT / "bin" / "sluice"))
START_SECONDS = 20
STOP_SECONDS = 5  # What SIGTERM may take.

GATEWAY_VTEP, GATEWAY_MAC = "172.30.0.1", "02:00:00:00:f0:01"
EXTERNAL_ADDRESS, EXTERNAL_MAC = "203.0.113.1", "02:00:00:00:e0:01"
OUTSIDE_ADDRESS, OUTSIDE_MAC = "203.0.113.254", "02:00:00:00:e0:fe"
FAR_ADDRESS = "198.51.100.7"
BEYOND_ADDRESS, BEYOND_MTU = "192.0.2.9", 1400
UNDERLAY_MTU = 1550


@dataclass(frozen=True)
class Vpc:
    name: str
    vni: int
    vtep: str
    underlay_mac: str
    inner_mac: str
    subnet: str
    gateway_address: str
    hosts: tuple


RED = Vpc("red", 100, "172.30.0.11", "02:00:00:00:00:11", "02:00:00:01:00:11", "10.0.1.0/24", "10.0.1.1", ("10.0.1.7", "10.0.1.5", "10.0.1.6"))
BLUE = Vpc("blue", 200, "172.30.0.12", "02:00:00:00:00:12", "02:00:00:02:00:12", "10.0.1.0/24", "10.0.1.1", ("10.0.1.7", "10.0.1.5", "10.0.1.6"))
GREEN = Vpc("green", 300, "172.30.0.13", "02:00:00:00:00:13", "02:00:00:03:00:13", "10.0.3.0/24", "10.0.3.1", ("10.0.3.9",))
VPCS = (RED, BLUE, GREEN)
SHARED_HOST = "10.0.1.7"  # In red and in blue; has no static binding.
STATIC_HOST, STATIC_EXTERNAL = "10.0.1.5", "203.0.113.10"  # Of red; address only.
MAPPED_HOST, MAPPED_EXTERNAL = ("10.0.1.6", 8080), ("203.0.113.11", 80)  # Of red; TCP.
GREEN_HOST, GREEN_PEERING = "10.0.3.9", "100.64.3.9"
# Packets that a gateway consumes, frames that the bridge floods, neighbours not yet known, and connections of earlier gateways or killed
# clients that still end.
ORDINARY_DROPS = {"local", "not-for-us", "unknown-vtep", "not-syn", "tcp-state"}
POOL = [f"203.0.113.{last}" for last in range(16, 32)]


# A NIC whose abilities both ports' software NICs are narrowed to; empty: they have all.
PROFILE = os.environ.get("SLUICE_LIVE_PROFILE", "")
# Who serves an established session between a VPC and the outside: NICs that cannot translate it whole leave it to software.
PATH = "offloaded" if PROFILE in ("", "mlx5-hws", "mlx5-sws") else "software"


def device(index, interface):
    """A software NIC on a kernel interface."""
    profile = f",profile={PROFILE}" if PROFILE else ""
    return f"net_softflow{index},wire=net_af_packet{index}:iface={interface}{profile}"


def configuration(socket_path):
    """A gateway's configuration with every neighbour's MAC given."""
    return {
        "name": "live",
        "underlay": {"vtep": GATEWAY_VTEP, "mac": GATEWAY_MAC},
        "ports": {
            "fabric": {"role": "fabric", "device": device(0, "fab0")},
            "external": {
                "role": "external",
                "device": device(1, "ext0"),
                "mac": EXTERNAL_MAC,
                "address": f"{EXTERNAL_ADDRESS}/24",
                "nextHop": {"address": OUTSIDE_ADDRESS, "mac": OUTSIDE_MAC},
            },
        },
        "vteps": [{"address": vpc.vtep, "mac": vpc.underlay_mac} for vpc in VPCS],
        "vpcs": [
            {
                "name": vpc.name,
                "vni": vpc.vni,
                "subnets": [vpc.subnet],
                "gatewayAddress": vpc.gateway_address,
                "routes": [{"prefix": vpc.subnet, "vtep": vpc.vtep, "mac": vpc.inner_mac}],
            }
            for vpc in VPCS
        ],
        "peerings": [{"vpcs": ["red", "green"]}, {"vpcs": ["blue", "green"]}],
        "peeringPools": [
            {"vpc": "red", "ranges": ["100.64.1.0/28"]},
            {"vpc": "blue", "ranges": ["100.64.2.0/28"]},
            {"vpc": "green", "ranges": ["100.64.3.0/28"]},
        ],
        "externalPools": [{"name": "internet", "vpcs": ["red", "blue", "green"], "ranges": [f"{POOL[0]}-{POOL[-1]}"]}],
        "staticBindings": [
            {"vpc": "red", "private": STATIC_HOST, "external": STATIC_EXTERNAL},
            {"vpc": "red", "protocol": "tcp", "private": endpoint(MAPPED_HOST), "external": endpoint(MAPPED_EXTERNAL)},
            {"vpc": "green", "private": GREEN_HOST, "peering": GREEN_PEERING},
        ],
        "nat": {"maxSessions": 10000},
        "offload": {"mode": "immediate", "maxRules": 20000},
        "control": {"socket": str(socket_path)},
    }


def on_wires(config, fabric, external):
    """The same gateway with other EAL device arguments."""
    config = copy.deepcopy(config)
    config["ports"]["fabric"]["device"], config["ports"]["external"]["device"] = fabric, external
    return config


def without_neighbours(config):
    """The same gateway that is told no neighbour's MAC and has to ask."""
    config = copy.deepcopy(config)
    del config["vteps"], config["ports"]["external"]["nextHop"]["mac"]
    return config


def endpoint(pair):
    return f"{pair[0]}:{pair[1]}"


class Network:
    """The namespaces and cables; the gateway's own namespace is ready and empty but for its two ports."""

    def __init__(self, lab):
        self.lab = lab
        self.fabric, self.gateway, self.outside = lab.namespace("fabric"), lab.namespace("gw"), lab.namespace("outside")
        self.fabric.ip(f"link add br0 mtu {UNDERLAY_MTU} type bridge stp_state 0")
        self.fabric.ip("link set br0 up")
        self.attach(self.gateway, "fab0", "gateway")
        self.vpcs = {vpc.name: self.vpc_host(vpc) for vpc in VPCS}
        self.red, self.blue, self.green = self.vpcs["red"], self.vpcs["blue"], self.vpcs["green"]
        self.outside_host()
        self.beyond = self.beyond_host()

    def end_connections(self):
        """Ends what hosts still have open through an earlier gateway, which the next one knows nothing of."""
        for namespace in (*self.vpcs.values(), self.outside, self.beyond):
            namespace.run("ss", "--kill", "--tcp", "--numeric")

    def attach(self, namespace, interface, bridge_port, mac=None):
        """Plugs a namespace into the underlay's bridge."""
        self.lab.veth(namespace, interface, self.fabric, bridge_port, UNDERLAY_MTU, mac)
        self.fabric.ip("link", "set", bridge_port, "master", "br0")

    def underlay_host(self, name, address, mac):
        host = self.lab.namespace(name)
        self.attach(host, "eth0", name, mac)
        whole_checksums(host, "eth0")
        host.ip("address", "add", f"{address}/24", "dev", "eth0")
        return host

    def vpc_host(self, vpc):
        host = self.underlay_host(vpc.name, vpc.vtep, vpc.underlay_mac)
        vxlan_device(host, vpc.vni, vpc.vtep, vpc.inner_mac)
        for address in vpc.hosts:
            host.ip("address", "add", f"{address}/24", "dev", "vx0")
        host.ip("route", "add", "default", "via", vpc.gateway_address, "src", vpc.hosts[0])
        if vpc is BLUE:
            # Unknown MACs are flooded to the gateway, which answers ARP for its own address in the VPC.
            host.run("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx0", "dst", GATEWAY_VTEP)
        else:
            host.ip("neighbour", "add", vpc.gateway_address, "lladdr", GATEWAY_MAC, "dev", "vx0", "nud", "permanent")
        host.run("bridge", "fdb", "append", GATEWAY_MAC, "dev", "vx0", "dst", GATEWAY_VTEP)
        return host

    def outside_host(self):
        self.lab.veth(self.gateway, "ext0", self.outside, "eth0", 1500, other_mac=OUTSIDE_MAC)
        whole_checksums(self.outside, "eth0")
        self.outside.ip("address", "add", f"{OUTSIDE_ADDRESS}/24", "dev", "eth0")
        self.outside.ip("address", "add", f"{FAR_ADDRESS}/32", "dev", "lo")

    def beyond_host(self):
        """A host behind a router of the outside, with kernels' own time exceeded and fragmentation needed on the way."""
        host = self.lab.namespace("beyond")
        self.lab.veth(self.outside, "eth1", host, "eth0", BEYOND_MTU)
        for namespace, interface, address in ((self.outside, "eth1", "192.0.2.1"), (host, "eth0", BEYOND_ADDRESS)):
            whole_checksums(namespace, interface)
            namespace.ip("address", "add", f"{address}/24", "dev", interface)
        host.ip("route add default via 192.0.2.1")
        self.outside.sysctl("ipv4/ip_forward", 1)
        for name in ("all", "eth0", "eth1"):
            self.outside.sysctl(f"ipv4/conf/{name}/send_redirects", 0)
        # Kernels send a host few ICMP errors a second; traceroutes one after another ask for more.
        for namespace in (self.outside, host, *self.vpcs.values()):
            namespace.sysctl("ipv4/icmp_ratelimit", 0)
        return host

    def forget_neighbours(self):
        """The hosts forget the MACs they learned, as after a reboot; entries given by hand stay."""
        for namespace in (*self.vpcs.values(), self.outside):
            namespace.ip("neighbour flush all nud reachable nud stale nud delay nud probe nud failed nud incomplete")


def whole_checksums(namespace, interface):
    """A veth leaves checksums to a NIC that is not there; whoever is behind a packet socket would see them unfinished."""
    namespace.run("ethtool", "-K", interface, "tx", "off")


def vxlan_device(host, vni, vtep, mac):
    host.ip(f"link add vx0 address {mac} mtu 1500 type vxlan id {vni} local {vtep} dstport 4789 nolearning dev eth0")
    host.ip("link set vx0 up")


def ping_report(namespace, destination, *options):
    """What one echo request came to, in ping's own words."""
    command = ["ip", "netns", "exec", namespace.name, "ping", "-n", "-c", "1", "-W", "2", *map(str, options), destination]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


class Pings:
    """A ping that goes on in the background, with DF set or in fragments."""

    def __init__(self, namespace, destination, size=56, source=None, interval=0.05, fragment=False):
        command = ["ping", "-n", "-M", "dont" if fragment else "do", "-i", str(interval), "-s", str(size)]
        self.process = namespace.start(*command, *(["-I", source] if source else []), destination)

    def replies(self):
        """Sequence numbers that were answered so far."""
        return [int(number) for number in re.findall(r"bytes from .*icmp_seq=(\d+)", self.process.output())]

    def stop(self):
        self.process.kill()


def ping(namespace, destination, count=1, seconds=2, **options):
    """Lost of the first `count` echo requests, and `count`. A reply may take its time: ping itself would give the last one two round trips."""
    pings = Pings(namespace, destination, **options)
    end = time.monotonic() + seconds + count * options.get("interval", 0.05)
    try:
        while True:
            answered = set(pings.replies()) & set(range(1, count + 1))
            if len(answered) == count or time.monotonic() > end or not pings.process.running:
                return count - len(answered), count
            time.sleep(0.02)
    finally:
        pings.stop()


def all_answered(namespace, destination, **options):
    lost, _ = ping(namespace, destination, **options)
    return lost == 0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gateway:
    """A `sluice gateway` in its namespace, the network's own or another one. `cpu`: the one that it may use; None: all. `arguments`: more of them."""

    def __init__(self, network, config, folder, namespace=None, cpu=None, arguments=()):
        self.network, self.config = network, config
        self.socket_path = Path(config["control"]["socket"])
        self.file = Path(folder) / "gateway.json"
        self.file.write_text(json.dumps(config, indent=2), encoding="utf-8")
        confined = [] if cpu is None else ["taskset", "--cpu-list", str(cpu)]
        self.process = (namespace or network.gateway).start(*confined, SLUICE, "gateway", "--config", str(self.file), *arguments)

    def wait_until_it_runs(self):
        """It answers on its control socket. @returns itself"""

        def answers():
            if not self.process.running:
                raise AssertionError(f"the gateway ended with {self.process.wait(1)}:\n{self.log()}")
            return self.runs_log() and self.counters()

        eventually(f"the gateway answers on {self.socket_path}", answers, START_SECONDS)
        return self

    def runs_log(self):
        return "gateway runs" in self.process.errors()

    def log(self):
        return self.process.errors() + self.process.output()

    def faults(self):
        """Log records of level error (pino: 50) and worse."""
        return [line for line in self.process.errors().splitlines() if is_fault(line)]

    def get(self, path):
        return self.ask("GET", path)

    def ask(self, method, path):
        connection = UnixConnection(self.socket_path)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, f"{method} {path}: {response.status} {body!r}"
            return body.decode()
        finally:
            connection.close()

    def counters(self):
        return json.loads(self.get("/v1/counters"))

    def flows(self, *arguments):
        """What `sluice flows` prints."""
        return run(SLUICE, "flows", "--socket", self.socket_path, *arguments)

    def sessions(self):
        return [json.loads(line) for line in self.get("/v1/flows").splitlines()]

    def reload(self, config):
        """Another configuration in its file, and SIGHUP."""
        self.file.write_text(json.dumps(config, indent=2), encoding="utf-8")
        os.kill(self.process.pid, signal.SIGHUP)

    def kill(self):
        self.process.kill()

    def stop(self):
        """SIGTERM. @returns the exit status"""
        return self.process.end(signal.SIGTERM, STOP_SECONDS)


def is_fault(line):
    try:
        return json.loads(line).get("level", 0) >= 50
    except (ValueError, AttributeError):
        return bool(line.strip())
