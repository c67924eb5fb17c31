"""`sluice replay` as a command (DESIGN.md §3, "Commands"): its inputs, its outputs, its exits."""

import copy
import json
import struct

import pytest
from scapy.layers.l2 import ARP, Ether

from captures import read_pcap, write_pcap, write_pcapng
from frames import BROADCAST, frame_from_outside, frame_from_vpc
from harness import THOROUGH, Replay, execute, message_lines, shard_options, sluice
from traffic import POOL, RED, RED_STATIC, RED_STATIC_EXTERNAL, X, outbound, tcp, udp


@pytest.fixture
def files(config, tmp_path):
    """A folder with a configuration and a capture for each port, and the arguments that name them."""
    (tmp_path / "gateway.json").write_text(json.dumps(config))
    write_pcap(tmp_path / "fabric.pcap", [(0, frame_from_vpc(config, "red", udp(RED, 1000, X, 53))), (1000, frame_from_vpc(config, "red", udp(RED, 1000, X, 53, b"two")))])
    write_pcap(tmp_path / "external.pcap", [(500, frame_from_outside(config, udp(X, 1, RED_STATIC_EXTERNAL, 53)))])
    return tmp_path


def replay_arguments(folder, fabric="fabric.pcap", external="external.pcap", config="gateway.json"):
    return [
        "replay", "--config", folder / config,
        "--in", f"fabric={folder / fabric}", "--in", f"external={folder / external}",
        "--out", f"fabric={folder / 'fabric-out.pcap'}", "--out", f"external={folder / 'external-out.pcap'}",
        "--flows", folder / "flows.json", "--counters", folder / "counters.json",
    ]  # fmt: skip


def assert_refused(result, *mentions, code=1):
    """One clear line on stderr, none on stdout that claims success, no trace of the program's inside."""
    assert result.returncode == code, f"exit {result.returncode}\n{result.stderr}"
    lines = message_lines(result.stderr)
    assert len(lines) == 1, result.stderr
    for mention in mentions:
        assert str(mention) in lines[0], lines[0]
    assert "    at " not in result.stderr


def test_results_depend_neither_on_offload_nor_on_burst(config):
    # DESIGN.md §3: the result does not depend on `--offload` or `--burst`.
    capture = Replay(config)
    one = outbound(capture).open()
    for number in range(40):
        one.from_b("PA", bytes([number]) * 20)
        one.from_a("A")
        capture.inside("red", udp(RED, 1000 + number % 7, X, 53))
        capture.outside(udp(X, number, RED_STATIC_EXTERNAL, 53))
    one.close()
    capture.run(THOROUGH + (("after:1", 1), ("after:10", 7), ("immediate", 64), ("never", 256), (None, None)))


def test_captures_are_merged_by_time(config):
    # DESIGN.md §3: inputs are merged by timestamp. The answer comes right after its question, and would have no binding before it.
    capture = Replay(config)
    out = capture.at(1).inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    back = capture.at(1.000001).outside(udp(X, 53, *nat))
    result = capture.run()
    result.into("red", back, destination=(RED, 1000))

    early = Replay(config)
    early.at(0.999999).outside(udp(X, 53, *nat))
    late = early.at(1).inside("red", udp(RED, 1000, X, 53))
    result = early.run()
    assert result.drops == {"no-binding": 1} and result.one(late).ip.source == nat


@pytest.mark.parametrize("first", ["fabric", "external"])
def test_packets_of_one_time_are_taken_in_command_line_order(config, tmp_path, first):
    # DESIGN.md §3: ties in command-line order.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53))
    nat = capture.peek().one(out).ip.source
    (tmp_path / "gateway.json").write_text(json.dumps(config))
    write_pcap(tmp_path / "fabric.pcap", [(0, out.frame)])
    write_pcap(tmp_path / "external.pcap", [(0, frame_from_outside(config, udp(X, 53, *nat)))])
    order = [first, "external" if first == "fabric" else "fabric"]
    arguments = ["replay", "--config", tmp_path / "gateway.json"]
    for name in order:
        arguments += ["--in", f"{name}={tmp_path / name}.pcap"]
    arguments += ["--out", f"external={tmp_path / 'e.pcap'}", "--out", f"fabric={tmp_path / 'f.pcap'}", "--counters", tmp_path / "c.json"]
    for mode in ("immediate", "never"):
        result = sluice(*arguments, "--offload", mode, *shard_options())
        assert result.returncode == 0, result.stderr
        counters = json.loads((tmp_path / "c.json").read_text())
        assert len(read_pcap(tmp_path / "e.pcap")) == 1
        assert len(read_pcap(tmp_path / "f.pcap")) == (1 if first == "fabric" else 0)
        assert counters["drops"].get("no-binding", 0) == (0 if first == "fabric" else 1)


