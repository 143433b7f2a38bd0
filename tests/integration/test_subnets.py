"""Which subnets networks get and may have, beside the host's own and other engines'."""
import concurrent.futures
import ipaddress
import os
import signal

import pytest

from tests.harness.engine import Engine
from tests.harness.machine import Servers


@pytest.fixture(scope="module")
def engine_settings(host, wire):
    # The default network is none of those that the tests name: it would be one of 10.64.0.0/10.
    return {"machine": host, "sets": ["network.bridge.subnet=10.60.0.0/24"]}


def subnet(engine, name):
    return engine.api("GET", f"/networks/{name}").json["IPAM"]["Config"][0]["Subnet"]


def create(engine, name, config=None, **more):
    body = {"Name": name, **more}
    if config is not None:
        body["IPAM"] = {"Config": config}
    return engine.api("POST", "/networks/create", body)


def test_engines_choose_at_once(host):
    """Three engines and sixteen subnets: each is had once, whoever chooses at the same moment."""
    sets = ["network.pools=10.99.0.0/24", "network.pool-bits=28"]
    engines = [Engine(machine=host, sets=sets, start=False) for _ in range(3)]
    try:
        for one in engines:
            one.start()
        with concurrent.futures.ThreadPoolExecutor(15) as pool:
            answers = list(pool.map(lambda k: create(engines[k % 3], f"net{k}"), range(15)))
        assert [answer.status for answer in answers] == [201] * 15, answers
        subnets = [ipaddress.ip_network(subnet(engines[k % 3], f"net{k}")) for k in range(15)]
        subnets += [ipaddress.ip_network(subnet(one, "bridge")) for one in engines]
        for i, a in enumerate(subnets):
            assert not any(a.overlaps(b) for b in subnets[i + 1:]), subnets
        assert create(engines[0], "last").status == 201
        full = create(engines[0], "toomany")
        assert full.status == 503 and "network.pools" in full.message
        for k in range(15):
            assert engines[k % 3].api("DELETE", f"/networks/net{k}").status == 204
        assert create(engines[1], "again").status == 201
    finally:
        for one in engines:
            one.close()


def test_default_network_gives_way(host):
    """A subnet that nobody has asked for moves when the host has got a device there; one that was asked for does not."""
    with Engine(machine=host, start=False) as running:
        running.start()
        first = ipaddress.ip_network(subnet(running, "bridge"))
        running.stop()
        host.run("ip", "addr", "add", f"{first[9]}/24", "dev", "lo")
        host.run("ip", "route", "add", f"{first[0]}/24", "dev", "lo")
        try:
            running.start()
            second = ipaddress.ip_network(subnet(running, "bridge"))
            assert not second.overlaps(first)
        finally:
            host.run("ip", "route", "del", f"{first[0]}/24", "dev", "lo")
            host.run("ip", "addr", "del", f"{first[9]}/24", "dev", "lo")
        running.stop()
        running.start()
        assert ipaddress.ip_network(subnet(running, "bridge")) == second  # it stays where it is


def test_given_subnets(engine, host, wire):
    """The host's own networks are refused by device; a mere route is warned of; networks of ours do not overlap."""
    refused = create(engine, "lan", [{"Subnet": "198.18.0.0/16"}])
    assert refused.status == 403 and wire.name in refused.message, refused
    host.run("ip", "route", "add", "10.77.0.0/16", "via", wire.there4)
    warned = create(engine, "far", [{"Subnet": "10.77.3.0/24"}])
    assert warned.status == 201 and "10.77.0.0/16" in warned.json["Warning"], warned
    overlap = create(engine, "over", [{"Subnet": "10.77.3.128/25"}])
    assert overlap.status == 403 and "far" in overlap.message, overlap
    assert engine.api("DELETE", "/networks/far").status == 204


