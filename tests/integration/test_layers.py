"""Layers as files: compared with what GNU tar makes of the same archive; odd and hostile archives."""
import os
import stat
import subprocess
import tarfile
import threading
import time

import pytest

from tests.harness.long import LONG
from tests.harness.rootfs import Tar
from tests.harness.store import (assert_whole, blobs, failure, import_raw, layer_dir, layers, wait_unstaged)

FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
ALLOWED = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


def seen(root, times=True):
    """{name: everything that a layer keeps of a file}, links by the first name of the same inode."""
    rows, first = {}, {}
    for path in sorted(root.rglob("*")):
        st = path.lstat()
        name = str(path.relative_to(root))
        names = [] if path.is_symlink() or not (path.is_dir() or stat.S_ISREG(st.st_mode)) else os.listxattr(path)
        rows[name] = (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns if times else 0, st.st_rdev,
                      first.setdefault(st.st_ino, name), st.st_size if stat.S_ISREG(st.st_mode) else 0,
                      sorted((n, os.getxattr(path, n)) for n in names if n in ALLOWED or n.startswith("user.")),
                      os.readlink(path) if path.is_symlink() else None,
                      path.read_bytes() if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 20 else None)
    return rows


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A tree with one of everything, on the disk."""
    top = tmp_path_factory.mktemp("tree") / "t"
    (top / "a/deep/er").mkdir(parents=True)
    (top / "sticky").mkdir(mode=0o1777)
    (top / "sticky").chmod(0o1777)
    (top / "a/file").write_bytes(os.urandom(100000))
    (top / "a/file").chmod(0o4755)
    (top / "a/sgid").write_bytes(b"x")
    os.chown(top / "a/sgid", 1000, 4294967290)
    (top / "a/sgid").chmod(0o2711)
    os.link(top / "a/file", top / "a/deep/hard")
    os.link(top / "a/file", top / "other")
    (top / "a/deep/er" / ("n" * 255)).write_bytes(b"long")
    (top / "a/deep/er/blank and ünïcode\n\\").write_bytes(b"odd")
    (top / "link").symlink_to("a/file")
    (top / "dangling").symlink_to("/nowhere/" + "x" * 200)
    os.chown(top / "link", 7, 8, follow_symlinks=False)
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "disk", 0o660 | stat.S_IFBLK, os.makedev(259, 70000))
    (top / "empty").write_bytes(b"")
    with open(top / "sparse", "wb") as file:
        file.seek(3 << 20)
        file.write(b"data")
        file.truncate(8 << 20)
    os.setxattr(top / "a/file", "user.note", b"hello\0world")
    subprocess.run(["setcap", "cap_net_raw+ep", top / "a/sgid"], check=False)
    for i, path in enumerate([*sorted(top.rglob("*"), reverse=True), top]):
        os.utime(path, ns=(0, 1234567890123456789 + i), follow_symlinks=False)
    return top


FORMATS = {"pax": ["--format=pax"], "gnu": ["--format=gnu"], "sparse-gnu": ["--format=gnu", "--sparse"],
           **{f"sparse-{v}": ["--format=pax", "--sparse", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0")},
           "ustar": ["--format=ustar", "--exclude=sgid", "--exclude=" + "n" * 255, "--exclude=dangling"]}


@pytest.mark.parametrize("form", list(FORMATS))
def test_as_tar_does(engine, tree, tmp_path, form):
    """Ownership, modes, times, links, devices, holes, attributes: exactly what `tar x` makes of it."""
    pack = ["tar", "-C", tree, "-cf", tmp_path / "a.tar", *FORMATS[form], "--numeric-owner"]
    if form == "pax" or form.startswith("sparse-0") or form.startswith("sparse-1"):
        pack += ["--xattrs", "--xattrs-include=*"]
    subprocess.run([*pack, "."], check=True, stderr=subprocess.DEVNULL)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "out", "-xpf", tmp_path / "a.tar", "--numeric-owner", "--xattrs", "--xattrs-include=*"],
                   check=True)
    answer = import_raw(engine, (tmp_path / "a.tar").read_bytes(), f"same-{form}:1".replace(".", ""))
    assert not failure(answer), answer
    root = layer_dir(engine, f"same-{form}:1".replace(".", ""))
    want, have = seen(tmp_path / "out"), seen(root)
    for name in want:
        assert have.get(name) == want[name], (form, name)
    assert set(have) == set(want)
    assert root.stat().st_mtime_ns == (tmp_path / "out").stat().st_mtime_ns
    if form.startswith("sparse"):
        assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


def test_attributes_by_a_list(engine):
    """security.capability, user.* and ACLs are kept; user.overlay.*, trusted.* and all others are dropped."""
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)
    acl = bytes.fromhex("02000000" "0100060000000000"[:0]) + b"\x02\0\0\0" + b"\x01\0\x06\0\xff\xff\xff\xff" \
        + b"\x02\0\x04\0\xd2\x04\0\0" + b"\x04\0\x04\0\xff\xff\xff\xff" + b"\x10\0\x04\0\xff\xff\xff\xff" + b"\x20\0\x04\0\xff\xff\xff\xff"
    pax = {"user.a": "1", "user.overlay.opaque": "y", "user.overlay.redirect": "/x", "trusted.overlay.opaque": "y", "trusted.x": "1",
           "security.selinux": "system_u", "security.ima": "x", "security.evm": "x", "system.nfs4_acl": "x", "user.": "x"}
    tar = Tar().add("f", FILE, 0o644, b"x", pax={"SCHILY.xattr." + k: v for k, v in pax.items()})
    tar.add("c", FILE, 0o755, b"x", pax={"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")})
    tar.add("acl", FILE, 0o644, b"x", pax={"SCHILY.xattr.system.posix_acl_access": acl.decode("utf-8", "surrogateescape")})
    assert not failure(import_raw(engine, tar.bytes(), "attrs:1"))
    root = layer_dir(engine, "attrs:1")
    assert os.listxattr(root / "f") == ["user.a"]
    assert os.getxattr(root / "c", "security.capability") == capability
    assert os.getxattr(root / "acl", "system.posix_acl_access") == acl


def test_the_last_of_a_name_counts(engine):
    tar = (Tar().file("a", b"1", mtime=1).file("a", b"2", mtime=2).directory("d", 0o700, mtime=1).file("d/x").directory("d", 0o711, mtime=5)
           .file("t").directory("t", mtime=9).symlink("s", "a").file("s", b"s").directory("gone").file("gone/x").symlink("gone", "a")
           .file("w").file(".wh.w").file(".wh.w2").file("w2", b"here"))
    assert not failure(import_raw(engine, tar.bytes(), "last:1"))
    root = layer_dir(engine, "last:1")
    assert (root / "a").read_bytes() == b"2" and (root / "a").stat().st_mtime == 2
    assert (root / "d").stat().st_mode & 0o777 == 0o711 and (root / "d").stat().st_mtime == 5 and (root / "d/x").exists()
    assert (root / "t").is_dir() and (root / "s").read_bytes() == b"s" and os.readlink(root / "gone") == "a"
    assert (root / "w2").read_bytes() == b"here" and (root / "w").read_bytes() == b""
    assert_whole(engine)


def raw_header(name=b"x", size=0, kind=b"0", **fields):
    """A header by hand, for what tarfile would not write."""
    head = bytearray(512)
    head[0:len(name)] = name
    head[100:108], head[108:116], head[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    head[124:136], head[136:148], head[156:157] = b"%011o\0" % size, b"00000000000\0", kind
    head[257:265] = b"ustar\00000"
    for at, value in fields.get("at", {}).items():
        head[at:at + len(value)] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def pax_record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while len(str(size)) + len(body) != size:
        size = len(str(size)) + len(body)
    return str(size).encode() + body


def extended(kind, body, then=b""):
    return raw_header(b"h", len(body), kind) + body + bytes(-len(body) % 512) + (then or raw_header()) + bytes(1024)


def test_damaged_and_endless_headers(engine):  # covers S-14 S-15
    """Each is refused in words, within bounded memory, and nothing stays."""
    mib = b"n" * (1 << 20)
    bad = {
        "name of 1 MiB": (extended(b"x", pax_record(b"path", mib[:-100])), "a name of more than 4095 bytes"),
        "header of 2 MiB": (extended(b"x", pax_record(b"path", mib + mib)), "an extended header of"),
        "long name of 8 GiB": (raw_header(b"h", (1 << 33) - 1, b"L") + bytes(1024), "an extended header of"),
        "pax length": (extended(b"x", b"999 path=x\n"), "damaged extended header"),
        "pax without end": (extended(b"x", b"11 path=xxx"), "damaged extended header"),
        "pax size": (extended(b"x", pax_record(b"size", b"-1")), "size is not a number"),
        "pax size of 2^63": (extended(b"x", pax_record(b"size", b"9223372036854775807")), "out of range"),
        "pax uid": (extended(b"x", pax_record(b"uid", b"4294967295")), "is out of range"),
        "pax name with NUL": (extended(b"x", pax_record(b"path", b"a\0b")), "contains NUL"),
        "negative size": (raw_header(at={124: b"\xff" * 12}) + bytes(1024), "out of range"),
        "size beyond the end": (raw_header(size=5000) + bytes(1024), "truncated"),
        "checksum": (raw_header()[:148] + b"000000\0 " + raw_header()[156:] + bytes(1024), "wrong checksum"),
        "unknown type": (raw_header(kind=b"Z") + bytes(1024), "unknown type"),
        "no name": (raw_header(b"") + bytes(1024), "without a name"),
        "hard link to nothing": (Tar().hardlink("a", "nosuch").bytes(), "which the layer does not have"),
        "hard link to itself": (Tar().hardlink("a", "a").bytes(), "which the layer does not have"),
        "hard links in a circle": (Tar().hardlink("a", "b").hardlink("b", "a").bytes(), "which the layer does not have"),
        "root as a file": (Tar().file(".").bytes(), "must be a directory"),
        "sparse map out of order": (extended(b"x", pax_record(b"GNU.sparse.size", b"10") + pax_record(b"GNU.sparse.map", b"5,1,0,1"),
                                             raw_header(size=2) + b"ab" + bytes(510)), "out of order"),
        "sparse map beyond the end": (extended(b"x", pax_record(b"GNU.sparse.size", b"10") + pax_record(b"GNU.sparse.map", b"9,2"),
                                               raw_header(size=2) + b"ab" + bytes(510)), "leads behind its end"),
        "65 attributes": (extended(b"x", b"".join(pax_record(b"SCHILY.xattr.user.%d" % i, b"x") for i in range(65))), "more than 64"),
    }
    wait_unstaged(engine)
    before = layers(engine), blobs(engine)
    for name, (data, words) in bad.items():
        answer = import_raw(engine, data, "bad:1")
        assert answer.status in (400, 413) and words in answer.message, (name, answer)
    wait_unstaged(engine)
    assert (layers(engine), blobs(engine)) == before
    assert not failure(import_raw(engine, extended(b"x", pax_record(b"comment", mib[:-100])), "good:1"))


def test_names_as_long_as_a_path(engine):
    name = "/".join(["d" * 200] * 20)
    assert not failure(import_raw(engine, Tar().file(name[:4095]).bytes(), "long:1"))
    deep = "/".join(["d"] * 1000)
    assert not failure(import_raw(engine, Tar().file(deep).bytes(), "deep:1"))
    assert_whole(engine)
    engine.docker("rmi", "long:1", "deep:1")
    wait_unstaged(engine)


def test_the_stage_is_swapped(engine, tmp_path):  # covers S-17
    """Whoever puts a link in the place of the directory that is being filled leads nothing outside."""
    canary = tmp_path / "canary"
    canary.mkdir()
    tar = Tar()
    for i in range(600):
        tar.file(f"d{i % 50}/f{i}", b"x" * 100)
    store, stop = engine.root / "imaged" / "layers", threading.Event()

    def swap():
        while not stop.is_set():
            for path in store.glob("new-*"):
                if path.is_symlink():
                    continue
                try:
                    path.rename(store / ("hidden-" + path.name))
                    path.symlink_to(canary)
                except OSError:
                    pass
            time.sleep(0.001)  # leaves the others a processor
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for i in range(5 if LONG else 2):
            import_raw(engine, tar.bytes(), f"swapped:{i}")
            assert os.listdir(canary) == []
    finally:
        stop.set()
        thread.join()
    for path in list(store.glob("new-*")) + list(store.glob("hidden-*")):
        subprocess.run(["rm", "-rf", path], check=True)
    for path in store.iterdir():
        if path.is_symlink():
            path.unlink()
    assert os.listdir(canary) == []
    # One whose directory was taken away at the last moment has a record all the same; another test looks at the whole store.
    for tag in engine.docker("images", "-q", "--no-trunc", "swapped").stdout.split():
        engine.docker("rmi", "-f", tag)


@pytest.mark.skipif(not LONG, reason="LONG=1")
def test_a_million_files(engine, tmp_path):
    """10^6 empty files: within the worker's memory, and the store is whole afterwards."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i in range(1_000_000):
            archive.addfile(tarfile.TarInfo(f"d{i % 1000}/{i}"))
    with open(tmp_path / "a.tar", "rb") as file:
        assert not failure(import_raw(engine, file, "million:1", timeout=600))
    assert sum(len(names) for _, _, names in os.walk(layer_dir(engine, "million:1"))) == 1_000_000
    assert_whole(engine, timeout=600)
