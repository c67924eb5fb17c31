"""Runs `sluice replay` on captures made packet by packet, and judges what every run owes the contract.

Nothing here is taken from the product: the configuration is the contract's example, frames are made with scapy, and what comes out is
read, checksummed and re-translated by the few functions of `packets`. A test sends packets, runs, and asks what each packet caused:
outputs carry the time of the packet that caused them, and every packet sent here has a time of its own.

Every run is made with the NIC translating at once and with the NIC never translating, and the captures of both must be the same bytes.
"""

import functools
import ipaddress
import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from captures import EPOCH_SECONDS, read_pcap, write_pcap
from frames import frame_from_outside, frame_from_peer_gateway, frame_from_vpc, example_config, mac_of_vtep, own_addresses, route_of, vpc_of
from packets import ICMP, MICROS, Ipv4, Seen, ip_faults, translated

ROOT = Path(__file__).resolve().parents[2]
SLUICE = os.environ.get("SLUICE", str(ROOT / "bin" / "sluice"))
# Slow paths of the gateway under test (--shards).
SHARDS = int(os.environ.get("SLUICE_SHARDS", "1"))
STEP_MICROS = 1_000
RUN_TIMEOUT_SECONDS = 120

# (--offload, --burst); the first is the one whose outcome a test sees.
STANDARD = (("immediate", None), ("never", None))
THOROUGH = STANDARD + (("after:2", None), ("immediate", 1), ("never", 1), ("after:1", 32))

CLASSES = {"vpc-to-vpc", "vpc-to-external", "external-to-vpc", "site-to-site", "hairpin"}
PATHS = {"offloaded", "software", "pending", "failed"}


def frame_faults(config, seen, transport_too=True):
    """All that is wrong with a transmitted frame whoever caused it: addresses, encapsulation, checksums."""
    underlay, external = config["underlay"], config["ports"]["external"]
    faults = []

    def demand(truth, text):
        if not truth:
            faults.append(f"{text}: {seen}")

    if seen.port_name == "external":
        demand(seen.vlan == external.get("vlan"), f"VLAN {seen.vlan}")
        demand(seen.ether_src == external["mac"], f"source MAC {seen.ether_src}")
        if seen.arp is None:
            demand(seen.ether_dst == external["nextHop"]["mac"], f"destination MAC {seen.ether_dst}")
            demand(seen.ip is not None, "neither ARP nor IPv4")
    else:
        demand(seen.vlan is None, f"VLAN {seen.vlan}")
        demand(seen.ether_src == underlay["mac"], f"source MAC {seen.ether_src}")
        if seen.outer:
            # gateway.md, "How traffic is classified", last paragraph; "settled": outer TOS 0; facts/nat.md row 7348: outer UDP checksum 0, I flag.
            outer = seen.outer
            demand(outer.ttl == 64, f"outer TTL {outer.ttl}")
            demand(outer.df and not outer.fragment, "outer DF not set")
            demand(outer.tos == 0, f"outer TOS {outer.tos}")
            demand(outer.header_length == 20, "outer IPv4 options")
            demand(49152 <= outer.sport <= 65535, f"outer UDP source {outer.sport}")
            demand(outer.l4_checksum == 0, f"outer UDP checksum {outer.l4_checksum:#06x}")
            demand(outer.src == underlay["vtep"], f"outer source {outer.src}")
            demand(seen.ether_dst == mac_of_vtep(config, outer.dst), f"destination MAC {seen.ether_dst} for VTEP {outer.dst}")
            demand(seen.vxlan_header[0] == 8 and seen.vxlan_header[1:4] == b"\0\0\0" and seen.vxlan_header[7] == 0, "VXLAN flags or reserved bits")
            demand(seen.inner_src == underlay["mac"], f"inner source MAC {seen.inner_src}")
            faults += ip_faults(outer, "outer")
            faults += route_faults(config, seen)
    if seen.ip is not None:
        faults += ip_faults(seen.ip, "inner" if seen.outer else "plain", transport_too)
    return faults


