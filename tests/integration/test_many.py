"""What a running container leaves for the next start to carry: counted, not timed."""
import fcntl
import os
import pathlib
import struct
import subprocess

import pytest

from tests.harness.engine import Engine

FS_IOC_GETFLAGS = 0x80086601
FS_TOPDIR_FL = 0x20000
CPUSETS = pathlib.Path("/sys/fs/cgroup/cpuset")


@pytest.fixture(scope="module")
def engine():
    with Engine() as e:
        e.busybox()
        yield e


def start(engine):
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
    container = engine.api("POST", "/containers/create", body).json["Id"]
    answer = engine.api("POST", f"/containers/{container}/start")
    assert answer.status == 204, answer
    return container


def descriptors(engine, *words):
    """What runtimed has open that names one of these."""
    found = []
    directory = pathlib.Path(f"/proc/{engine.pids()['runtimed']}/fd")
    for fd in directory.iterdir():
        try:
            target = os.readlink(fd)
        except FileNotFoundError:
            continue
        if any(word in target for word in words):
            found.append(target)
    return found


def test_a_running_container_keeps_few_descriptors(engine):
    """Each would be copied by every later start, and a shim would close it again."""
    container = start(engine)
    assert descriptors(engine, "user:[", "net:[", "ipc:[", "pid:[", "uts:[") == []
    assert [path for path in descriptors(engine, container) if "/runtimed/c/" not in path] == []
    assert len(descriptors(engine, container)) == 1


def test_what_is_kept_open_is_not_copied(engine):
    """Descriptors of a running container have high numbers, which no later start copies."""
    def low():
        return sorted(int(fd) for fd in os.listdir(f"/proc/{engine.pids()['runtimed']}/fd") if int(fd) < 1024)

    start(engine)
    before = len(low())
    for _ in range(5):
        start(engine)
    Engine.wait_for(lambda: len(low()) <= before)


@pytest.mark.skipif(not CPUSETS.exists(), reason="there is no cpuset hierarchy of cgroup v1")
def test_cpusets_are_inherited(engine):
    """Nobody has to write them for each container, for which the kernel would look through all."""
    container = start(engine)
    parent = CPUSETS / engine.cgroup.strip("/")
    assert (parent / "cgroup.clone_children").read_text() == "1\n"
    for name in ("cpuset.cpus", "cpuset.mems"):
        assert (parent / container / name).read_text() == (CPUSETS / name).read_text()


def test_directories_are_spread(engine):
    """Where the file system has a hint for that, new files are not looked for a place where others' were deleted."""
    if subprocess.run(["stat", "-fc", "%T", engine.dir], stdout=subprocess.PIPE, check=True).stdout != b"ext2/ext3\n":
        pytest.skip("the hint is ext4's")
    for name in ("root/runtimed/containers", "run/runtimed/c", "run/runtimed/rt", "root/imaged/layers", "root/volumed/volumes"):
        fd = os.open(engine.dir / name, os.O_RDONLY)
        try:
            flags, = struct.unpack("L", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
        finally:
            os.close(fd)
        assert flags & FS_TOPDIR_FL, name
