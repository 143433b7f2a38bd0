#!/usr/bin/env python3
"""Networks beside dockerd without its proxy: what a network and a port add to a container's start and removal, also with
many attached and with many ports. Usage: bench/network.py BUILD [ROUNDS [ATTACHED [PORTS]]]
"""
import functools
import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import engines, peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402
from tests.harness.machine import Machine  # noqa: E402


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
    """Milliseconds that a form adds to the one without: the median of the differences within a round."""
    base = "none" if form == "bridge" else "bridge"
    return statistics.median(with_it - without for with_it, without in zip(times[name, form], times[name, base]))


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


def measure(pouch, docker):
    apis = {"pouch": engines.Api(pouch)}
    pouch.busybox()
    if docker:
        docker.busybox()
        apis["dockerd"] = engines.Api(docker)
    costs("targets: the network adds 4 ms to the start and 2 ms to the removal at most, a port 1 ms", apis, ROUNDS)
    many_ports(apis["pouch"])
    many_attached(apis["pouch"])


def main():
    missing = peers.Dockerd.missing()
    with Machine() as host, Engine(machine=host, sets=["network.ip-forward=true"]) as pouch:
        if missing:
            print(f"without a peer: {missing}")
            measure(pouch, None)
        else:
            with peers.Dockerd(network=True) as docker:
                measure(pouch, docker)


main()
