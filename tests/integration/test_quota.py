"""Sizes by project quota: volumes' option `size` and containers' StorageOpt. Where the file system has none: an error that says so."""
import ctypes
import errno
import os
import signal
import struct
import subprocess
import tempfile

import pytest

MIB = 1 << 20


def has_quota():
    """Is the file system of temporary directories mounted with project quotas?"""
    at = subprocess.run(["findmnt", "-no", "FSTYPE,OPTIONS", "-T", tempfile.gettempdir()], stdout=subprocess.PIPE, text=True,
                        check=True).stdout
    return "prjquota" in at or "pquota" in at


quota = pytest.mark.skipif(not has_quota(), reason="no project quotas here; tests/vm has them")
NET = ("--network", "none")
# Writes 1 MiB at a time until it fails; says how many, and why.
WRITE = ("i=0; while dd if=/dev/zero of=$D/f$i bs=1M count=1 2>/tmp/why; do i=$((i+1)); [ $i -lt 40 ] || break; done; "
         "echo $i; grep dd: /tmp/why || true")


def volume(engine, name, size):
    return engine.api("POST", "/volumes/create", {"Name": name, "DriverOpts": {"size": size}})


XQM_SETQLIM, XQM_GETNEXTQUOTA = 0x5804, 0x5809
libc = ctypes.CDLL(None, use_errno=True)


def quotactl(path, command, number, data):
    """quotactl_fd(2) on project quotas; the kernel's struct fs_disk_quota, or None: there is none."""
    buffer = ctypes.create_string_buffer(data, 112)
    fd = os.open(path, os.O_RDONLY)
    try:
        done = libc.syscall(443, fd, command << 8 | 2, number, buffer)
    finally:
        os.close(fd)
    if done < 0 and ctypes.get_errno() == errno.ENOENT:
        return None
    assert done == 0, os.strerror(ctypes.get_errno())
    return struct.unpack_from("=bbHI13Q", buffer)


def limits(path):
    """{project: bytes that it may take} of the file system, of our projects that have a limit or a file."""
    found, number = {}, 0x40000000
    while (row := quotactl(path, XQM_GETNEXTQUOTA, number, bytes(112))) and row[3] >= number:
        if row[4] or row[8] or row[9]:
            found[row[3]] = row[4] * 512
        number = row[3] + 1
    return found


def project(path):
    """The project id of a directory, as lsattr has it."""
    return int(subprocess.run(["lsattr", "-pd", path], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0])


@pytest.mark.parametrize("size", ["", "x", "0", "-1", "10q", "1e3m"])
def test_no_size(engine, size):
    answer = volume(engine, "bad", size)
    assert answer.status == 400 and '"size"' in answer.message, answer
    answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"StorageOpt": {"size": size}}})
    assert answer.status == 400 and "StorageOpt: size" in answer.message, answer
    assert engine.api("GET", "/volumes/bad").status == 404


@pytest.mark.skipif(has_quota(), reason="there are project quotas here")
def test_without_quotas(engine):
    """400 that names the field and what is missing; nothing is left behind."""
    answer = volume(engine, "bad", "10m")
    assert answer.status == 400 and '"size"' in answer.message and "prjquota" in answer.message, answer
    assert engine.api("GET", "/volumes/bad").status == 404
    answer = engine.api("POST", "/containers/create?name=bad",
                        {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"StorageOpt": {"size": "10m"}}})
    assert answer.status == 400 and "StorageOpt: size" in answer.message and "prjquota" in answer.message, answer
    assert engine.api("GET", "/containers/bad/json").status == 404
    engine.wait_for(lambda: not list((engine.root / "volumed/trash").iterdir()))
    assert not list((engine.root / "volumed/volumes").iterdir())
    assert {p.name for p in (engine.root / "runtimed/containers").iterdir()} <= {"trash"}


