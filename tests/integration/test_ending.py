"""How a container ends whose processes, killed as they are, cannot end for a while: nothing of the engine waits with them."""
import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import subprocess

import pytest

from tests.harness import leaks

NET = ("--network", "none")
PTRACE_DETACH, PTRACE_SEIZE, TRACEEXIT = 17, 0x4206, 0x40
STOPPED_AT_EXIT = signal.SIGTRAP | 6 << 8  # a status of waitpid(), shifted: PTRACE_EVENT_EXIT


class Held:
    """A process of the test's in a container's cgroup; when it is killed it stays there until let_go()."""

    def __init__(self, engine, container):
        self.process = subprocess.Popen(["sleep", "1000"])
        self.call(PTRACE_SEIZE, TRACEEXIT)
        for top in (leaks.CGROUPS, *leaks.CGROUPS.iterdir()):
            group = top / engine.cgroup.strip("/") / container
            if group.is_dir():
                (group / "cgroup.procs").write_text(str(self.process.pid))

    def call(self, request, data):
        function = ctypes.CDLL(None, use_errno=True).ptrace
        function.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if function(request, self.process.pid, None, data) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def until_killed(self):
        _, status = os.waitpid(self.process.pid, 0)
        assert os.WIFSTOPPED(status) and status >> 8 == STOPPED_AT_EXIT, hex(status)

    def let_go(self):
        self.call(PTRACE_DETACH, 0)
        assert self.process.wait(60) == -signal.SIGKILL

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            with contextlib.suppress(OSError):
                self.call(PTRACE_DETACH, 0)
            self.process.wait(60)


@pytest.fixture
def held(engine):
    """Makes them; none outlives the test."""
    made = []

    def make(container):
        made.append(Held(engine, container))
        return made[-1]

    yield make
    for one in made:
        one.end()


def shim_of(engine, container):
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "exe") == str(engine.build / "shim") and \
                    container.encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise AssertionError("no shim")


def until_gone(pidfd):
    assert select.select([pidfd], [], [], 60)[0]
    os.close(pidfd)


def kill_runtimed(engine):
    """Returns when the next one answers: a change that was under way would get 503."""
    pid = engine.pids()["runtimed"]
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    until_gone(end)
    assert engine.api("GET", "/containers/json").status == 200


def another_runs(engine):
    assert engine.docker("run", "--rm", *NET, "busybox", "echo", "meanwhile").stdout == "meanwhile\n"


def not_answered(connection):
    return not select.select([connection.sock], [], [], 0)[0]


# covers S-31
@pytest.mark.parametrize("how", ["kill", "remove", "runtimed dies"])
def test_the_shim_goes_before_the_last_process(engine, held, how):
    """Others start and run meanwhile; then the container has ended as the kill has ended it, without an error."""
    container = engine.docker("run", "-d", *NET, "busybox", "sleep", "1000").stdout.strip()
    one = held(container)
    shim = os.pidfd_open(shim_of(engine, container))
    waiting = engine.api_stream("POST", f"/containers/{container}/wait")
    removal = how == "remove"
    asked = engine.start_request(*(("DELETE", f"/containers/{container}?force=1") if removal else ("POST", f"/containers/{container}/kill")))
    one.until_killed()
    until_gone(shim)
    another_runs(engine)
    if how == "runtimed dies":
        asked.close()
        waiting.close()
        kill_runtimed(engine)
        another_runs(engine)
        waiting = engine.api_stream("POST", f"/containers/{container}/wait")
    state = engine.api("GET", f"/containers/{container}/json").json["State"]
    assert (state["Status"], state["Running"]) == ("running", True)
    one.let_go()
    assert json.loads(waiting.read()) == {"StatusCode": 137}
    waiting.close()
    if how != "runtimed dies":
        assert asked.getresponse().status == 204
        asked.close()
    if removal:
        assert engine.api("GET", f"/containers/{container}/json").status == 404
        return
    state = engine.api("GET", f"/containers/{container}/json").json["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("exited", 137, "")
    engine.docker("start", container)
    engine.docker("rm", "-f", container)


def test_a_list_knows_who_has_ended(engine):
    """It does not wait for shims that a runtimed has asked: what they have written counts. Here one is asked that never answers."""
    container = engine.docker("run", "-d", *NET, "busybox", "sleep", "1000").stdout.strip()
    runtimed, init = engine.pids()["runtimed"], engine.inspect(container)["State"]["Pid"]
    end = os.pidfd_open(runtimed)
    shim = os.pidfd_open(shim_of(engine, container))
    os.kill(runtimed, signal.SIGSTOP)
    os.kill(init, signal.SIGKILL)
    until_gone(shim)
    place = engine.run / "runtimed/c" / container
    (place / "shim.sock").unlink()
    directory = os.open(place, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(f"/proc/self/fd/{directory}/shim.sock")
        silent.listen()
        os.close(directory)
        os.kill(runtimed, signal.SIGKILL)
        until_gone(end)
        listed = [c for c in engine.api("GET", "/containers/json?all=1").json if c["Id"] == container]
        assert listed[0]["State"] == "exited" and "Exited (137)" in listed[0]["Status"], listed
    engine.docker("rm", container)


def test_a_start_waits_for_what_the_last_run_has_left(engine, held):
    """A runtimed that starts finds a process where nobody claims one: it kills it, and serves before it has ended."""
    container = engine.docker("run", "-d", *NET, "busybox", "sleep", "1000").stdout.strip()
    engine.docker("kill", container)
    tops = [leaks.CGROUPS] if (leaks.CGROUPS / "cgroup.controllers").exists() else list(leaks.CGROUPS.glob("*"))
    for top in tops:
        if (top / engine.cgroup.strip("/")).is_dir():
            (top / engine.cgroup.strip("/") / container).mkdir()
    one = held(container)
    kill_runtimed(engine)
    one.until_killed()
    start = engine.start_request("POST", f"/containers/{container}/start")
    another_runs(engine)
    assert not_answered(start)
    one.let_go()
    assert start.getresponse().status == 204
    start.close()
    assert engine.docker("exec", container, "echo", "in").stdout == "in\n"
    engine.docker("rm", "-f", container)
