"""How what is outside comes to the containers of a bridge: by ports of the host, straight to them, or not at all."""
import os
import signal

import pytest

from tests.harness.machine import Servers

MODE = "com.docker.network.bridge.gateway_mode_ipv"
FOUR, SIX = "10.41.1", "fd00:41::"


@pytest.fixture(scope="module")
def engine_settings(host, wire):
    return {"machine": host, "sets": ["network.ip-forward=true"]}


@pytest.fixture(scope="module")
def outside(peer, wire):
    """What the peer serves, and its ways to the containers."""
    peer.run("ip", "route", "add", f"{FOUR}.0/24", "via", wire.here4)
    peer.run("ip", "-6", "route", "add", f"{SIX}/64", "via", wire.here6)
    with Servers() as servers:
        servers.add("peer", peer, "tcp", 7000)
        yield


@pytest.fixture
def made(engine, outside):
    """made(mode4, mode6, *options): a network `net` and on it `web`, which serves on 80, 81 and 53 and publishes 80 and 53."""
    with Servers() as servers:
        def make(mode4, mode6, *options):
            engine.docker("network", "create", "--ipv6", "--subnet", f"{FOUR}.0/24", "--subnet", f"{SIX}/64", "-o",
                          f"{MODE}4={mode4}", "-o", f"{MODE}6={mode6}", *options, "net")
            engine.docker("run", "-d", "--name", "web", "--network", "net", "-p", "8180:80", "-p", "8153:53/udp", "busybox",
                          "sleep", "1000")
            for kind, port in (("tcp", 80), ("tcp", 81), ("udp", 53)):
                servers.add(f"web:{port}", engine.space("web"), kind, port)
            return engine.space("web")

        yield make
    engine.docker("rm", "-f", "web")
    engine.docker("network", "rm", "net")


def address(engine, family, name="web", network="net"):
    settings = engine.inspect(name)["NetworkSettings"]["Networks"][network]
    return settings["IPAddress" if family == 4 else "GlobalIPv6Address"]


def silent(who, target, port, kind="tcp"):
    return who.talk(kind, target, port, payload="x" if kind == "udp" else "", seconds=0.5).startswith("error:")


def pings(who, target):
    return who.run("busybox", "ping", "-c", "1", "-W", "1", target, check=False).returncode == 0


@pytest.mark.parametrize("routed,other", [(4, 6), (6, 4)])
def test_routed(engine, host, peer, wire, made, routed, other):
    """In that family its published ports are open at its own address, with no port of the host's; it leaves as itself. The
    other family is as ever. covers S-75"""
    modes = {routed: "routed", other: "nat"}
    here, there = {4: wire.here4, 6: wire.here6}, {4: wire.there4, 6: wire.there6}
    web = made(modes[4], modes[6])
    own, translated = address(engine, routed), address(engine, other)
    assert peer.talk("tcp", own, 80) == f"web:80 tcp {there[routed]}\n"
    assert peer.talk("udp", own, 53, payload="x") == f"web:53 udp {there[routed]}\n"
    assert pings(peer, own) and not pings(peer, translated)
    assert silent(peer, own, 81) and silent(peer, here[routed], 8180)
    assert peer.talk("tcp", here[other], 8180) == f"web:80 tcp {there[other]}\n" and silent(peer, translated, 80)
    assert web.talk("tcp", there[routed], 7000) == f"peer tcp {own}\n"
    assert web.talk("tcp", there[other], 7000) == f"peer tcp {here[other]}\n"
    assert engine.docker("port", "web", "80").stdout.split() == [f"{'0.0.0.0' if other == 4 else '[::]'}:8180"]
    # Its ports are shut again before its address is another's.
    engine.docker("rm", "-f", "web")
    engine.docker("run", "-d", "--name", "web", "--network", "net", "busybox", "sleep", "1000")
    assert "elements" not in host.run("nft", "list", "set", "inet", engine.nft_table, f"open{routed}").stdout


def test_routed_survives(engine, host, peer, made):
    """netd's death, and a flush of all rules. covers D-17 S-70"""
    made("routed", "routed")
    own = address(engine, 4)
    os.kill(engine.pids()["netd"], signal.SIGKILL)
    assert peer.talk("tcp", own, 80).startswith("web:80") and silent(peer, own, 81)
    engine.docker("network", "ls")
    host.run("nft", "flush", "ruleset")
    host.run("timeout", "60", "sh", "-c", f"until nft list set inet {engine.nft_table} open4 2>/dev/null | grep -q 80; do :; done")
    assert peer.talk("tcp", own, 80).startswith("web:80") and silent(peer, own, 81)
    engine.docker("stop", "-t", "0", "web")  # its end is told to netd and to who asked at once
    engine.wait_for(lambda: "elements" not in host.run("nft", "list", "set", "inet", engine.nft_table, "open4").stdout)
    engine.docker("start", "web")
    assert "80" in host.run("nft", "list", "set", "inet", engine.nft_table, "open4").stdout


