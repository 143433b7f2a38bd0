#!/usr/bin/env python3
"""Names of containers: answers a second and their time, asked from within a container; beside dockerd.
Usage: bench/dns.py BUILD [ROUNDS [SECONDS [CONTAINERS]]]
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

from bench import engines  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402

TARGET_RATE, TARGET_P99 = 20_000, 1000  # answers a second; microseconds
OPEN, MOST_OPEN = 8, 64  # questions at a time: as many as are answered; at a rate, when answers are late


def load(directory):
    program = pathlib.Path(directory) / "dns_load"
    subprocess.run(["gcc", "-O2", "-o", program, pathlib.Path(__file__).with_name("dns_load.c")], check=True)
    return program


class Names:
    """Containers on a network of one engine; the first one asks."""

    def __init__(self, api, count):
        self.api = api
        api.engine.api("POST", "/networks/create", {"Name": "names"})
        self.containers = [api.create(["sleep", "100000"], "names", Hostname=f"h{i}") for i in range(count)]
        for container in self.containers:
            api.start(container)
        self.pid = self.inspect(self.containers[0])["State"]["Pid"]
        self.name = self.inspect(self.containers[-1])["Name"].strip("/")

    def inspect(self, container):
        return self.api.engine.api("GET", f"/containers/{container}/json").json

    @contextlib.contextmanager
    def control(self, program):
        """A server in the same place that does no work: what is more than its figure is the name server's."""
        with subprocess.Popen(["chrt", "-f", "11", "nsenter", "-t", str(self.pid), "-n", program, "echo"], stdout=subprocess.PIPE) as echo:
            try:
                assert echo.stdout.readline() == b"ready\n"
                yield
            finally:
                echo.kill()

    def round(self, program, seconds, rate=None, server="127.0.0.11"):
        """None: no answer. (Docker 20.10's server is mute on some kernels.)"""
        done = subprocess.run([*(["chrt", "-f", "10"] if rate else []), "nsenter", "-t", str(self.pid), "-n", program, server, self.name,
                               str(MOST_OPEN if rate else OPEN), str(seconds), *([str(rate)] if rate else [])], stdout=subprocess.PIPE, text=True, check=False)
        return [int(word) for word in done.stdout.split()] if done.returncode == 0 else None

    def remove(self):
        for container in self.containers:
            self.api.remove(container)


def main(rounds=5, seconds=3, count=2):
    with contextlib.ExitStack() as stack:
        program = load(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(Engine())
        found = {"pouch": engines.Api(ours), **engines.started(stack, network=True, only=("dockerd",))}
        names, results = {}, {}
        for name, api in found.items():
            api.engine.busybox()
            names[name] = Names(api, count)
            stack.callback(names[name].remove)
        for _ in range(rounds):
            for name, asked in names.items():
                results.setdefault(name, []).append(None if None in results.get(name, []) else
                                                    asked.round(program, seconds))
        # Before all other work on the machine: what is measured is the server, not who else is there.
        subprocess.run(["chrt", "-f", "-p", "11", str(ours.pids()["dns"])], check=True)
        with names["pouch"].control(program):
            at_rate = [{server: names["pouch"].round(program, seconds, TARGET_RATE, server)
                        for server in ("127.0.0.11", "127.0.0.1")} for _ in range(rounds)]
        print(f"names, {count} containers, {OPEN} questions open at a time: medians of {rounds} rounds of {seconds} s")
        for name, figures in results.items():
            if None in figures:
                print(f"  {name:10} does not answer")
                continue
            rate, p50, p99, _, _ = (statistics.median(column) for column in list(zip(*figures))[:5])
            print(f"  {name:10} {rate:9.0f} answers/s   p50 {p50:5.0f} us   p99 {p99:5.0f} us   wrong "
                  f"{sum(row[4] for row in figures)}")
        for name, server in (("pouch", "127.0.0.11"), ("echo", "127.0.0.1")):
            rate, p50, p99, _, _, late = (statistics.median(column) for column in zip(*(turn[server] for turn in at_rate)))
            print(f"  {name}, asked {TARGET_RATE} times a second: {rate:.0f} answers/s   p50 {p50:.0f} us   p99 {p99:.0f} us, "
                  f"of which the asker was late {late:.0f} us")
        print(f"  target     {TARGET_RATE:9.0f} answers/s                  p99 {TARGET_P99:5.0f} us")


if __name__ == "__main__":
    main(*map(int, sys.argv[2:]))
