"""A container's files through the rootfs worker: docker cp in both directions, stat, export; running and stopped."""
import base64
import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import tarfile

import pytest

from tests.harness.rootfs import Tar, busybox_tar

NET = ("--network", "none")
STATES = ("created", "running", "paused", "exited")


def put(engine, name, path, tar, more=""):
    return engine.api("PUT", f"/containers/{name}/archive?path={path}{more}", tar,
                      {"Content-Type": "application/x-tar"})


def get(engine, name, path):
    return engine.api("GET", f"/containers/{name}/archive?path={path}")


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: (m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar}


def head(engine, name, path):
    answer = engine.api("HEAD", f"/containers/{name}/archive?path={path}")
    assert answer.status == 200, (path, answer.status)
    return json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def tar_of(name, data, **fields):
    return Tar().file(name, data, **fields).bytes()


@pytest.fixture(scope="module", params=STATES)
def box(request, engine):
    """A container in each of its states, with a volume and a bind."""
    name = f"box-{request.param}"
    bind = engine.dir / name
    bind.mkdir()
    (bind / "onhost").write_text("host\n")
    engine.docker("create", "--name", name, *NET, "-v", f"{name}:/data", "-v", f"{bind}:/bound", "--tmpfs", "/scratch",
                  "busybox", "sleep", "1000")
    if request.param != "created":
        engine.docker("start", name)
    if request.param == "exited":
        engine.docker("kill", name)
    if request.param == "paused":
        engine.docker("pause", name)
    yield name
    if request.param == "paused":
        engine.docker("unpause", name)
    engine.docker("rm", "-fv", name)


def test_a_round_trip(engine, box, tmp_path):
    """A tree with all that a tar can say comes back as it went, in every state, also below volumes and binds."""
    for place in ("/home", "/data", "/bound"):
        tar = (Tar().directory("t", 0o750, uid=7, gid=8).file("t/file", b"x" * 70000, 0o640, uid=9)
               .file("t/suid", b"s", 0o4755, uid=3, gid=4).hardlink("t/second", "t/file").symlink("t/link", "../nowhere")
               .add("t/fifo", tarfile.FIFOTYPE, 0o600).file("t/" + "n" * 150 + "/" + "m" * 150, b"long")
               .directory("t/sub").hardlink("t/sub/third", "t/file")
               .file("t/attr", b"a", pax={"SCHILY.xattr.user.colour": "blue"})
               .file("t/capable", b"c", 0o755, pax={"SCHILY.xattr.security.capability":
                                                    "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"}))
        answer = put(engine, box, place, tar.bytes())
        assert answer.status == 200, answer
        got = members(get(engine, box, place + "/t").body)
        assert (got["t"][0].mode, got["t"][0].uid, got["t"][0].gid, got["t"][0].mtime) == (0o750, 7, 8, 1700000000)
        names = ("t/file", "t/second", "t/sub/third")
        assert b"x" * 70000 in [got[name][1] for name in names]
        assert sorted(got[name][0].islnk() for name in names) == [False, True, True]
        assert (got["t/suid"][0].mode, got["t/suid"][0].uid, got["t/suid"][0].gid) == (0o4755, 3, 4)
        assert got["t/link"][0].linkname == "../nowhere" and got["t/fifo"][0].isfifo()
        assert got["t/" + "n" * 150 + "/" + "m" * 150][1] == b"long"
        assert got["t/attr"][0].pax_headers["SCHILY.xattr.user.colour"] == "blue"
        assert len(got["t/capable"][0].pax_headers["SCHILY.xattr.security.capability"]) == 20
    assert (engine.dir / box / "t/file").stat().st_uid == 9, "a bind's files have the ids that the client named"


def test_cp_of_the_command_line(engine, box, tmp_path):
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub/a").write_text("a\n")
    (source / "link").symlink_to("sub/a")
    engine.docker("cp", source, f"{box}:/tmp/")
    engine.docker("cp", f"{source}/.", f"{box}:/data")
    engine.docker("cp", f"{box}:/tmp/tree", tmp_path / "back")
    engine.docker("cp", f"{box}:/data/.", tmp_path / "volume")
    for back in ("back", "volume"):
        assert (tmp_path / back / "sub/a").read_text() == "a\n"
        assert os.readlink(tmp_path / back / "link") == "sub/a"
    engine.docker("cp", f"{box}:/tmp/tree/link", tmp_path / "copied-link")
    assert (tmp_path / "copied-link").is_symlink()
    engine.docker("cp", "-L", f"{box}:/tmp/tree/link", tmp_path / "followed")
    assert (tmp_path / "followed").read_text() == "a\n"
    stream = engine.docker("cp", f"{box}:/tmp/tree/sub", "-", text=False).stdout
    assert set(members(stream)) == {"sub", "sub/a"}
    engine.docker("cp", "-", f"{box}:/bound", input=stream, text=False)
    assert (engine.dir / box / "sub/a").read_text() == "a\n"
    # The place to copy to is a link to a directory; then a file that takes another name.
    put(engine, box, "/tmp", Tar().symlink("todata", "/data").bytes())
    engine.docker("cp", source / "sub/a", f"{box}:/tmp/todata/renamed")
    assert set(members(get(engine, box, "/data/renamed").body)) == {"renamed"}
    failed = engine.docker("cp", source / "sub/a", f"{box}:/tmp/nowhere/", check=False)
    assert failed.returncode == 1, failed
    failed = engine.docker("cp", f"{box}:/none", tmp_path, check=False)
    assert f"Could not find the file /none in container {box}" in failed.stderr


