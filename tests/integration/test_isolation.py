"""Who reaches whom: networks apart, internal ones, other machines; with the engine's rules flushed, nobody more."""
import concurrent.futures
import contextlib
import json
import os
import signal

import pytest

from tests.harness.machine import Servers

RED, BLUE, INNER = "10.31.1", "10.31.2", "10.31.3"  # on a machine of the test's own: nobody else's


@pytest.fixture(scope="module")
def engine_settings(host, wire):
    return {"machine": host, "sets": ["network.ip-forward=true"]}


@pytest.fixture(scope="module")
def world(engine, host, peer, wire):
    """Two networks, an internal one, containers on each that serve, and a service on the host and on the peer."""
    six = 0
    for name, net, *options in (("red", RED), ("blue", BLUE), ("inner", INNER, "--internal")):
        six += 1
        engine.docker("network", "create", "--ipv6", "--subnet", f"{net}.0/24", "--subnet", f"fd00:3{six}::/64", *options,
                      name)
    spaces = {}
    with Servers() as servers:
        for name, network, *options in (("red1", "red", "-p", "8100:80"), ("red2", "red"), ("blue1", "blue"),
                                        ("inner1", "inner", "-p", "8101:80"), ("inner2", "inner"),
                                        ("local1", "red", "-p", "127.0.0.1:8102:80")):
            engine.docker("run", "-d", "--name", name, "--network", network, *options, "busybox", "sleep", "1000")
            spaces[name] = engine.space(name)
            for kind, port in (("tcp", 80), ("udp", 53)):
                servers.add(name, spaces[name], kind, port)
        for name, machine in (("host", host), ("peer", peer)):
            servers.add(name, machine, "tcp", 7000)
            servers.add(name, machine, "udp", 7000)
        # The peer routes the containers' subnets to this host, as a neighbour can.
        for net in (RED, BLUE, INNER):
            peer.run("ip", "route", "add", f"{net}.0/24", "via", wire.here4)
        for number in (1, 2, 3):
            peer.run("ip", "-6", "route", "add", f"fd00:3{number}::/64", "via", wire.here6)
        yield spaces
        for name in spaces:
            engine.docker("rm", "-f", name)
    for name in ("red", "blue", "inner"):
        engine.docker("network", "rm", name)


def address(engine, name, family=4):
    (settings,) = engine.inspect(name)["NetworkSettings"]["Networks"].values()
    return settings["IPAddress" if family == 4 else "GlobalIPv6Address"]


def silent(who, kind, target, port):
    said = who.talk(kind, target, port, payload="x" if kind == "udp" else "", seconds=0.5)
    assert said.startswith("error:"), f"{target} port {port} answers: {said}"


def check_apart(engine, peer, wire, world, publishing):
    wanted = []
    for family in (4, 6):
        red1, blue1, inner1 = (address(engine, name, family) for name in ("red1", "blue1", "inner1"))
        here, there = (wire.here4, wire.there4) if family == 4 else (wire.here6, wire.there6)
        for kind, port in (("tcp", 80), ("udp", 53)):
            wanted += [(who, kind, target, port) for who, target in (
                (world["red2"], blue1), (world["blue1"], red1), (world["red1"], inner1), (world["inner2"], red1),
                (peer, red1), (peer, inner1))]
        wanted += [(world["inner1"], "tcp", there, 7000), (world["inner1"], "tcp", here, 7000),
                   (world["inner1"], "tcp", here, 8100), (peer, "tcp", here, 8101), (peer, "tcp", here, 8102)]
        if not publishing:
            wanted.append((peer, "tcp", here, 8100))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:  # each waits for nothing
        list(pool.map(lambda attempt: silent(*attempt), wanted))
    # The bridges route 127.0.0.0/8; containers get nothing of the host's loopback by it.
    world["red1"].sysctl("ipv4/conf/all/route_localnet", 1)
    world["red1"].run("ip", "route", "replace", "127.0.0.1/32", "via", f"{RED}.1", "table", "7")
    world["red1"].run("ip", "rule", "add", "pref", "1", "to", "127.0.0.1", "lookup", "7")
    world["red1"].run("ip", "rule", "add", "pref", "10", "lookup", "local")
    world["red1"].run("ip", "rule", "del", "pref", "0")
    try:
        said = world["red1"].talk("tcp", "127.0.0.1", 7000, source=address(engine, "red1"), seconds=0.5)
        assert said.startswith("error:"), said
    finally:
        world["red1"].run("ip", "rule", "add", "pref", "0", "lookup", "local")
        world["red1"].run("ip", "rule", "del", "pref", "10")
        world["red1"].run("ip", "rule", "del", "pref", "1")


