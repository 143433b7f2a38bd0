"""A real engine below a temporary root, for one test or a module of tests.

    with Engine() as engine:
        engine.busybox()
        assert engine.docker("run", "--rm", "--network", "none", "busybox", "echo", "hi").stdout == "hi\n"

Every engine has names of its own (root, cgroup, bridge, nft table), so that tests run side by side. The
end of the block stops the engine, ends what its containers left running, and fails when anything of the
engine is still there: a process, a mount, a cgroup, an interface, a table.
"""
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

from . import keeper, leaks, rootfs
from .machine import Namespace
from .names import PREFIX, Names

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POUCH_BUILD", REPOSITORY / "build")).resolve()
READY_TIMEOUT = 60
STOP_TIMEOUT = 60
SANITIZED = (BUILD / "pouchd").exists() and b"__asan_init" in (BUILD / "pouchd").read_bytes()
SANITIZER = re.compile(r"==ERROR: |: runtime error: |ERROR: Failed to mmap")  # what a build with SAN=1 finds


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """What the API answered: status, headers (http.client.HTTPMessage), raw body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json["message"]

    def __repr__(self):
        return f"<{self.status} {self.body[:500]!r}>"


class Engine(Names):
    def __init__(self, config=None, policy=None, sets=(), build=None, start=True, machine=None):
        """config, policy: dict or text for pouch.json and policy.json. sets: further "key=value" settings.
        machine: the tests.harness.machine.Machine whose network the engine has; the test's own without."""
        super().__init__(tempfile.mkdtemp(prefix=PREFIX), pathlib.Path(build or BUILD).resolve(), machine)
        keeper.engine_begins(self)
        self.dir.chmod(0o755)
        self.root = self.dir / "root"
        self.run = self.dir / "run"
        self.socket = self.run / "pouchd.sock"
        self.log_path = self.dir / "log"
        self.sets = list(sets)
        self.config_path = self._write("pouch.json", config)
        self.policy_path = self._write("policy.json", policy)
        self.process = None
        self._start = start

    def _write(self, name, content):
        if content is None:
            return None
        path = self.dir / name
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    # ---- life ----

    def __enter__(self):
        try:
            if self._start:
                self.start()
        except BaseException:
            self.close(check=False)
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.close(check=kind is None)

    def arguments(self):
        sets = [f"cgroup.parent={self.cgroup}", f"network.bridge.name={self.bridge}",
                f"network.nft-table={self.nft_table}"]
        if self.policy_path:
            sets.append(f"policy={self.policy_path}")
        arguments = [str(self.build / "pouchd"), "--root", str(self.root), "--run", str(self.run)]
        if self.config_path:
            arguments += ["--config", str(self.config_path)]
        for setting in sets + self.sets:
            arguments += ["--set", setting]
        return (self.machine.prefix if self.machine else []) + arguments

    def start(self):
        """Start pouchd and wait until it says that it is ready."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.arguments(), stdout=subprocess.PIPE, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd="/", start_new_session=True)
        line = b""
        deadline = time.monotonic() + READY_TIMEOUT
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"the engine is not ready after {READY_TIMEOUT} s\n{self.log()}")
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise AssertionError(f"the engine ended with {self.process.wait()}\n{self.log()}")
            line += byte
        assert line == b"ready\n", line

    def stop(self, sig=signal.SIGTERM):
        """Stop the engine; containers run on. Returns pouchd's exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(sig)
        try:
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the engine did not stop in {STOP_TIMEOUT} s\n{self.log()}")
        finally:
            process.stdout.close()

    def close(self, check=True):
        """Remove every container, stop, clean up; with `check` fail when the engine left something behind."""
        problems = []
        try:
            if self.process and self.process.poll() is None:
                self.remove_containers()
            self.stop()
        except (AssertionError, OSError, http.client.HTTPException) as problem:
            problems.append(str(problem))
        left = leaks.of_engine(self)
        leaks.clean(self)
        left += [line for line in self.log().splitlines() if SANITIZER.search(line)]
        keeper.engine_ends(self)
        if check and (problems or left):
            raise AssertionError("\n".join(problems + ["left behind: " + x for x in left]) + "\n" + self.log())
        if os.environ.get("POUCH_KEEP"):
            print("kept", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def remove_containers(self):
        """Remove all containers by force."""
        answer = self.api("GET", "/containers/json?all=1")
        if answer.status == 200:
            for container in answer.json:
                self.api("DELETE", f"/containers/{container['Id']}?force=1&v=1")

    def log(self):
        """What the engine's processes have written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def pids(self):
        """{name: pid} of pouchd's running children."""
        children = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                try:
                    exe = os.readlink(f"/proc/{pid}/exe")
                except OSError:
                    continue
                children[os.path.basename(exe)] = int(pid)
        return children

    # ---- clients ----

    def api(self, method, path, body=None, headers=None, version="1.43", raw=False, timeout=60):
        """One request. body: a JSON value, or bytes. path: below /vVERSION unless version is None."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, bytearray)) and not raw and not hasattr(body, "read"):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = UnixConnection(self.socket, timeout)
        try:
            prefix = f"/v{version}" if version else ""
            connection.request(method, prefix + path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def start_request(self, method, path, version="1.43", timeout=60, body=None):
        """Send a request; the connection, whose getresponse() waits for the answer."""
        connection = UnixConnection(self.socket, timeout)
        if body is None:
            connection.request(method, f"/v{version}" + path)
        else:
            connection.request(method, f"/v{version}" + path, json.dumps(body), {"Content-Type": "application/json"})
        return connection

    def api_stream(self, method, path, **more):
        """An answer whose body has not been read: read(n), close()."""
        connection = self.start_request(method, path, **more)
        response = connection.getresponse()
        response.owner = connection  # it lives as long as the answer
        close = response.close
        response.close = lambda: (close(), connection.close())
        return response

    @staticmethod
    def wait_for(condition, timeout=60):
        """Until condition() is true; what there is no event for."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)
        return value

    def docker(self, *arguments, input=None, check=True, timeout=300, text=True, env=None):
        """The docker CLI; returns subprocess.CompletedProcess with text (or bytes) output."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "DOCKER_CONFIG": str(self.dir / "docker"),
                       **(env or {})}
        done = subprocess.run(["docker", "-H", f"unix://{self.socket}", *map(str, arguments)], input=input,
                              stdin=None if input is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text, timeout=timeout,
                              env=environment, check=False)
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(map(str, arguments))}: {done.returncode}\n"
                                 f"{done.stdout}\n{done.stderr}\n{self.log()}")
        return done

    def inspect(self, name):
        """docker inspect of a container, as JSON."""
        return json.loads(self.docker("inspect", name).stdout)[0]

    def space(self, name):
        """The network namespace of a running container."""
        return Namespace(self.inspect(name)["State"]["Pid"])

    def ctl(self, *arguments, check=True, input=None, timeout=120):
        """pouchd ctl."""
        done = subprocess.run([str(self.build / "pouchd"), "ctl", "--run", str(self.run), *map(str, arguments)],
                              input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                              check=False)
        if check and done.returncode:
            raise AssertionError(f"pouchd ctl {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def client(self):
        """docker-py's client."""
        import docker

        return docker.DockerClient(base_url=f"unix://{self.socket}", version="1.41", timeout=60)

    # ---- images ----

    def busybox(self, name="busybox:latest"):
        """Import the image of tests: a static busybox, with users, a few files and a set-uid file."""
        return self.import_tar(rootfs.busybox_tar(), name)

    def import_tar(self, tar, name, changes=()):
        """POST /images/create?fromSrc=-; tar: bytes. Returns the image's id."""
        repository, _, tag = name.rpartition(":")
        query = [("fromSrc", "-"), ("repo", repository), ("tag", tag)] + [("changes", c) for c in changes]
        answer = self.api("POST", "/images/create?" + urllib.parse.urlencode(query), tar,
                          {"Content-Type": "application/x-tar"})
        assert answer.status == 200, answer
        lines = [json.loads(line) for line in answer.body.splitlines() if line.strip()]
        assert not any("error" in line for line in lines), lines
        return lines[-1]["status"]
