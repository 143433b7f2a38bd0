"""Operations on containers: update, top, prune, wait, list and its filters, rename."""
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import threading
import time

import pytest

from tests.harness import leaks
from tests.harness.engine import Engine

NET = ("--network", "none")
MIB = 1 << 20


@pytest.fixture
def sleeper(engine):
    """A running container that is removed afterwards."""
    container = engine.docker("run", "-d", "--init", *NET, "busybox", "sleep", "1000").stdout.strip()
    yield container
    engine.docker("rm", "-f", container)


def inspect(engine, container):
    return engine.api("GET", f"/containers/{container}/json").json


def cgroup(engine, container, controller, name):
    v1 = leaks.CGROUPS / controller
    top = v1 if v1.is_dir() else leaks.CGROUPS
    return (top / engine.cgroup.strip("/") / container / name).read_text().strip()


V2 = (leaks.CGROUPS / "cgroup.controllers").exists()


# ---- update ----

def update(engine, container, **body):
    return engine.api("POST", f"/containers/{container}/update", body)


# body, and what the cgroup's file says then: controller, v1's file and text, v2's file and text
UPDATES = [
    ({"Memory": 64 * MIB}, ("memory", "memory.limit_in_bytes", str(64 * MIB), "memory.max", str(64 * MIB))),
    ({"Memory": 128 * MIB, "MemorySwap": 192 * MIB},
     ("memory", "memory.memsw.limit_in_bytes", str(192 * MIB), "memory.swap.max", str(64 * MIB))),
    ({"Memory": 32 * MIB, "MemorySwap": 32 * MIB},
     ("memory", "memory.memsw.limit_in_bytes", str(32 * MIB), "memory.swap.max", "0")),
    ({"MemoryReservation": 16 * MIB}, ("memory", "memory.soft_limit_in_bytes", str(16 * MIB), "memory.low", str(16 * MIB))),
    ({"CpuShares": 512}, ("cpu", "cpu.shares", "512", "cpu.weight", "20")),
    ({"CpuPeriod": 50000, "CpuQuota": 20000}, ("cpu", "cpu.cfs_quota_us", "20000", "cpu.max", "20000 50000")),
    ({"NanoCpus": 500000000}, ("cpu", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000")),
    ({"CpusetCpus": "0"}, ("cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0")),
    ({"CpusetMems": "0"}, ("cpuset", "cpuset.mems", "0", "cpuset.mems", "0")),
    ({"PidsLimit": 77}, ("pids", "pids.max", "77", "pids.max", "77")),
    ({"PidsLimit": 0}, ("pids", "pids.max", "max", "pids.max", "max")),
]


@pytest.mark.parametrize("body,effect", UPDATES, ids=lambda x: "+".join(x) if isinstance(x, dict) else "")
def test_update_reaches_the_cgroup_and_the_record(engine, sleeper, body, effect):
    controller, v1, v1_text, v2, v2_text = effect
    answer = update(engine, sleeper, **body)
    assert answer.status == 200 and answer.json == {"Warnings": []}, answer
    assert cgroup(engine, sleeper, controller, v2 if V2 else v1) == (v2_text if V2 else v1_text)
    host = inspect(engine, sleeper)["HostConfig"]
    for key, value in body.items():
        assert host[key] == (value or -1), key
    # The next start has it too.
    engine.docker("restart", "-t", "0", sleeper)
    assert cgroup(engine, sleeper, controller, v2 if V2 else v1) == (v2_text if V2 else v1_text)


@pytest.mark.skipif(V2, reason="settings of cgroup v1")
def test_update_swappiness_and_oom(engine, sleeper):
    assert update(engine, sleeper, Memory=64 * MIB, MemorySwappiness=10, OomKillDisable=True).status == 200
    assert cgroup(engine, sleeper, "memory", "memory.swappiness") == "10"
    assert "oom_kill_disable 1" in cgroup(engine, sleeper, "memory", "memory.oom_control")
    assert update(engine, sleeper, OomKillDisable=False).status == 200
    assert "oom_kill_disable 0" in cgroup(engine, sleeper, "memory", "memory.oom_control")


def block_device():
    return next((f"/dev/{d.name}" for d in pathlib.Path("/sys/block").iterdir() if os.path.exists(f"/dev/{d.name}")), None)


@pytest.mark.skipif(not block_device(), reason="there is no block device")
def test_update_device_throttles(engine, sleeper):
    device = block_device()
    number = os.stat(device).st_rdev
    line = f"{os.major(number)}:{os.minor(number)}"
    for field, name, word in (("BlkioDeviceReadBps", "read_bps", "rbps"), ("BlkioDeviceWriteBps", "write_bps", "wbps"),
                              ("BlkioDeviceReadIOps", "read_iops", "riops"), ("BlkioDeviceWriteIOps", "write_iops", "wiops")):
        assert update(engine, sleeper, **{field: [{"Path": device, "Rate": 1048576}]}).status == 200
        text = cgroup(engine, sleeper, "blkio", "io.max" if V2 else f"blkio.throttle.{name}_device")
        if V2:
            assert text.split()[0] == line and f"{word}=1048576" in text.split(), text
        else:
            assert text == f"{line} 1048576"
    answer = update(engine, sleeper, BlkioDeviceReadBps=[{"Path": "/dev/null", "Rate": 1}])
    assert answer.status == 400 and "BlkioDeviceReadBps" in answer.message


def test_update_is_all_or_nothing(engine, sleeper):
    """The kernel refuses the quota behind the memory limit was written; both are as before."""
    assert update(engine, sleeper, Memory=64 * MIB).status == 200
    before = inspect(engine, sleeper)["HostConfig"]
    # a group's quota is not below 1 ms; more CPUs than are there
    for body, word in (({"Memory": 128 * MIB, "CpuQuota": 10}, "quota"), ({"CpusetCpus": "4000"}, "4000"),
                       ({"Memory": 4096}, "6MB"), ({"Memory": 128 * MIB, "CpusetMems": "9"}, "9")):
        answer = update(engine, sleeper, **body)
        assert answer.status == 400 and word in answer.message, answer
        assert inspect(engine, sleeper)["HostConfig"] == before
        if not V2:
            assert cgroup(engine, sleeper, "memory", "memory.limit_in_bytes") == str(64 * MIB)


def test_update_what_only_a_stopped_container_takes(engine, sleeper):
    ulimit = [{"Name": "nofile", "Soft": 100, "Hard": 200}]
    answer = update(engine, sleeper, Ulimits=ulimit)
    assert answer.status == 409 and "Ulimits" in answer.message
    engine.docker("stop", "-t", "0", sleeper)
    assert update(engine, sleeper, Ulimits=ulimit).status == 200
    for body in ({"CgroupParent": "/../../x"}, {"Devices": [{"PathOnHost": "/dev/nosuch"}]}, {"DeviceRequests": [{"Count": -1}]}):
        answer = update(engine, sleeper, **body)
        assert answer.status == 400 and (next(iter(body)) in answer.message or "/dev/nosuch" in answer.message), answer
    engine.docker("start", sleeper)
    assert engine.docker("exec", sleeper, "sh", "-c", "ulimit -n").stdout.strip() == "100"
    assert update(engine, sleeper, Memery=1).status == 400
    assert update(engine, "nosuch", Memory=64 * MIB).status == 404


def test_update_by_the_docker_cli_and_restart_policy(engine, sleeper):
    engine.docker("update", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--restart", "on-failure:3", sleeper)
    host = inspect(engine, sleeper)["HostConfig"]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 * MIB, 500000000, 50)
    once = engine.docker("create", "--rm", *NET, "busybox", "true").stdout.strip()
    answer = update(engine, once, RestartPolicy={"Name": "always"})
    assert answer.status == 409 and "AutoRemove" in answer.message
    answer = update(engine, sleeper, RestartPolicy={"Name": "always", "MaximumRetryCount": 2})
    assert answer.status == 400 and "maximum retry count" in answer.message
    engine.docker("rm", once)


def test_update_ends_a_planned_restart(engine):
    container = engine.docker("run", "-d", "--restart", "always", *NET, "busybox", "false").stdout.strip()
    engine.api("POST", f"/containers/{container}/wait?condition=next-exit")
    assert update(engine, container, RestartPolicy={"Name": "no"}).status == 200
    engine.api("POST", f"/containers/{container}/wait")
    state = inspect(engine, container)["State"]
    assert state["Status"] == "exited" and not state["Restarting"]
    engine.docker("rm", container)


# ---- top ----

def rows_when(engine, container, arguments, condition):
    """The rows of top as soon as they are so: programs take a moment from fork to exec."""
    deadline = time.monotonic() + 60
    while True:
        answer = top(engine, container, arguments).json
        if condition(answer["Processes"]):
            return answer
        assert time.monotonic() < deadline, answer


def top(engine, container, arguments=None):
    return engine.api("GET", f"/containers/{container}/top" + (f"?ps_args={arguments}" if arguments else ""))


# covers S-34: what it shows is the host's word, whatever the container's files and /proc say.
def test_top_shows_the_hosts_numbers(engine, sleeper):
    answer = rows_when(engine, sleeper, None, lambda rows: any(row[7] == "sleep 1000" for row in rows))
    assert answer["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    main = inspect(engine, sleeper)["State"]["Pid"]
    pids = {int(row[1]) for row in answer["Processes"]}
    assert main in pids and len(pids) == 2
    for row in answer["Processes"]:
        shown = subprocess.run(["ps", "-o", "ppid=,args=", "-p", row[1]], stdout=subprocess.PIPE, text=True, check=True)
        assert shown.stdout.split(None, 1) == [row[2], row[7] + "\n"]


def test_top_formats(engine, sleeper):
    aux = top(engine, sleeper, "aux").json
    assert aux["Titles"] == ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]
    rows_when(engine, sleeper, None, lambda rows: any(row[7] == "sleep 1000" for row in rows))
    chosen = engine.docker("top", sleeper, "-o", "pid,comm,args").stdout.splitlines()
    assert chosen[0].split() == ["PID", "COMMAND", "COMMAND"] and any("sleep 1000" in line for line in chosen[1:])
    assert top(engine, sleeper, "-eo%20pid=NUMBER").json["Titles"] == ["NUMBER"]
    assert top(engine, sleeper, "axo%20pid,user,nlwp").json["Titles"] == ["PID", "USER", "NLWP"]
    for bad, word in (("-o%20pid,nothing", "nothing"), ("-Z", "-Z"), ("-o", "-o"), ("--help", "--help"), ("aux%20--sort%20rss", "--sort")):
        answer = top(engine, sleeper, bad)
        assert answer.status == 400 and word in answer.message, answer


def test_top_with_hostile_processes(engine):
    """Names with parentheses, escapes, line ends and bytes that are no text; many processes."""
    script = (r"""cp /bin/busybox '/tmp/busybox) R 1'; '/tmp/busybox) R 1' sleep 999 & """
              r"""for i in $(seq 50); do sleep 998 & done; sh -c 'sleep 997; :' "$(printf 'odd\033[2J\n\377.')" & """
              r"""exec sleep 1000""")
    container = engine.docker("run", "-d", "--init", *NET, "busybox", "sh", "-c", script).stdout.strip()
    rows = rows_when(engine, container, "-eo%20pid,stat,comm,args", lambda rows:
                     sum(row[3] == "sleep 998" for row in rows) == 50 and any(row[3] == "sleep 997" for row in rows)
                     and any(row[3].endswith("sleep 999") for row in rows))["Processes"]
    assert all(row[0].isdigit() and row[1][0] in "SRD" for row in rows)
    assert any(row[2] == "busybox) R 1" and row[3] == "/tmp/busybox) R 1 sleep 999" for row in rows), rows
    assert any(row[3] == "sh -c sleep 997; : odd?[2J??." for row in rows), rows
    engine.docker("rm", "-f", container)


def test_top_needs_a_running_container(engine):
    container = engine.docker("create", *NET, "busybox", "true").stdout.strip()
    assert top(engine, container).status == 409
    engine.docker("rm", container)
    assert top(engine, "nosuch").status == 404


def test_top_of_a_paused_container(engine, sleeper):
    rows_when(engine, sleeper, None, lambda rows: len(rows) == 2)
    engine.docker("pause", sleeper)
    assert len(top(engine, sleeper).json["Processes"]) == 2
    engine.docker("unpause", sleeper)


# ---- prune ----

def test_prune(fresh):
    fresh.busybox()
    made = {}
    for name, label in (("one", "a=1"), ("two", "a=2"), ("three", "b=1")):
        made[name] = fresh.docker("create", "--name", name, "--label", label, *NET, "busybox", "true").stdout.strip()
    running = fresh.docker("run", "-d", *NET, "busybox", "sleep", "1000").stdout.strip()
    paused = fresh.docker("run", "-d", *NET, "busybox", "sleep", "1000").stdout.strip()
    fresh.docker("pause", paused)

    def prune(filters):
        answer = fresh.api("POST", "/containers/prune?filters=" + filters)
        assert answer.status == 200, answer
        return set(answer.json["ContainersDeleted"])

    assert prune('{"until":["2001-01-01"]}') == set()
    assert prune('{"label":["a=1"]}') == {made["one"]}
    assert prune('{"label!":["a"]}') == {made["three"]}
    answer = fresh.api("POST", '/containers/prune?filters={"colour":["red"]}')
    assert answer.status == 400 and "colour" in answer.message
    for until, says in (('["never"]', "invalid time"), ('["1h","2h"]', "more than one until")):
        refused = fresh.api("POST", '/containers/prune?filters={"until":%s}' % until)
        assert refused.status == 400 and says in refused.message, refused
    assert made["two"] in fresh.docker("container", "prune", "-f").stdout
    left = {c["Id"] for c in fresh.api("GET", "/containers/json?all=1").json}
    assert left == {running, paused}


# ---- wait ----

def test_a_checkpoint_is_not_taken_for_a_start(engine):
    """Who asks to go on where a checkpoint was made does not get a container that begins anew."""
    made = engine.docker("create", *NET, "busybox", "sleep", "1000").stdout.strip()
    refused = engine.api("POST", f"/containers/{made}/start?checkpoint=before")  # the docker CLI asks /_ping first, and does not
    assert refused.status == 400 and refused.message == "checkpoint: checkpoints are not supported", refused
    assert inspect(engine, made)["State"]["Status"] == "created"
    engine.docker("rm", made)


def test_a_started_container_is_what_it_is_to_be(engine, tmp_path):
    """A start is answered when the container's own program runs: who looks then sees it, and not the runtime that becomes it."""
    program = tmp_path / "busybox"
    shutil.copy("/bin/busybox", program)
    made = engine.docker("create", "--network", "none", "-v", f"{tmp_path}:/b", "busybox", "/b/busybox", "sleep", "1000").stdout.strip()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    try:
        with open(program, "rb") as held:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)  # an execve(2) of it waits, and we are told of it
            start = engine.start_request("POST", f"/containers/{made}/start", body={})
            assert signal.sigtimedwait([signal.SIGIO], 60)
            assert not select.select([start.sock], [], [], 0.3)[0], "not yet"
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        assert start.getresponse().status == 204
        start.close()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGIO])
    assert engine.api("GET", f"/containers/{made}/top?ps_args=-o%20args").json["Processes"] == [["/b/busybox sleep 1000"]]
    engine.docker("rm", "-f", made)


