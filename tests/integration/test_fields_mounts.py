"""Binds, Mounts, Volumes, VolumesFrom, Tmpfs: every option, on the real kernel. User namespaces and joins."""
import os
import subprocess

import pytest

from tests.harness.engine import Engine
from tests.harness.fields import Run, output

MIB = 1 << 20


# Before, what is on a tmpfs cannot have a user namespace's ids.
idmapped_tmpfs = pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 3), reason="needs Linux 6.3")


@pytest.fixture
def tree(tmp_path):
    """A directory of the host with a file system mounted below it."""
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "file").write_text("host\n")
    subprocess.run(["mount", "-t", "tmpfs", "below", str(below)], check=True)
    subprocess.run(["mount", "--make-private", str(below)], check=True)
    (below / "deep").write_text("deep\n")
    yield tmp_path
    subprocess.run(["umount", str(below)], check=True)


def bind(tree, **more):
    options = {key: more.pop(key) for key in list(more) if key != "ReadOnly"}
    return {"Mounts": [{"Type": "bind", "Source": str(tree), "Target": "/m", **more, **({"BindOptions": options} if options else {})}]}


LOOK = "cat /m/file; cat /m/below/deep 2>&1; touch /m/new 2>&1 && rm /m/new && echo rw; touch /m/below/new 2>&1 && rm /m/below/new && echo below"
NO_DEEP = "cat: can't open '/m/below/deep': No such file or directory\n"
RO = "touch: /m/new: Read-only file system\n"
RO_BELOW = "touch: /m/below/new: Read-only file system\n"

BINDS = [
    ("", "host\ndeep\nrw\nbelow\n"),
    (":rw", "host\ndeep\nrw\nbelow\n"),
    (":ro", "host\ndeep\n" + RO + RO_BELOW),
    (":bind", "host\n" + NO_DEEP + "rw\nbelow\n"),
    (":rbind,ro", "host\ndeep\n" + RO + RO_BELOW),
    (":z", "host\ndeep\nrw\nbelow\n"),
    (":rslave", "host\ndeep\nrw\nbelow\n"),
    (":private,ro", "host\ndeep\n" + RO + RO_BELOW),
]


@idmapped_tmpfs
@pytest.mark.parametrize("options,says", BINDS, ids=[row[0] or "plain" for row in BINDS])
def test_binds(engine, tree, options, says):
    assert output(engine, LOOK, host={"Binds": [f"{tree}:/m{options}"]}) == says


MOUNTS = [
    ({}, "host\ndeep\nrw\nbelow\n"),
    ({"ReadOnly": True}, "host\ndeep\n" + RO + RO_BELOW),
    ({"NonRecursive": True}, "host\n" + NO_DEEP + "rw\nbelow\n"),
    ({"ReadOnly": True, "ReadOnlyNonRecursive": True}, "host\ndeep\n" + RO + "below\n"),
    ({"ReadOnly": True, "ReadOnlyForceRecursive": True}, "host\ndeep\n" + RO + RO_BELOW),
    ({"Propagation": "rprivate"}, "host\ndeep\nrw\nbelow\n"),
]


@idmapped_tmpfs
@pytest.mark.parametrize("options,says", MOUNTS, ids=["+".join(row[0]) or "plain" for row in MOUNTS])
def test_bind_options(engine, tree, options, says):
    assert output(engine, LOOK, host=bind(tree, **options)) == says


def test_missing_source(engine, tmp_path):
    missing = tmp_path / "a" / "b"
    run = Run(engine, "true", host=bind(missing))
    assert run.created.status == 400 and str(missing) in run.error and not missing.exists()
    assert output(engine, "ls -d /m", host=bind(missing, CreateMountpoint=True)) == "/m\n"
    assert missing.is_dir() and missing.stat().st_uid == 0
    other = tmp_path / "c" / "d"
    assert output(engine, "ls -d /m", host={"Binds": [f"{other}:/m"]}) == "/m\n"
    assert other.is_dir()


def test_a_file_and_ids_on_disk(engine, tmp_path):
    """covers D-11: what a container writes into a bind belongs on the host to whom it says."""
    (tmp_path / "f").write_text("x\n")
    assert output(engine, "cat /etc/mine; echo y > /etc/mine", host={"Binds": [f"{tmp_path}/f:/etc/mine"]}) == "x\n"
    assert (tmp_path / "f").read_text() == "y\n"
    output(engine, "touch /m/root /m/app; chown 1000:2000 /m/app", host=bind(tmp_path))
    assert [(os.stat(tmp_path / n).st_uid, os.stat(tmp_path / n).st_gid) for n in ("root", "app")] == [(0, 0), (1000, 2000)]


