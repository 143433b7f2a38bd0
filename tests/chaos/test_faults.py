"""A SIGKILL between every two steps of create, start, pause, exit and remove: lib/fault.def lists the places.

Each time: who asked gets an answer, or the connection ends; afterwards everything agrees about what containers there are,
what was acknowledged is there, and the same request works.
"""
import http.client
import os
import re
import signal
import time

import pytest

from tests.harness import agree
from tests.harness.engine import BUILD, REPOSITORY, Engine
from tests.harness.rootfs import Tar

FAULTS = re.findall(r"^FAULT_POINT\((\w+)", (REPOSITORY / "lib/fault.def").read_text(), re.M)
BUILD_FAULTS = BUILD.with_name(BUILD.name + "-faults")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """An engine with the fault points compiled in; files in engine.faults arm them."""
    faults = tmp_path_factory.mktemp("faults")
    for path in (faults, *faults.parents[:2]):
        path.chmod(0o777)
    os.environ["POUCH_FAULTS"] = str(faults)
    try:
        with Engine(build=BUILD_FAULTS, sets=["supervisor.backoff-max=100ms"]) as running:
            running.faults = faults
            running.busybox()
            yield running
    finally:
        del os.environ["POUCH_FAULTS"]


def ask(engine, method, path, body=None):
    """The answer, or None when the connection ended or the engine asks to be asked again."""
    try:
        answer = engine.api(method, path, body)
    except (http.client.HTTPException, OSError):
        return None
    return None if answer.status == 503 else answer


def status(engine, name):
    """As inspect tells it, once the engine serves again; None: there is no such container."""
    deadline = time.monotonic() + 60
    while (answer := ask(engine, "GET", f"/containers/{name}/json")) is None:
        assert time.monotonic() < deadline, engine.log()
    return answer.json["State"] if answer.status == 200 else None


BODY = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"Binds": ["kept:/data"]}, "Volumes": {"/anonymous": {}}}


@pytest.mark.parametrize("point", FAULTS)
def test_killed_at(engine, point):
    # covers D-16 D-17
    request = point.split("_")[0]
    name = "at-" + point
    armed = engine.faults / point
    # A shim that has left the directory strikes by what it had seen there, and cannot remove the file.
    left = point in ("start_dropped", "exit_seen", "exit_written")

    def step(what, method, path, body=None):
        """True when it is acknowledged to be done."""
        if request == what:
            armed.touch()
        answer = ask(engine, method, path, body)
        status(engine, name)  # the engine serves again
        if request == what:
            disarm()
        return answer is not None and answer.status < 300

    def disarm():
        struck = left or not armed.exists()
        armed.unlink(missing_ok=True)
        assert struck, "the point was never reached"

    made = step("create", "POST", f"/containers/create?name={name}", BODY)
    if status(engine, name) is None:
        assert not made, "an acknowledged container is lost"
        answer = engine.api("POST", f"/containers/create?name={name}", BODY)
        assert answer.status == 201, answer
    if request == "exit":
        armed.touch()
    started = step("start", "POST", f"/containers/{name}/start")
    if not status(engine, name)["Running"]:
        assert not started or left, "an acknowledged start is lost"
        answer = engine.api("POST", f"/containers/{name}/start")
        assert answer.status == 204, answer
    if request == "pause":
        paused = step("pause", "POST", f"/containers/{name}/pause")
        assert status(engine, name)["Status"] == ("paused" if paused else "running")
        assert engine.api("POST", f"/containers/{name}/exec", {"Cmd": ["true"]}).status == (409 if paused else 201)
    ask(engine, "POST", f"/containers/{name}/kill")
    deadline = time.monotonic() + 60
    while (state := status(engine, name))["Running"]:
        assert time.monotonic() < deadline, "its end is not seen"
    assert state["ExitCode"] == 137 and state["Status"] == "exited", state
    if request == "exit":
        disarm()
    if not step("remove", "DELETE", f"/containers/{name}?v=1") and status(engine, name) is not None:
        answer = engine.api("DELETE", f"/containers/{name}?v=1")
        assert answer.status in (204, 404, 409), answer
    deadline = time.monotonic() + 60
    while status(engine, name) is not None:
        assert time.monotonic() < deadline, "its removal does not end"
    agree.wait(engine)
    assert {v["Name"] for v in engine.api("GET", "/volumes").json["Volumes"]} <= {"kept"}


# Those at which runtimed dies: a shim that dies in a start has failed it.
RESTARTED = ("start_shim", "start_prepared", "start_network", "start_go", "start_started", "start_noted")


COUNTS_RUNS = ["sh", "-c", "echo run >> /runs; exec sleep 1000"]


