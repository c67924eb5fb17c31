"""flow_commands.txt under Debian's dpdk-testpmd: each command must be answered as the script says."""

import pathlib

import pytest

from testpmd import DRIVER, Testpmd, answers

SCRIPT = pathlib.Path(__file__).with_name("flow_commands.txt")
MINIMUM = 150  # commands: a script that was cut short is no pass


def read_script():
    """(line number, command, what its answer has in this order, what it has nowhere); "flow V" makes two of one."""
    cases = []
    for number, line in enumerate(SCRIPT.read_text(encoding="utf-8").splitlines(), 1):
        mark, text = line[:1], line[2:]
        if mark == ">":
            verbs = ["validate", "create"] if text.startswith("flow V ") else [None]
            commands = [text if verb is None else text.replace("flow V ", f"flow {verb} ", 1) for verb in verbs]
            has, lacks = [], []
            cases += [(number, command, has, lacks) for command in commands]
        elif mark == "=":
            assert text.strip(), f"line {number}: an empty expectation says nothing"
            has.append(text)
        elif mark == "~":
            lacks.append(text)
        else:
            assert mark in ("", "#"), f"line {number}: {line}"
    return cases


def wrong_with(answer, has, lacks):
    at = 0
    for text in has:
        found = answer.find(text, at)
        if found < 0:
            return f"lacks {text!r}"
        at = found + len(text)
    return next((f"has {text!r}" for text in lacks if text in answer), None)


@pytest.mark.skipif(not DRIVER.exists(), reason="the driver is not built")
def test_testpmd_is_answered_as_the_script_says(tmp_path):
    pytest.importorskip("scapy.all")
    cases = read_script()
    assert len(cases) >= MINIMUM
    run = Testpmd(tmp_path, [[], []], extra=["--rxq=2", "--txq=2"])
    said = answers(run.run([command for _, command, _, _ in cases]))
    assert [command for command, _ in said[: len(cases)]] == [command for _, command, _, _ in cases]
    failures = []
    for (number, command, has, lacks), (_, answer) in zip(cases, said):
        wrong = wrong_with(answer, has, lacks)
        if wrong is not None:
            failures.append(f"line {number}: {command}\n  {wrong} in: {answer.strip()}")
    assert not failures, "\n".join(failures)
