"""Published ports: from the host, from another machine, from containers; who comes is seen as who he is."""
import socket

import pytest

from tests.harness.machine import Machine, Servers

FILTERS_BRIDGES = "bridge/bridge-nf-call-ip6tables"


@pytest.fixture(scope="module")
def engine_settings(host, wire):
    host.sysctl(FILTERS_BRIDGES, 0)
    return {"machine": host, "sets": ["network.ip-forward=true", "network.bridge.subnet6=fd00:b0b::/64"]}


@pytest.fixture
def run(engine):
    """Start a container that answers on its ports 80 and 81 (TCP) and 53 (UDP); all are removed at the end of the test."""
    names = []
    with Servers() as servers:
        def start(name, *options):
            names.append(name)
            engine.docker("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")
            inside = engine.space(name)
            for kind, port in (("tcp", 80), ("tcp", 81), ("udp", 53)):
                servers.add(f"{name}:{port}", inside, kind, port)
            return inside

        yield start
    for name in names:
        engine.docker("rm", "-f", name)


def port_of(engine, name, port="80/tcp"):
    return int(engine.docker("port", name, port).stdout.splitlines()[0].rpartition(":")[2])


def address(engine, name, key="IPAddress"):
    return engine.inspect(name)["NetworkSettings"][key]


def test_from_another_machine_and_from_the_host(engine, host, peer, wire, run):
    """covers S-75: the peer's own address is what the container sees; the host's loopback is seen as the gateway."""
    run("open", "-p", "8080:80", "-p", "5300:53/udp")
    for here, there in ((wire.here4, wire.there4), (wire.here6, wire.there6)):
        assert there in peer.talk("tcp", here, 8080)
        assert there in peer.talk("udp", here, 5300, payload="x")
        assert here in host.talk("tcp", here, 8080)
    gateway = address(engine, "open", "Gateway")
    for loopback, seen in (("127.0.0.1", gateway), ("127.0.0.7", gateway), ("::1", "fd00:b0b::1")):
        assert host.talk("tcp", loopback, 8080) == f"open:80 tcp {seen}\n"
    assert gateway in host.talk("udp", "127.0.0.1", 5300, payload="x")
    engine.docker("network", "create", "again")  # its rules come beside the old ones
    assert host.talk("tcp", "127.0.0.1", 8080) == f"open:80 tcp {gateway}\n"
    engine.docker("network", "rm", "again")


def test_loopback6_where_bridges_are_filtered(engine, host, run):
    """There the kernel drops replies to ::1: that is said, and ports on all addresses stay silent on that one."""
    host.sysctl(FILTERS_BRIDGES, 1)
    try:
        failed = engine.docker("run", "--rm", "-p", "[::1]:8086:80", "busybox", "true", check=False)
        assert failed.returncode == 125 and "bridge-nf-call-ip6tables" in failed.stderr, failed.stderr
        run("plain", "-p", "8086:80")
        assert host.talk("tcp", "127.0.0.1", 8086).startswith("plain")
        assert "refused" in host.talk("tcp", "::1", 8086)
    finally:
        host.sysctl(FILTERS_BRIDGES, 0)
    run("again", "-p", "8088:80")
    assert host.talk("tcp", "::1", 8088).startswith("again") and host.talk("tcp", "::1", 8086).startswith("plain")


@pytest.mark.parametrize("filtered", (0, 1))
def test_a_container_reaches_itself(engine, host, wire, run, filtered):
    """By its own published port, with bridged packets filtered (br_netfilter) and without."""
    before = host.sysctl("bridge/bridge-nf-call-iptables")
    host.sysctl("bridge/bridge-nf-call-iptables", filtered)
    try:
        itself = run("self", "-p", "8087:80", "-p", "8087:53/udp")
        assert itself.talk("tcp", wire.here4, 8087).startswith("self:80")
        assert itself.talk("udp", wire.here4, 8087, payload="x").startswith("self:53")
    finally:
        host.sysctl("bridge/bridge-nf-call-iptables", before)