@quota
def test_a_volume_of_a_size(engine):
    assert volume(engine, "ten", "10m").status == 201
    assert volume(engine, "other", "5m").status == 201
    out = engine.docker("run", "--rm", *NET, "-e", "D=/d", "-v", "ten:/d", "busybox", "sh", "-c", WRITE + "; df -m /d | tail -1").stdout
    count, why, df = out.splitlines()
    assert 8 <= int(count) <= 10 and ("quota" in why or "space" in why), out
    assert df.split()[1] in ("10", "9"), df
    # Another's is another's; and what is deleted can be written again.
    out = engine.docker("run", "--rm", *NET, "-e", "D=/d", "-v", "other:/d", "busybox", "sh", "-c", WRITE).stdout
    assert 3 <= int(out.split()[0]) <= 5
    out = engine.docker("run", "--rm", *NET, "-e", "D=/d", "-v", "ten:/d", "busybox", "sh", "-c", "rm /d/*; " + WRITE).stdout
    assert 8 <= int(out.split()[0]) <= 10
    paths = [engine.root / f"volumed/volumes/{name}/_data" for name in ("ten", "other")]
    assert len({project(path) for path in paths} | {0}) == 3
    assert engine.docker("volume", "inspect", "-f", "{{.Options.size}}", "ten").stdout == "10m\n"
    engine.docker("volume", "rm", "ten", "other")


@quota
def test_a_container_of_a_size(engine):
    out = engine.docker("run", *NET, "--name", "sized", "--storage-opt", "size=8m", "-e", "D=/", "busybox", "sh", "-c",
                        WRITE + "; rm -rf /etc; mv /home /house; echo moved").stdout
    assert 6 <= int(out.split()[0]) <= 8 and out.endswith("moved\n"), out
    out = engine.docker("run", "--rm", *NET, "-e", "D=/", "busybox", "sh", "-c", WRITE).stdout
    assert int(out.split()[0]) == 40, "a container without a size has one"
    assert engine.docker("commit", "sized", "from-sized").returncode == 0
    engine.docker("rm", "sized")
    engine.docker("rmi", "from-sized")


@quota
def test_over_restarts(engine):
    """The limit stays over kills of volumed and its worker; a limit that a cut removal has lifted is back at the next use."""
    assert volume(engine, "stays", "4m").status == 201
    path = engine.root / "volumed/volumes/stays/_data"
    before = project(path)
    old = engine.pids()["volumed"]
    os.kill(old, signal.SIGKILL)
    engine.wait_for(lambda: engine.pids().get("volumed") not in (None, old))
    quotactl(engine.root, XQM_SETQLIM, before, struct.pack("=bbHI13Q", 1, 2, 0xC, before, *[0] * 13))
    out = engine.docker("run", "--rm", *NET, "-e", "D=/d", "-v", "stays:/d", "busybox", "sh", "-c", WRITE).stdout
    assert 2 <= int(out.split()[0]) <= 4
    assert project(path) == before
    engine.docker("volume", "rm", "stays")


@quota
def test_released_after_deletion(engine):
    """Neither limit nor id is left of a volume, of a container, of a create that failed."""
    before = limits(engine.root)
    for i in range(5):
        assert volume(engine, f"short{i}", "3m").status == 201
        engine.docker("create", *NET, "--name", f"short{i}", "--storage-opt", "size=3m", "-v", f"short{i}:/d", "busybox", "true")
    during = {number: limit for number, limit in limits(engine.root).items() if number not in before}
    assert len(during) == 10 and set(during.values()) == {3 << 20}, during
    for i in range(5):
        engine.docker("rm", f"short{i}")
        engine.docker("volume", "rm", f"short{i}")
    engine.wait_for(lambda: not list((engine.root / "volumed/trash").iterdir())
                    and not list((engine.root / "runtimed/containers/trash").iterdir()))
    assert not set(limits(engine.root)) & set(during)


@quota
def test_the_container_cannot_change_it(engine):
    """From a user namespace a directory's project stays what it is."""
    assert volume(engine, "tight", "4m").status == 201
    done = engine.docker("run", "--rm", *NET, "-v", "tight:/d", "busybox", "sh", "-c", "chattr -p 0 /d; chattr -P /d; lsattr -pd /d",
                         check=False)
    path = engine.root / "volumed/volumes/tight/_data"
    assert project(path) >= 0x40000000, done
    engine.docker("volume", "rm", "tight")
