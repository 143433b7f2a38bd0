"""Settings of pouch.json that no other test changes: each is seen without, then set by a reload, and has its effect.

A setting's rows elsewhere: limits of images in test_image_limits.py, times of the HTTP front in test_http.py, ...
"""
import base64
import contextlib
import json
import re
import socket

import pytest

from tests.harness.engine import Engine
from tests.harness.fake_registry import FakeRegistry
from tests.harness.fields import Run, output
from tests.harness.ports import free_port

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture(scope="module")
def engine(host):
    with Engine(config={}, machine=host) as running:
        running.busybox()
        yield running


@pytest.fixture
def registry():
    with FakeRegistry() as running:
        yield running


@contextlib.contextmanager
def changed(engine, key, value):
    """The engine with a setting, by a reload that every process has followed; afterwards without."""
    document = value
    for name in reversed(key.split(".")):
        document = {name: document}
    try:
        engine.config_path.write_text(json.dumps(document))
        engine.ctl("reload")
        yield
    finally:
        engine.config_path.write_text("{}")
        engine.ctl("reload")


def status(engine, head, body=b""):
    """Of one request, sent as it stands."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(str(engine.socket))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(head + body)
        answer = b""
        while b"\r\n" not in answer and (piece := s.recv(4096)):
            answer += piece
    return int(answer.split()[1])


def head_of_5000(engine):
    return status(engine, b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 5000 + b"\r\nConnection: close\r\n\r\n")


def body_of(path, size):
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return lambda engine: status(engine, head % (path, size), b" " * size)


@contextlib.contextmanager
def connected(engine, n):
    """That many clients that say nothing."""
    with contextlib.ExitStack() as clients:
        for _ in range(n):
            s = clients.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(60)
            s.connect(str(engine.socket))
        yield


def ping_beside(n):
    def ping(engine):
        with connected(engine, n):
            return status(engine, b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return ping


def worst_of_20(engine):
    """The highest status of so many requests that wait for an event beside each other."""
    with contextlib.ExitStack() as clients:
        answers = []
        for _ in range(20):
            s = clients.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(60)
            s.connect(str(engine.socket))
            s.sendall(b"GET /v1.43/events?filters=%7B%22type%22%3A%5B%22plugin%22%5D%7D HTTP/1.1\r\nHost: x\r\n\r\n")
            answers.append(int(s.recv(12).split()[1]))
        return max(answers)


def says(command, **fields):
    return lambda engine: output(engine, command, **fields).strip()


def network_mtu(engine):
    engine.docker("network", "create", "measured")
    try:
        return says("cat /sys/class/net/eth0/mtu", host={"NetworkMode": "measured"})(engine)
    finally:
        engine.docker("network", "rm", "measured")


def published_address(engine):
    run = Run(engine, "sleep 1000", host={"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{}]}},
              config={"ExposedPorts": {"80/tcp": {}}})
    try:
        return run.inspect()["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"]
    finally:
        run.remove()


def resolv_conf(word):
    def lines(engine):
        text = output(engine, "cat /etc/resolv.conf", host={"NetworkMode": "bridge"})
        return [line.split()[1:] for line in text.splitlines() if line.startswith(word + " ")]
    return lines


def made_directory(engine):
    return says("mkdir /made 2>/dev/null && echo made || echo refused")(engine)


def init_of(engine):
    run = Run(engine, "sleep 1000", host={"Init": True})
    try:
        return run.error or run.execute("cat", "/proc/1/comm").strip()
    finally:
        run.remove()


NO_NEW = "awk '/NoNewPrivs/ { print $2 }' /proc/self/status"
SHM = "awk '$2 == \"/dev/shm\" { print $4 }' /proc/mounts | tr , '\\n' | grep ^size="

# setting, its value, what is looked at, what is seen without and with it
SETTINGS = [
    ("limits.head-bytes", 4096, head_of_5000, 200, 431),
    ("limits.json-body", "64k", body_of(b"/v1.43/volumes/create", 64 * KIB + 1), 400, 413),
    ("limits.upload", "1m", body_of(b"/v1.43/images/load", MIB + 1), 400, 413),
    ("limits.connections", 16, ping_beside(16), 200, 503),
    ("limits.connections-per-uid", 2, ping_beside(2), 200, 503),
    ("limits.requests", 16, worst_of_20, 200, 503),
    ("containers.no-new-privileges", False, says(NO_NEW), "1", "0"),
    ("containers.shm-size", "1m", says(SHM), "size=65536k", "size=1024k"),
    ("network.mtu", 1400, network_mtu, "1500", "1400"),
    ("network.default-address", "127.0.0.1", published_address, "0.0.0.0", "127.0.0.1"),
    ("dns.servers", ["192.0.2.53"], resolv_conf("nameserver"), None, [["192.0.2.53"]]),
    ("dns.search", ["here.test", "there.test"], resolv_conf("search"), None, [["here.test", "there.test"]]),
    ("dns.options", ["ndots:3", "rotate"], resolv_conf("options"), None, [["ndots:3", "rotate"]]),
    ("containers.pids-limit", 77, says("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null"), "4096", "77"),
    ("containers.init", "/nosuch/init", init_of, "docker-init", re.compile("/nosuch/init")),
    ("seccomp.profile", "PROFILE", made_directory, "made", "refused"),
]
AUTH = base64.urlsafe_b64encode(b'{"username":"user","password":"secret"}').decode()
PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}


def fits(seen, want):
    return want.search(seen) if isinstance(want, re.Pattern) else seen == want


@pytest.mark.parametrize("key, value, look, without, given", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_a_setting_has_its_effect(engine, tmp_path, key, value, look, without, given):
    if value == "PROFILE":
        value = str(tmp_path / "profile.json")
        (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    before = look(engine)
    assert before == without if without is not None else not fits(before, given), before
    with changed(engine, key, value):
        seen = look(engine)
        assert fits(seen, given), seen
    assert look(engine) == before


def test_more_requests_than_before():
    """What was raised by a reload holds for the connections to the other processes, too."""
    with Engine(config={"limits": {"requests": 16}}) as engine:
        assert worst_of_20(engine) == 503
        engine.config_path.write_text("{}")
        engine.ctl("reload")
        assert worst_of_20(engine) == 200


def test_token_services_of_another_domain(registry):
    """One that is no part of the registry's domain is not asked, unless the registry's entry names it. Nobody serves here."""
    registry.add("box", "1", [])
    registry.realm = f"https://127.0.0.2:{free_port()}/token"
    asked = f"/images/create?fromImage={registry.host}/box&tag=1"
    for hosts, words in (([], "of another domain"), (["127.0.0.2"], "onnect")):
        with Engine(config={"images": {"retries": 0, "registries": {registry.host: {"insecure": True, "auth-hosts": hosts}}}}) as engine:
            assert words in engine.api("POST", asked, headers={"X-Registry-Auth": AUTH}).body.decode(), words


@pytest.mark.parametrize("sink, key, words", [("syslog", "log.syslog-socket", b"pouch-pouchd["), ("journald", "log.journald-socket", b"MESSAGE=")])
def test_sockets_of_the_log(tmp_path, sink, key, words):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as collector:
        collector.bind(str(tmp_path / "collector"))
        collector.settimeout(60)
        with Engine(sets=[f"log.sink={sink}", f"{key}={tmp_path}/collector"]) as engine:
            while words not in collector.recv(65536):
                pass
            assert "level=" not in engine.log()