def test_wait_conditions(engine):
    container = engine.docker("create", *NET, "busybox", "sh", "-c", "exit 7").stdout.strip()
    assert engine.api("POST", f"/containers/{container}/wait").json == {"StatusCode": 0}
    # A wait has begun when its head is there.
    exit, removal = (engine.api_stream("POST", f"/containers/{container}/wait?condition={c}") for c in ("next-exit", "removed"))
    told = []
    reader = threading.Thread(target=lambda: told.append(json.loads(removal.read())))
    reader.start()
    engine.docker("start", container)
    assert json.loads(exit.read()) == {"StatusCode": 7}
    assert engine.api("POST", f"/containers/{container}/wait?condition=not-running").json == {"StatusCode": 7}
    answer = engine.api("POST", f"/containers/{container}/wait?condition=later")
    assert answer.status == 400 and "later" in answer.message
    assert not told, "it is not removed yet"
    engine.docker("rm", container)
    reader.join()
    assert told == [{"StatusCode": 7}]
    exit.close()
    removal.close()
    assert engine.api("POST", f"/containers/{container}/wait").status == 404


# ---- list ----

@pytest.fixture(scope="module")
def zoo():
    """Containers of every kind, in an engine of their own."""
    with Engine() as engine:
        engine.busybox()
        engine.import_tar(__import__("tests.harness.rootfs", fromlist=["Tar"]).Tar().file("x", b"x").bytes(), "other:1")
        ids = {}

        def make(name, *arguments, start=True, image="busybox", command=("sleep", "1000")):
            verb = ("run", "-d") if start else ("create",)
            ids[name] = engine.docker(*verb, "--name", name, *arguments, image, *command).stdout.strip()

        make("created", *NET, "--label", "tier=web", "--label", "x", start=False)
        make("other", *NET, start=False, image="other:1")
        make("running", *NET, "--expose", "8080", "--expose", "53/udp", "-v", "vol:/data")
        make("paused", *NET)
        engine.docker("pause", "paused")
        make("exited0", *NET, command=("true",))
        make("exited3", *NET, command=("sh", "-c", "exit 3"))
        for name in ("exited0", "exited3"):
            engine.docker("wait", name)
        make("stopped", *NET)
        engine.docker("stop", "-t", "0", "stopped")
        make("published", "-p", "127.0.0.1:32099:80", start=False)
        make("checked", *NET, "--health-cmd", "true", "--health-interval", "1h", start=False)
        engine.ids = ids
        yield engine


