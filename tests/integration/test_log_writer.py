"""mode=non-blocking of the drivers that write a file: the shim's writer; and logs that are opened while files are rotated."""
import os
import pathlib
import re
import signal
import struct

import pytest

from tests.harness.engine import Engine
from tests.harness.streams import Stream
from tests.integration.test_logs import files, logs, remove

NET = ("--network", "none")
NON_BLOCKING = ("--log-opt", "mode=non-blocking")


def pids(container):
    """The container's shim, and its writer if there is one."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) if words else 0
        except OSError:
            continue
        if words[:2] == [b"pouch-shim", container.encode()]:
            found[int(entry.name)] = parent
    writer = [pid for pid, parent in found.items() if parent in found]
    shim, = (pid for pid in found if pid not in writer)
    return shim, writer[0] if writer else None


def started(engine, script, *words):
    return engine.docker("run", "-d", *NET, *words, "busybox", "sh", "-c", script).stdout.strip()


def reaches(engine, container, path):
    Engine.wait_for(lambda: engine.docker("exec", container, "test", "-e", path, check=False).returncode == 0)


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_all_is_written_by_the_end(engine, driver):
    container = started(engine, "seq 50000; echo -n end >&2", "--log-driver", driver, *NON_BLOCKING, "--log-opt", "max-buffer-size=64m",
                        "--log-opt", "max-size=200k", "--log-opt", "max-file=100")
    assert engine.api("POST", f"/containers/{container}/wait").json["StatusCode"] == 0
    done = engine.docker("logs", container)
    assert done.stdout.splitlines() == [str(n) for n in range(1, 50001)] and done.stderr == "end"
    assert len(files(engine, container)) > 5
    engine.docker("start", "-a", container)
    assert len(logs(engine, container)) == 100000
    remove(engine, container)


def test_a_writer_that_hangs_keeps_nobody_waiting(engine):
    """covers D-23: lines beyond max-buffer-size are dropped, in one piece, and counted."""
    lines = 300000
    container = started(engine, f"read x; seq {lines}; echo > /tmp/done; read x", "-i", *NON_BLOCKING, "--log-opt", "max-buffer-size=64k",
                        "--log-opt", "max-size=100m")
    shim, writer = pids(container)
    os.kill(writer, signal.SIGSTOP)
    with Stream(engine, f"/containers/{container}/attach?stream=1&stdin=1&stdout=1") as client:
        client.send(b"\n")
        live = b""
        while not live.endswith(b"%d\n" % lines):
            kind, size = struct.unpack(">B3xI", client.exactly(8))
            live += client.exactly(size)
        assert kind == 1 and len(live.splitlines()) == lines
        reaches(engine, container, "/tmp/done")
        with open(f"/proc/{shim}/status", encoding="ascii") as status:
            assert int(re.search(r"RssAnon:\s+(\d+)", status.read())[1]) < 8 << 10
        assert engine.docker("logs", "--tail", "1", container).stdout == ""
        os.kill(writer, signal.SIGCONT)
        client.send(b"\n")
    assert engine.api("POST", f"/containers/{container}/wait").json["StatusCode"] == 0
    got = [int(line) for line in logs(engine, container)]
    assert got == list(range(1, len(got) + 1)) and 1000 < len(got) < lines
    found = Engine.wait_for(lambda: re.search(rf"{container[:12]}: (\d+) lines were dropped: ", engine.log()))
    assert int(found[1]) == lines - len(got)
    assert not pathlib.Path(f"/proc/{writer}").exists()
    remove(engine, container)


def test_blocking_has_no_writer(engine):
    container = started(engine, "sleep 1000")
    assert pids(container)[1] is None
    remove(engine, container)


def test_a_writer_that_is_killed(engine):
    container = started(engine, "read x; seq 1000; read x; seq 1001 2000", "-i", *NON_BLOCKING, "--log-opt", "max-size=20k", "--log-opt",
                        "max-file=50")
    with Stream(engine, f"/containers/{container}/attach?stream=1&stdin=1") as client:
        client.send(b"\n")
        Engine.wait_for(lambda: len(logs(engine, container)) == 1000)
        os.kill(pids(container)[1], signal.SIGKILL)
        Engine.wait_for(lambda: pids(container)[1] is None)
        client.send(b"\n")
    engine.api("POST", f"/containers/{container}/wait")
    assert logs(engine, container) == [str(n) for n in range(1, 2001)]
    remove(engine, container)


def test_the_writer_has_no_power(engine):
    """covers S-80: it holds what the shim does, and only the log."""
    container = started(engine, "sleep 1000", *NON_BLOCKING)
    shim, writer = pids(container)

    def held(pid):
        return re.findall(r"^(?:Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp):.*", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)

    # It gives up its power before it reads the first line, not before the container is said to run.
    Engine.wait_for(lambda: "Seccomp:\t2" in held(writer))
    assert held(writer) == held(shim)
    path = engine.inspect(container)["LogPath"]
    opened = {os.readlink(f"/proc/{writer}/fd/{fd}") for fd in os.listdir(f"/proc/{writer}/fd")}
    assert {place for place in opened if not place.startswith("socket:")} == {path, os.path.dirname(path)}
    assert len(opened) == 3
    os.kill(shim, signal.SIGKILL)
    Engine.wait_for(lambda: not pathlib.Path(f"/proc/{writer}").exists())
    remove(engine, container)


@pytest.mark.parametrize("config,words", [({"max-buffer-size": "1m"}, "only supported with 'mode=non-blocking'"),
                                          ({"mode": "non-blocking", "max-buffer-size": "0"}, "invalid value '0' for log opt 'max-buffer-size'"),
                                          ({"mode": "non-blocking", "max-buffer-size": "-1"}, "max-buffer-size cannot be less than 1"),
                                          ({"mode": "later"}, "one of blocking|non-blocking is expected")])
def test_refused(engine, config, words):
    answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {
        "LogConfig": {"Type": "json-file", "Config": config}}})
    assert answer.status == 400 and words in answer.message, answer


# ---- opened while files are rotated ----

ROTATING = ("--log-opt", "max-size=16k", "--log-opt", "max-file=40")
ENDLESS = "i=0; while :; do seq $i $((i + 99)); i=$((i + 100)); done"


def text_of(raw):
    text = b""
    while len(raw) >= 8:
        size, = struct.unpack(">I", raw[4:8])
        if len(raw) < 8 + size:
            break
        text, raw = text + raw[8:8 + size], raw[8 + size:]
    return text


def in_order(text):
    got = [int(line) for line in text.splitlines() if line]
    assert got and got == list(range(got[0], got[0] + len(got))), [(a, b) for a, b in zip(got, got[1:]) if b != a + 1]
    return got


@pytest.mark.parametrize("more", [(), ("--log-opt", "compress=true")], ids=["plain", "compressed"])
def test_logs_amid_rotations(engine, more):
    container = started(engine, ENDLESS, *ROTATING, *more)
    Engine.wait_for(lambda: logs(engine, container))
    for turn in range(40):
        tail = "all" if turn % 2 else 200
        in_order(text_of(engine.api("GET", f"/containers/{container}/logs?stdout=1&tail={tail}").body))
    remove(engine, container)


@pytest.mark.parametrize("more", [(), NON_BLOCKING], ids=["blocking", "non-blocking"])
def test_attach_with_logs_amid_rotations(engine, more):
    """First what was logged, then what comes: nothing twice, nothing missing."""
    container = started(engine, ENDLESS, *ROTATING, *more, "--log-opt", "max-buffer-size=64m") if more else started(engine, ENDLESS, *ROTATING)
    Engine.wait_for(lambda: logs(engine, container))
    for _ in range(6):
        with Stream(engine, f"/containers/{container}/attach?stream=1&logs=1&stdout=1") as client:
            raw = client.exactly(150000)
        text = text_of(raw)
        in_order(text[:text.rindex(b"\n") + 1])
    remove(engine, container)
