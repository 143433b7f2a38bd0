"""netd is killed, frozen and started again; hosts lose their networks: what containers have stays, and nothing is left."""
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import threading
import time

import pytest

from tests.harness import leaks
from tests.harness.engine import Engine
from tests.harness.long import LONG
from tests.harness.machine import Machine, Namespace, Servers



@pytest.fixture
def host():
    with Machine() as machine:
        yield machine


def start(engine, body, name=""):
    """The id of a container that runs, or None when the engine said 503: then nothing of it may be left."""
    made = engine.api("POST", f"/containers/create{name and '?name=' + name}", body)
    if made.status != 201:
        assert made.status == 503, made
        return None
    identity = made.json["Id"]
    started = engine.api("POST", f"/containers/{identity}/start")
    if started.status == 204:
        return identity
    assert started.status == 503, started
    remove(engine, identity)
    return None


def remove(engine, identity):
    while (answer := engine.api("DELETE", f"/containers/{identity}?force=1")).status == 503:
        pass
    assert answer.status in (204, 404), answer


def settings(engine, identity):
    return engine.api("GET", f"/containers/{identity}/json").json["NetworkSettings"]


def killed(engine, name="netd"):
    """Kill it; returns when the next one answers."""
    pid = engine.pids().get(name)
    if pid:
        os.kill(pid, signal.SIGKILL)
    while engine.api("GET", "/networks").status != 200:
        pass


