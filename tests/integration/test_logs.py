"""A container's log: the file drivers' options, and what `logs` shows of it, through rotation."""
import datetime
import json
import os
import pathlib
import re
import socket
import threading
import time

import pytest

from tests.harness.engine import Engine
from tests.harness.marks import memory_bound

NET = ("--network", "none")


def run(engine, name, script, *words):
    engine.docker("run", "-d", "--name", name, *NET, *words, "busybox", "sh", "-c", script)
    assert engine.api("POST", f"/containers/{name}/wait").status == 200


def logs(engine, name, *words):
    return engine.docker("logs", *words, name).stdout.splitlines()


def files(engine, name):
    """{suffix: path} of the container's log files."""
    path = pathlib.Path(engine.api("GET", f"/containers/{name}/json").json["LogPath"])
    return {p.name.removeprefix(path.name): p for p in path.parent.iterdir()}


def remove(engine, name):
    engine.docker("rm", "-f", name)


def test_rotation(engine):
    run(engine, "rotated", "seq -w 20000", "--log-opt", "max-size=200k", "--log-opt", "max-file=3")
    assert sorted(files(engine, "rotated")) == ["", ".1", ".2"]
    assert all(p.stat().st_size <= (200 << 10) + 200 for p in files(engine, "rotated").values())
    got = logs(engine, "rotated")
    # The newest lines, without a gap.
    assert got == [f"{i:05}" for i in range(20001 - len(got), 20001)] and len(got) > 4000
    for n in (0, 1, 3000, 100000):
        assert logs(engine, "rotated", "--tail", n) == (got[-n:] if n else [])
    remove(engine, "rotated")


def test_compressed_files_are_read(engine):
    """Slowly enough that each file is compressed before the next is rotated."""
    script = "for i in $(seq 40); do seq -w $((i * 500 - 499)) $((i * 500)); sleep 0.02; done"
    run(engine, "packed", script, "--log-opt", "max-size=100k", "--log-opt", "max-file=20", "--log-opt", "compress=true")
    kept = files(engine, "packed")
    packed = [suffix for suffix in kept if suffix.endswith(".gz")]
    assert len(packed) > 3 and ".gz" not in kept
    assert all(kept[suffix].read_bytes()[:2] == b"\x1f\x8b" for suffix in packed)
    got = logs(engine, "packed")
    assert [int(line) for line in got] == list(range(1, 20001))
    for n in (5, 1500, 9000, 19999, 30000):
        assert logs(engine, "packed", "--tail", n) == got[-n:]
    remove(engine, "packed")


def test_attach_with_logs_reads_compressed_files(engine):
    script = "for i in $(seq 20); do seq -w $((i * 500 - 499)) $((i * 500)); sleep 0.02; done; sleep 1000"
    engine.docker("run", "-d", "--name", "replayed", *NET, "--log-opt", "max-size=100k", "--log-opt", "max-file=20", "--log-opt",
                  "compress=true", "busybox", "sh", "-c", script)
    deadline = time.monotonic() + 60
    while logs(engine, "replayed", "--tail", 1) != ["10000"]:
        assert time.monotonic() < deadline
    answer = engine.api("POST", "/containers/replayed/attach?logs=1&stdout=1")
    assert answer.status == 200
    lines = [frame.partition(b"\n")[0] for frame in re.split(rb"\x01\0{6}.", answer.body, flags=re.DOTALL)[1:]]
    assert [int(line) for line in lines] == list(range(1, 10001))
    assert any(suffix.endswith(".gz") for suffix in files(engine, "replayed"))
    remove(engine, "replayed")


def test_local_has_its_own_defaults(engine):
    run(engine, "localfile", "seq 10", "--log-driver", "local")
    assert logs(engine, "localfile") == [str(i) for i in range(1, 11)]
    remove(engine, "localfile")
    for option in ("labels=a", "tag=x"):
        refused = engine.docker("create", *NET, "--log-driver", "local", "--log-opt", option, "busybox", "true", check=False)
        assert f"unknown log opt '{option.split('=')[0]}' for local log driver" in refused.stderr


