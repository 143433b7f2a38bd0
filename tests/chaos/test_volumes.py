"""volumed and its mount worker are killed while containers with volumes of every kind are made, started, ended and removed.

Data is never gone while something refers to it; no mount, directory, record or hold is left behind.
"""
import http.client
import json
import os
import random
import signal
import threading
import time

from tests.chaos.test_kills import LONG, wait_ready
from tests.harness import agree, leaks
from tests.harness.engine import Answer, Engine, UnixConnection

SECONDS = 120 if LONG else 12
CLIENTS = 4
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


class Worker(threading.Thread):
    """One named volume of its own, which a container of it always refers to and which has a file in it: the data."""

    def __init__(self, engine, number, seed, end):
        super().__init__()
        self.engine, self.number, self.end = engine, number, end
        self.random = random.Random(seed * 100 + number)
        self.problems, self.rounds, self.cut = [], 0, 0
        self.data = f"data{number}"

    def ask(self, method, path, body=None):
        """None: cut off by a kill; a change may have been made or not."""
        connection = UnixConnection(self.engine.socket, timeout=60)
        try:
            connection.request(method, "/v1.43" + path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"} if body is not None else {})
            answer = Answer(connection.getresponse())
        except (http.client.HTTPException, ConnectionError):
            answer = None
        finally:
            connection.close()
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
        self.rounds += 1
        name = f"c{self.number}-{self.rounds}"
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

    def run(self):
        try:
            self.prepare()
            while time.monotonic() < self.end:
                self.turn()
        except (OSError, ValueError, KeyError) as problem:
            self.problems.append(f"{type(problem).__name__}: {problem}")


def test_volumes_agree_after_kills():
    # covers D-16 D-17
    seed = int(os.environ.get("SEED", time.time()))
    print("SEED", seed)
    rng = random.Random(seed)
    with Engine(sets=["supervisor.backoff-max=200ms"]) as engine:
        engine.busybox()
        workers = [Worker(engine, n, seed, time.monotonic() + SECONDS) for n in range(CLIENTS)]
        for worker in workers:
            worker.start()
        killed = {"volumed": 0, "volume-mount": 0}
        while any(worker.is_alive() for worker in workers):
            time.sleep(rng.uniform(0.02, 0.4))
            pids = engine.pids()
            victim = "volume-mount" if "volume-mount" in pids and rng.random() < 0.7 else "volumed"
            try:
                os.kill(pids[victim], signal.SIGKILL)
                killed[victim] += 1
            except (KeyError, ProcessLookupError):
                pass
        for worker in workers:
            worker.join()
        wait_ready(engine)
        problems = [p for worker in workers for p in worker.problems]
        print(f"{sum(w.rounds for w in workers)} rounds, {sum(w.cut for w in workers)} cut off, kills: {killed}")
        assert not problems, (seed, len(problems), problems[:10], engine.log()[-4000:])
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
