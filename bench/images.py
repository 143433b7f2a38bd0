#!/usr/bin/env python3
"""The image store: the list of many images, the memory of a load, and load and save beside dockerd and podman.
Usage: bench/images.py BUILD [IMAGES [MIB [ROUNDS]]]
"""
import contextlib
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402
from tests.harness.rootfs import Tar  # noqa: E402
from tests.harness.store import failure, load, save_archive  # noqa: E402

# What ours is to hold.
LIST_MS, PEAK_MIB = 5, 64


def list_of(engine, count):
    """Milliseconds of GET /images/json in each dialect with so many images, of one small layer each."""
    for i in range(count):
        assert not failure(load(engine, save_archive([Tar().file(f"f{i % 10}").bytes()], [f"many:{i}"], {"Labels": {"n": str(i)}})))
    for version in ("1.24", "1.43", "1.47"):
        times = [peers.once(lambda: engine.api("GET", "/images/json", version=version)) for _ in range(30)]
        print(f"list of {count} images, API {version}: {statistics.median(times):.2f} ms ({min(times):.2f} … {max(times):.2f}; "
              f"at most {LIST_MS})")


def archive(directory, mib):
    """A file as docker save writes it: one layer of files of 1 MiB that no compression makes smaller."""
    path, layer = directory / "archive.tar", directory / "layer"
    layer.mkdir()
    for i in range(mib):
        (layer / f"f{i}").write_bytes(random.Random(i).randbytes(1 << 20))
    subprocess.run(["tar", "-C", layer, "-cf", directory / "layer.tar", "."], check=True)
    subprocess.run(["rm", "-rf", layer], check=True)
    import hashlib
    import json
    with open(directory / "layer.tar", "rb") as file:
        diff = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    (directory / "config.json").write_text(json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]}}))
    (directory / "manifest.json").write_text(json.dumps(
        [{"Config": "config.json", "RepoTags": ["big:1"], "Layers": ["layer.tar"]}]))
    subprocess.run(["tar", "-C", directory, "-cf", path, "manifest.json", "config.json", "layer.tar"], check=True)
    (directory / "layer.tar").unlink()
    return path


class Peak:
    """Greatest memory (MiB, proportional) of imaged and its workers while the block runs."""

    def __init__(self, engine):
        self.engine, self.most, self.stop = engine, 0, threading.Event()

    def look(self):
        while not self.stop.wait(0.05):
            rows = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.engine.process.pid)], capture_output=True, text=True,
                                  check=False).stdout.splitlines()
            pids = [int(row.split()[0]) for row in rows if row.split()[1] in ("imaged", "image-unpack")]
            with contextlib.suppress(OSError):
                self.most = max(self.most, peers.pss(pids))

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def main():
    count, mib, rounds = (int(sys.argv[i]) if len(sys.argv) > i else value for i, value in ((2, 1000), (3, 1024), (4, 3)))
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pouch-bench-", dir="/var/tmp")))
        engine = stack.enter_context(Engine())
        list_of(engine, count)
        path = archive(directory, mib)
        with Peak(engine) as peak:
            taken = peers.once(lambda: engine.docker("load", "-i", path, timeout=600))
        print(f"load of {mib} MiB: {taken / 1000:.1f} s, {peak.most:.1f} MiB of imaged and image-unpack at most (at most {PEAK_MIB})")
        engine.docker("rmi", "big:1")
        sides = {"pouch": lambda *a: engine.docker(*a, timeout=600)}
        for peer in (peers.Dockerd, peers.Podman):
            if why := peer.missing():
                print(f"{peer.name}: {why}")
            else:
                sides[peer.name] = stack.enter_context(peer()).cli
        both = {"load": {}, "save": {}}
        for number in range(rounds + 1):
            for name, cli in sides.items():
                times = peers.once(lambda: cli("load", "-i", path)), peers.once(lambda: cli("save", "-o", directory / "out.tar", "big:1"))
                (directory / "out.tar").unlink()
                cli("rmi", "big:1")
                if number:
                    both["load"].setdefault(name, []).append(times[0])
                    both["save"].setdefault(name, []).append(times[1])
        for what, samples in both.items():
            peers.Times(samples).show(f"{what} of {mib} MiB", "pouch")


main()
