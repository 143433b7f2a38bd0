"""pouchd ctl image check: damage of every kind is found, named, and repaired where it can be."""
import os
import sqlite3
import stat
import tarfile

import pytest

from tests.harness.rootfs import Tar, busybox_tar
from tests.harness.store import (assert_whole, blobs, check, digest, image_config, layer_dir, layers, load,
                                 save_archive, wait_unstaged)

FILE = tarfile.REGTYPE


def layer_tar():
    tar = Tar().directory("d", 0o750, uid=7, gid=8)
    tar.add("d/file", FILE, 0o4755, b"x" * 200000, pax={"SCHILY.xattr.user.note": "hello"})
    tar.add("d/same", tarfile.LNKTYPE, 0o4755, link="d/file")
    tar.symlink("d/link", "file").add("d/null", tarfile.CHRTYPE, 0o666, device=(1, 3)).add("d/fifo", tarfile.FIFOTYPE, 0o600)
    tar.add("gone/.wh.x", FILE, 0o644).add("opaque/.wh..wh..opq", FILE, 0o644)
    tar.file("not/named/before/x", b"1").file("other", b"2")
    return tar.bytes()


@pytest.fixture
def store(fresh):
    """An engine with one image of two layers."""
    fresh.tars = [busybox_tar(), layer_tar()]
    assert load(fresh, save_archive(fresh.tars, ["checked:1"])).status == 200
    assert_whole(fresh)
    return fresh


