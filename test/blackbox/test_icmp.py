"""ICMP: pings and errors (gateway.md "settled"; facts/nat.md rows 5508, 4787-12, §4)."""

import pytest

from frames import vpc_of
from harness import THOROUGH, Replay
from packets import fragments_of, internet_checksum, reassembled, translated_error
from traffic import (
    BLUE,
    BLUE_STATIC,
    BLUE_STATIC_PEERING,
    RED,
    RED_MAPPED,
    RED_MAPPED_EXTERNAL,
    RED_STATIC,
    RED_STATIC_EXTERNAL,
    ROUTER,
    X,
    X2,
    as_quoted,
    echo,
    icmp_error,
    ipv4,
    other,
    outbound,
    tcp,
    udp,
)
from scapy.packet import Raw


@pytest.mark.parametrize("length", [28, None], ids=["8 bytes quoted", "all quoted"])
@pytest.mark.parametrize("kind, code, rest", [(3, 3, 0), (11, 0, 0), (3, 4, 1400), (12, 0, 0x05000000)], ids=["port", "ttl", "mtu", "parameter"])
def test_an_error_about_an_outgoing_packet_reaches_its_host_as_if_there_were_no_nat(config, kind, code, rest, length):
    # facts/nat.md §4: outer destination and inner source become I, inner id/port restored, router's outer source unchanged, inner seq
    # unchanged; rows 5382-9, 5508-4; §10 "inner IP of ICMP errors untranslated", "rewriting the router's source broke checksums".
    capture = Replay(config)
    out = [
        capture.inside("red", udp(RED, 1000, X, 53)),
        capture.inside("red", tcp(RED, 1000, X, 80, options=[("MSS", 1460)])),
        capture.inside("red", echo(RED, X, 77, 5)),
        capture.inside("red", udp(RED, 1001, X, 53, checksum=0)),
    ]
    first = capture.peek()
    errors = []
    for sent in out:
        seen = first.one(sent).ip
        errors.append(capture.outside(icmp_error(ROUTER, seen.src, as_quoted(seen.raw, 1, length), kind, code, rest)))
    result = capture.run()
    for sent, error in zip(out, errors):
        seen = result.one(error)
        assert seen.vni == 100
        wanted = translated_error(error.packet, destination=RED, quoted_source=sent.ip.source)
        assert seen.ip.raw == wanted, f"{seen}: {seen.ip.quoted} not {sent.ip}"
        assert seen.ip.quoted.raw == as_quoted(sent.packet, 1, length) and seen.ip.src == ROUTER
    assert result.drops == {}


def test_an_error_from_inside_about_an_incoming_packet_leaves_as_the_external_address(config):
    # facts/nat.md §4 "errors from inside about inbound packets leave as N".
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    into = [
        (capture.outside(udp(X, 53, *nat)), RED, nat),
        (capture.outside(udp(X, 9, RED_STATIC_EXTERNAL, 53)), RED_STATIC, (RED_STATIC_EXTERNAL, 53)),
        (capture.outside(tcp(X, 9, RED_MAPPED_EXTERNAL, 80)), RED_MAPPED, (RED_MAPPED_EXTERNAL, 80)),
    ]
    first = capture.peek()
    errors = []
    for sent, host, external in into:
        seen = first.one(sent).ip
        errors.append((capture.inside("red", icmp_error(host, X, as_quoted(seen.raw, seen.ttl))), sent, external))
    result = capture.run()
    for error, sent, external in errors:
        seen = result.one(error)
        assert seen.port_name == "external"
        assert seen.ip.raw == translated_error(error.packet, source=external[0], quoted_destination=external), seen
        assert seen.ip.quoted.raw == as_quoted(sent.packet, sent.ip.ttl - 1)


def test_a_router_inside_the_vpc_may_report_about_an_incoming_packet(config):
    # RFC 5508 §4.2: the error comes from a router behind the NAT, not from the host; its source becomes an external address.
    capture = Replay(config)
    into = capture.outside(udp(X, 9, RED_STATIC_EXTERNAL, 53))
    seen = capture.peek().one(into).ip
    error = capture.inside("red", icmp_error("10.0.1.2", X, as_quoted(seen.raw, 1), 11, 0))
    result = capture.run()
    got = result.one(error)
    assert got.port_name == "external" and not got.ip.src.startswith("10.")
    assert got.ip.quoted.destination == (RED_STATIC_EXTERNAL, 53)


