"""A part of these tests with gateways of two and of four shards; all of them run with SLUICE_SHARDS (README.md)."""

import inspect

import pytest

import harness
import test_bypass_and_other_protocols as others
import test_filtering as filtering
import test_fragments as fragments
import test_hairpin as hairpin
import test_hairpin_between_vpcs as between_vpcs
import test_limits as limits
import test_ports_and_pools as pools
import test_reconfiguration as reconfiguration
from frames import example_config
from traffic import X, udp

# (shards, test, its parameters): packets that meet in another shard than they came to, and what shards share. test/model has the rest of it.
PART = [
    (4, hairpin.test_fragments_are_hairpinned, {"order": (1, 0)}),
    (2, between_vpcs.test_servers_of_two_vpcs_meet_at_their_static_addresses_in_every_protocol, {}),
    (2, fragments.test_fragments_in_any_order_arrive_as_the_packet_that_was_sent, {"order": (2, 0, 1)}),
    (4, fragments.test_fragments_with_the_same_identification_from_different_hosts_and_vpcs_do_not_mix, {}),
    (4, others.test_a_protocol_without_ports_passes_both_ways_by_its_addresses, {"protocol": 47}),
    (2, limits.test_a_full_session_table_refuses_new_flows_and_keeps_the_old, {}),
    (4, pools.test_exhaustion_gives_no_duplicate_and_harms_no_session, {}),
    (2, pools.test_ports_of_one_host_come_from_its_block, {}),
    (2, reconfiguration.test_a_static_binding_over_a_live_dynamic_flow_lets_it_go_on_and_owns_the_port_after, {}),
    (4, reconfiguration.test_a_pool_that_grows_again_gives_out_what_it_has_and_nothing_twice, {}),
    (4, reconfiguration.test_a_removed_vpc_ends_its_flows_and_no_other, {}),
    (2, filtering.test_an_unsolicited_syn_that_filtering_refuses_is_answered_after_six_seconds_of_silence, {}),
]


@pytest.mark.parametrize("shards, test, parameters", PART, ids=[f"{shards} {test.__name__}" for shards, test, _ in PART])
def test_shards_do_what_one_gateway_does(monkeypatch, shards, test, parameters):
    monkeypatch.setattr(harness, "SHARDS", shards)
    config = {"config": example_config()} if "config" in inspect.signature(test).parameters else {}
    test(**config, **parameters)


def test_shards_have_the_nics_rules_together(monkeypatch):
    # gateway.md `offload.maxRules`: of the NIC, not of each shard.
    monkeypatch.setattr(harness, "SHARDS", 4)
    config = example_config()
    config["offload"]["maxRules"] = 6
    capture = harness.Replay(config)
    for host in range(20, 32):
        capture.inside("red", udp(f"10.0.1.{host}", 1000, X, 53))
    flows = capture.run().flows
    offloaded = [flow[way]["path"] for flow in flows for way in ("forward", "reverse")].count("offloaded")
    assert (len(flows), offloaded) == (12, 6)


def test_several_shards_refuse_what_they_cannot_do_each_at_its_place(tmp_path):
    config = example_config()
    config["nat"] |= {"mapping": "address-and-port-dependent", "log": "blocks"}
    (tmp_path / "gateway.json").write_text(harness.json.dumps(config))
    harness.write_pcap(tmp_path / "in.pcap", [])
    arguments = ["replay", "--config", tmp_path / "gateway.json", "--in", f"fabric={tmp_path / 'in.pcap'}", "--shards", 2]
    result = harness.sluice(*arguments)
    assert result.returncode == 1 and result.stdout == ""
    lines = harness.message_lines(result.stderr)
    for place in ["/nat/mapping", "/nat/log", *(f"/{part}" for part in ("mirror", "ha") if part in config)]:
        assert sum(place in line for line in lines) == 1, f"{place} in {lines}"
    result = harness.sluice(*arguments, "--shards", 17)
    assert result.returncode == 2 and "--shards" in result.stderr, f"{result.returncode} {result.stderr}"