def runs(engine, name):
    """How often the program has been run."""
    done = engine.docker("cp", f"{name}:/runs", "-", check=False)
    return done.stdout.count("run\n")


@pytest.mark.parametrize("point", RESTARTED)
def test_a_restart_that_is_cut_is_made_once(engine, point):
    """on-failure:2 is two restarts that took place, however often runtimed died in them."""
    name = "again-" + point
    body = {"Image": "busybox", "Cmd": COUNTS_RUNS, "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}}
    assert engine.api("POST", f"/containers/create?name={name}", body).status == 201
    assert engine.api("POST", f"/containers/{name}/start").status == 204

    def shown():
        while (answer := ask(engine, "GET", f"/containers/{name}/json")) is None:
            pass
        return answer.json

    def fails():
        """The container's process dies, by nobody's request. Returns when it runs again, or does not."""
        now = shown()
        os.kill(now["State"]["Pid"], signal.SIGKILL)
        engine.wait_for(lambda: (after := shown())["State"]["Status"] == "exited"
                        or after["State"]["Status"] == "running" and after["State"]["Pid"] != now["State"]["Pid"])

    armed = engine.faults / point
    engine.wait_for(lambda: runs(engine, name))
    armed.touch()
    fails()
    engine.wait_for(lambda: not armed.exists())
    for count in (1, 2):
        now = shown()
        assert (now["State"]["Status"], now["RestartCount"]) == ("running", count), now
        engine.wait_for(lambda: runs(engine, name) > count)
        fails()
    assert runs(engine, name) == 3
    now = shown()
    assert (now["State"]["Status"], now["State"]["ExitCode"], now["RestartCount"]) == ("exited", 137, 2), now
    assert engine.api("DELETE", f"/containers/{name}").status == 204
    agree.wait(engine)


@pytest.mark.parametrize("point", ("exit_noted", *RESTARTED))
def test_a_restart_by_request_that_is_cut_goes_on(engine, point):
    """Nobody asked that it be down; it is none of the policy's restarts."""
    name = "cut-" + point
    body = {"Image": "busybox", "Cmd": COUNTS_RUNS, "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}
    assert engine.api("POST", f"/containers/create?name={name}", body).status == 201
    assert engine.api("POST", f"/containers/{name}/start").status == 204
    engine.wait_for(lambda: runs(engine, name))
    before = engine.inspect(name)["State"]["Pid"]
    armed = engine.faults / point
    armed.touch()
    ask(engine, "POST", f"/containers/{name}/restart?t=0")
    engine.wait_for(lambda: not armed.exists())

    def runs_again():
        answer = ask(engine, "GET", f"/containers/{name}/json")
        return answer and answer.json["State"]["Status"] == "running" and answer.json["State"]["Pid"] != before
    engine.wait_for(runs_again)
    assert engine.inspect(name)["RestartCount"] == 0
    engine.wait_for(lambda: runs(engine, name) > 1)
    assert engine.api("POST", f"/containers/{name}/stop?t=0").status == 204
    os.kill(engine.pids()["runtimed"], signal.SIGKILL)
    assert engine.inspect(name)["State"]["Status"] == "exited"
    assert runs(engine, name) == 2
    assert engine.api("DELETE", f"/containers/{name}").status == 204
    agree.wait(engine)


@pytest.mark.parametrize("point", ("start_go", "start_started"))
def test_a_restart_that_has_ended_meanwhile(engine, point):
    """The program of the cut restart runs and fails before the next runtimed comes: that is one failure more, and the last."""
    name = "short-" + point
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "test -e /wait; fails=$?; echo run >> /runs; test $fails = 0 && exec sleep 1000; exit 3"],
            "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}}
    assert engine.api("POST", f"/containers/create?name={name}", body).status == 201
    armed = engine.faults / point
    assert engine.api("PUT", f"/containers/{name}/archive?path=/", Tar().file("wait", b"").bytes(), {"Content-Type": "application/x-tar"}).status == 200
    assert engine.api("POST", f"/containers/{name}/start").status == 204
    engine.wait_for(lambda: runs(engine, name))
    engine.docker("exec", name, "rm", "/wait")
    armed.touch()
    os.kill(engine.inspect(name)["State"]["Pid"], signal.SIGKILL)
    engine.wait_for(lambda: not armed.exists())
    engine.wait_for(lambda: not status(engine, name)["Running"])
    now = engine.inspect(name)
    assert (now["State"]["Status"], now["State"]["ExitCode"], now["RestartCount"]) == ("exited", 3, 1), now
    assert runs(engine, name) == 2
    assert engine.api("DELETE", f"/containers/{name}").status == 204
    agree.wait(engine)
