#!/usr/bin/env python3
"""What packets cost on the way to containers, beside dockerd without its proxy: throughput and connections a second.

The two sides take turns of a fraction of a second, in an order that changes, with the server on one processor and the
client on another, before all other work; what counts is the median of the ratios of neighbouring turns, which other work on the machine hits alike.
Beside the rate stands the processor time that a MiB or a connection takes the sender, which other work hardly touches.
Usage: bench/traffic.py BUILD [ROUNDS [SECONDS]]
"""
import contextlib
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

ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 0.4
PUBLISHED = {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}
TARGETS = {"MiB/s": 0.98, "connections/s": 1.0}


def pinned(processor):
    """Words before a command: on this processor, and before all other work there."""
    return ["chrt", "-f", "10", "taskset", "-c", str(processor)]


class Side:
    """Two containers of one engine; the first serves on port 80, which is published. `outside` is another machine.
    What it starts ends with `stack`."""

    def __init__(self, stack, load, api, host, outside):
        self.load, self.host, self.outside = load, host, outside
        self.here = Machine.wire(host, outside).here4
        shown = []
        for _ in range(2):
            container = api.create(["sleep", "1000"], "bridge", host=PUBLISHED, ExposedPorts={"80/tcp": {}})
            stack.callback(api.remove, container)
            api.start(container)
            shown.append(api.engine.api("GET", f"/containers/{container}/json").json)
        self.spaces = [Namespace(one["State"]["Pid"]) for one in shown]
        settings = shown[0]["NetworkSettings"]
        self.address, self.port = settings["IPAddress"], settings["Ports"]["80/tcp"][0]["HostPort"]
        server = stack.enter_context(subprocess.Popen([*self.spaces[0].prefix, *pinned(0), load, "serve", "80"],
                                                      stdout=subprocess.PIPE))
        stack.callback(server.kill)
        assert server.stdout.readline() == b"ready\n"

    def measure(self, what):
        kind, where, address, port = {
            "MiB/s, host to container": ("send", self.host, self.address, 80),
            "MiB/s, container to container": ("send", self.spaces[1], self.address, 80),
            "MiB/s, another machine, published": ("send", self.outside, self.here, self.port),
            "connections/s, another machine, published": ("connect", self.outside, self.here, self.port),
            "connections/s, host's loopback, published": ("connect", self.host, "127.0.0.1", self.port),
        }[what]
        shown = where.run(*pinned(1), self.load, kind, address, port, SECONDS).stdout
        return [float(word) for word in shown.split()]


WAYS = ("MiB/s, host to container", "MiB/s, container to container", "MiB/s, another machine, published",
        "connections/s, another machine, published", "connections/s, host's loopback, published")


def turns(way, sides):
    """[{name: figure}] of the rounds; who is first changes each time."""
    rounds = []
    for number in range(ROUNDS + 1):
        order = list(sides) if number % 2 else list(reversed(sides))
        rounds.append({name: sides[name].measure(way) for name in order})
    return rounds[1:]  # the first one warms up


def show(way, rounds):
    medians = {name: [statistics.median(r[name][i] for r in rounds) for i in (0, 1)] for name in rounds[0]}
    figures = ", ".join(f"{name} {rate:.0f} ({spent:.1f} us)" for name, (rate, spent) in medians.items())
    if len(medians) == 1:
        print(f"  {way:44} {figures}", flush=True)
        return
    rates = [r["pouch"][0] / r["dockerd"][0] for r in rounds]
    costs = [r["pouch"][1] / r["dockerd"][1] for r in rounds]
    low, _, high = statistics.quantiles(rates, n=4)
    print(f"  {way:44} {figures}; ratio {statistics.median(rates):.3f} (half of them {low:.2f} to {high:.2f}), target "
          f"{TARGETS[way.split(',')[0]]:.2f}; processor time x {statistics.median(costs):.3f}", flush=True)


def compile_load(directory):
    program = os.path.join(directory, "net_load")
    subprocess.run(["cc", "-O2", "-o", program, pathlib.Path(__file__).with_name("net_load.c")], check=True)
    return program


def measure(load, hosts):
    """hosts: {name: (engine, the Namespace of its host)}"""
    with Machine() as one, Machine() as two, contextlib.ExitStack() as stack:
        sides = {}
        for (name, (engine, host)), outside in zip(hosts.items(), (one, two)):
            engine.busybox()
            sides[name] = Side(stack, load, engines.Api(engine), host, outside)
        print(f"traffic: {ROUNDS} pairs of turns of {SECONDS} s")
        for way in WAYS:
            show(way, turns(way, sides))


def main():
    with tempfile.TemporaryDirectory() as directory, Machine() as host, \
            Engine(machine=host, sets=["network.ip-forward=true"]) as pouch:
        load = compile_load(directory)
        if missing := peers.Dockerd.missing():
            print(f"without a peer: {missing}")
            measure(load, {"pouch": (pouch, host)})
            return
        with peers.Dockerd(network=True) as docker:
            measure(load, {"pouch": (pouch, host), "dockerd": (docker, Namespace(docker.namespaces.holder.pid))})


if __name__ == "__main__":
    main()
