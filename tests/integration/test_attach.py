"""Streams: attach and exec, by HTTP and WebSocket, with clients that leave, stall, or abort."""
import os
import pathlib
import re
import socket
import time

import pytest
import websocket

from tests.harness.long import LONG
from tests.harness.marks import memory_bound
from tests.harness.streams import TIMEOUT, Stream, connect



def create(engine, *command, start=True, **config):
    body = {"Image": "busybox", "Cmd": list(command), "HostConfig": {"NetworkMode": "none"}, **config}
    container = engine.api("POST", "/containers/create", body).json["Id"]
    if start:
        assert engine.api("POST", f"/containers/{container}/start").status == 204
    return container


def running(engine, container):
    return engine.api("GET", f"/containers/{container}/json").json["State"]["Running"]


def remove(engine, container):
    assert engine.api("DELETE", f"/containers/{container}?force=1").status == 204


def attach(engine, container, query="stdin=1&stdout=1&stderr=1&stream=1", **more):
    return Stream(engine, f"/containers/{container}/attach?{query}", **more)


# ---- attach ----

def test_without_upgrade_it_hijacks_too(engine):
    container = create(engine, "cat", start=False, OpenStdin=True, StdinOnce=True)
    with attach(engine, container, upgrade=False) as s:
        assert s.status == 200
        engine.api("POST", f"/containers/{container}/start")
        s.send(b"line\n")
        assert s.until(b"line\n") == b"\x01\0\0\0\0\0\0\x05line\n"
        # Half closed: the container's input ends, its output still comes.
        s.send(b"last\n")
        s.socket.shutdown(socket.SHUT_WR)
        assert s.rest() == b"\x01\0\0\0\0\0\0\x05last\n"
    assert engine.api("POST", f"/containers/{container}/wait").json["StatusCode"] == 0
    remove(engine, container)


def test_logs_of_a_container_that_has_ended(engine):
    """What it has said, and then nothing, or what it says when it is started again."""
    container = create(engine, "sh", "-c", "echo said; echo wrong >&2")
    engine.api("POST", f"/containers/{container}/wait")
    said, wrong = b"\x01\0\0\0\0\0\0\x05said\n", b"\x02\0\0\0\0\0\0\x06wrong\n"
    with attach(engine, container, "logs=1&stdout=1&stderr=1") as s:
        assert s.rest() in (said + wrong, wrong + said)
    with attach(engine, container, "logs=1&stdout=1") as s:
        assert s.rest() == said
    with attach(engine, container, "logs=1&stdout=1&stream=1") as s:
        assert s.until(b"said\n") == said
        assert engine.api("POST", f"/containers/{container}/start").status == 204
        assert s.rest() == said
    remove(engine, container)


def test_many_logs_of_an_ended_container_and_a_client_that_leaves(engine):
    container = create(engine, "seq", "1", "300000", Tty=True)
    engine.api("POST", f"/containers/{container}/wait")
    with attach(engine, container, "logs=1&stdout=1") as s:
        s.until(b"5000\r\n")
    with attach(engine, container, "logs=1&stdout=1") as s:
        assert s.rest() == b"".join(b"%d\r\n" % i for i in range(1, 300001))
    remove(engine, container)


def test_input_stays_open_for_the_next_client(engine):
    container = create(engine, "cat", OpenStdin=True)
    for text in (b"first\n", b"second\n"):
        with attach(engine, container) as s:
            s.send(text)
            assert s.until(text).endswith(text)
    assert running(engine, container)
    remove(engine, container)


def test_every_client_sees_the_output(engine):
    container = create(engine, "cat", OpenStdin=True)
    clients = [attach(engine, container) for _ in range(20)]
    # The answer to an attach says that it will be attached; what comes back says that it is.
    for i, client in enumerate(clients):
        client.send(b"here %d\n" % i)
        client.until(b"here %d\n" % i)
    for i, client in enumerate(clients):
        client.send(b"from %d\n" % i)
        for other in clients:
            assert other.until(b"from %d\n" % i)
    for client in clients:
        client.socket.close()
    assert running(engine, container)
    remove(engine, container)


@pytest.mark.parametrize("query, keys", [("", b"\x10\x11"), ("&detachKeys=ctrl-a,x", b"\x01x"), ("&detachKeys=q", b"q")])
def test_detach_keys(engine, query, keys):
    container = create(engine, "cat", OpenStdin=True, Tty=True)
    with attach(engine, container, "stdin=1&stdout=1&stream=1" + query) as s:
        s.send(b"typed\n")
        assert s.until(b"typed\r\n")
        s.send(keys)
        s.rest()
    assert running(engine, container)
    remove(engine, container)


