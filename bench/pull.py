#!/usr/bin/python3
"""A pull beside dockerd, podman and `curl | gunzip | tar x; sync`, from a real registry on loopback; memory of imaged and its
workers meanwhile.   bench/pull.py BUILD-DIR [ROUNDS] [IMAGE]

The images are bench/debian.py's: "large", a Debian of four layers and 200 MB compressed, and "small", one of 30 small layers.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import debian, peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402
from tests.harness.registry import Registry  # noqa: E402

class Memory:
    """Peak of the memory of imaged and its workers together, while the block runs."""

    def __init__(self, engine):
        self.engine, self.peak, self.over = engine, 0.0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        names = ("imaged", "image-fetch", "image-unpack")
        while not self.over.wait(0.05):
            try:
                found = [entry for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit() and self.mine(entry, names)]
                self.peak = max(self.peak, peers.pss([int(entry.name) for entry in found]))
            except (OSError, ValueError):
                continue

    def mine(self, entry, names):
        try:
            return (os.path.basename(os.readlink(entry / "exe")) in names
                    and str(self.engine.root).encode() in (entry / "cmdline").read_bytes())
        except OSError:
            return False

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def pipe(registry, name, image, directory):
    """What it costs without an engine: the same layers, one after the other, into a directory, and onto the disk."""
    target = directory / "tree"
    target.mkdir()
    for layer in image.layers:
        command = f"curl -s http://{registry.host}/v2/{name}/blobs/{layer} | gunzip | tar -x -C {target}"
        subprocess.run(["sh", "-c", command], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def contenders(stack, registry, engine, name, image, directory):
    """{who: (pull, remove again)}"""
    reference = f"{registry.host}/{name}:1"
    found = {"pouch": (lambda: engine.docker("pull", "-q", reference, timeout=600), lambda: engine.docker("rmi", reference)),
             "curl|gunzip|tar": (lambda: pipe(registry, name, image, directory), lambda: shutil.rmtree(directory / "tree"))}

    def add(peer, *options):
        found[peer.name] = (lambda: peer.cli("pull", "-q", *options, reference), lambda: peer.cli("rmi", reference))

    for kind, options in ((peers.Dockerd, []), (peers.Podman, ["--tls-verify=false"])):
        if kind.missing():
            print(f"  {kind.name}: {kind.missing()}")
        else:
            add(stack.enter_context(kind()), *options)
    return found


def measure(registry, engine, name, directory, rounds):
    """All in turn; what was pulled is removed, and on the disk what was written, outside of the time."""
    image = debian.layout(name)
    registry.skopeo("copy", "-q", "--dest-tls-verify=false", f"oci:{image.directory}", f"docker://{registry.host}/{name}:1")
    samples, peak = {}, 0
    with contextlib.ExitStack() as stack:
        all_of_them = contenders(stack, registry, engine, name, image, directory)
        for number in range(rounds + 1):
            for who, (pull, remove) in all_of_them.items():
                subprocess.run(["sync"], check=True)
                with Memory(engine) as memory:
                    taken = peers.once(pull)
                peak = max(peak, memory.peak)
                remove()
                if number:
                    samples.setdefault(who, []).append(taken)
    peers.Times(samples).show(f"pull of {name}: {len(image.layers)} layers, {image.size / 1e6:.0f} MB", "pouch")
    print(f"  imaged and its workers: {peak:.1f} MiB at the most")


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    names = sys.argv[3:] or ["large", "small"]
    for name in names:
        debian.layout(name)
    with tempfile.TemporaryDirectory(prefix="pouch-bench-", dir="/var/tmp") as directory:
        with Registry() as registry, Engine() as engine:
            for name in names:
                measure(registry, engine, name, pathlib.Path(directory), rounds)


if __name__ == "__main__":
    main()
