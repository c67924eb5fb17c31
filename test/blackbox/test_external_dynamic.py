"""VPC to external: dynamic NAT out of a pool, and what comes back (gateway.md, classification 8; facts/nat.md §2)."""

import pytest

from frames import one_external_address
from harness import STANDARD, THOROUGH, Replay, execute
from packets import Ipv4, translated
from traffic import BLUE, POOL, RED, RED2, X, X2, Y, TcpConnection, answer, echo, outbound, tcp, udp


def test_udp_tcp_and_ping_leave_from_the_pool_and_their_replies_are_restored(config):
    # facts/nat.md §2 "all leave as N, replies restored"; gateway.md, `ports` default 1024-65535; "settled": ICMP ids lie in the pool's ports.
    capture = Replay(config)
    out = [
        capture.inside("red", udp(RED, 1000, X, 53, b"question")),
        capture.inside("red", tcp(RED, 40000, X, 443)),
        capture.inside("red", echo(RED, X, 77, 5)),
        capture.inside("blue", udp(BLUE, 1000, Y, 53)),
    ]
    first = capture.peek()
    nats = [first.one(sent).ip.source for sent in out]
    back = [
        capture.outside(udp(X, 53, *nats[0], b"reply")),
        capture.outside(tcp(X, 443, *nats[1], "SA")),
        capture.outside(echo(X, nats[2][0], nats[2][1], 5, reply=True)),
        capture.outside(udp(Y, 53, *nats[3])),
    ]
    more = [
        capture.inside("red", udp(RED, 1000, X, 53, b"again")),
        capture.inside("red", tcp(RED, 40000, X, 443, "A")),
        capture.inside("red", echo(RED, X, 77, 6)),
        capture.inside("blue", udp(BLUE, 1000, Y, 53, b"")),
    ]
    result = capture.run(THOROUGH)
    for sent, nat in zip(out + more, nats * 2):
        result.out(sent, source=nat)
        assert nat[0] in POOL and 1024 <= nat[1] <= 65535
    for sent, vpc, inside in zip(back, ("red", "red", "red", "blue"), ((RED, 1000), (RED, 40000), (RED, 77), (BLUE, 1000))):
        result.into(vpc, sent, destination=inside)
    assert result.drops == {} and len(result.flows) == 4


def test_inside_ports_0_1023_and_65535_are_mapped_into_the_pools_range(config):
    # facts/nat.md §2 "ports 0, 1023, 65535 inside map to 1024..65535", §10 "port 65535 indexed past an array".
    capture = Replay(config)
    ports = (0, 1, 1023, 1024, 65535)
    out = [capture.inside("red", make(RED, port, X, 53)) for make in (udp, tcp) for port in ports]
    out += [capture.inside("red", echo(RED, X, identifier)) for identifier in ports]
    first = capture.peek()
    nats = [first.one(sent).ip.source for sent in out]
    back = []
    for sent, nat in zip(out, nats):
        reply = {17: lambda n: udp(X, 53, *n), 6: lambda n: tcp(X, 53, *n, "SA"), 1: lambda n: echo(X, *n, reply=True)}[sent.ip.protocol]
        back.append(capture.outside(reply(nat)))
    result = capture.run()
    for sent, nat, reply in zip(out, nats, back):
        assert 1024 <= nat[1] <= 65535
        result.out(sent, source=nat)
        result.into("red", reply, destination=sent.ip.source)


def test_the_same_private_tuple_in_two_vpcs_gets_two_external_ones_and_replies_find_their_vpc(config):
    # facts/nat.md §2 "two VPCs with the same private address and 5-tuple behind the same public range"; §10 "cross-tenant tuple collision".
    one_external_address(config)
    host = "10.0.1.7"
    capture = Replay(config)
    sent, made = {}, {}
    for vpc in ("red", "blue"):
        sent[vpc] = [
            capture.inside(vpc, udp(host, 1000, X, 53)),
            capture.inside(vpc, tcp(host, 1000, X, 53)),
            capture.inside(vpc, echo(host, X, 1000)),
        ]
    first = capture.peek()
    for vpc in ("red", "blue"):
        nats = [first.one(s).ip.source for s in sent[vpc]]
        made[vpc] = [
            capture.outside(udp(X, 53, *nats[0])),
            capture.outside(tcp(X, 53, *nats[1], "SA")),
            capture.outside(echo(X, *nats[2], reply=True)),
        ]
    result = capture.run(THOROUGH)
    for red, blue in zip(sent["red"], sent["blue"]):
        assert result.one(red).ip.source != result.one(blue).ip.source
    for vpc in ("red", "blue"):
        for reply in made[vpc]:
            result.into(vpc, reply, destination=(host, 1000))


