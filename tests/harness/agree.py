"""Do all who know of an engine's containers agree: the API, the records of each owner, directories, the OCI runtime's
state, cgroups, shims, interfaces? A crash may leave them apart only until the engine has served again for a moment.
"""
import contextlib
import pathlib
import sqlite3
import subprocess
import tempfile
import time

from . import leaks

ALIVE = ("running", "paused")


def contents(directory, owner):
    """{name: bytes} of the files of an owner's records."""
    found = {}
    for name in (f"{owner}.db", f"{owner}.db-wal"):
        with contextlib.suppress(FileNotFoundError):
            found[name] = (directory / name).read_bytes()
    return found


def rows(engine, owner, query):
    """A query on a copy of an owner's records: the running owner has them locked. It goes on writing, from its log into the file,
    too: what is read twice alike is of one moment."""
    copy = contents(engine.root / owner, owner)
    while copy != (again := contents(engine.root / owner, owner)):
        copy = again
    with tempfile.TemporaryDirectory() as directory:
        for name, data in copy.items():
            (pathlib.Path(directory) / name).write_bytes(data)
        connection = sqlite3.connect(f"{directory}/{owner}.db")
        try:
            return {row[0] for row in connection.execute(query)}
        finally:
            connection.close()


def names(path):
    return {entry.name for entry in path.iterdir()} if path.is_dir() else set()


def shims(engine):
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if words and words[0] == b"pouch-shim" and len(words) > 1 and (engine.root / "runtimed/containers" / words[1].decode()).exists():
            found.add(words[1].decode())
    return found


def in_cgroups(engine):
    """Ids of containers that have a cgroup, of any hierarchy."""
    return {pathlib.Path(c).name for c in leaks.cgroups(engine) if len(pathlib.Path(c).name) == 64}


def ports_of_bridge(engine):
    text = subprocess.run(["ip", "-o", "link", "show", "master", engine.bridge], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return len(text.splitlines())


def differences(engine):
    """What does not agree, as texts; none when all do."""
    listed = engine.api("GET", "/containers/json?all=1").json
    known = {c["Id"] for c in listed}
    alive = {c["Id"] for c in listed if c["State"] in ALIVE}
    bridged = sum(1 for c in listed if c["State"] in ALIVE and c["HostConfig"]["NetworkMode"] in ("default", "bridge"))
    run = engine.run / "runtimed"
    views = {
        "records of runtimed": (rows(engine, "runtimed", "SELECT id FROM container"), known),
        "directories": (names(engine.root / "runtimed/containers") - {"trash"}, known),
        "what is being removed": (names(engine.root / "runtimed/containers/trash"), set()),
        "leases of images": (rows(engine, "imaged", "SELECT container FROM lease"), known),
        "holders of volumes among the unknown": (rows(engine, "volumed", "SELECT container FROM hold") - known, set()),
        "directories of volumes": (names(engine.root / "volumed/volumes"),
                                   rows(engine, "volumed", "SELECT name FROM volume WHERE driver='local'")),
        "what is being removed of volumes": (names(engine.root / "volumed/trash"), set()),
        "attachments of networks": (rows(engine, "netd", "SELECT container FROM attachment") - known, set()),
        "directories of runs among the unknown": (names(run / "c") - known, set()),
        "states of the OCI runtime": (names(run / "rt"), alive),
        "cgroups": (in_cgroups(engine), alive),
        "shims": (shims(engine), alive),
        "ports of the bridge": (ports_of_bridge(engine), bridged),
        "mounts on the host": (set(leaks.mounts(engine)), set()),
        "staged files of images": (names(engine.root / "imaged/staging"), set()),
    }
    return [f"{what}: {seen} where {wanted} is right" for what, (seen, wanted) in views.items() if seen != wanted]


def wait(engine, seconds=60):
    """Wait until all agree; fails with what does not."""
    deadline = time.monotonic() + seconds
    while left := differences(engine):
        assert time.monotonic() < deadline, "\n".join(left) + "\n" + engine.log()[-4000:]
        time.sleep(0.05)
