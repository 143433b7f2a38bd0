"""Volumes of the driver local with type=, device=, o=: real file systems, mounted at first use and gone after the last."""
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import threading
import time

import pytest

from tests.harness import leaks
from tests.harness.engine import Engine

libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope="module")
def engine_settings():
    return {"sets": ["supervisor.backoff-max=200ms"]}


def sh(*words):
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextlib.contextmanager
def loop_device(path, mib=16, make=("mkfs.ext4", "-q"), options=()):
    """A block device with a file behind it."""
    sh("truncate", "-s", f"{mib}M", path)
    if make:
        sh(*make, path)
    device = sh("losetup", *options, "-f", "--show", path)
    try:
        yield device
    finally:
        sh("losetup", "-d", device)


@pytest.fixture(scope="module")
def device(engine):
    with loop_device(engine.dir / "image") as path:
        yield path


@contextlib.contextmanager
def hanging(directory):
    """A file system whose server does not answer before the end of the block; then it has gone."""
    directory.mkdir()
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
    assert libc.mount(b"hanging", str(directory).encode(), b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
    try:
        yield directory
    finally:
        os.close(fd)
        libc.umount2(str(directory).encode(), 2)


def volume(engine, name, kind, device, o=None, status=201):
    options = {"type": kind, "device": str(device), **({"o": o} if o else {})}
    answer = engine.api("POST", "/volumes/create", {"Name": name, "DriverOpts": options})
    assert answer.status == status, answer
    return answer


def run(engine, name, script, *more, check=True):
    return engine.docker("run", "--rm", "--network", "none", *more, "-v", f"{name}:/data", "busybox", "sh", "-c", script, check=check)


def keep(engine, container, *volumes, check=True):
    """A container that runs with these volumes until it is stopped."""
    binds = [word for i, name in enumerate(volumes) for word in ("-v", f"{name}:/v{i}")]
    return engine.docker("run", "-d", "--name", container, "--network", "none", "--stop-timeout", "0", *binds, "busybox",
                         "sleep", "1000", check=check)


def wait_mounts(engine, count):
    """The kernel reports changes of the mount table as POLLPRI."""
    deadline = time.monotonic() + 60
    with open("/proc/self/mountinfo", encoding="ascii") as table:
        poll = select.poll()
        poll.register(table, select.POLLPRI | select.POLLERR)
        while len(found := leaks.mounts(engine)) != count:
            assert time.monotonic() < deadline, found
            poll.poll(1000)


def remove(engine, *names):
    for name in names:
        assert engine.api("DELETE", f"/volumes/{name}").status == 204
    assert not leaks.mounts(engine)
    engine.wait_for(lambda: not list((engine.root / "volumed/trash").iterdir()))


def test_bind(engine):
    source = engine.dir / "source"
    source.mkdir()
    (source / "file").write_text("host's\n")
    volume(engine, "bound", "none", source, "bind")
    assert run(engine, "bound", "cat /data/file; echo mine > /data/new").stdout == "host's\n"
    assert (source / "new").read_text() == "mine\n"
    # Who waits for a container to be gone finds its mounts gone, and can go on to its volumes.
    assert not leaks.mounts(engine)
    remove(engine, "bound")
    assert (source / "new").exists(), "the removal of the volume has led out of it"


def test_flags_of_a_bind(engine):
    """Read-only from the first moment: no second step that could fail and leave it writable."""
    source = engine.dir / "flags"
    source.mkdir()
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    volume(engine, "flagged", "none", source, "rbind,ro,noexec,nosuid")
    done = run(engine, "flagged", "touch /data/x; /data/run; grep ' /data ' /proc/self/mountinfo", check=False)
    assert "Read-only file system" in done.stderr and "Permission denied" in done.stderr
    assert {"ro", "noexec", "nosuid"} <= set(done.stdout.split()[5].split(","))
    assert not list(source.glob("x"))
    remove(engine, "flagged")


def test_file_system_on_a_device(engine, device):
    volume(engine, "disk", "ext4", device)
    run(engine, "disk", "echo kept > /data/file; test -d /data/lost+found")
    assert run(engine, "disk", "cat /data/file").stdout == "kept\n"
    volume(engine, "disk-ro", "ext4", device, "ro,noexec")
    done = run(engine, "disk-ro", "cat /data/file; touch /data/x", check=False)
    assert done.stdout == "kept\n" and "Read-only file system" in done.stderr
    remove(engine, "disk", "disk-ro")


def test_overlay(engine):
    """The kernel maps no overlay to a user namespace: said, with the way out; and then it can do all that an overlay can."""
    for name in ("low", "up", "work"):
        (engine.dir / name).mkdir()
    (engine.dir / "low/file").write_text("low\n")
    os.chown(engine.dir / "low/file", 1000, 1000)
    parts = ",".join(f"{name}dir={engine.dir}/{short}" for name, short in (("lower", "low"), ("upper", "up"), ("work", "work")))
    volume(engine, "layered", "overlay", "overlay", parts)
    failed = run(engine, "layered", "true", check=False)
    assert failed.returncode == 125 and "UsernsMode=host" in failed.stderr
    done = run(engine, "layered", "cat /data/file; echo more >> /data/file; rm /data/file; echo new > /data/new", "--userns", "host")
    assert done.stdout == "low\n"
    assert (engine.dir / "up/new").read_text() == "new\n" and (engine.dir / "low/file").read_text() == "low\n"
    assert os.stat(engine.dir / "up/file").st_rdev == 0  # a whiteout
    remove(engine, "layered")


def test_example_of_the_specification(engine):
    volume(engine, "mem", "tmpfs", "tmpfs", "size=100m,uid=1000")
    assert run(engine, "mem", "stat -c %u /data; df -k /data | tail -1").stdout.split()[:3] == ["1000", "tmpfs", "102400"]
    remove(engine, "mem")


@pytest.mark.parametrize("kind,what,o,words", [
    ("none", "{dir}/nothere", "bind", ["nothere", "no such device or directory"]),
    ("none", "{dir}/log", "bind", ["no directory"]),
    ("none", "{dir}/link", "bind", ["symbolic link"]),
    ("ext4", "/dev/nothere", None, ["/dev/nothere", "no such device"]),
    ("ext4", "{dir}/image", None, ["loop device"]),
    ("ext4", "{blank}", None, ["no such file system on the device"]),
    ("xfs", "{device}", None, ["no such file system on the device"]),
    ("ext4", "{device}", "colour=red", ["colour=red", "an option that it does not take"]),
    ("nosuchfs", "{device}", None, ["nosuchfs", "the kernel has no file system of this type"]),
])
def test_what_cannot_be_mounted(engine, device, kind, what, o, words):
    """No container comes about, and the answer says why."""
    if not (engine.dir / "link").is_symlink():
        (engine.dir / "link").symlink_to("/etc")
    with loop_device(engine.dir / "blank", make=None) as blank:
        volume(engine, "bad", kind, what.format(dir=engine.dir, device=device, blank=blank), o)
        failed = keep(engine, "fails", "bad", check=False)
        assert failed.returncode == 125 and "failed to mount local volume" in failed.stderr
        for word in words:
            assert word in failed.stderr, failed.stderr
        assert engine.docker("rm", "fails", check=False).returncode == 1
        assert used(engine, "bad").status == 400
        remove(engine, "bad")


def used(engine, name):
    """The answer to who makes a container with the volume: it is mounted for a look at what is there."""
    return engine.api("POST", "/containers/create?name=fails", {
        "Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Binds": [f"{name}:/data"]}})


