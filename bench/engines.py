"""Containers over the Docker API of whichever engine: the same requests to Pouch, dockerd and podman."""
import json
import socket

from bench import peers


class Api:
    """The API of `engine` (a tests.harness Engine, or a Peer) as a bench uses it. host: HostConfig for every container."""

    def __init__(self, engine, host=None):
        self.engine = engine
        self.path = str(engine.socket)
        self.host = host or {}

    def create(self, command, network="none", image="busybox", host=None, **config):
        body = {"Image": image, "Cmd": command, "HostConfig": {"NetworkMode": network, **self.host, **(host or {})},
                **config}
        answer = self.engine.api("POST", "/containers/create", body)
        assert answer.status == 201, answer
        return answer.json["Id"]

    def start(self, container):
        answer = self.engine.api("POST", f"/containers/{container}/start")
        assert answer.status == 204, answer

    def wait(self, container):
        answer = self.engine.api("POST", f"/containers/{container}/wait")
        assert answer.status == 200, answer
        return answer.json["StatusCode"]

    def remove(self, container):
        answer = self.engine.api("DELETE", f"/containers/{container}?force=1&v=1")
        assert answer.status in (200, 204), answer

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
        answer = self.engine.api("POST", f"/containers/{container}/exec", body)
        assert answer.status == 201, answer
        name = answer.json["Id"]
        with self.stream("POST", f"/exec/{name}/start", {"Detach": False, "Tty": False}) as s:
            read_away(s)
        assert self.engine.api("GET", f"/exec/{name}/json").json["ExitCode"] == 0


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
