"""Restart policies: when a container is started again, and by whom it is not."""
import datetime
import json
import os
import signal
import time
import urllib.parse

import pytest

from tests.harness.long import LONG

NET = ("--network", "none")


def shown(engine, container):
    return engine.api("GET", f"/containers/{container}/json").json


def until_status(engine, container, status, restarts=None):
    return engine.wait_for(lambda: (now := shown(engine, container))["State"]["Status"] == status
                           and (restarts is None or now["RestartCount"] == restarts) and now)


def pauses(engine, container):
    """Milliseconds from each end to the start that followed."""
    filters = urllib.parse.quote(json.dumps({"container": [container], "event": ["start", "die"]}))
    events = engine.api("GET", f"/events?since=1&until={time.time():.9f}&filters={filters}").body.splitlines()
    times = [(e["Action"], e["timeNano"]) for e in map(json.loads, events)]
    return [(b[1] - a[1]) // 10**6 for a, b in zip(times, times[1:]) if (a[0], b[0]) == ("die", "start")]


def pauses_until(engine, container, restarts):
    """The same when it has been started again so often, for the last time."""
    until_status(engine, container, "exited", restarts)
    return pauses(engine, container)


def test_the_pause_doubles(engine):
    """100 ms before the first restart, twice the last one before each further."""
    made = engine.docker("run", "-d", "--restart", "on-failure:6", *NET, "busybox", "false").stdout.strip()
    gaps = pauses_until(engine, made, 6)
    assert len(gaps) == 6 and all(gap >= 100 << i for i, gap in enumerate(gaps)), gaps
    # What a client asks for begins anew: else the next pause had been 6400 ms.
    engine.docker("start", made)
    again = engine.wait_for(lambda: pauses(engine, made)[7:])
    assert 100 <= again[0] < 6400, again
    engine.docker("rm", "-f", made)


@pytest.mark.skipif(not LONG, reason="a run of ten seconds: LONG=1")
def test_a_good_run_ends_the_doubling(engine):
    script = "n=$(cat /n 2>/dev/null || echo 0); echo $((n + 1)) > /n; [ $n = 5 ] && sleep 10.5; exit 1"
    made = engine.docker("run", "-d", "--restart", "on-failure:7", *NET, "busybox", "sh", "-c", script).stdout.strip()
    gaps = pauses_until(engine, made, 7)
    assert gaps[4] >= 1600 > gaps[5] >= 100 and gaps[6] >= 200, gaps
    engine.docker("rm", made)


def test_the_count_survives_the_engine(engine):
    """on-failure:N counts over restarts of runtimed and of the whole engine."""
    made = engine.docker("run", "-d", "--restart", "on-failure:4", *NET, "busybox", "sh", "-c", "echo once; exit 3").stdout.strip()

    def ran(times):
        return engine.api("GET", f"/containers/{made}/logs?stdout=1").body.count(b"once") >= times

    engine.wait_for(lambda: ran(2))
    os.kill(engine.pids()["runtimed"], signal.SIGKILL)
    engine.wait_for(lambda: ran(3))
    assert engine.stop() == 0
    engine.start()
    assert until_status(engine, made, "exited", 4)["State"]["ExitCode"] == 3
    assert engine.docker("logs", made).stdout == "once\n" * 5
    engine.docker("rm", made)


def in_a_pause(engine, name):
    """Returns when at least four seconds of a pause are left."""
    def left():
        now = shown(engine, name)
        if now["State"]["Status"] != "restarting":
            return None
        ended = datetime.datetime.fromisoformat(now["State"]["FinishedAt"][:26] + "+00:00")
        pause = datetime.timedelta(milliseconds=100 << now["RestartCount"])
        return ended + pause - datetime.datetime.now(datetime.timezone.utc)

    engine.wait_for(lambda: (left() or datetime.timedelta()).total_seconds() > 4)


def test_in_the_pause(engine):
    """A container that waits for its restart can be stopped, started, killed, renamed and removed."""
    for name in ("stops", "goes", "waits"):
        engine.docker("run", "-d", "--name", name, "--restart", "always", *NET, "busybox", "false")
    in_a_pause(engine, "stops")
    engine.docker("stop", "stops")
    state = shown(engine, "stops")["State"]
    assert (state["Status"], state["Restarting"], state["Running"]) == ("exited", False, False)
    engine.docker("rm", "stops")
    in_a_pause(engine, "goes")
    answer = engine.api("DELETE", "/containers/goes")
    assert answer.status == 409 and "restarting" in answer.message, answer
    engine.docker("rename", "goes", "gone")
    assert engine.docker("ps", "--filter", "status=restarting", "--format", "{{.Names}} {{.Status}}", "--filter", "name=gone").stdout.startswith("gone Restarting (1)")
    engine.docker("rm", "-f", "gone")
    in_a_pause(engine, "waits")
    answer = engine.api("POST", "/containers/waits/exec", {"Cmd": ["true"]})
    assert answer.status == 409 and "restarting" in answer.message, answer
    engine.docker("kill", "waits", check=False)
    engine.docker("update", "--restart", "no", "waits")
    until_status(engine, "waits", "exited")
    engine.docker("rm", "waits")


def test_wait_for_the_next_exit(engine):
    """`next-exit` is one of its exits; `not-running` is none of a container that will run again."""
    made = engine.docker("create", "--restart", "on-failure:3", *NET, "busybox", "sh", "-c", "exit 6").stdout.strip()
    waiting = engine.api_stream("POST", f"/containers/{made}/wait?condition=next-exit")  # its head is there: it has begun
    engine.docker("start", made)
    assert json.loads(waiting.read())["StatusCode"] == 6
    waiting.close()
    assert engine.api("POST", f"/containers/{made}/wait?condition=not-running").json["StatusCode"] == 6
    until_status(engine, made, "exited", 3)
    engine.docker("rm", made)


def test_who_waits_in_a_pause(engine, tmp_path):
    """Who waits for a container that is to be restarted, or follows its log, goes on until it ends or will not be restarted."""
    (tmp_path / "bound").mkdir()

    def make(*options):
        return engine.docker("run", "-d", "--restart", "always", *options, *NET, "busybox", "sh", "-c", "echo once; exit 4").stdout.strip()

    ends = [(make(), "POST", "kill", None), (make(), "POST", "stop", None), (make(), "POST", "update", {"RestartPolicy": {"Name": "no"}}),
            (make(), "DELETE", "?force=1", None), (make("--mount", f"type=bind,src={tmp_path}/bound,dst=/b"), None, None, None)]
    for made, method, path, body in ends:
        in_a_pause(engine, made)
        waits = [engine.api_stream("POST", f"/containers/{made}/wait?condition={c}") for c in ("not-running", "next-exit")]
        follow = engine.api_stream("GET", f"/containers/{made}/logs?stdout=1&follow=1")
        assert shown(engine, made)["State"]["Restarting"], "none of them was answered by an exit"
        if method:
            answer = engine.api(method, f"/containers/{made}{'' if path[0] == '?' else '/'}{path}", body)
            assert answer.status < 300, answer
        else:
            (tmp_path / "bound").rmdir()  # a restart that fails is no exit
        codes = [json.loads(wait.read())["StatusCode"] for wait in waits]
        assert codes == ([4, 4] if method else [128, 128]), path
        assert follow.read().count(b"once") >= 5
        for stream in (follow, *waits):
            stream.close()
        assert engine.api("DELETE", f"/containers/{made}").status == (404 if path == "?force=1" else 204)


def test_a_start_that_fails_is_no_restart(engine, tmp_path):
    """Docker's rule: a container that cannot be started is not tried again and again by its policy."""
    made = engine.docker("create", "--restart", "always", *NET, "busybox", "/not/there").stdout.strip()
    done = engine.docker("start", made, check=False)
    assert done.returncode == 1 and "/not/there" in done.stderr
    state = shown(engine, made)
    assert state["State"]["Status"] in ("created", "exited") and state["State"]["ExitCode"] == 127 and state["RestartCount"] == 0
    engine.docker("rm", made)
