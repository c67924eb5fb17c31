"""Pools and ports: uniqueness, spread, ranges, order, exhaustion, rest (facts/nat.md §2, §10; gateway.md `externalPools`, "settled")."""

from collections import Counter

from frames import example_config, one_external_address
from harness import THOROUGH, Replay, execute
from traffic import POOL, RED, RED2, RED_STATIC, X, X2, Y, echo, tcp, udp


def test_no_external_endpoint_is_given_twice_over_many_flows(config):
    # DESIGN.md §4 invariant 1; facts/nat.md row 4787-3.
    one_external_address(config)
    capture = Replay(config)
    sent = []
    for host in range(10, 50):
        for port in range(12):
            sent.append(capture.inside("red" if host % 2 else "blue", udp(f"10.0.1.{host}", 5000 + port, X, 53)))
            sent.append(capture.inside("blue" if host % 2 else "red", tcp(f"10.0.1.{host}", 5000 + port, X, 53)))
        for identifier in range(4):
            sent.append(capture.inside("red", echo(f"10.0.1.{host}", X, identifier)))
    result = capture.run()
    endpoints = Counter((result.one(s).ip.protocol, result.one(s).ip.source) for s in sent)
    assert max(endpoints.values()) == 1
    assert len(result.flows) == len(sent) == len({flow["id"] for flow in result.flows})


def test_hosts_are_spread_evenly_over_the_pools_addresses_while_each_keeps_one(config):
    # facts/nat.md §2 "address spread is even over the pool while each internal address keeps one external address", §10 "all hosts on the
    # first address".
    capture = Replay(config)
    sent = {host: [capture.inside("red", udp(f"10.0.1.{host}", 1000, X, 53))] for host in range(20, 180)}
    for host, packets in sent.items():
        packets += [capture.inside("red", tcp(f"10.0.1.{host}", 1000, X2, 80)), capture.inside("red", echo(f"10.0.1.{host}", Y))]
    result = capture.run()
    used = {host: {result.one(packet).ip.src for packet in packets} for host, packets in sent.items()}
    assert all(len(addresses) == 1 for addresses in used.values())
    addresses = Counter(address for of_host in used.values() for address in of_host)
    # 160 hosts over 16 addresses: ten each when dealt in turn; a fair draw stays below 25 and above 0 with near certainty.
    assert set(addresses) == POOL and max(addresses.values()) <= 25


def test_a_pool_may_be_made_of_scattered_ranges_with_their_first_and_last_addresses(config):
    # facts/nat.md row 6888-3; gateway.md "a CIDR's first and last addresses are usable in a pool".
    config["externalPools"] = [{"name": "internet", "vpcs": ["red"], "ranges": ["203.0.113.32/31", "203.0.113.40-203.0.113.41", "198.18.7.9/32"]}]
    capture = Replay(config)
    sent = [capture.inside("red", udp(f"10.0.1.{host}", 1000, X, 53)) for host in range(20, 100)]
    first = capture.peek()
    back = [capture.outside(udp(X, 53, *first.one(s).ip.source)) for s in sent[::8]]
    result = capture.run()
    assert {result.one(s).ip.src for s in sent} == {"203.0.113.32", "203.0.113.33", "203.0.113.40", "203.0.113.41", "198.18.7.9"}
    for s, reply in zip(sent[::8], back):
        result.into("red", reply, destination=s.ip.source)


def test_ports_and_identifiers_stay_within_the_pools_range_and_all_of_it_is_used(config):
    # gateway.md `externalPools.ports`; "settled": ICMP ids lie in the pool's ports; facts/nat.md §10 "uneven port ranges wasted ports".
    one_external_address(config, ports="5001-5107")
    capture = Replay(config)
    kinds = (
        lambda n: udp(RED, 2000 + n, X, 53),
        lambda n: tcp(RED, 2000 + n, X, 53),
        lambda n: echo(RED, X, 2000 + n),
    )
    sent = [[capture.inside("red", kind(number)) for number in range(108)] for kind in kinds]
    result = capture.run()
    for group in sent:
        used = [s.ip.source[1] for one in group for s in result.of(one) if s.port_name == "external"]
        assert sorted(used) == list(range(5001, 5108))
    assert result.drops == {"pool-exhausted": 3}