def test_none(engine):
    run(engine, "silent", "echo x", "--log-driver", "none")
    answer = engine.api("GET", "/containers/silent/logs?stdout=1")
    assert (answer.status, answer.message) == (501, "configured logging driver does not support reading")
    remove(engine, "silent")


def test_attributes_and_details(engine):
    run(engine, "attributed", "echo line", "-l", "tier=web", "-l", "team=a", "-l", "other=1", "-e", "COLOUR=blue", "-e", "SIZE=9",
        "--log-opt", "labels=tier", "--log-opt", "labels-regex=^te", "--log-opt", "env=COLOUR,NONE", "--log-opt",
        "tag={{.Name}}-{{.ImageName}}-{{.DaemonName}}")
    line = json.loads(files(engine, "attributed")[""].read_text())
    assert line["attrs"] == {"tier": "web", "team": "a", "COLOUR": "blue", "tag": "attributed-busybox-pouch"}
    details, _, text = logs(engine, "attributed", "--details")[0].rpartition(" ")
    assert text == "line" and set(details.split(",")) == {"tier=web", "team=a", "COLOUR=blue",
                                                            "tag=attributed-busybox-pouch"}
    assert logs(engine, "attributed") == ["line"]
    remove(engine, "attributed")


def test_times(engine):
    run(engine, "timed", "for i in 1 2 3 4; do echo $i; sleep 0.2; done")
    stamped = [line.split(" ") for line in logs(engine, "timed", "--timestamps")]
    times = [stamp for stamp, _ in stamped]
    assert [text for _, text in stamped] == list("1234") and times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp) for stamp in times)
    assert logs(engine, "timed", "--since", times[1]) == list("234")
    assert logs(engine, "timed", "--until", times[2]) == list("123")
    assert logs(engine, "timed", "--since", times[1], "--until", times[2]) == list("23")
    assert logs(engine, "timed", "--since", "1h") == list("1234") and logs(engine, "timed", "--until", "1h") == []
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert logs(engine, "timed", "--since", later) == []
    assert logs(engine, "timed", "--tail", "1", "--since", times[1]) == ["4"]
    remove(engine, "timed")


def test_follow_through_rotation(engine):
    """Who follows sees every line, though files are rotated under it."""
    engine.docker("create", "-i", "--name", "followed", *NET, "--log-opt", "max-size=100k", "--log-opt", "max-file=4", "--log-opt",
                  "compress=true", "busybox", "sh", "-c", "read x; seq 3000; read x; seq 3001 6000; read x; seq 6001 9000")
    stdin = engine.client().api.attach_socket("followed", {"stdin": 1, "stream": 1})._sock
    engine.docker("start", "followed")
    got = []
    reader = threading.Thread(target=lambda: got.extend(
        line for line in engine.client().api.logs("followed", stream=True, follow=True)))
    reader.start()
    for part in (3000, 6000, 9000):
        stdin.sendall(b"go\n")
        deadline = time.monotonic() + 60
        while not got or sum(chunk.count(b"\n") for chunk in got) < part:
            assert time.monotonic() < deadline, (part, b"".join(got).split()[-3:], len(b"".join(got).split()))
            time.sleep(0.01)
    reader.join(60)
    assert not reader.is_alive()
    assert b"".join(got).split() == [b"%d" % i for i in range(1, 9001)]
    stdin.close()
    remove(engine, "followed")


def test_streams_are_chosen(engine):
    run(engine, "both", "echo out; echo err >&2")
    for query, want in (("stdout=1", b"\x01\0\0\0\0\0\0\x04out\n"), ("stderr=1", b"\x02\0\0\0\0\0\0\x04err\n")):
        assert engine.api("GET", f"/containers/both/logs?{query}").body == want
    refused = engine.api("GET", "/containers/both/logs")
    assert refused.status == 400 and "you must choose at least one stream" in refused.message
    remove(engine, "both")


def test_every_character_at_every_place(engine):
    """Both ways, into JSON and back, look at many bytes at once."""
    text = b"".join(b"x" * before + odd.encode() + b"y" * behind + b"\n" for odd in ('"', "\\", "\t", "\x1f", "\x7f", "é", "😀")
                    for before in range(36) for behind in (0, 1, 40))
    engine.docker("run", "-i", "--name", "odd", *NET, "busybox", "cat", input=text, text=False)
    assert engine.docker("logs", "odd", text=False).stdout == text
    remove(engine, "odd")