@pytest.fixture
def routed(engine, world):
    """Containers on the internal network that have made themselves a default route."""
    for name in ("inner1", "inner2"):
        world[name].run("ip", "route", "replace", "default", "via", f"{INNER}.1")
        world[name].run("ip", "-6", "route", "replace", "default", "via", "fd00:33::1")


def test_networks_are_apart(engine, host, peer, wire, world, routed):
    """covers S-73: what should meet meets; networks, internal networks and other machines do not, also when routed."""
    for family in (4, 6):
        here, there = (wire.here4, wire.there4) if family == 4 else (wire.here6, wire.there6)
        assert world["red1"].talk("tcp", address(engine, "red2", family), 80).startswith("red2")
        assert world["inner1"].talk("tcp", address(engine, "inner2", family), 80).startswith("inner2")
        assert world["red1"].talk("tcp", there, 7000).startswith("peer")
        assert world["red1"].talk("udp", there, 7000, payload="x").startswith("peer")
        assert world["red1"].talk("tcp", here, 7000).startswith("host")
        assert world["blue1"].talk("tcp", here, 8100).startswith("red1")
        assert peer.talk("tcp", here, 8100).startswith("red1")
        assert host.talk("tcp", address(engine, "inner1", family), 80).startswith("inner1")
    check_apart(engine, peer, wire, world, publishing=True)


@contextlib.contextmanager
def flushed_rules(engine, host):
    """All rules are flushed, and netd does not come to put them back."""
    netd = engine.pids()["netd"]
    os.kill(netd, signal.SIGSTOP)
    try:
        host.run("nft", "flush", "ruleset")
        yield
    finally:
        os.kill(netd, signal.SIGCONT)
    until(host, f"nft list map inet {engine.nft_table} all4 | grep -q 8100")


def test_closed_while_rules_are_flushed(engine, host, peer, wire, world, routed):
    """covers S-70: with all rules flushed and netd stopped nobody reaches more than before; then everything is back."""
    with flushed_rules(engine, host):
        check_apart(engine, peer, wire, world, publishing=False)
    assert peer.talk("tcp", wire.here4, 8100).startswith("red1")
    assert peer.talk("tcp", wire.here6, 8100).startswith("red1")
    check_apart(engine, peer, wire, world, publishing=True)


def until(machine, command):
    machine.run("timeout", "60", "sh", "-c", f"until {command}; do :; done")


def test_closed_while_netd_is_dead(engine, host, peer, wire, world, routed):
    """covers D-17: netd's end takes nothing down: ports stay published, networks apart, connections go on."""
    os.kill(engine.pids()["netd"], signal.SIGSTOP)
    stopped = engine.pids()["netd"]
    try:
        assert peer.talk("tcp", wire.here4, 8100).startswith("red1")
    finally:
        os.kill(stopped, signal.SIGKILL)
    assert peer.talk("tcp", wire.here4, 8100).startswith("red1")
    check_apart(engine, peer, wire, world, publishing=True)
    assert engine.api("GET", "/networks/red").status == 200


FORGE = r"""
import json, socket, struct, sys
mac, source, port, target, target_port, payload = json.load(sys.stdin)
udp = struct.pack("!HHHH", port, target_port, 8 + len(payload), 0) + payload.encode()
ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, *map(socket.inet_aton, (source, target))))
total = sum(struct.unpack("!10H", ip))
total = (total & 0xffff) + (total >> 16)
ip[10:12] = struct.pack("!H", ~(total + (total >> 16)) & 0xffff)
socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).sendto(bytes(ip) + udp, ("eth0", 0x800, 0, 0, bytes.fromhex(mac)))
"""