def test_a_device_that_can_only_be_read(engine):
    with loop_device(engine.dir / "fixed", options=("-r",)) as device:
        volume(engine, "bad", "ext4", device)
        answer = used(engine, "bad")
        assert answer.status == 400 and device in answer.message and "can only be read (o=ro)" in answer.message, answer
        volume(engine, "good", "ext4", device, "ro")
        assert run(engine, "good", "test -d /data/lost+found; touch /data/x || echo fixed").stdout == "fixed\n"
        remove(engine, "bad", "good")


def test_a_device_in_use(engine, device):
    """What is mounted already is not mounted with options that contradict."""
    volume(engine, "first", "ext4", device)
    volume(engine, "second", "ext4", device, "ro")
    keep(engine, "holder", "first")
    answer = used(engine, "second")
    assert answer.status == 409 and device in answer.message and "the device is in use" in answer.message, answer
    engine.docker("rm", "-f", "holder")
    assert run(engine, "second", "echo free").stdout == "free\n"
    remove(engine, "first", "second")


def test_a_start_that_fails(engine):
    """What was mounted for it before goes; afterwards it can start."""
    source = engine.dir / "away"
    source.mkdir()
    volume(engine, "first", "tmpfs", "tmpfs")
    volume(engine, "second", "none", source, "bind")
    engine.docker("create", "--name", "fails", "--network", "none", "-v", "first:/a", "-v", "second:/b", "busybox", "true")
    source.rmdir()
    failed = engine.docker("start", "fails", check=False)
    assert failed.returncode == 1 and str(source) in failed.stderr, failed.stderr
    wait_mounts(engine, 0)
    source.mkdir()
    assert engine.docker("start", "-a", "fails").returncode == 0
    engine.docker("rm", "fails")
    remove(engine, "first", "second")


