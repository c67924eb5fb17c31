"""Another configuration while traffic goes on, `replay --reload` (facts/nat.md §8; §2 on static mappings over live sessions)."""

import copy
import json

import pytest

from frames import vpc_of
from harness import SHARDS, THOROUGH, Replay, sluice
from traffic import BLUE, BLUE_STATIC_PEERING, RED, RED2, RED_STATIC, RED_STATIC_EXTERNAL, X, X2, echo, other, tcp, udp


def changed(config, change):
    copied = copy.deepcopy(config)
    change(copied)
    return copied


def flows_of_all_kinds(capture):
    """One flow of each kind, by name: what it sends again later."""
    return {
        "dynamic": ("red", udp(RED, 1000, X, 53)),
        "other dynamic": ("blue", udp(BLUE, 1000, X, 53)),
        "static": ("red", udp(RED_STATIC, 1000, X, 53)),
        "peering": ("red", udp(RED, 1001, BLUE_STATIC_PEERING, 53)),
        "hairpin": ("red", udp(RED2, 1002, RED_STATIC_EXTERNAL, 53)),
        "echo": ("red", echo(RED, X, identifier=77)),
        "gre": ("red", other(RED, X2, 47)),
    }


def send(capture, flows):
    return {name: capture.inside(vpc, packet) for name, (vpc, packet) in flows.items()}


def assert_same_translation(result, before, after, names):
    for name in names:
        old, new = result.one(before[name]), result.one(after[name])
        assert (new.ip.src, new.ip.dst, new.vni) == (old.ip.src, old.ip.dst, old.vni), name
        assert new.ip.raw[20:24] == old.ip.raw[20:24], f"{name}: ports {old} became {new}"


def test_the_same_configuration_again_changes_no_translation(config):
    capture = Replay(config)
    flows = flows_of_all_kinds(capture)
    before = send(capture, flows)
    after = send(capture.wait(1).reload(copy.deepcopy(config)), flows)
    result = capture.run(THOROUGH)
    assert_same_translation(result, before, after, flows)
    assert result.drops == {}
    assert len(result.flows) == len(flows)


def test_vpcs_in_another_order_with_new_ones_between_change_no_translation(config):
    def reorder(new):
        new["vpcs"].reverse()
        new["vpcs"].insert(0, {"name": "green", "vni": 300, "subnets": ["10.9.0.0/16"], "routes": [{"prefix": "10.9.0.0/16", "vtep": "172.30.0.11", "mac": "02:00:00:09:00:11"}]})
        new["externalPools"][0]["vpcs"] = ["green", "blue", "red"]
        new["peerings"] = [{"vpcs": ["blue", "red"]}]

    capture = Replay(config)
    flows = flows_of_all_kinds(capture)
    before = send(capture, flows)
    capture.wait(1).reload(changed(config, reorder))
    after = send(capture, flows)
    green = capture.inside("green", udp("10.9.0.1", 1, X, 53))
    result = capture.run(THOROUGH)
    assert_same_translation(result, before, after, flows)
    assert result.one(green).port_name == "external"
    assert result.drops == {}
    assert {flow["vpc"] for flow in result.flows} == {"red", "blue", "green"}


def test_a_removed_vpc_ends_its_flows_and_no_other(config):
    def remove_blue(new):
        new["vpcs"] = [vpc for vpc in new["vpcs"] if vpc["name"] != "blue"]
        new["peerings"], new["peeringPools"] = [], [pool for pool in new["peeringPools"] if pool["vpc"] != "blue"]
        new["externalPools"][0]["vpcs"] = ["red"]
        new["staticBindings"] = [binding for binding in new["staticBindings"] if binding["vpc"] != "blue"]

    capture = Replay(config)
    flows = flows_of_all_kinds(capture)
    before = send(capture, flows)
    nat = capture.peek().one(before["other dynamic"]).ip.source
    blue_frame = capture.packets[1]
    capture.wait(1).reload(changed(config, remove_blue))
    gone = [capture.frame("fabric", blue_frame.frame), capture.inside(*flows["peering"]), capture.outside(udp(X, 53, *nat))]
    kept = {name: flow for name, flow in flows.items() if name not in ("other dynamic", "peering")}
    after = send(capture, kept)
    result = capture.run(THOROUGH)
    assert_same_translation(result, before, after, kept)
    # The peering address of a VPC that is no more is an address of the outside like any other.
    assert result.one(gone[1]).port_name == "external"
    result.none(gone[0], gone[2])
    assert result.drops == {"unknown-vni": 1, "no-binding": 1}
    assert {flow["vpc"] for flow in result.flows} == {"red"}