def test_an_error_in_fragments_has_its_addresses_translated_in_each_of_them(config):
    # RFC 5508 REQ-4 and REQ-5; invariant: no packet is translated half.
    capture = Replay(config)
    out, between = capture.inside("red", udp(RED, 1000, X, 53)), capture.inside("red", udp(RED, 1000, BLUE_STATIC_PEERING, 53))
    peek = capture.peek()
    nat, presented = peek.one(out).ip.source, peek.one(between).ip.source
    long = b"quoted" * 100
    wholes = [
        ("red", icmp_error(RED, X, as_quoted(udp(X, 53, RED, 1000, long)), id=77), RED),
        (None, icmp_error(X, nat[0], as_quoted(udp(*nat, X, 53, long)), id=78), X),
        ("blue", icmp_error(BLUE_STATIC, presented[0], as_quoted(udp(*presented, BLUE_STATIC, 53, long)), id=79), BLUE_STATIC),
    ]
    sent = []
    for vpc, error, _ in wholes:
        pieces = fragments_of(error, 304)
        assert len(pieces) == 3
        sent.append([capture.inside(vpc, piece) if vpc else capture.outside(piece) for piece in reversed(pieces)])
    result = capture.run(THOROUGH)
    expected = [(nat[0], X), (X, RED), (BLUE_STATIC_PEERING, RED)]
    quotes = [(X, nat[0]), (RED, X), (RED, BLUE_STATIC_PEERING)]
    for group, ways, quote in zip(sent, expected, quotes):
        seen = [one.ip for packet in group for one in result.of(packet)]
        assert {(piece.src, piece.dst) for piece in seen} == {ways} and len(seen) == 3
        whole = reassembled(seen)
        assert (whole.quoted.src, whole.quoted.dst) == quote
        assert internet_checksum(whole.raw[20:]) == 0
    assert result.drops == {}


def test_an_error_goes_to_the_sender_of_what_it_quotes_and_to_nobody_else(config):
    # gateway.md "How traffic is classified", lines 2, 3, 5 and 7, and "From the external port".
    vpc_of(config, "red")["gatewayAddress"] = "10.0.1.1"
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    quote, quote_outside = as_quoted(udp(X, 53, RED, 1000)), as_quoted(udp(*nat, X, 53))
    refused = {"source-not-in-vpc": [("10.99.0.1", X)]}
    refused["not-for-us"] = [(RED, own) for own in ("10.0.1.1", "172.30.0.1", "203.0.113.1")]
    refused["private-destination"] = [(RED, "10.0.1.9"), (RED, BLUE)]
    refused["icmp-error-unknown"] = [(RED, X2)]
    wrong = [capture.inside("red", icmp_error(*way, quote)) for ways in refused.values() for way in ways]
    wrong += [capture.outside(icmp_error(ROUTER, other, quote_outside)) for other in ("203.0.113.1", "198.51.100.99", "203.0.113.30")]
    right = [capture.inside("red", icmp_error(source, X, quote, 11, 0)) for source in (RED, "10.0.1.2")]
    right.append(capture.outside(icmp_error(ROUTER, nat[0], quote_outside)))
    result = capture.run(THOROUGH)
    result.none(*wrong)
    assert [len(result.of(error)) for error in right] == [1, 1, 1]
    assert result.drops == {"source-not-in-vpc": 1, "not-for-us": 5, "private-destination": 2, "icmp-error-unknown": 2}


def test_errors_without_a_session_or_with_a_quote_that_does_not_fit_are_dropped(config):
    # facts/nat.md rows 5382-9, 5508-4/5: no mapping → drop; gateway.md drop reason icmp-error-unknown.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    strangers = [
        capture.outside(icmp_error(ROUTER, nat[0], as_quoted(udp(nat[0], nat[1] ^ 1, X, 53)))),
        capture.outside(icmp_error(ROUTER, nat[0], as_quoted(tcp(*nat, X, 53)))),
        capture.outside(icmp_error(ROUTER, RED_STATIC_EXTERNAL, as_quoted(udp(RED_STATIC_EXTERNAL, 5, X, 53)))),
        # The quote is of a packet that somebody else sent.
        capture.outside(icmp_error(ROUTER, nat[0], as_quoted(udp("198.51.100.200", 5, X, 53)))),
        capture.inside("red", icmp_error(RED, X, as_quoted(udp(X, 53, RED, 4444)))),
    ]
    fine = capture.outside(icmp_error(ROUTER, nat[0], as_quoted(udp(*nat, X, 53))))
    result = capture.run()
    result.none(*strangers)
    assert result.one(fine).vni == 100
    assert result.drops == {"icmp-error-unknown": 5}


