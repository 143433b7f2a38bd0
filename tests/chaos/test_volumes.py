"""volumed and its mount worker are killed while containers with volumes of every kind are made, started, ended and removed.

Data is never gone while something refers to it; no mount, directory, record or hold is left behind.
"""
import random

from tests.chaos.load import Client, kill_under, seeded, settle
from tests.harness import agree, leaks
from tests.harness.engine import Engine
from tests.harness.long import LONG

KILLS = 600 if LONG else 60
CLIENTS = 4
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


class Worker(Client):
    """One named volume of its own, which a container of it always refers to and which has a file in it: the data."""

    def __init__(self, engine, number, seed):
        super().__init__(engine, number, seed)
        self.cut = 0
        self.data = f"data{number}"

    def ask(self, method, path, body=None):
        """None: cut off by a kill; a change may have been made or not."""
        answer = super().ask(method, path, body)
        if answer is not None and (answer.status == 503 or answer.status == 500 and "given up" in answer.message):
            answer = None
        self.cut += answer is None
        return answer

    def until_answered(self, method, path, body=None, may=()):
        """As a client does it that wants it done: again, as every change is all or nothing."""
        while (answer := self.ask(method, path, body)) is None:
            pass
        if answer.status >= 300 and answer.status not in may:
            self.problems.append(f"{method} {path}: {answer}")
        return answer

    def create(self, name, *mounts, command=("true",)):
        self.until_answered("POST", f"/containers/create?name={name}",
                            {"Image": "busybox", "Cmd": list(command),
                             "HostConfig": {"NetworkMode": "none", "Mounts": [{"Type": "volume", **m} for m in mounts]}}, may=(409,))

    def remove(self, name):
        self.until_answered("DELETE", f"/containers/{name}?force=1&v=1", may=(404, 409))

    def run_once(self, name):
        self.until_answered("POST", f"/containers/{name}/start", may=(304,))
        answer = self.until_answered("POST", f"/containers/{name}/wait")
        return answer.json.get("StatusCode")

    def prepare(self):
        self.create(f"keeper{self.number}", {"Source": self.data, "Target": "/d"}, command=["sh", "-c", "echo data > /d/file; sync"])
        if self.run_once(f"keeper{self.number}") != 0:
            self.problems.append("the data was not written")

    def turn(self):
        name = f"c{self.number}-{self.turns}"
        self.create(name, {"Source": self.data, "Target": "/d"}, {"Target": "/anonymous"},
                    {"Source": f"mem{self.number}", "Target": "/m", "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": TMPFS}}},
                    command=["sh", "-c", "touch /anonymous/x && grep -q ' /m .*tmpfs' /proc/self/mountinfo && grep -q data /d/file"])
        status = self.run_once(name)
        if status not in (0, None):
            self.problems.append(f"{name} ended with {status}: a volume was not what it should be")
        for volume in (self.data, self.data):  # referred to by the keeper, whatever else goes on
            answer = self.ask("DELETE", f"/volumes/{volume}?force=1")
            if answer is not None and answer.status != 409:
                self.problems.append(f"removal of the data: {answer}")
        self.remove(name)


def test_volumes_agree_after_kills():
    # covers D-16 D-17
    seed = seeded()
    rng = random.Random(seed)
    with Engine(sets=["supervisor.backoff-max=200ms"]) as engine:
        engine.busybox()
        workers = [Worker(engine, n, seed) for n in range(CLIENTS)]

        def victim():
            pids = engine.pids()
            name = "volume-mount" if "volume-mount" in pids and rng.random() < 0.7 else "volumed"
            return name, pids.get(name)

        killed = kill_under(workers, KILLS, (0.02, 0.4), rng, victim)
        settle(engine, workers, seed)
        print(f"{sum(w.turns for w in workers)} rounds, {sum(w.cut for w in workers)} cut off, kills: {killed}")
        agree.wait(engine)
        listed = {v["Name"] for v in engine.api("GET", "/volumes").json["Volumes"]}
        assert {w.data for w in workers} <= listed <= {name for w in workers for name in (w.data, f"mem{w.number}")}, listed
        for worker in workers:
            assert (engine.root / "volumed/volumes" / worker.data / "_data/file").read_text() == "data\n"
            worker.remove(f"keeper{worker.number}")
        for name in listed:
            assert engine.api("DELETE", f"/volumes/{name}").status == 204
        agree.wait(engine)
        assert not leaks.mounts(engine)