def test_stat(engine, box):
    put(engine, box, "/tmp", Tar().directory("d", 0o1777).symlink("abs", "/tmp/d").symlink("rel", "../tmp/gone")
        .symlink("far", "../../../../etc/passwd").file("f", b"12345", 0o4751, mtime=1600000000).bytes())
    d = head(engine, box, "/tmp/d")
    assert (d["name"], d["linkTarget"], d["mode"]) == ("d", "", 1 << 31 | 1 << 20 | 0o777)
    f = head(engine, box, "/tmp/x/../f")
    assert (f["name"], f["size"], f["mode"], f["mtime"]) == ("f", 5, 1 << 23 | 0o751, "2020-09-13T12:26:40Z")
    assert head(engine, box, "/tmp/abs")["linkTarget"] == "/tmp/d"
    assert head(engine, box, "/tmp/abs")["mode"] & 1 << 27
    assert head(engine, box, "/tmp/rel")["linkTarget"] == "/tmp/gone"
    assert head(engine, box, "/tmp/far")["linkTarget"] == "/etc/passwd"
    assert head(engine, box, "/tmp/abs/")["mode"] & 1 << 31, "a slash behind it asks for what it leads to"
    assert head(engine, box, "/")["name"] == "/"
    for path, status in (("/none", 404), ("/none/x", 404), ("/tmp/f/", 400), ("/tmp/f/x", 400), ("", 400)):
        assert engine.api("HEAD", f"/containers/{box}/archive?path={path}").status == status, path
    assert set(members(get(engine, box, "/tmp/abs/").body)) == {"abs"}
    assert set(members(get(engine, box, "/tmp/d/.").body)) == {"."}


def test_what_is_refused_changes_nothing(engine, box):
    put(engine, box, "/tmp", Tar().directory("dir").file("file", b"old").bytes())
    assert put(engine, box, "/tmp/file", tar_of("x", b"")).message == "extraction point is not a directory"
    assert put(engine, box, "/nosuch", tar_of("x", b"")).status == 404
    # covers S-32
    assert put(engine, box, "/tmp", tar_of("../../x", b"")).status == 400
    assert put(engine, box, "/tmp", Tar().hardlink("x", "../../etc/passwd").bytes()).status == 400
    assert put(engine, box, "/tmp", tar_of("x", b"", uid=70000)).status == 400
    assert "device" in put(engine, box, "/tmp", Tar().add("x", tarfile.CHRTYPE, 0o666, device=(1, 3)).bytes()).message
    assert put(engine, box, "/tmp", b"no archive at all" * 100).status == 400
    more = "&noOverwriteDirNonDir=true"
    assert put(engine, box, "/tmp", tar_of("dir", b""), more).message.startswith("cannot overwrite directory")
    assert put(engine, box, "/tmp", Tar().directory("file").bytes(), more).message.startswith("cannot overwrite non-")
    # Cut in the middle of the file: the one that was there stays.
    whole = tar_of("file", b"new" * 1000)
    assert put(engine, box, "/tmp", whole[:1500]).status == 400
    assert members(get(engine, box, "/tmp/file").body)["file"][1] == b"old"
    assert put(engine, box, "/tmp", tar_of("dir", b"now a file")).status == 200
    assert members(get(engine, box, "/tmp/dir").body)["dir"][1] == b"now a file"
    assert "x" not in [name.split("/")[-1] for name in members(get(engine, box, "/tmp").body)]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd], ids=lambda f: f.__name__)
