"""kill -9 of each process that has a part in a pull, at any moment: the next pull succeeds, the store is whole, nothing lies
about. LONG=1: twenty moments each. And clients that leave."""
import http.client
import json
import os
import random
import signal
import threading
import time
import urllib.parse

import pytest

from tests.harness.engine import Engine, UnixConnection
from tests.harness.fake_registry import FakeRegistry
from tests.harness.long import LONG
from tests.harness.rootfs import Tar
from tests.harness.store import staged, wait_unstaged

MOMENTS = 20 if LONG else 2


@pytest.fixture(scope="module")
def engine():
    with Engine(sets=["images.min-free=0"]) as running:
        yield running


@pytest.fixture(scope="module")
def registry():
    with FakeRegistry() as running:
        layers = []
        for i in range(6):
            tar = Tar()
            for k in range(40):
                tar.file(f"layer-{i}/file-{k}", os.urandom(20000))
            layers.append(tar.bytes())
        running.image = running.add("box", "1", layers)
        yield running


def request(engine, registry):
    query = urllib.parse.urlencode({"fromImage": f"{registry.host}/box", "tag": "1"})
    return engine.api("POST", f"/images/create?{query}")


def remove(engine, registry):
    engine.api("DELETE", f"/images/{registry.host}/box:1?force=1")


def whole(engine, registry):
    answer = request(engine, registry)
    assert answer.status == 200 and b'"error"' not in answer.body, answer
    wait_unstaged(engine)
    store = engine.root / "imaged"
    assert {"sha256:" + name for name in os.listdir(store / "blobs")} >= set(registry.image.layers)
    for i, diff in enumerate(engine.api("GET", f"/images/{registry.host}/box:1/json").json["RootFS"]["Layers"]):
        assert len(os.listdir(store / "layers" / diff.removeprefix("sha256:") / f"layer-{i}")) == 40


@pytest.mark.parametrize("process", ["imaged", "image-fetch", "image-unpack"])
def test_kill(engine, registry, process):
    remove(engine, registry)
    begun = time.monotonic()
    whole(engine, registry)
    length = time.monotonic() - begun
    for _ in range(MOMENTS):
        remove(engine, registry)
        answers = []

        def pull():
            try:
                answers.append(request(engine, registry))
            except (OSError, http.client.HTTPException) as problem:
                answers.append(problem)

        thread = threading.Thread(target=pull)
        thread.start()
        moment = time.monotonic() + random.uniform(0, length)
        killed = None
        while thread.is_alive() and killed is None:
            pid = engine.pids().get(process)
            if pid and time.monotonic() >= moment:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed = pid
                except ProcessLookupError:
                    pass
        thread.join()
        whole(engine, registry)


def begin(engine, registry):
    """A client that has asked for the pull and seen it begin."""
    query = urllib.parse.urlencode({"fromImage": f"{registry.host}/box", "tag": "1"})
    connection = UnixConnection(engine.socket)
    connection.request("POST", f"/v1.43/images/create?{query}")
    answer = connection.getresponse()
    assert "Pulling from" in answer.readline().decode()
    return connection, answer


def stalling(registry, i=5):
    """From now on one layer comes when the returned event is set."""
    go = threading.Event()

    def misbehave(handler):
        if handler.path.endswith(registry.image.layers[i]):
            go.wait(60)
        return False

    registry.misbehave = misbehave
    return go


def test_the_client_leaves(engine, registry):
    remove(engine, registry)
    go = stalling(registry)
    connection, answer = begin(engine, registry)
    answer.close()
    connection.close()
    engine.wait_for(lambda: "image-fetch" not in engine.pids() and not staged(engine))  # it does not go on for nobody
    go.set()
    registry.misbehave = None
    whole(engine, registry)


def test_one_of_two_clients_leaves(engine, registry):
    remove(engine, registry)
    registry.seen.clear()
    go = stalling(registry)
    first, first_answer = begin(engine, registry)
    second, second_answer = begin(engine, registry)
    first_answer.close()
    first.close()
    go.set()
    lines = [json.loads(line) for line in second_answer.read().splitlines() if line.strip()]
    second.close()
    assert lines[-1]["status"].startswith("Status: Downloaded newer image"), lines[-3:]
    fetched = [path for path in registry.asked("GET") if "/blobs/" in path]
    assert len(fetched) == len(set(fetched)) == 7, fetched
    registry.misbehave = None
    whole(engine, registry)
