"""schemas/targets/softflow.json against the driver: what the table lists is taken, what it does not is refused.

The table speaks of what the compiler asks for; each of its words has testpmd's here, and a word without one fails.
"""

import json

import pytest

from testpmd import DRIVER, REPOSITORY, Testpmd, answers

TABLE = json.loads((REPOSITORY / "schemas" / "targets" / "softflow.json").read_text(encoding="utf-8"))
pytestmark = pytest.mark.skipif(not DRIVER.exists(), reason="the driver is not built")

STACK = {
    "represented-port": "represented_port{} / eth", "eth": "eth{}", "vlan": "eth / vlan{}", "ipv4": "eth / ipv4{}",
    "ipv6": "eth / ipv6{}", "udp": "eth / ipv4 / udp{}", "tcp": "eth / ipv4 / tcp{}", "icmp": "eth / ipv4 / icmp{}",
    "vxlan": "eth / ipv4 / udp / vxlan{}", "integrity": "eth / ipv4 / integrity level is 0 value mask 0x20 value spec 0x20",
}

# testpmd's word for the field, then spec, last and mask of a value that is not whole.
FIELDS = {
    ("eth", "source"): ("src", "02:00:00:00:00:01", "02:00:00:00:00:09", "ff:ff:ff:00:00:00"),
    ("eth", "destination"): ("dst", "02:00:00:00:00:01", "02:00:00:00:00:09", "ff:ff:ff:00:00:00"),
    ("eth", "etherType"): ("type", "0x0800", "0x0806", "0xff00"),
    ("vlan", "vid"): ("vid", "5", "9", "0x00f"),
    ("ipv4", "source"): ("src", "10.0.0.1", "10.0.0.9", "255.255.255.0"),
    ("ipv4", "destination"): ("dst", "10.0.0.1", "10.0.0.9", "255.255.255.0"),
    ("ipv4", "protocol"): ("proto", "6", "17", "0x0f"),
    ("ipv4", "ttl"): ("ttl", "1", "9", "0xfe"),
    ("ipv4", "fragmentOffset"): ("fragment_offset", "1", "9", "0x1fff"),
    ("ipv4", "versionIhl"): ("version_ihl", "0x45", "0x4f", "0x0f"),
    ("udp", "source"): ("src", "1", "9", "0xff00"),
    ("udp", "destination"): ("dst", "1", "9", "0xff00"),
    ("tcp", "source"): ("src", "1", "9", "0xff00"),
    ("tcp", "destination"): ("dst", "1", "9", "0xff00"),
    ("tcp", "flags"): ("flags", "1", "9", "0x02"),
    ("icmp", "icmpType"): ("type", "0", "8", "0x08"),
    ("icmp", "icmpCode"): ("code", "1", "9", "0x03"),
    ("icmp", "identifier"): ("ident", "1", "9", "0xff00"),
    ("vxlan", "vni"): ("vni", "1", "9", "0xffff00"),
}

MODIFY = "modify_field op {} dst_type {} dst_level 1 dst_offset 0 src_type value src_value 01020304 width {}"
TUNNEL = "eth / ipv4 / udp / vxlan / eth / ipv4"

