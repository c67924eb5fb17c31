"""net_softflow under an independent client: Debian's dpdk-testpmd creates the rules, scapy judges the captures.

    python3 -m pytest test/softflow          (needs build/native/librte_net_softflow.so)
"""

import re
import shlex
import time

import pytest

scapy = pytest.importorskip("scapy.all")

from testpmd import DRIVER, FORWARD, REPOSITORY, Testpmd, answers  # noqa: E402

pytestmark = pytest.mark.skipif(not DRIVER.exists(), reason="the driver is not built")

FABRIC, EXTERNAL = 0, 2  # ethdev ids
PRIVATE, SERVER, PUBLIC = "10.0.1.5", "8.8.8.8", "203.0.113.10"
VTEP, GATEWAY = "172.30.0.11", "172.30.0.1"


def inner(transport=None, **ip):
    fields = {"src": PRIVATE, "dst": SERVER, "ttl": 64, **ip}
    transport = transport if transport is not None else scapy.UDP(sport=1000, dport=53)
    return scapy.Ether(src="02:00:00:01:00:11", dst="02:00:00:00:f0:01") / scapy.IP(**fields) / transport / b"payload"


def tunnelled(packet, vni=100, source=VTEP, destination=GATEWAY):
    return (
        scapy.Ether(src="02:00:00:00:00:11", dst="02:00:00:00:f0:01")
        / scapy.IP(src=source, dst=destination)
        / scapy.UDP(sport=50000, dport=4789, chksum=0)
        / scapy.VXLAN(vni=vni, flags=8)
        / packet
    )


def test_the_command_of_the_readme_forwards_the_example_capture(tmp_path):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = next(part for part in readme.split("```") if part.startswith("\ndpdk-testpmd"))
    sent = tmp_path / "out.pcap"
    tester = Testpmd(tmp_path, ())
    real = {"\\\n": " ", "out.pcap": f"[{sent}]", "examples/": f"{REPOSITORY}/examples/", "build/": f"{REPOSITORY}/build/"}
    # At one go: a checkout may itself lie below a folder of such a name.
    block = re.sub("|".join(map(re.escape, real)), lambda shown: real[shown[0]], block)
    tester.command = ["stdbuf", "-oL", *shlex.split(block)]
    tester.run(["start", 2, "stop"])
    assert sent.stat().st_size == (REPOSITORY / "examples" / "fabric.pcap").stat().st_size


def bytes_of(packet):
    return bytes(scapy.Ether(bytes(packet)))


def with_right_checksums(packet):
    """The packet with every checksum and length computed again by scapy."""
    packet = scapy.Ether(bytes(packet))
    layer = packet
    while layer:
        no_checksum = isinstance(layer, scapy.UDP) and layer.chksum == 0  # and is to stay without
        for field in ("chksum", "len"):
            if layer.fields.get(field) is not None and not (field == "chksum" and no_checksum):
                delattr(layer, field)
        layer = layer.payload
    return bytes(packet)


NAT = (
    f"flow create {FABRIC} transfer pattern represented_port ethdev_port_id is {FABRIC} / eth / ipv4 / udp / vxlan vni is 100"
    f" / eth / ipv4 src is {PRIVATE} dst is {SERVER} / udp src is 1000 dst is 53 / end actions vxlan_decap / count"
    f" / set_mac_src mac_addr 02:00:00:00:e0:01 / set_mac_dst mac_addr 02:00:00:00:e0:fe / set_ipv4_src ipv4_addr {PUBLIC}"
    f" / set_tp_src port 2000 / dec_ttl / represented_port ethdev_port_id {EXTERNAL} / end"
)


def xstats(output, port):
    block = re.search(rf"NIC extended statistics for port {port}\s*\n(.*?)(?:######|testpmd>)", output, re.DOTALL).group(1)
    return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)", block, re.MULTILINE)}


