"""The HTTP front as a client meets it. covers S-6, S-7, S-8

Only pouchd and apid are needed: the routes asked here are answered, or refused, before any owner is.
"""
import json
import os
import pathlib
import select
import socket
import time

import pytest

from tests.harness.engine import Engine
from tests.harness.marks import memory_bound


@pytest.fixture(scope="module")
def front():
    with Engine() as running:
        yield running


def connect(engine):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect(str(engine.socket))
    return s


def talk(engine, data):
    """Send bytes, read to the end of the connection."""
    with connect(engine) as s:
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                return answer
            if not piece:
                return answer
            answer += piece


def resident(pid):
    """Bytes that are its own: pages of programs come and go as the kernel likes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


SMUGGLING = [
    b"GET /_ping HTTP/1.1\nHost: x\n\n",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nA: b\rX: y\r\n\r\n",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\n\rX",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    b"GET /_ping HTTP/1.1\r\nHost : x\r\n\r\n",
    b"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    b"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
    b"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
    b"POST /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", SMUGGLING)
def test_two_readings_are_refused(front, request_bytes):
    answer = talk(front, request_bytes + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer


def create(body, chunked=False):
    head = b"POST /v1.43/containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


BAD_JSON = {
    "duplicate key": b'{"Image":"a","Image":"b"}',
    "depth": b'{"Labels":' + b"[" * 10000 + b"]" * 10000 + b"}",
    "keys": b'{"Labels":{' + b",".join(b'"k%d":""' % i for i in range(1000000)) + b"}}",
    "utf-8": b'{"Image":"\xff\xfe"}',
    "nul": b'{"Image":"a\0b"}',
    "escaped nul": b'{"Image":"a\\u0000b"}',
    "number": b'{"Image":"a","StopTimeout":9223372036854775808}',
    "behind": b'{"Image":"a"} x',
    "type": b'{"Image":7}',
    "nothing": b"",
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", BAD_JSON)
def test_bad_json(front, kind, chunked):
    body = BAD_JSON[kind]
    answer = talk(front, create(body, chunked and bool(body)))
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:500]
    message = json.loads(answer.split(b"\r\n\r\n", 1)[1])["message"]
    assert "JSON_" not in message, message
    if kind == "type":
        assert "Image" in message and "line 1" in message, message


@memory_bound
def test_bad_json_leaves_memory_flat(front):
    pid = front.pids()["apid"]
    for body in BAD_JSON.values():
        talk(front, create(body))
    before = resident(pid)
    for _ in range(5):
        for body in BAD_JSON.values():
            talk(front, create(body))
    assert resident(pid) - before < 4 << 20


def test_a_large_body_is_refused_before_it_is_read(front):
    answer = talk(front, b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         b"Content-Length: 1000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ") and b"\r\nConnection: close\r\n" in answer


def test_what_is_left_of_a_refused_body(front):
    """A short rest is read away, and the connection serves on; for a long one it is closed, and the answer says so."""
    for size, closes in ((1000, False), (10 << 20, True)):
        body = bytes(size)
        request = (f"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n").encode() + body
        answer = talk(front, request + b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert (b"\r\nConnection: close\r\n" in answer.split(b"\r\n\r\n", 1)[0] + b"\r\n") is closes
        assert (b"HTTP/1.1 200 OK" in answer) is not closes


def test_errors_in_docker_s_words(front):
    assert front.api("GET", "/_ping", version="1.48").message == \
        "client version 1.48 is too new. Maximum supported API version is 1.47"
    assert front.api("GET", "/_ping", version="1.23").message.startswith(
        "client version 1.23 is too old. Minimum supported API version is 1.24")
    assert front.api("GET", "/nothing").message == "page not found"
    answer = front.api("PATCH", "/containers/create")
    assert answer.status == 405 and "POST" in answer.headers["Allow"]
    answer = front.api("POST", "/containers/create", b"Image=x", {"Content-Type": "text/plain"})
    assert answer.status == 400
    assert answer.message == "unsupported Content-Type header (text/plain): must be 'application/json'"


def test_slow_clients_are_ended_and_others_served():
    """A head and a body that never come, while the engine is asked by others."""
    with Engine(sets=["limits.head-timeout=1s", "limits.body-timeout=1s"]) as hasty, connect(hasty) as head, connect(hasty) as body:
        head.sendall(b"GET /_ping HTTP/1.1\r\nHo")
        body.sendall(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{")
        while not all(select.select([s], [], [], 0)[0] for s in (head, body)):
            assert hasty.api("GET", "/_ping").status == 200
        assert head.recv(100).startswith(b"HTTP/1.1 408 ")
        assert body.recv(100).startswith(b"HTTP/1.1 408 ")


def test_ten_thousand_idle_connections(front):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    wanted = 10000 if min(hard, 16384) > 10500 else 500
    pid = front.pids()["apid"]
    before = resident(pid)
    idle = []
    try:
        for _ in range(wanted):
            idle.append(connect(front))
            idle[-1].sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle[-1].recv(1000).startswith(b"HTTP/1.1 200 ")
        assert front.api("GET", "/version").status == 200
        each = (resident(pid) - before) / wanted
        assert each <= 8192, f"{each:.0f} bytes for a connection"
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    end = time.monotonic() + 60
    while len(os.listdir(f"/proc/{pid}/fd")) > 100:
        assert time.monotonic() < end, "descriptors stay open"
        time.sleep(0.05)