def test_content_type(engine):
    """As dockerd names it: by the terminal, and the one with frames since 1.42."""
    run(engine, "framed", "echo out")
    run(engine, "plain", "echo out", "-t")
    for name, version, want in (("framed", "1.41", "raw"), ("framed", "1.42", "multiplexed"), ("plain", "1.42", "raw")):
        answer = engine.api("GET", f"/containers/{name}/logs?stdout=1", version=version)
        assert answer.headers["Content-Type"] == f"application/vnd.docker.{want}-stream", (name, version)
    remove(engine, "framed")
    remove(engine, "plain")


def ask(engine, name, query):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(str(engine.socket))
    s.sendall(f"GET /v1.41/containers/{name}/logs?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return s


def status_of(pid, what):
    return int(re.search(rf"{what}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


@memory_bound
def test_slow_clients_cost_little_and_leave_nothing(engine):  # covers D-23
    """None of the log is gathered for those who do not read; who reads later gets all of it, and who leaves takes his
    descriptors along."""
    lines = 300000
    run(engine, "long", f"seq -w {lines}", "--log-opt", "max-size=100m")
    pids = [engine.pids()[name] for name in ("apid", "runtimed")]
    assert len(engine.docker("logs", "long").stdout) == 7 * lines
    before = {pid: (status_of(pid, "VmHWM"), len(os.listdir(f"/proc/{pid}/fd"))) for pid in pids}
    slow = [ask(engine, "long", "stdout=1") for _ in range(4)]
    assert all(s.recv(15) == b"HTTP/1.1 200 OK" for s in slow)
    assert engine.api("GET", "/containers/long/json").status == 200
    with slow[0]:
        got = 0
        while part := slow[0].recv(1 << 16):
            got += len(part)
    assert got > 15 * lines
    for s in slow[1:]:
        s.close()
    deadline = time.monotonic() + 60
    while any(len(os.listdir(f"/proc/{pid}/fd")) > before[pid][1] + 2 for pid in pids):
        assert time.monotonic() < deadline, "descriptors of clients that have gone"
        time.sleep(0.02)
    assert all(status_of(pid, "VmHWM") < before[pid][0] + (4 << 10) for pid in pids)
    remove(engine, "long")


def test_bounded_when_nobody_asks(engine):  # covers D-22
    """json-file without an option: 10 MiB, three times."""
    run(engine, "much", "yes $(seq -s ' ' 300) | head -c 40000000")
    kept = {name: path.stat().st_size for name, path in files(engine, "much").items()}
    assert set(kept) == {"", ".1", ".2"} and max(kept.values()) <= (10 << 20) + (64 << 10), kept
    remove(engine, "much")


def test_quota_over_all_containers():  # covers D-22
    """The oldest rotated files go, whosever they are; the present ones stay."""
    with Engine(config={"log-driver": {"quota": "1m"}}) as engine:
        engine.busybox()
        words = ("--log-opt", "max-size=100k", "--log-opt", "max-file=100")
        run(engine, "older", "seq 9000", *words)
        assert len(files(engine, "older")) > 5
        run(engine, "newer", "seq 20000", *words)
        assert list(files(engine, "older")) == [""]
        kept = [path.stat().st_size for name in ("older", "newer") for path in files(engine, name).values()]
        assert sum(kept) < (1 << 20) + (150 << 10) and len(kept) > 5
        assert logs(engine, "newer")[-1] == "20000"


@pytest.mark.parametrize("config, message", [
    ({"max-file": "0"}, "max-file cannot be less than 1"),
    ({"compress": "true", "max-file": "1"}, "compress cannot be true when max-file is less than 2"),
    ({"compress": "maybe"}, "invalid value 'maybe' for log opt 'compress': true or false is expected"),
])
def test_refused_options(engine, config, message):
    answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {
        "LogConfig": {"Type": "json-file", "Config": config}}})
    assert answer.status == 400 and message in answer.message, answer
