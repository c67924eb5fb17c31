"""From the first packet of a mapping to the reuse of its endpoint (facts/nat.md §2, rows 4787-6, 6888-8; gateway.md "settled")."""


from frames import one_external_address
from harness import THOROUGH, Replay
from traffic import BLUE, POOL, RED, RED2, X, X2, Y, echo, other, outbound, tcp, udp

ONE = "203.0.113.16"


def test_a_repeat_of_a_flow_keeps_its_port_whatever_comes_between(config):
    # facts/nat.md §2 "a repeat of a flow keeps its port".
    capture = Replay(config)
    kinds = [lambda data: udp(RED, 1000, X, 53, data), lambda data: echo(RED, X, 1000, data=data), lambda data: tcp(RED, 1000, X, 80, "S", data)]
    first = [capture.inside("red", kind(b"first")) for kind in kinds]
    for number in range(40):
        capture.inside("red" if number % 2 else "blue", udp(f"10.0.1.{20 + number}", 1000, X, 53))
        capture.inside("red", udp(RED, 2000 + number, X, 53))
    soon = [capture.inside("red", kind(b"soon")) for kind in kinds]
    # The echo's time is 60 s and the unanswered SYN's is 240 s; nobody refreshes in between.
    capture.at(59)
    late = [capture.inside("red", kind(b"late")) for kind in kinds]
    result = capture.run(THOROUGH)
    for one, two, three in zip(first, soon, late):
        nat = result.one(one).ip.source
        assert nat[0] in POOL
        for sent in (one, two, three):
            result.out(sent, source=nat)
    assert result.drops == {} and len(result.flows) == 3 + 80


def test_inbound_to_a_port_that_nobody_holds_drops_and_is_counted(config):
    # facts/nat.md §2 "inbound to an unallocated port drops, counted".
    one_external_address(config)
    capture = Replay(config)
    held = [capture.inside("red", udp(RED, 1000, X, 53)), capture.inside("red", tcp(RED, 1000, X, 53)), capture.inside("red", echo(RED, X, 1000))]
    udp_nat, tcp_nat, echo_nat = [capture.peek().one(sent).ip.source[1] for sent in held]
    stray = [
        capture.outside(udp(X, 53, ONE, udp_nat ^ 1)),
        capture.outside(tcp(X, 53, ONE, tcp_nat ^ 1, "SA")),
        capture.outside(tcp(X, 53, ONE, tcp_nat ^ 1, "S")),
        capture.outside(echo(X, ONE, echo_nat ^ 1, reply=True)),
        capture.outside(echo(X, ONE, echo_nat ^ 1)),
        capture.outside(other(X, ONE, 47)),
        capture.outside(udp(X, 53, ONE, 0)),
        capture.outside(udp(X, 53, ONE, 65535)),
    ]
    # A port that one protocol holds is free in the others.
    if udp_nat != tcp_nat:
        stray += [capture.outside(udp(X, 53, ONE, tcp_nat)), capture.outside(tcp(X, 53, ONE, udp_nat, "S"))]
    result = capture.run(THOROUGH)
    result.none(*stray)
    assert result.drops == {"no-binding": len(stray)}
    assert len(result.flows) == 3 and all(flow["reverse"]["packets"] == 0 for flow in result.flows)


def test_a_session_that_ends_takes_its_nic_rules_with_it(config):
    # facts/nat.md §2 "clearing a session also removes its rules"; DESIGN.md §4 invariant 2: what the NIC would still translate after the
    # session's end, nobody translates.
    config["nat"]["timeouts"]["udp"] = 20
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(sent).ip.source
    alive = [capture.outside(udp(X, 53, *nat, bytes([number]))) for number in range(5)]
    gone = [capture.at(21 + number) and capture.outside(udp(X, 53, *nat, bytes([number]))) for number in range(5)]
    result = capture.run()
    for reply in alive:
        result.into("red", reply, destination=(RED, 1000))
    result.none(*gone)
    assert result.nic_packets == len(alive)
    assert result.drops == {"no-binding": len(gone)} and result.flows == []