def test_outputs_are_classic_captures_stamped_with_the_time_of_their_cause(config):
    # DESIGN.md §3: `--out` (classic pcap, Ethernet, µs) gets what was transmitted on the port, stamped with the time of the packet that
    # caused it. read_pcap refuses anything but that format.
    capture = Replay(config)
    times = [0, 0.000001, 0.5, 0.999999, 1.0, 59.123456]
    sent = [capture.at(seconds).inside("red", udp(RED, 1000, X, 53)) for seconds in times]
    result = capture.run(THOROUGH)
    assert [seen.micros for seen in result.external] == [packet.micros for packet in sent]
    assert result.captures["external"][:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4")


@pytest.mark.parametrize("form", ["pcapng", "big-endian", "nanoseconds"])
def test_other_forms_of_capture_are_read_alike(config, files, form):
    # DESIGN.md §3: inputs (pcap or pcapng, Ethernet).
    assert sluice(*replay_arguments(files)).returncode == 0
    wanted = [(files / name).read_bytes() for name in ("fabric-out.pcap", "external-out.pcap", "counters.json", "flows.json")]
    write = {
        "pcapng": write_pcapng,
        "big-endian": lambda path, records: write_pcap(path, records, ">"),
        "nanoseconds": lambda path, records: write_pcap(path, records, magic=0xA1B23C4D),
    }[form]
    for name in ("fabric.pcap", "external.pcap"):
        write(files / name, read_pcap(files / name))
    result = sluice(*replay_arguments(files))
    assert result.returncode == 0, result.stderr
    assert [(files / name).read_bytes() for name in ("fabric-out.pcap", "external-out.pcap", "counters.json", "flows.json")] == wanted


@pytest.mark.parametrize("mode", ["immediate", "never"])
def test_where_a_captures_times_go_backwards_the_clock_stands_still(config, files, mode):
    # `sluice replay --help`. A session of 300 s that begins at 1000 s is alive at 1299 s, whatever a packet between them says.
    times = [1000, 5, 1299, 1298]
    write_pcap(files / "fabric.pcap", [(seconds * 1_000_000, frame_from_vpc(config, "red", udp(RED, 1000, X, 53, bytes([i])))) for i, seconds in enumerate(times)])
    write_pcap(files / "external.pcap", [])
    assert sluice(*replay_arguments(files), "--offload", mode).returncode == 0
    first = read_pcap(files / "fabric.pcap")
    sent = read_pcap(files / "external-out.pcap")
    assert [micros for micros, _ in sent] == [micros for micros, _ in first]
    assert [frame[-1] for _, frame in sent] == [0, 1, 2, 3]
    flow, = json.loads((files / "flows.json").read_text())
    assert (flow["forward"]["packets"], flow["ageMs"], flow["idleMs"]) == (4, 299_000, 0)


def test_the_same_replay_twice_gives_the_same_files(files):
    # DESIGN.md §3 "offline and deterministic".
    written = []
    for _ in range(2):
        assert sluice(*replay_arguments(files)).returncode == 0
        written.append([(files / name).read_bytes() for name in ("fabric-out.pcap", "external-out.pcap", "counters.json", "flows.json")])
    assert written[0] == written[1]


@pytest.mark.parametrize("cut", [1, 30, 105])
def test_of_a_cut_off_capture_what_is_whole_is_replayed_and_then_it_fails(config, files, cut):
    # DESIGN.md §3: a cut-off capture: what is whole is replayed, then exit 1.
    whole = (files / "fabric.pcap").read_bytes()
    (files / "fabric.pcap").write_bytes(whole[:-cut])
    result = sluice(*replay_arguments(files))
    assert_refused(result, "fabric.pcap")
    external, fabric = read_pcap(files / "external-out.pcap"), read_pcap(files / "fabric-out.pcap")
    # The last of two packets is cut (with cut 105 its record header too); the first passed, and so did the other capture's.
    assert (len(external), len(fabric)) == (1, 1)
    counters = json.loads((files / "counters.json").read_text())
    assert counters["ports"]["fabric"] == {"received": 1, "transmitted": 1}
    assert len(json.loads((files / "flows.json").read_text())) == 2


def test_a_capture_cut_off_in_its_file_header_fails(files):
    # DESIGN.md §3, issue 2 "a capture that is not one … one clear line, exit 1".
    (files / "fabric.pcap").write_bytes((files / "fabric.pcap").read_bytes()[:20])
    assert_refused(sluice(*replay_arguments(files)), "fabric.pcap")


@pytest.mark.parametrize(
    "content", [b"", b"not a capture at all, but long enough to have a header", b"\x7fELF" + bytes(100), bytes(1000)], ids=["empty", "text", "elf", "zeros"]
)
def test_a_file_that_is_no_capture_is_refused_with_one_line(files, content):
    # issue 2: a capture that is not one: one clear line, exit 1.
    (files / "external.pcap").write_bytes(content)
    assert_refused(sluice(*replay_arguments(files)), "external.pcap")


def test_a_capture_of_another_link_type_is_refused(files):
    # DESIGN.md §3: inputs (pcap or pcapng, Ethernet).
    write_pcap(files / "external.pcap", [(0, bytes(udp(X, 1, RED_STATIC_EXTERNAL, 53)))], link_type=101)
    assert_refused(sluice(*replay_arguments(files)), "external.pcap")


def test_a_record_longer_than_any_frame_does_not_crash(files):
    # DESIGN.md §4 invariant 6: bad input (capture) never crashes the process. The rest of such a file cannot be trusted: exit 1.
    data = (files / "external.pcap").read_bytes()[:24] + struct.pack("<IIII", 1_700_000_000, 0, 0x7FFFFFFF, 0x7FFFFFFF) + bytes(100)
    (files / "external.pcap").write_bytes(data)
    assert_refused(sluice(*replay_arguments(files)), "external.pcap")


def test_missing_files_are_refused_with_one_line(files):
    # issue 2: a missing file: one clear line, exit 1.
    assert_refused(sluice(*replay_arguments(files, fabric="nowhere.pcap")), "nowhere.pcap")
    assert_refused(sluice(*replay_arguments(files, config="nowhere.json")), "nowhere.json")


def test_an_output_that_cannot_be_written_is_refused_with_one_line(files):
    # DESIGN.md §3: one clear message per fault.
    arguments = replay_arguments(files)
    arguments[arguments.index("--flows") + 1] = files / "no such folder" / "flows.json"
    assert_refused(sluice(*arguments), "no such folder")


def test_a_bad_configuration_is_refused_with_every_fault_at_its_path(config, files):
    # gateway.md: an unknown field, a bad value or a contradiction is refused, all faults at once, each with its path; fault paths are JSON
    # Pointers. DESIGN.md §3: exit 1 with one clear message per fault (path, what, hint).
    config["nat"]["colour"] = "red"
    config["vpcs"][1]["vni"] = 1 << 24
    config["ports"]["external"]["address"] = "203.0.113.300/24"
    (files / "gateway.json").write_text(json.dumps(config))
    result = sluice(*replay_arguments(files))
    assert result.returncode == 1
    for pointer in ("/nat/colour", "/vpcs/1/vni", "/ports/external/address"):
        # An unknown field may be told at its own path or at its parent's with its name.
        assert pointer in result.stderr or (pointer == "/nat/colour" and "/nat" in result.stderr and "colour" in result.stderr), result.stderr
    assert not (files / "external-out.pcap").exists() or (files / "external-out.pcap").stat().st_size <= 24


@pytest.mark.parametrize("text", ["", "{", "[]", '"gateway"', "\x00\x01"])
def test_a_configuration_that_is_no_json_object_is_refused(files, text):
    # DESIGN.md §3: exit 1 on a refused input.
    (files / "gateway.json").write_text(text)
    result = sluice(*replay_arguments(files))
    assert result.returncode == 1 and message_lines(result.stderr) and "    at " not in result.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:1] + a[3:],
        lambda a: a + ["--offload", "sometimes"],
        lambda a: a + ["--offload", "after:"],
        lambda a: a + ["--offload", "after:-1"],
        lambda a: a + ["--burst", "0"],
        lambda a: a + ["--burst", "many"],
        lambda a: a + ["--speed", "9"],
        lambda a: a + ["--in", "fabric"],
        lambda a: a[:3] + a[7:],
    ],
    ids=["no config", "offload mode", "after nothing", "after -1", "burst 0", "burst word", "unknown option", "port without file", "no input"],
)
def test_wrong_usage_is_exit_2(files, change):
    # DESIGN.md §3: 2 on a usage error.
    result = sluice(*change(replay_arguments(files)))
    assert result.returncode == 2, f"exit {result.returncode}: {result.stderr}"
    assert result.stderr.strip() and "    at " not in result.stderr