@idmapped_tmpfs
@pytest.mark.parametrize("mode,seen", [("rslave", True), ("rprivate", False), ("rshared", True)])
def test_propagation_from_the_host(engine, tmp_path, mode, seen):
    """A file system that the host mounts later is seen, or is not."""
    subprocess.run(["mount", "-t", "tmpfs", "top", str(tmp_path)], check=True)
    subprocess.run(["mount", "--make-rshared", str(tmp_path)], check=True)
    (tmp_path / "later").mkdir()
    host = bind(tmp_path, Propagation=mode)
    run = Run(engine, "sleep 1000", host={**host, **({"UsernsMode": "host"} if mode == "rshared" else {})})
    try:
        assert run.error is None, run.error
        subprocess.run(["mount", "-t", "tmpfs", "later", str(tmp_path / "later")], check=True)
        (tmp_path / "later" / "f").write_text("later\n")
        assert (run.execute("cat", "/m/later/f") == "later\n") == seen
    finally:
        run.remove()
        subprocess.run(["umount", "-R", "-l", str(tmp_path)], check=True)


REFUSED = [
    ({"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/m", "BindOptions": {"Propagation": "rshared"}}]}, "UsernsMode=host"),
    ({"Binds": ["/tmp:/m:rshared"]}, "UsernsMode=host"),
    ({"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/m", "BindOptions": {"ReadOnlyNonRecursive": True}}]}, "needs ReadOnly"),
    ({"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/m", "ReadOnly": True,
                  "BindOptions": {"ReadOnlyNonRecursive": True, "ReadOnlyForceRecursive": True}}]}, "exclude"),
    ({"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/m", "ReadOnly": True,
                  "BindOptions": {"Propagation": "rslave", "ReadOnlyForceRecursive": True}}]}, "rprivate"),
    ({"Mounts": [{"Type": "bind", "Source": "relative", "Target": "/m"}]}, "absolute"),
    ({"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "m"}]}, "absolute"),
    ({"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/m", "Colour": 1}]}, "Colour"),
    ({"Mounts": [{"Type": "npipe", "Source": "x", "Target": "/m"}]}, "Type"),
    ({"Mounts": [{"Type": "tmpfs", "Source": "x", "Target": "/m"}]}, "source must not be specified"),
    ({"Mounts": [{"Type": "tmpfs", "Target": "/m", "TmpfsOptions": {"Options": [["colour", "red"]]}}]}, "colour=red"),
    ({"Mounts": [{"Type": "tmpfs", "Target": "/m"}, {"Type": "tmpfs", "Target": "/m/"}]}, "Duplicate"),
    ({"Binds": ["/tmp:/m", "/var:/m"]}, "Duplicate"),
    ({"Binds": ["/tmp"]}, "/tmp"),
    ({"Binds": ["/tmp:/m:sideways"]}, "sideways"),
    ({"Binds": ["/tmp:/"]}, "'/'"),
    ({"Binds": ["v:/m:rslave"]}, "propagation"),
    ({"Binds": ["/tmp:/proc"]}, "/proc"),
    ({"Binds": ["/tmp://proc/../proc/sys/"]}, "/proc"),
    ({"Binds": ["/tmp:/x/../sys"]}, "/sys"),
    ({"Tmpfs": {"/proc": ""}}, "/proc"),
    ({"Mounts": [{"Type": "tmpfs", "Target": "/./proc"}]}, "/proc"),
    ({"Binds": ["/proc:/m"]}, "proc or what is mounted below it cannot be mapped"),
    ({"Binds": ["/sys:/m:bind"]}, "sysfs cannot be mapped"),
    ({"VolumesFrom": ["nosuch"]}, "nosuch"),
    ({"VolumesFrom": ["nosuch:sideways"]}, "sideways"),
]


@pytest.mark.parametrize("host,words", REFUSED, ids=range(len(REFUSED)))
def test_refused(engine, host, words):
    """covers S-45 in part: nothing takes the place of the kernel's own files."""
    run = Run(engine, "true", host=host)
    run.remove()
    assert run.created.status in (400, 404) and words in run.created.message, run.created


def test_plain_binds_by_config(tmp_path):
    """What cannot be idmapped is bound with the host's ids where the config says so, and only that."""
    with Engine(config={"userns": {"bind-fallback": "plain"}}) as engine:
        engine.busybox()
        run = Run(engine, "cat /m/sys/kernel/ostype; stat -c %u /m/version; touch /d/mine", host={"Binds": ["/proc:/m", f"{tmp_path}:/d"]})
        assert run.finish() == "Linux\n65534\n"
        assert len(run.warnings) == 1 and "proc" in run.warnings[0]
        assert (tmp_path / "mine").stat().st_uid == 0