def test_a_vxlan_nat_rule_forwards_without_the_application(tmp_path):
    hit, other_vni, other_port = tunnelled(inner()), tunnelled(inner(), vni=101), tunnelled(inner(scapy.UDP(sport=1001, dport=53)))
    run = Testpmd(tmp_path, [[hit, other_vni, hit, other_port], []])
    output = run.run(["set fwd rxonly", NAT, f"flow list {FABRIC}", *FORWARD, f"flow query {FABRIC} 0 count", "show port xstats all"])
    assert "Flow rule #0 created" in output
    said = dict(answers(output))
    assert re.search(r"0\s+0\s+0\s+--t", said[f"flow list {FABRIC}"]), said[f"flow list {FABRIC}"]
    assert "hits: 2" in said[f"flow query {FABRIC} 0 count"]

    expected = inner(src=PUBLIC, ttl=63)
    expected[scapy.Ether].src, expected[scapy.Ether].dst = "02:00:00:00:e0:01", "02:00:00:00:e0:fe"
    expected[scapy.UDP].sport = 2000
    sent = run.sent(1)
    assert [bytes(packet) for packet in sent] == [bytes_of(expected)] * 2
    assert len(run.sent(0)) == 0
    fabric, external = xstats(output, FABRIC), xstats(output, EXTERNAL)
    assert fabric["wire_rx_packets"] == 4
    assert fabric["nic_forwarded_packets"] == 2
    assert fabric["application_missed_packets"] == 2
    assert fabric["rx_good_packets"] == 2
    assert external["nic_sent_packets"] == external["wire_tx_packets"] == 2


def test_the_reverse_rule_encapsulates_and_fills_in_what_its_definition_leaves_out(tmp_path):
    reply = scapy.Ether(dst="02:00:00:00:e0:01", src="02:00:00:00:e0:fe") / scapy.IP(src=SERVER, dst=PUBLIC, ttl=60) / scapy.TCP(sport=80, dport=2000, flags="A") / b"data"
    run = Testpmd(tmp_path, [[], [reply]])
    output = run.run([
        "set fwd rxonly",
        "set vxlan ip-version ipv4 vni 100 udp-src 50001 udp-dst 4789 ip-src 172.30.0.1 ip-dst 172.30.0.11"
        " eth-src 02:00:00:00:f0:01 eth-dst 02:00:00:00:00:11",
        f"flow create {EXTERNAL} transfer pattern represented_port ethdev_port_id is {EXTERNAL} / eth / ipv4 src is {SERVER} dst is {PUBLIC}"
        f" / tcp src is 80 dst is 2000 / end actions set_mac_dst mac_addr 02:00:00:01:00:11 / set_ipv4_dst ipv4_addr {PRIVATE}"
        f" / set_tp_dst port 1000 / dec_ttl / vxlan_encap / represented_port ethdev_port_id {FABRIC} / end",
        *FORWARD,
    ])
    assert "Flow rule #0 created" in output
    [sent] = run.sent(0)
    assert (sent[scapy.IP].src, sent[scapy.IP].dst, sent[scapy.IP].ttl) == (GATEWAY, VTEP, 64)
    assert (sent[scapy.UDP].sport, sent[scapy.UDP].dport, sent[scapy.UDP].chksum) == (50001, 4789, 0)
    assert (sent[scapy.VXLAN].vni, int(sent[scapy.VXLAN].flags)) == (100, 8)
    payload = sent[scapy.VXLAN].payload
    assert (payload[scapy.IP].dst, payload[scapy.IP].ttl, payload[scapy.TCP].dport) == (PRIVATE, 59, 1000)
    assert payload[scapy.Ether].dst == "02:00:00:01:00:11"
    assert bytes(sent) == with_right_checksums(sent)


def test_raw_encap_as_testpmd_writes_it(tmp_path):
    packet = inner()
    run = Testpmd(tmp_path, [[packet], []])
    output = run.run([
        "set fwd rxonly",
        "set raw_encap 0 eth src is 10:11:22:33:44:55 dst is 10:11:22:33:44:66 type is 0x0800 / ipv4 src is 1.1.1.1 dst is 2.2.2.2"
        " / udp src is 4000 dst is 4789 / vxlan vni is 7 / end_set",
        f"flow create {FABRIC} transfer pattern eth / ipv4 / end actions raw_encap index 0 / represented_port ethdev_port_id {EXTERNAL} / end",
        *FORWARD,
    ])
    assert "Flow rule #0 created" in output, output
    [sent] = run.sent(1)
    assert sent[scapy.VXLAN].vni == 7
    assert sent[scapy.IP].ttl == 64
    assert bytes(sent[scapy.VXLAN].payload) == bytes_of(packet)
    assert bytes(sent) == with_right_checksums(sent)


