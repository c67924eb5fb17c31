"""How long sessions live: UDP, ICMP and the rest (gateway.md `nat.timeouts`, "settled"; facts/nat.md rows 4787-5, 4787-6, 5508-1/2)."""

from harness import THOROUGH, Replay
from traffic import RED, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, echo, other, udp


class Timed:
    """Packets that are said in any order and sent in the order of their times."""

    def __init__(self, capture):
        self.capture, self.planned = capture, []

    def at(self, seconds, send):
        handle = {}
        self.planned.append((seconds, handle, send))
        return handle

    def send(self):
        self.planned.sort(key=lambda entry: entry[0])
        for seconds, handle, send in self.planned:
            self.capture.at(seconds)
            handle["sent"] = send()


def udp_flow(capture, port):
    """Sends the first packet of a flow at once and returns (send again, reply), once the endpoint is known."""
    first = capture.inside("red", udp(RED, port, X, 53))

    def reply():
        return capture.outside(udp(X, 53, *capture.nat_of[port]))

    return first, (lambda: capture.inside("red", udp(RED, port, X, 53, b"again"))), reply


def test_udp_lives_five_minutes_after_the_last_packet_from_inside(config):
    # gateway.md timeouts.udp 300; "settled": inbound packets refresh nothing for UDP, only outbound ones; the last hit is floored to whole
    # seconds; timers due at or before a packet's time run before it.
    capture = Replay(config)
    flows = {port: udp_flow(capture, port) for port in range(1000, 1008)}
    late_first = udp_flow(capture.at(0.9), 1008)
    first = capture.peek()
    capture.nat_of = {port: first.one(flow[0]).ip.source for port, flow in flows.items()}
    capture.nat_of[1008] = first.one(late_first[0]).ip.source
    plan = Timed(capture)
    alive, gone = [], []
    # Nothing but the first packet.
    alive.append(plan.at(299.999, flows[1000][2]))
    gone.append(plan.at(300.5, flows[1001][2]))
    # Replies refresh nothing.
    alive += [plan.at(100 + n, flows[1002][2]) for n in range(1, 190, 30)]
    gone.append(plan.at(300.6, flows[1002][2]))
    # A packet from inside does, and its fraction of a second does not count.
    plan.at(200.7, flows[1003][1])
    alive.append(plan.at(499.9, flows[1003][2]))
    plan.at(200.8, flows[1004][1])
    gone.append(plan.at(500.05, flows[1004][2]))
    # The first packet's neither.
    gone.append(plan.at(300.1, late_first[2]))
    # At the very second the timer runs before the packet.
    gone.append(plan.at(300.0, flows[1005][2]))
    # From inside an expired flow simply starts anew (facts/nat.md §10 "a packet on an expired session dropped").
    anew = plan.at(301, flows[1006][1])
    plan.send()
    result = capture.run(THOROUGH)
    for handle in alive:
        assert result.one(handle["sent"]).vni == 100, handle
    for handle in gone:
        result.none(handle["sent"])
    assert result.one(anew["sent"]).port_name == "external"
    assert result.drops == {"no-binding": len(gone)}
    assert result.flow(inside=(RED, 1006))["ageMs"] < 200_000


def test_ping_and_other_protocols_have_their_own_times_and_are_refreshed_from_inside_only(config):
    # gateway.md timeouts.icmp 60, timeouts.other 300; "settled": inbound packets refresh nothing for UDP and ICMP.
    capture = Replay(config)
    pings = [capture.inside("red", echo(RED, X, identifier)) for identifier in range(4)]
    gre = [capture.inside("red", other(RED, remote, 47)) for remote in (X, X2)]
    first = capture.peek()
    nats = [first.one(sent).ip.source for sent in pings]
    gre_nat = first.one(gre[0]).ip.src

    def pong(number):
        return capture.outside(echo(X, *nats[number], reply=True))

    alive = [capture.at(30) and pong(0), capture.at(59.9) and pong(0)]
    capture.at(59.95).inside("red", echo(RED, X, 1))
    gone = [capture.at(60.5) and pong(0), capture.at(61) and pong(2)]
    alive += [capture.at(118.9) and pong(1)]
    gone += [capture.at(119.5) and pong(1)]
    alive += [capture.at(299.9) and capture.outside(other(X, gre_nat, 47))]
    late_gre = capture.at(300.5) and capture.outside(other(X2, gre_nat, 47))
    result = capture.run()
    for sent in alive:
        assert result.one(sent).vni == 100, sent.time
    result.none(*gone, late_gre)
    assert sum(result.drops.values()) == 4 and set(result.drops) <= {"no-binding", "filtered"}