def route_faults(config, seen):
    """An encapsulated packet goes by the route of its VPC to its destination, or to a peer gateway."""
    if seen.ip is None:
        return []
    for vpc in config.get("vpcs", []):
        if vpc["vni"] == seen.vni:
            route = route_of(config, vpc, seen.ip.dst)
            if not route:
                return [f"no route of {vpc['name']} leads to {seen.ip.dst}: {seen}"]
            if (seen.outer.dst, seen.inner_dst) != (route["vtep"], route["mac"]):
                return [f"went to {seen.outer.dst} {seen.inner_dst}, the route says {route['vtep']} {route['mac']}: {seen}"]
            return []
    for peer in config.get("peerGateways", []):
        if (peer["vni"], peer["vtep"]) == (seen.vni, seen.outer.dst):
            return [] if seen.inner_dst == peer["mac"] else [f"inner destination MAC {seen.inner_dst}: {seen}"]
    return [f"VNI {seen.vni} belongs to nobody: {seen}"]


def sluice(*arguments, timeout=RUN_TIMEOUT_SECONDS, cwd=None):
    """Runs the program itself; returns what subprocess returns, with text."""
    return subprocess.run([SLUICE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False)


def message_lines(stderr):
    """The lines of stderr that are messages to a person; logs are JSON lines (pino)."""
    lines = []
    for line in stderr.splitlines():
        try:
            if isinstance(json.loads(line), dict):
                continue
        except ValueError:
            pass
        if line.strip() and not line.startswith(("EAL:", "TELEMETRY:")):
            lines.append(line)
    return lines


@dataclass(frozen=True)
class Sent:
    """A frame put into an input capture. `ip` is the host's own packet, where it is one."""

    port_name: str
    micros: int
    frame: bytes
    packet: bytes = None
    wrong_checksum: bool = False

    @property
    def time(self):
        return self.micros / MICROS

    @property
    def ip(self):
        return Ipv4(self.packet)


@dataclass
class Outcome:
    """What one replay gave."""

    config: dict
    captures: dict
    flows: list
    counters: dict
    stderr: str
    seen: list = field(default_factory=list)

    @property
    def fabric(self):
        return [s for s in self.seen if s.port_name == "fabric"]

    @property
    def external(self):
        return [s for s in self.seen if s.port_name == "external"]

    @property
    def drops(self):
        return {reason: count for reason, count in self.counters["drops"].items() if count}

    @property
    def nic_packets(self):
        return self.counters["nic"]["packets"]

    def of(self, sent):
        """All that a packet caused."""
        return [s for s in self.seen if s.micros == sent.micros]

    def one(self, sent):
        """The one frame that a packet caused."""
        seen = self.of(sent)
        assert len(seen) == 1, f"expected one frame from the packet at {sent.time}, got {seen}; drops {self.drops}"
        return seen[0]

    def none(self, *sents):
        """Nothing left because of these packets."""
        for sent in sents:
            assert not self.of(sent), f"expected nothing from the packet at {sent.time}, got {self.of(sent)}"

    def out(self, sent, source=None, destination=None):
        """The packet left by the external port, byte for byte as the oracle translates it."""
        seen = self.one(sent)
        assert seen.port_name == "external", f"left by the wrong port: {seen}"
        assert_bytes(seen.ip, translated(sent.packet, source, destination))
        return seen

    def into(self, vpc_name, sent, source=None, destination=None, ttl_less=1):
        """The packet reached a VPC, byte for byte as the oracle translates it."""
        seen = self.one(sent)
        assert seen.port_name == "fabric" and seen.vni == vpc_of(self.config, vpc_name)["vni"], f"not into {vpc_name}: {seen}"
        assert_bytes(seen.ip, translated(sent.packet, source, destination, ttl_less))
        return seen

    def refused(self, sent, kind, code, source, vpc_name=None, rest=None):
        """The gateway answered with an ICMP error of its own from `source`, quoting the packet as it came."""
        seen = self.one(sent)
        error = seen.ip
        assert (error.protocol, error.icmp_type, error.icmp_code) == (ICMP, kind, code), f"not ICMP {kind}/{code}: {seen}"
        assert (error.src, error.dst) == (source, sent.ip.src), f"not from {source} to {sent.ip.src}: {seen}"
        assert seen.vni == (vpc_of(self.config, vpc_name)["vni"] if vpc_name else None), f"not towards the sender: {seen}"
        quote = error.payload[8:]
        # RFC 792: the internet header and at least 64 bits; RFC 4884 padding is not used here.
        assert len(quote) >= min(len(sent.packet), sent.ip.header_length + 8), f"quotes {len(quote)} bytes: {seen}"
        assert sent.packet.startswith(quote), f"the quote is not what was sent:\n{quote.hex()}\n{sent.packet.hex()}"
        assert rest is None or error.next_hop_mtu == rest, f"next-hop MTU {error.next_hop_mtu}, not {rest}"
        return seen

    def flow(self, **wanted):
        """The one entry of the flow dump with these values, e.g. protocol="udp", inside=("10.0.1.7", 1000)."""
        found = [f for f in self.flows if all(flow_value(f[key]) == value for key, value in wanted.items())]
        assert len(found) == 1, f"{wanted}: {len(found)} of {json.dumps(self.flows, indent=1)}"
        return found[0]


def flow_value(value):
    return (value["address"], value["port"]) if isinstance(value, dict) and "address" in value else value


def assert_bytes(ip, wanted):
    """Byte equality that says what differs."""
    if ip.raw != wanted:
        expected = Ipv4(wanted)
        differing = [i for i in range(min(len(ip.raw), len(wanted))) if ip.raw[i] != wanted[i]]
        raise AssertionError(f"got {ip}\nnot {expected}\nbytes differ at {differing[:20]}\ngot {ip.raw.hex()}\nnot {wanted.hex()}")


def shard_options():
    return ["--shards", SHARDS] if SHARDS > 1 else []


def of_shards(config):
    """The configuration as several shards run it; skips a test of what they refuse (docs/decisions/0017-shards.md)."""
    if SHARDS == 1:
        return config
    nat = config.get("nat", {})
    if nat.get("mapping") == "address-and-port-dependent":
        pytest.skip("several shards refuse nat.mapping address-and-port-dependent")
    if nat.get("log") == "blocks":
        pytest.skip("several shards refuse nat.log blocks")
    # Neither has a part in a replay.
    return {key: value for key, value in config.items() if key not in ("mirror", "ha")}


def execute(config, packets, offload, burst=None, reloads=()):
    """One run of `sluice replay`. Fails unless it exits 0 and writes all it was asked for. `reloads`: (microseconds, configuration as JSON)."""
    config = of_shards(config)
    with tempfile.TemporaryDirectory(prefix="sluice-replay-") as folder:
        folder = Path(folder)
        (folder / "gateway.json").write_text(json.dumps(config, indent=1))
        arguments = ["replay", "--config", folder / "gateway.json"]
        arguments += shard_options()
        for name in config["ports"]:
            # Sorting is stable: packets of one time stay as they were sent.
            write_pcap(folder / f"{name}-in.pcap", [(p.micros, p.frame) for p in packets if p.port_name == name])
            arguments += ["--in", f"{name}={folder / f'{name}-in.pcap'}"]
        for name in config["ports"]:
            arguments += ["--out", f"{name}={folder / f'{name}-out.pcap'}"]
        arguments += ["--flows", folder / "flows.json", "--counters", folder / "counters.json"]
        arguments += ["--offload", offload] if offload else []
        arguments += ["--burst", burst] if burst else []
        for number, (micros, text) in enumerate(reloads):
            (folder / f"reload-{number}.json").write_text(json.dumps(of_shards(json.loads(text))) if SHARDS > 1 else text)
            arguments += ["--reload", f"{EPOCH_SECONDS + micros // MICROS}.{micros % MICROS:06}={folder / f'reload-{number}.json'}"]
        result = sluice(*arguments)
        assert result.returncode == 0, f"exit {result.returncode} with --offload {offload} --burst {burst}\n{result.stderr[-4000:]}"
        captures = {name: (folder / f"{name}-out.pcap").read_bytes() for name in config["ports"]}
        outcome = Outcome(
            config,
            captures,
            json.loads((folder / "flows.json").read_text()),
            json.loads((folder / "counters.json").read_text()),
            result.stderr,
        )
        vxlan_port = config["underlay"].get("udpPort", 4789)
        for name in config["ports"]:
            outcome.seen += [Seen(name, micros, frame, vxlan_port) for micros, frame in read_pcap(folder / f"{name}-out.pcap")]
        outcome.seen.sort(key=lambda s: s.micros)
        return outcome


@functools.lru_cache(maxsize=64)
def execute_once(config_text, packets, offload, reloads, shards):
    del shards  # of the key alone: execute() has them from SHARDS
    return execute(json.loads(config_text), packets, offload, reloads=reloads)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def flow_faults(flow):
    """DESIGN.md §3, "Flow dump and counters, JSON", to the letter."""
    faults = []

    def keys(value, wanted, where):
        if not isinstance(value, dict) or set(value) != set(wanted.split()):
            faults.append(f"{where} has {sorted(value) if isinstance(value, dict) else value}, not {wanted}")
            return False
        return True

    wanted = "id class vpc protocol state inside nat remote underlay forward reverse ageMs idleMs expiresInMs"
    if not keys(flow, wanted, "flow"):
        return faults
    for side in ("inside", "nat", "remote"):
        if keys(flow[side], "address port", side):
            try:
                ipaddress.ip_address(flow[side]["address"])
            except ValueError:
                faults.append(f"{side}.address {flow[side]['address']}")
            if not (flow[side]["port"] is None or (isinstance(flow[side]["port"], int) and 0 <= flow[side]["port"] <= 65535)):
                faults.append(f"{side}.port {flow[side]['port']}")
    keys(flow["underlay"], "vni vtep", "underlay")
    for direction in ("forward", "reverse"):
        if keys(flow[direction], "path reason packets bytes", direction):
            if flow[direction]["path"] not in PATHS:
                faults.append(f"{direction}.path {flow[direction]['path']}")
            if not (is_number(flow[direction]["packets"]) and is_number(flow[direction]["bytes"])):
                faults.append(f"{direction} counts {flow[direction]}")
    if flow["class"] not in CLASSES:
        faults.append(f"class {flow['class']}")
    if not (flow["protocol"] in ("tcp", "udp", "icmp") or (isinstance(flow["protocol"], str) and flow["protocol"].isdigit())):
        faults.append(f"protocol {flow['protocol']!r}")
    for name in ("ageMs", "idleMs", "expiresInMs"):
        if not is_number(flow[name]):
            faults.append(f"{name} {flow[name]}")
    return faults


def counters_faults(config, packets, outcome, extra):
    """DESIGN.md §3 and gateway.md "settled": shape, and every packet accounted for under exactly one heading."""
    counters, faults = outcome.counters, []
    if set(counters) != {"ports", "slowPath", "nic", "drops"}:
        return [f"counters have {sorted(counters)}"]
    if set(counters["ports"]) != set(config["ports"]):
        return [f"counters.ports has {sorted(counters['ports'])}"]
    if set(counters["slowPath"]) != {"packets", "misses"} or set(counters["nic"]) != {"packets"}:
        return [f"counters.slowPath {counters['slowPath']}, counters.nic {counters['nic']}"]
    for name, port in counters["ports"].items():
        if set(port) != {"received", "transmitted"}:
            faults.append(f"counters.ports.{name} has {sorted(port)}")
            continue
        came, left = sum(p.port_name == name for p in packets), sum(s.port_name == name for s in outcome.seen)
        if (port["received"], port["transmitted"]) != (came, left):
            faults.append(f"{name}: counted {port}, captures have {came} in and {left} out")
    unknown = {r for r in counters["drops"] if not isinstance(counters["drops"][r], int)}
    if unknown:
        faults.append(f"drops that are no counts: {unknown}")
    if counters["slowPath"]["packets"] + counters["nic"]["packets"] != len(packets):
        faults.append(f"slowPath {counters['slowPath']} and nic {counters['nic']} do not add up to {len(packets)} received")
    if counters["slowPath"]["misses"] > counters["slowPath"]["packets"]:
        faults.append(f"more misses than packets: {counters['slowPath']}")
    generated = sum(is_generated(config, s) for s in outcome.seen) + extra
    dropped = sum(counters["drops"].values())
    if len(packets) - dropped != len(outcome.seen) - generated:
        faults.append(
            f"{len(packets)} received, {dropped} dropped or consumed {outcome.drops}, so {len(packets) - dropped} should have been "
            f"forwarded, but {len(outcome.seen)} left of which {generated} are the gateway's own"
        )
    return faults


def is_generated(config, seen):
    """ARP answers, echo replies and ICMP errors of the gateway itself: their source is an address of its own."""
    return seen.ip is None or (seen.ip.src in own_addresses(config) and seen.ip.protocol == ICMP)


def endpoint_faults(config, flows):
    """DESIGN.md §4 invariant 1, as far as a dump can show it: no external endpoint serves two inside endpoints."""
    owners, faults = {}, []
    if config["nat"].get("mapping", "endpoint-independent") != "endpoint-independent":
        return faults
    for flow in flows:
        if flow["protocol"] not in ("tcp", "udp", "icmp") or flow["class"] not in ("vpc-to-external", "external-to-vpc"):
            continue
        inside, nat = flow_value(flow["inside"]), flow_value(flow["nat"])
        if inside == nat:
            continue
        owner = (flow["vpc"], inside)
        if owners.setdefault((flow["protocol"], nat), owner) != owner:
            faults.append(f"{nat} belongs to {owner} and to {owners[(flow['protocol'], nat)]}")
    return faults


def comparable_flows(flows):
    """What of a dump may not depend on who translated: all but the path and its reason, and the identity of the row."""
    rows = []
    for flow in flows:
        row = {key: value for key, value in flow.items() if key != "id"}
        for direction in ("forward", "reverse"):
            row[direction] = {key: row[direction][key] for key in ("packets", "bytes")}
        rows.append(json.dumps(row, sort_keys=True))
    return sorted(rows)


def judge(config, packets, outcome, extra=0, timers=False, reloads=()):
    """Everything that any replay owes, in a list of faults. Each frame is judged by the configuration of its time."""
    configs = [(-1, config)] + [(micros, json.loads(text)) for micros, text in reloads]

    def at(micros):
        return [in_force for since, in_force in configs if since <= micros][-1]

    faults = []
    wrong = {p.micros for p in packets if p.wrong_checksum}
    times = {p.micros for p in packets}
    for seen in outcome.seen:
        faults += frame_faults(at(seen.micros), seen, transport_too=seen.micros not in wrong)
        if not timers and seen.micros not in times:
            faults.append(f"stamped with the time of no packet: {seen}")
    for name in config["ports"]:
        stamps = [micros for micros, _ in parse_capture(outcome, name)]
        if stamps != sorted(stamps):
            faults.append(f"the capture of {name} goes back in time")
    faults += counters_faults(config, packets, outcome, extra)
    for flow in outcome.flows:
        faults += [f"{fault} in {flow}" for fault in flow_faults(flow)]
    return faults + endpoint_faults(config, outcome.flows)


def parse_capture(outcome, name):
    return [(s.micros, s.raw) for s in outcome.seen if s.port_name == name]


class Replay:
    """Packets being put into the input captures of one gateway, and the runs over them.

    The clock starts at 0 and moves on by a millisecond with every packet, so every packet has a time of its own; `at` and `wait` move it.
    """

    def __init__(self, config=None):
        self.config = config if config is not None else example_config()
        self.packets = []
        self.reloads = []
        self.config_at_start = None
        self.now_micros = 0

    def at(self, seconds):
        micros = round(seconds * MICROS)
        assert not self.packets or micros > self.packets[-1].micros, f"{seconds} s is not after the packet before"
        self.now_micros = micros
        return self

    def wait(self, seconds):
        """`seconds` after the last packet."""
        self.now_micros = (self.packets[-1].micros if self.packets else 0) + round(seconds * MICROS)
        return self

    def frame(self, port_name, frame, packet=None, wrong_checksum=False):
        sent = Sent(port_name, self.now_micros, bytes(frame), bytes(packet) if packet is not None else None, wrong_checksum)
        self.packets.append(sent)
        self.now_micros += STEP_MICROS
        return sent

    def reload(self, config):
        """From now on the gateway follows another configuration; what is sent after it is framed by that one."""
        self.reloads.append((self.now_micros, json.dumps(config)))
        self.config_at_start = self.first_config()
        self.config = config
        self.now_micros += STEP_MICROS
        return self

    def inside(self, vpc_name, packet, wrong_checksum=False, **changes):
        """A host of a VPC sends an IPv4 packet to the gateway."""
        packet = bytes(packet)
        return self.frame("fabric", frame_from_vpc(self.config, vpc_name, packet, **changes), packet, wrong_checksum)

    def outside(self, packet, wrong_checksum=False, **changes):
        """An IPv4 packet comes to the external port."""
        packet = bytes(packet)
        return self.frame("external", frame_from_outside(self.config, packet, **changes), packet, wrong_checksum)

    def peer(self, name, packet, **changes):
        """A peer gateway sends an IPv4 packet in the gateway-to-gateway VNI."""
        packet = bytes(packet)
        return self.frame("fabric", frame_from_peer_gateway(self.config, name, packet, **changes), packet)

    def peek(self):
        """What the packets so far lead to: one run in software. A seed makes allocation repeatable, so the whole run will say the same."""
        return execute_once(json.dumps(self.first_config()), tuple(self.packets), "never", tuple(self.reloads), SHARDS)

    def first_config(self):
        return self.config_at_start or self.config

    def run(self, modes=STANDARD, extra=0, timers=False):
        """Replays in all modes, demands equal results, judges them, and returns the outcome of the first.

        `extra`: frames expected beyond one for each forwarded packet, where they cannot be told from forwarded ones.
        `timers`: timers send frames in this run, so not every stamp is a packet's.
        """
        with ThreadPoolExecutor(max_workers=2) as pool:
            outcomes = list(pool.map(lambda mode: execute(self.first_config(), self.packets, *mode, reloads=self.reloads), modes))
        first = outcomes[0]
        for mode, outcome in zip(modes, outcomes):
            for name in self.config["ports"]:
                if outcome.captures[name] != first.captures[name]:
                    raise AssertionError(f"the capture of {name} differs: {modes[0]} and {mode}\n" + capture_difference(first, outcome, name))
            assert outcome.drops == first.drops, f"drops differ: {modes[0]} {first.drops}, {mode} {outcome.drops}"
            assert comparable_flows(outcome.flows) == comparable_flows(first.flows), (
                f"flow dumps differ: {modes[0]} and {mode}\n"
                + "\n".join(sorted(set(comparable_flows(outcome.flows)) ^ set(comparable_flows(first.flows)))[:6])
            )
            if mode[0] == "never" and "too-big" not in outcome.drops:
                assert outcome.nic_packets == 0, f"the NIC finished packets although it was told never to: {outcome.counters}"
            faults = judge(self.first_config(), self.packets, outcome, extra, timers, self.reloads)
            assert not faults, f"{mode}: {len(faults)} faults\n" + "\n".join(faults[:12])
        first.by_mode = dict(zip(modes, outcomes))
        return first


def capture_difference(one, other, name):
    ours, theirs = [s for s in one.seen if s.port_name == name], [s for s in other.seen if s.port_name == name]
    for a, b in zip(ours, theirs):
        if (a.micros, a.raw) != (b.micros, b.raw):
            return f"first difference:\n{a} {a.raw.hex()}\n{b} {b.raw.hex()}"
    return f"{len(ours)} and {len(theirs)} frames; the first of the longer: {(ours + [None])[len(theirs) :][:1]} {(theirs + [None])[len(ours) :][:1]}"


def replay(config, packets, modes=STANDARD, **options):
    """`run` for packets that were made elsewhere: (port name, microseconds, frame)."""
    capture = Replay(config)
    capture.packets = [Sent(*packet) if isinstance(packet, tuple) else packet for packet in packets]
    return capture.run(modes, **options)