@pytest.mark.parametrize("options,words", [
    ({"type": "none", "device": "relative", "o": "bind"}, ["device", "absolute"]),
    ({"type": "none", "device": "/tmp", "o": "bind,size=1m"}, ['"o"', "size=1m"]),
    ({"type": "none", "device": "/tmp", "o": "bind,sync"}, ['"o"', "sync"]),
    ({"type": "none", "device": "/tmp"}, ['"type"', "o=bind"]),
    ({"type": "nfs", "device": ":/x", "o": "rw,addr=nas.example"}, ['"o"', "addr=nas.example", "IP address"]),
    ({"type": "tmpfs", "device": "tmpfs", "size": "1m"}, ['"size"', "o=size="]),
    ({"type": "tmpfs", "device": "tmpfs", "o": "x" * 4096}, ['"o"', "longer"]),
    ({"o": "ro"}, ['"device"']),
])
def test_what_cannot_be_asked_for(engine, options, words):
    answer = engine.api("POST", "/volumes/create", {"Name": "asked", "DriverOpts": options})
    assert answer.status == 400 and all(word in answer.message for word in words), answer
    assert engine.api("GET", "/volumes/asked").status == 404


def test_mounted_once_and_until_the_last(engine, device):
    volume(engine, "shared", "ext4", device)
    keep(engine, "one", "shared")
    keep(engine, "two", "shared")
    assert len(leaks.mounts(engine)) == 1
    engine.docker("exec", "one", "sh", "-c", "echo x > /v0/from-one")
    engine.docker("stop", "one")
    assert engine.docker("exec", "two", "cat", "/v0/from-one").stdout == "x\n"
    assert len(leaks.mounts(engine)) == 1
    engine.docker("stop", "two")
    wait_mounts(engine, 0)
    engine.docker("rm", "one", "two")
    remove(engine, "shared")


def wait_restarted(engine, name, old):
    """The engine has noticed, and has it again."""
    engine.wait_for(lambda: engine.pids().get(name) not in (None, old))
    engine.wait_for(lambda: engine.api("GET", "/volumes").status == 200 and engine.api("GET", "/containers/json").status == 200)


@pytest.mark.parametrize("victim", ["volumed", "runtimed"])
def test_killed_while_it_is_mounted(engine, device, victim):
    """The container does not notice; the volume is in use before and after, and is unmounted when the container ends."""
    volume(engine, "held", "ext4", device)
    keep(engine, "holds", "held")
    old = engine.pids()[victim]
    os.kill(old, signal.SIGKILL)
    wait_restarted(engine, victim, old)
    assert engine.docker("exec", "holds", "sh", "-c", "echo y > /v0/y; cat /v0/y").stdout == "y\n"
    answer = engine.api("DELETE", "/volumes/held?force=1")
    assert answer.status == 409 and "in use" in answer.message
    assert len(leaks.mounts(engine)) == 1
    engine.docker("stop", "holds")
    wait_mounts(engine, 0)
    engine.docker("rm", "holds")
    remove(engine, "held")


def stopped_unmounter(engine):
    """volumed has come back, and the worker that unmounts what nobody uses is stopped before it does: its pid, or None."""
    old = engine.pids()["volumed"]
    os.kill(old, signal.SIGKILL)
    while (pids := engine.pids()).get("volumed") in (None, old) or engine.api("GET", "/volumes").status != 200:
        if "volume-mount" in pids:
            break
    worker = pids.get("volume-mount") or engine.pids().get("volume-mount")
    with contextlib.suppress(ProcessLookupError):
        if worker:
            os.kill(worker, signal.SIGSTOP)
            return worker
    return None


def test_used_while_volumed_unmounts_it(engine):
    """When it comes back it unmounts what nobody uses; who comes to use it meanwhile has it mounted."""
    volume(engine, "again", "tmpfs", "tmpfs")
    engine.docker("create", "--name", "user", "--network", "none", "--stop-timeout", "0", "-v", "again:/m", "busybox", "sleep", "1000")
    worker = engine.wait_for(lambda: stopped_unmounter(engine))
    answers = []
    starter = threading.Thread(target=lambda: answers.append(engine.api("POST", "/containers/user/start")))
    starter.start()
    starter.join(0.5)  # it waits for its turn
    os.kill(worker, signal.SIGCONT)
    starter.join()
    engine.wait_for(lambda: "volume-mount" not in engine.pids())
    assert answers[0].status == 204 and len(leaks.mounts(engine)) == 1, answers
    engine.docker("rm", "-f", "user")
    wait_mounts(engine, 0)
    remove(engine, "again")


