"""A container that does not freeze at once: one of its processes waits in the kernel, where the freezer cannot reach it. Nobody else
waits with it, and whatever comes meanwhile ends the pause cleanly."""
import ctypes
import fcntl
import json
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import threading

import pytest

from tests.harness import leaks

NET = ("--network", "none")
SYS_PIDFD_GETFD, SYS_USERFAULTFD = 438, 323
API, REGISTER, ZEROPAGE = 0xc018aa3f, 0xc020aa00, 0xc020aa04  # UFFDIO_

# Reads a page of its own that a fault handler is to fill, from within the kernel: only a deadly signal ends that wait.
WAITS = f"""
import ctypes, fcntl, mmap, os, signal, struct
libc = ctypes.CDLL(None)
fd = libc.syscall({SYS_USERFAULTFD}, os.O_CLOEXEC)
fcntl.ioctl(fd, {API:#x}, bytearray(struct.pack("QQQ", 0xaa, 0, 0)))
page = mmap.mmap(-1, {mmap.PAGESIZE})
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
fcntl.ioctl(fd, {REGISTER:#x}, bytearray(struct.pack("QQQQ", address, {mmap.PAGESIZE}, 1, 0)))
print(fd, address, flush=True)
byte = ctypes.create_string_buffer(1)
mine, its = (ctypes.create_string_buffer(struct.pack("QQ", where, 1)) for where in (ctypes.addressof(byte), address))
libc.process_vm_readv(os.getpid(), mine, 1, its, 1, 0)
signal.pause()
"""


