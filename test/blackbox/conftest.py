"""Options of the black-box suite."""

import pytest

from frames import example_config


@pytest.fixture
def config():
    """A fresh copy of the contract's example, for the test to change."""
    return example_config()