def test_a_worker_that_is_late(engine):
    """It was asked to unmount by a volumed that has been killed since: what the next one has mounted stays."""
    volume(engine, "late", "tmpfs", "tmpfs")
    keep(engine, "first", "late")
    place = os.open(engine.root / "volumed/volumes/late", os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)  # workers wait
    ending = threading.Thread(target=engine.docker, args=("rm", "-f", "first"))
    ending.start()
    worker = engine.wait_for(lambda: engine.pids().get("volume-mount"))
    engine.wait_for(lambda: waits_for_lock(worker))
    os.kill(worker, signal.SIGSTOP)
    engine.wait_for(lambda: state(worker) == "T")  # else it might have the lock before it stops
    try:
        old = engine.pids()["volumed"]
        os.kill(old, signal.SIGKILL)
        os.close(place)
        wait_restarted(engine, "volumed", old)
        keep(engine, "second", "late")
        assert len(leaks.mounts(engine)) == 1
    finally:
        os.kill(worker, signal.SIGCONT)
    ending.join()
    engine.wait_for(lambda: "volume-mount" not in engine.pids())
    assert len(leaks.mounts(engine)) == 1
    engine.docker("rm", "-f", "second")
    wait_mounts(engine, 0)
    remove(engine, "late")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def waits_for_lock(pid):
    with open("/proc/locks", encoding="ascii") as locks:
        return any("-> FLOCK" in line and line.split()[5] == str(pid) for line in locks)


def test_ended_while_nobody_looked(engine, device):
    """The container ends while volumed is away: whoever comes back finds out."""
    volume(engine, "alone", "ext4", device)
    keep(engine, "ends", "alone")
    pid = int(engine.docker("inspect", "-f", "{{.State.Pid}}", "ends").stdout)
    old = engine.pids()["volumed"]
    os.kill(old, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    engine.docker("wait", "ends")
    wait_mounts(engine, 0)
    engine.docker("rm", "ends")
    remove(engine, "alone")


def test_after_a_reboot(device):
    """Every process and every mount is gone at once; what comes back mounts again, and unmounts."""
    with Engine() as engine:
        engine.busybox()
        volume(engine, "boot", "ext4", device)
        engine.docker("run", "-d", "--name", "back", "--restart", "always", "--stop-timeout", "0", "--network", "none", "-v",
                      "boot:/data", "busybox", "sh", "-c", "echo up >> /data/ups; exec sleep 1000")
        engine.wait_for(lambda: engine.docker("exec", "back", "cat", "/data/ups", check=False).stdout == "up\n")
        for pid in sorted(leaks.processes(engine), key=lambda pid: pid != engine.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        engine.process.wait()
        engine.process.stdout.close()
        leaks.clean(engine)
        assert not leaks.mounts(engine)
        sh("rm", "-rf", engine.run)
        engine.start()
        engine.wait_for(lambda: engine.docker("exec", "back", "cat", "/data/ups", check=False).stdout == "up\nup\n")
        assert len(leaks.mounts(engine)) == 1
        engine.docker("rm", "-f", "back")
        remove(engine, "boot")


@contextlib.contextmanager
def stuck_start(engine, name, directory):
    """A start that hangs in the mount of a volume: (the mount worker's pid, a list of its result), which is there behind the block."""
    volume(engine, name, "none", directory / "export", "bind")
    results = []
    starter = threading.Thread(target=lambda: results.append(run(engine, name, "true", check=False)))
    starter.start()
    try:
        yield engine.wait_for(lambda: engine.pids().get("volume-mount")), results
    finally:
        starter.join()


def test_a_server_that_does_not_answer(engine):
    """It costs the one start, and nobody else waits; nothing of it stays."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(hanging(engine.dir / "hanging"))
        with stuck_start(engine, "stuck", directory) as (_, results):
            assert run(engine, "other", "echo served").stdout == "served\n"
            assert engine.api("GET", "/volumes/stuck").status == 200 and not results
            stack.close()  # the server goes
        assert results[0].returncode == 125 and "failed to mount local volume" in results[0].stderr, results
    engine.wait_for(lambda: "volume-mount" not in engine.pids())
    remove(engine, "stuck", "other")


def test_a_server_that_never_answers():
    """It costs the start as long as the configuration says."""
    with Engine(sets=["volumes.mount-timeout=1500ms"]) as engine:
        engine.busybox()
        with hanging(engine.dir / "hanging") as directory, stuck_start(engine, "stuck", directory) as (_, results):
            pass  # until it is given up
        assert results[0].returncode == 125 and "given up after 1500 ms" in results[0].stderr, results
        engine.wait_for(lambda: "volume-mount" not in engine.pids())
        remove(engine, "stuck")


def test_mount_worker_killed(engine):
    """In the midst of its mount: the start fails, the next one works."""
    with hanging(engine.dir / "hanging2") as directory:
        with stuck_start(engine, "cut", directory) as (worker, results):
            os.kill(worker, signal.SIGKILL)
        assert results[0].returncode == 125 and "by a signal" in results[0].stderr, results[0].stderr
    (directory / "export").mkdir()
    assert run(engine, "cut", "echo fine").stdout == "fine\n"
    remove(engine, "cut")
