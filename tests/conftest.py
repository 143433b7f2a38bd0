"""Fixtures of the integration tests. `engine` is shared by the tests of a module; `fresh` is a test's own.

Tests of networks have the engine on a `host` of their own, which a `wire` connects with another machine, their `peer`;
such a module says so in `engine_settings`.
"""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tests.harness.engine import Engine  # noqa: E402
from tests.harness.machine import Machine  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("the integration tests need root", returncode=2)


@pytest.fixture(scope="module")
def host():
    """A machine of the module's own: its subnets and ports are nobody else's."""
    with Machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def peer():
    """Another machine."""
    with Machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def wire(host, peer):
    """From the host to the other machine, whose default route it is."""
    return host.wire(peer)


@pytest.fixture(scope="module")
def engine_settings():
    """Engine's arguments; a module has its own."""
    return {}


@pytest.fixture(scope="module")
def engine(engine_settings):
    """A running engine with the image `busybox`."""
    with Engine(**engine_settings) as running:
        running.busybox()
        yield running


@pytest.fixture
def fresh():
    """A running engine of the test's own, without images."""
    with Engine() as running:
        yield running
