"""A full disk, and processes killed at any moment: a clear error, a whole store, nothing staged, and on it goes."""
import contextlib
import gzip
import http.client
import os
import random
import subprocess
import threading
import time

import pytest

from tests.harness.disk import small_disk
from tests.harness.engine import Engine
from tests.harness.long import LONG
from tests.harness.rootfs import Tar
from tests.harness.store import (assert_whole, blobs, failure, import_raw, layers, load, save_archive, wait_unstaged)

MIB = 1 << 20


@pytest.fixture(params=[0, 16 * MIB], ids=["without-a-mark", "with-a-mark"])
def tight(request):
    """An engine whose image store has 64 MiB, and keeps so much of it free."""
    engine = Engine(sets=[f"images.min-free={request.param}"])
    with engine:
        engine.stop()
        with small_disk(engine, "imaged", 64 * MIB):
            engine.start()
            yield engine
            engine.stop()


def noise_tar(size, seed=0, files=8):
    tar = Tar()
    for i in range(files):
        tar.file(f"f{i}", random.Random(seed * 1000 + i).randbytes(size // files))
    return tar.bytes()


def space(engine):
    st = os.statvfs(engine.root / "imaged")
    return st.f_bavail * st.f_frsize


def test_full_disk(tight):  # covers D-21 S-22
    small = noise_tar(4 * MIB, 1)
    assert not failure(import_raw(tight, small, "kept:1"))
    before, free = (layers(tight), blobs(tight)), space(tight)
    big = noise_tar(48 * MIB, 2)
    many = Tar()
    for i in range(20000):
        many.file(f"{i}", b"x")
    for answer in (import_raw(tight, big, "big:1"), load(tight, save_archive([big], ["big:1"])),
                   load(tight, save_archive([noise_tar(12 * MIB, 4), big], ["big:1"], pack=gzip.compress)),
                   import_raw(tight, many.bytes(), "many:1")):
        why = failure(answer)
        assert why and "no space" in why.lower(), answer
        assert answer.status in (200, 507), answer
        wait_unstaged(tight)
        assert (layers(tight), blobs(tight)) == before
    assert space(tight) >= free - MIB
    assert_whole(tight)
    assert tight.api("GET", "/images/kept:1/json").status == 200
    assert not failure(import_raw(tight, noise_tar(4 * MIB, 3), "after:1"))
    assert_whole(tight)


def test_full_disk_of_others(tight):
    """Somebody else has filled it: reading, listing and removing work, and removing makes room."""
    for i in range(3):
        assert not failure(import_raw(tight, noise_tar(3 * MIB, i), f"i:{i}"))
    hog = tight.root / "imaged" / "lost+found" / "hog"
    with contextlib.suppress(OSError), open(hog, "wb") as file:
        while True:
            file.write(bytes(MIB))
    assert failure(import_raw(tight, noise_tar(3 * MIB, 9), "more:1"))
    assert len(tight.api("GET", "/images/json").json) == 3
    assert tight.docker("rmi", "i:0").returncode == 0
    hog.unlink()
    wait_unstaged(tight)
    assert not failure(import_raw(tight, noise_tar(3 * MIB, 9), "more:1"))
    assert_whole(tight)


def workers(engine):
    """Pids of the engine's running unpack workers."""
    return [pid for name, pid in all_children(engine) if name == "image-unpack"]


def all_children(engine):
    rows = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(engine.process.pid)], stdout=subprocess.PIPE, text=True,
                          check=False).stdout.split("\n")
    return [(row.split()[1], int(row.split()[0])) for row in rows if row.strip()]


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)


def packed(data):
    return gzip.compress(data, 1)


def in_background(fn):
    result = []

    def run():
        try:
            result.append(failure(fn()))
        except (OSError, http.client.HTTPException) as error:  # the connection broke
            result.append(str(error))
    thread = threading.Thread(target=run)
    thread.start()
    return thread, result


@pytest.fixture
def hurried():
    """An engine whose processes are started again at once, however often they end."""
    with Engine(sets=["supervisor.backoff-max=50ms"]) as engine:
        yield engine


@pytest.mark.parametrize("what", ["imaged", "image-unpack"])
def test_killed_at_random_moments(hurried, what):  # covers S-22 D-17
    """Kill -9 at moments spread over a load: what was answered is there, what was not is not, nothing is half."""
    base = noise_tar(1 * MIB, 1)
    assert not failure(import_raw(hurried, base, "base:1"))
    dice = random.Random(os.urandom(8)).random
    archive = save_archive([noise_tar(MIB, 10), noise_tar(MIB, 11)], ["turn:1"], pack=packed)
    for turn in range(40 if LONG else 6):
        thread, result = in_background(lambda: load(hurried, archive))
        time.sleep(dice() * 0.15)  # the moment is the test
        victims = [hurried.pids()["imaged"]] if what == "imaged" and "imaged" in hurried.pids() else workers(hurried)
        for pid in victims:
            kill(pid)
        thread.join()
        image = hurried.api("GET", "/images/turn:1/json")
        if result[0] is None:
            assert image.status == 200, turn
        else:
            assert image.status in (200, 404), (turn, image)
            assert not failure(load(hurried, archive)), turn
        assert hurried.api("GET", "/images/base:1/json").status == 200
        assert hurried.api("DELETE", "/images/turn:1").status == 200
    wait_unstaged(hurried)
    assert_whole(hurried)
    hurried.api("POST", "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D")
    wait_unstaged(hurried)
    assert not layers(hurried) and not blobs(hurried)


def test_collection_beside_loads(fresh):
    """Removing and pruning while loads of the same layers run takes nothing that a load has counted on."""
    tars = [noise_tar(1 * MIB, i) for i in range(4)]
    archives = [save_archive(tars[:2] + [tars[2 + k]], [f"side:{k}"]) for k in range(2)]
    assert not failure(load(fresh, archives[0]))
    for _ in range(30 if LONG else 6):
        jobs = [in_background(lambda a=a: load(fresh, a)) for a in archives]
        while any(thread.is_alive() for thread, _ in jobs):
            fresh.api("DELETE", "/images/side:0?force=1")
            fresh.api("POST", "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D")
        assert [result for _, result in jobs] == [[None], [None]]
        for k in range(2):
            assert not failure(load(fresh, archives[k]))
        assert_whole(fresh)
    wait_unstaged(fresh)


def test_a_client_that_leaves(fresh):
    """The half of an upload is dropped with its client."""
    import socket
    for path in ("/images/create?fromSrc=-&repo=left", "/images/load"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(fresh.socket))
        client.sendall(f"POST /v1.43{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".encode() + noise_tar(MIB)[:MIB // 2])
        fresh.wait_for(lambda: workers(fresh))
        client.close()
        wait_unstaged(fresh)
        fresh.wait_for(lambda: not workers(fresh))
    assert fresh.api("GET", "/images/json").json == []
