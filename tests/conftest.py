"""Fixtures of the integration tests. `engine` is shared by the tests of a module; `fresh` is a test's own."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tests.harness.engine import Engine  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("the integration tests need root", returncode=2)


@pytest.fixture(scope="module")
def engine():
    """A running engine with the image `busybox`."""
    with Engine() as running:
        running.busybox()
        yield running


@pytest.fixture
def fresh():
    """A running engine of the test's own, without images."""
    with Engine() as running:
        yield running