def forge(who, source, port, target, target_port, payload):
    """One datagram from whatever address, to the gateway's device."""
    gateway = who.run("ip", "route", "show", "default").stdout.split()[2]
    assert who.talk("tcp", gateway, 7000).startswith("host")  # and now its address is known
    mac = who.run("ip", "neighbour", "show", gateway).stdout.split("lladdr ")[1].split()[0].replace(":", "")
    who.run("/usr/bin/python3", "-I", "-c", FORGE, input=json.dumps([mac, source, port, target, target_port, payload]))


@pytest.mark.parametrize("flushed", (False, True))
@pytest.mark.parametrize("source", ("127.0.0.1", "127.0.0.2"))
def test_loopback_is_not_forged(engine, host, peer, wire, world, source, flushed):
    """covers D-19 S-70 S-75: no container passes for the host's loopback, to the host, to others, or in a flow of the
    host's; also with all rules flushed, when flows go on."""
    engine.docker("run", "-d", "--name", "flow", "--network", "blue", "-p", "127.0.0.1:8104:54/udp", "busybox", "sleep",
                  "1000")
    serving = engine.space("flow").socket("udp", "0.0.0.0", 54)
    asking, here, there = host.socket("udp", source, 7003), host.socket("udp", "0.0.0.0", 7004), peer.socket("udp", "0.0.0.0", 7004)
    try:
        for each in (serving, asking, here, there):
            each.settimeout(20)
        asking.sendto(b"first", ("127.0.0.1", 8104))
        first, client = serving.recvfrom(100)
        serving.sendto(b"answer", client)
        assert (first, asking.recv(100)) == (b"first", b"answer")  # the flow is established
        host.sysctl("ipv4/conf/all/accept_local", 1)  # or the kernel itself would not believe it of a bridge
        with flushed_rules(engine, host) if flushed else contextlib.nullcontext():
            for target, port in (("127.0.0.1", 8104), (wire.here4, 7004), (wire.there4, 7004)):
                forge(world["red1"], source, 7003, target, port, "forged")
            # What is sent afterwards by the same ways comes alone.
            asking.sendto(b"second", ("127.0.0.1", 8104))
            assert serving.recv(100) == b"second"
            for receiving, target in ((here, wire.here4), (there, wire.there4)):
                forge(world["red1"], address(engine, "red1"), 7003, target, 7004, "honest")
                assert receiving.recv(100) == b"honest"
    finally:
        host.sysctl("ipv4/conf/all/accept_local", 0)
        for each in (serving, asking, here, there):
            each.close()
        engine.docker("rm", "-f", "flow")


UNTRACKED = "table inet untracked { chain c { type filter hook prerouting priority raw; udp dport 7005 notrack; }; }"


def test_untracked_packets_while_rules_are_flushed(engine, host, wire, world, routed):
    """covers S-70 S-73: where the host has packets of no connection, they are looked at one by one, flushed or not."""
    everywhere, loopback = host.socket("udp", "0.0.0.0", 7005), host.socket("udp", "127.0.0.1", 7006)
    try:
        for each in (everywhere, loopback):
            each.settimeout(20)
        with flushed_rules(engine, host):
            host.run("nft", "-f", "-", input=UNTRACKED.replace("7005", "{ 7005, 7006 }"))
            own = {name: address(engine, name) for name in ("red1", "inner1")}
            forge(world["red1"], own["red1"], 7003, "127.0.0.1", 7006, "to loopback")
            forge(world["inner1"], own["inner1"], 7003, wire.here4, 7005, "to another address")
            # They were looked at before these are sent.
            forge(world["inner1"], own["inner1"], 7003, f"{INNER}.1", 7005, "honest")
            forge(world["red1"], own["red1"], 7003, f"{RED}.1", 7005, "honest")
            assert [everywhere.recv(100) for _ in range(2)] == [b"honest"] * 2
            host.talk("udp", "127.0.0.1", 7006, payload="honest", seconds=0.1)
            assert loopback.recv(100) == b"honest"
    finally:
        host.run("nft", "delete", "table", "inet", "untracked", check=False)
        everywhere.close()
        loopback.close()