def set_bytes(path):
    """Other bytes, the same size and time: nothing but reading finds it."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path, make):
    path.unlink()
    make(path)


DAMAGES = {
    "content": ("another content", lambda root: set_bytes(root / "d/file")),
    "missing": ("is missing", lambda root: (root / "other").unlink()),
    "missing-directory": ("is missing", lambda root: ((root / "not/named/before/x").unlink(), (root / "not/named/before").rmdir())),
    "extra": ("is not in the layer", lambda root: (root / "d/more").write_text("x")),
    "extra-directory": ("is not in the layer", lambda root: (root / "d/deep/er").mkdir(parents=True)),
    "mode": ("another mode", lambda root: (root / "d/file").chmod(0o755)),
    "mode-directory": ("another mode", lambda root: (root / "d").chmod(0o777)),
    "mode-root": ("another mode", lambda root: root.chmod(0o700)),
    "owner": ("another owner", lambda root: os.chown(root / "d/link", 1, 1, follow_symlinks=False)),
    "time": ("another time", lambda root: os.utime(root / "other", (1, 1))),
    "xattr": ("other extended attributes", lambda root: os.setxattr(root / "d/file", "user.note", b"other")),
    "xattr-more": ("other extended attributes", lambda root: os.setxattr(root / "other", "user.more", b"x")),
    "opaque": ("other extended attributes", lambda root: os.removexattr(root / "opaque", "user.overlay.opaque")),
    "target": ("another", lambda root: replace(root / "d/link", lambda p: p.symlink_to("elsewhere"))),
    "type": ("another type", lambda root: replace(root / "d/link", lambda p: p.mkdir())),
    "device": ("another", lambda root: replace(root / "gone/x", lambda p: os.mknod(p, 0o666 | stat.S_IFCHR, os.makedev(1, 3)))),
    "link": ("another number of links", lambda root: replace(root / "d/same", lambda p: p.write_bytes(b""))),
}


def seen(root):
    """Everything of a tree that a layer has."""
    rows = {}
    for path in [root, *sorted(root.rglob("*"))]:
        st = path.lstat()
        names = [] if path.is_symlink() or not (path.is_dir() or path.is_file()) else sorted(os.listxattr(path))
        rows[str(path.relative_to(root))] = (
            st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_rdev, 0 if path.is_dir() else st.st_nlink,
            [(n, os.getxattr(path, n)) for n in names], os.readlink(path) if path.is_symlink() else None,
            path.read_bytes() if stat.S_ISREG(st.st_mode) else None)
    return rows


def test_files_of_a_layer(store):
    root = layer_dir(store, "checked:1")
    whole = seen(root)
    for name, (words, damage) in DAMAGES.items():
        damage(root)
        assert seen(root) != whole, name
        report, status = check(store)
        assert status == 3 and {d["Kind"] for d in report["Damaged"]} == {"layer"}, (name, report)
        assert words in report["Damaged"][0]["Problem"], (name, report)
        report, status = check(store, "--repair")
        assert status == 0 and all(d["Repaired"] for d in report["Damaged"]), (name, report)
        assert_whole(store)
        assert seen(root) == whole, name
    wait_unstaged(store)


def test_a_layers_directory(store):
    root = layer_dir(store, "checked:1")
    whole = seen(root)
    root.rename(root.parent.parent / "elsewhere")
    report, status = check(store)
    assert status == 3 and "missing" in report["Damaged"][0]["Problem"]
    answer = store.api("POST", "/containers/create", {"Image": "checked:1", "Cmd": ["true"]})
    assert answer.status == 500 and "image check" in answer.message, answer
    assert check(store, "--repair")[1] == 0
    assert_whole(store)
    assert seen(layer_dir(store, "checked:1")) == whole


def test_repair_beside_a_container(store):
    store.docker("run", "-d", "--name", "cc", "--network", "none", "checked:1", "sleep", "1000")
    set_bytes(layer_dir(store, "checked:1") / "d/file")
    assert check(store, "--repair")[1] == 0
    store.docker("restart", "-t", "0", "cc")
    assert store.docker("exec", "cc", "grep", "-c", "damage", "/d/file", check=False).stdout == "0\n"


def test_a_layers_blob(store):
    blob = digest(store.tars[1])
    set_bytes(store.root / "imaged" / "blobs" / blob.removeprefix("sha256:"))
    report, status = check(store)
    assert status == 3 and report["Damaged"][0]["Id"] == blob and "wrong content" in report["Damaged"][0]["Problem"]
    report, status = check(store, "--repair")
    assert status == 3 and "load its image again" in report["Damaged"][0]["Problem"]
    assert "missing" in check(store)[0]["Damaged"][0]["Problem"]
    assert store.docker("run", "--rm", "--network", "none", "checked:1", "cat", "/other").stdout == "2"
    assert load(store, save_archive(store.tars, ["checked:1"])).status == 200
    assert_whole(store)


def test_an_images_config(store):
    image = store.api("GET", "/images/checked:1/json").json["Id"]
    path = store.root / "imaged" / "blobs" / image.removeprefix("sha256:")
    path.write_bytes(path.read_bytes().replace(b"2020", b"2021"))
    report, status = check(store, "--repair")
    assert status == 3 and report["Damaged"][0]["Id"] == image and report["Damaged"][0]["Kind"] == "blob"
    assert load(store, save_archive(store.tars, ["checked:1"])).status == 200
    assert_whole(store)


def change_records(engine, *statements):
    engine.stop()
    with sqlite3.connect(engine.root / "imaged" / "imaged.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    engine.start()


def test_records(store):
    before = store.api("GET", "/images/checked:1/json").json
    change_records(store, "UPDATE image SET size = 1, os = 'plan9'", "UPDATE blob SET size = size + 1 WHERE digest = (SELECT id FROM image)")
    report, status = check(store)
    assert status == 3 and {d["Kind"] for d in report["Damaged"]} == {"image", "record"}, report
    assert check(store, "--repair")[1] == 0
    assert_whole(store)
    assert store.api("GET", "/images/checked:1/json").json == before


def test_records_of_layers(store):
    change_records(store, "UPDATE image_layer SET position = 7 - position")
    report, status = check(store, "--repair")
    assert status == 0 and "names other layers" in report["Damaged"][0]["Problem"], report
    assert_whole(store)
    assert store.docker("run", "--rm", "--network", "none", "checked:1", "cat", "/other").stdout == "2"


def test_lost_records_come_back_with_the_image(store):
    change_records(store, "DELETE FROM image_layer WHERE position = 1")
    report, status = check(store, "--repair")
    assert status == 3 and "load it again" in report["Damaged"][0]["Problem"], report
    assert load(store, save_archive(store.tars, ["checked:1"])).status == 200
    assert_whole(store)


def test_strays(store):
    config = image_config([])
    wait_unstaged(store)
    names = layers(store), blobs(store)
    (store.root / "imaged" / "blobs" / digest(config).removeprefix("sha256:")).write_bytes(config)
    (store.root / "imaged" / "layers" / ("0" * 64) / "d").mkdir(parents=True)
    report, status = check(store)
    assert status == 3 and {d["Kind"] for d in report["Damaged"]} == {"blob", "layer"}
    assert check(store, "--repair")[1] == 0
    wait_unstaged(store)
    assert (layers(store), blobs(store)) == names


def test_wrong_usage(store):
    assert store.ctl("image", "chek", check=False).returncode == 2
    assert store.ctl("image", "check", "--fix", check=False).returncode == 2