def test_groups_priorities_and_modify_field(tmp_path):
    packets = [inner(), inner(dst="9.9.9.9")]
    run = Testpmd(tmp_path, [packets, []])
    output = run.run([
        "set fwd rxonly",
        f"flow create {FABRIC} group 0 priority 1 transfer pattern eth / end actions jump group 3 / end",
        f"flow create {FABRIC} group 0 priority 0 transfer pattern eth / ipv4 dst is 9.9.9.9 / end actions drop / end",
        f"flow create {FABRIC} group 3 transfer pattern eth / ipv4 / end actions modify_field op set dst_type ipv4_src dst_level 1"
        f" dst_offset 0 src_type value src_value 01020304 width 32 / modify_field op add dst_type ipv4_ttl dst_level 1 dst_offset 0"
        f" src_type value src_value ff width 8 / represented_port ethdev_port_id {EXTERNAL} / end",
        *FORWARD, "show port xstats all",
    ])
    [sent] = run.sent(1)
    assert (sent[scapy.IP].src, sent[scapy.IP].ttl) == ("1.2.3.4", 63)
    assert bytes(sent) == with_right_checksums(sent)
    assert xstats(output, FABRIC)["nic_dropped_rule"] == 1


def test_ingress_rules_choose_queues_and_marks(tmp_path):
    run = Testpmd(tmp_path, [[inner(), inner(scapy.UDP(sport=1001, dport=53))], []], extra=["--rxq=2", "--txq=2"])
    output = run.run([
        "set fwd rxonly", "set verbose 1",
        f"flow create {FABRIC} ingress pattern eth / ipv4 / udp src is 1001 / end actions mark id 0x2a / queue index 1 / end",
        *FORWARD, "show port xstats all",
    ])
    assert "Flow rule #0 created" in output
    assert re.search(r"FDIR matched ID=0x2a", output), output
    stats = xstats(output, FABRIC)
    assert (stats["rx_q0_packets"], stats["rx_q1_packets"]) == (1, 1)


def test_ipv6_addresses_and_ports_are_rewritten_with_right_checksums(tmp_path):
    def packet(transport, extensions=()):
        whole = scapy.Ether(src="02:00:00:01:00:11", dst="02:00:00:00:f0:01") / scapy.IPv6(src="2001:db8:1::5", dst="2001:db8:2::8")
        for extension in extensions:
            whole = whole / extension
        return whole / transport

    echo = packet(scapy.ICMPv6EchoRequest(id=7, data=b"ping"))
    # The first fragment of a datagram has a checksum over addresses too, and no rule for UDP matches it.
    whole = bytes(scapy.IPv6(src="2001:db8:1::5", dst="2001:db8:2::8") / scapy.UDP(sport=1000, dport=53) / (b"x" * 24))[40:]
    first = packet(scapy.Raw(whole[:16]), [scapy.IPv6ExtHdrFragment(nh=17, m=1, id=9)])
    received = [packet(scapy.UDP(sport=1000, dport=53) / b"query"), packet(scapy.TCP(sport=1000, dport=80) / b"abc"), echo, first]
    run = Testpmd(tmp_path, [received, []])
    output = run.run([
        "set fwd rxonly",
        f"flow create {FABRIC} transfer pattern eth / ipv6 src is 2001:db8:1::5 / udp / end actions set_ipv6_src ipv6_addr 2001:db8:9::1"
        f" / set_tp_src port 2000 / dec_ttl / represented_port ethdev_port_id {EXTERNAL} / end",
        f"flow create {FABRIC} transfer priority 1 pattern eth / ipv6 src is 2001:db8:1::5 / end actions set_ipv6_src ipv6_addr 2001:db8:9::1"
        f" / set_ipv6_dscp dscp_value 46 / represented_port ethdev_port_id {EXTERNAL} / end",
        *FORWARD, "show port xstats all",
    ])
    sent = run.sent(1)
    assert [packet[scapy.IPv6].src for packet in sent] == ["2001:db8:9::1"] * 4, output
    udp, tcp, ping, fragment = sent
    assert (udp[scapy.UDP].sport, udp[scapy.IPv6].hlim, udp[scapy.IPv6].tc) == (2000, 63, 0)
    assert tcp[scapy.IPv6].tc == ping[scapy.IPv6].tc == 46 << 2
    assert bytes(udp) == with_right_checksums(udp)
    assert bytes(tcp) == with_right_checksums(tcp)
    again = scapy.Ether(bytes(ping))
    del again[scapy.ICMPv6EchoRequest].cksum
    assert bytes(again) == bytes(ping)
    expected = bytes(scapy.IPv6(src="2001:db8:9::1", dst="2001:db8:2::8") / scapy.UDP(sport=1000, dport=53) / (b"x" * 24))[40:56]
    assert bytes(fragment)[14 + 40 + 8:] == expected
    assert xstats(output, FABRIC)["transfer_group_0_hits"] == 4


