"""Processes without memory: what cannot be done is refused clearly, nothing is left half done, and with memory again all goes on."""
import http.client
import pathlib
import re
import subprocess

import pytest

from tests.harness import agree
from tests.harness.fields import Run
from tests.harness.long import LONG
from tests.harness.marks import memory_bound

pytestmark = memory_bound
# More than a heap that is there has room for.
LABELS = {f"label{i}": "v" * 1000 for i in range(300)}
CREATE = {"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": LABELS, "HostConfig": {"NetworkMode": "none"}}
REQUESTS = [("POST", "/containers/create?name=box", CREATE), ("POST", "/containers/box/start", None), ("GET", "/containers/json?all=1", None),
            ("GET", "/containers/box/json", None), ("POST", "/containers/box/exec", {"Cmd": ["true"], "Env": ["A=" + "x" * 100000]}),
            ("GET", "/containers/box/archive?path=/etc", None), ("POST", "/containers/box/stop?t=0", None), ("DELETE", "/containers/box?force=1", None)]


def status(pid, field):
    return int(re.search(rf"^{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def set_limit(pid, size):
    """As the process's own user, who may: root may only with SYS_RESOURCE. Returns whether the process was there."""
    return subprocess.run(["setpriv", "--reuid", str(status(pid, "Uid")), "--regid", str(status(pid, "Gid")), "--clear-groups",
                    "prlimit", "--pid", str(pid), f"--as={size}:"], stderr=subprocess.PIPE, check=False).returncode == 0


def limit(pid, more):
    """Let a process have no more than `more` bytes beyond what it has."""
    assert set_limit(pid, (status(pid, "VmSize") << 10) + more)


def freed(engine, daemon):
    """It has memory again, and serves; it may have been about to end, and another is there the next time."""
    try:
        return set_limit(engine.pids()[daemon], "unlimited") and engine.api("GET", "/containers/json").status == 200
    except (KeyError, OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize("daemon", ["runtimed", "apid"] + (["imaged", "netd", "volumed", "auditd"] if LONG else []))
def test_a_daemon_without_memory(fresh, daemon):
    """covers D-17 in part: the daemon may end for it, and is started again; a request is done, or it is not and says so."""
    fresh.busybox()
    running = Run(fresh, "sleep 1000")
    refused = 0
    for more in (0, 1 << 18, 1 << 20, 2 << 20, 4 << 20, 16 << 20) if LONG else (0, 1 << 20, 4 << 20):
        limit(fresh.pids()[daemon], more)
        for method, path, body in REQUESTS:
            try:
                answer = fresh.api(method, path, body)
            except (OSError, http.client.HTTPException) as problem:
                assert daemon == "apid", problem  # whoever speaks to it loses his connection
                continue
            if answer.status >= 500:
                assert answer.message and answer.status in (500, 503), answer
                refused += 1
        fresh.wait_for(lambda: freed(fresh, daemon))
        fresh.wait_for(lambda: fresh.api("DELETE", "/containers/box?force=1&v=1").status in (204, 404))
        agree.wait(fresh)
        assert running.inspect()["State"]["Running"] and running.execute("echo", "on") == "on\n"
    print(daemon, refused, "refused")
    assert daemon != "runtimed" or refused
    assert Run(fresh, "echo well").finish() == "well\n"


def test_a_shim_without_memory(engine):
    """Its container ends when it cannot go on, and is recorded so; nothing of it is left."""
    for more in (0, 1 << 16, 1 << 20):
        run = Run(engine, "while :; do echo 0123456789; done", host={"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}})
        limit(status(run.inspect()["State"]["Pid"], "PPid"), more)
        for _ in range(4):
            connection = engine.start_request("POST", f"/containers/{run.id}/attach?stream=1&stdout=1&logs=1")
            connection.close()
        state = run.inspect()["State"]
        if not state["Running"]:
            assert state["ExitCode"] == 137 and state["Error"], state
        assert engine.api("POST", f"/containers/{run.id}/kill").status in (204, 409)
        assert engine.api("POST", f"/containers/{run.id}/wait").json["StatusCode"] == 137
        run.remove()
        agree.wait(engine)
