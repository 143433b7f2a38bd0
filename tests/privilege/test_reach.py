"""The engine from outside: what listens, what can be connected to, what can be traversed."""
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
    """Inodes of the process's sockets."""
    out = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            out.add(int(target[8:-1]))
    return out


def as_nobody(function):
    """Run function() as an unprivileged user; returns what it returns, as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(write, str(function()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer


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


def test_the_api_is_for_its_group(running):  # covers S-4
    def connect():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(running.socket))

    assert as_nobody(lambda: error_of(connect)) == "PermissionError"


def test_a_second_engine_is_refused(running):
    done = subprocess.run(running.arguments(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                          check=False)
    assert done.returncode != 0 and "another engine" in done.stderr
