"""The engine from outside: what listens, what can be connected to, what can be traversed."""
import ctypes
import os
import pathlib
import socket
import subprocess

import pytest

from tests.harness.engine import Engine

NOBODY = 65534


@pytest.fixture(scope="module")
def running():
    with Engine() as engine:
        yield engine


def pids(engine):
    return {"pouchd": engine.process.pid, **engine.pids()}


def inodes(pid):
    """Inodes of the process's sockets; of a worker that has ended, none."""
    out = set()
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError):
        return out
    for fd in fds:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if target.startswith("socket:["):
            out.add(int(target[8:-1]))
    return out


def in_a_child(function):
    """Run function() in a process of its own; returns what it returns, as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(function())
        except BaseException as problem:  # pylint: disable=broad-except
            text = repr(problem)
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer


def as_nobody(function):
    """As in_a_child(), as an unprivileged user."""
    def enter():
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return function()
    return in_a_child(enter)


def status_line(pid, name):
    return next(line.split(":")[1].strip() for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith(name + ":"))


def error_of(function):
    try:
        function()
    except OSError as error:
        return type(error).__name__
    return ""


def test_no_abstract_sockets(running):  # covers S-2
    ours = set().union(*(inodes(pid) for pid in pids(running).values()))
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[6]) in ours and len(fields) > 7:
            assert fields[7].startswith("/"), line


def test_listeners_are_those_of_the_config(running):  # covers S-3
    for name, pid in pids(running).items():
        ours = inodes(pid)
        for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
            path = pathlib.Path(f"/proc/{pid}/net/{table}")
            if not path.exists():
                continue
            inode = -1 if table == "packet" else 9
            found = [line for line in path.read_text().splitlines()[1:] if int(line.split()[inode]) in ours]
            assert not found, f"{name}: {table}: {found}"


def test_listening_unix_sockets(running):  # covers S-3
    allowed = {str(running.socket)} | {str(p) for p in (running.run / "ipc").iterdir()}
    ours = set().union(*(inodes(pid) for pid in pids(running).values()))
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        listens = int(fields[3], 16) & 0x10000
        if listens and int(fields[6]) in ours:
            assert len(fields) > 7 and (fields[7] in allowed or pathlib.Path(fields[7]).name == "control.sock"), line


def test_state_is_closed_to_others(running):  # covers S-4
    for directory in sorted(running.root.iterdir()):
        if directory.is_dir():
            assert as_nobody(lambda: error_of(lambda: os.listdir(directory))) == "PermissionError", directory
            assert as_nobody(lambda: error_of(lambda: os.stat(directory / "."))) == "PermissionError", directory
    for file in running.root.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert as_nobody(lambda: error_of(lambda: open(file, "rb").close())) == "PermissionError", file


def test_helpers_cannot_be_connected_to(running):  # covers S-2 S-4
    def connect(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(str(path))

    for path in (running.run / "ipc").iterdir():
        assert as_nobody(lambda: error_of(lambda: connect(path))) == "PermissionError", path


def inside(pid, function):
    """As in_a_child(), with the mounts and the ids of a container's root, on the host's network."""
    def enter():
        libc = ctypes.CDLL(None, use_errno=True)
        handles = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
        for handle in handles:
            assert libc.setns(handle, 0) == 0, os.strerror(ctypes.get_errno())
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        return function()
    return in_a_child(enter)


def test_a_container_on_the_hosts_network_reaches_no_socket(running):  # covers S-2
    """Neither by a path nor by an abstract name, which the network namespace has, can anything of the engine be connected to."""
    running.busybox()
    container = running.docker("run", "-d", "--network", "host", "busybox", "sleep", "1000").stdout.strip()
    pid = running.inspect(container)["State"]["Pid"]
    shim = int(status_line(pid, "PPid"))
    ours = set().union(*(inodes(p) for p in {**pids(running), "shim": shim}.values()))
    names = [line.split()[7] for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]
             if int(line.split()[6]) in ours and len(line.split()) > 7]
    assert str(running.socket) in names and not any(name.startswith("@") for name in names)

    def reached():
        found = []
        for name in set(names):
            for address in (name, "\0" + name):
                for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_UNIX, kind) as s:
                        if not error_of(lambda: s.connect(address)):
                            found.append(name)
        return sorted(found)

    assert str(running.socket) in reached(), "the test's own connections"
    assert inside(pid, lambda: (os.path.exists("/bin/busybox"), os.path.exists(running.socket), os.getuid())) == "(True, False, 0)"
    assert inside(pid, reached) == "[]"
    running.docker("rm", "-f", container)


def test_the_api_is_for_its_group(running):  # covers S-4
    def connect():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(running.socket))

    assert as_nobody(lambda: error_of(connect)) == "PermissionError"


def test_a_second_engine_is_refused(running):
    done = subprocess.run(running.arguments(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False)
    assert done.returncode != 0 and "another engine" in done.stderr
