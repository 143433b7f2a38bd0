#!/usr/bin/env python3
"""Containers beside dockerd, podman and bare crun: a life, its steps, exec, stop, four clients at once; then Pouch with
many of them: lists, starts, memory, a restart. Usage: bench/containers.py BUILD [ROUNDS [RUNNING [CREATED]]]
"""
import contextlib
import functools
import os
import pathlib
import select
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import engines, peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402


def number(index, otherwise):
    return int(sys.argv[index]) if len(sys.argv) > index else otherwise


ROUNDS, RUNNING, CREATED = number(2, 20), number(3, 500), number(4, 1000)
STEADY = 6  # seconds after which a daemon's death is a first one again


def say(what, value, unit, target):
    print(f"  {what:44} {value:9.2f} {unit:4} (target: {target})", flush=True)


# ---- beside the others ----

def lives(apis, crun):
    for network, target in (("none", 2.0), ("bridge", 2.5)):
        contenders = {"bare crun": crun.run}
        contenders.update({name: functools.partial(api.life, network) for name, api in apis.items()})
        peers.compare(ROUNDS, contenders).show(
            f"create + start + wait + remove, network {network} (target: {target} × bare crun, 12 × faster than dockerd)",
            "bare crun")


def steps(apis):
    """create and remove, each alone."""
    taken = {name: {} for name in apis}

    def create(name):
        taken[name]["id"] = apis[name].create(["true"])

    def remove(name):
        apis[name].remove(taken[name]["id"])

    samples = {"create": {name: [] for name in apis}, "remove": {name: [] for name in apis}}
    for _ in range(ROUNDS + 1):
        for name in apis:
            samples["create"][name].append(peers.once(functools.partial(create, name)))
            samples["remove"][name].append(peers.once(functools.partial(remove, name)))
    for step, target in (("create", 4), ("remove", 6)):
        peers.Times({name: values[1:] for name, values in samples[step].items()}).show(f"{step} (target: {target} ms)",
                                                                                     "pouch")


def execs(apis):
    running = {name: api.create(["sleep", "10000"]) for name, api in apis.items()}
    for name, api in apis.items():
        api.start(running[name])
    peers.compare(ROUNDS, {name: functools.partial(api.exec, running[name], ["true"]) for name, api in apis.items()}
                  ).show("exec true, attached, with its inspect (target: 5 × faster than dockerd)", "pouch")
    for name, api in apis.items():
        api.remove(running[name])


def stop_delay(api):
    """Milliseconds from the end of a process that obeys SIGTERM to the answer of stop."""
    container = api.create(["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"])
    api.start(container)
    pid = api.engine.api("GET", f"/containers/{container}/json").json["State"]["Pid"]
    with contextlib.closing(Pidfd(pid)) as process:
        watcher = threading.Thread(target=process.watch)
        watcher.start()
        answer = api.engine.api("POST", f"/containers/{container}/stop")
        answered = time.perf_counter()
        watcher.join()
    assert answer.status == 204, answer
    api.remove(container)
    return (answered - process.ended) * 1000


class Pidfd:
    def __init__(self, pid):
        self.fd = os.pidfd_open(pid)
        self.ended = None

    def watch(self):
        select.select([self.fd], [], [])
        self.ended = time.perf_counter()

    def close(self):
        os.close(self.fd)


def stops(apis):
    samples = {name: [] for name in apis}
    for _ in range(ROUNDS):
        for name, api in apis.items():
            samples[name].append(stop_delay(api))
    peers.Times(samples).show("stop, from the process's end to the answer (target: 15 ms)", "pouch")


