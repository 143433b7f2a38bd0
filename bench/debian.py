"""Images of a Debian as debootstrap makes it, for measurements: built once, kept as OCI layouts below CACHE.

    debian.layout("large"): four layers: minbase, and three rounds of apt-get install on top (more than 100 MB compressed)
    debian.layout("small"): the same minbase's files in 30 layers

Making them takes some minutes and Debian's mirror; `BENCH_CACHE` names another directory than /var/cache/pouch-bench.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tarfile
import tempfile

CACHE = pathlib.Path(os.environ.get("BENCH_CACHE", "/var/cache/pouch-bench"))
SUITE = "bookworm"
INSTALLED = (["python3", "curl", "git"], ["gcc", "libc6-dev"], ["openssh-client", "rsync", "vim"])
SMALL_LAYERS = 30

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Layout:
    """An OCI layout of one image."""

    def __init__(self, directory):
        self.directory = directory
        index = json.loads((directory / "index.json").read_text())
        self.manifest = json.loads(self.blob(index["manifests"][0]["digest"]).read_bytes())
        self.layers = [layer["digest"] for layer in self.manifest["layers"]]
        self.size = sum(layer["size"] for layer in self.manifest["layers"])

    def blob(self, digest):
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Writer:
    """Writes a layout, layer by layer; it has its name when it is whole."""

    def __init__(self, directory):
        self.directory, self.new = directory, directory.with_name(directory.name + ".new")
        shutil.rmtree(self.new, ignore_errors=True)
        (self.new / "blobs" / "sha256").mkdir(parents=True)
        self.layers, self.diff_ids = [], []

    def put(self, media, data):
        (self.new / "blobs" / "sha256" / digest(data)[7:]).write_bytes(data)
        return {"mediaType": media, "digest": digest(data), "size": len(data)}

    def layer(self, tar):
        self.diff_ids.append(digest(tar))
        self.layers.append(self.put(LAYER, gzip.compress(tar, 6, mtime=0)))

    def close(self):
        config = self.put(CONFIG, json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]}, "created": "2024-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}).encode())
        manifest = self.put(MANIFEST, json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                                  "layers": self.layers}).encode())
        (self.new / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
        (self.new / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.new.rename(self.directory)


def tree(root):
    """{path: what tells a changed file} of everything below root, parents first."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in sorted(directories + files):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            same_as = (status.st_ino, status.st_mode, status.st_uid, status.st_gid)
            if not stat.S_ISDIR(status.st_mode):
                same_as += (status.st_ctime_ns, status.st_size)
            found[os.path.relpath(path, root)] = same_as
    return found


def tar_of(root, paths, gone=()):
    """A layer's tar: these paths as GNU tar archives them, and whiteouts of what is gone."""
    data = subprocess.run(["tar", "-C", root, "-c", "--xattrs", "--no-recursion", "--null", "--verbatim-files-from", "-T", "-"],
                          input=b"\0".join(os.fsencode(path) for path in paths) + b"\0", check=True, stdout=subprocess.PIPE).stdout
    if not gone:
        return data
    whiteouts = io.BytesIO()
    with tarfile.open(fileobj=whiteouts, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in gone:
            head, name = os.path.split(path)
            tar.addfile(tarfile.TarInfo(os.path.join(head, ".wh." + name)))
        end = tar.offset
    # In front, without the blocks that end an archive.
    return whiteouts.getvalue()[:end] + data


def changes(root, before):
    """The layer on top of `before`, a tree(); and what is there now."""
    now = tree(root)
    changed = [path for path in sorted(now) if now[path] != before.get(path)]
    gone = [path for path in sorted(set(before) - set(now)) if os.path.dirname(path) in now or "/" not in path]
    return tar_of(root, changed, gone), now


def bootstrap(root):
    subprocess.run(["debootstrap", "--variant=minbase", SUITE, root], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["chroot", root, "apt-get", "clean"], check=True)


def install(root, packages):
    subprocess.run(["chroot", root, "apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})
    subprocess.run(["chroot", root, "apt-get", "clean"], check=True)


def build():
    print(f"building the images below {CACHE}: some minutes, once", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="debian-", dir=CACHE) as directory:
        root = os.path.join(directory, "root")
        bootstrap(root)
        before = tree(root)
        small, large = Writer(CACHE / "small"), Writer(CACHE / "large")
        paths = sorted(before)
        for i in range(SMALL_LAYERS):
            small.layer(tar_of(root, paths[i * len(paths) // SMALL_LAYERS:(i + 1) * len(paths) // SMALL_LAYERS]))
        large.layer(tar_of(root, paths))
        for packages in INSTALLED:
            install(root, packages)
            layer, before = changes(root, before)
            large.layer(layer)
    small.close()
    large.close()


def layout(name):
    if not (CACHE / name).exists():
        shutil.rmtree(CACHE / "small", ignore_errors=True)
        shutil.rmtree(CACHE / "large", ignore_errors=True)
        build()
    return Layout(CACHE / name)
