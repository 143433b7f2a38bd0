"""Clients create, start, exec, attach, stop and remove containers at random while each process is killed at random.

Afterwards everything agrees about what containers there are, every acknowledged one is there, and nothing is left of those
whose removal was acknowledged.
"""
import random

from tests.chaos.load import SERVICES, Client, kill_under, seeded, settle
from tests.harness import agree
from tests.harness.engine import Engine
from tests.harness.long import LONG

KILLS = 500 if LONG else 40
CLIENTS = 6

# What a change may be answered with besides success: not now, not in this state, not there any more.
MAY = {503, 404, 409, 304}


class Worker(Client):
    """Has up to three containers of its own at a time, and remembers what was acknowledged about each."""

    def __init__(self, engine, number, seed):
        super().__init__(engine, number, seed)
        self.there = {}  # name → True: acknowledged, None: not known
        self.gone = set()
        self.done, self.cut, self.made = 0, 0, 0

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


def test_containers_agree_after_kills():
    # covers D-16 D-17
    seed = seeded()
    rng = random.Random(seed)
    with Engine(sets=["supervisor.backoff-max=200ms"]) as engine:
        engine.busybox()
        workers = [Worker(engine, n, seed) for n in range(CLIENTS)]

        def victim():
            if rng.random() < 0.2:
                return "shim", min(shim_pids(engine), default=None)
            name = rng.choice(SERVICES)
            return name, engine.pids().get(name)

        killed = kill_under(workers, KILLS, (0.1, 0.6), rng, victim)
        settle(engine, workers, seed)
        agree.wait(engine)
        names = {c["Names"][0].lstrip("/") for c in engine.api("GET", "/containers/json?all=1").json}
        for worker in workers:
            lost = {name for name, state in worker.there.items() if state} - names
            assert not lost, (seed, "acknowledged and not there", lost)
            assert not worker.gone & names, (seed, "removed and there", worker.gone & names)
        print(f"{sum(w.done for w in workers)} changes, {sum(w.cut for w in workers)} cut off, kills: {killed}, "
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