def test_timeouts_are_configured(config):
    # gateway.md `nat.timeouts`, seconds.
    config["nat"]["timeouts"].update(udp=120, icmp=70, other=40)
    capture = Replay(config)
    sent = [capture.inside("red", packet) for packet in (udp(RED, 1, X, 53), udp(RED, 2, X, 53), echo(RED, X, 1), echo(RED, X, 2))]
    gre = [capture.inside("red", other(RED, remote, 47)) for remote in (X, X2)]
    first = capture.peek()
    nats = [first.one(s).ip.source for s in sent]
    alive = [capture.at(39.5) and capture.outside(other(X, first.one(gre[0]).ip.src, 47))]
    gone = [capture.at(40.5) and capture.outside(other(X2, first.one(gre[0]).ip.src, 47))]
    alive.append(capture.at(69.5) and capture.outside(echo(X, *nats[2], reply=True)))
    gone.append(capture.at(70.5) and capture.outside(echo(X, *nats[3], reply=True)))
    alive.append(capture.at(119.5) and capture.outside(udp(X, 53, *nats[0])))
    gone.append(capture.at(120.5) and capture.outside(udp(X, 53, *nats[1])))
    result = capture.run()
    for s in alive:
        assert result.one(s).vni == 100
    result.none(*gone)


def test_traffic_from_outside_alone_does_not_keep_a_session_of_a_static_binding(config):
    # "settled": inbound packets refresh nothing for UDP, only outbound ones do. A session that ended is simply made again here, so its age
    # in the dump tells.
    capture = Replay(config)
    for seconds in (0, 100, 200, 299, 310, 400):
        sent = capture.at(seconds).outside(udp(X, 1000, RED_STATIC_EXTERNAL, 53))
    result = capture.run()
    result.into("red", sent, destination=(RED_STATIC, 53))
    assert result.flow(protocol="udp")["ageMs"] == 90_000


def test_one_session_of_a_mapping_ends_and_the_mapping_lives_on_with_another(config):
    # "settled": a session is a 5-tuple; a mapping is an internal endpoint with its external one; facts/nat.md row 4787-6.
    config["nat"]["filtering"] = "address-and-port-dependent"
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    second = capture.inside("red", udp(RED, 1000, X2, 53))
    nat = capture.peek().one(second).ip.source
    capture.at(200).inside("red", udp(RED, 1000, X2, 53))
    ended = capture.at(310).outside(udp(X, 53, *nat))
    lives = capture.outside(udp(X2, 53, *nat))
    again = capture.inside("red", udp(RED, 1000, X, 53))
    back = capture.outside(udp(X, 53, *nat))
    result = capture.run()
    result.none(ended)
    result.into("red", lives, destination=(RED, 1000))
    result.out(again, source=nat)
    result.into("red", back, destination=(RED, 1000))
    assert result.drops == {"filtered": 1}


def test_a_filtered_packet_refreshes_nothing(config):
    # facts/nat.md row 4787-6, 7857 §7: filtered inbound does not refresh.
    config["nat"]["filtering"] = "address-and-port-dependent"
    capture = Replay(config)
    sent = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(sent).ip.source
    refused = [capture.at(seconds).outside(udp(X2, 53, *nat)) for seconds in (100, 200, 299)]
    gone = capture.at(301).outside(udp(X, 53, *nat))
    result = capture.run()
    result.none(*refused, gone)
    assert result.drops == {"filtered": 3, "no-binding": 1}


def test_timers_that_are_due_after_the_last_packet_do_not_run(config):
    # DESIGN.md §3: after the last packet all is drained; timers that would fire later do not.
    capture = Replay(config)
    capture.inside("red", udp(RED, 1000, X, 53))
    capture.at(299.5).inside("red", udp(RED, 1001, X, 53))
    result = capture.run()
    assert len(result.flows) == 2
    capture.at(300.5).inside("red", udp(RED, 1002, X, 53))
    result = capture.run()
    assert sorted(f["inside"]["port"] for f in result.flows) == [1001, 1002]
