"""One network of a pair for the whole run; gateways and Redis come and go in it."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))

from net import Lab, leftovers, missing_here  # noqa: E402
from pair import Member, PairNetwork  # noqa: E402
from sessions import Sessions  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: not part of ./check; SLUICE_HA=all runs it")


def pytest_collection_modifyitems(config, items):
    """`./check` has room for the faults that matter most; all of them take minutes."""
    if os.environ.get("SLUICE_HA") == "all":
        return
    asked = [item for item in items if item.get_closest_marker("long") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in asked])
    items[:] = asked


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    reason = missing_here()
    if reason:
        give_up = pytest.fail if os.environ.get("CI") and os.geteuid() == 0 else pytest.skip
        give_up(f"tests of a pair cannot run here: {reason}")
    with Lab(tmp_path_factory.mktemp("processes")) as made:
        yield made
    assert leftovers() == []


@pytest.fixture(scope="session")
def network(lab):
    return PairNetwork(lab)


@pytest.fixture
def redis(network, tmp_path):
    server = network.redis(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def member(network, redis, tmp_path):
    """Starts gateways that end with the test."""
    started = []

    def begin(node, command="gateway", settings=None, start=True, **changes):
        made = Member(network, node, tmp_path, command, settings, **changes)
        started.append(made)
        return made.start() if start else made

    yield begin
    for one in started:
        one.kill()
    network.mend_all()


@pytest.fixture
def pair(member):
    """An active gateway a and an eligible standby b."""
    active = member("a")
    active.wait_until_active()
    standby = member("b", "standby")
    standby.wait_until_eligible()
    return active, standby


@pytest.fixture(autouse=True)
def no_socket_outlives_its_test(lab):
    yield
    lab.close_resources()


@pytest.fixture
def many(network):
    """Opens many sessions, which end with the test."""
    made = []

    def begin(count, wait=True):
        made.append(Sessions(network, count, wait))
        return made[-1]

    yield begin
    for sessions in made:
        sessions.close()