def test_an_error_with_too_little_of_the_packet_is_dropped(config):
    # RFC 792: at least 64 bits of the original datagram's data; DESIGN.md §4 invariant 3.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    seen = capture.peek().one(out).ip
    quotes = [b"", as_quoted(seen.raw)[:8], as_quoted(seen.raw)[:19], as_quoted(seen.raw)[:20], b"\x60" + bytes(60)]
    for quote in quotes:
        capture.outside(icmp_error(ROUTER, seen.src, quote))
    result = capture.run()
    assert len(result.seen) == 1 and sum(result.drops.values()) == len(quotes)
    assert set(result.drops) <= {"malformed", "icmp-error-unknown"}


def test_icmp_errors_neither_end_nor_refresh_a_session(config):
    # facts/nat.md row 4787-12, 5382-10, 5508-6.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    ping = capture.inside("red", echo(RED, X, 5))
    one = outbound(capture).open()
    first = capture.peek()
    nat, ping_nat = first.one(out).ip.source, first.one(ping).ip.source
    for kind, code in ((3, 3), (3, 1), (11, 0), (3, 13)):
        capture.outside(icmp_error(ROUTER, nat[0], as_quoted(udp(*nat, X, 53)), kind, code))
        capture.outside(icmp_error(ROUTER, one.b_sees[0], as_quoted(tcp(*one.b_sees, X, 443)), kind, code))
    alive = [capture.outside(udp(X, 53, *nat)), one.from_b("PA", b"x")]
    for seconds in (20, 40, 59):
        capture.at(seconds).outside(icmp_error(ROUTER, ping_nat[0], as_quoted(echo(ping_nat[0], X, ping_nat[1]))))
    gone = [capture.at(61).outside(echo(X, *ping_nat, reply=True))]
    for seconds in (100, 200, 299):
        capture.at(seconds).outside(icmp_error(ROUTER, nat[0], as_quoted(udp(*nat, X, 53))))
        capture.inside("red", icmp_error(RED, X, as_quoted(udp(X, 53, RED, 1000))))
    gone.append(capture.at(301).outside(udp(X, 53, *nat)))
    result = capture.run()
    for sent in alive:
        assert result.one(sent).vni == 100
    result.none(*gone)
    assert result.drops == {"no-binding": 2}


def test_a_wrong_icmp_checksum_is_dropped_silently(config):
    # facts/nat.md row 5508-3.
    capture = Replay(config)
    ping = capture.inside("red", echo(RED, X, 5))
    nat = capture.peek().one(ping).ip.source

    def broken(packet):
        raw = bytearray(bytes(packet))
        raw[22] ^= 0x10
        return bytes(raw)

    bad = [
        capture.inside("red", broken(echo(RED, X, 5))),
        capture.inside("red", broken(echo(RED, X2, 6))),
        capture.outside(broken(echo(X, *nat, reply=True))),
        capture.outside(broken(icmp_error(ROUTER, nat[0], as_quoted(echo(nat[0], X, nat[1]))))),
        capture.outside(broken(echo(X, RED_STATIC_EXTERNAL, 1))),
        capture.outside(broken(echo(X, "203.0.113.1", 1))),
    ]
    result = capture.run()
    result.none(*bad)
    assert result.drops == {"bad-checksum": len(bad)} and len(result.flows) == 1


def test_an_error_that_quotes_a_wrong_header_checksum_is_dropped(config):
    # facts/nat.md §4 "bad inner checksum handled as 5508-3": dropped silently (RFC 5508 REQ-3 b). The reason is not said; three fit.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    quote = bytearray(capture.peek().one(out).ip.raw)
    quote[10] ^= 1
    bad = capture.outside(icmp_error(ROUTER, capture.peek().one(out).ip.src, bytes(quote)))
    result = capture.run()
    result.none(bad)
    assert sum(result.drops.values()) == 1 and set(result.drops) <= {"bad-checksum", "icmp-error-unknown", "malformed"}


def message(source, destination, kind, identifier=0, length=10):
    """An ICMP message of any type, with something where an echo has its identifier."""
    body = bytes([kind, 0, 0, 0]) + identifier.to_bytes(2, "big") + bytes(length)
    checksum = internet_checksum(body).to_bytes(2, "big")
    return ipv4(source, destination, Raw(body[:2] + checksum + body[4:]), proto=1)


