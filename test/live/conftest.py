"""One network for the whole run; gateways come and go in it."""

import os

import pytest

from net import Lab, leftovers, missing_here
from topology import Gateway, Network, configuration


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    reason = missing_here()
    if reason:
        # Continuous integration runs as root on machines that have namespaces: there nothing may be left out in silence.
        give_up = pytest.fail if os.environ.get("CI") and os.geteuid() == 0 else pytest.skip
        give_up(f"live tests cannot run here: {reason}")
    with Lab(tmp_path_factory.mktemp("processes")) as made:
        yield made
    assert leftovers() == []


@pytest.fixture(scope="session")
def network(lab):
    return Network(lab)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration whose control socket is this module's own."""
    return configuration(tmp_path_factory.mktemp("control") / "gw.sock")


@pytest.fixture
def start(network, tmp_path):
    """Starts gateways that end with the test."""
    started = []

    def begin(config, wait=True):
        gateway = Gateway(network, config, tmp_path)
        started.append(gateway)
        return gateway.wait_until_it_runs() if wait else gateway

    yield begin
    for gateway in started:
        gateway.kill()


@pytest.fixture(autouse=True)
def no_socket_outlives_its_test(lab):
    yield
    lab.close_resources()