def parallel(api, clients, each):
    """Lives a second of `clients` at once."""
    failures = []

    def client():
        try:
            for _ in range(each):
                api.life()
        except (AssertionError, OSError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return clients * each / (time.perf_counter() - began)


def four_clients(apis):
    print("four clients at once (target: 10 × dockerd's containers a second)")
    rates = {name: statistics.median(parallel(api, 4, 5) for _ in range(max(1, ROUNDS // 4))) for name, api in apis.items()}
    for name, rate in rates.items():
        beside = f"   {rate / rates['dockerd']:6.1f} × dockerd" if "dockerd" in rates else ""
        print(f"  {name:16} {rate:9.1f} containers/s{beside}", flush=True)


# ---- many ----

def median_of(rounds, what):
    what()
    return statistics.median(peers.once(what) for _ in range(rounds))


def listing(api, query=""):
    return lambda: api.engine.api("GET", f"/containers/json{query}").body


def start_time(api):
    """Milliseconds of starting one more, which is removed again."""
    container = api.create(["sleep", "10000"])
    taken = peers.once(lambda: api.start(container))
    api.remove(container)
    return taken


def shims(engine):
    """Pids of shims; other engines' too."""
    program = str(engine.build / "shim")
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "exe") == program:
                    found.append(int(entry.name))
    return found


def restart(engine):
    """Milliseconds without service when runtimed is killed: one crash, not a series, before which the supervisor pauses."""
    time.sleep(STEADY)
    old = engine.pids()["runtimed"]
    os.kill(old, signal.SIGKILL)
    taken = peers.once(lambda: engine.api("GET", "/containers/json?limit=1"))
    assert engine.pids()["runtimed"] != old
    return taken


def starts(api, crun):
    """Medians, taken in turn: a start by the engine; a container's whole life by bare crun."""
    times = [(start_time(api), peers.once(crun.run)) for _ in range(ROUNDS + 1)][1:]
    return [statistics.median(values) for values in zip(*times)]


def many_running(api, engine, crun):
    print(f"with {RUNNING} running containers")
    first, bare = starts(api, crun)
    idle = peers.pss([engine.process.pid, *engine.pids().values()])
    before = set(shims(engine))
    for _ in range(RUNNING):
        api.start(api.create(["sleep", "10000"]))
    of_shims = peers.pss(set(shims(engine)) - before) / RUNNING
    share = (peers.pss([engine.process.pid, *engine.pids().values()]) - idle) / RUNNING
    say("engine memory of one, shim", of_shims * 1024, "KiB", "512 together")
    say("engine memory of one, share of the daemons", share * 1024, "KiB", "512 together")
    say("list", median_of(ROUNDS, listing(api)), "ms", "5")
    last, bare_last = starts(api, crun)
    say("start of one more", last, "ms", f"1.3 × the first's {first:.2f}: {last / first:.2f} ×")
    say("a life by bare crun beside them", bare_last, "ms",
        f"none, the kernel's share: {bare_last / bare:.2f} × the first's {bare:.2f}")
    say("restart of runtimed, to the next answer", statistics.median(restart(engine) for _ in range(5)), "ms", "300")


def many_created(api):
    print(f"with {CREATED} created containers")
    ids = [api.create(["true"]) for _ in range(CREATED)]
    say("list of all", median_of(ROUNDS, listing(api, "?all=1")), "ms", "5")
    inspect = functools.partial(api.engine.api, "GET", f"/containers/{ids[CREATED // 2]}/json")
    say("inspect", median_of(ROUNDS, lambda: inspect().body), "ms", "1")


def main():
    with contextlib.ExitStack() as stack:
        apis = {"pouch": engines.Api(stack.enter_context(Engine()))}
        apis.update(engines.started(stack, network=True))
        for api in apis.values():
            api.engine.busybox()
        lives(apis, stack.enter_context(peers.Crun()))
        steps(apis)
        execs(apis)
        stops(apis)
        four_clients(apis)
    with Engine() as engine:
        engine.busybox()
        many_created(engines.Api(engine))
    with Engine() as engine, peers.Crun() as crun:
        engine.busybox()
        many_running(engines.Api(engine), engine, crun)


if __name__ == "__main__":
    main()
