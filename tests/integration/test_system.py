"""What apid answers itself: _ping, version, info, metrics, and the routes of what there is not."""
import os
import signal

import pytest

from tests.harness import prometheus
from tests.harness.caller import api_as
from tests.harness.engine import Engine
from tests.harness.machine import Machine


@pytest.fixture(scope="module")
def front():
    with Engine() as running:
        yield running


@pytest.mark.parametrize("version", [None, "1.24", "1.43", "1.47"])
def test_ping(front, version):
    answer = front.api("GET", "/_ping", version=version)
    assert (answer.status, answer.body, answer.headers["Api-Version"]) == (200, b"OK", "1.47")
    answer = front.api("HEAD", "/_ping", version=version)
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "2")


def test_version(front):
    version = front.api("GET", "/version").json
    assert (version["ApiVersion"], version["MinAPIVersion"], version["Os"]) == ("1.47", "1.24", "linux")
    for field in ("Arch", "BuildTime", "GitCommit", "GoVersion", "KernelVersion", "Version"):
        assert isinstance(version[field], str)
    assert "Server" in front.docker("version").stdout


class Chroot:
    """Stands for a machine whose processes have another root than their mount namespace: they make no user namespace."""

    def __init__(self, directory):
        self.prefix = ["unshare", "-m", "sh", "-c", 'mount --rbind / "$0" && exec chroot "$0" "$@"', str(directory)]


def test_info_says_that_ids_are_the_hosts(front, tmp_path):
    assert "name=userns" in front.api("GET", "/info").json["SecurityOptions"]
    with Engine(machine=Chroot(tmp_path)) as engine:
        info = engine.api("GET", "/info").json
        assert "name=userns" not in info["SecurityOptions"] and "HostIds" not in info
        warning, = [w for w in info["Warnings"] if "ids of the host" in w]
        assert "user namespace" in warning and "ids of the host" in engine.log()
        engine.busybox()
        made = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}})
        assert made.status == 201 and [w for w in made.json["Warnings"] if "ids of the host" in w], made
    with Engine(machine=Chroot(tmp_path), config={"userns": {"enabled": False}}) as engine:  # as it was asked for
        info = engine.api("GET", "/info").json
        assert "name=userns" not in info["SecurityOptions"] and not [w for w in info["Warnings"] if "ids" in w]


def test_info(front):
    info = front.api("GET", "/info").json
    assert info["Containers"] == info["ContainersRunning"] + info["ContainersPaused"] + info["ContainersStopped"]
    assert info["DockerRootDir"] == str(front.root)
    services = {service["Name"]: service for service in info["Services"]}
    assert services["apid"]["State"] == "ready"
    assert services["apid"]["Sandbox"]["Seccomp"] is True and services["apid"]["Sandbox"]["Capabilities"] == []
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    assert "Kernel Version" in front.docker("info").stdout


def test_the_hosts_network_in_info():
    """Of the host as it is now, which apid in its own network cannot see."""
    with Machine() as host, Engine(machine=host) as engine:
        for value in ("1", "0", "1"):
            host.sysctl("ipv4/ip_forward", value)
            assert engine.api("GET", "/info").json["IPv4Forwarding"] is (value == "1")
        info = engine.api("GET", "/info").json
        for field in ("BridgeNfIptables", "BridgeNfIp6tables"):
            call = "bridge/bridge-nf-call-" + field.removeprefix("BridgeNf").lower()
            there = host.run("test", "-e", f"/proc/sys/net/{call}", check=False).returncode == 0
            assert info[field] is (there and host.sysctl(call) == "1")


def test_counts():
    """Of containers by state and of images, in /info and in /metrics."""
    with Engine() as engine:
        engine.busybox()
        engine.docker("run", "-d", "--name", "paused", "--network", "none", "busybox", "sleep", "1000")
        engine.docker("run", "-d", "--name", "running", "--network", "none", "busybox", "sleep", "1000")
        engine.docker("create", "--network", "none", "busybox", "true")
        engine.docker("pause", "paused")
        info = engine.api("GET", "/info").json
        counts = [info[name] for name in ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped")]
        assert (counts, info["Images"]) == ([3, 1, 1, 1], 1)
        families = prometheus.parse(engine.api("GET", "/metrics", version=None).body.decode())
        for state in ("running", "paused", "stopped"):
            assert prometheus.value(families, "pouch_containers", state=state) == 1
        assert families["pouch_images"]["samples"] == [("pouch_images", {}, 1)]


def test_metrics(front):
    for _ in range(3):
        front.api("GET", "/nothing")
        front.api("GET", "/containers/gone/json")
    answer = front.api("GET", "/metrics", version=None)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = prometheus.parse(answer.body.decode())
    assert prometheus.value(families, "pouch_http_requests_total", operation="none", status="404") >= 3
    assert prometheus.value(families, "pouch_http_requests_total", operation="container_inspect", status="404") == 3
    assert prometheus.value(families, "pouch_http_request_seconds_count", operation="container_inspect") == 3
    assert prometheus.value(families, "pouch_ipc_seconds_count", service="runtimed") >= 3
    assert prometheus.value(families, "pouch_ipc_connected", service="pouchd") == 1
    assert prometheus.value(families, "pouch_containers", state="running") == 0
    assert families["pouch_images"]["samples"] == [("pouch_images", {}, 0)]
    assert families["pouch_workers"]["samples"]


def test_metrics_tell_of_restarts_and_failures(front):
    """imaged stands still: the call to it is a failure; killed, its restart is counted. Metrics answer all the while."""
    def metrics():
        return prometheus.parse(front.api("GET", "/metrics", version=None).body.decode())

    failures = prometheus.value(metrics(), "pouch_ipc_failures_total", service="imaged")
    restarts = prometheus.value(metrics(), "pouch_service_restarts_total", service="imaged")
    pid = front.pids()["imaged"]
    os.kill(pid, signal.SIGSTOP)
    families = metrics()
    assert "pouch_images" not in families
    assert prometheus.value(families, "pouch_ipc_failures_total", service="imaged") == failures + 1
    os.kill(pid, signal.SIGKILL)
    assert front.api("GET", "/images/json").json == []
    assert prometheus.value(metrics(), "pouch_service_restarts_total", service="imaged") == restarts + 1


def test_metrics_have_a_permission_of_their_own():
    policy = {"roles": {"scraper": {"permissions": ["system.metrics"]}, "reader": {"permissions": ["container.list"]}},
              "bindings": [{"role": "scraper", "uids": [54001]}, {"role": "reader", "uids": [54002]}]}
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=policy) as engine:
        assert api_as(engine, 54001, "GET", "/metrics").status == 200
        refused = api_as(engine, 54002, "GET", "/metrics")
        assert refused.status == 403 and "system.metrics" in refused.message
        assert api_as(engine, 54001, "GET", "/containers/json").status == 403


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/swarm", 503), ("GET", "/nodes", 503), ("GET", "/services", 503), ("GET", "/secrets", 503),
    ("GET", "/configs", 503), ("POST", "/swarm/init", 501), ("POST", "/session", 501), ("POST", "/plugins/pull", 501),
    ("GET", "/containers/x/checkpoints", 501)])
def test_what_there_is_not(front, method, path, status):
    answer = front.api(method, path)
    assert answer.status == status
    assert "swarm" in answer.message if status == 503 else answer.message.startswith("not implemented: ")


def test_no_plugins(front):
    assert front.api("GET", "/plugins").json == []
