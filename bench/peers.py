"""The engines that Pouch is measured against, each private to the measurement: state, sockets, cgroup and network of its own.

    with peers.Dockerd(network=True) as docker, peers.Podman() as podman, peers.Crun() as crun:
        docker.busybox(), podman.busybox()
        compare(15, {"crun": crun.run, "dockerd": lambda: docker.cli("run", "--rm", "busybox", "true")}).show("run", "crun")

`network=True` gives a peer a network namespace with a bridge and packet filter of its own, so that nothing of it reaches the
host's rules; without it the peer sees the host's loopback (where a test's registry listens) and has no bridge. The end of the
block ends what the peer started, by pid, and removes its mounts and cgroups, also after a failure.

Needs the packages docker.io, podman and crun; a class's `missing()` says why it cannot be used here, or None (Pouch itself needs crun).
"""
import ctypes
import errno
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tests.harness import rootfs  # noqa: E402
from tests.harness.engine import Answer, UnixConnection  # noqa: E402

CGROUPS = pathlib.Path("/sys/fs/cgroup")
START_TIMEOUT = 60
STOP_TIMEOUT = 30
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def leave(number, frame):
    """A measurement that is told to end leaves its blocks, which end what they have started; it is told once."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


for _each in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_each, leave)


def die_with_parent(number):
    """For preexec_fn: this signal when the measurement is killed, and cannot end anything itself."""
    libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def wait_for(condition, what, timeout=START_TIMEOUT):
    """Poll: none of the peers can be asked to report."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def pss(pids):
    """MiB of memory of processes together, shared pages counted by share."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def favour(pids):
    """These processes, and what they start, run before everything else on the machine: its other work is not measured."""
    for pid in pids:
        process = pathlib.Path(f"/proc/{pid}")
        for task in (process / "task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), -20)
        group = process / "autogroup"
        if group.exists():
            group.write_text("-20")


class Namespaces:
    """Namespaces kept by a process that sleeps in them."""

    def __init__(self, network=False, crun=False):
        """network: one of its own. crun: mounts as crun 1.8 wants them, which refuses a hybrid host while the unified
        hierarchy is there."""
        options = ["--net"] * network + ["--mount"] * crun
        prepare = "ip link set lo up; " * network + "umount /sys/fs/cgroup/unified 2>/dev/null; " * crun
        self.holder = subprocess.Popen(["unshare", *options, "sh", "-c", prepare + "echo; exec sleep infinity"],
                                       stdout=subprocess.PIPE, preexec_fn=lambda: die_with_parent(signal.SIGKILL))
        self.holder.stdout.readline()
        names = ["net"] * network + ["mnt"] * crun
        self.fds = [os.open(f"/proc/{self.holder.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names]

    def enter(self):
        """For preexec_fn. A mount namespace's working directory is its root afterwards."""
        for fd in self.fds:
            if libc.setns(fd, 0) < 0:
                raise OSError(ctypes.get_errno(), "setns")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        for fd in self.fds:
            os.close(fd)


