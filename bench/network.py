#!/usr/bin/env python3
"""Networks beside dockerd without its proxy: what a network and a port add to a container's start and removal, also with
many attached and with many ports; connections and throughput. Usage: bench/network.py BUILD [ROUNDS [ATTACHED [PORTS]]]
"""
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import engines, peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402
from tests.harness.machine import Machine, Namespace  # noqa: E402

SECONDS = 2


def number(index, otherwise):
    return int(sys.argv[index]) if len(sys.argv) > index else otherwise


ROUNDS, ATTACHED, PORTS = number(2, 20), number(3, 500), number(4, 2000)
PUBLISHED = {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}
FORMS = {"none": ("none", None), "bridge": ("bridge", None), "bridge, a port": ("bridge", PUBLISHED)}


# ---- start and removal ----

def one_round(apis, starts, removals):
    for name, api in apis.items():
        for form, (network, host) in FORMS.items():
            container = api.create(["sleep", "1000"], network, host=host, ExposedPorts={"80/tcp": {}})
            starts[name, form].append(peers.once(functools.partial(api.start, container)))
            removals[name, form].append(peers.once(functools.partial(api.remove, container)))


def added(times, name, form):
    """Milliseconds that a form adds to the same without network, by medians."""
    base = "none" if form == "bridge" else "bridge"
    return statistics.median(times[name, form]) - statistics.median(times[name, base])


def costs(title, apis, rounds):
    starts = {(name, form): [] for name in apis for form in FORMS}
    removals = {key: [] for key in starts}
    one_round(apis, starts, removals)  # warms up
    for times in (*starts.values(), *removals.values()):
        times.clear()
    for _ in range(rounds):
        one_round(apis, starts, removals)
    print(title)
    for name in apis:
        print(f"  {name:10} start without {statistics.median(starts[name, 'none']):7.2f} ms, the network adds "
              f"{added(starts, name, 'bridge'):6.2f}, a port {added(starts, name, 'bridge, a port'):6.2f}; removal without "
              f"{statistics.median(removals[name, 'none']):7.2f} ms, the network adds {added(removals, name, 'bridge'):6.2f}",
              flush=True)


# ---- traffic ----

class Traffic:
    """A container that serves on port 80 and is published, on the host of one engine."""

    def __init__(self, load, api, host, outside):
        self.load, self.host, self.outside = load, host, outside
        wire = Machine.wire(host, outside)
        self.here = wire.here4
        self.containers = [api.create(["sleep", "1000"], "bridge", host=PUBLISHED, ExposedPorts={"80/tcp": {}})
                           for _ in range(2)]
        self.shown = []
        for container in self.containers:
            api.start(container)
            self.shown.append(api.engine.api("GET", f"/containers/{container}/json").json)
        self.spaces = [Namespace(shown["State"]["Pid"]) for shown in self.shown]
        self.server = subprocess.Popen([*self.spaces[0].prefix, load, "serve", "80"], stdout=subprocess.PIPE)
        assert self.server.stdout.readline() == b"ready\n"
        settings = self.shown[0]["NetworkSettings"]
        self.address, self.port = settings["IPAddress"], settings["Ports"]["80/tcp"][0]["HostPort"]

    def measure(self, what, where, host, port):
        return float(where.run(self.load, what, host, port, SECONDS).stdout)

    def all(self):
        return {
            "connections/s, another machine, published": self.measure("connect", self.outside, self.here, self.port),
            "connections/s, host's loopback, published": self.measure("connect", self.host, "127.0.0.1", self.port),
            "MiB/s, host to container": self.measure("send", self.host, self.address, 80),
            "MiB/s, container to container": self.measure("send", self.spaces[1], self.address, 80),
            "MiB/s, another machine, published": self.measure("send", self.outside, self.here, self.port),
        }

    def close(self, api):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()
        for container in self.containers:
            api.remove(container)


def traffic(load, apis, hosts):
    with Machine() as one, Machine() as two:
        sides = {name: Traffic(load, api, hosts[name], outside)
                 for (name, api), outside in zip(apis.items(), (one, two))}
        rounds = [{name: side.all() for name, side in sides.items()} for _ in range(3)]
        print(f"traffic, medians of 3 times {SECONDS} s")
        for what in rounds[0]["pouch"]:
            median = {name: statistics.median(r[name][what] for r in rounds) for name in sides}
            beside = "".join(f"; {name} {value:9.0f}, ratio {median['pouch'] / value:.2f}"
                             for name, value in median.items() if name != "pouch")
            print(f"  {what:44} {median['pouch']:9.0f}{beside}", flush=True)
        for name, side in sides.items():
            side.close(apis[name])


# ---- many ----

def many_attached(api):
    containers = [api.create(["sleep", "1000"], "bridge") for _ in range(ATTACHED)]
    for container in containers:
        api.start(container)
    costs(f"pouch with {ATTACHED} attached (target: within 1.5 times)", {"pouch": api}, ROUNDS)
    for container in containers:
        api.remove(container)


def many_ports(api):
    bindings = {f"{port}/tcp": [{"HostPort": str(20000 + port)}] for port in range(1, PORTS + 1)}
    container = api.create(["sleep", "1000"], "bridge", host={"PortBindings": bindings})
    api.start(container)
    costs(f"pouch with {PORTS} ports published (target: a port adds 1 ms at most)", {"pouch": api}, ROUNDS)
    api.remove(container)


def measure(pouch, host, docker):
    apis, hosts = {"pouch": engines.Api(pouch)}, {"pouch": host}
    pouch.busybox()
    if docker:
        docker.busybox()
        apis["dockerd"], hosts["dockerd"] = engines.Api(docker), Namespace(docker.namespaces.holder.pid)
    costs("targets: the network adds 4 ms to the start and 2 ms to the removal at most, a port 1 ms", apis, ROUNDS)
    with tempfile.TemporaryDirectory() as directory:
        load = os.path.join(directory, "net_load")
        source = pathlib.Path(__file__).parent / "net_load.c"
        subprocess.run(["cc", "-O2", "-o", load, source], check=True)
        traffic(load, apis, hosts)
    many_ports(apis["pouch"])
    many_attached(apis["pouch"])


def main():
    missing = peers.Dockerd.missing()
    with Machine() as host, Engine(machine=host, sets=["network.ip-forward=true"]) as pouch:
        if missing:
            print(f"without a peer: {missing}")
            measure(pouch, host, None)
        else:
            with peers.Dockerd(network=True) as docker:
                measure(pouch, host, docker)


main()
