#!/usr/bin/python3
"""A pull beside dockerd, podman and `curl | gunzip | tar x; sync`, from a real registry on loopback; memory of imaged and its
workers meanwhile.   bench/pull.py BUILD-DIR [MiB] [ROUNDS]

Two images of a Debian's own files: one of a few large layers, and one of 30 small ones.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import peers  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402
from tests.harness.registry import Registry  # noqa: E402

LARGE, SMALL = 3, 30


def files(megabytes):
    """Files of this machine's /usr, about so many MiB: what Debian's packages are made of."""
    found, total = [], 0
    for top in ("/usr/share", "/usr/lib", "/usr/bin"):
        for directory, _, names in os.walk(top):
            for name in sorted(names):
                path = os.path.join(directory, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    found.append(path)
                    total += os.path.getsize(path)
            if total > megabytes << 20:
                return found
    return found


def build(registry, directory, name, parts):
    """An image of one layer for each part, put into the registry as an OCI layout by skopeo."""
    from tests.harness.fake_registry import Image
    import json

    layout = directory / name
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = []
    for i, part in enumerate(parts):
        listing = directory / "list"
        listing.write_text("\n".join(path.lstrip("/") for path in part))
        layers.append(subprocess.run(["tar", "-C", "/", "-c", "--sort=name", "-T", str(listing)], check=True, stdout=subprocess.PIPE).stdout)
    image = Image(layers, config={"history": []})
    text = json.dumps(image.manifest).encode()
    from tests.harness.fake_registry import digest, MANIFEST
    for data in [text, image.config, *image.blobs]:
        (blobs / digest(data)[7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST, "digest": digest(text), "size": len(text)}]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    registry.skopeo("copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{registry.host}/{name}:1")
    shutil.rmtree(layout)
    size = sum(map(len, image.blobs))
    print(f"{name}: {len(parts)} layers, {size / 1e6:.0f} MB compressed, {sum(map(len, layers)) / 1e6:.0f} MB of files")
    return image


def split(all_files, n):
    return [all_files[i::n] for i in range(n)]


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


def measure(registry, engine, name, image, directory, rounds):
    """Each in turn; what was made is removed outside of the time."""
    reference = f"{registry.host}/{name}:1"
    samples = {}

    def take(who, what, clean):
        subprocess.run(["sync"], check=False)
        samples.setdefault(who, []).append(peers.once(what))
        clean()

    with Memory(engine) as memory:
        for _ in range(rounds):
            take("pouch", lambda: engine.docker("pull", "-q", reference, timeout=600), lambda: engine.docker("rmi", reference))
    for _ in range(rounds):
        take("curl|gunzip|tar", lambda: pipe(registry, name, image, directory), lambda: shutil.rmtree(directory / "tree"))
    for kind, options in ((peers.Dockerd, []), (peers.Podman, ["--tls-verify=false"])):
        if kind.missing():
            print(f"  {kind.name}: {kind.missing()}")
            continue
        with kind() as peer:
            for _ in range(rounds):
                take(kind.name, lambda: peer.cli("pull", "-q", *options, reference), lambda: peer.cli("rmi", reference))
    peers.Times(samples).show(f"pull of {name}", "pouch")
    print(f"  imaged and its workers: {memory.peak:.1f} MiB at the most")


def main():
    build_dir = sys.argv[1] if len(sys.argv) > 1 else "build"
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pouch-bench-", dir="/var/tmp"))
    try:
        with Registry() as registry, Engine(build=build_dir) as engine:
            found = files(megabytes)
            for name, n, part in (("large", LARGE, found), ("small", SMALL, found[::10])):
                image = build(registry, directory, name, split(part, n))
                measure(registry, engine, name, image, directory, rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