@pytest.mark.parametrize("opens", ["from outside", "from inside", "dynamic", "bypass"])
def test_a_session_of_pings_carries_pings_alone(config, opens):
    # gateway.md drop reason icmp-unsupported, whatever was there before.
    config["bypass"] = [{"vpc": "red", "destinations": ["192.0.2.0/24"]}]
    capture = Replay(config)
    far = "192.0.2.9" if opens == "bypass" else X
    if opens == "from outside":
        known, host, public, identifier = capture.outside(echo(far, RED_STATIC_EXTERNAL, 5)), RED_STATIC, RED_STATIC_EXTERNAL, 5
    else:
        host = RED_STATIC if opens == "from inside" else RED
        known = capture.inside("red", echo(host, far, 5))
        seen = capture.peek().one(known).ip
        public, identifier = seen.src, seen.icmp_id
    others = (5, 9, 10, 13, 14, 17, 200)
    wrong = [capture.outside(message(far, public, kind, identifier)) for kind in others]
    wrong += [capture.inside("red", message(host, far, kind, 5)) for kind in others]
    result = capture.run(THOROUGH)
    result.none(*wrong)
    assert len(result.of(known)) == 1
    assert sum(result.drops.values()) == len(wrong) and set(result.drops) <= {"icmp-unsupported", {"bypass": "not-for-us", "dynamic": "no-binding"}.get(opens)}


def test_queries_and_messages_that_nobody_translates_are_dropped(config):
    # gateway.md drop reason icmp-unsupported.
    capture = Replay(config)
    # Router advertisement and solicitation, traceroute, an unassigned type. (Timestamp and mask queries may be translated or not.)
    for kind in (9, 10, 30, 200):
        capture.inside("red", message(RED, X, kind))
        capture.outside(message(X, RED_STATIC_EXTERNAL, kind))
    result = capture.run()
    assert result.seen == [] and result.drops == {"icmp-unsupported": 8}


def test_an_echo_reply_that_nobody_asked_for_makes_no_session(config):
    # facts/nat.md row 5508-1: mappings are made by queries. To a mapping-less pool address no-binding; from inside no session is made:
    # any of the reasons for a packet of no session fits.
    capture = Replay(config)
    outside = capture.outside(echo(X, "203.0.113.16", 5000, reply=True))
    inside = capture.inside("red", echo(RED, X, 5, reply=True))
    result = capture.run()
    result.none(outside, inside)
    assert result.drops["no-binding"] >= 1 and sum(result.drops.values()) == 2 and result.flows == []


def test_pings_of_many_hosts_with_one_identifier_stay_apart(config):
    # facts/nat.md §4 "echo id translated, id 0 legal; reply restores".
    capture = Replay(config)
    hosts = [f"10.0.1.{number}" for number in range(10, 20)]
    out = [capture.inside("red", echo(host, X, 0, number)) for number, host in enumerate(hosts)]
    first = capture.peek()
    back = [capture.outside(echo(X, *first.one(sent).ip.source, sequence=number, reply=True)) for number, sent in enumerate(out)]
    result = capture.run(THOROUGH)
    for sent, reply, host in zip(out, back, hosts):
        result.out(sent, source=result.one(sent).ip.source)
        result.into("red", reply, destination=(host, 0))


def test_an_error_about_a_flow_of_another_protocol_reaches_its_host(config):
    # facts/nat.md §6 "GRE and other protocols both ways": traceroute and path MTU discovery for them too.
    capture = Replay(config)
    out = capture.inside("red", other(RED, X, 47, b"\0" * 30))
    seen = capture.peek().one(out).ip
    error = capture.outside(icmp_error(ROUTER, seen.src, as_quoted(seen.raw, 1, 28), 3, 4, 1400))
    result = capture.run()
    assert result.one(error).ip.raw == translated_error(error.packet, destination=RED, quoted_source=(RED, None))
    assert vpc_of(config, "red")["vni"] == result.one(error).vni


@pytest.mark.parametrize("length", [0, 4, 7])
def test_an_error_about_a_packet_of_less_than_eight_bytes_quotes_all_of_it_and_reaches_its_host(config, length):
    # RFC 792: the header and the first 64 bits of the datagram's data, which may be fewer; facts/nat.md rows 5382-9, 5508-4.
    capture = Replay(config)
    out = capture.inside("red", other(RED, X, 47, b"\0" * length))
    seen = capture.peek().one(out).ip
    error = capture.outside(icmp_error(ROUTER, seen.src, as_quoted(seen.raw, 1), 11, 0))
    result = capture.run()
    assert result.one(error).ip.raw == translated_error(error.packet, destination=RED, quoted_source=(RED, None))
