"""Networks of macvlan and ipvlan on what is not there yet: VLANs of the host's devices, devices that lead nowhere; and where the
kernel has no such devices, an answer that says so."""
import os
import signal

import pytest

from tests.harness.kernel import lacks_dummy, lacks_ipvlan, lacks_vlan, needs_dummy, needs_ipvlan, needs_vlan
from tests.harness.machine import Servers

# Kernels with macvlan alone run the refusals; tests/vm has one with all of them.
KINDS = ["macvlan", pytest.param("ipvlan", marks=needs_ipvlan)]


@pytest.fixture(scope="module")
def engine_settings(host):
    # The default network is none of those that the tests name: it would be one of 10.64.0.0/10.
    return {"machine": host, "sets": ["network.bridge.subnet=10.60.0.0/24"]}


def create(engine, name, parent=None, driver="macvlan", config=None, **options):
    return engine.api("POST", "/networks/create", {"Name": name, "Driver": driver, "IPAM": {"Config": [config] if config else []},
                                                   "Options": {**({"parent": parent} if parent else {}), **options}})


def made(answer):
    assert answer.status == 201, answer
    return answer.json["Id"]


def remove(engine, *names):
    for name in names:
        answer = engine.api("DELETE", f"/networks/{name}")
        assert answer.status == 204, answer


def device(host, name):
    """What `ip link` says of a device; "" when there is none."""
    return host.run("ip", "-d", "link", "show", name, check=False).stdout


def keep(engine, name, network, *options):
    engine.docker("run", "-d", "--name", name, "--network", network, *options, "busybox", "sleep", "1000")


@needs_vlan
@pytest.mark.parametrize("driver", KINDS)
def test_a_vlan_is_made(engine, host, peer, wire, driver):
    """Containers are on the VLAN, with who is on it elsewhere, and the device goes with its network."""
    parent = f"{wire.name}.50"
    peer.run("ip", "link", "add", "link", wire.name, "name", "far50", "type", "vlan", "id", "50")
    peer.run("ip", "addr", "add", "10.83.0.1/24", "dev", "far50")
    peer.run("ip", "link", "set", "far50", "up")
    made(create(engine, "tagged", parent, driver, {"Subnet": "10.83.0.0/24", "Gateway": "10.83.0.1"}))
    shown = device(host, parent)
    assert "vlan protocol 802.1Q id 50" in shown and "UP" in shown and "inet" not in host.run("ip", "addr", "show", parent).stdout
    keep(engine, "web", "tagged")
    with Servers() as servers:
        port = {"macvlan": 80, "ipvlan": 81}[driver]  # the one before is in TIME_WAIT there
        servers.add("far", peer, "tcp", port, hosts=("10.83.0.1",))
        address = engine.inspect("web")["NetworkSettings"]["Networks"]["tagged"]["IPAddress"]
        assert engine.space("web").talk("tcp", "10.83.0.1", port) == f"far tcp {address}\n"
    engine.docker("rm", "-f", "web")
    remove(engine, "tagged")
    assert device(host, parent) == ""
    peer.run("ip", "link", "del", "far50")


@needs_vlan
def test_a_vlan_of_two_networks(engine, host, wire):
    """The last one takes it away; what the host has made itself stays."""
    parent, own = f"{wire.name}.51", f"{wire.name}.52"
    host.run("ip", "link", "add", "link", wire.name, "name", own, "type", "vlan", "id", "52")
    for name, on in (("one", parent), ("two", parent), ("three", own)):
        made(create(engine, name, on))
    remove(engine, "one", "three")
    assert device(host, parent) and device(host, own)
    remove(engine, "two")
    assert not device(host, parent) and device(host, own)
    host.run("ip", "link", "del", own)