def test_ranges_gateways_and_auxiliary_addresses(engine):
    made = create(engine, "plan", [{"Subnet": "10.78.0.0/24", "IPRange": "10.78.0.128/29", "Gateway": "10.78.0.5",
                                    "AuxiliaryAddresses": {"printer": "10.78.0.130"}}])
    assert made.status == 201, made
    engine.busybox()
    given = set()
    for _ in range(7):
        shown = engine.docker("run", "-d", "--network", "plan", "busybox", "sleep", "1000").stdout.strip()
        (settings,) = engine.inspect(shown)["NetworkSettings"]["Networks"].values()
        assert settings["Gateway"] == "10.78.0.5"
        given.add(settings["IPAddress"])
    assert given == {f"10.78.0.{n}" for n in range(128, 136)} - {"10.78.0.130"}
    full = engine.docker("run", "--rm", "--network", "plan", "busybox", "true", check=False)
    assert full.returncode == 125 and "no available IPv4 addresses" in full.stderr, full.stderr
    taken = engine.docker("run", "--rm", "--network", "plan", "--ip", "10.78.0.130", "busybox", "true", check=False)
    assert "Address already in use: 10.78.0.130" in taken.stderr, taken.stderr
    assert engine.docker("run", "--rm", "--network", "plan", "--ip", "10.78.0.200", "busybox", "true").returncode == 0
    for name in engine.docker("ps", "-q").stdout.split():
        engine.docker("rm", "-f", name)
    engine.docker("network", "rm", "plan")


def test_families(engine):
    """IPv6 beside IPv4, IPv6 alone, chosen and given; what does not fit is said."""
    engine.busybox()
    assert create(engine, "both", EnableIPv6=True).status == 201
    only = create(engine, "six", [{"Subnet": "fd00:66::/64"}], EnableIPv6=True, EnableIPv4=False)
    assert engine.api("POST", "/networks/create", {
        "Name": "six2", "EnableIPv6": True, "EnableIPv4": False,
        "IPAM": {"Config": [{"Subnet": "fd00:67::/64"}]}}, version="1.47").status == 201, only
    shown = engine.docker("run", "--rm", "--network", "six2", "busybox", "sh", "-c", "ip -o addr show eth0; ip -6 route").stdout
    assert "fd00:67::2/64" in shown and "inet " not in shown and "default via fd00:67::1" in shown
    shown = engine.docker("run", "--rm", "--network", "both", "busybox", "ip", "-o", "addr", "show", "eth0").stdout
    assert "inet " in shown and "inet6 fd" in shown
    wrong = create(engine, "wrong", [{"Subnet": "fd00:68::/64"}])
    assert wrong.status == 400 and "EnableIPv6" in wrong.message
    neither = engine.api("POST", "/networks/create", {"Name": "neither", "EnableIPv4": False}, version="1.47")
    assert neither.status == 400 and "IPv4 and/or IPv6 must be enabled" in neither.message
    for name in ("both", "six2") + (("six",) if only.status == 201 else ()):
        assert engine.api("DELETE", f"/networks/{name}").status == 204


def test_leaked_devices_go_at_start(engine, host):
    """A bridge and a veth of the engine's that no record knows are removed when netd starts; others' stay."""
    alias = f"pouch {engine.nft_table}"
    for name, kind in (("br-leaked", ("bridge",)), ("pvleaked", ("veth", "peer", "name", "pvpeer")), ("stranger", ("bridge",))):
        host.run("ip", "link", "add", name, "type", *kind)
    for name in ("br-leaked", "pvleaked"):
        host.run("ip", "link", "set", name, "alias", alias)
    os.kill(engine.pids()["netd"], signal.SIGKILL)
    assert engine.api("GET", "/networks").status == 200  # answered by the new netd
    left = host.run("ip", "-o", "link").stdout
    assert "leaked" not in left and "stranger" in left
    host.run("ip", "link", "del", "stranger")


def test_a_bridge_of_somebody_elses(engine, host):
    """A network on a bridge that was there: it works, and the bridge stays when the network goes."""
    host.run("ip", "link", "add", "own0", "type", "bridge")
    made = create(engine, "adopted", [{"Subnet": "10.79.0.0/24"}], Options={"com.docker.network.bridge.name": "own0"})
    assert made.status == 201, made
    assert "10.79.0.1/24" in host.run("ip", "addr", "show", "own0").stdout
    assert engine.api("DELETE", "/networks/adopted").status == 204
    assert "10.79.0.1/24" not in host.run("ip", "addr", "show", "own0").stdout
    host.run("ip", "link", "del", "own0")


