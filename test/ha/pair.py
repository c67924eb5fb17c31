"""A pair of gateways amid real hosts, with a real Redis.

                       red 10.0.1.7 (VXLAN 100)
                              │
      ┌─────────── bridge br-fab (fabric) ───────────┐
    fab0                                           fab0
  [ gateway a ]── 10.8.0.1 ═ direct ═ 10.8.0.2 ──[ gateway b ]
    ext0   └ 10.9.0.2 ─┐                ┌─ 10.9.0.3 ┘   ext0
      │                bridge br-mgmt ── Redis 10.9.0.1   │
      └─────────── bridge br-ext (wan) ──────────────┘
                              │
                outside 203.0.113.254, 198.51.100.7

Both gateways have the same addresses and, as ha.virtualMac, the same MAC on both sides: a takeover shows on the bridges alone, which learn
from whom frames come.
"""

import copy
import json
import signal
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))

from net import Failed, eventually, frames_in, run  # noqa: E402
from topology import (  # noqa: E402
    EXTERNAL_ADDRESS,
    FAR_ADDRESS,
    OUTSIDE_ADDRESS,
    OUTSIDE_MAC,
    POOL,
    RED,
    ROOT,
    SLUICE,
    UNDERLAY_MTU,
    UnixConnection,
    vxlan_device,
    whole_checksums,
)

GATEWAY_VTEP, VIRTUAL_MAC = "172.30.0.1", "02:00:00:00:f0:01"
REDIS_ADDRESS, REDIS_PORT = "10.9.0.1", 6379
NODES = {"a": ("10.9.0.2", "10.8.0.1"), "b": ("10.9.0.3", "10.8.0.2")}
PEER_PORT = 7946
LEASE_MS = 1000
NAT_ADDRESSES = {*POOL, "203.0.113.10"}
START_SECONDS = 25
HOST = RED.hosts[0]
CONTROLS = Path(__file__).resolve().parent / "controls"

__all__ = ["FAR_ADDRESS", "HOST", "OUTSIDE_ADDRESS", "POOL", "Failed", "eventually", "frames_in", "run"]


def configuration(folder, **changes):
    """A configuration without what is a node's own."""
    config = {
        "name": "pair",
        "underlay": {"vtep": GATEWAY_VTEP, "mac": "02:00:00:00:f0:02"},
        "ports": {
            "fabric": {"role": "fabric", "device": "net_softflow0,wire=net_af_packet0:iface=fab0"},
            "external": {
                "role": "external",
                "device": "net_softflow1,wire=net_af_packet1:iface=ext0",
                "mac": "02:00:00:00:e0:01",
                "address": f"{EXTERNAL_ADDRESS}/24",
                "nextHop": {"address": OUTSIDE_ADDRESS, "mac": OUTSIDE_MAC},
            },
        },
        "vteps": [{"address": RED.vtep, "mac": RED.underlay_mac}],
        "vpcs": [
            {
                "name": "red",
                "vni": RED.vni,
                "subnets": [RED.subnet],
                "gatewayAddress": RED.gateway_address,
                "routes": [{"prefix": RED.subnet, "vtep": RED.vtep, "mac": RED.inner_mac}],
            }
        ],
        "externalPools": [{"name": "internet", "vpcs": ["red"], "ranges": [f"{POOL[0]}-{POOL[-1]}"]}],
        "staticBindings": [{"vpc": "red", "private": "10.0.1.5", "external": "203.0.113.10"}],
        "nat": {"maxSessions": 20000},
        "offload": {"mode": "immediate", "maxRules": 40000},
        "mirror": {"redis": f"redis://{REDIS_ADDRESS}:{REDIS_PORT}", "mode": "async"},
        "ha": {"group": "pair", "leaseMs": LEASE_MS, "virtualMac": VIRTUAL_MAC, "configFile": "ha_config.json", "resultFile": "ha_monitor_result.json"},
        "control": {"socket": str(Path(folder) / "gw.sock")},
        "log": {"level": "debug"},
    }
    config = copy.deepcopy(config)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(name), dict):
            config[name].update(value)
        else:
            config[name] = value
    return config