def test_localhost_stays_local(engine, host, peer, wire, run):
    """covers D-19 S-74: what is published on loopback cannot be reached from outside, whatever a neighbour sends."""
    run("local", "-p", "127.0.0.1:8081:80", "-p", "[::1]:8081:80")
    assert "tcp" in host.talk("tcp", "127.0.0.1", 8081)
    assert "tcp" in host.talk("tcp", "::1", 8081)
    for target in (wire.here4, wire.here6):
        assert "error:" in peer.talk("tcp", target, 8081, seconds=2)
    # A neighbour that routes 127.0.0.1 to this host.
    peer.sysctl("ipv4/conf/all/route_localnet", 1)
    peer.run("ip", "route", "add", "127.0.0.1/32", "via", wire.here4, "table", "7")
    peer.run("ip", "rule", "add", "pref", "1", "to", "127.0.0.1", "lookup", "7")
    peer.run("ip", "rule", "add", "pref", "10", "lookup", "local")
    peer.run("ip", "rule", "del", "pref", "0")
    try:
        assert "error:" in peer.talk("tcp", "127.0.0.1", 8081, source=wire.there4, seconds=2)
    finally:
        peer.run("ip", "rule", "add", "pref", "0", "lookup", "local")
        peer.run("ip", "rule", "del", "pref", "10")
        peer.run("ip", "rule", "del", "pref", "1")
    # Nor from containers.
    assert "tcp" not in engine.docker("run", "--rm", "busybox", "nc", "-w", "1", "127.0.0.1", "8081", check=False).stdout


def test_capture_nothing_meant_for_others(host, peer, wire, run):
    """covers S-74: a connection through this host to the same port of another machine goes there."""
    with Machine() as third:
        onward = host.wire(third)
        run("greedy", "-p", "8082:80")
        server = third.socket("tcp", onward.there4, 8082)
        try:
            assert "tcp" in peer.talk("tcp", wire.here4, 8082)
            waiting = peer.talk("tcp", onward.there4, 8082, seconds=1)
            assert "timed out" in waiting  # connected to the silent server there, not to the container
            server.settimeout(60)
            assert server.accept()[1][0] == wire.there4
        finally:
            server.close()


def test_hairpin(engine, host, wire, run):
    """A container reaches what is published by the host's address: its own, its neighbour's, another network's."""
    engine.docker("network", "create", "elsewhere")
    one = run("one", "-p", "8083:80", "-p", "8083:53/udp")
    two = run("two", "-p", "8084:80", "-p", "8084:53/udp")
    far = run("far", "--network", "elsewhere", "-p", "8085:80", "-p", "8085:53/udp")
    for client in (one, two, far):
        for port, name in ((8083, "one"), (8084, "two"), (8085, "far")):
            assert client.talk("tcp", wire.here4, port).startswith(f"{name}:80 tcp")
            assert client.talk("udp", wire.here4, port, payload="x").startswith(f"{name}:53 udp")
            if client is not far and name == "far":  # which has no IPv6
                assert client.talk("tcp", wire.here6, port, seconds=1).startswith("error:")
            elif client is not far:
                assert client.talk("tcp", wire.here6, port).startswith(name)
    # Without the port they do not meet.
    address = engine.inspect("far")["NetworkSettings"]["Networks"]["elsewhere"]["IPAddress"]
    assert "error:" in one.talk("tcp", address, 80, seconds=1)
    engine.docker("rm", "-f", "far")
    engine.docker("network", "rm", "elsewhere")


def test_ranges_and_all_ports(engine, host, run):
    run("ranged", "-p", "9000-9001:80-81")
    assert host.talk("tcp", "127.0.0.1", 9000).startswith("ranged:80")
    assert host.talk("tcp", "127.0.0.1", 9001).startswith("ranged:81")
    run("first", "-p", "9001-9003:80")
    assert port_of(engine, "first") == 9002  # 9001 is taken

    def published(port):
        return engine.docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").stdout.split()
    assert published("9001") == published("9000-9001/tcp") == ["ranged"] and published("9002") == ["first"]
    assert published("80") == published("9000/udp") == []
    run("all", "-P", "--expose", "80-81", "--expose", "53/udp")
    shown = engine.docker("port", "all").stdout
    assert {line.split(" ")[0] for line in shown.splitlines()} == {"80/tcp", "81/tcp", "53/udp"}
    assert "tcp" in host.talk("tcp", "127.0.0.1", port_of(engine, "all"))
    assert "udp" in host.talk("udp", "127.0.0.1", port_of(engine, "all", "53/udp"), payload="x")


def test_a_binding_given_twice(engine, host, run):
    """Is one; without a host port it is two."""
    run("twice", "-p", "127.0.0.1:18300:80", "-p", "127.0.0.1:18300:80", "-p", "127.0.0.1::81", "-p", "127.0.0.1::81")
    assert engine.docker("port", "twice", "80").stdout == "127.0.0.1:18300\n"
    assert len(set(engine.docker("port", "twice", "81").stdout.splitlines())) == 2
    assert host.talk("tcp", "127.0.0.1", 18300)