def test_a_mapping_is_independent_of_the_remote_endpoint(config):
    # facts/nat.md row 4787-1, 5382-1; gateway.md `nat.mapping` default endpoint-independent.
    capture = Replay(config)
    remotes = [(X, 53), (X, 54), (X2, 53), (Y, 9999)]
    datagrams = [capture.inside("red", udp(RED, 1000, *remote)) for remote in remotes]
    syns = [capture.inside("red", tcp(RED, 1000, *remote)) for remote in remotes]
    pings = [capture.inside("red", echo(RED, remote, 1000)) for remote in (X, X2, Y)]
    other = capture.inside("red", udp(RED, 1001, X, 53))
    result = capture.run()
    for group in (datagrams, syns, pings):
        assert len({result.one(sent).ip.source for sent in group}) == 1
    assert result.one(other).ip.source != result.one(datagrams[0]).ip.source
    # "settled": a session is a 5-tuple in its VPC.
    assert len(result.flows) == len(capture.packets)


def test_an_address_and_port_dependent_mapping_serves_its_remote_only(config):
    # gateway.md `nat.mapping`: address-and-port-dependent; facts/nat.md rows 4787-1, 4787-3 (reuse per destination allowed as an option).
    config["nat"].update(mapping="address-and-port-dependent", filtering="address-and-port-dependent")
    capture = Replay(config)
    remotes = [(X, 53), (X, 54), (X2, 53)]
    sent = [capture.inside("red", udp(RED, 1000, *remote)) for remote in remotes]
    two = capture.inside("red", udp(RED2, 1000, X, 53))
    first = capture.peek()
    nats = [first.one(s).ip.source for s in sent]
    back = [capture.outside(udp(*remote, *nat)) for remote, nat in zip(remotes, nats)]
    to_two = capture.outside(udp(X, 53, *first.one(two).ip.source))
    stranger = capture.outside(udp(Y, 53, *nats[0]))
    again = [capture.inside("red", udp(RED, 1000, *remote)) for remote in remotes]
    result = capture.run()
    for s, repeat, nat, reply in zip(sent, again, nats, back):
        result.out(s, source=nat)
        result.out(repeat, source=nat)
        result.into("red", reply, destination=(RED, 1000))
    result.into("red", to_two, destination=(RED2, 1000))
    result.none(stranger)
    assert first.one(two).ip.source != nats[0]
    # Paired pooling (row 4787-2) holds for either mapping.
    assert len({nat[0] for nat in nats}) == 1
    assert sum(result.drops.values()) == 1 and set(result.drops) <= {"filtered", "no-binding"}


def test_a_host_keeps_one_external_address(config):
    # facts/nat.md row 4787-2, 6888-2: paired address pooling.
    capture = Replay(config)
    hosts = {RED: [], RED2: [], "10.0.1.200": []}
    for number in range(12):
        for host, sent in hosts.items():
            sent.append(capture.inside("red", (udp if number % 2 else tcp)(host, 2000 + number, X, 80 + number)))
        hosts[RED].append(capture.inside("red", echo(RED, X2, number)))
    result = capture.run()
    for sent in hosts.values():
        assert len({result.one(s).ip.src for s in sent}) == 1