def hook_at(stage, command, folder):
    """Settings of a hook script that runs a shell command in one state of the failover."""
    script = folder / "hook.sh"
    script.write_text(f'#!/bin/sh\n[ "$1" != {stage} ] || {command}\n', encoding="ascii")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"hook": {"command": str(script)}}


class PairNetwork:
    """Namespaces and cables of a pair; the gateways' are empty but for their ports."""

    def __init__(self, lab):
        self.lab = lab
        self.switches = lab.namespace("sw")
        for bridge, mtu in (("br-fab", UNDERLAY_MTU), ("br-ext", 1500), ("br-mgmt", 1500)):
            self.switches.ip(f"link add {bridge} mtu {mtu} type bridge stp_state 0")
            self.switches.ip(f"link set {bridge} up")
        self.gateways = {node: lab.namespace(f"gw-{node}") for node in NODES}
        for node, (mgmt, direct) in NODES.items():
            self.attach(self.gateways[node], "fab0", f"fab-{node}", "br-fab", UNDERLAY_MTU)
            self.attach(self.gateways[node], "ext0", f"ext-{node}", "br-ext")
            self.attach(self.gateways[node], "mgmt0", f"mgmt-{node}", "br-mgmt")
            self.gateways[node].ip(f"address add {mgmt}/24 dev mgmt0")
        lab.veth(self.gateways["a"], "peer0", self.gateways["b"], "peer0")
        for node, (mgmt, direct) in NODES.items():
            self.gateways[node].ip(f"address add {direct}/24 dev peer0")
        self.store = lab.namespace("redis")
        self.attach(self.store, "eth0", "redis", "br-mgmt")
        self.store.ip(f"address add {REDIS_ADDRESS}/24 dev eth0")
        self.red = self.vpc_host()
        self.outside = self.outside_host()

    def attach(self, namespace, interface, port, bridge, mtu=1500, mac=None):
        self.lab.veth(namespace, interface, self.switches, port, mtu, mac)
        self.switches.ip("link", "set", port, "master", bridge)

    def vpc_host(self):
        host = self.lab.namespace("red")
        self.attach(host, "eth0", "red", "br-fab", UNDERLAY_MTU, RED.underlay_mac)
        whole_checksums(host, "eth0")
        host.ip(f"address add {RED.vtep}/24 dev eth0")
        vxlan_device(host, RED.vni, RED.vtep, RED.inner_mac)
        for address in RED.hosts:
            host.ip(f"address add {address}/24 dev vx0")
        host.ip(f"route add default via {RED.gateway_address} src {HOST}")
        host.ip(f"neighbour add {RED.gateway_address} lladdr {VIRTUAL_MAC} dev vx0 nud permanent")
        host.run("bridge", "fdb", "append", VIRTUAL_MAC, "dev", "vx0", "dst", GATEWAY_VTEP)
        return host

    def outside_host(self):
        host = self.lab.namespace("outside")
        self.attach(host, "eth0", "outside", "br-ext", 1500, OUTSIDE_MAC)
        whole_checksums(host, "eth0")
        host.ip(f"address add {OUTSIDE_ADDRESS}/24 dev eth0")
        host.ip(f"address add {FAR_ADDRESS}/32 dev lo")
        return host

    def redis(self, folder, *words, port=REDIS_PORT):
        return Redis(self, folder, words, port)

    def lead_elsewhere(self, node, port):
        """What a node sends to Redis' port arrives at another one's from now on; what is open stays open."""
        namespace = self.gateways[node]
        namespace.run("nft", "add table ip elsewhere")
        namespace.run("nft", "add chain ip elsewhere output { type nat hook output priority -100; }")
        namespace.run("nft", f"add rule ip elsewhere output ip daddr {REDIS_ADDRESS} tcp dport {REDIS_PORT} dnat to {REDIS_ADDRESS}:{port}")

    def cut(self, what, node):
        """Unplugs `mgmt` (Redis), `fab` or `ext` of a node."""
        self.switches.ip(f"link set {what}-{node} down")

    def mend(self, what, node):
        self.switches.ip(f"link set {what}-{node} up")

    def cut_direct(self):
        self.gateways["a"].ip("link set peer0 down")

    def deafen(self, node, interface):
        """Nothing that arrives on an interface is heard any more; what is sent still leaves."""
        namespace = self.gateways[node]
        namespace.run("nft", "add table inet deaf")
        namespace.run("nft", "add chain inet deaf input { type filter hook input priority 0; }")
        namespace.run("nft", f'add rule inet deaf input iifname "{interface}" drop')

    def mend_all(self):
        for namespace in self.gateways.values():
            for table in namespace.run("nft", "list", "tables").splitlines():
                namespace.run("nft", "delete", *table.split())
        for node in NODES:
            for what in ("mgmt", "fab", "ext"):
                self.mend(what, node)
        self.gateways["a"].ip("link set peer0 up")

    def learned_from(self, mac, bridge):
        """The bridge's port behind which a MAC was last seen."""
        for line in self.switches.run("bridge", "fdb", "show", "br", bridge).splitlines():
            words = line.split()
            if words[0] == mac and "permanent" not in words:
                return words[words.index("dev") + 1]
        return None