def test_a_freed_tuple_serves_another_vpc_and_late_replies_reach_its_new_owner_alone(config):
    # facts/nat.md §2 "a freed tuple becomes reusable"; §10 "cross-tenant tuple collision", "use of a session after free".
    one_external_address(config, ports="5000-5000")
    config["nat"]["timeouts"]["udp"] = 30
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    before = capture.outside(udp(X, 53, ONE, 5000, b"to red"))
    between = capture.at(100).outside(udp(X, 53, ONE, 5000, b"to nobody"))
    second = capture.at(151).inside("blue", udp(BLUE, 2000, X, 53))
    after = capture.outside(udp(X, 53, ONE, 5000, b"to blue"))
    result = capture.run(THOROUGH)
    result.out(first, source=(ONE, 5000))
    result.into("red", before, destination=(RED, 1000))
    result.none(between)
    result.out(second, source=(ONE, 5000))
    result.into("blue", after, destination=(BLUE, 2000))
    assert result.drops == {"no-binding": 1}
    assert [flow["vpc"] for flow in result.flows] == ["blue"]


def test_a_closed_connection_frees_its_port_after_the_transitory_time_and_the_rest(config):
    # facts/nat.md §2 "a freed tuple becomes reusable", row 6888-8, for TCP: FIN both ways at 10 s, transitory 240 s, rest 120 s.
    one_external_address(config, ports="5000-5000")
    capture = Replay(config)
    one = outbound(capture).open()
    capture.at(10)
    one.close()
    early = capture.at(10 + 240 + 118).inside("red", tcp(RED2, 1, X2, 80))
    late = capture.at(10 + 240 + 122).inside("red", tcp(RED2, 1, X2, 80))
    answer = capture.outside(tcp(X2, 80, ONE, 5000, "SA"))
    result = capture.run()
    result.refused(early, 3, 13, "172.30.0.1", "red")
    result.out(late, source=(ONE, 5000))
    result.into("red", answer, destination=(RED2, 1))
    assert result.drops == {"pool-exhausted": 1}


def test_strangers_alone_do_not_keep_a_mapping_alive(config):
    # facts/nat.md row 4787-6; gateway.md "settled": inbound packets refresh nothing for UDP and ICMP; only outbound ones do. With
    # endpoint-independent filtering each stranger's first datagram makes a session, but the host has said nothing since 0 s.
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(sent).ip.source
    strangers = [capture.at(100 * number).outside(udp(Y, 7000 + number, *nat)) for number in (1, 2)]
    late = [capture.at(100 * number).outside(udp(Y, 7000 + number, *nat)) for number in (4, 6, 8)]
    result = capture.run()
    for packet in strangers:
        result.into("red", packet, destination=(RED, 1000))
    result.none(*late)
    assert result.drops == {"no-binding": len(late)}


def per_destination(config, ports):
    config["nat"].update(mapping="address-and-port-dependent", filtering="address-and-port-dependent")
    return one_external_address(config, ports=ports)


def test_a_port_is_reused_only_towards_other_remotes_and_only_when_asked_for(config):
    # facts/nat.md row 4787-3, 7857 §3: reuse per destination as an option; towards one remote a port is nobody else's.
    per_destination(config, "5000-5001")
    capture = Replay(config)
    towards = [capture.inside("red", udp(RED, port, X, 53)) for port in (1, 2)]
    refused = capture.inside("red", udp(RED2, 3, X, 53))
    others = [capture.inside("red", udp(RED2, 3, X2, 53)), capture.inside("blue", udp(BLUE, 3, X, 54)), capture.inside("blue", udp(BLUE, 3, X2, 53))]
    nats = [capture.peek().one(sent).ip.source for sent in towards + others]
    back = [capture.outside(udp(sent.ip.dst, sent.ip.dport, *nat)) for sent, nat in zip(towards + others, nats)]
    result = capture.run(THOROUGH)
    result.refused(refused, 3, 13, "172.30.0.1", "red")
    assert sorted(nats[:2]) == [(ONE, 5000), (ONE, 5001)]
    # Four endpoints' worth of sessions and more on two ports: each (port, remote) once.
    assert len({(nat, sent.ip.destination) for nat, sent in zip(nats, towards + others)}) == 5
    for sent, vpc, reply in zip(towards + others, ("red", "red", "red", "blue", "blue"), back):
        result.into(vpc, reply, destination=sent.ip.source)
    assert result.drops == {"pool-exhausted": 1}


def test_a_port_reused_per_destination_rests_towards_its_remote_too(config):
    # gateway.md `nat.portReuseDelay`, facts/nat.md row 6888-8, with address-and-port-dependent mapping.
    per_destination(config, "5000-5000")
    config["nat"]["timeouts"]["udp"] = 30
    capture = Replay(config)
    capture.inside("red", udp(RED, 1, X, 53))
    early = capture.at(31).inside("red", udp(RED2, 1, X, 53))
    late = capture.at(152).inside("red", udp(RED2, 1, X, 53))
    result = capture.run()
    result.refused(early, 3, 13, "172.30.0.1", "red")
    result.out(late, source=(ONE, 5000))