@pytest.mark.parametrize(
    "option, name, as_file",
    [
        ("--out", "external=b.pcap", None),
        ("--out", "fabric=other.pcap", None),
        ("--out", "external=fabric.pcap", None),
        ("--out", "external=gateway.json", None),
        ("--out", "external=link.pcap", "symlink"),
        ("--out", "external=link.pcap", "hardlink"),
        ("--out", "external=late.pcap", "dangling"),
        ("--out", "external=./folder/../b.pcap", None),
        ("--flows", "b.pcap", None),
        ("--counters", "flows.json", None),
        ("--reload", "1=flows.json", None),
    ],
)
def test_one_file_for_two_things_is_wrong_usage_and_nothing_is_touched(files, option, name, as_file):
    # DESIGN.md §3: 2 on a usage error. A capture must not be destroyed by its own replay, nor one output by another.
    (files / "folder").mkdir()
    if as_file == "symlink":
        (files / "link.pcap").symlink_to(files / "fabric.pcap")
    elif as_file == "hardlink":
        (files / "link.pcap").hardlink_to(files / "fabric.pcap")
    elif as_file == "dangling":
        (files / "late.pcap").symlink_to("b.pcap")
    before = {path: path.read_bytes() for path in files.iterdir() if path.is_file()}
    base = ["replay", "--config", "gateway.json", "--in", "fabric=fabric.pcap", "--out", "fabric=b.pcap", "--flows", "flows.json"]
    base = base[:-2] if option == "--flows" else base
    result = sluice(*base, option, name, cwd=files)
    assert_refused(result, f"{option} ", name.split("=")[-1], code=2)
    assert {path: path.read_bytes() for path in files.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "change, place",
    [
        (lambda a: a[:3] + ["--in", "fabric=absent.pcap"], "--in fabric=absent.pcap: "),
        (lambda a: a[:3] + ["--in", "fabric=noise.pcap"], "--in fabric=noise.pcap: "),
        (lambda a: a[:3] + ["--in", "fabric=fabric.pcap", "--out", "external=no/out.pcap"], "--out external=no/out.pcap: "),
        (lambda a: a[:3] + ["--in", "fabric=fabric.pcap", "--counters", "no/c.json"], "--counters no/c.json: "),
    ],
    ids=["no capture", "no capture's format", "no folder of a capture", "no folder of counters"],
)
def test_what_cannot_be_opened_is_told_with_its_option_and_a_remedy(files, change, place):
    # DESIGN.md §3: 1 on a refused input with one clear message per fault (path, what, hint).
    (files / "noise.pcap").write_bytes(b"no capture at all, but some bytes")
    result = sluice(*change(["replay", "--config", "gateway.json"]), cwd=files)
    assert_refused(result, place)
    line = message_lines(result.stderr)[0]
    assert line.startswith(place) and line.endswith(")") and " (a " in line, line