def test_compressed_archives(engine, pack):
    engine.docker("create", "--name", "packed", *NET, "busybox", "true")
    data = os.urandom(300000) + b"x" * 3000000
    whole = pack(tar_of("big", data))
    assert put(engine, "packed", "/tmp", whole).status == 200
    assert members(get(engine, "packed", "/tmp/big").body)["big"][1] == data
    cut = put(engine, "packed", "/tmp", whole[:len(whole) // 2])
    assert cut.status == 400, cut
    damaged = put(engine, "packed", "/tmp", whole[:1000] + b"damaged" * 10 + whole[1070:])
    assert damaged.status == 400, damaged
    assert members(get(engine, "packed", "/tmp/big").body)["big"][1] == data
    engine.docker("rm", "packed")


def test_owner_by_name(engine):
    """With copyUIDGID (docker cp -a) files belong to the container's user, who may be a name in its own passwd."""
    engine.docker("create", "--name", "owned", *NET, "-u", "app", "busybox", "true")
    assert put(engine, "owned", "/tmp", tar_of("plain", b"", uid=5)).status == 200
    assert put(engine, "owned", "/tmp", tar_of("new/as", b"", uid=5), "&copyUIDGID=1").status == 200
    got = members(get(engine, "owned", "/tmp").body)
    assert (got["tmp/plain"][0].uid, got["tmp/new/as"][0].uid, got["tmp/new/as"][0].gid) == (5, 1000, 1000)
    assert got["tmp/new"][0].uid == 1000
    engine.docker("rm", "owned")


def test_read_only(engine):
    engine.docker("create", "--name", "ro", *NET, "--read-only", "-v", "rovol:/v:ro", "-v", "rwvol:/w", "busybox",
                  "sleep", "1000")
    for _ in range(2):
        refused = put(engine, "ro", "/tmp", tar_of("x", b""))
        assert (refused.status, refused.message) == (403, "container rootfs is marked read-only")
        refused = put(engine, "ro", "/v", tar_of("x", b""))
        assert (refused.status, refused.message) == (403, "mounted volume is marked read-only")
        assert put(engine, "ro", "/w", tar_of("x", b"")).status == 200
        assert get(engine, "ro", "/etc/passwd").status == 200
        engine.docker("start", "ro")
    engine.docker("rm", "-fv", "ro")
    engine.docker("volume", "rm", "rovol", "rwvol")


def test_mounted_files_are_written_in_place(engine):
    engine.docker("run", "-d", "--name", "hosts", *NET, "busybox", "sleep", "1000")
    assert put(engine, "hosts", "/etc", tar_of("hosts", b"1.2.3.4 somewhere\n")).status == 200
    assert engine.docker("exec", "hosts", "cat", "/etc/hosts").stdout == "1.2.3.4 somewhere\n"
    engine.docker("rm", "-f", "hosts")


def test_many_at_once_and_a_start(engine):
    """Readers of a stopped container share its mount; a start waits for them and loses nothing that was written."""
    engine.docker("create", "--name", "shared", *NET, "busybox", "cat", "/tmp/late")
    slow = engine.api_stream("GET", "/containers/shared/archive?path=/bin/busybox")
    assert slow.read(512)
    assert get(engine, "shared", "/etc/passwd").status == 200
    assert put(engine, "shared", "/tmp", tar_of("late", b"written while read\n")).status == 200
    start = engine.start_request("POST", "/containers/shared/start")
    slow.close()
    assert start.getresponse().status == 204
    engine.docker("wait", "shared")
    assert engine.docker("logs", "shared").stdout == "written while read\n"
    engine.docker("rm", "shared")


def test_export(engine):
    """The root file system without what is mounted in it: the same from a running and an ended container."""
    engine.docker("run", "-d", "--name", "exported", *NET, "-v", "exvol:/home/app", "busybox", "sh", "-c",
                  "echo in > /home/app/in-volume; echo new > /root/new; rm /bin/vi; exec sleep 1000")
    engine.wait_for(lambda: get(engine, "exported", "/root/new").status == 200)
    running = members(engine.docker("export", "exported", text=False).stdout)
    engine.docker("kill", "exported")
    ended = members(engine.docker("export", "exported", text=False).stdout)
    assert {n: (m.type, m.uid, d) for n, (m, d) in running.items()} == \
           {n: (m.type, m.uid, d) for n, (m, d) in ended.items()}
    assert running["root/new"][1] == b"new\n" and "bin/vi" not in running
    assert "home/app" in running and "home/app/in-volume" not in running
    assert running["etc/hosts"][1] == b"", "what the engine mounts is not the container's"
    assert not [n for n in running if n.startswith(("proc/", "sys/", "dev/"))]
    with tarfile.open(fileobj=io.BytesIO(busybox_tar())) as image:
        for member in image:
            if member.isdir() or member.name in ("bin/vi", "home/app/owned"):
                continue
            got, data = running[member.name]
            assert (got.type, got.mode, got.uid, got.gid, got.linkname) == \
                   (member.type, member.mode, member.uid, member.gid, member.linkname), member.name
            assert not member.isreg() or data == image.extractfile(member).read()
    engine.docker("rm", "-v", "exported")
    engine.docker("volume", "rm", "exvol")


def test_a_large_file_comes_whole(engine):
    engine.docker("run", "-d", "--name", "large", *NET, "busybox", "sleep", "1000")
    data = os.urandom(1 << 20) * 40
    assert put(engine, "large", "/tmp", tar_of("big", data)).status == 200
    assert members(get(engine, "large", "/tmp/big").body)["big"][1] == data
    engine.docker("rm", "-f", "large")
