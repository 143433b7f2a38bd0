#!/usr/bin/env python3
"""Volumes beside dockerd and podman: create and remove, the list of many, a first use that copies nothing.
Usage: bench/volumes.py BUILD [VOLUMES [ROUNDS]]
"""
import contextlib
import functools
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import engines, peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402

# What ours is to hold.
LIFE_MS, LIST_MS = 5, 5


def call(api, method, path, body=None, status=(200, 201, 204)):
    answer = api.engine.api(method, path, body)
    assert answer.status in status, answer
    return answer


def life(api):
    call(api, "POST", "/volumes/create", {"Name": "bench"})
    call(api, "DELETE", "/volumes/bench")


def show(times, title, most):
    times.show(title, "pouch")
    kept = times.median("pouch") <= most
    print(f"  {'holds' if kept else 'MISSES'} at most {most} ms")


def main():
    count, rounds = (int(sys.argv[i]) if len(sys.argv) > i else value for i, value in ((2, 1000), (3, 50)))
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(Engine())
        engine.busybox()
        apis = {"pouch": engines.Api(engine), **engines.started(stack)}
        peers.favour([os.getpid(), *engine.pids().values(),
                      *(pid for name, api in apis.items() if name != "pouch" for pid in api.engine.pids())])
        show(peers.compare(rounds, {name: functools.partial(life, api) for name, api in apis.items()}), "create + remove", LIFE_MS)
        for api in apis.values():
            for i in range(count):
                call(api, "POST", "/volumes/create", {"Name": f"many{i}", "Labels": {"number": str(i)}})
            assert len(call(api, "GET", "/volumes").json["Volumes"]) == count
        show(peers.compare(rounds, {name: functools.partial(call, api, "GET", "/volumes") for name, api in apis.items()}),
             f"list of {count} volumes", LIST_MS)
        show(peers.compare(rounds, {name: functools.partial(life, api) for name, api in apis.items()}),
             f"create + remove beside {count}", LIFE_MS)
        one = {name: functools.partial(call, api, "GET", f"/volumes/many{count // 2}") for name, api in apis.items()}
        peers.compare(rounds, one).show(f"inspect among {count}", "pouch")
        usage = {name: functools.partial(call, api, "GET", "/system/df") for name, api in apis.items()}
        peers.compare(5, usage).show(f"system df with {count} volumes", "pouch")


main()