ALL = {"created", "other", "running", "paused", "exited0", "exited3", "stopped", "published", "checked"}

FILTERS = [
    ({"status": ["running"]}, {"running"}),
    ({"status": ["paused"]}, {"paused"}),
    ({"status": ["created"]}, {"created", "other", "published", "checked"}),
    ({"status": ["exited"]}, {"exited0", "exited3", "stopped"}),
    ({"status": ["stopped"]}, {"stopped"}),
    ({"status": ["running", "paused"]}, {"running", "paused"}),
    ({"exited": ["3"]}, {"exited3"}),
    ({"exited": ["0"]}, {"exited0"}),
    ({"label": ["tier=web"]}, {"created"}),
    ({"label": ["tier"]}, {"created"}),
    ({"label": ["tier", "x"]}, {"created"}),
    ({"label": ["tier=db"]}, set()),
    ({"label!": ["tier"]}, ALL - {"created"}),
    ({"name": ["exit"]}, {"exited0", "exited3"}),
    ({"name": ["^/?exited[03]$"]}, {"exited0", "exited3"}),
    ({"name": ["paused", "stopped"]}, {"paused", "stopped"}),
    ({"ancestor": ["other:1"]}, {"other"}),
    ({"ancestor": ["busybox"]}, ALL - {"other"}),
    ({"ancestor": ["busybox:latest"]}, ALL - {"other"}),
    ({"before": ["running"]}, {"created", "other"}),
    ({"since": ["exited3"]}, {"stopped", "published", "checked"}),
    ({"expose": ["8080"]}, {"running"}),
    ({"expose": ["8000-9000/tcp"]}, {"running"}),
    ({"expose": ["53"]}, set()),
    ({"expose": ["53/udp"]}, {"running"}),
    ({"publish": ["32099"]}, {"published"}),
    ({"publish": ["80"]}, set()),
    ({"health": ["starting"]}, {"checked"}),
    ({"health": ["none"]}, ALL - {"checked"}),
    ({"network": ["none"]}, ALL - {"published"}),
    ({"network": ["bridge"]}, {"published"}),
    ({"volume": ["vol"]}, {"running"}),
    ({"volume": ["/data"]}, {"running"}),
    ({"is-task": ["false"]}, ALL),
    ({"is-task": ["true"]}, set()),
    ({"isolation": ["default"]}, ALL),
    ({"isolation": ["hyperv"]}, set()),
    ({"status": ["exited"], "exited": ["3"]}, {"exited3"}),
]