def test_what_keeps_nothing_may_be_named_twice_and_one_configuration_may_return(files):
    # /dev/null takes any number of outputs; a reload may name the configuration that the replay began with.
    result = sluice(*["replay", "--config", "gateway.json", "--in", "fabric=fabric.pcap", "--reload", "1=gateway.json"], *["--flows", "/dev/null", "--counters", "/dev/null"], cwd=files)
    assert result.returncode == 0, result.stderr


def test_several_captures_of_one_port_are_merged_by_time(files):
    # DESIGN.md §3: inputs are merged by timestamp, ties in command-line order.
    base = ["replay", "--config", "gateway.json", "--in", "fabric=fabric.pcap", "--in", "external=external.pcap"]
    once = sluice(*base, "--counters", "once.json", cwd=files)
    twice = sluice(*base, "--in", "fabric=fabric.pcap", "--counters", "twice.json", cwd=files)
    assert (once.returncode, twice.returncode) == (0, 0), once.stderr + twice.stderr
    received = [json.loads((files / name).read_text())["ports"] for name in ("once.json", "twice.json")]
    assert received[1]["fabric"]["received"] == 2 * received[0]["fabric"]["received"] > 0
    assert received[1]["external"]["received"] == received[0]["external"]["received"]


def test_a_member_of_a_pair_lives_in_its_virtual_mac_after_a_reload_too(config):
    # contract/gateway.md: `ha.virtualMac` is the MAC that the active gateway answers with; DESIGN.md §3: replay is the whole gateway.
    virtual = "02:00:00:00:aa:01"
    named, paired = copy.deepcopy(config), copy.deepcopy(config)
    named["underlay"]["mac"] = named["ports"]["external"]["mac"] = virtual
    paired["ha"] = {"virtualMac": virtual}
    results = []
    for own in (named, paired):
        capture = Replay(own)
        for _ in range(2):
            asks = Ether(src="02:00:00:00:e0:fe", dst=BROADCAST) / ARP(op=1, hwsrc="02:00:00:00:e0:fe", psrc="203.0.113.254", pdst="203.0.113.1")
            capture.frame("external", asks)
            capture.frame("fabric", frame_from_vpc(named, "red", udp(RED, 1000, X, 53)))
            capture.frame("external", frame_from_outside(named, udp(X, 1, RED_STATIC_EXTERNAL, 53)))
            capture.frame("external", frame_from_outside(config, udp(X, 2, RED_STATIC_EXTERNAL, 53)))
            later = copy.deepcopy(own)
            later["vpcs"][0]["limits"] = {"sessions": 1000}
            capture.reload(later)
        result = execute(own, capture.packets, "immediate", reloads=capture.reloads)
        assert result.drops == {"local": 2, "not-for-us": 2}, result.drops
        results.append((result.captures, result.flows))
    assert results[0] == results[1]