@needs_vlan
def test_a_vlan_comes_back(engine, host, wire):
    """After a kill of netd, and when somebody has deleted it: with the next container."""
    parent = f"{wire.name}.53"
    made(create(engine, "back", parent))
    old = engine.pids()["netd"]
    os.kill(old, signal.SIGKILL)
    assert engine.api("GET", "/networks/back").status == 200 and device(host, parent)
    host.run("ip", "link", "del", parent)
    engine.docker("run", "--rm", "--network", "back", "busybox", "ip", "link", "show", "eth0")
    assert "id 53" in device(host, parent)
    host.run("ip", "link", "del", parent)
    os.kill(engine.pids()["netd"], signal.SIGKILL)
    assert engine.api("GET", "/networks/back").status == 200 and "id 53" in device(host, parent)
    remove(engine, "back")
    assert not device(host, parent)


@needs_dummy
@pytest.mark.parametrize("driver", KINDS)
def test_without_a_parent(engine, host, driver):
    """Its containers have each other, and nobody else."""
    parent = "dm-" + made(create(engine, "apart", None, driver, {"Subnet": "10.84.0.0/24"}))[:12]
    assert "dummy" in device(host, parent)
    for name in ("web", "store"):
        keep(engine, name, "apart")
    address = engine.inspect("web")["NetworkSettings"]["Networks"]["apart"]["IPAddress"]
    with Servers() as servers:
        servers.add("web", engine.space("web"), "tcp", 80)
        assert engine.space("store").talk("tcp", address, 80).startswith("web tcp 10.84.0.")
    assert "default" not in engine.docker("exec", "web", "ip", "route").stdout
    engine.docker("rm", "-f", "web", "store")
    remove(engine, "apart")
    assert device(host, parent) == ""


@needs_ipvlan
@pytest.mark.parametrize("mode", ("l2", "l3", "l3s"))
def test_ipvlan(engine, host, wire, mode):
    """On the host's own wire; who is restarted at once gets its address, and it is nobody else's after a kill of netd."""
    made(create(engine, "ipv", wire.name, "ipvlan", {"Subnet": "10.81.0.0/24"}, ipvlan_mode=mode))
    keep(engine, "web", "ipv", "--ip", "10.81.0.9")
    keep(engine, "store", "ipv")
    engine.docker("restart", "-t", "0", "web")
    with Servers() as servers:
        servers.add("web", engine.space("web"), "tcp", 80)
        assert engine.space("store").talk("tcp", "10.81.0.9", 80).startswith("web tcp 10.81.0.")
    os.kill(engine.pids()["netd"], signal.SIGKILL)
    taken = engine.docker("run", "--rm", "--network", "ipv", "--ip", "10.81.0.9", "busybox", "true", check=False)
    assert taken.returncode == 125 and "Address already in use: 10.81.0.9" in taken.stderr, taken.stderr
    engine.docker("network", "disconnect", "ipv", "store")
    assert "eth0" not in engine.docker("exec", "store", "ip", "link").stdout
    engine.docker("rm", "-f", "web", "store")
    remove(engine, "ipv")


@pytest.mark.parametrize("parent, words", [
    ("lo", "loopback device lo cannot be a parent"), ("nothere0", "parent device nothere0 does not exist"),
    ("nothere0.7", "nor does nothere0"), ("wire.0", "0 is no VLAN id"), ("wire.4095", "4095 is no VLAN id"),
    ("wire.5x", "5x is no VLAN id"), ("wire.x", "parent device wire.x does not exist"), (".5", "parent device .5 does not exist")])
def test_no_parent(engine, host, wire, parent, words):
    before = host.run("ip", "-o", "link").stdout
    answer = create(engine, "bad", parent)
    assert answer.status == 400 and words in answer.message, answer
    assert engine.api("GET", "/networks/bad").status == 404 and host.run("ip", "-o", "link").stdout == before


@lacks_vlan
def test_no_vlans_here(engine, wire):
    answer = create(engine, "bad", f"{wire.name}.50")
    assert answer.status == 400 and "kernel has no devices of the kind vlan" in answer.message, answer


@lacks_dummy
def test_no_dummies_here(engine):
    answer = create(engine, "bad")
    assert answer.status == 400 and "parent" in answer.message and "kernel has no devices of the kind dummy" in answer.message, answer


@lacks_ipvlan
def test_no_ipvlan_here(engine, wire):
    answer = create(engine, "bad", wire.name, "ipvlan")
    assert answer.status == 400 and "kernel has no devices of the kind ipvlan" in answer.message, answer
