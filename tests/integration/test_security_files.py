"""What a hostile container or image does to those that look into its files."""
import bz2
import gzip
import json
import lzma
import os
import pathlib
import subprocess
import tarfile

import pytest

from tests.harness.long import rounds
from tests.harness.rootfs import BUSYBOX, Tar, busybox_tar
from tests.integration.test_files import get, members, put, tar_of, zstd

NET = ("--network", "none")
HOST = "the host's own\n"


@pytest.fixture(scope="module")
def racer(engine, tmp_path_factory):
    """An image with a program that swaps two paths for ever."""
    program = tmp_path_factory.mktemp("race") / "race"
    subprocess.run(["gcc", "-O1", "-static", "-o", program, pathlib.Path(__file__).with_name("race.c")], check=True)
    engine.import_tar(joined(Tar().file("bin/race", program.read_bytes(), 0o755).bytes()), "racer:1")
    return "racer:1"


def joined(*more):
    """The little system with more files behind it."""
    out = busybox_tar().rstrip(b"\0")
    for tar in more:
        out += b"\0" * (-len(out) % 512) + tar.rstrip(b"\0")
    return out + b"\0" * (-len(out) % 512 + 1024)


class Canary:
    """A directory of the host that everybody may write, and nobody has changed."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        path.chmod(0o777)
        (path / "file").write_text(HOST)
        (path / "file").chmod(0o666)
        self.before = self.look()

    def look(self):
        found = {}
        for entry in [self.path, *self.path.rglob("*")]:
            st = entry.lstat()
            found[str(entry)] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_ctime_ns, st.st_size)
        return found

    def check(self):
        assert self.look() == self.before


@pytest.fixture
def canary(engine, request):
    return Canary(engine.dir / f"canary-{sum(map(ord, request.node.nodeid))}")


def race(engine, image, name, canary, *more):
    """A container that swaps /race/dir, a directory, with /race/link, a link to the canary's path on the host."""
    target = canary.path if more and more[0] == "absolute" else pathlib.Path("../../../../../../..") / str(canary.path)[1:]
    identity = engine.docker("create", "--name", name, *NET, *more[1:], image, "race", "/race/dir", "/race/link")
    tar = Tar().directory("race").directory("race/dir", 0o777).file("race/dir/file", "the container's\n").symlink(
        "race/link", str(target))
    assert put(engine, name, "/", tar.bytes()).status == 200
    logs = engine.start_request("POST", f"/containers/{name}/start")
    assert logs.getresponse().status == 204
    engine.wait_for(lambda: "swapping" in engine.docker("logs", name).stdout)
    return identity.stdout.strip()


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_archives_of_a_container_that_swaps(engine, racer, canary, kind):
    """covers S-30. LONG=1: four minutes of it, or 50,000 rounds."""
    race(engine, racer, "swaps", canary, kind)
    tar = Tar().file("file", "overwritten\n").file("new/deep", "made\n").symlink("planted", "/etc").bytes()
    statuses = set()
    for number in rounds(250, long=50000, seconds=240):
        answer = put(engine, "swaps", "/race/dir", tar)
        statuses.add(answer.status)
        answer = get(engine, "swaps", "/race/dir/file")
        statuses.add(answer.status)
        assert HOST.encode() not in answer.body
        if number % 100 == 0:
            assert HOST.encode() not in engine.api("GET", "/containers/swaps/export").body
            assert HOST.encode() not in get(engine, "swaps", "/race").body
            engine.api("GET", "/containers/swaps/changes")
    canary.check()
    assert 200 in statuses and statuses <= {200, 400, 404, 500}, statuses
    engine.docker("rm", "-f", "swaps")