def test_a_removed_peering_ends_its_flows_and_no_other(config):
    capture = Replay(config)
    flows = flows_of_all_kinds(capture)
    before = send(capture, flows)
    reply = udp("10.0.2.9", 53, *capture.peek().one(before["peering"]).ip.source)
    capture.wait(1).reload(changed(config, lambda new: new.update(peerings=[])))
    gone = [capture.inside(*flows["peering"]), capture.inside("blue", reply)]
    kept = {name: flow for name, flow in flows.items() if name != "peering"}
    after = send(capture, kept)
    result = capture.run(THOROUGH)
    assert_same_translation(result, before, after, kept)
    result.none(*gone)
    assert result.drops == {"no-peering": 2}


def test_a_removed_prefix_ends_the_flows_of_its_hosts_and_no_other(config):
    def narrow(new):
        vpc_of(new, "red")["subnets"] = ["10.0.1.0/29"]
        new["staticBindings"] = [binding for binding in new["staticBindings"] if binding["vpc"] != "red"] + [config["staticBindings"][0]]

    capture = Replay(config)
    near, far = udp("10.0.1.7", 1000, X, 53), udp("10.0.1.8", 1000, X, 53)
    first = [capture.inside("red", near), capture.inside("red", far)]
    nats = [capture.peek().one(sent).ip.source for sent in first]
    capture.wait(1).reload(changed(config, narrow))
    second = [capture.inside("red", near), capture.inside("red", far)]
    back = [capture.outside(udp(X, 53, *nat)) for nat in nats]
    result = capture.run(THOROUGH)
    result.out(second[0], source=nats[0])
    result.into("red", back[0], destination=("10.0.1.7", 1000))
    result.none(second[1], back[1])
    assert result.drops == {"source-not-in-vpc": 1, "no-binding": 1}


def test_a_pool_that_shrinks_breaks_no_living_flow_and_serves_no_new_one_from_what_left_it(config):
    capture = Replay(config)
    hosts = [f"10.0.1.{number}" for number in range(20, 36)]
    first = [capture.inside("red", udp(host, 1000, X, 53)) for host in hosts]
    nats = [capture.peek().one(sent).ip.source for sent in first]
    capture.wait(1).reload(changed(config, lambda new: new["externalPools"][0].update(ranges=["203.0.113.16-203.0.113.17"])))
    second = [capture.inside("red", udp(host, 1000, X, 53)) for host in hosts]
    back = [capture.outside(udp(X, 53, *nat)) for nat in nats]
    new = [capture.inside("red", udp(host, 2000, X, 53)) for host in hosts]
    same_endpoint = [capture.inside("red", udp(host, 1000, X2, 53)) for host in hosts]
    result = capture.run(THOROUGH)
    for sent, reply, host, nat in zip(second, back, hosts, nats):
        result.out(sent, source=nat)
        result.into("red", reply, destination=(host, 1000))
    # Each shard takes addresses in turn.
    assert len({address for address, _ in nats}) == 16 or (SHARDS > 1 and len({address for address, _ in nats}) > 4)
    for sent in new + same_endpoint:
        assert result.one(sent).ip.src in ("203.0.113.16", "203.0.113.17")
    assert result.drops == {}


def test_a_pool_that_grows_again_gives_out_what_it_has_and_nothing_twice(config):
    config["externalPools"][0].update(ranges=["203.0.113.16"], ports="5000-5007")
    capture = Replay(config)
    packets = [udp(RED, 1000 + number, X, 53) for number in range(8)]
    first = [capture.inside("red", packet) for packet in packets[:6]]
    narrow = changed(config, lambda new: new["externalPools"][0].update(ports="5000-5003"))
    capture.wait(1).reload(narrow)
    kept = [capture.inside("red", packet) for packet in packets[:6]]
    capture.wait(1).reload(copy.deepcopy(config))
    last = [capture.inside("red", packet) for packet in packets]
    over = capture.inside("red", udp(RED, 2000, X, 53))
    result = capture.run(THOROUGH)
    for one, other_one in zip(first, kept):
        assert result.one(one).ip.source == result.one(other_one).ip.source
    assert len({result.one(sent).ip.source for sent in last}) == 8
    result.refused(over, 3, 13, "172.30.0.1", "red")
    assert result.drops == {"pool-exhausted": 1}