TMPFS = "stat -c %a:%u /m; df -k /m | tail -1 | awk '{print $2}'; grep ' /m ' /proc/self/mountinfo | cut -d' ' -f6 | tr , '\\n' | sort | tr '\\n' ' '"

TMPFS_MOUNTS = [
    ({"SizeBytes": MIB, "Mode": 0o750}, "750:0\n1024\nnodev noexec nosuid relatime rw "),
    ({"SizeBytes": MIB, "Options": [["exec"], ["uid", "1000"]]}, "1777:1000\n1024\nnodev nosuid relatime rw "),
    ({"SizeBytes": MIB, "Options": [["size", "2m"]]}, "1777:0\n1024\nnodev noexec nosuid relatime rw "),
]


@pytest.mark.parametrize("options,says", TMPFS_MOUNTS, ids=range(len(TMPFS_MOUNTS)))
def test_tmpfs_options(engine, options, says):
    assert output(engine, TMPFS, host={"Mounts": [{"Type": "tmpfs", "Target": "/m", "TmpfsOptions": options}]}) == says


def test_tmpfs_read_only(engine):
    assert "Read-only" in output(engine, "touch /m/x 2>&1", host={"Mounts": [{"Type": "tmpfs", "Target": "/m", "ReadOnly": True}]})


# ---- volumes ----

