"""The store of volumes: a full disk, a large volume that goes, what a crash leaves."""
import contextlib
import os
import signal
import subprocess
import threading

import pytest

from tests.harness import agree
from tests.harness.disk import small_disk
from tests.harness.engine import Engine

MIB = 1 << 20


def create(engine, name, **more):
    return engine.api("POST", "/volumes/create", {"Name": name, **more})


@contextlib.contextmanager
def filled(place):
    """Not a block is left, not even for a file of one byte."""
    hog = place / "hog"
    with open(hog, "wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        hog.unlink()


@pytest.fixture
def tight():
    engine = Engine()
    with engine:
        engine.busybox()
        engine.stop()
        with small_disk(engine, "volumed", 32 * MIB) as place:
            engine.start()
            yield engine, place
            engine.remove_containers()
            engine.stop()


def test_full_disk(tight):
    """A clear error, nothing half there, what there is stays and can be read and removed; and on it goes. covers D-21"""
    engine, place = tight
    assert create(engine, "kept").status == 201
    engine.docker("run", "--rm", "--network", "none", "-v", "kept:/d", "busybox", "sh", "-c", "echo text > /d/file")
    with filled(place):
        refused = 0
        for i in range(200):
            answer = create(engine, f"more{i}", Labels={"long": "x" * 4000})
            if answer.status != 201:
                refused += 1
                assert answer.status == 507 or answer.status == 500, answer
                assert "no space" in answer.message.lower() or "full" in answer.message.lower(), answer
                assert engine.api("GET", f"/volumes/more{i}").status == 404
        assert refused, "the disk was not full"
        done = engine.docker("run", "--rm", "--network", "none", "-v", "new:/etc", "busybox", "true", check=False)
        assert done.returncode == 125 and "no space" in done.stderr.lower(), done.stderr
        engine.docker("run", "--rm", "--network", "none", "busybox", "true")  # who has no volume does not notice
        assert engine.api("GET", "/volumes/kept").status == 200
    assert create(engine, "after").status == 201
    shown = engine.docker("run", "--rm", "--network", "none", "-v", "kept:/d", "-v", "new:/etc", "busybox", "sh", "-c",
                          "cat /d/file; ls /etc | head -1")
    assert shown.stdout.startswith("text\n") and len(shown.stdout.split()) == 2
    for volume in engine.api("GET", "/volumes").json["Volumes"]:
        assert engine.api("DELETE", f"/volumes/{volume['Name']}").status == 204
    engine.wait_for(lambda: not list((place / "trash").iterdir()))
    assert not list((place / "volumes").iterdir())


def test_full_disk_at_start(tight):
    """volumed starts on a full disk: reads work, removing makes room."""
    engine, place = tight
    for i in range(3):
        assert create(engine, f"v{i}").status == 201
    big = engine.root / "volumed/volumes/v0/_data/big"
    big.write_bytes(bytes(8 * MIB))
    with filled(place):
        old = engine.pids()["volumed"]
        os.kill(old, signal.SIGKILL)
        engine.wait_for(lambda: engine.pids().get("volumed") not in (None, old))
        assert {v["Name"] for v in engine.api("GET", "/volumes").json["Volumes"]} == {"v0", "v1", "v2"}
        os.truncate(big, 4 * MIB)  # the commit of the removal needs a block; an administrator gives it one
        assert engine.api("DELETE", "/volumes/v0").status == 204
        engine.wait_for(lambda: not list((place / "trash").iterdir()))
        assert create(engine, "fits").status == 201


def fill(directory, files):
    for i in range(files // 1000):
        (directory / str(i)).mkdir()
        for k in range(1000):
            os.close(os.open(directory / str(i) / str(k), os.O_CREAT | os.O_WRONLY))


@pytest.fixture
def memory():
    """An engine whose volumes are in memory, where a hundred thousand files are made in a second."""
    with Engine() as engine:
        engine.stop()
        place = engine.root / "volumed"
        owner = place.stat()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,uid={owner.st_uid},gid={owner.st_gid}", "tmpfs", place], check=True)
        try:
            engine.start()
            yield engine
            engine.stop()
        finally:
            subprocess.run(["umount", place], check=True)


# Who asks may not get a processor before a removal or a measurement is over: then it is done again.
ATTEMPTS = 20


def remove_large(engine, files):
    assert create(engine, "large").status == 201
    fill(engine.root / "volumed/volumes/large/_data", files)
    assert engine.api("DELETE", "/volumes/large").status == 204


def test_a_large_volume_goes(memory):
    """Its removal is answered at once, others are served meanwhile, and who is killed over it goes on at the next start."""
    data, trash = memory.root / "volumed/volumes/large/_data", memory.root / "volumed/trash"
    served = 0
    for _ in range(ATTEMPTS):
        remove_large(memory, 100000)
        assert memory.api("GET", "/volumes/large").status == 404
        (large,) = list(trash.iterdir()) or [trash / "gone"]
        while not served and large.exists():
            assert create(memory, "other").status == 201 and memory.api("DELETE", "/volumes/other").status == 204
            served += large.exists()
        memory.wait_for(lambda: not list(trash.iterdir()))
        if served:
            break
    assert served, "it was always over before anybody else was served"
    for _ in range(ATTEMPTS):
        old = memory.pids()["volumed"]
        remove_large(memory, 100000)
        os.kill(old, signal.SIGKILL)
        left = list(trash.iterdir())
        memory.wait_for(lambda pid=old: memory.pids().get("volumed") not in (None, pid))
        if left:
            break
    assert left, "nothing was ever left to go on with"
    assert create(memory, "large").status == 201 and not list(data.iterdir())
    memory.wait_for(lambda: not list(trash.iterdir()))


def test_prune_of_large_volumes_blocks_nobody(memory):
    """Sizes are measured off the event loop."""
    for _ in range(ATTEMPTS):
        assert create(memory, "").status == 201
        name = memory.api("GET", "/volumes").json["Volumes"][0]["Name"]
        fill(memory.root / f"volumed/volumes/{name}/_data", 100000)
        results = []
        pruning = threading.Thread(target=lambda: results.append(memory.api("POST", "/volumes/prune")))
        pruning.start()
        served = 0
        while not results:
            assert memory.api("GET", "/volumes").status == 200
            served += not results
        pruning.join()
        assert results[0].json["VolumesDeleted"] == [name]
        memory.wait_for(lambda: not list((memory.root / "volumed/trash").iterdir()))
        if served > 1:
            break
    assert served > 1, "nobody was ever served while it ran"


def test_a_directory_that_did_not_reach_the_disk(fresh):
    """The record is durable, the directory comes with the first file that is synced: without one it is made again at start."""
    assert create(fresh, "early").status == 201
    fresh.stop()
    os.rmdir(fresh.root / "volumed/volumes/early/_data")
    os.rmdir(fresh.root / "volumed/volumes/early")
    os.mkdir(fresh.root / "volumed/volumes/unknown", 0o700)
    fresh.start()
    assert (fresh.root / "volumed/volumes/early/_data").stat().st_mode & 0o7777 == 0o755
    assert [v["Name"] for v in fresh.api("GET", "/volumes").json["Volumes"]] == ["early"]
    agree.wait(fresh)