def test_conflicts_name_the_holder(engine, host, run):
    run("holder", "-p", "127.0.0.1:9100:80", "-p", "9101:80")
    for spec in ("127.0.0.1:9100:80", "9100:80", "127.0.0.1:9101:80"):
        failed = engine.docker("run", "--rm", "-p", spec, "busybox", "true", check=False)
        assert failed.returncode == 125 and "already allocated to container holder" in failed.stderr, failed.stderr
    for kind, word in (("tcp", ""), ("udp", "/udp")):
        taken = host.socket(kind, "127.0.0.1", 9102)
        try:
            failed = engine.docker("run", "--rm", "-p", f"9102:80{word}", "busybox", "true", check=False)
            assert failed.returncode == 125 and "9102" in failed.stderr, failed.stderr
            assert "pid " in failed.stderr and "python3" in failed.stderr, failed.stderr
        finally:
            taken.close()
    # The other way round: nobody else gets a port that is published.
    for where in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(OSError, match="in use"):
            host.socket("tcp", where, 9101)
    # Other addresses and protocols do not collide.
    run("beside", "-p", "127.0.0.2:9100:80", "-p", "127.0.0.1:9100:53/udp")


def test_bad_ports_are_named(engine, host):
    for spec, word in ((("192.0.2.77", "80"), "192.0.2.77"), (("", "80000"), "80000"), (("fe80::1", "80"), "fe80::1")):
        answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {
            "PortBindings": {"80/tcp": [{"HostIp": spec[0], "HostPort": spec[1]}]}}})
        if answer.status == 201:
            identity = answer.json["Id"]
            answer = engine.api("POST", f"/containers/{identity}/start")
            engine.api("DELETE", f"/containers/{identity}?force=1")
        assert answer.status == 400 and word in answer.message, answer


def has_sctp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError:
        return False
    return True


def test_sctp(engine, run):
    """The map has SCTP, too, where the kernel has; else that is said."""
    if has_sctp():
        run("stream", "-p", "9200:80/sctp")
        assert engine.docker("port", "stream", "80/sctp").stdout.splitlines()[0] == "0.0.0.0:9200"
        return
    for spec in ("9200:80/sctp", "80/sctp"):
        failed = engine.docker("run", "--rm", "-p", spec, "busybox", "true", check=False)
        assert failed.returncode == 125 and "80/sctp: this host's kernel has no SCTP" in failed.stderr, failed.stderr


def test_chosen_ports_are_nobodys(engine, host):
    """Of four ports that there are to choose from, listeners have two and a container one: the next gets the last, and then
    it is said that none is left. A listener cannot take a published one either."""
    before = host.sysctl("ipv4/ip_local_port_range")
    host.sysctl("ipv4/ip_local_port_range", "'40100 40103'")
    listeners = [host.socket("tcp", "0.0.0.0", 40100), host.socket("tcp", "127.0.0.1", 40102)]
    names = [f"chosen{k}" for k in range(3)]
    try:
        for name in names[:2]:
            engine.docker("run", "-d", "--name", name, "-p", "80", "busybox", "sleep", "1000")
        assert {port_of(engine, name) for name in names[:2]} == {40101, 40103}
        failed = engine.docker("run", "-d", "--name", names[2], "-p", "80", "busybox", "true", check=False)
        assert failed.returncode == 125 and "no port is free" in failed.stderr, failed.stderr
        with pytest.raises(OSError, match="in use"):
            host.socket("tcp", "0.0.0.0", 40101)
    finally:
        host.sysctl("ipv4/ip_local_port_range", f"'{before}'")
        for listener in listeners:
            listener.close()
        engine.docker("rm", "-f", *names)


def test_flows_of_udp_follow_the_port(engine, host, peer, wire, run):
    """A sender that goes on from one port of its own reaches whoever has the published one now, or nobody."""
    def ask(seconds=5):
        return peer.talk("udp", wire.here4, 5301, source_port=40001, payload="x", seconds=seconds)

    assert "error" in ask(1)  # a flow to the host itself, which the kernel remembers
    for name in ("earlier", "later"):
        run(name, "-p", "5301:53/udp")
        assert ask().startswith(name)
        engine.docker("rm", "-f", name)  # its end is told to netd and to who asked at once
        engine.wait_for(lambda: "5301" not in host.run("nft", "list", "map", "inet", engine.nft_table, "all4").stdout)
        assert engine.api("GET", "/networks/bridge").status == 200  # netd has done what goes with it, too
        assert "error" in ask(1)


def test_flows_of_udp_follow_the_gateway(engine, peer, wire, run):
    """Also when the port leads to another address of the same container."""
    engine.docker("network", "create", "next")
    run("mover", "-p", "5302:53/udp")
    talk = lambda: peer.talk("udp", wire.here4, 5302, source_port=40002, payload="x")
    assert talk().startswith("mover")
    engine.docker("network", "connect", "next", "mover")
    engine.docker("network", "disconnect", "bridge", "mover")
    assert talk().startswith("mover")
    engine.docker("rm", "-f", "mover")
    engine.docker("network", "rm", "next")