# Of each form that the compiler knows: pattern and actions.
FORMS = {
    ("pop-vxlan", "vxlan-decap"): (TUNNEL, "vxlan_decap"),
    ("pop-vxlan", "raw-decap"): (TUNNEL, "raw_decap index 1"),
    ("push-vxlan", "vxlan-encap"): ("eth / ipv4", "vxlan_encap"),
    ("push-vxlan", "raw-encap"): ("eth / ipv4", "raw_encap index 1"),
    ("set-vni", "modify-field"): (TUNNEL, MODIFY.format("set", "vxlan_vni", 24)),
    ("pop-vlan", "of-pop-vlan"): ("eth / vlan", "of_pop_vlan"),
    ("push-vlan", "of-push-vlan"): ("eth / ipv4", "of_push_vlan ethertype 0x8100 / of_set_vlan_vid vlan_vid 5"),
    ("set-ethernet", "set-mac"): ("eth", "set_mac_src mac_addr 02:00:00:00:00:01 / set_mac_dst mac_addr 02:00:00:00:00:02"),
    ("set-ethernet", "modify-field"): ("eth", MODIFY.format("set", "mac_src", 48) + " / " + MODIFY.format("set", "mac_dst", 48)),
    ("set-ipv4", "set-ipv4"): ("eth / ipv4", "set_ipv4_src ipv4_addr 1.2.3.4 / set_ipv4_dst ipv4_addr 1.2.3.4"),
    ("set-ipv4", "modify-field"): ("eth / ipv4", MODIFY.format("set", "ipv4_src", 32) + " / " + MODIFY.format("set", "ipv4_dst", 32)),
    ("set-l4", "set-tp"): ("eth / ipv4 / tcp", "set_tp_src port 1 / set_tp_dst port 2"),
    ("set-l4", "modify-field"): ("eth / ipv4 / tcp", MODIFY.format("set", "tcp_port_src", 16) + " / " + MODIFY.format("set", "tcp_port_dst", 16)),
    ("decrement-ttl", "dec-ttl"): ("eth / ipv4", "dec_ttl"),
    ("decrement-ttl", "modify-add"): ("eth / ipv4", MODIFY.format("add", "ipv4_ttl", 8)),
    ("decrement-ttl", "modify-sub"): ("eth / ipv4", MODIFY.format("sub", "ipv4_ttl", 8)),
    ("count", "count"): ("eth", "count"),
    ("age", "age"): ("eth", "age timeout 5"),
    ("mark", "mark"): ("eth", "mark id 5"),
    ("output", "represented-port"): ("eth", "represented_port ethdev_port_id 2"),
    ("output", "port-id"): ("eth", "port_id id 2"),
    ("punt", "port-representor"): ("eth", "port_representor port_id 0"),
    ("punt", "queue"): ("eth", "queue index 0"),
    ("drop", "drop"): ("eth", "drop"),
    ("jump", "jump"): ("eth", "jump group 1"),
}
IMPLIED = {("checksum", "implied")}  # no action of its own; checked wherever packets are
FATES = {"output", "punt", "drop", "jump"}

PREPARATION = [
    "set raw_encap 1 eth src is 02:00:00:00:00:01 dst is 02:00:00:00:00:02 / ipv4 src is 1.1.1.1 dst is 2.2.2.2 / udp dst is 4789 / vxlan vni is 2 / end_set",
    "set raw_decap 1 eth / ipv4 / udp / vxlan / end_set",
]


def with_field(item, field, kind):
    word, spec, last, mask = FIELDS[item, field]
    text = {
        "exact": f" {word} is {spec}",
        "mask": f" {word} spec {spec} {word} mask {mask}",
        "range": f" {word} spec {spec} {word} last {last}" + f" {word} mask {whole(spec)}",
    }[kind]
    return STACK[item].format(text)


def whole(spec):
    if ":" in spec:
        return "ff:ff:ff:ff:ff:ff"
    return "255.255.255.255" if "." in spec else "0xff"


def validated(tmp_path, rules):
    """Which of the rules (pattern, actions) testpmd says are valid."""
    commands = [f"flow validate 0 transfer pattern {pattern} / end actions {actions} / end" for pattern, actions in rules]
    said = answers(Testpmd(tmp_path, [[], []]).run([*PREPARATION, *commands]))[len(PREPARATION):]
    for (command, text), wanted in zip(said, commands):
        assert command == wanted
        assert ("Flow rule validated" in text) != ("Caught" in text), (command, text)
    return ["Flow rule validated" in text for _, text in said[: len(commands)]]


def test_every_item_and_field_of_the_table_is_taken_and_no_other(tmp_path):
    cases, listed = [], []
    for item, description in TABLE["items"].items():
        cases.append(STACK[item].format(""))
        listed.append(True)
        assert set(description["fields"]) == {field for of, field in FIELDS if of == item}, item
    for item, field in FIELDS:
        for kind in ("exact", "mask", "range"):
            cases.append(with_field(item, field, kind))
            listed.append(kind in TABLE["items"][item]["fields"][field])
    assert validated(tmp_path, [(pattern, "drop") for pattern in cases]) == listed


def test_every_form_of_an_action_in_the_table_is_taken_and_no_other(tmp_path):
    told = {(action, form) for action, of in TABLE["actions"].items() for form in of["forms"]}
    assert told <= set(FORMS) | IMPLIED
    cases = [
        (pattern, actions if action in FATES else f"{actions} / drop") for (action, _), (pattern, actions) in FORMS.items()
    ]
    assert validated(tmp_path, cases) == [form in told for form in FORMS]