@idmapped_tmpfs
def test_volume_options(engine):
    mount = {"Type": "volume", "Source": "opts", "Target": "/m",
             "VolumeOptions": {"Labels": {"a": "b"}, "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}}}}
    assert output(engine, "df -k /m | tail -1 | awk '{print $2}'", host={"Mounts": [mount]}) == "1024\n"
    shown = engine.api("GET", "/volumes/opts").json
    assert shown["Labels"] == {"a": "b"} and shown["Options"]["o"] == "size=1m"
    engine.docker("volume", "rm", "opts")


def test_volume_subpath(engine):
    output(engine, "mkdir -p /m/sub/dir; echo in > /m/sub/dir/f; ln -s / /m/out; ln -s ../.. /m/up", host={"Binds": ["subs:/m"]})

    def look(subpath):
        return Run(engine, "cat /m/f", host={"Mounts": [{"Type": "volume", "Source": "subs", "Target": "/m",
                                                        "VolumeOptions": {"Subpath": subpath}}]}, version="1.47")
    assert look("sub/dir").finish() == "in\n"
    for bad in ("nosuch", "out", "up", "../..", "/etc"):
        run = look(bad)
        run.remove()
        assert run.error and bad in run.error, (bad, run.error)
    engine.docker("volume", "rm", "subs")


def test_volume_read_only_and_anonymous(engine):
    run = Run(engine, "touch /m/x 2>&1; touch /a/x && echo ok", host={"Mounts": [
        {"Type": "volume", "Source": "ro", "Target": "/m", "ReadOnly": True}, {"Type": "volume", "Target": "/a"}]})
    points = {p["Destination"]: p for p in run.inspect()["Mounts"]}
    assert run.finish() == "touch: /m/x: Read-only file system\nok\n"
    assert points["/m"]["RW"] is False and points["/m"]["Name"] == "ro" and points["/a"]["RW"] is True
    assert len(points["/a"]["Name"]) == 64
    assert engine.api("GET", f"/volumes/{points['/a']['Name']}").status == 404
    engine.docker("volume", "rm", "ro")


def test_volumes_from(engine, tmp_path):
    (tmp_path / "f").write_text("bound\n")
    first = Run(engine, "echo vol > /v/f; sleep 1000", host={"Binds": ["shared:/v", f"{tmp_path}:/b"]})
    while first.execute("cat", "/v/f") != "vol\n":
        pass
    assert output(engine, "cat /v/f /b/f; touch /v/x && echo rw", host={"VolumesFrom": [first.name]}) == "vol\nbound\nrw\n"
    assert output(engine, "cat /v/f; touch /v/x 2>&1", host={"VolumesFrom": [first.name + ":ro"]}) == \
        "vol\ntouch: /v/x: Read-only file system\n"
    first.remove()
    engine.docker("volume", "rm", "shared")


# ---- user namespaces ----

def base(run):
    return run.execute("awk", "{print $2}", "/proc/self/uid_map").strip()


def test_each_has_a_range_of_its_own(engine):
    """covers D-11"""
    runs = [Run(engine, "sleep 1000") for _ in range(3)]
    bases = sorted(int(base(run)) for run in runs)
    assert all(b - a >= 65536 for a, b in zip(bases, bases[1:])) and bases[0] > 65536
    for run in runs:
        run.remove()


def test_ranges_run_out_and_come_back(tmp_path):
    with Engine(config={"ids": {"containers": {"base": 1800000000, "count": 2}}}) as engine:
        engine.busybox()
        runs = [Run(engine, "sleep 1000") for _ in range(2)]
        third = Run(engine, "sleep 1000")
        assert third.created.status == 507 and "range" in third.error, third.error
        assert Run(engine, "echo host", host={"UsernsMode": "host"}).finish() == "host\n"
        runs[0].remove()
        assert Run(engine, "echo again").finish() == "again\n"
        runs[1].remove()


def test_joined_namespaces(engine):
    first = Run(engine, "sleep 1000", host={"IpcMode": "shareable"})
    ns = {kind: first.execute("readlink", f"/proc/self/ns/{kind}") for kind in ("user", "net", "ipc", "pid")}
    for field, kind in (("NetworkMode", "net"), ("IpcMode", "ipc"), ("PidMode", "pid")):
        text = output(engine, "readlink /proc/self/ns/user; readlink /proc/self/ns/" + kind, host={field: f"container:{first.name}"})
        assert text == ns["user"] + ns[kind], field
    assert "sleep 1000" in output(engine, "ps", host={"PidMode": f"container:{first.id}"})
    # The range is held while somebody has it.
    joined = Run(engine, "sleep 1000", host={"NetworkMode": f"container:{first.name}"})
    shared = base(joined)
    first.remove()
    other = Run(engine, "sleep 1000")
    assert base(other) != shared
    for run in (joined, other):
        run.remove()


def test_shared_memory_of_a_joined_ipc_namespace(engine):
    first = Run(engine, "echo said > /dev/shm/f; sleep 1000", host={"IpcMode": "shareable"})
    while first.execute("cat", "/dev/shm/f") != "said\n":
        pass
    assert output(engine, "cat /dev/shm/f", host={"IpcMode": f"container:{first.name}"}) == "said\n"
    first.remove()
    private = Run(engine, "sleep 1000", host={"IpcMode": "private"})
    run = Run(engine, "true", host={"IpcMode": f"container:{private.name}"})
    run.remove()
    private.remove()
    assert run.error and "shareable" in run.error, run.error


def test_conflicting_ranges(engine):
    one, two, plain = Run(engine, "sleep 1000"), Run(engine, "sleep 1000", host={"IpcMode": "shareable"}), \
        Run(engine, "sleep 1000", host={"UsernsMode": "host"})
    for host in ({"NetworkMode": f"container:{one.name}", "IpcMode": f"container:{two.name}"},
                 {"NetworkMode": f"container:{one.name}", "UsernsMode": "host"},
                 {"NetworkMode": f"container:{one.name}", "Privileged": True},
                 {"PidMode": "host", "NetworkMode": f"container:{one.name}"},
                 {"NetworkMode": f"container:{one.name}", "PidMode": f"container:{plain.name}"}):
        run = Run(engine, "true", host=host)
        run.remove()
        assert run.created.status == 400 and "user namespace" in run.error, (host, run.error)
    assert output(engine, "awk '{print $2}' /proc/self/uid_map", host={"NetworkMode": f"container:{plain.name}"}) == "0\n"
    for run in (one, two, plain):
        run.remove()


def test_join_of_what_does_not_run(engine):
    stopped = Run(engine, "true")
    engine.api("POST", f"/containers/{stopped.id}/wait")
    run = Run(engine, "true", host={"PidMode": f"container:{stopped.name}"})
    run.remove()
    assert run.error and "not running" in run.error and run.started.status == 409
    stopped.remove()


@pytest.mark.parametrize("host", [{"Privileged": True}, {"PidMode": "host"}, {"IpcMode": "host"}, {"UsernsMode": "host"}],
                         ids=lambda h: next(iter(h)))
def test_implied_host_ids(engine, host):
    assert output(engine, "awk '{print $1, $2}' /proc/self/uid_map", host=host) == "0 0\n"


def test_without_user_namespaces():
    with Engine(config={"userns": {"enabled": False}}) as engine:
        engine.busybox()
        run = Run(engine, "awk '{print $1, $2}' /proc/self/uid_map; id -u")
        assert run.finish() == "0 0\n0\n"