def test_detach_keys_that_are_none(engine):
    container = create(engine, "cat", OpenStdin=True, Tty=True)
    with attach(engine, container, "stdin=1&stdout=1&stream=1&detachKeys=ctrl-") as s:
        assert s.status == 400 and b"Invalid detach keys" in s.until(b"}")
    remove(engine, container)


def test_resize(engine):
    container = create(engine, "sh", "-c", "while read x; do stty size; done", OpenStdin=True, Tty=True)
    with attach(engine, container, "stdin=1&stdout=1&stream=1") as s:
        for rows, columns in ((24, 80), (50, 133)):
            assert engine.api("POST", f"/containers/{container}/resize?h={rows}&w={columns}").status == 200
            s.send(b"\n")
            s.until(b"%d %d\r\n" % (rows, columns))
    remove(engine, container)


def peak_of(engine, container):
    """The largest memory of the shims that are there; one may end while it is looked at."""
    most = 0
    for pid in shims(engine, container):
        try:
            most = max(most, memory(pid))
        except FileNotFoundError:
            continue
    return most


def memory(pid):
    """KiB that are its own: pages of programs come and go as the kernel likes."""
    return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def shims(engine, container):
    """Pids of the container's shim and its execs'."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"pouch-shim\0" + container.encode()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@memory_bound
def test_a_stalled_client_costs_little(engine):  # covers D-23
    """It slows the container, as with Docker; nothing is gathered for it, and the others go on when it leaves."""
    container = create(engine, "sh", "-c", "read x; head -c 100000000 /dev/zero; echo; echo end", OpenStdin=True,
                       HostConfig={"NetworkMode": "none", "LogConfig": {"Type": "none"}})
    shim, = shims(engine, container)
    before = memory(shim)
    with attach(engine, container) as stalled, attach(engine, container) as other:
        other.send(b"\n")
        taken = other.socket.recv(1 << 16)
        other.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            while data := other.socket.recv(1 << 20):
                taken += data
        assert len(taken) < 10 << 20  # the container is held up
        assert memory(shim) < before + 1024
        stalled.socket.close()
        other.socket.settimeout(TIMEOUT)
        got = len(taken)
        last = b""
        while b"end\n" not in last:
            data = other.socket.recv(1 << 20)
            got += len(data)
            last = last[-100:] + data
    assert got > 100000000 and memory(shim) < before + 1024
    remove(engine, container)


# ---- WebSocket ----

def test_websocket(engine):
    container = create(engine, "cat", OpenStdin=True)
    client = websocket.create_connection(
        f"ws://localhost/v1.41/containers/{container}/attach/ws?stream=1&stdin=1&stdout=1", socket=connect(engine))
    client.send(b"by websocket\n", websocket.ABNF.OPCODE_BINARY)
    got = b""
    while b"by websocket\n" not in got:
        data = client.recv()
        got += data if isinstance(data, bytes) else data.encode()
    client.ping()
    client.close()
    assert running(engine, container)
    remove(engine, container)


def test_websocket_carries_no_frames(engine):
    """The two streams come as the container wrote them, without the headers of the other attach: a page shows what it gets."""
    container = create(engine, "sh", "-c", "read line; echo got $line; echo bad >&2", OpenStdin=True, StdinOnce=True)
    client = websocket.create_connection(
        f"ws://localhost/v1.41/containers/{container}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1", socket=connect(engine))
    client.send("it\n")
    got = b""
    while (frame := client.recv_frame()).opcode != websocket.ABNF.OPCODE_CLOSE:
        got += frame.data
    assert sorted(got.splitlines()) == [b"bad", b"got it"], got
    client.shutdown()
    remove(engine, container)


# ---- exec ----

def exec_create(engine, container, *command, **config):
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **config}
    return engine.api("POST", f"/containers/{container}/exec", body).json["Id"]


def test_exec_streams(engine):
    container = create(engine, "sleep", "1000")
    name = exec_create(engine, container, "sh", "-c", "cat; echo err >&2; exit 7", AttachStdin=True)
    with Stream(engine, f"/exec/{name}/start", {"Detach": False}) as s:
        s.send(b"in\n")
        s.socket.shutdown(socket.SHUT_WR)
        # Two streams: which is read first is not told.
        frames = b"\x01\0\0\0\0\0\0\x03in\n", b"\x02\0\0\0\0\0\0\x04err\n"
        assert s.rest() in (frames[0] + frames[1], frames[1] + frames[0])
    state = engine.api("GET", f"/exec/{name}/json").json
    assert (state["ExitCode"], state["Running"]) == (7, False)
    remove(engine, container)


def test_exec_terminal(engine):
    container = create(engine, "sleep", "1000")
    name = exec_create(engine, container, "sh", "-c", "while read x; do stty size; done", AttachStdin=True, Tty=True,
                       DetachKeys="ctrl-e")
    with Stream(engine, f"/exec/{name}/start", {"Tty": True}) as s:
        assert engine.api("POST", f"/exec/{name}/resize?h=33&w=44").status in (200, 201)
        s.send(b"\n")
        s.until(b"33 44\r\n")
        s.send(b"\x05")
        s.rest()
    assert engine.api("GET", f"/exec/{name}/json").json["Running"]
    remove(engine, container)


def stalls(engine, container, name):
    """While nobody reads, the command waits for its shim, and the shim for its client: nothing is gathered."""
    def asleep(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"

    def both():
        shown = engine.api("GET", f"/exec/{name}/json").json
        assert shown["Running"], "all that it prints is gathered somewhere"
        return shown["Pid"] and all(asleep(pid) for pid in (shown["Pid"], *shims(engine, container)) * 2) and shown["Pid"]
    pid = engine.wait_for(both)
    assert 0 < int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text())[1]) < 4 << 20


@memory_bound
def test_exec_that_prints_much_keeps_memory_flat(engine):  # covers S-60
    size = (10 << 30) if LONG else (256 << 20)
    container = create(engine, "sleep", "1000")
    name = exec_create(engine, container, "head", "-c", str(size), "/dev/zero")
    daemons = [engine.pids()[n] for n in ("apid", "runtimed")]
    before = {pid: memory(pid) for pid in daemons}
    with Stream(engine, f"/exec/{name}/start", {}) as s:
        got, block, most = len(s.buffer), bytearray(1 << 20), 0
        stalls(engine, container, name)
        payload = 0
        while n := s.socket.recv_into(block):
            got += n
            if got - payload > size // 64:
                payload = got
                most = max(most, peak_of(engine, container))
    assert got >= size
    assert most and most < 8 << 10
    assert all(memory(pid) < before[pid] + (2 << 10) for pid in daemons)
    remove(engine, container)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@memory_bound
def test_aborted_clients_leave_nothing(engine):  # covers S-61
    rounds = 100000 if LONG else 500
    container = create(engine, "cat", OpenStdin=True)
    shim, = shims(engine, container)
    watched = {"shim": shim, **{name: engine.pids()[name] for name in ("apid", "runtimed", "auditd")}}

    def abort(number):
        if number % 2:
            s = connect(engine)
            s.sendall(f"POST /v1.41/containers/{container}/attach?stream=1&stdout=1&stdin=1 HTTP/1.1\r\nHost: x\r\n"
                      "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
            if number % 4 == 1:
                s.recv(10)
            s.close()
        else:
            body = b'{"Cmd":["cat"],"AttachStdin":true,"AttachStdout":true}'
            s = connect(engine)
            s.sendall(f"POST /v1.41/containers/{container}/exec HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:len(body) // (1 + number % 3)])
            s.close()

    def settled(limit):
        """Nothing tells that the last of them is done: ask until it is."""
        deadline = time.monotonic() + TIMEOUT
        while any(descriptors(pid) > limit[name] for name, pid in watched.items()):
            assert time.monotonic() < deadline, {name: (descriptors(pid), limit[name]) for name, pid in watched.items()}
            time.sleep(0.02)

    base = {name: descriptors(pid) for name, pid in watched.items()}
    # A thousand execs are kept, begun or not.
    for number in range(7000 if LONG else 50):
        abort(number)
    settled({name: n + 2 for name, n in base.items()})
    size = {name: memory(pid) for name, pid in watched.items()}
    for number in range(rounds):
        abort(number)
    settled({name: n + 2 for name, n in base.items()})
    assert all(memory(pid) < size[name] + 2048 for name, pid in watched.items()), size
    with attach(engine, container) as s:
        s.send(b"still\n")
        assert s.until(b"still\n").endswith(b"still\n")
    remove(engine, container)
