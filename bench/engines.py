"""Containers over the Docker API of whichever engine: the same requests to Pouch, dockerd and podman."""
import json
import socket
import threading
import time

from bench import peers

IDLE = 10  # seconds after which a connection may be one that the engine has ended


class Connection:
    """One kept connection, as a client keeps it. It does no more than a request needs: beside four of Python's own HTTP
    clients on two processors an engine would be measured with the processors' rest."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(300)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")
        self.used = time.monotonic()

    def ask(self, method, path, body=b""):
        """Status and body."""
        self.socket.sendall(f"{method} /v1.41{path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = int(self.stream.readline().split()[1])
        length, chunked = 0, False
        while (line := self.stream.readline().lower()) != b"\r\n":
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            chunked = chunked or line.startswith(b"transfer-encoding: chunked")
        text = self.chunks() if chunked else self.stream.read(length)
        self.used = time.monotonic()
        return status, text

    def chunks(self):
        text = b""
        while length := int(self.stream.readline(), 16):
            text += self.stream.read(length)
            self.stream.readline()
        self.stream.readline()
        return text


class Api:
    """The API of `engine` (a tests.harness Engine, or a Peer) as a bench uses it. host: HostConfig for every container."""

    def __init__(self, engine, host=None):
        self.engine = engine
        self.path = str(engine.socket)
        self.host = host or {}
        self.kept = threading.local()

    def ask(self, method, path, statuses, body=None):
        """One request over the calling thread's connection, answered by one of these; the body."""
        kept = getattr(self.kept, "connection", None)
        if not kept or time.monotonic() - kept.used > IDLE:
            kept = self.kept.connection = Connection(self.path)
        status, text = kept.ask(method, path, json.dumps(body).encode() if body is not None else b"")
        assert status in statuses, (status, text)
        return text

    def create(self, command, network="none", image="busybox", host=None, **config):
        body = {"Image": image, "Cmd": command, "HostConfig": {"NetworkMode": network, **self.host, **(host or {})},
                **config}
        return json.loads(self.ask("POST", "/containers/create", [201], body))["Id"]

    def start(self, container):
        self.ask("POST", f"/containers/{container}/start", [204])

    def wait(self, container):
        return json.loads(self.ask("POST", f"/containers/{container}/wait", [200]))["StatusCode"]

    def remove(self, container):
        self.ask("DELETE", f"/containers/{container}?force=1&v=1", [200, 204])

    def life(self, network="none"):
        container = self.create(["true"], network)
        self.start(container)
        assert self.wait(container) == 0
        self.remove(container)

    def stream(self, method, path, body=None):
        """The connection after the head of an answer: a hijacked stream, or a body."""
        text = json.dumps(body).encode() if body is not None else b""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(300)
        s.connect(self.path)
        upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if method == "POST" else "Connection: close\r\n"
        s.sendall(f"{method} /v1.41{path} HTTP/1.1\r\nHost: bench\r\n{upgrade}Content-Type: application/json\r\n"
                  f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = s.recv(1)
            assert byte, head
            head += byte
        assert head.split()[1] in (b"101", b"200"), head
        return s

    def exec(self, container, command):
        body = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        name = json.loads(self.ask("POST", f"/containers/{container}/exec", [201], body))["Id"]
        with self.stream("POST", f"/exec/{name}/start", {"Detach": False, "Tty": False}) as s:
            read_away(s)
        assert json.loads(self.ask("GET", f"/exec/{name}/json", [200]))["ExitCode"] == 0


def read_away(stream):
    """Reads to the end; returns how many bytes there were."""
    total, block = 0, bytearray(1 << 20)
    while n := stream.recv_into(block):
        total += n
    return total


def podman_host(podman):
    """What each of podman's containers needs: a cgroup of its own, limits that are not above this machine's."""
    limits = [{"Name": name, "Soft": 4096, "Hard": 4096} for name in ("nofile", "nproc")]
    return {"CgroupParent": f"/{podman.cgroup}", "Ulimits": limits}


def started(stack, network=False, only=()):
    """{name: Api} of the peers that are installed, entered into the ExitStack."""
    found = {}
    for kind in (peers.Dockerd, peers.Podman):
        if kind.missing() or (only and kind.name not in only):
            continue
        engine = stack.enter_context(kind(network=network))
        found[kind.name] = Api(engine, podman_host(engine) if kind is peers.Podman else None)
    return found