def test_mounts_into_a_volume_that_another_swaps(engine, racer, canary):
    """covers S-31 S-43: the place of a mount inside a shared volume leads elsewhere from one moment to the next.
    LONG=1: three minutes of it, or 1,000 rounds."""
    race(engine, racer, "swaps", canary, "absolute", "-v", "shared:/race")
    engine.docker("create", "--name", "still", *NET, "-v", "shared:/race", "-v", "inner:/race/dir/made", racer, "true")
    outcomes = set()
    for _ in rounds(25, long=1000, seconds=180):
        done = engine.docker("run", "--rm", *NET, "-v", "shared:/race", "-v", "inner:/race/dir/made", racer, "true",
                             check=False)
        outcomes.add(done.returncode)
        put(engine, "swaps", "/race/dir", tar_of("x", b"x"))
        put(engine, "still", "/race/dir/made", tar_of("y", b"y"))
    canary.check()
    assert not os.path.lexists("/race"), "made where the host has such a path, not the container"
    assert outcomes <= {0, 125, 126, 127}, outcomes
    engine.docker("rm", "-f", "swaps", "still")
    engine.docker("volume", "rm", "-f", "shared", "inner")


def test_nothing_of_the_container_is_executed(engine):
    """covers S-32: whatever might be called for an archive leaves a mark when it is."""
    bad = "#!/busybox.real sh\n/busybox.real touch /executed\n"
    names = ["tar", "gzip", "unpigz", "xz", "bzip2", "zstd", "unshare", "sh", "busybox"]
    tar = Tar().directory("bin").directory("usr").directory("usr/bin").directory("etc").directory("tmp", 0o1777)
    tar.file("busybox.real", BUSYBOX.read_bytes(), 0o755)
    for name in names:
        tar.file(f"bin/{name}", bad, 0o755).file(f"usr/bin/{name}", bad, 0o755)
    tar.file("etc/ld.so.preload", "/lib/evil.so\n").file("etc/nsswitch.conf", "passwd: evil\n")
    tar.file("etc/passwd", "app:x:1000:1000::/:/bin/sh\n")
    engine.import_tar(tar.bytes(), "evil:1", ['CMD ["tar"]', "USER app"])
    engine.docker("run", "--name", "marked", "-u", "0", *NET, "evil:1")
    assert get(engine, "marked", "/executed").status == 200, "a program that runs leaves its mark"
    engine.docker("rm", "marked")
    # With the host's ids: who runs there as the host's root can write there.
    engine.docker("create", "--name", "evil", "--userns", "host", *NET, "evil:1")
    assert put(engine, "evil", "/tmp", tar_of("x", b"y")).status == 200
    assert put(engine, "evil", "/tmp", tar_of("x", b"y"), "&copyUIDGID=1").status == 200
    for pack in (gzip.compress, bz2.compress, lzma.compress, zstd):
        assert put(engine, "evil", "/tmp", pack(tar_of("x", b"y"))).status == 200, pack
    assert get(engine, "evil", "/tmp").status == 200
    assert get(engine, "evil", "/executed").status == 404
    assert not any(name.endswith("executed") for name in members(engine.docker("export", "evil", text=False).stdout))
    engine.docker("rm", "evil")