def test_the_gateway_moves(engine, peer, wire, made):
    """From a translated to a routed network and back, while it runs."""
    made("routed", "routed")
    engine.docker("network", "create", "--subnet", "10.41.2.0/24", "plain")
    engine.docker("network", "connect", "--gw-priority", "10", "plain", "web")
    try:
        assert peer.talk("tcp", wire.here4, 8180).startswith("web:80") and silent(peer, address(engine, 4), 80)
        engine.docker("network", "disconnect", "plain", "web")
        assert silent(peer, wire.here4, 8180) and peer.talk("tcp", address(engine, 4), 80).startswith("web:80")
    finally:
        engine.docker("network", "disconnect", "-f", "plain", "web", check=False)
        engine.docker("network", "rm", "plain")


def test_unprotected(engine, peer, wire, made):
    """Each port is open at its own address; published ones are the host's as well."""
    web = made("nat-unprotected", "nat-unprotected")
    for family, here in ((4, wire.here4), (6, wire.here6)):
        own = address(engine, family)
        assert peer.talk("tcp", own, 81).startswith("web:81") and peer.talk("tcp", here, 8180).startswith("web:80")
    assert web.talk("tcp", wire.there4, 7000) == f"peer tcp {wire.here4}\n"


def test_isolated(engine, host, peer, wire, made):
    """The host has no address on the bridge, in the families that say so; containers reach each other. covers S-73"""
    web = made("isolated", "isolated", "--internal")
    settings = engine.inspect("web")["NetworkSettings"]["Networks"]["net"]
    assert settings["Gateway"] == "" and settings["IPv6Gateway"] == "" and settings["IPAddress"]
    bridge = "br-" + engine.api("GET", "/networks/net").json["Id"][:12]
    assert "inet" not in host.run("ip", "-o", "addr", "show", "dev", bridge).stdout
    assert web.run("ip", "route", "show", "default").stdout == ""
    for family in (4, 6):
        assert silent(host, address(engine, family), 80) and silent(peer, address(engine, family), 80)
    found = engine.docker("run", "--rm", "--network", "net", "busybox", "sh", "-c", "nc -w 60 web 80 </dev/null").stdout
    assert found.startswith(("web:80 tcp " + FOUR, "web:80 tcp " + SIX)), found


def test_gateway_of_others_and_source(engine, host, peer, wire, made):
    """inhibit_ipv4: the bridge has no IPv4 address, the container's gateway is somebody else. host_ipv4, host_ipv6: the source."""
    host.run("ip", "addr", "add", "198.51.100.7/32", "dev", "lo")
    host.run("ip", "addr", "add", "fd00:5::7/128", "dev", "lo")
    peer.run("ip", "route", "replace", "198.51.100.7", "via", wire.here4)
    web = made("nat", "nat", "-o", "com.docker.network.host_ipv4=198.51.100.7", "-o", "com.docker.network.host_ipv6=fd00:5::7")
    assert web.talk("tcp", wire.there4, 7000) == "peer tcp 198.51.100.7\n"
    assert web.talk("tcp", wire.there6, 7000) == "peer tcp fd00:5::7\n"
    engine.docker("network", "create", "--subnet", "10.41.3.0/24", "-o", "com.docker.network.bridge.inhibit_ipv4=true", "other")
    shown = engine.docker("run", "--rm", "--network", "other", "busybox", "ip", "route").stdout
    assert "default via 10.41.3.1" in shown
    bridge = "br-" + engine.api("GET", "/networks/other").json["Id"][:12]
    assert "inet " not in host.run("ip", "-o", "addr", "show", "dev", bridge).stdout
    engine.docker("network", "rm", "other")


@pytest.mark.parametrize("option,value,word", [
    (f"{MODE}4", "bridged", "nat, nat-unprotected, routed or isolated"), (f"{MODE}6", "isolated", "internal"),
    ("com.docker.network.host_ipv4", "fd00::1", "IPv4"), ("com.docker.network.host_ipv6", "1.2.3.4", "IPv6"),
    ("com.docker.network.bridge.inhibit_ipv4", "perhaps", "true or false")])
def test_bad_values_are_named(engine, option, value, word):
    answer = engine.api("POST", "/networks/create", {"Name": "bad", "Options": {option: value}})
    assert answer.status == 400 and option in answer.message and word in answer.message, answer
