"""What apid answers itself: _ping, version, info, metrics, and the routes of what there is not."""
import pytest

from tests.harness.engine import Engine


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


def test_info(front):
    info = front.api("GET", "/info").json
    assert info["Containers"] == info["ContainersRunning"] + info["ContainersPaused"] + info["ContainersStopped"]
    assert info["DockerRootDir"] == str(front.root)
    services = {service["Name"]: service for service in info["Services"]}
    assert services["apid"]["State"] == "ready"
    assert services["apid"]["Sandbox"]["Seccomp"] is True and services["apid"]["Sandbox"]["Capabilities"] == []
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    assert "Kernel Version" in front.docker("info").stdout


def test_metrics(front):
    front.api("GET", "/nothing")
    text = front.api("GET", "/metrics", version=None).body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['pouch_http_requests_total{operation="none",status="4xx"}']) >= 1
    assert values['pouch_ipc_connected{service="pouchd"}'] == "1"


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
