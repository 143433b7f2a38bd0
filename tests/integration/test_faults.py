"""What goes wrong around a container, what a restart policy makes of it, and what an engine's restart finds again."""
import os
import resource
import shutil
import signal
import time

import pytest

from tests.harness import leaks
from tests.harness.engine import Engine
from tests.harness.fields import Run
from tests.harness.long import LONG
from tests.harness.rootfs import Tar, busybox_tar

NET = ("--network", "none")


def until(condition, what, seconds=60):
    """Asks the engine again until it is so."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, what
    return value


def state(engine, container):
    return engine.api("GET", f"/containers/{container}/json").json["State"]


# ---- programs that cannot be run ----

@pytest.mark.parametrize("command,code,words", [
    (["nosuch"], 127, "nosuch"), (["/bin/nosuch"], 127, "/bin/nosuch"), (["/etc/passwd"], 126, "/etc/passwd"), (["/etc"], 126, "/etc")])
def test_what_cannot_be_run(engine, command, code, words):
    made = engine.docker("create", *NET, "busybox", *command).stdout.strip()
    answer = engine.api("POST", f"/containers/{made}/start")
    assert answer.status == 400 and words in answer.message, answer
    now = state(engine, made)
    assert (now["Status"], now["ExitCode"], now["Pid"]) == ("created", code, 0) and words in now["Error"]
    engine.docker("rm", made)
    done = engine.docker("run", "--rm", *NET, "busybox", *command, check=False)
    assert done.returncode == code and words in done.stderr


def test_a_text_that_is_no_program(engine):
    made = engine.docker("create", *NET, "busybox", "/text").stdout.strip()
    tar = Tar().file("text", b"no program at all\n", 0o755).bytes()
    engine.api("PUT", f"/containers/{made}/archive?path=/", tar, {"Content-Type": "application/x-tar"})
    engine.api("POST", f"/containers/{made}/start")
    engine.api("POST", f"/containers/{made}/wait")
    now = state(engine, made)
    print(now, engine.docker("logs", made))
    assert now["ExitCode"] != 0 and not now["Running"]
    engine.docker("rm", made)


def test_execs_that_cannot_be_run(engine):
    run = Run(engine, "sleep 1000")
    for command, code in (("nosuch", 127), ("/etc/passwd", 126)):
        done = engine.docker("exec", run.id, command, check=False)
        assert done.returncode == code and command in done.stdout + done.stderr
    run.remove()


@pytest.mark.parametrize("script,words", [("#!/bin/sh\necho 'it is broken' >&2\nexit 1\n", ""), ("#!/bin/sh\nkill -9 $$\n", ""), (None, "")])
def test_a_runtime_that_fails(tmp_path, script, words):
    runtime = tmp_path / "runtime"
    if script:
        runtime.write_text(script)
        runtime.chmod(0o755)
    config = {"runtime": {"runtimes": {"crun": {"path": shutil.which("crun"), "bpf-annotation": True}, "bad": {"path": str(runtime)}}}}
    with Engine(config=config) as engine:
        engine.busybox()
        run = Run(engine, "true", host={"Runtime": "bad"})
        assert run.created.status != 201 or run.started.status in (400, 500), run.started
        assert run.error
        if run.created.status == 201:
            now = run.inspect()["State"]
            assert now["Status"] == "created" and now["Error"] and now["Pid"] == 0
            # Nothing of the attempt is left, and it can be tried again.
            assert engine.api("POST", f"/containers/{run.id}/start").status in (400, 500)
        run.remove()
        assert Run(engine, "echo well").finish() == "well\n"


def test_the_image_goes_between_create_and_start(engine):
    engine.import_tar(busybox_tar(), "passing:1")
    made = engine.docker("create", *NET, "passing:1", "echo", "still there").stdout.strip()
    answer = engine.api("DELETE", "/images/passing:1")
    assert answer.status in (200, 409)
    engine.api("DELETE", "/images/passing:1?force=1")
    engine.docker("image", "prune", "-a", "-f")
    assert engine.docker("start", "-a", made).stdout == "still there\n"
    engine.docker("rm", made)
    engine.busybox()


# ---- stop and remove ----

def test_a_hung_container_is_killed(engine):
    run = Run(engine, "trap '' TERM INT HUP; echo up; while :; do sleep 0.1; done")
    until(lambda: "up" in run.log(), "it is up")
    assert engine.api("POST", f"/containers/{run.id}/stop?t=0").status == 204
    assert run.inspect()["State"]["ExitCode"] == 137
    run.remove()


def test_frozen_containers(engine):
    run = Run(engine, "sleep 1000")
    engine.docker("pause", run.id)
    answer = engine.api("DELETE", f"/containers/{run.id}")
    assert answer.status == 409 and "paused" in answer.message
    assert engine.api("DELETE", f"/containers/{run.id}?force=1").status == 204
    run = Run(engine, "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done")
    until(lambda: "up" in run.log(), "it is up")
    engine.docker("pause", run.id)
    assert engine.api("POST", f"/containers/{run.id}/stop?t=30").status == 204
    assert run.inspect()["State"]["ExitCode"] == 9
    run.remove()


def test_no_descriptors_left(fresh):
    """What cannot be done for want of descriptors is refused; with some again everything goes on."""
    fresh.busybox()
    running = Run(fresh, "sleep 1000")
    pid = fresh.pids()["runtimed"]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 6, before[1]))
    run = Run(fresh, "true")
    assert run.error and run.created.status in (201, 500, 503), run.error
    assert fresh.api("GET", f"/containers/{running.id}/json").json["State"]["Running"]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    run.remove()
    assert Run(fresh, "echo again").finish() == "again\n"
    assert fresh.pids()["runtimed"] == pid
    assert running.execute("echo", "on") == "on\n"
    running.remove()


# ---- restart policies ----

def test_on_failure_counts(engine):
    made = engine.docker("run", "-d", "--restart", "on-failure:2", *NET, "busybox", "sh", "-c", "echo once; exit 3").stdout.strip()
    until(lambda: state(engine, made)["Status"] == "exited" and engine.api("GET", f"/containers/{made}/json").json["RestartCount"] == 2,
          "it has been restarted twice")
    assert engine.docker("logs", made).stdout == "once\n" * 3 and state(engine, made)["ExitCode"] == 3
    # Asked for by a client, it begins anew.
    engine.docker("start", made)
    until(lambda: engine.docker("logs", made).stdout == "once\n" * 6 and state(engine, made)["Status"] == "exited", "twice again")
    engine.docker("rm", made)
    good = engine.docker("run", "-d", "--restart", "on-failure", *NET, "busybox", "true").stdout.strip()
    engine.docker("wait", good)
    until(lambda: state(engine, good)["Status"] == "exited", "a good end")
    assert engine.api("GET", f"/containers/{good}/json").json["RestartCount"] == 0
    engine.docker("rm", good)


def test_always_and_stop(engine):
    made = engine.docker("run", "-d", "--restart", "always", *NET, "busybox", "sleep", "1000").stdout.strip()
    first = state(engine, made)["Pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: state(engine, made)["Running"] and state(engine, made)["Pid"] not in (0, first), "it runs again")
    engine.docker("stop", "-t", "0", made)
    assert state(engine, made)["Status"] == "exited" and not state(engine, made)["Restarting"]
    engine.docker("rm", made)


def test_auto_remove(engine):
    made = engine.docker("run", "-d", "--rm", *NET, "busybox", "true").stdout.strip()
    engine.api("POST", f"/containers/{made}/wait?condition=removed")
    assert engine.api("GET", f"/containers/{made}/json").status == 404


def end_everything(engine):
    """As the host's end does: every process of the engine's containers, and its run directory."""
    engine.stop(signal.SIGKILL)
    leaks.clean(engine)
    shutil.rmtree(engine.run, ignore_errors=True)


def test_after_a_reboot(fresh):
    """always starts again, also what was stopped; unless-stopped what was not; the others are exited."""
    fresh.busybox()
    ids = {}
    for name, policy in (("always", "always"), ("halted", "always"), ("unless", "unless-stopped"), ("left", "unless-stopped"), ("plain", "no"),
                         ("failed", "on-failure")):
        ids[name] = fresh.docker("run", "-d", "--name", name, "--restart", policy, *NET, "busybox", "sleep", "1000").stdout.strip()
    fresh.docker("stop", "-t", "0", "halted", "left")
    fresh.docker("create", "--name", "new", "--restart", "always", *NET, "busybox", "sleep", "1000")
    end_everything(fresh)
    fresh.start()
    for name in ("always", "halted", "unless", "failed"):
        until(lambda n=name: state(fresh, n)["Running"] and not state(fresh, n)["Restarting"], f"{name} runs")
    for name in ("left", "plain"):
        assert state(fresh, name)["Status"] == "exited", name
    assert state(fresh, "new")["Status"] == "created"


def test_an_engines_restart_changes_nothing(fresh):
    """covers D-16: unless-stopped and the others run on, what was stopped stays so."""
    fresh.busybox()
    for name, policy in (("unless", "unless-stopped"), ("plain", "no"), ("left", "always")):
        fresh.docker("run", "-d", "--name", name, "--restart", policy, *NET, "busybox", "sleep", "1000")
    fresh.docker("stop", "-t", "0", "left")
    before = {name: state(fresh, name)["Pid"] for name in ("unless", "plain")}
    fresh.stop()
    fresh.start()
    assert {name: state(fresh, name)["Pid"] for name in before} == before
    assert state(fresh, "left")["Status"] == "exited"


def test_runtimed_finds_all_again(fresh):
    """covers D-16, D-17 in part: kill -9 of runtimed with many containers; each is found with its process, and those that
    ended meanwhile have their exit code."""
    fresh.busybox()
    count = 50 if LONG else 20
    runs = [Run(fresh, "sleep 1000") for _ in range(count)]
    ending = Run(fresh, "trap 'exit 42' TERM; echo up; while :; do sleep 0.05; done")
    until(lambda: "up" in ending.log(), "it is up")
    pids = {run.id: state(fresh, run.id)["Pid"] for run in runs}
    last = state(fresh, ending.id)["Pid"]
    os.kill(fresh.pids()["runtimed"], signal.SIGKILL)
    os.kill(last, signal.SIGTERM)
    assert {run.id: until(lambda r=run: fresh.api("GET", f"/containers/{r.id}/json"), "").json["State"]["Pid"] for run in runs} == pids
    assert fresh.api("POST", f"/containers/{ending.id}/wait").json["StatusCode"] == 42
    assert runs[0].execute("echo", "on") == "on\n"
    engine_list = fresh.api("GET", "/containers/json").json
    assert {c["Id"] for c in engine_list} == set(pids)
    for run in runs + [ending]:
        run.remove()


def test_who_asks_while_shims_are_found_again(fresh):
    """A runtimed that has just started takes no container for one that does not run; lists do not wait for the shims."""
    fresh.busybox()
    runs = [Run(fresh, "sleep 1000") for _ in range(12)]
    ids = {run.id for run in runs}
    for _ in range(3):
        os.kill(fresh.pids()["runtimed"], signal.SIGKILL)
        asked = [fresh.start_request("POST", f"/containers/{run.id}/exec", body={"Cmd": ["true"]}) for run in runs[:6]]
        asked += [fresh.start_request("POST", f"/containers/{run.id}/kill?signal=WINCH") for run in runs[6:]]
        assert {c["Id"] for c in fresh.api("GET", "/containers/json").json} == ids
        answers = [connection.getresponse().status for connection in asked]
        assert all(status in (201, 204, 503) for status in answers), answers  # 503: it died with the request
        for connection in asked:
            connection.close()
        assert [state(fresh, run.id)["Status"] for run in runs] == ["running"] * 12
        assert runs[-1].execute("echo", "on") == "on\n"


# ---- fields of an exec ----

EXECS = [
    ({"Env": ["A=1", "B"]}, ["sh", "-c", "echo $A ${B-none} $C"], "1 none c\n"),
    ({"User": "app"}, ["id", "-u"], "1000\n"),
    ({"User": "1000:7"}, ["id", "-g"], "7\n"),
    ({"User": "app"}, ["sh", "-c", "echo $HOME"], "/home/app\n"),
    ({"WorkingDir": "/home"}, ["pwd"], "/home\n"),
    ({}, ["pwd"], "/tmp\n"),
    ({"Tty": True}, ["sh", "-c", "test -t 0 && echo tty $TERM"], "tty xterm\n"),
    ({"Tty": True, "ConsoleSize": [33, 99]}, ["stty", "size"], "33 99\n"),
    ({"Privileged": True}, ["sh", "-c", "grep -c 000001ffffffffff /proc/self/status; grep NoNew /proc/self/status"], "3\nNoNewPrivs:\t0\n"),
    ({"AttachStderr": False}, ["sh", "-c", "echo out; echo err >&2"], "out\n"),
    ({"AttachStdout": False}, ["sh", "-c", "echo out; echo err >&2"], "err\n"),
    ({"Cmd": "hostname"}, None, "box\n"),
]


@pytest.fixture(scope="module")
def target(engine):
    run = Run(engine, "sleep 1000", config={"Env": ["C=c"], "WorkingDir": "/tmp", "Hostname": "box"})
    yield run
    run.remove()


@pytest.mark.parametrize("fields,command,says", EXECS, ids=[f"{i}-{'+'.join(row[0])}" for i, row in enumerate(EXECS)])
def test_exec_fields(target, fields, command, says):
    assert target.execute(*(command or []), **fields) == says


@pytest.mark.parametrize("fields,words", [({"Cmd": []}, "command"), ({"WorkingDir": "x"}, "working directory"), ({"DetachKeys": "ctrl-!"}, "etach"),
                                          ({"Colour": 1}, "Colour"), ({"User": "a b"}, "User"), ({"Env": ["=x"]}, "environment")])
def test_exec_refused(engine, target, fields, words):
    answer = engine.api("POST", f"/containers/{target.id}/exec", {"Cmd": ["true"], **fields}, version="1.47")
    assert answer.status == 400 and words in answer.message, answer


def test_exec_detached_and_its_end(engine, target):
    made = engine.api("POST", f"/containers/{target.id}/exec", {"Cmd": ["sh", "-c", "exit 5"]}).json["Id"]
    shown = engine.api("GET", f"/exec/{made}/json").json
    assert shown["Running"] is False and shown["ExitCode"] is None and shown["ProcessConfig"]["entrypoint"] == "sh"
    assert engine.api("POST", f"/exec/{made}/start", {"Detach": True}).status == 200
    shown = until(lambda: (s := engine.api("GET", f"/exec/{made}/json").json)["ExitCode"] is not None and s, "it ends")
    assert shown["ExitCode"] == 5 and shown["ContainerID"] == target.id
    assert engine.api("POST", f"/exec/{made}/start", {"Detach": True}).status == 409
    assert engine.api("POST", "/exec/nosuch/start", {}).status == 404