def test_a_first_tcp_packet_that_is_no_bare_syn_makes_no_session(config):
    # gateway.md "settled": first TCP packet of a session must be a bare SYN; bare: no ACK, FIN, RST; ECE and CWR allowed.
    capture = Replay(config)
    for number, flags in enumerate(("A", "SA", "FA", "F", "R", "RA", "PA", "SF", "SR", "", "FPU", "SFRPAUEC")):
        capture.inside("red", tcp(RED, 3000 + number, X, 80, flags))
    refused = len(capture.packets)
    allowed = [capture.inside("red", tcp(RED, 4000 + number, X, 80, flags)) for number, flags in enumerate(("S", "SE", "SC", "SEC"))]
    result = capture.run()
    for sent in allowed:
        result.out(sent, source=result.one(sent).ip.source)
    # A combination that no TCP sends may also be called malformed.
    odd = result.drops.pop("malformed", 0)
    assert odd <= 5 and result.drops == {"not-syn": refused - odd}
    assert len(result.flows) == len(allowed) == len(result.seen)


def test_without_an_external_pool_packets_drop_silently_and_with_one_the_same_packets_pass(config):
    # facts/nat.md §2 "no pool: all drop … pool added: same packets pass"; gateway.md "settled": no-pool is silent.
    pools = config.pop("externalPools")
    packets = [udp(RED, 1000, X, 53), tcp(RED, 1000, X, 53), echo(RED, X, 5)]
    without = Replay(config)
    for packet in packets:
        without.inside("red", packet)
    result = without.run()
    assert (result.seen, result.drops, result.flows) == ([], {"no-pool": 3}, [])
    with_pool = Replay({**config, "externalPools": pools})
    sent = [with_pool.inside("red", packet) for packet in packets]
    result = with_pool.run()
    for s in sent:
        result.out(s, source=result.one(s).ip.source)


def test_the_pool_of_another_vpc_is_never_used(config):
    # facts/nat.md §7 "pool of another VPC is never used".
    config["externalPools"] = [
        {"name": "one", "vpcs": ["red"], "ranges": ["203.0.113.16-203.0.113.17"], "ports": "5000-5001"},
        {"name": "two", "vpcs": ["blue"], "ranges": ["203.0.113.20-203.0.113.27"]},
    ]
    capture = Replay(config)
    red = [capture.inside("red", udp(RED, 1000 + number, X, 53)) for number in range(4)]
    blue = [capture.inside("blue", udp("10.0.2.7", 1000 + number, X, 53)) for number in range(4)]
    result = capture.run()
    assert [len([s for s in result.of(sent) if s.port_name == "external"]) for sent in red] == [1, 1, 0, 0]
    assert all(result.one(sent).ip.src in ("203.0.113.16", "203.0.113.17") for sent in red[:2])
    assert all(int(result.one(sent).ip.src.split(".")[3]) in range(20, 28) for sent in blue)
    assert result.drops == {"pool-exhausted": 2}


def test_a_remote_host_may_have_an_address_of_the_private_prefix(config):
    # facts/nat.md row 4787-7: inside/outside address overlap works. What the host itself sends to such an address is line 5 or 7 of the
    # classification; what comes from it is ordinary traffic to a live mapping.
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(sent).ip.source
    overlapping = [capture.outside(udp(source, 53, *nat)) for source in ("10.0.1.99", "10.0.2.7", RED)]
    result = capture.run()
    for back in overlapping:
        result.into("red", back, destination=(RED, 1000))


def test_a_tcp_conversation_with_data_both_ways_passes_byte_for_byte(config):
    # facts/nat.md §1 "All" = … both directions, with valid checksums; every segment checked against the oracle.
    capture = Replay(config)
    one = outbound(capture).open()
    segments = []
    for number in range(20):
        segments.append(one.from_b("PA", bytes([number]) * (1 + 61 * number)))
        segments.append(one.from_a("A" if number % 3 else "PA", b"" if number % 3 else b"request"))
    one.close()
    result = capture.run(THOROUGH)
    for sent in capture.packets:
        if sent.port_name == "fabric":
            result.out(sent, source=one.b_sees)
        else:
            result.into("red", sent, destination=one.a)
    assert result.drops == {}
    # DESIGN.md §1: the NIC translates what is neither SYN, FIN nor RST; some of it must have been left to it.
    assert result.nic_packets > 0


