"""What a layer is after unpacking, beside what GNU tar and umoci make of the same bytes: owners, modes, times, attributes, links,
devices, content. The tree has everything that packages have, and this machine's /etc and /usr/share/doc beside."""
import collections
import hashlib
import io
import os
import pathlib
import stat
import subprocess
import tarfile

import pytest

from tests.harness.store import failure, import_raw, layer_dir, load, wait_unstaged

KINDS = {"file": b"content", "empty": b"", "large": os.urandom(3 << 20)}


def run(*command, **more):
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, **more)


def make_tree(root):
    for name, data in KINDS.items():
        (root / name).write_bytes(data)
    for i, mode in enumerate((0o4755, 0o2755, 0o6711, 0o1600, 0o000, 0o777)):
        (root / f"mode-{mode:o}").write_bytes(b"m")
        os.chown(root / f"mode-{mode:o}", 1000 + i, 70000 + i)
        os.chmod(root / f"mode-{mode:o}", mode)
    (root / "sticky").mkdir(mode=0o700)
    os.chmod(root / "sticky", 0o3777)
    (root / "deep").mkdir()
    deep = root / "deep" / ("n" * 200) / ("m" * 200)
    deep.mkdir(parents=True)
    (deep / "ünï\ncode \\ \x7f").write_text("odd")
    os.link(root / "file", deep / "hard")
    os.link(root / "file", root / "hard")
    os.symlink("../nowhere/" + "s" * 300, root / "deep" / "symlink")
    os.link(root / "deep" / "symlink", root / "deep" / "symlink-again", follow_symlinks=False)
    os.lchown(root / "deep" / "symlink", 5, 6)
    os.mkfifo(root / "fifo", 0o620)
    os.mknod(root / "device", 0o640 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "block", 0o600 | stat.S_IFBLK, os.makedev(259, 70000))
    with open(root / "sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(30 << 20)
        file.write(b"in the middle")
    os.setxattr(root / "file", "user.note", b"\0binary\xff")
    os.setxattr(root / "deep", "user.on-a-directory", b"x" * 1000)
    run("setcap", "cap_net_raw+ep", root / "empty")
    run("cp", "-a", "/etc", "/usr/share/doc/bash", root)
    for i, (name, ns) in enumerate((("file", 1), ("empty", 123456789), ("deep/symlink", 999999999), ("sticky", 5), ("fifo", 0))):
        os.utime(root / name, ns=(0, (1000000000 + i) * 10**9 + ns), follow_symlinks=False)
    os.utime(root / "deep", ns=(0, 987654321987654321))


def describe(root):
    """{path: all that there is to know of it}; hard links by the names that they share."""
    found, inodes = {}, collections.defaultdict(list)
    for directory, directories, files in os.walk(os.fsencode(root)):
        for path in [directory] if directory == os.fsencode(root) else []:
            found[b"."] = about(path)
        for name in directories + files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, os.fsencode(root))
            found[relative] = about(path)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                inodes[os.lstat(path).st_ino].append(relative)
    return found, sorted(sorted(names) for names in inodes.values() if len(names) > 1)


def about(path):
    status = os.lstat(path)
    content = None
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).hexdigest()
    attributes = {} if stat.S_ISLNK(status.st_mode) else {name: os.getxattr(path, name) for name in os.listxattr(path)}
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return (oct(status.st_mode), status.st_uid, status.st_gid, size, status.st_mtime_ns, status.st_rdev, content, attributes)


def assert_same(ours, theirs):
    ours, theirs = describe(ours), describe(theirs)
    different = {path: (ours[0].get(path), theirs[0].get(path)) for path in set(ours[0]) | set(theirs[0])
                 if ours[0].get(path) != theirs[0].get(path)}
    assert not different
    assert ours[1] == theirs[1] and len(ours[0]) > 200


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    make_tree(root)
    path = tmp_path_factory.mktemp("archive") / "layer.tar"
    # --sparse is a form that registries' images do not have; umoci does not read it.
    run("tar", "-C", root, "--format=pax", "--xattrs", "--xattrs-include=*", "-cf", path, ".")
    run("tar", "-C", root, "--format=pax", "--sparse", "--xattrs", "--xattrs-include=*", "-cf", path.with_name("sparse.tar"), ".")
    return path


@pytest.mark.parametrize("form", ["layer.tar", "sparse.tar"])
def test_as_gnu_tar(engine, archive, tmp_path, form):
    archive = archive.with_name(form)
    run("tar", "-C", tmp_path, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", archive)
    with open(archive, "rb") as file:
        assert not failure(import_raw(engine, file, "unpacked:tar"))
    assert_same(layer_dir(engine, "unpacked:tar"), tmp_path)
    engine.docker("rmi", "unpacked:tar")
    wait_unstaged(engine)


def test_as_umoci(engine, archive, tmp_path):
    layout = tmp_path / "layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:1")
    run("umoci", "raw", "add-layer", "--image", f"{layout}:1", archive)
    run("umoci", "raw", "unpack", "--image", f"{layout}:1", tmp_path / "root")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(layout, ".")
    answer = load(engine, packed.getvalue())
    assert not failure(answer)
    image = answer.body.decode().split("Loaded image ID: ")[1].split("\\n")[0]
    assert_same(layer_dir(engine, image), tmp_path / "root")
    engine.docker("rmi", image)
    wait_unstaged(engine)
