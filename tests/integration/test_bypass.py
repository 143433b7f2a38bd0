"""One decision, whatever the request's size, encoding and path look like. covers D-9, S-1

Each is sent by a socket whose role only looks, or asks for what the policy does not admit; what reaches a route by the
administrator's socket is refused by the other, and what does not is refused by both.
"""
import json
import socket

import pytest

from tests.harness.engine import Engine

KIB, MIB = 1 << 10, 1 << 20
TYPE = "Content-Type: application/json"


@pytest.fixture(scope="module")
def ruled(tmp_path_factory):
    looks, makes = (str(tmp_path_factory.mktemp("sockets") / name) for name in ("looks.sock", "makes.sock"))
    policy = {"roles": {"maker": {"permissions": ["container.*", "volume.*"], "containers": {"max-memory": 64 * MIB}}},
              "bindings": [{"role": "admin", "uids": [0]}]}
    with Engine(config={"listeners": [{"name": "main"}, {"name": "looks", "role": "viewer", "path": looks},
                                      {"name": "makes", "role": "maker", "path": makes}]}, policy=policy) as engine:
        engine.busybox()
        engine.looks, engine.makes = looks, makes
        yield engine


def ask(path, method, target, headers=(), body=b""):
    """The status of one request, sent as it stands; an early answer is read when the rest is not taken."""
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(str(path))
        try:
            s.sendall(head + body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        while b"\r\n" not in answer and (piece := s.recv(4096)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split()[1])


def sent(body, how):
    """Headers and bytes of a body."""
    if how == "length":
        return [TYPE, f"Content-Length: {len(body)}"], body
    step = {"chunked": 64 * KIB, "one chunk": len(body) or 1, "small chunks": 7}[how]
    pieces = [body[at:at + step] for at in range(0, len(body), step)]
    return [TYPE, "Transfer-Encoding: chunked"], b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def padded(document, size, where):
    """JSON of that size: spaces before, after or inside of it."""
    text = json.dumps(document).encode()
    room = max(0, size - len(text))
    return {"before": b" " * room + text, "after": text + b" " * room,
            "inside": text[:1] + b" " * room + text[1:]}[where]


def volumes(engine):
    return engine.api("GET", "/volumes").json["Volumes"]


def containers(engine):
    return engine.api("GET", "/containers/json?all=1").json


SIZES = [0, KIB, 64 * KIB, MIB - 1, MIB, MIB + 1, 4 * MIB, 16 * MIB]


@pytest.mark.parametrize("how", ["length", "chunked", "one chunk"])
@pytest.mark.parametrize("size", SIZES)
def test_sizes(ruled, size, how):
    """What the policy does not admit is in the body: found at any size, refused by the role or by the limit."""
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Memory": 128 * MIB}}
    for where in ("before", "after", "inside"):
        request = sent(padded(body, size, where), how)
        assert ask(ruled.makes, "POST", "/v1.43/containers/create", *request) == 403, where
        assert ask(ruled.looks, "POST", "/v1.43/containers/create", *request) == 403, where
    assert containers(ruled) == []


def test_the_same_bodies_are_read(ruled):
    """As the counter-proof: what is admitted is made at these sizes and in these encodings."""
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Memory": 32 * MIB}}
    for size, how in ((0, "length"), (0, "small chunks"), (MIB + 1, "chunked"), (16 * MIB, "length")):
        assert ask(ruled.makes, "POST", "/v1.43/containers/create", *sent(padded(body, size, "after"), how)) == 201
    made = containers(ruled)
    assert len(made) == 4
    for c in made:
        assert ruled.api("DELETE", f"/containers/{c['Id']}").status == 204


@pytest.mark.parametrize("how", ["length", "chunked"])
@pytest.mark.parametrize("size", [16 * MIB + 1, 64 * MIB])
def test_beyond_the_limit(ruled, size, how):
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Memory": 128 * MIB}}
    for path in (ruled.makes, ruled.looks):
        assert ask(path, "POST", "/v1.43/containers/create", *sent(padded(body, size, "after"), how)) in (403, 413)
    assert containers(ruled) == []


@pytest.mark.parametrize("size", [0, 1, KIB, MIB + 1, 64 * MIB])
@pytest.mark.parametrize("how", ["length", "chunked"])
def test_streamed_bodies(ruled, size, how):
    for method, target in (("POST", "/v1.43/images/load"), ("PUT", "/v1.43/containers/x/archive?path=/")):
        assert ask(ruled.looks, method, target, *sent(b"x" * size, how)) == 403


BODILESS = [["Content-Length: 0"], [TYPE, "Content-Length: 0"], ["Transfer-Encoding: chunked"], [],
            ["Expect: 100-continue", "Content-Length: 0"],
            ["Content-Type: text/plain", "Content-Length: 0"], ["X-HTTP-Method-Override: GET", "Content-Length: 0"],
            ["X-Original-URL: /_ping", "X-Rewrite-URL: /_ping", "Content-Length: 0"]]


@pytest.mark.parametrize("headers", BODILESS, ids=range(len(BODILESS)))
def test_without_a_body(ruled, headers):
    """A request without a body is judged as one with it."""
    body = b"0\r\n\r\n" if "Transfer-Encoding: chunked" in headers else b""
    for target in ("/containers/create", "/containers/x/start", "/volumes/create", "/volumes/prune", "/images/load"):
        assert ask(ruled.looks, "POST", target, headers, body) == 403, target


FORMS = ["/volumes/create", "/v1.43/volumes/create", "/v1.24/volumes/create", "//v1.43/volumes/create",
         "/v1.43//volumes/create", "/v1.43/volumes//create", "/v1.43/./volumes/create", "/v1.43/volumes/./create",
         "/v1.43/volumes/x/../create", "/v1.43/../v1.43/volumes/create", "/v1.43/_ping/../volumes/create",
         "/v1.43/volumes/create/", "/v1.43/volumes/creat%65", "/v1.43/%76olumes/create", "/v1.43/volumes%2fcreate",
         "/v1.43/volumes%2Fcreate", "/v1.43/%2e/volumes/create", "/v1.43/%2e%2e/volumes/create",
         "/%76%31.43/volumes/create",
         "/v1.43/Volumes/create", "/V1.43/volumes/create", "/v1.43/VOLUMES/CREATE", "/v1.43/volumes/create?",
         "/v1.43/volumes/create?x=/_ping", "/v1.43/volumes/create#/_ping", "/v1.43/volumes/create;/_ping",
         "/v1.43/volumes/create%00", "/v1.43/volumes/create%0a", "/v1.43/volumes/create%20",
         "/v1.43/volumes/%63reate%3f",
         "/v1.43/volumes/creat%2565", "http://x/v1.43/volumes/create", "http://x//v1.43/volumes/create",
         "/v01.43/volumes/create", "/v1.043/volumes/create", "/v1.43.0/volumes/create", "/v999.0/volumes/create",
         "\\v1.43\\volumes\\create", "/v1.43/volumes\\create", "/v1.43/volumes/create%c0%af", "*", "/v1.43"]


@pytest.mark.parametrize("form", FORMS)
def test_path_forms(ruled, form):
    """A path is read once: what is a route for the administrator is the same route for whoever may not."""
    for method in ("POST", "post", "HEAD", "GET", "PUT"):
        request = sent(json.dumps({"Name": "formed"}).encode(), "length")
        may = ask(ruled.socket, method, form, *request)
        if may < 300:
            assert ruled.api("DELETE", "/volumes/formed").status in (204, 404)
        may_not = ask(ruled.looks, method, form, *request)
        assert may_not == (403 if may == 201 else may), (method, may, may_not)
        assert volumes(ruled) in ([], None), method
    for good in FORMS[:3]:
        if form == good:
            assert ask(ruled.socket, "POST", form, *request) == 201
            assert ruled.api("DELETE", "/volumes/formed").status == 204


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "utf-16"])
def test_encodings(ruled, encoding):
    body = json.dumps({"Image": "busybox", "HostConfig": {"Memory": 128 * MIB}}).encode()
    headers, data = sent(body, "length")
    for path in (ruled.makes, ruled.looks):
        assert ask(path, "POST", "/containers/create", [*headers, f"Content-Encoding: {encoding}"],
                   data) in (400, 403, 415)
        plain = [f"Content-Type: application/json; charset={encoding}", headers[1]]
        assert ask(path, "POST", "/containers/create", plain, data) in (400, 403, 415)
    assert containers(ruled) == []