def test_a_pool_as_small_as_one_port_serves_one_flow_of_each_protocol(config):
    # gateway.md "a pool as small as one port"; facts/nat.md §2 "the same (ip, port) for TCP and UDP is legal", §10 "port 65535 …".
    one_external_address(config, ports="65535-65535")
    capture = Replay(config)
    sent = [capture.inside("red", packet) for packet in (udp(RED, 1, X, 2), tcp(RED, 1, X, 2), echo(RED, X, 1))]
    back = [
        capture.outside(udp(X, 2, "203.0.113.16", 65535)),
        capture.outside(tcp(X, 2, "203.0.113.16", 65535, "SA")),
        capture.outside(echo(X, "203.0.113.16", 65535, reply=True)),
    ]
    result = capture.run(THOROUGH)
    for s, reply in zip(sent, back):
        result.out(s, source=("203.0.113.16", 65535))
        result.into("red", reply, destination=(RED, 1))


def test_a_host_whose_paired_address_is_full_is_refused_although_others_are_free(config):
    # gateway.md "settled": paired pooling: never given a second address.
    config["externalPools"] = [{"name": "internet", "vpcs": ["red"], "ranges": ["203.0.113.16-203.0.113.19"], "ports": "5000-5002"}]
    capture = Replay(config)
    sent = [capture.inside("red", udp(RED, 1000 + number, X, 53)) for number in range(5)]
    result = capture.run()
    assert len({result.one(s).ip.src for s in sent[:3]}) == 1
    assert result.drops == {"pool-exhausted": 2}
    # gateway.md "settled": exhaustion: ICMP code 13 to the inside host, at most 1 per second.
    result.refused(sent[3], 3, 13, "172.30.0.1", "red")
    result.none(sent[4])


def test_several_pools_of_one_vpc_are_used_in_order(config):
    # gateway.md `externalPools`: several pools of one VPC are used in order.
    config["externalPools"] = [
        {"name": "first", "vpcs": ["red"], "ranges": ["203.0.113.20-203.0.113.20"], "ports": "5000-5001"},
        {"name": "second", "vpcs": ["red", "blue"], "ranges": ["203.0.113.16-203.0.113.16"], "ports": "6000-6999"},
    ]
    capture = Replay(config)
    one = [capture.inside("red", udp(RED, 1000 + number, X, 53)) for number in range(2)]
    two = capture.inside("red", udp(RED2, 1000, X, 53))
    blue = capture.inside("blue", udp("10.0.2.7", 1000, X, 53))
    again = capture.inside("red", udp(RED, 1000, X2, 53))
    result = capture.run()
    assert {result.one(s).ip.source for s in one} == {("203.0.113.20", 5000), ("203.0.113.20", 5001)}
    assert result.one(again).ip.source == result.one(one[0]).ip.source
    for sent in (two, blue):
        address, port = result.one(sent).ip.source
        assert address == "203.0.113.16" and 6000 <= port <= 6999


def test_exhaustion_gives_no_duplicate_and_harms_no_session(config):
    # facts/nat.md §2 "exhaustion: no duplicate, errors counted", row 5508-8 "never delete existing mappings",
    # §10 "out-of-ports rollback deleted another session's entry".
    one_external_address(config, ports="5000-5003")
    capture = Replay(config)
    sent = [capture.inside("red", udp(RED, 1000 + number, X, 53)) for number in range(4)]
    refused = [capture.inside("red", udp(RED, 2000 + number, X, 53)) for number in range(6)]
    repeats = [capture.inside("red", udp(RED, 1000 + number, X, 53, b"repeat")) for number in range(4)]
    first = capture.peek()
    nats = [first.one(s).ip.source for s in sent]
    back = [capture.outside(udp(X, 53, *nat)) for nat in nats]
    # The same mapping towards another remote needs no further port.
    elsewhere = capture.inside("red", udp(RED, 1000, Y, 53))
    result = capture.run(THOROUGH)
    assert sorted(nats) == [("203.0.113.16", 5000 + number) for number in range(4)]
    for s, repeat, nat, reply in zip(sent, repeats, nats, back):
        result.out(s, source=nat)
        result.out(repeat, source=nat)
        result.into("red", reply, destination=s.ip.source)
    result.out(elsewhere, source=nats[0])
    assert result.drops == {"pool-exhausted": len(refused)} and len(result.flows) == 5