class Peer:
    """What the peers share. A subclass says how to start, and what it is called."""

    name = program = None

    def __init__(self, network=False, crun=False):
        self.network = network
        self.namespaces = Namespaces(network, crun)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pouch-peer-", dir="/var/tmp"))
        self.directory.chmod(0o711)
        self.cgroup = self.directory.name
        self.socket = self.directory / "api.sock"
        self.log = self.directory / "log"
        self.daemon = None

    @classmethod
    def missing(cls):
        return None if shutil.which(cls.program) else f"{cls.program} is not installed"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error):
        self.close()

    def spawn(self, *command):
        """Start the peer's daemon, in its network; wait until its socket answers."""
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, preexec_fn=self._begin, start_new_session=True)
        wait_for(self._answers, f"{self.name} answers")

    def _begin(self):
        """SIGTERM: a daemon that is killed leaves its containers and mounts."""
        die_with_parent(signal.SIGTERM)
        self.namespaces.enter()

    def _answers(self):
        if self.daemon.poll() is not None:
            raise AssertionError(f"{self.name} ended\n{self.log.read_text()[-2000:]}")
        try:
            return self.api("GET", "/_ping", version=None).status == 200
        except OSError:
            return False

    def api(self, method, path, body=None, headers=None, version="1.41", timeout=300):
        """One request, as tests.harness.engine.Engine.api()."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, bytearray)) and not hasattr(body, "read"):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, (f"/v{version}" if version else "") + path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def command(self, *arguments):
        raise NotImplementedError

    def cli(self, *arguments, input=None, check=True, timeout=600):
        """The peer's own command line; returns subprocess.CompletedProcess with bytes."""
        done = subprocess.run(self.command(*map(str, arguments)), input=input, capture_output=True, timeout=timeout,
                              stdin=None if input is not None else subprocess.DEVNULL, check=False,
                              preexec_fn=self.namespaces.enter)
        if check and done.returncode:
            raise AssertionError(f"{self.name} {arguments}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
        return done

    def import_tar(self, tar, name):
        """An image of one layer from the bytes of a tar."""
        return self.cli("import", "-", name, input=tar).stdout.decode().strip()

    def busybox(self, name="busybox:latest"):
        """The same image as tests.harness.engine.Engine.busybox()."""
        return self.import_tar(rootfs.busybox_tar(), name)

    def pids(self):
        """Every process of the peer, containers included."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                mine = str(self.directory).encode() in (entry / "cmdline").read_bytes()
                if mine or self.cgroup in (entry / "cgroup").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def pss(self):
        return pss(self.pids())

    def _stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()

    def _kill(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not self.pids()

    def _mounts(self):
        points = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        return sorted((point for point in points if point.startswith(str(self.directory))), reverse=True)

    def _no_cgroup(self):
        """A process that has ended leaves its cgroup a moment later."""
        for top in [CGROUPS / self.cgroup, *(group / self.cgroup for group in CGROUPS.iterdir())]:
            for directory, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError as failure:
                    if failure.errno != errno.EBUSY:
                        raise
                    return False
        return True

    def close(self):
        self._stop()
        wait_for(self._kill, f"the processes of {self.name} end")
        for point in self._mounts():
            subprocess.run(["umount", "-l", point], check=False)
        wait_for(self._no_cgroup, f"the cgroups of {self.name} are empty")
        self.namespaces.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Dockerd(Peer):
    """dockerd with a containerd of its own."""

    name, program = "dockerd", "dockerd"

    def __init__(self, network=False, options=()):
        super().__init__(network)
        self.options = options

    def start(self):
        at = self.directory
        bridge = [] if self.network else ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        self.spawn("dockerd", "-H", f"unix://{self.socket}", "--data-root", at / "data", "--exec-root", at / "exec",
                   "--pidfile", at / "pid", f"--cgroup-parent=/{self.cgroup}", "--userland-proxy=false", *bridge,
                   *self.options)

    def command(self, *arguments):
        return ["docker", "--config", str(self.directory / "config"), "-H", f"unix://{self.socket}", *arguments]


class Podman(Peer):
    """podman, with its API served as well unless service is False."""

    name, program = "podman", "podman"

    def __init__(self, network=False, service=True):
        super().__init__(network, crun=True)
        self.service = service

    def command(self, *arguments):
        at = self.directory
        return ["env", f"CONTAINERS_CONF={at / 'containers.conf'}", "podman", "--root", str(at / "root"), "--runroot", str(at / "run"), "--tmpdir", str(at / "tmp"),
                "--network-config-dir", str(at / "networks"), "--cgroup-manager=cgroupfs", "--events-backend=none",
                "--runtime", "crun", *arguments]

    def start(self):
        # Its locks are otherwise in /dev/shm, 2,048 for all that ever ran on the host, and stay there.
        (self.directory / "containers.conf").write_text('[engine]\nlock_type = "file"\n')
        if self.service:
            self.spawn(*self.command("system", "service", "--time=0", f"unix://{self.socket}"))

    def options(self):
        """For `run` and `create`. Its own limits are above the hard ones of many a machine, and cannot be raised there."""
        limits = {"nofile": 4096, "nproc": 4096}
        return [f"--cgroup-parent=/{self.cgroup}", *(f"--ulimit={name}={n}:{n}" for name, n in limits.items())]

    def run(self, *arguments, **more):
        return self.cli("run", *self.options(), *arguments, **more)


class Crun:
    """`crun run` of `crun spec`'s own bundle with the tests' busybox in it: what a container costs at the least."""

    name = "bare crun"

    def __init__(self, *arguments):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pouch-peer-", dir="/var/tmp"))
        self.rounds = 0
        root = self.directory / "rootfs"
        root.mkdir()
        subprocess.run(["tar", "-xf", "-", "-C", root], input=rootfs.busybox_tar(), check=True)
        subprocess.run(["crun", "spec"], cwd=self.directory, check=True)
        spec = json.loads((self.directory / "config.json").read_text())
        spec["process"].update(args=list(arguments) or ["/bin/true"], terminal=False)
        (self.directory / "config.json").write_text(json.dumps(spec))
        self.namespaces = Namespaces(crun=True)

    def run(self, **more):
        """One container's life, to its end."""
        self.rounds += 1
        return subprocess.run(["crun", "--root", self.directory / "state", "run", "--bundle", self.directory,
                               f"{self.directory.name}-{self.rounds}"],
                              stdin=subprocess.DEVNULL, preexec_fn=self.namespaces.enter, check=True, **more)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.namespaces.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Times:
    """Milliseconds per contender: {name: [ms, …]}."""

    def __init__(self, samples):
        self.samples = samples

    def median(self, name):
        return statistics.median(self.samples[name])

    def ratio(self, name, base):
        """How many times as long name takes as base does."""
        return self.median(name) / self.median(base)

    def show(self, title, base):
        """One line a contender: median, spread, and its ratio to base."""
        print(title)
        for name, values in self.samples.items():
            low, high = min(values), max(values)
            print(f"  {name:16} {self.median(name):9.2f} ms  ({low:.2f} … {high:.2f}, n={len(values)})"
                  f"  {self.ratio(name, base):7.2f} × {base}", flush=True)
        return self


def once(what):
    """Milliseconds of one call."""
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1000


def compare(rounds, contenders):
    """Times of every contender, taken in turn so that the machine's moods meet all alike; a first round warms up."""
    samples = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, what in contenders.items():
            taken = once(what)
            if number:
                samples[name].append(taken)
    return Times(samples)