class Redis:
    """A redis-server of a test's own, in its namespace."""

    def __init__(self, network, folder, words=(), port=REDIS_PORT):
        self.network, self.folder, self.words, self.port = network, Path(folder), words, port
        self.process = None
        self.begin()

    def begin(self):
        fixed = ["--port", str(self.port), "--bind", REDIS_ADDRESS, "--protected-mode", "no", "--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        self.process = self.network.store.start("redis-server", *fixed, *self.words)
        eventually("redis answers", lambda: self.command("PING") == "PONG")

    def command(self, *words):
        return run("ip", "netns", "exec", self.network.store.name, "redis-cli", "-h", REDIS_ADDRESS, "-p", str(self.port), *words).strip()

    def kill(self):
        self.process.kill()


class Member:
    """A `sluice gateway` or `sluice standby` of the pair."""

    def __init__(self, network, node, folder, command="gateway", settings=None, control=(), **changes):
        """`control`: files of controls/ that are preloaded, one name or several"""
        self.network, self.node, self.changes = network, node, changes
        self.controls = [control] if isinstance(control, str) else list(control or ())
        self.namespace = network.gateways[node]
        self.folder = Path(folder) / node
        self.folder.mkdir(parents=True, exist_ok=True)
        mgmt, direct = NODES[node]
        other = NODES["b" if node == "a" else "a"][1]
        self.settings = {
            "schema": 1,
            "node": node,
            "peer": {"listen": f"{direct}:{PEER_PORT}", "address": f"{other}:{PEER_PORT}"},
            **(settings or {}),
        }
        if self.settings["peer"] is None:
            del self.settings["peer"]
        self.config = configuration(self.folder, **changes)
        (self.folder / "gateway.json").write_text(json.dumps(self.config, indent=2), encoding="utf-8")
        self.write_settings(self.settings)
        self.command = command
        self.process = None

    def write_settings(self, settings):
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=2)
        temporary = self.folder / "ha_config.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(self.folder / "ha_config.json")

    def start(self):
        preload = ["env", "NODE_OPTIONS=" + " ".join(f"--require={CONTROLS / name}" for name in self.controls)] if self.controls else []
        self.process = self.namespace.start(*preload, SLUICE, self.command, "--config", str(self.folder / "gateway.json"))
        return self

    def wait_until(self, what, holds, seconds=START_SECONDS):
        """`holds` is asked with the status until it is true. @returns the status"""

        def probe():
            if not self.process.running:
                raise AssertionError(f"gateway {self.node} ended with {self.process.wait(1)}:\n{self.log()}")
            status = self.status()
            return status if holds(status) else None

        try:
            return eventually(f"gateway {self.node} {what}", probe, seconds)
        except Failed as error:
            raise Failed(f"{error}\n{json.dumps(self.status_or_none(), indent=1)}\n{self.log()[-6000:]}") from None

    def wait_until_active(self, seconds=START_SECONDS):
        return self.wait_until("is active", lambda status: status["failoverState"] == "E2E_CONN_DONE", seconds)

    def wait_until_eligible(self, seconds=START_SECONDS):
        return self.wait_until("is eligible", lambda status: status["role"] == "standby" and status["eligible"], seconds)

    def ask(self, path, method="GET"):
        connection = UnixConnection(self.config["control"]["socket"])
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def status(self):
        code, body = self.ask("/v1/ha")
        assert code == 200, body
        return json.loads(body)

    def status_or_none(self):
        try:
            return self.status()
        except OSError:
            return None

    def counters(self):
        return json.loads(self.ask("/v1/counters")[1])

    def flows(self):
        return [json.loads(line) for line in self.ask("/v1/flows")[1].splitlines()]

    def result(self):
        return json.loads((self.folder / "ha_monitor_result.json").read_text(encoding="utf-8"))

    def cli(self, *words):
        return run(SLUICE, "ha", *words, "--socket", self.config["control"]["socket"])

    def log(self):
        return self.process.errors() if self.process else ""

    def records(self, message):
        """Log records with that message."""
        found = []
        for line in self.log().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("msg") == message:
                found.append(record)
        return found

    def signal(self, number):
        self.process.send(number)

    def kill(self):
        if self.process is not None:
            if self.process.running:
                self.process.send(signal.SIGCONT)
            self.process.kill()

    def stop(self):
        return self.process.end(signal.SIGTERM, 10)