def test_most_packets_of_a_long_udp_flow_are_the_nics(config):
    # issue 2, "at least 95% of the packets of long flows never reach the slow path".
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    for number in range(200):
        capture.inside("red", udp(RED, 1000, X, 53, bytes([number])))
        capture.outside(udp(X, 53, *nat, bytes([number])))
    result = capture.run()
    assert result.nic_packets >= 0.95 * 401
    assert result.counters["slowPath"]["misses"] >= 1


def test_nothing_is_offloaded_before_its_packets_when_told_to_wait(config):
    # DESIGN.md §3 `--offload after:N`; gateway.md `offload.mode` {"afterPackets": N}.
    capture = Replay(config)
    for number in range(20):
        capture.inside("red", udp(RED, 1000, X, 53, bytes([number])))
    modes = STANDARD + (("after:5", None), ("after:19", 1), ("after:100", None))
    result = capture.run(modes)
    nic = {mode: outcome.nic_packets for mode, outcome in result.by_mode.items()}
    assert nic[("immediate", None)] >= nic[("after:5", None)] > nic[("after:19", 1)] >= nic[("after:100", None)] == 0
    assert nic[("after:5", None)] <= 15


def test_the_offload_mode_of_the_configuration_counts_when_none_is_given(config):
    # gateway.md `offload.mode`.
    capture = Replay(config)
    for number in range(20):
        capture.inside("red", udp(RED, 1000, X, 53, bytes([number])))
    config["offload"]["mode"] = "never"
    never = execute(config, capture.packets, None)
    config["offload"]["mode"] = {"afterPackets": 10}
    after = execute(config, capture.packets, None)
    config["offload"]["mode"] = "immediate"
    immediate = execute(config, capture.packets, None)
    assert never.nic_packets == 0 < after.nic_packets <= 10 < immediate.nic_packets
    assert never.captures == after.captures == immediate.captures


@pytest.mark.parametrize("length", [0, 1, 17, 18, 19, 1472])
def test_every_length_of_datagram_is_carried(config, length):
    # facts/nat.md §4 "Ethernet trailers are tolerated": a short packet from outside comes padded to 60 bytes.
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53, bytes(range(256))[:length] if length < 256 else b"z" * length))
    nat = capture.peek().one(sent).ip.source
    reply = udp(X, 53, *nat, b"y" * length)
    back = capture.outside(reply, trailer=b"\0" * max(0, 46 - len(bytes(reply))))
    # Not behind a full-sized packet: "settled", a frame above its port's MTU is dropped on receipt.
    long_trailer = capture.outside(reply, trailer=b"\xaa" * 9) if length < 1472 else None
    result = capture.run()
    result.out(sent, source=nat)
    result.into("red", back, destination=(RED, 1000))
    if long_trailer is not None:
        result.into("red", long_trailer, destination=(RED, 1000))


def test_the_reverse_of_the_forward_translation_restores_the_tuple(config):
    # STYLE.md laws: reverse∘forward restores the 5-tuple: what X sends back arrives as if X and the host had talked directly.
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    seen = capture.peek().one(sent)
    back = capture.outside(answer(seen))
    result = capture.run()
    direct = Ipv4(translated(answer(type(seen)("external", 0, seen.raw[:14] + sent.packet)), ttl_less=1))
    assert result.one(back).ip.raw == direct.raw


def test_a_connection_from_either_of_two_hosts_to_one_server_reaches_its_own_host(config):
    # facts/nat.md row 4787-3, 5382-7: no port overloading.
    one_external_address(config)
    capture = Replay(config)
    ends = [outbound(capture, inside=(host, 40000)) for host in (RED, RED2, "10.0.1.9")]
    syns = [end.from_a("S") for end in ends]
    for end, syn in zip(ends, syns):
        end.learn(syn)
    replies = [end.from_b("SA") for end in ends]
    result = capture.run()
    assert len({end.b_sees for end in ends}) == 3 and isinstance(ends[0], TcpConnection)
    for end, reply in zip(ends, replies):
        result.into("red", reply, destination=end.a)
