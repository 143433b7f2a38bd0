"""Registries by TLS: who vouches for them, client certificates, no way down to plain text; and proxies, by which Docker Hub's
own names are tried without Docker Hub."""
import json
import os
import socket
import ssl
import threading
import urllib.parse

import pytest

from tests.harness.engine import Engine
from tests.harness.fake_registry import FakeRegistry
from tests.harness.registry import Registry
from tests.harness.rootfs import Tar
from tests.integration.test_tls import authority, certificate

HUB = ("registry-1.docker.io", "auth.docker.io", "index.docker.io")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    authority(directory, "ca")
    certificate(directory, "ca", "server", "serverAuth", ",".join(["IP:127.0.0.1", *("DNS:" + name for name in HUB)]))
    certificate(directory, "ca", "client", "clientAuth")
    (directory / "client.key").chmod(0o600)
    return directory


def context(keys, client=False):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(keys / "server.pem", keys / "server.key")
    if client:
        made.load_verify_locations(keys / "ca.pem")
        made.verify_mode = ssl.CERT_REQUIRED
    return made


@pytest.fixture
def registry(keys):
    with FakeRegistry(tls=context(keys)) as running:
        running.image = running.add("box", "1", [Tar().file("data", os.urandom(50000)).bytes()])
        yield running


def pull(engine, name):
    query = urllib.parse.urlencode({"fromImage": name, "tag": "1"})
    answer = engine.api("POST", f"/images/create?{query}")
    return "" if answer.status == 200 and b'"error"' not in answer.body else answer.body.decode()


def config(host, **fields):
    return {"images": {"registries": {host: fields}, "min-free": 0}}


def test_authorities(registry, keys):
    with Engine(config=config(registry.host)) as engine:
        assert "certificate" in pull(engine, f"{registry.host}/box")
    assert registry.seen == []
    with Engine(config=config(registry.host, ca=str(keys / "ca.pem"))) as engine:
        assert pull(engine, f"{registry.host}/box") == ""
    with Engine(config=config(registry.host, insecure=True)) as engine:
        assert pull(engine, f"{registry.host}/box") == ""


def test_client_certificates(keys):
    with FakeRegistry(tls=context(keys, client=True)) as registry:
        registry.add("box", "1", [Tar().file("data", b"x").bytes()])
        with Engine(config=config(registry.host, ca=str(keys / "ca.pem"))) as engine:
            assert pull(engine, f"{registry.host}/box")
        assert registry.seen == []
        own = {"ca": str(keys / "ca.pem"), "client-cert": str(keys / "client.pem"), "client-key": str(keys / "client.key")}
        with Engine(config=config(registry.host, **own)) as engine:
            assert pull(engine, f"{registry.host}/box") == ""
        with Engine(config=config(registry.host, **{**own, "client-key": "/nonexistent"})) as engine:
            assert "/nonexistent: No such file" in pull(engine, f"{registry.host}/box")


def test_a_real_registry_by_tls(keys):
    """Debian's, with a certificate of an own authority, and for clients with one of that and a password: the docker CLI logs in,
    pushes and pulls; who lacks one of the three is told which."""
    own = {"ca": str(keys / "ca.pem"), "client-cert": str(keys / "client.pem"), "client-key": str(keys / "client.key")}
    with Registry("someone:pa55word", keys / "server.pem", keys / "server.key", keys / "ca.pem") as registry:
        name = f"{registry.host}/by/tls:1"
        with Engine(config=config(registry.host, **own)) as engine:
            engine.busybox(name)
            assert "unauthorized" in engine.docker("push", name, check=False).stderr
            engine.docker("login", "-u", "someone", "--password-stdin", registry.host, input="pa55word")
            assert "digest: sha256:" in engine.docker("push", name).stdout
            engine.docker("rmi", name)
            assert "Downloaded newer image" in engine.docker("pull", name).stdout
            assert engine.docker("run", "--rm", "--network", "none", name, "echo", "hi").stdout == "hi\n"
        asked = len(registry.requests())
        with Engine(config=config(registry.host, ca=own["ca"])) as engine:
            assert "certificate" in pull(engine, name[:-2])
        with Engine(config=config(registry.host, **{**own, "ca": ""})) as engine:
            assert "certificate" in pull(engine, name[:-2])
        assert len(registry.requests()) == asked


def test_no_downgrade(registry, keys):  # covers S-13
    with FakeRegistry() as plain, Engine(config=config(registry.host, ca=str(keys / "ca.pem"))) as engine:
        registry.misbehave = lambda h: "/blobs/" in h.path and h.redirect(plain.url + "/there")
        assert "redirects from TLS to plain HTTP" in pull(engine, f"{registry.host}/box")
        registry.misbehave = lambda h: h.error(401, "UNAUTHORIZED", WWW_Authenticate=f'Bearer realm="{plain.url}/token"')
        assert "not reached by TLS" in pull(engine, f"{registry.host}/box")
        assert plain.seen == []


class Proxy:
    """CONNECT to anywhere leads to one server."""

    def __init__(self, host):
        self.target = host.split(":")
        self.asked = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(4096)
            if not more:
                return
            head += more
        self.asked.append(head.split()[1].decode())
        server = socket.create_connection((self.target[0], int(self.target[1])))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
        self.pump(client, server)

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_docker_hub_by_a_proxy(registry, keys):
    """Short names, library/, the token service of the same domain, and the search."""
    registry.put("library/box", "1", registry.image)
    registry.realm = "https://auth.docker.io/token"
    found = [{"name": "box", "description": "a box", "is_official": True, "is_automated": False, "star_count": 7},
             {"name": "some/box", "description": "", "is_official": False, "is_automated": False, "star_count": 1}]
    registry.files["/v1/search?q=box&n=25"] = json.dumps({"results": found}).encode()

    def hub(handler):
        # The search asks nobody who he is.
        return handler.path.startswith("/v1/search") and handler.content()

    registry.misbehave = hub
    with Proxy(registry.host) as proxy:
        names = {host: {"ca": str(keys / "ca.pem")} for host in ("docker.io", *HUB[1:])}
        with Engine(config={"images": {"registries": names, "proxy": proxy.url, "min-free": 0}}) as engine:
            assert "Status: Downloaded newer image for box:1" in engine.docker("pull", "box:1").stdout
            assert engine.api("GET", "/images/box:1/json").json["RepoTags"] == ["box:1"]
            rows = engine.docker("search", "box", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}").stdout.splitlines()
            assert rows[0].split()[:2] == ["box", "7"] and len(rows) == 2
            official = engine.docker("search", "--filter", "is-official=true", "box", "--format", "{{.Name}}").stdout.split()
            assert official == ["box"]
        assert set(proxy.asked) == {name + ":443" for name in HUB}