def test_a_port_that_the_configuration_does_not_have_is_refused(files):
    # DESIGN.md §3 `--in PORT=PCAP`. Whether that is wrong usage (2) or refused input (1) is not said.
    result = sluice(*[str(a).replace("external=", "outside=") for a in replay_arguments(files)])
    assert result.returncode in (1, 2) and "outside" in result.stderr and "    at " not in result.stderr


def test_one_input_alone_is_enough_and_nothing_but_config_and_input_is_required(config, files):
    # DESIGN.md §3: `--in` is repeated, one for each port that has a capture; the rest in brackets.
    result = sluice("replay", "--config", files / "gateway.json", "--in", f"fabric={files / 'fabric.pcap'}", "--out", f"external={files / 'e.pcap'}")
    assert result.returncode == 0, result.stderr
    assert len(read_pcap(files / "e.pcap")) == 2


def test_empty_captures_give_empty_results(config):
    # DESIGN.md §3: after the last packet all is drained; here there is none.
    outcome = execute(config, [], "immediate")
    assert (outcome.seen, outcome.flows, outcome.drops) == ([], [], {})
    assert outcome.counters["ports"] == {name: {"received": 0, "transmitted": 0} for name in config["ports"]}


def test_it_runs_from_any_folder(files):
    # DESIGN.md §3: works from any folder once built.
    result = sluice(*[str(a).replace(f"{files}/", "") for a in replay_arguments(files)], cwd=files)
    assert result.returncode == 0, result.stderr
    assert len(read_pcap(files / "external-out.pcap")) == 2


def test_data_goes_to_files_and_logs_to_stderr(files):
    # DESIGN.md §3: data on stdout, logs (pino) on stderr. Whatever replay says on stdout is no log line.
    result = sluice(*replay_arguments(files))
    assert '"level"' not in result.stdout and "EAL:" not in result.stdout


def test_sequences_that_meet_a_state_in_the_making_wait_for_it(config):
    # DESIGN.md §3: packets meet the state that the capture's order gives them: a burst of one new flow is one flow, in order, with all
    # packets translated alike, and a reply within the same burst finds its mapping.
    capture = Replay(config)
    out = capture.inside("red", udp(RED, 1000, X, 53, b"0"))
    nat = capture.peek().one(out).ip.source
    more = [capture.inside("red", udp(RED, 1000, X, 53, bytes([n]))) for n in range(1, 10)]
    back = capture.outside(udp(X, 53, *nat))
    syn = capture.inside("red", tcp(RED, 1000, X, 80))
    result = capture.run(THOROUGH + (("immediate", 256), ("never", 3)))
    for sent in [out] + more:
        result.out(sent, source=nat)
    result.into("red", back, destination=(RED, 1000))
    assert result.one(syn).ip.src in POOL and RED_STATIC not in {seen.ip.dst for seen in result.seen}