def test_the_worker_loads_nothing_there(engine):
    """covers S-33: every file that is mapped is the host's own, before and after it has looked up a user."""
    tar = (Tar().directory("lib").directory("lib/x86_64-linux-gnu").file("etc/nsswitch.conf", "passwd: evil files\n")
           .file("lib/x86_64-linux-gnu/libnss_evil.so.2", "not even a library\n", 0o755)
           .file("lib/x86_64-linux-gnu/libc.so.6", "nor this\n", 0o755))
    engine.import_tar(joined(tar.bytes()), "nss:1", ['CMD ["sleep", "1000"]'])
    engine.docker("run", "-d", "--name", "nss", *NET, "nss:1", "sh", "-c", "truncate -s 5G /tmp/made; mv /tmp/made /tmp/big; exec sleep 1000")
    engine.wait_for(lambda: engine.api("HEAD", "/containers/nss/archive?path=/tmp/big").status == 200)
    engine.wait_for(lambda: "rootfs" not in engine.pids())
    slow = engine.api_stream("GET", "/containers/nss/archive?path=/tmp/big")
    assert slow.read(512)
    worker = engine.pids()["rootfs"]
    assert os.path.exists(f"/proc/{worker}/root/lib/x86_64-linux-gnu/libnss_evil.so.2"), "it is in there"
    mapped = 0
    for line in pathlib.Path(f"/proc/{worker}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith("/"):
            continue
        st = os.stat(fields[5])
        device = f"{os.major(st.st_dev):02x}:{os.minor(st.st_dev):02x}"
        assert (fields[3], int(fields[4])) == (device, st.st_ino), line
        assert not os.path.basename(fields[5]).startswith("libnss"), line
        mapped += 1
    assert mapped > 4
    status = pathlib.Path(f"/proc/{worker}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    slow.close()
    engine.docker("rm", "-f", "nss")


@pytest.mark.parametrize("what", ["dev", "dev/null", "dev/console", "dev/shm", "proc", "etc/hosts"])
def test_links_where_the_engine_mounts(engine, canary, what):
    """covers S-44: the image has a link to the host's files where devices and files are put."""
    tar = Tar().directory("bin").file("bin/busybox", pathlib.Path("/bin/busybox").read_bytes(), 0o755)
    tar.symlink("bin/sh", "busybox")
    for directory in ("dev", "proc", "sys", "etc"):
        if directory != what:
            tar.directory(directory)
    up = "../" * 12
    tar.symlink(what, f"{up}{canary.path}" + ("/file" if "/" in what and what != "dev/shm" else ""))
    name = "links-" + what.replace("/", "-")
    engine.import_tar(tar.bytes(), f"{name}:1", ['CMD ["sh"]'])
    done = engine.docker("run", "--name", name, *NET, f"{name}:1", "sh", "-c", "echo in > /dev/null; echo ran",
                         check=False)
    assert done.returncode in (0, 1, 125, 126, 127), done
    canary.check()
    engine.docker("rm", "-f", name)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_links_where_a_view_mounts(engine, canary, kind):
    """covers S-43 S-44: the volumes of a container that does not run are mounted for who copies, beneath links to the host."""
    up = "" if kind == "absolute" else "../" * 12
    name = f"view-{kind}"
    engine.import_tar(joined(Tar().symlink("esc", f"{up}{canary.path}").bytes()), f"{name}:1", ['CMD ["true"]'])
    engine.docker("create", "--name", name, *NET, "-v", f"{name}:/esc/made", f"{name}:1")
    put(engine, name, "/esc/made", tar_of("planted", b"x"))
    assert HOST.encode() not in get(engine, name, "/esc/file").body
    canary.check()
    assert not os.path.lexists("/esc"), "made where the host has such a path, not the container"
    engine.docker("rm", name)
    engine.docker("volume", "rm", name)


# ---- mounts over the kernel's files ----

def links_tar():
    """Symbolic links that lead to the kernel's files, from the root on, below a directory, and by one another."""
    tar = Tar()
    for name, to in (("p", "/proc"), ("q", "..//sys/kernel"), ("up", "../../../proc/self/.."), ("chain", "p"),
                     ("a/deep", "../p/sys"), ("sysd", "sys"), ("self", "/proc/self/root"), ("fine", "/home"),
                     ("turn", "turn")):
        tar.symlink(name, to)
    return tar


@pytest.fixture(scope="module")
def links(engine):
    engine.import_tar(joined(links_tar().bytes()), "links:1", ['CMD ["true"]'])
    engine.docker("run", "--rm", *NET, "-v", "linked:/v", "busybox", "ln", "-s", "/proc", "/v/x")
    yield "links:1"
    engine.docker("volume", "rm", "linked")


def as_volume(engine, place):
    return ["-v", f"over:{place}"]


def as_bind(engine, place):
    (engine.dir / "over").mkdir(exist_ok=True)
    return ["-v", f"{engine.dir}/over:{place}"]


def as_tmpfs(engine, place):
    return ["--tmpfs", place]


@pytest.mark.parametrize("kind", [as_volume, as_bind, as_tmpfs])
@pytest.mark.parametrize("place", ["/p", "/q", "/up", "/chain", "/a/deep", "/p/sys/kernel", "/sysd", "/sysd/fs/x",
                                   "/self/dir", "/fine/../../p", "/q/nosuch"])
def test_links_into_the_kernels_files(engine, links, kind, place):
    """covers S-45"""
    done = engine.docker("run", "--rm", *NET, *kind(engine, place), links, "true", check=False)
    shown = place if kind == as_tmpfs else os.path.normpath(place)
    assert done.returncode != 0 and f"a mount at {shown} would lie at /" in done.stderr, done
    identity = engine.docker("create", *NET, *kind(engine, place), links, "true").stdout.strip()
    answer = engine.api("POST", f"/containers/{identity}/start")
    assert answer.status == 400 and "would lie at /" in answer.message, answer
    engine.docker("rm", "-v", identity)
    engine.docker("volume", "rm", "-f", "over")


def test_links_of_a_mount_into_the_kernels_files(engine, links):
    """covers S-45: the link is in a volume, not in the image; and in the place of the kernel's files themselves."""
    done = engine.docker("run", "--rm", *NET, "-v", "linked:/v", "--tmpfs", "/v/x", links, "true", check=False)
    assert done.returncode != 0 and "a mount at /v/x would lie at /proc" in done.stderr, done
    assert engine.docker("run", "--rm", *NET, "-v", "linked:/v", "--tmpfs", "/fine", links, "stat", "-f", "-c", "%T",
                         "/home").stdout == "tmpfs\n"
    done = engine.docker("run", "--rm", *NET, "--tmpfs", "/turn", links, "true", check=False)
    assert done.returncode != 0 and "/turn" in done.stderr and "symbolic links" in done.stderr, done


@pytest.mark.parametrize("name", ["cpuinfo", "meminfo", "stat", "uptime", "loadavg", "swaps", "diskstats", "slabinfo",
                                  "sys/kernel/ns_last_pid"])
def test_files_that_tell_of_the_machine(engine, name):
    """covers S-45: a file may stand in for one that tells what the machine has, a directory or another file may not."""
    if not os.path.exists(f"/proc/{name}"):
        pytest.skip("this kernel does not have it")
    (engine.dir / "told").write_text("told\n")
    shown = engine.docker("run", "--rm", *NET, "-v", f"{engine.dir}/told:/proc/{name}:ro", "busybox", "cat",
                          f"/proc/{name}")
    assert shown.stdout == "told\n"
    (engine.dir / "none").mkdir(exist_ok=True)
    for source, target in ((f"{engine.dir}/none", f"/proc/{name}"), (f"{engine.dir}/told", "/proc/version"),
                           (f"{engine.dir}/told", "/proc/net/dev")):
        done = engine.docker("create", *NET, "-v", f"{source}:{target}", "busybox", "true", check=False)
        assert done.returncode != 0 and "hide the container's own /proc" in done.stderr, done


# ---- users ----

@pytest.mark.parametrize("user", ["2147483648", "4294967295", "4294967296", "18446744073709551616", "-1", "-0", "+0",
                                  "0x0", "1e3", "70000", "nobody:4294967296", "app:-1", " ", "app\n"])
def test_ids_that_are_none(engine, user):
    """covers S-50: neither in a range of its own, which they exceed, nor with the host's ids, where a cut one would be root."""
    for more in ((), ("--userns", "host")):
        if more and user == "70000":  # is one of the host's
            continue
        done = engine.docker("run", "--rm", *NET, *more, "-u", user, "busybox", "id", "-u", check=False)
        assert done.returncode != 0, done
        assert done.stdout == ""


def test_a_number_is_never_a_name(engine):
    """covers S-50"""
    tar = Tar().file("etc/passwd", "1000:x:0:0::/:/bin/sh\nroot:x:0:0:::\n").file("etc/group", "1000:x:0:\n")
    engine.import_tar(joined(tar.bytes()), "numbers:1", ['CMD ["sh"]'])
    for user, expected in (("1000", "1000:0"), ("1000:1000", "1000:1000"), ("5:1000", "5:1000")):
        shown = engine.docker("run", "--rm", *NET, "-u", user, "numbers:1", "sh", "-c", "echo $(id -u):$(id -g)")
        assert shown.stdout == expected + "\n", user


def test_a_huge_passwd(engine):
    """covers S-51"""
    engine.docker("run", "-d", "--name", "huge", *NET, "busybox", "sleep", "1000")
    huge = ("sh", "-c", "rm /etc/passwd; truncate -s 10G /etc/passwd")
    engine.docker("exec", "huge", *huge)
    failed = engine.docker("exec", "-u", "app", "huge", "id", check=False)
    assert failed.returncode != 0 and "larger than 16 MiB" in failed.stdout + failed.stderr, failed
    engine.docker("rm", "-f", "huge")
    engine.docker("run", "-d", "--name", "owner", *NET, "-u", "app", "busybox", "sleep", "1000")
    engine.docker("exec", "-u", "0", "owner", *huge)
    refused = put(engine, "owner", "/tmp", tar_of("x", b""), "&copyUIDGID=1")
    assert refused.status >= 400 and "larger than 16 MiB" in refused.message, refused
    engine.docker("kill", "owner")
    failed = engine.docker("start", "owner", check=False)
    assert failed.returncode != 0 and "larger than 16 MiB" in failed.stderr, failed
    engine.docker("rm", "-f", "owner")


def test_a_passwd_that_is_no_file(engine):
    for kind in (tarfile.FIFOTYPE, tarfile.DIRTYPE):
        tar = Tar().directory("bin").file("bin/sh", pathlib.Path("/bin/busybox").read_bytes(), 0o755)
        tar.directory("etc").add("etc/passwd", kind, 0o644)
        engine.import_tar(tar.bytes(), "nofile:1", ['CMD ["sh"]'])
        failed = engine.docker("run", "--rm", *NET, "-u", "app", "nofile:1", "sh", "-c", "true", check=False)
        assert failed.returncode != 0 and "is not a file" in failed.stderr, failed


LINE = "evil::0:0::/:/bin/sh"


def test_newlines_change_no_file(engine):
    """covers S-52: at a start and at an exec a value comes as it is, and goes nowhere else."""
    settings = "x\nuid=0\ncapabilities=18446744073709551615\nno-new-privileges=0\narg=evil"
    look = 'cat /etc/passwd /etc/group /etc/hosts /etc/hostname /etc/resolv.conf; grep -E "CapEff|NoNewPrivs" /proc/self/status; id -u; echo "$#"'
    values = (f"HOME=/tmp\n{LINE}\n", f"OTHER=x\n{LINE}", f"MORE={settings}")
    words = ("sh", "-c", look, "sh", f"one\n{LINE}")
    plain = ("run", "-d", "--name", "lines", *NET, "--hostname", "plain", "-u", "app")
    engine.docker(*plain, *(word for value in values for word in ("-e", value)), "busybox", "sh", "-c", f"{look}; exec sleep 1000", *words[3:])
    engine.wait_for(lambda: engine.docker("logs", "lines").stdout.endswith("1000\n1\n"))
    shown = [engine.docker("logs", "lines").stdout,
             engine.docker("exec", *(word for value in values for word in ("-e", value)), "lines", *words).stdout]
    for text in shown:
        assert "evil" not in text and "CapEff:\t0000000000000000\nNoNewPrivs:\t1\n1000\n1\n" in text, text
    for begin, where in ((("run", "--rm", *NET), "busybox"), (("exec",), "lines")):
        got = engine.docker(*begin, *(word for value in values for word in ("-e", value)), where, "cat", "/proc/self/environ").stdout
        assert set(values) <= set(got.split("\0")), got
    engine.docker("rm", "-f", "lines")


@pytest.mark.parametrize("field,value", [
    ("Hostname", "a\n{}"), ("Domainname", "a\n{}"), ("User", "app\n{}"), ("WorkingDir", "relative\n{}"), ("HostConfig.ExtraHosts", ["a\n{}:192.0.2.1"]),
    ("HostConfig.ExtraHosts", ["a:192.0.2.1\n{}"]), ("HostConfig.Dns", ["192.0.2.1\n{}"]), ("HostConfig.DnsSearch", ["a\n{}"]),
    ("HostConfig.DnsOptions", ["a\n{}"]), ("HostConfig.Links", ["other:a\n{}"]), ("NetworkingConfig.EndpointsConfig", {"bridge": {"Aliases": ["a\n{}"]}}),
])
def test_newlines_where_files_are_made(engine, field, value):
    """covers S-52: what goes into hosts, resolv.conf and hostname, or decides on a user, has no lines in it."""
    *outer, name = field.split(".")
    value = json.loads(json.dumps(value).replace("{}", LINE))
    body = {name: value} if not outer else {outer[0]: {name: value}}
    refused = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], **body})
    assert refused.status == 400 and name.removesuffix("sConfig").lower()[:4] in refused.message.lower(), refused