def test_others_rules_are_nobodys_business(engine, host, peer, wire, world):
    """covers D-18: a drop of the host's own wins, and its tables are as they were."""
    rules = "table inet own { chain c { type filter hook forward priority 10; tcp dport 80 ip saddr %s drop; }; }"
    host.run("nft", "-f", "-", input=rules % wire.there4)
    try:
        before = host.run("nft", "list", "table", "inet", "own").stdout
        silent(peer, "tcp", wire.here4, 8100)
        assert peer.talk("tcp", wire.here6, 8100).startswith("red1")
        engine.docker("network", "create", "more")
        engine.docker("run", "--rm", "--network", "more", "-p", "8103:80", "busybox", "true")
        engine.docker("network", "rm", "more")
        assert host.run("nft", "list", "table", "inet", "own").stdout == before
    finally:
        host.run("nft", "delete", "table", "inet", "own")


def test_options_of_a_bridge(engine, host, peer, wire):
    """enable_icc, enable_ip_masquerade, mtu, host_binding_ipv4, name, and the prefix of devices."""
    option = "com.docker.network."
    engine.docker("network", "create", "--subnet", "10.31.9.0/24", "-o", option + "bridge.enable_icc=false",
                  "-o", option + "bridge.enable_ip_masquerade=false", "-o", option + "driver.mtu=1400",
                  "-o", option + "bridge.host_binding_ipv4=127.0.0.1", "-o", option + "bridge.name=ownbridge",
                  "-o", option + "container_iface_prefix=net", "opts")
    peer.run("ip", "route", "add", "10.31.9.0/24", "via", wire.here4)
    with Servers() as servers:
        spaces = {}
        for name in ("opt1", "opt2"):
            engine.docker("run", "-d", "--name", name, "--network", "opts", "-p", "80", "busybox", "sleep", "1000")
            spaces[name] = engine.space(name)
            servers.add(name, spaces[name], "tcp", 80)
        servers.add("peer", peer, "tcp", 7001)
        silent(spaces["opt1"], "tcp", address(engine, "opt2"), 80)
        assert spaces["opt1"].talk("tcp", wire.there4, 7001) == f"peer tcp {address(engine, 'opt1')}\n"
        assert "mtu 1400" in spaces["opt1"].run("ip", "link", "show", "net0").stdout
        published = engine.docker("port", "opt1", "80/tcp").stdout.strip()
        assert published.startswith("127.0.0.1:")
        assert host.talk("tcp", "127.0.0.1", int(published.rpartition(":")[2])).startswith("opt1")
        assert "ownbridge" in host.run("ip", "link").stdout
    engine.docker("rm", "-f", "opt1", "opt2")
    engine.docker("network", "rm", "opts")
    assert "ownbridge" not in host.run("ip", "link").stdout


ADVERTISE = r"""
import socket, struct, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.SOL_SOCKET, 25, b"eth0\0")
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xc0, 86400, 86400, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:bad::"))
s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ("ff02::1%eth0", 0))
"""


@pytest.mark.parametrize("flushed", (False, True))
def test_router_advertisements_are_ignored(engine, host, world, flushed):
    """covers S-70 S-72: neither the host, even one that wants them, nor a neighbour believes a container that it is a
    router; nor while rules are flushed."""
    (bridge,) = [line.split(":")[1].strip() for line in host.run("ip", "-o", "link").stdout.splitlines()
                 if "br-" + json.loads(engine.docker("network", "inspect", "red").stdout)[0]["Id"][:12] + ":" in line]
    host.sysctl(f"ipv6/conf/{bridge}/accept_ra", 2)
    host.sysctl("bridge/bridge-nf-call-ip6tables", 0)  # or neighbours would be guarded by the host's rules
    # A link-local address of its own makes it a router that is believed; bridges deliver in order, so the answers tell
    # that the advertisement has been there before.
    world["red1"].run("ip", "addr", "add", "fe80::bad/64", "dev", "eth0", "nodad", check=False)
    with flushed_rules(engine, host) if flushed else contextlib.nullcontext():
        world["red1"].run("/usr/bin/python3", "-I", "-c", ADVERTISE)
        assert world["red1"].talk("tcp", address(engine, "red2", 6), 80).startswith("red2")
        assert world["red1"].talk("tcp", "fd00:31::1", 7000).startswith("host")
    for who in (host, world["red2"]):
        assert "2001:db8:bad" not in who.run("ip", "-6", "addr").stdout + who.run("ip", "-6", "route").stdout
        assert "fe80::bad" not in who.run("ip", "-6", "route").stdout