def test_rss_spreads_by_the_toeplitz_hash_that_its_specification_lists(tmp_path):
    # Microsoft, "Verifying the RSS hash calculation": 66.9.149.187:2794 to 161.142.100.80:1766.
    packet = inner(scapy.TCP(sport=2794, dport=1766), src="66.9.149.187", dst="161.142.100.80")
    run = Testpmd(tmp_path, [[packet, tunnelled(inner())], []], extra=["--rxq=2", "--txq=2"])
    output = run.run([
        "set fwd rxonly", "set verbose 1",
        f"flow create {FABRIC} ingress pattern eth / ipv4 / tcp / end actions rss types ipv4-tcp end queues 0 1 end / end",
        f"flow create {FABRIC} group 0 priority 1 ingress pattern eth / ipv4 / end actions jump group 2 / end",
        *FORWARD, "show port xstats all",
    ])
    assert "RSS hash=0x51ccc178" in output, output
    stats = xstats(output, FABRIC)
    assert stats["rx_q0_packets"] == 2  # the hash is even; the other packet missed
    assert (stats["ingress_group_0_hits"], stats["ingress_group_2_misses"], stats["ingress_group_2_hits"]) == (2, 1, 0)


def test_creations_fail_and_take_time_as_the_device_was_told(tmp_path):
    run = Testpmd(tmp_path, [[], []], arguments=(",fail_every=2", ",insert_latency=1000000"))
    rule = "flow create {} transfer pattern eth / ipv4 src is 10.0.0.{} / end actions drop / end"
    begin = time.monotonic()
    said = answers(run.run([rule.format(FABRIC, 1), rule.format(FABRIC, 2), rule.format(FABRIC, 2), rule.format(EXTERNAL, 3)]))
    assert time.monotonic() - begin >= 1
    assert ["created" in text for _, text in said[:4]] == [True, False, True, True]
    assert "this creation fails on purpose (fail_every)" in said[1][1]


def test_a_frame_above_the_mtu_hits_no_rule(tmp_path):
    whole = inner() / (b"x" * (14 + 500 - len(inner())))  # Ethernet header and MTU
    long = whole / b"x"
    run = Testpmd(tmp_path, [[long, whole, inner()], []])
    output = run.run([
        "set fwd rxonly", f"port config mtu {FABRIC} 500",
        f"flow create {FABRIC} transfer pattern eth / end actions represented_port ethdev_port_id {EXTERNAL} / end",
        *FORWARD, "show port xstats all",
    ])
    assert len(run.sent(1)) == 2
    assert xstats(output, FABRIC)["application_bypassed_packets"] == 1


def test_port_representor_hands_packets_to_another_ports_application(tmp_path):
    run = Testpmd(tmp_path, [[inner()], []])
    output = run.run([
        "set fwd rxonly",
        f"flow create {FABRIC} transfer pattern eth / end actions port_representor port_id {EXTERNAL} / end",
        *FORWARD, "show port stats all", "show port xstats all",
    ])
    assert "Flow rule #0 created" in output, output
    assert xstats(output, EXTERNAL)["rx_good_packets"] == 1
    assert xstats(output, FABRIC)["rx_good_packets"] == 0


def test_rules_are_listed_queried_destroyed_and_flushed(tmp_path):
    run = Testpmd(tmp_path, [[], []])
    rule = "flow create 0 transfer pattern eth / ipv4 src is 10.0.0.{} / end actions count / drop / end"
    output = run.run([
        rule.format(1), rule.format(2), rule.format(3), rule.format(2),
        "flow query 0 1 count", "flow destroy 0 rule 1", rule.format(2), "flow list 0", "flow dump 0 all", "flow flush 0",
        "show port xstats 0",
    ])
    said = answers(output)
    assert "exists in the group" in said[3][1]
    assert "hits: 0" in said[4][1]
    assert "Flow rule #1 destroyed" in said[5][1]
    assert "Flow rule #3 created" in said[6][1]
    assert len(re.findall(r"^\d+\s+0\s+0\s+--t", said[7][1], re.MULTILINE)) == 3
    assert said[8][1].count("actions COUNT DROP") == 3
    assert xstats(output, 0)["rules"] == 0