def test_a_static_binding_over_a_live_dynamic_flow_lets_it_go_on_and_owns_the_port_after(config):
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    address, port = capture.peek().one(first).ip.source
    binding = {"vpc": "red", "protocol": "udp", "private": "10.0.1.99:5353", "external": f"{address}:{port}"}
    capture.wait(1).reload(changed(config, lambda new: new["staticBindings"].append(binding)))
    again, reply = capture.inside("red", udp(RED, 1000, X, 53)), capture.outside(udp(X, 53, address, port))
    elsewhere = capture.outside(udp(X2, 9, address, port))
    new_flow = capture.inside("red", udp(RED, 1000, X2, 53))
    capture.at(400)
    later = capture.outside(udp(X, 53, address, port))
    result = capture.run(THOROUGH)
    result.out(again, source=(address, port))
    result.into("red", reply, destination=(RED, 1000))
    result.into("red", elsewhere, destination=("10.0.1.99", 5353))
    assert result.one(new_flow).ip.source != (address, port)
    result.into("red", later, destination=("10.0.1.99", 5353))
    assert result.drops == {}


def test_a_removed_static_binding_ends_its_flows_and_a_changed_one_leads_to_its_new_host(config):
    capture = Replay(config)
    inbound = tcp(X, 1000, "203.0.113.11", 80)
    first = [capture.outside(inbound), capture.inside("red", udp(RED_STATIC, 1000, X, 53))]

    def change(new):
        new["staticBindings"][1]["private"] = "10.0.1.9:8080"
        del new["staticBindings"][0]

    capture.wait(1).reload(changed(config, change))
    stray = capture.outside(tcp(X, 1000, "203.0.113.11", 80, flags="A"))
    anew, dynamic = capture.outside(inbound), capture.inside("red", udp(RED_STATIC, 1000, X, 53))
    result = capture.run(THOROUGH)
    result.into("red", first[0], destination=("10.0.1.6", 8080))
    result.none(stray)
    result.into("red", anew, destination=("10.0.1.9", 8080))
    assert result.one(dynamic).ip.src != RED_STATIC_EXTERNAL
    assert result.drops == {"not-syn": 1}


def test_flows_follow_a_route_to_another_vtep(config):
    def move(new):
        new["vteps"].append({"address": "172.30.0.13", "mac": "02:00:00:00:00:13"})
        vpc_of(new, "red")["routes"][0].update(vtep="172.30.0.13", mac="02:00:00:01:00:13")

    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    before = capture.outside(udp(X, 53, *nat))
    capture.wait(1).reload(changed(config, move))
    after = capture.outside(udp(X, 53, *nat))
    result = capture.run(THOROUGH)
    old, new = result.into("red", before, destination=(RED, 1000)), result.into("red", after, destination=(RED, 1000))
    assert old.raw[:6] == bytes.fromhex("020000000011") and new.raw[:6] == bytes.fromhex("020000000013")
    assert old.raw[50:56] == bytes.fromhex("020000010011") and new.raw[50:56] == bytes.fromhex("020000010013")
    assert result.flow(protocol="udp")["forward"]["packets"] == 1
    assert result.flow(protocol="udp")["reverse"]["packets"] == 2


def test_a_shorter_timeout_counts_for_living_flows(config):
    capture = Replay(config)
    first = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(first).ip.source
    capture.wait(1).reload(changed(config, lambda new: new["nat"]["timeouts"].update(udp=10)))
    late = capture.at(12).outside(udp(X, 53, *nat))
    result = capture.run(THOROUGH)
    result.none(late)
    assert result.drops == {"no-binding": 1}


def test_what_cannot_change_in_a_running_gateway_is_refused_with_its_path(config, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(config))
    new = copy.deepcopy(config)
    new["nat"].update(maxSessions=7, mapping="address-and-port-dependent")
    new["ports"]["external"]["mtu"] = 1400
    new["underlay"]["vtep"] = "172.30.0.9"
    (tmp_path / "new.json").write_text(json.dumps(new))
    result = sluice("replay", "--config", tmp_path / "old.json", "--in", "external=/dev/null", "--reload", f"1={tmp_path / 'new.json'}")
    assert result.returncode == 1
    for path in ("/nat/maxSessions", "/nat/mapping", "/ports/external/mtu", "/underlay"):
        assert f"{path}: cannot change while the gateway runs" in result.stderr


@pytest.mark.parametrize("text", ["x", "1", "1=", "=f", "-1=f", "1.0000000001=f"])
def test_a_reload_that_is_no_time_and_file_is_a_usage_error(text):
    assert sluice("replay", "--config", "x.json", "--in", "external=x", "--reload", text).returncode == 2