BODY = {"Image": "busybox", "Cmd": ["sleep", "1000"], "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}}


def test_killed_under_load(host):
    """covers D-17: no address and no port is given twice, none is lost, nothing leaks, whenever netd dies."""
    with Engine(machine=host, sets=["network.bridge.subnet=10.90.0.0/27"]) as engine:
        engine.busybox()
        lock, taken, problems, done = threading.Lock(), {}, [], threading.Event()
        counts = collections.Counter()

        def client():
            mine = collections.deque()
            try:
                while not done.is_set():
                    identity = start(engine, BODY)
                    counts["started" if identity else "refused"] += 1
                    if identity is None:
                        continue
                    shown = settings(engine, identity)
                    held = {shown["IPAddress"], shown["Ports"]["80/tcp"][0]["HostPort"]}
                    with lock:
                        for what in held:
                            assert what not in taken, f"{what} is given to {identity} and to {taken[what]}"
                            taken[what] = identity
                    mine.append((identity, held))
                    if len(mine) > 3:
                        gone, held = mine.popleft()
                        with lock:
                            for what in held:
                                del taken[what]
                        remove(engine, gone)
                for identity, _ in mine:
                    remove(engine, identity)
            except BaseException as problem:  # pylint: disable=broad-except
                problems.append(problem)
                done.set()

        clients = [threading.Thread(target=client) for _ in range(3)]
        for thread in clients:
            thread.start()
        for turn in range(60 if LONG else 8):
            done.wait(0.3)  # the load goes on
            if turn % 3 == 1:  # a firewall that is reloaded meanwhile
                host.run("nft", "flush", "ruleset")
            killed(engine)
        while counts["started"] <= 10 and not problems:  # on a machine that is busy elsewhere
            done.wait(0.1)
        done.set()
        for thread in clients:
            thread.join()
        assert not problems, problems
        # Everything is free again: the whole subnet can be had, each address once.
        everyone = []
        while len(everyone) < 29:
            identity = start(engine, BODY)
            assert identity, f"after {len(everyone)}"
            everyone.append(identity)
        assert len({settings(engine, identity)["IPAddress"] for identity in everyone}) == 29
        # No port is lost, also by a flush that nobody was there to see.
        published = {int(settings(engine, identity)["Ports"]["80/tcp"][0]["HostPort"]) for identity in everyone}
        os.kill(engine.pids()["netd"], signal.SIGSTOP)
        host.run("nft", "flush", "ruleset")
        killed(engine)
        listed = host.run("nft", "list", "map", "inet", engine.nft_table, "all4").stdout
        assert {int(port) for port in re.findall(r"tcp \. (\d+) :", listed)} == published and len(published) == 29, listed
        for identity in everyone:
            remove(engine, identity)
        rules = json.loads(host.run("nft", "-j", "list", "map", "inet", engine.nft_table, "all4").stdout)
        assert not any("elem" in item.get("map", {}) for item in rules["nftables"]), rules


def test_a_new_netd_finds_what_there_is(host):
    """covers D-17: after kill -9 endpoints work, ports are held and shown, connect and removal go on as before."""
    with Engine(machine=host) as engine, Servers() as servers:
        engine.busybox()
        engine.docker("network", "create", "--ipv6", "more")
        engine.docker("run", "-d", "--name", "web", "-p", "8300:80", "--network", "more", "busybox", "sleep", "1000")
        servers.add("web", Namespace(json.loads(engine.docker("inspect", "web").stdout)[0]["State"]["Pid"]), "tcp", 80)
        before = settings(engine, "web")
        killed(engine)
        assert settings(engine, "web") == before
        assert engine.docker("network", "inspect", "more").stdout.count("web") == 1
        assert host.talk("tcp", "127.0.0.1", 8300).startswith("web")
        with pytest.raises(OSError, match="in use"):
            host.socket("tcp", "127.0.0.1", 8300)
        engine.docker("network", "connect", "bridge", "web")
        engine.docker("network", "disconnect", "more", "web")
        assert host.talk("tcp", "127.0.0.1", 8300).startswith("web")
        # A container that ends while there is no netd gives back what it has.
        pid = engine.pids()["netd"]
        os.kill(pid, signal.SIGSTOP)
        ending = threading.Thread(target=remove, args=(engine, "web"))
        ending.start()
        os.kill(pid, signal.SIGKILL)
        ending.join()
        assert start(engine, {**BODY, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8300"}]}}})
        assert len(engine.api("GET", "/networks/bridge").json["Containers"]) == 1


def test_reboot(host):
    """All processes end at once, the run directory is empty, devices and rules are gone: networks and the endpoints of
    containers with a restart policy come back."""
    with Engine(machine=host, sets=["network.bridge.subnet=10.90.0.0/24"]) as engine, Servers() as servers:
        engine.busybox()
        engine.docker("network", "create", "--subnet", "10.91.0.0/24", "kept")
        for name, policy in (("always", "always"), ("never", "no")):
            engine.docker("run", "-d", "--name", name, "--restart", policy, "--network", "kept", "-p", "80", "busybox",
                          "sleep", "1000")
        engine.docker("network", "connect", "bridge", "always")
        power_off(engine, host)
        engine.start()
        wait_running(engine, "always")
        shown = settings(engine, "always")
        assert list(shown["Networks"]) == ["kept", "bridge"]
        assert shown["Networks"]["kept"]["IPAddress"].startswith("10.91.0.")
        assert list(engine.api("GET", "/networks/kept").json["Containers"]) == [
            engine.api("GET", "/containers/always/json").json["Id"]]
        pid = engine.api("GET", "/containers/always/json").json["State"]["Pid"]
        servers.add("always", Namespace(pid), "tcp", 80)
        assert host.talk("tcp", "127.0.0.1", int(shown["Ports"]["80/tcp"][0]["HostPort"])).startswith("always")


def power_off(engine, host):
    pids = [int(line) for directory in cgroup_procs(engine) for line in directory.read_text().split()]
    everyone = [engine.process.pid, *engine.pids().values(), *pids]
    os.kill(engine.process.pid, signal.SIGKILL)
    for pid in everyone[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    engine.stop()
    deadline = time.monotonic() + 60
    while any(directory.read_text() for directory in cgroup_procs(engine)) and time.monotonic() < deadline:
        pass
    shutil.rmtree(engine.run, ignore_errors=True)
    host.run("nft", "flush", "ruleset")
    for line in host.run("ip", "-o", "link").stdout.splitlines():
        if engine.nft_table in line:
            host.run("ip", "link", "del", line.split(":")[1].strip().split("@")[0], check=False)


def cgroup_procs(engine):
    return [pathlib.Path(directory) / "cgroup.procs" for directory in leaks.cgroups(engine)
            if (pathlib.Path(directory) / "cgroup.procs").exists()]


def wait_running(engine, name):
    deadline = time.monotonic() + 60
    while engine.api("GET", f"/containers/{name}/json").json["State"]["Status"] != "running":
        assert time.monotonic() < deadline, f"{name} does not run again\n{engine.log()}"


def test_parallel_connects(host):
    """Sixteen clients connect, disconnect and inspect one container at once: in the end the record and the kernel agree."""
    with Engine(machine=host) as engine:
        engine.busybox()
        engine.docker("run", "-d", "--name", "one", "--network", "none", "busybox", "true")
        engine.docker("run", "-d", "--name", "box", "busybox", "sleep", "1000")
        names = [f"net{k}" for k in range(8)]
        for name in names:
            assert engine.api("POST", "/networks/create", {"Name": name}).status == 201
        answers = collections.Counter()

        def client(k):
            for turn in range(4):
                action = ("connect", "disconnect")[(k + turn) % 2]
                answer = engine.api("POST", f"/networks/{names[k % 8]}/{action}", {"Container": "box"})
                answers[action, answer.status] += 1
                assert answer.status in (200, 403, 404), answer

        clients = [threading.Thread(target=client, args=(k,)) for k in range(16)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        shown = settings(engine, "box")["Networks"]
        space = Namespace(engine.api("GET", "/containers/box/json").json["State"]["Pid"])
        addresses = space.run("ip", "-o", "-4", "addr").stdout
        assert sorted(x["IPAddress"] for x in shown.values()) == sorted(
            line.split()[3].split("/")[0] for line in addresses.splitlines() if "eth" in line), answers
        for name in names:
            members = engine.api("GET", f"/networks/{name}").json["Containers"]
            assert bool(members) == (name in shown)
        engine.docker("rm", "-f", "box", "one")
        for name in names:
            assert engine.api("DELETE", f"/networks/{name}").status == 204
