"""What the tests of kills share: clients that work all the while, and the kills."""
import http.client
import json
import os
import random
import signal
import threading
import time

from tests.harness.engine import Answer, UnixConnection

SERVICES = ["apid", "auditd", "imaged", "volumed", "netd", "runtimed"]
TIMEOUT = 60


class Client(threading.Thread):
    """Does turn() until it is told to end; what must not be goes to `problems`."""

    def __init__(self, engine, number, seed=0):
        super().__init__()
        self.engine, self.number = engine, number
        self.random = random.Random(seed * 100 + number)
        self.problems, self.turns = [], 0
        self.end = threading.Event()

    def prepare(self):
        """Once, before the first turn."""

    def turn(self):
        raise NotImplementedError

    def run(self):
        try:
            self.prepare()
            while not self.end.is_set():
                self.turn()
                self.turns += 1
        except Exception as problem:  # a client that has stopped tests nothing
            self.problems.append(f"{type(problem).__name__}: {problem}")

    def ask(self, method, path, body=None):
        """The answer; None when the connection ended before it."""
        connection = UnixConnection(self.engine.socket, timeout=TIMEOUT)
        try:
            connection.request(method, "/v1.43" + path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"} if body is not None else {})
            return Answer(connection.getresponse())
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            connection.close()


def seeded():
    """A seed, which SEED=… gives again."""
    seed = int(os.environ.get("SEED", time.time()))
    print("SEED", seed)
    return seed


def kill_under(clients, kills, pauses, rng, victim):
    """Ends what victim() names, after a pause each, until so many were killed while all clients worked. Counts them by name.

    victim() → (name, pid); pid may be None: nothing is there to be killed now."""
    killed = {}
    for client in clients:
        client.start()
    try:
        while sum(killed.values()) < kills and all(client.is_alive() for client in clients):
            time.sleep(rng.uniform(*pauses))
            name, pid = victim()
            try:
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    killed[name] = killed.get(name, 0) + 1
            except ProcessLookupError:
                pass
    finally:
        for client in clients:
            client.end.set()
        for client in clients:
            client.join()
    return killed


def status(engine):
    return json.loads(engine.ctl("status", "--json").stdout)


def settle(engine, clients, seed):
    """Every service is ready again, and no client has met what must not be."""
    engine.wait_for(lambda: all(s["State"] == "ready" for s in status(engine)["Services"]))
    problems = [p for client in clients for p in client.problems]
    assert not problems, (seed, len(problems), problems[:10], engine.log()[-4000:])
    assert all(client.turns for client in clients), "a client has done nothing"
