"""SIGKILL of every process at random while clients work; SIGSTOP of a helper."""
import http.client
import json
import os
import random
import signal
import threading
import time

import pytest

from tests.chaos import load
from tests.chaos.load import SERVICES, kill_under, seeded, settle
from tests.harness.engine import Answer, Engine, UnixConnection
from tests.harness.long import LONG

KILLS = 600 if LONG else 40
CLIENTS, RATE = 10, 50  # threads; requests a second by all of them
READS = ["/_ping", "/version", "/info", "/containers/json?all=1", "/images/json", "/volumes", "/networks"]


class Client(load.Client):
    """Reads over a kept connection, and now and then creates or removes a volume."""

    def __init__(self, engine, number, seed):
        super().__init__(engine, number, seed)
        self.connection = None
        self.volumes = {}  # name → must it exist? None: a change of it was cut off
        self.slowest, self.refused, self.ended = 0.0, 0, 0
        self.due = time.monotonic() + self.random.random() * CLIENTS / RATE

    def request(self, method, path, body=None):
        if self.connection is None:
            self.connection = UnixConnection(self.engine.socket, timeout=60)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            self.connection.request(method, "/v1.43" + path, body, headers)
            return Answer(self.connection.getresponse())
        except (http.client.HTTPException, ConnectionResetError, BrokenPipeError):
            self.connection.close()
            self.connection = None
            self.ended += 1
            return None  # the connection ended before the answer

    def read(self):
        path = self.random.choice(READS)
        while (answer := self.request("GET", path)) is None:
            pass  # as often as apid is killed, which is counted in the end
        if answer.status != 200:
            self.problems.append(f"GET {path}: {answer}")

    def change(self):
        name = f"v{self.number}-{self.random.randrange(5)}"
        if self.volumes.get(name):
            answer, good = self.request("DELETE", f"/volumes/{name}"), False
            expected = (204,)
        else:
            answer, good = self.request("POST", "/volumes/create", json.dumps({"Name": name})), True
            expected = (201,)
        if answer is not None and answer.status in expected:
            self.volumes[name] = good
        elif answer is None or answer.status == 503 or (answer.status == 404 and self.volumes.get(name) is None):
            self.volumes[name] = None  # all or nothing, but which is not known; the next change tells
            self.refused += 1
        else:
            self.problems.append(f"{name}: {answer}")

    def turn(self):
        pause = CLIENTS / RATE
        time.sleep(max(0, self.due - time.monotonic()))
        self.due = max(self.due + pause, time.monotonic() - pause)
        start = time.monotonic()
        try:
            self.change() if self.random.random() < 0.2 else self.read()
        except OSError as problem:
            self.problems.append(f"{type(problem).__name__}: {problem}")
            self.connection = None
        self.slowest = max(self.slowest, time.monotonic() - start)


def test_kill_each_at_random_under_load():
    # covers D-16 D-17
    seed = seeded()
    rng = random.Random(seed)
    with Engine(sets=["supervisor.backoff-max=200ms"]) as engine:
        engine.busybox()
        engine.docker("run", "-d", "--name", "on", "--network", "none", "busybox", "sleep", "3600")
        pid = json.loads(engine.docker("inspect", "on").stdout)[0]["State"]["Pid"]
        clients = [Client(engine, n, seed) for n in range(CLIENTS)]

        def victim():
            name = rng.choice(SERVICES)
            return name, engine.pids().get(name)

        killed = kill_under(clients, KILLS, (0.2, 0.8), rng, victim)
        settle(engine, clients, seed)
        assert all(client.ended <= killed.get("apid", 0) for client in clients), (seed, killed, [c.ended for c in clients])
        # Every acknowledged change is there, and nothing else than what was asked for.
        names = {v["Name"] for v in engine.api("GET", "/volumes").json["Volumes"]}
        for client in clients:
            for name, exists in client.volumes.items():
                assert exists is None or (name in names) == exists, (seed, name, exists)
        assert names <= {name for client in clients for name in client.volumes}
        # The container has not noticed.
        assert json.loads(engine.docker("inspect", "on").stdout)[0]["State"]["Pid"] == pid
        assert engine.docker("exec", "on", "echo", "well").stdout == "well\n"
        print(f"{sum(c.turns for c in clients)} requests, kills: {killed}, {sum(c.refused for c in clients)} changes cut off, "
              f"slowest answer {max(c.slowest for c in clients) * 1000:.0f} ms")


@pytest.mark.parametrize("frozen, path", [("volumed", "/volumes"), ("imaged", "/images/json"), ("netd", "/networks"),
                                          ("runtimed", "/containers/json")])
def test_a_frozen_helper_costs_its_own_routes(frozen, path):
    routes = {"volumed": "/volumes", "imaged": "/images/json", "runtimed": "/containers/json"}
    with Engine(sets=["limits.request-timeout=4s"]) as engine:
        others = [route for helper, route in routes.items() if helper != frozen]
        for warm in (path, *others):
            assert engine.api("GET", warm).status == 200
        pid = engine.pids()[frozen]
        os.kill(pid, signal.SIGSTOP)
        try:
            results = {}
            asking = threading.Thread(target=lambda: results.update(own=engine.api("GET", path)))
            asking.start()
            for other in others:
                assert engine.api("GET", other).status == 200
            asking.join()
            assert results["own"].status == 504, results["own"]
        finally:
            os.kill(pid, signal.SIGCONT)
        deadline = time.monotonic() + 60
        while (answer := engine.api("GET", path)).status != 200:
            assert time.monotonic() < deadline, answer
        assert engine.pids()[frozen] == pid


def test_a_killed_supervisor_under_load():
    """The sockets go with it, so that connections may be refused; nothing acknowledged is lost."""
    with Engine() as engine:
        engine.busybox()
        engine.docker("run", "-d", "--name", "on", "--network", "none", "busybox", "sleep", "3600")
        for n in range(5 if LONG else 2):
            assert engine.api("POST", "/volumes/create", {"Name": f"v{n}"}).status == 201
            engine.stop(signal.SIGKILL)
            engine.start()
            names = {v["Name"] for v in engine.api("GET", "/volumes").json["Volumes"]}
            assert names == {f"v{i}" for i in range(n + 1)}
        assert engine.docker("exec", "on", "echo", "well").stdout == "well\n"