class Stuck:
    """A process of the test's that cannot be frozen until let_go()."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True)
        number, self.address = map(int, self.process.stdout.readline().split())
        pidfd = os.pidfd_open(self.process.pid)
        self.fault = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
        os.close(pidfd)
        assert self.fault >= 0
        assert select.select([self.fault], [], [], 60)[0], "the page is not wanted"

    def enter(self, engine, container):
        for top in (leaks.CGROUPS, *leaks.CGROUPS.iterdir()):
            group = top / engine.cgroup.strip("/") / container
            if group.is_dir():
                (group / "cgroup.procs").write_text(str(self.process.pid))

    def let_go(self):
        fcntl.ioctl(self.fault, ZEROPAGE, bytearray(struct.pack("QQQq", self.address, mmap.PAGESIZE, 0, 0)))

    def end(self):
        os.close(self.fault)
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture
def stuck():
    one = Stuck()
    yield one
    one.end()


@pytest.fixture
def container(engine, stuck):
    made = engine.docker("run", "-d", *NET, "busybox", "sleep", "1000").stdout.strip()
    stuck.enter(engine, made)
    yield made
    # Frozen, the process could not end.
    engine.api("DELETE", f"/containers/{made}?force=1")


def frozen_or_about_to_be(engine, container):
    if (leaks.CGROUPS / "cgroup.controllers").exists():
        return (leaks.CGROUPS / engine.cgroup.strip("/") / container / "cgroup.freeze").read_text() == "1\n"
    return (leaks.CGROUPS / "freezer" / engine.cgroup.strip("/") / container / "freezer.state").read_text() != "THAWED\n"


def status(engine, container):
    return engine.api("GET", f"/containers/{container}/json").json["State"]["Status"]


def ask_to_pause(engine, container):
    """Returns when the kernel has been asked; the engine serves others."""
    asked = engine.start_request("POST", f"/containers/{container}/pause")
    engine.wait_for(lambda: frozen_or_about_to_be(engine, container))
    assert engine.docker("run", "--rm", *NET, "busybox", "echo", "meanwhile").stdout == "meanwhile\n"
    assert not select.select([asked.sock], [], [], 0)[0]
    return asked


def answer(asked):
    response = asked.getresponse()
    text = response.read()
    asked.close()
    return response.status, json.loads(text)["message"] if text else ""


def runs_on(engine, container):
    assert status(engine, container) == "running"  # of a runtimed that has just been started: it has found its shims
    assert not frozen_or_about_to_be(engine, container)
    assert engine.docker("exec", container, "echo", "in").stdout == "in\n"


def kill_runtimed(engine):
    end = os.pidfd_open(engine.pids()["runtimed"])
    signal.pidfd_send_signal(end, signal.SIGKILL)
    assert select.select([end], [], [], 60)[0]
    os.close(end)
    assert engine.api("GET", "/containers/json").status == 200


def test_a_pause_is_answered_when_all_are_frozen(engine, container, stuck):
    asked = ask_to_pause(engine, container)
    assert status(engine, container) == "running"
    again = engine.api("POST", f"/containers/{container}/pause")
    assert again.status == 409 and "being paused" in again.message
    stuck.let_go()
    assert answer(asked) == (204, "")
    assert status(engine, container) == "paused"
    engine.docker("unpause", container)
    runs_on(engine, container)


def test_one_that_does_not_freeze_runs_on(engine, container, stuck):
    code, message = answer(ask_to_pause(engine, container))
    assert code == 500 and "do not freeze" in message
    runs_on(engine, container)
    stuck.let_go()
    engine.docker("pause", container)
    assert status(engine, container) == "paused"


def test_unpaused_before_it_is_frozen(engine, container):
    asked = ask_to_pause(engine, container)
    assert engine.api("POST", f"/containers/{container}/unpause").status == 204
    code, message = answer(asked)
    assert code == 409 and "unpaused" in message
    runs_on(engine, container)


@pytest.mark.parametrize("how,path", [("kill", "kill"), ("stop", "stop?t=0"), ("restart", "restart?t=0")])
def test_ended_before_it_is_frozen(engine, container, how, path):
    asked = ask_to_pause(engine, container)
    before = engine.inspect(container)["State"]["Pid"]
    assert engine.api("POST", f"/containers/{container}/{path}").status == 204
    code, message = answer(asked)
    assert code == 409 and "before it was frozen" in message
    now = engine.inspect(container)["State"]
    assert (now["Status"], now["Pid"] != before) == ("running" if how == "restart" else "exited", True)


def test_ends_by_itself_before_it_is_frozen(engine, container, stuck):
    asked = ask_to_pause(engine, container)
    os.kill(engine.inspect(container)["State"]["Pid"], signal.SIGKILL)
    # Frozen, it cannot end: on v2 it does.
    stuck.let_go()
    code, message = answer(asked)
    assert code == 204 or code == 409 and "has ended" in message
    if code == 204:
        engine.api("POST", f"/containers/{container}/unpause")
    engine.wait_for(lambda: status(engine, container) == "exited")


def test_removed_before_it_is_frozen(engine, container):
    asked = ask_to_pause(engine, container)
    assert engine.api("DELETE", f"/containers/{container}?force=1").status == 204
    assert answer(asked)[0] == 409
    assert engine.api("GET", f"/containers/{container}/json").status == 404


def test_whose_client_goes_is_paused_all_the_same(engine, container, stuck):
    ask_to_pause(engine, container).close()
    stuck.let_go()
    engine.wait_for(lambda: status(engine, container) == "paused")


@pytest.mark.parametrize("late", [False, True])
def test_a_runtimed_that_dies_lets_it_go_on(engine, container, stuck, late):
    """It has told nobody that the container is paused."""
    asked = ask_to_pause(engine, container)
    if late:
        stuck.let_go()
        assert answer(asked)[0] == 204
        kill_runtimed(engine)
        assert status(engine, container) == "paused"
        return
    kill_runtimed(engine)
    assert answer(asked)[0] == 503
    runs_on(engine, container)


def commit(engine, container, name):
    """The answer's future: a thread."""
    got = []
    thread = threading.Thread(target=lambda: got.append(engine.api("POST", f"/commit?container={container}&repo={name}&pause=1")))
    thread.start()
    engine.wait_for(lambda: frozen_or_about_to_be(engine, container) or got)
    return thread, got


def test_commit_waits_for_it_too(engine, container, stuck):
    engine.docker("exec", container, "touch", "/made")
    thread, got = commit(engine, container, "froze")
    assert engine.docker("run", "--rm", *NET, "busybox", "echo", "meanwhile").stdout == "meanwhile\n" and not got
    paused = engine.start_request("POST", f"/containers/{container}/pause")
    stuck.let_go()
    thread.join()
    assert got[0].status == 201, got
    assert answer(paused)[0] == 204
    assert status(engine, container) == "paused" and frozen_or_about_to_be(engine, container)
    assert engine.docker("run", "--rm", *NET, "froze", "ls", "/made").stdout == "/made\n"
    engine.docker("rmi", "froze")


@pytest.mark.parametrize("how", ["client goes", "killed"])
def test_a_commit_that_is_cut(engine, container, how):
    asked = engine.start_request("POST", f"/commit?container={container}&repo=never&pause=1")
    engine.wait_for(lambda: frozen_or_about_to_be(engine, container))
    if how == "killed":
        assert engine.api("POST", f"/containers/{container}/kill").status == 204
        code, message = answer(asked)
        assert code == 409 and "was killed" in message
    else:
        asked.close()
        engine.wait_for(lambda: not frozen_or_about_to_be(engine, container))
        runs_on(engine, container)
    assert engine.api("GET", "/images/never/json").status == 404