def test_filters_prune_and_names(engine):
    for name, labels in (("one", {"tier": "web"}), ("two", {"tier": "db"})):
        assert create(engine, name, Labels=labels, CheckDuplicate=True).status == 201
    assert create(engine, "one", CheckDuplicate=True).status == 409
    names = lambda *options: set(engine.docker("network", "ls", "--format", "{{.Name}}", *options).stdout.split())
    assert names("-f", "label=tier=web") == {"one"} and names("-f", "label=tier") == {"one", "two"}
    assert names("-f", "driver=host") == {"host"} and names("-f", "type=builtin") == {"bridge", "host", "none"}
    assert names("-f", "name=tw") == {"two"} and names("-f", "dangling=true") == {"one", "two"}
    identity = engine.api("GET", "/networks/two").json["Id"]
    assert names("-f", f"id={identity[:12]}") == {"two"} and names("-f", "scope=swarm") == set()
    assert "one" in engine.docker("network", "prune", "-f", "--filter", "label=tier=web").stdout
    assert names("-f", "type=custom") == {"two"}
    assert engine.docker("network", "inspect", "-v", "two").returncode == 0
    assert engine.docker("network", "rm", identity[:9]).returncode == 0
    bad = engine.api("GET", "/networks?filters=" + '{"colour":["red"]}')
    assert bad.status == 400 and "colour" in bad.message


@pytest.mark.parametrize("mode", ("bridge", "private"))
def test_macvlan(engine, wire, mode):
    """A container that is on the host's own wire; one that is restarted at once gets its address."""
    engine.busybox()
    engine.docker("network", "create", "-d", "macvlan", "--subnet", "10.80.0.0/24", "--gateway", "10.80.0.1", "-o",
                  f"parent={wire.name}", "-o", f"macvlan_mode={mode}", "mac")
    engine.docker("run", "-d", "--name", "onwire", "--network", "mac", "--ip", "10.80.0.9", "busybox", "sleep", "1000")
    shown = engine.docker("exec", "onwire", "sh", "-c", "ip -o -4 addr; ip route").stdout
    assert "10.80.0.9/24" in shown and "default via 10.80.0.1" in shown
    engine.docker("restart", "-t", "0", "onwire")
    assert "10.80.0.9/24" in engine.docker("exec", "onwire", "ip", "-o", "-4", "addr").stdout
    if mode == "bridge":
        engine.docker("run", "-d", "--name", "other", "--network", "mac", "busybox", "sleep", "1000")
        with Servers() as servers:
            servers.add("onwire", engine.space("onwire"), "tcp", 80)
            assert engine.space("other").talk("tcp", "10.80.0.9", 80).startswith("onwire")
        engine.docker("network", "disconnect", "mac", "other")
        engine.docker("rm", "-f", "other")
    engine.docker("rm", "-f", "onwire")
    engine.docker("network", "rm", "mac")


def test_mtu_of_macvlan(engine, host, wire):
    """The parent's own unless the network says another."""
    engine.busybox()
    host.run("ip", "link", "set", wire.name, "mtu", "1450")
    for name, options, expected in (("plain", (), "1450"), ("small", ("-o", "com.docker.network.driver.mtu=1400"), "1400")):
        engine.docker("network", "create", "-d", "macvlan", "-o", f"parent={wire.name}", *options, name)
        assert engine.docker("run", "--rm", "--network", name, "busybox", "cat", "/sys/class/net/eth0/mtu").stdout == f"{expected}\n"
        engine.docker("network", "rm", name)
    host.run("ip", "link", "set", wire.name, "mtu", "1500")


def test_macvlan_after_a_kill_of_netd(engine, wire):
    """covers D-17: what is on the host's wire stays, its address is nobody else's, and is free when the container is gone."""
    engine.busybox()
    engine.docker("network", "create", "-d", "macvlan", "--subnet", "10.82.0.0/24", "-o", f"parent={wire.name}", "mac2")
    engine.docker("run", "-d", "--name", "onwire2", "--network", "mac2", "--ip", "10.82.0.9", "busybox", "sleep", "1000")
    before = engine.inspect("onwire2")["NetworkSettings"]["Networks"]
    os.kill(engine.pids()["netd"], signal.SIGKILL)
    assert list(engine.api("GET", "/networks/mac2").json["Containers"]) == [engine.inspect("onwire2")["Id"]]
    assert engine.inspect("onwire2")["NetworkSettings"]["Networks"] == before
    assert "10.82.0.9/24" in engine.docker("exec", "onwire2", "ip", "-o", "-4", "addr").stdout
    taken = engine.docker("run", "--rm", "--network", "mac2", "--ip", "10.82.0.9", "busybox", "true", check=False)
    assert taken.returncode == 125 and "Address already in use: 10.82.0.9" in taken.stderr, taken.stderr
    engine.docker("network", "disconnect", "mac2", "onwire2")
    assert "eth0" not in engine.docker("exec", "onwire2", "ip", "link").stdout
    assert engine.docker("run", "--rm", "--network", "mac2", "--ip", "10.82.0.9", "busybox", "true").returncode == 0
    engine.docker("rm", "-f", "onwire2")
    engine.docker("network", "rm", "mac2")
