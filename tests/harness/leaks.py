"""What an engine may leave behind: finding it (a test fails) and removing it (the next one starts clean).

Everything is recognised by names that only this engine has: its directory, cgroup, bridge and table.
"""
import os
import pathlib
import signal
import subprocess
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def processes(engine):
    """Pids whose command line, working directory or root names the engine's directory, or that run in its cgroup."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            groups = (entry / "cgroup").read_text()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and (str(engine.dir) in words and str(engine.build) in words
                             or engine.cgroup + "/" in groups or groups.endswith(engine.cgroup)):
            found[int(entry.name)] = words.strip() or "?"
    return found


def mounts(engine):
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if str(engine.dir) in line.split()[4]]


def cgroups(engine):
    """The engine's cgroup in every hierarchy, deepest first."""
    name = engine.cgroup.strip("/")
    tops = [path / name for path in [CGROUPS, *CGROUPS.iterdir()] if (path / name).is_dir()]
    return [directory for top in tops for directory, _, _ in os.walk(top, topdown=False)]


def on_host(engine, *command):
    """Lines of a command where the engine's network is."""
    prefix = engine.machine.prefix if engine.machine else []
    return subprocess.run([*prefix, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False).stdout.splitlines()


def links(engine):
    """The engine writes its name into the alias of each device that it makes."""
    return [line for line in on_host(engine, "ip", "-o", "link") if engine.bridge in line or engine.nft_table in line]


def veths(engine):
    """Devices of containers. The kernel takes them away some time after their namespace has gone."""
    deadline = time.monotonic() + 60
    while (left := [x for x in links(engine) if x.split(":")[1].strip().startswith("pv")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def tables(engine):
    return [line for line in on_host(engine, "nft", "list", "tables") if line.split()[-1].startswith(engine.nft_table)]


def of_engine(engine):
    """Everything that is left of a stopped engine. Names are kept for the next start: bridge and table stay."""
    return ([f"process {pid}: {words}" for pid, words in processes(engine).items()]
            + [f"mount {m}" for m in mounts(engine)]
            + [f"device {line}" for line in veths(engine)]
            + [f"cgroup {c}" for c in cgroups(engine) if c.rstrip("/").count("pouch-test-") and deeper(engine, c)])


def deeper(engine, directory):
    """Is it a container's cgroup? The engine's own empty parent may stay, as its bridge and table may."""
    return not directory.endswith(engine.cgroup.strip("/"))


def clean(engine):
    deadline = time.monotonic() + 60
    while (left := processes(engine)) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    for point in sorted(mounts(engine), key=len, reverse=True):
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)
    for directory in cgroups(engine):
        try:
            os.rmdir(directory)
        except OSError:
            pass
    for line in links(engine):
        on_host(engine, "ip", "link", "del", line.split(":")[1].strip().split("@")[0])
    for line in tables(engine):
        on_host(engine, "nft", "delete", *line.split())