REFUSED = [
    # (what follows "flow create 0", enum rte_flow_error_type, message)
    # For validate ethdev answers this one itself.
    ("transfer ingress pattern eth / end actions drop / end", None, "ingress"),
    ("pattern eth / end actions drop / end", 8, "one of ingress and transfer must be set"),
    ("egress pattern eth / end actions drop / end", 6, "egress rules are not supported"),
    ("transfer pattern eth / udp / end actions drop / end", 13, "UDP: must follow IPV4 or IPV6"),
    ("transfer pattern eth / ipv4 / gre / end actions drop / end", 13, "GRE: is not supported"),
    ("transfer pattern eth / ipv4 / udp / end actions vxlan_decap / drop / end", 16, "VXLAN_DECAP: the pattern has no VXLAN item"),
    ("transfer pattern eth / end actions drop / queue index 0 / end", 16, "QUEUE: a rule has at most one fate action"),
    ("transfer pattern eth / end actions passthru / end", 16, "PASSTHRU: is not supported"),
    ("transfer pattern eth / end actions queue index 9 / end", 15, "QUEUE: the port has no such receive queue"),
    ("transfer pattern eth / end actions represented_port ethdev_port_id 1 / end", 15, "REPRESENTED_PORT: the ethdev is not a port of this switch"),
    ("transfer pattern represented_port ethdev_port_id is 3 / eth / end actions drop / end", 10, "REPRESENTED_PORT: the ethdev is not a port of this switch"),
    ("ingress pattern eth / end actions represented_port ethdev_port_id 2 / end", 16, "REPRESENTED_PORT: needs the transfer attribute"),
    ("transfer pattern eth / end actions set_tp_src port 1 / end", 16, "SET_TP_SRC: needs a TCP or UDP item in the pattern"),
    ("group 4 transfer pattern eth / end actions jump group 4 / end", 15, "JUMP: only jumps to a higher group are supported"),
    ("transfer pattern eth / ipv4 / udp dst is 4790 / vxlan / end actions drop / end", 13, "VXLAN: the UDP destination port before it"),
    ("transfer pattern eth / ipv4 src spec 10.0.0.9 src last 10.0.0.1 / end actions drop / end", 11, "IPV4: last is below spec"),
    ("transfer pattern eth / end actions age timeout 0 / end", 15, "AGE: the timeout must not be zero"),
]


def test_what_cannot_be_is_refused_by_name_at_validate_and_create(tmp_path):
    run = Testpmd(tmp_path, [[], []])
    commands = [f"flow {verb} 0 {rule}" for rule, _, _ in REFUSED for verb in ("validate", "create")]
    said = answers(run.run(commands))
    assert len(said) >= len(commands)
    for (command, text), (_, number, message) in zip(said, [case for case in REFUSED for _ in range(2)]):
        error = re.search(r"Caught PMD error type (\d+)", text)
        assert error, (command, text)
        assert message in text, (command, text)
        assert number in (None, int(error.group(1))), (command, text)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (",speed=10", "speed: unknown argument"),
        (",max_rules=none", "max_rules: must be"),
        (",fail_every=0", "fail_every: must be a number above 0"),
        (",insert_latency=5s", "insert_latency: must be 0 to 1000000 microseconds"),
        (",vxlan_port=0", "vxlan_port: must be"),
    ],
)
def test_a_wrong_device_argument_is_named(tmp_path, arguments, message):
    run = Testpmd(tmp_path, [[], []], arguments=(arguments, ""))
    assert message in run.run([])


def test_max_rules_is_kept(tmp_path):
    run = Testpmd(tmp_path, [[], []], arguments=(",max_rules=1", ""))
    rule = "flow create 0 transfer pattern eth / ipv4 src is 10.0.0.{} / end actions drop / end"
    said = answers(run.run([rule.format(1), rule.format(2)]))
    assert "created" in said[0][1]
    assert "the rule table is full (max_rules)" in said[1][1]


def test_captures_in_order_keep_their_order(tmp_path):
    packets = [inner(scapy.UDP(sport=1000 + i, dport=53)) for i in range(40)]
    run = Testpmd(tmp_path, [packets, []], arguments=(",ordered=1", ""))
    run.run([
        "set fwd io",
        f"flow create {FABRIC} transfer pattern eth / ipv4 / udp src is 1005 / end actions represented_port ethdev_port_id {EXTERNAL} / end",
        *FORWARD,
    ])
    # Missed packets reach the other port through the application, hits through the NIC: in ordered mode as they came,
    # but for what the application still held in its burst.
    assert sorted(packet[scapy.UDP].sport for packet in run.sent(1)) == list(range(1000, 1040))


def test_an_ethdev_that_exists_already_serves_as_the_wire(tmp_path):
    run = Testpmd(tmp_path, [])
    separator = run.command.index("--")
    run.command[separator:separator] = ["--vdev", "net_null7", "--vdev", "net_softflow7,wire=net_null7"]
    output = run.run(["show port summary all"])
    assert "net_softflow7" in output
    assert not re.search(r"^\d+\s.*net_null\s", output, re.MULTILINE), "the wire is owned and not the application's"