def listed(engine, filters, more="&all=1"):
    import json
    import urllib.parse
    answer = engine.api("GET", f"/containers/json?filters={urllib.parse.quote(json.dumps(filters))}{more}")
    assert answer.status == 200, answer
    return [c["Names"][0].strip("/") for c in answer.json]


@pytest.mark.parametrize("filters,names", FILTERS, ids=lambda x: "&".join(x) if isinstance(x, dict) else "")
def test_list_filter(zoo, filters, names):
    assert set(listed(zoo, filters)) == names
    # The older form of filters: {"key": {"value": true}}.
    assert set(listed(zoo, {k: {v: True for v in values} for k, values in filters.items()})) == names


def test_list_by_id_and_limits(zoo):
    assert listed(zoo, {"id": [zoo.ids["paused"][:12]]}) == ["paused"]
    assert listed(zoo, {"id": [zoo.ids["paused"]]}) == ["paused"]
    assert listed(zoo, {"ancestor": [zoo.api("GET", "/images/other:1/json").json["Id"]]}) == ["other"]
    everything = [c["Names"][0].strip("/") for c in zoo.api("GET", "/containers/json?all=1").json]
    assert everything == ["checked", "published", "stopped", "exited3", "exited0", "paused", "running", "other", "created"]
    assert [c["Names"][0] for c in zoo.api("GET", "/containers/json?limit=2").json] == ["/checked", "/published"]
    assert {c["Names"][0] for c in zoo.api("GET", "/containers/json").json} == {"/running", "/paused"}
    assert set(listed(zoo, {"status": ["exited"]}, "")) == {"exited0", "exited3", "stopped"}


@pytest.mark.parametrize("filters,word", [({"status": ["dancing"]}, "status"), ({"health": ["fine"]}, "health"),
                                          ({"colour": ["red"]}, "colour"), ({"exited": ["zero"]}, "exited"),
                                          ({"is-task": ["maybe"]}, "is-task"), ({"expose": ["eighty"]}, "expose"),
                                          ({"publish": ["80/icmp"]}, "publish")])
def test_bad_filters_are_named(zoo, filters, word):
    import json
    import urllib.parse
    answer = zoo.api("GET", f"/containers/json?filters={urllib.parse.quote(json.dumps(filters))}")
    assert answer.status == 400 and word in answer.message, answer


def test_filters_name_what_is_not_there(zoo):
    for key in ("before", "since"):
        assert zoo.api("GET", f'/containers/json?filters={{"{key}":["nosuch"]}}').status == 404
