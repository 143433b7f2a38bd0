"""The first use of an empty volume: it gets what the image has at its place."""
import pathlib
import tarfile

import pytest

from tests.harness.rootfs import Tar, busybox_tar
from tests.integration.test_files import members, put, tar_of

NET = ("--network", "none")


@pytest.fixture(scope="module")
def image(engine):
    """An image with a directory of everything, reached by links, too."""
    extra = (Tar().directory("data", 0o2750, uid=33, gid=44).file("data/file", b"content", 0o640, uid=5, gid=6)
             .hardlink("data/second", "data/file").symlink("data/link", "/etc/passwd").file("data/suid", b"s", 0o4755)
             .add("data/fifo", tarfile.FIFOTYPE, 0o600).file("data/attr", pax={"SCHILY.xattr.user.colour": "blue"})
             .directory("data/sub", 0o700, uid=7).file("data/sub/deep", b"d")
             .symlink("inner", "/data").symlink("climbs", "../../../../../../../data")
             .symlink("outside", str(engine.dir)).file("afile", b"no directory"))
    both = busybox_tar()[:-10240].rstrip(b"\0")
    both += b"\0" * (-len(both) % 512) + extra.bytes()
    (engine.dir / "host").write_text("host's\n")
    engine.import_tar(both, "filled:1", ["VOLUME /data", 'CMD ["sh"]'])
    return "filled:1"


def listed(engine, volume):
    """(mode, uid, gid, mtime) of everything in a volume, as another container sees it."""
    out = engine.docker("run", "--rm", *NET, "-v", f"{volume}:/v", "busybox", "sh", "-c",
                        "cd /v; find . | sort | xargs stat -c '%n %a %u %g %Y %h %F'").stdout
    return {line.split()[0]: line.split()[1:] for line in out.splitlines()}


def check(found):
    assert found["."][:3] == ["2750", "33", "44"]
    assert found["./file"][:5] == ["640", "5", "6", "1700000000", "2"]
    assert found["./second"][4] == "2" and found["./link"][-1] == "link"
    assert found["./suid"][0] == "4755" and found["./fifo"][-1] == "fifo"
    assert found["./sub"][:4] == ["700", "7", "0", "1700000000"] and "./sub/deep" in found
    assert len(found) == 9


def test_named_volume_at_create(engine, image):
    """At create, as dockerd does it: docker cp into the volume before the first start finds the image's files."""
    engine.docker("create", "--name", "first", *NET, "-v", "named:/data", image, "true")
    assert put(engine, "first", "/data/sub", tar_of("added", b"")).status == 200
    found = listed(engine, "named")
    assert found.pop("./sub/added")
    found["./sub"][3] = "1700000000"
    check(found)
    got = members(engine.api("GET", "/containers/first/archive?path=/data/attr").body)
    assert got["attr"][0].pax_headers["SCHILY.xattr.user.colour"] == "blue"
    # A volume with anything in it is left alone.
    engine.docker("run", "--rm", *NET, "-v", "named:/data", image, "sh", "-c", "rm -r /data/*; touch /data/own")
    engine.docker("run", "--rm", *NET, "-v", "named:/data", image, "true")
    assert set(listed(engine, "named")) == {".", "./own"}
    engine.docker("rm", "first")
    engine.docker("volume", "rm", "named")


def test_anonymous_volumes_of_the_image(engine, image):
    engine.docker("create", "--name", "anon", *NET, image, "ls", "/data")
    mount = engine.api("GET", "/containers/anon/json").json["Mounts"][0]
    assert mount["Destination"] == "/data" and len(mount["Name"]) == 64
    check(listed(engine, mount["Name"]))
    # VolumesFrom sees the same volume, and copies nothing into it.
    assert "file" in engine.docker("run", "--rm", *NET, "--volumes-from", "anon", "busybox", "ls", "/data").stdout
    engine.docker("rm", "-v", "anon")
    assert engine.api("GET", f"/volumes/{mount['Name']}").status == 404


@pytest.mark.parametrize("how", ["-v", "--mount"])
def test_nocopy(engine, image, how):
    given = "plain:/data:nocopy" if how == "-v" else "type=volume,src=plain,dst=/data,volume-nocopy"
    assert engine.docker("run", "--rm", *NET, how, given, image, "ls", "/data").stdout == ""
    engine.docker("volume", "rm", "plain")


def test_no_directory_no_copy(engine, image):
    for place in ("/nothing/there", "/afile/x"):
        engine.docker("create", "--name", "none", *NET, "-v", f"empty:{place}", image, "true")
        assert set(listed(engine, "empty")) == {"."}
        engine.docker("rm", "-v", "none")
    engine.docker("volume", "rm", "empty")
    # A tmpfs is what it says.
    assert engine.docker("run", "--rm", *NET, "--tmpfs", "/data", image, "ls", "/data").stdout == ""


@pytest.mark.parametrize("place", ["/inner", "/climbs", "/data/../data/.", "/inner/sub/../../data"])
def test_a_place_behind_links_stays_in_the_image(engine, image, place):
    """covers S-21"""
    engine.docker("create", "--name", "linked", *NET, "-v", f"vlink:{place}", image, "true")
    check(listed(engine, "vlink"))
    engine.docker("rm", "-v", "linked")
    engine.docker("volume", "rm", "vlink")


def test_a_link_to_the_hosts_files_copies_none(engine, image):
    """covers S-21"""
    engine.docker("create", "--name", "out", *NET, "-v", "vout:/outside", image, "true")
    assert set(listed(engine, "vout")) == {"."}
    engine.docker("rm", "-v", "out")
    engine.docker("volume", "rm", "vout")


@pytest.mark.parametrize("place,seen", [("/climbs/../made", "/made"), ("/../../made", "/made"), ("/inner/made", "/data/made"),
                                        ("/outside/made", "{engine.dir}/made")])
def test_a_working_directory_stays_in_the_image(engine, image, place, seen):
    """Made where the image's links lead inside of it, also where they lead to what is not there yet. covers S-21"""
    answer = engine.api("POST", "/containers/create", {"Image": image, "WorkingDir": place, "HostConfig": {"NetworkMode": "none"},
                                                       "Cmd": ["sh", "-c", "pwd -P; touch here; stat -c %u ."]})
    assert answer.status == 201, answer
    done = engine.docker("start", "-a", answer.json["Id"])
    assert done.stdout.splitlines() == [seen.format(engine=engine), "0"], done
    assert not (engine.dir / "made").exists() and not pathlib.Path("/made").exists()
    engine.docker("rm", answer.json["Id"])


def test_a_mounted_volume(engine, image):
    """One that has to be mounted to be used is mounted for the copy, and again at the start."""
    engine.docker("volume", "create", "-d", "local", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
    engine.docker("create", "--name", "mounted", *NET, "-v", "mem:/data", image, "true")
    assert engine.docker("start", "-a", "mounted").returncode == 0
    engine.docker("rm", "-v", "mounted")
    engine.docker("volume", "rm", "mem")