def now():
    return time.monotonic()


VALIDATE = """
const [schema, document] = process.argv.slice(1).map((path) => JSON.parse(require('node:fs').readFileSync(path, 'utf8')));
const ajv = new (require('ajv/dist/2020').default)({ strict: false, formats: { uuid: true } });
if (!ajv.validate(schema, document)) { console.error(ajv.errorsText()); process.exit(1); }
"""


def assert_valid(schema, path):
    """A JSON file is as a schema of schemas/ says. @raises Failed"""
    run("env", f"NODE_PATH={ROOT / 'node_modules'}", "node", "-e", VALIDATE, ROOT / "schemas" / schema, path)


@dataclass(frozen=True)
class Seen:
    """A translated packet that a gateway sent outside."""

    at: float  # seconds since 1970
    node: str
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int


class Wires:
    """Captures of what each gateway sends outside, taken where its cable enters the switch."""

    def __init__(self, network, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = {node: folder / f"ext-{node}.pcap" for node in NODES}
        self.processes = []
        for node, path in self.paths.items():
            words = ["-n", "-U", "-Q", "in", "-i", f"ext-{node}", "-s", "128", "-B", "65536", "-Z", "root", "-w", str(path)]
            self.processes.append(network.switches.start("tcpdump", *words))
        for process in self.processes:
            eventually("tcpdump listens", lambda process=process: "listening on" in process.errors())

    def stop(self):
        """@returns every packet with a NAT address as its source, in the order of time"""
        for process in self.processes:
            time.sleep(0.1)  # tcpdump writes what it has read before it asks for signals
            process.end(signal.SIGINT)
            assert "\n0 packets dropped by kernel" in process.errors(), process.errors()
        seen = [packet for node, path in self.paths.items() for packet in translated(node, path)]
        return sorted(seen, key=lambda packet: packet.at)


def translated(node, path):
    data = memoryview(Path(path).read_bytes())
    at = 24
    mac = bytes.fromhex(VIRTUAL_MAC.replace(":", ""))
    while at + 16 <= len(data):
        seconds, micros, length = (int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little") for i in range(3))
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        if bytes(frame[6:12]) != mac or bytes(frame[12:14]) != b"\x08\x00":
            continue
        ip = frame[14:]
        source, destination = (".".join(map(str, ip[i : i + 4])) for i in (12, 16))
        if source not in NAT_ADDRESSES:
            continue
        l4 = ip[(ip[0] & 15) * 4 :]
        protocol = ip[9]
        if protocol == 1:
            ports = (int.from_bytes(l4[4:6], "big"), 0)
        else:
            ports = (int.from_bytes(l4[0:2], "big"), int.from_bytes(l4[2:4], "big"))
        yield Seen(seconds + micros / 1e6, node, protocol, source, ports[0], destination, ports[1])
