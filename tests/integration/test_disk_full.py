"""A full disk below running containers: clear errors, nothing half done, what there is goes on and can be removed, and with space
again everything works."""
import contextlib
import json
import re
import time

import pytest

from tests.harness import agree
from tests.harness.disk import quota_disk, small_disk
from tests.harness.engine import Engine
from tests.harness.fields import Run
from tests.harness.kernel import needs_file_system
from tests.harness.rootfs import Tar

MIB = 1 << 20
BIG = Tar().file("big", b"z" * (4 * MIB)).bytes()
NONE = {"NetworkMode": "none"}


@pytest.fixture(params=["runtimed", "imaged"])
def tight(request):
    """An engine one of whose stores has a disk of 32 MiB."""
    engine = Engine(sets=["images.min-free=0"])
    with engine:
        engine.stop()
        with small_disk(engine, request.param, 32 * MIB):
            engine.start()
            engine.busybox()
            engine.tight = request.param
            yield engine
            engine.remove_containers()
            engine.stop()


@contextlib.contextmanager
def full(engine):
    hog = engine.root / engine.tight / "lost+found" / "hog"
    with open(hog, "ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    yield
    hog.unlink()


def agreed(engine):
    def differences():
        return [text for text in agree.differences(engine) if "mounts on the host" not in text]
    deadline = time.monotonic() + 60
    while left := differences():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def no_space(answer, where=None):
    """The file system is named by what is on it, as clients know it; paths of the engine's and SQL are for the log."""
    assert answer.status == 507 and "no space" in answer.message.lower(), answer
    assert where is None or where in answer.message, answer
    assert "/root/" not in answer.message and not re.search("INSERT|UPDATE|DELETE|BEGIN|COMMIT", answer.message), answer


def log_lines(run):
    """The log as it is on the disk: each line is whole, but for those that the full disk has cut."""
    with open(run.inspect()["LogPath"], encoding="utf-8") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                yield int(json.loads(line)["log"].split()[1])


def cpu(run):
    return run.engine.api("GET", f"/containers/{run.id}/stats?stream=0&one-shot=1").json["cpu_stats"]["cpu_usage"]["total_usage"]


@pytest.mark.parametrize("tight", ["runtimed"], indirect=True)
def test_containers_on_a_full_disk(tight):
    """covers D-21"""
    logging = Run(tight, "i=0; while :; do i=$((i+1)); echo line $i; usleep 1000; done")
    ending = Run(tight, "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
    tight.wait_for(lambda: "up" in ending.log())
    made, going = (tight.docker("create", "--network", "none", "-v", "/data", "busybox", "echo", "started").stdout.strip() for _ in range(2))
    with full(tight):
        tar = {"Content-Type": "application/x-tar"}
        for identity in (ending.id, made):
            no_space(tight.api("PUT", f"/containers/{identity}/archive?path=/tmp", BIG, tar))
        no_space(tight.api("POST", "/containers/create?name=more", {"Image": "busybox", "Cmd": ["true"], "HostConfig": NONE}),
                 "the containers' file system")
        no_space(tight.api("POST", f"/containers/{made}/start"), "the containers' file system")
        no_space(tight.api("POST", f"/containers/{made}/rename?name=other"), "file system of the records of containers")
        no_space(tight.api("POST", f"/containers/{ending.id}/exec", {"Cmd": ["true"]}), "file system of the records of containers")
        assert re.search(r"runtimed\.db: UPDATE container SET name.*full", tight.log()), "what the log says"
        assert tight.api("GET", f"/containers/{ending.id}/archive?path=/etc/passwd").status == 200
        assert len(tight.api("GET", "/containers/json?all=1").json) == 4
        # It runs on although its lines find no room.
        used = cpu(logging)
        tight.wait_for(lambda: cpu(logging) > used)
        assert tight.api("POST", f"/containers/{ending.id}/stop?t=60").status == 204
        assert ending.inspect()["State"]["ExitCode"] == 7
        assert tight.api("DELETE", f"/containers/{going}?v=1").status == 204
        before = max(log_lines(logging))
    tight.wait_for(lambda: max(log_lines(logging)) > before + 10)
    got = list(log_lines(logging))
    assert got == sorted(got) and len(logging.log().splitlines()) >= len(got)
    agreed(tight)
    assert tight.docker("start", "-a", made).stdout == "started\n"
    assert tight.api("PUT", f"/containers/{made}/archive?path=/tmp", BIG, tar).status == 200
    assert tight.api("POST", f"/containers/{ending.id}/start").status == 204
    assert ending.execute("echo", "on") == "on\n"
    assert tight.api("GET", f"/containers/{ending.id}/json").json["State"]["Running"]
    for identity in (made, ending.id, logging.id):
        assert tight.api("DELETE", f"/containers/{identity}?force=1&v=1").status == 204
    agreed(tight)


@pytest.mark.parametrize("tight", ["imaged"], indirect=True)
def test_commit_to_a_full_disk(tight):
    """covers D-21"""
    run = Run(tight, "sleep 1000")
    assert tight.api("PUT", f"/containers/{run.id}/archive?path=/tmp", BIG, {"Content-Type": "application/x-tar"}).status == 200
    with full(tight):
        answer = tight.api("POST", f"/commit?container={run.id}&repo=made&tag=1", {})
        no_space(answer, "the images' file system")
        assert run.inspect()["State"]["Status"] == "running", "it was paused for the commit"
        assert tight.api("GET", "/images/made:1/json").status == 404
        agreed(tight)
    assert tight.api("POST", f"/commit?container={run.id}&repo=made&tag=1", {}).status == 201
    assert tight.docker("run", "--rm", "--network", "none", "made:1", "stat", "-c", "%s", "/tmp/big").stdout == f"{4 * MIB}\n"
    run.remove()
    agreed(tight)


# ---- a quota of the file system's that is used up: EDQUOT is told as a full disk is ----

@pytest.fixture(params=["runtimed", "imaged", "volumed"])
def limited(request):
    """An engine one of whose stores is on a file system with a quota."""
    with Engine(sets=["images.min-free=0"]) as engine:
        engine.busybox()
        engine.stop()
        with quota_disk(engine, request.param) as quota:
            engine.start()
            if request.param == "imaged":
                engine.busybox()
            yield engine, quota
            engine.remove_containers()
            engine.stop()


def no_quota(answer):
    assert answer.status == 507 and ("no space" in answer.message.lower() or "quota" in answer.message.lower()), answer


TAR = {"Content-Type": "application/x-tar"}


@needs_file_system("btrfs")
@pytest.mark.parametrize("limited", ["runtimed"], indirect=True)
def test_quota_of_containers(limited):
    """covers D-21"""
    engine, quota = limited
    made = Run(engine, "sleep 1000")
    with quota.used_up():
        no_quota(engine.api("PUT", f"/containers/{made.id}/archive?path=/tmp", BIG, TAR))
        no_quota(engine.api("POST", "/containers/create?name=more", {"Image": "busybox", "Cmd": ["true"], "HostConfig": NONE}))
        no_quota(engine.api("POST", f"/containers/{made.id}/rename?name=other"))
        no_quota(engine.api("POST", f"/containers/{made.id}/exec", {"Cmd": ["true"]}))
        assert made.inspect()["State"]["Running"]
    agreed(engine)
    assert engine.api("PUT", f"/containers/{made.id}/archive?path=/tmp", BIG, TAR).status == 200
    assert made.execute("stat", "-c", "%s", "/tmp/big") == f"{4 * MIB}\n"
    made.remove()
    agreed(engine)


@needs_file_system("btrfs")
@pytest.mark.parametrize("limited", ["imaged"], indirect=True)
def test_quota_of_images(limited):
    """Commit, load, import, tag, and the layers of a pull. covers D-21"""
    engine, quota = limited
    saved = engine.api("GET", "/images/busybox/get").body
    run = Run(engine, "sleep 1000")
    assert engine.api("PUT", f"/containers/{run.id}/archive?path=/tmp", BIG, TAR).status == 200
    with quota.used_up():
        no_quota(engine.api("POST", f"/commit?container={run.id}&repo=made&tag=1", {}))
        assert run.inspect()["State"]["Status"] == "running", "it was paused for the commit"
        no_quota(engine.api("POST", "/images/busybox/tag?repo=other&tag=1"))
        for path in ("/images/load", "/images/create?fromSrc=-&repo=imported&tag=1"):
            answer = engine.api("POST", path, saved if "load" in path else BIG, TAR)
            assert answer.status == 507 or b"quota" in answer.body.lower() or b"no space" in answer.body.lower(), answer
        assert engine.api("GET", "/images/made:1/json").status == 404
    agreed(engine)
    assert engine.api("POST", f"/commit?container={run.id}&repo=made&tag=1", {}).status == 201
    assert engine.api("POST", "/images/load", saved, TAR).status == 200
    run.remove()
    agreed(engine)


@needs_file_system("btrfs")
@pytest.mark.parametrize("limited", ["volumed"], indirect=True)
def test_quota_of_volumes(limited):
    """covers D-21"""
    engine, quota = limited
    assert engine.api("POST", "/volumes/create", {"Name": "kept"}).status == 201
    made = Run(engine, "sleep 1000", host={"Binds": ["kept:/data"]})
    with quota.used_up():
        no_quota(engine.api("POST", "/volumes/create", {"Name": "more"}))
        assert engine.api("GET", "/volumes/more").status == 404
        no_quota(engine.api("PUT", f"/containers/{made.id}/archive?path=/data", BIG, TAR))
        no_quota(engine.api("POST", "/containers/create?name=filled", {
            "Image": "busybox", "Cmd": ["true"], "HostConfig": {**NONE, "Binds": ["kept:/etc", "fresh:/bin"]}}))
        assert engine.api("GET", "/containers/filled/json").status == 404
    agreed(engine)
    assert engine.api("PUT", f"/containers/{made.id}/archive?path=/data", BIG, TAR).status == 200
    made.remove()
    assert engine.api("DELETE", "/volumes/kept").status == 204
    agreed(engine)
