"""Public addresses of one VPC reached from another, served inside the gateway (docs/decisions/0004; facts/nat.md rows 4787-7, 4787-9, 5508-7)."""

from frames import one_external_address
from harness import THOROUGH, Replay
from packets import translated_error
from traffic import BLUE, POOL, RED, RED_MAPPED, RED_MAPPED_EXTERNAL, RED_STATIC, RED_STATIC_EXTERNAL, X, TcpConnection, answer, as_quoted, echo, icmp_error, other, udp

HOST = ("10.0.1.7", 1000)  # In red and in blue.


def test_two_hosts_with_one_private_endpoint_meet_at_their_external_ones(config):
    # The same address and port at both ends, in two VPCs behind one external address: nothing but VNI and NAT endpoint tells them apart.
    one_external_address(config)
    capture = Replay(config)
    opened = capture.inside("blue", udp(*HOST, X, 53))
    blue = capture.peek().one(opened).ip.source
    call = capture.inside("red", udp(*HOST, *blue))
    result = capture.peek()
    red = result.one(call).ip.source
    back = capture.inside("blue", udp(*HOST, *red))
    again = capture.inside("red", udp(*HOST, *blue, b"again"))
    arrived = result.one(call).ip
    error = capture.inside("blue", icmp_error(HOST[0], arrived.src, as_quoted(arrived.raw, arrived.ttl)))
    outward = capture.inside("red", udp(*HOST, X, 53))
    result = capture.run(THOROUGH)
    assert red != blue and red[0] == blue[0]
    for sent in (call, again):
        result.into("blue", sent, source=red, destination=HOST)
    result.into("red", back, source=blue, destination=HOST)
    result.out(outward, source=red)
    wanted = translated_error(error.packet, source=blue[0], destination=HOST[0], quoted_source=HOST, quoted_destination=blue)
    assert result.one(error).vni == 100 and result.one(error).ip.raw == wanted
    assert result.drops == {}


def test_a_port_mapping_of_another_vpc_is_reached_by_tcp_and_presents_the_external_source(config):
    capture = Replay(config)
    one = TcpConnection(capture, lambda p: capture.inside("blue", p), (BLUE, 40000), (RED_MAPPED_EXTERNAL, 80), lambda p: capture.inside("red", p)).open()
    request, response = one.from_a("PA", b"GET /"), one.from_b("PA", b"200 OK" * 50)
    one.close()
    result = capture.run(THOROUGH)
    assert one.b_sees[0] in POOL
    result.into("red", request, source=one.b_sees, destination=(RED_MAPPED, 8080))
    result.into("blue", response, source=(RED_MAPPED_EXTERNAL, 80), destination=(BLUE, 40000))
    assert result.drops == {} and {flow["class"] for flow in result.flows} == {"hairpin"}


def test_servers_of_two_vpcs_meet_at_their_static_addresses_in_every_protocol(config):
    config["staticBindings"].append({"vpc": "blue", "private": RED_STATIC, "external": "203.0.113.12"})
    capture = Replay(config)
    sent = [capture.inside("red", packet) for packet in (udp(RED_STATIC, 7, "203.0.113.12", 7), echo(RED_STATIC, "203.0.113.12", 7), other(RED_STATIC, "203.0.113.12", 47))]
    first = capture.peek()
    back = [capture.inside("blue", answer(first.one(packet))) for packet in sent]
    result = capture.run(THOROUGH)
    for call, reply in zip(sent, back):
        result.into("blue", call, source=(RED_STATIC_EXTERNAL, None), destination=(RED_STATIC, None))
        result.into("red", reply, source=("203.0.113.12", None), destination=(RED_STATIC, None))
    assert result.drops == {} and len(result.flows) == 3


def test_a_packet_that_answers_itself_goes_round_once_in_every_protocol(config):
    # facts/nat.md §10 "hairpin infinite loop": from a port to the same port of the host's own public address, the reply is the call.
    capture = Replay(config)
    packets = (udp(RED_STATIC, 2000, RED_STATIC_EXTERNAL, 2000), echo(RED_STATIC, RED_STATIC_EXTERNAL, 9), other(RED_STATIC, RED_STATIC_EXTERNAL, 47))
    sent = [capture.inside("red", packet) for packet in packets for _ in range(3)]
    opened = capture.inside("red", udp(RED, 5000, X, 53))
    own = capture.peek().one(opened).ip.source
    loop = [capture.inside("red", udp(RED, 5000, *own)) for _ in range(3)]
    result = capture.run(THOROUGH)
    for packet in sent:
        result.into("red", packet, source=(RED_STATIC_EXTERNAL, None), destination=(RED_STATIC, None))
    for packet in loop:
        result.into("red", packet, source=own, destination=(RED, 5000))
    assert result.drops == {}
