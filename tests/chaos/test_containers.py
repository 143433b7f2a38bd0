"""Clients create, start, exec, attach, stop and remove containers at random while each process is killed at random.

Afterwards everything agrees about what containers there are, every acknowledged one is there, and nothing is left of those
whose removal was acknowledged.
"""
import http.client
import json
import os
import random
import signal
import threading
import time

from tests.chaos.test_kills import LONG, SERVICES, wait_ready
from tests.harness import agree
from tests.harness.engine import Answer, Engine, UnixConnection

SECONDS = 180 if LONG else 15
CLIENTS = 6

# What a change may be answered with besides success: not now, not in this state, not there any more.
MAY = {503, 404, 409, 304}


class Worker(threading.Thread):
    """Has up to three containers of its own at a time, and remembers what was acknowledged about each."""

    def __init__(self, engine, number, seed, end):
        super().__init__()
        self.engine, self.number, self.end = engine, number, end
        self.random = random.Random(seed + number)
        self.there = {}  # name → True: acknowledged, None: not known
        self.gone = set()
        self.problems, self.done, self.cut = [], 0, 0
        self.made = 0

    def ask(self, method, path, body=None):
        connection = UnixConnection(self.engine.socket, timeout=40)
        try:
            connection.request(method, "/v1.43" + path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"} if body is not None else {})
            return Answer(connection.getresponse())
        except (http.client.HTTPException, ConnectionError):
            return None
        except TimeoutError:
            self.problems.append(f"{method} {path}: no answer")
            return None
        finally:
            connection.close()

    def change(self, method, path, body=None, may=frozenset(MAY)):
        """True: acknowledged. A status that may not be is a problem."""
        answer = self.ask(method, path, body)
        self.done += 1
        if answer is None or answer.status in (503, 500) and "was killed" in answer.body.decode():
            self.cut += 1
            return None
        if answer.status >= 300 and answer.status not in may:
            self.problems.append(f"{method} {path}: {answer}")
        return answer.status < 300

    def create(self):
        self.made += 1
        name = f"w{self.number}-{self.made}"
        network = self.random.choice(["none", "none", "bridge"])
        host = {"NetworkMode": network}
        if self.random.random() < 0.3:
            host["Binds"] = [f"vol{self.number}:/data"]
        said = self.change("POST", f"/containers/create?name={name}",
                           {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host, "StopTimeout": 0}, may={503})
        if said is not False:
            self.there[name] = said

    def remove(self, name):
        said = self.change("DELETE", f"/containers/{name}?force=1&v=1")
        if said:
            del self.there[name]
            self.gone.add(name)
        else:
            self.there[name] = None

    def execute(self, name):
        made = self.ask("POST", f"/containers/{name}/exec", {"Cmd": ["echo", "hi"], "AttachStdout": True})
        if made is not None and made.status == 201:
            self.ask("POST", f"/exec/{made.json['Id']}/start", {})
        self.done += 1

    def turn(self):
        # One whose creation was cut off may be there or not; its removal settles it.
        unsure = [n for n, state in self.there.items() if state is None]
        if unsure:
            answer = self.ask("DELETE", f"/containers/{unsure[0]}?force=1&v=1")
            if answer is not None and answer.status in (204, 404):
                del self.there[unsure[0]]
                self.gone.add(unsure[0])
            return
        if len(self.there) < 3:
            self.create()
            return
        name = self.random.choice(list(self.there))
        what = self.random.choice(["start", "start", "exec", "attach", "stop", "restart", "kill", "pause", "remove"])
        if what == "exec":
            self.execute(name)
        elif what == "attach":
            self.ask("POST", f"/containers/{name}/attach?stdout=1&logs=1")
        elif what == "remove":
            self.remove(name)
        elif what == "pause":
            if self.change("POST", f"/containers/{name}/pause"):
                self.change("POST", f"/containers/{name}/unpause")
        else:
            self.change("POST", f"/containers/{name}/{what}" + ("?t=0" if what in ("stop", "restart") else ""))

    def run(self):
        while time.monotonic() < self.end:
            try:
                self.turn()
            except OSError as problem:
                self.problems.append(f"{type(problem).__name__}: {problem}")


def test_containers_agree_after_kills():
    # covers D-16 D-17
    seed = int(os.environ.get("SEED", time.time()))
    print("SEED", seed)
    rng = random.Random(seed)
    with Engine(sets=["supervisor.backoff-max=200ms"]) as engine:
        engine.busybox()
        workers = [Worker(engine, n, seed, time.monotonic() + SECONDS) for n in range(CLIENTS)]
        for worker in workers:
            worker.start()
        killed = 0
        while any(worker.is_alive() for worker in workers):
            time.sleep(rng.uniform(0.1, 0.6))
            victims = [engine.pids().get(rng.choice(SERVICES))]
            if rng.random() < 0.2:
                victims = sorted(pid for pid in shim_pids(engine))[:1]
            for pid in filter(None, victims):
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
        for worker in workers:
            worker.join()
        wait_ready(engine)
        problems = [p for worker in workers for p in worker.problems]
        assert not problems, (seed, len(problems), problems[:10], engine.log()[-4000:])
        agree.wait(engine)
        names = {c["Names"][0].lstrip("/") for c in engine.api("GET", "/containers/json?all=1").json}
        for worker in workers:
            lost = {name for name, state in worker.there.items() if state} - names
            assert not lost, (seed, "acknowledged and not there", lost)
            assert not worker.gone & names, (seed, "removed and there", worker.gone & names)
        print(f"{sum(w.done for w in workers)} changes, {sum(w.cut for w in workers)} cut off, {killed} kills, "
              f"{sum(w.made for w in workers)} containers")
        for name in names:
            assert engine.api("DELETE", f"/containers/{name}?force=1&v=1").status == 204
        agree.wait(engine)


def shim_pids(engine):
    for directory in (engine.run / "runtimed/c").iterdir():
        try:
            pid = int((directory / "pid").read_text())
            with open(f"/proc/{pid}/status", encoding="ascii") as lines:
                yield int(next(line for line in lines if line.startswith("PPid:")).split()[1])
        except (OSError, ValueError, StopIteration):
            continue