def test_a_freed_port_rests_before_it_serves_again(config):
    # gateway.md `portReuseDelay`; facts/nat.md row 6888-8, §2 "a freed tuple becomes reusable".
    one_external_address(config, ports="5000-5000")
    config["nat"]["timeouts"]["udp"] = 30
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    early = capture.at(29).inside("red", udp(RED, 2000, X, 53))
    resting = capture.at(31).inside("red", udp(RED, 2000, X, 53))
    still = capture.at(148).inside("red", udp(RED, 2000, X, 53))
    late = capture.at(152).inside("red", udp(RED, 2000, X, 53))
    back = capture.outside(udp(X, 53, "203.0.113.16", 5000))
    result = capture.run()
    result.out(first, source=("203.0.113.16", 5000))
    for sent in (early, resting, still):
        result.refused(sent, 3, 13, "172.30.0.1", "red")
    result.out(late, source=("203.0.113.16", 5000))
    result.into("red", back, destination=(RED, 2000))
    assert result.drops == {"pool-exhausted": 3}


def test_without_a_rest_a_freed_port_serves_at_once(config):
    # gateway.md `portReuseDelay`: seconds.
    one_external_address(config, ports="5000-5000")
    config["nat"]["timeouts"]["udp"] = 30
    config["nat"]["portReuseDelay"] = 0
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    sent = capture.at(31).inside("red", udp(RED, 2000, X, 53))
    result = capture.run()
    result.out(sent, source=("203.0.113.16", 5000))


def test_a_static_binding_inside_a_pool_is_withheld_from_dynamic_use(config):
    # gateway.md "a static binding may lie inside a pool: its tuples are withheld"; facts/nat.md §2 "port-forwarded and static tuples are
    # never given to dynamic flows".
    config["externalPools"] = [{"name": "internet", "vpcs": ["red"], "ranges": ["203.0.113.10-203.0.113.11"], "ports": "80-83"}]
    config["staticBindings"].append({"vpc": "red", "protocol": "udp", "private": "10.0.1.6:53", "external": "203.0.113.11:81"})
    capture = Replay(config)
    sent = [capture.inside("red", make(RED, 1000 + number, X, 53)) for make in (tcp, udp) for number in range(4)]
    bound = capture.inside("red", udp(RED_STATIC, 82, X, 53))
    inbound = [capture.outside(tcp(X, 1, "203.0.113.11", 80)), capture.outside(udp(X, 1, "203.0.113.11", 81))]
    result = capture.run()
    left = [result.of(s)[0].ip.source for s in sent if result.of(s) and result.of(s)[0].port_name == "external"]
    # 203.0.113.10 is wholly bound; of .11 the mapping takes port 80 of TCP, 81 of UDP.
    assert sorted(left) == sorted([("203.0.113.11", port) for port in (81, 82, 83)] + [("203.0.113.11", port) for port in (80, 82, 83)])
    assert result.drops == {"pool-exhausted": 2}
    result.out(bound, source=("203.0.113.10", 82))
    result.into("red", inbound[0], destination=("10.0.1.6", 8080))
    result.into("red", inbound[1], destination=("10.0.1.6", 53))


def ports_of(seed, count=40):
    config = one_external_address(example_config())
    config["nat"]["seed"] = seed
    capture = Replay(config)
    sent = [capture.inside("red", udp(RED, 1000 + number, X, 53)) for number in range(count)]
    outcome = execute(config, capture.packets, "immediate")
    return [outcome.one(s).ip.sport for s in sent], outcome.captures


def test_a_seed_makes_allocation_repeatable_and_another_seed_another(config):
    # gateway.md `nat.seed`; facts/nat.md row 4787-11.
    assert ports_of(1) == ports_of(1)
    assert ports_of(1)[0] != ports_of(2)[0]


def test_ports_are_hard_to_guess(config):
    # facts/nat.md rows 6888-12..15, 7857 §9: RFC 6056 randomisation.
    ports = ports_of(7)[0]
    steps = Counter((b - a) % 65536 for a, b in zip(ports, ports[1:]))
    assert steps.most_common(1)[0][1] <= len(ports) // 4, f"a pattern in {ports}"


def test_without_a_seed_allocation_still_works(config):
    # gateway.md `nat.seed`: absent = random.
    del config["nat"]["seed"]
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    outcome = execute(config, capture.packets, "immediate")
    assert outcome.one(sent).ip.src in POOL


def test_ports_of_one_host_come_from_its_block(config):
    # gateway.md `nat.portBlockSize`; issue 3 "RFC 6056 random within blocks".
    config["nat"]["portBlockSize"] = 64
    capture = Replay(config)
    sent = [capture.inside("red", udp(RED, 1000 + number, X, 53)) for number in range(64)]
    result = capture.run()
    ports = {result.one(s).ip.sport for s in sent}
    assert len(ports) == 64 and max(ports) - min(ports) == 63
