"""What a container gets and cannot get at its start, and what it can use up. Longer with LONG=1."""
import hashlib
import os
import pathlib
import re
import shutil
import time

import pytest

from tests.harness import leaks
from tests.harness.engine import Engine
from tests.harness.fields import Run, filter_probe, output
from tests.harness.long import LONG, rounds

MIB = 1 << 20
V2 = (leaks.CGROUPS / "cgroup.controllers").exists()


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return filter_probe(tmp_path_factory.mktemp("calls"))


def wait_for(run, text):
    assert run.error is None, run.error
    deadline = time.monotonic() + 60
    while text not in run.log():
        assert time.monotonic() < deadline and run.inspect()["State"]["Running"], run.log()


# covers S-40: a container that waits for the runtime to come by, with the host's ids, and writes to what it runs.
def test_the_runtime_is_not_overwritten(tmp_path):
    crun = tmp_path / "crun"
    shutil.copy(shutil.which("crun"), crun)
    before = hashlib.sha256(crun.read_bytes()).hexdigest()
    config = {"runtime": {"runtimes": {"crun": {"path": str(crun), "bpf-annotation": True}}}}
    with Engine(config=config) as engine:
        engine.busybox()
        attack = "echo up; while :; do for p in /proc/[0-9]*; do { echo pwned > $p/exe; } 2>/dev/null; done; done"
        run = Run(engine, attack, host={"UsernsMode": "host", "CapAdd": ["SYS_PTRACE", "DAC_READ_SEARCH"]})
        wait_for(run, "up")
        for _ in range(20):
            run.execute("/proc/self/exe", "true")
        run.remove()
        again = Run(engine, None, config={"Cmd": ["/proc/self/exe", "--version"]}, host={"UsernsMode": "host"})
        again.remove()
        assert hashlib.sha256(crun.read_bytes()).hexdigest() == before
        assert Run(engine, "echo well").finish() == "well\n"


# covers S-41
def test_no_descriptor_leads_to_the_host(engine):
    for number in range(3, 24):
        run = Run(engine, "cat ../../../../../../../../etc/hostname 2>/dev/null; cat ../../../../../../etc/machine-id",
                  config={"WorkingDir": f"/proc/self/fd/{number}", "Hostname": "inside"})
        if run.error is None:
            assert run.finish().startswith("inside\n"), number
        run.remove()
    run = Run(engine, "ls /proc/self/fd; sleep 1000")
    wait_for(run, "3\n")
    assert run.log() == "0\n1\n2\n3\n"  # 3 is ls's own
    assert run.execute("ls", "/proc/self/fd") == "0\n1\n2\n3\n"
    for number in range(3, 16):
        made = engine.api("POST", f"/containers/{run.id}/exec", {"Cmd": ["cat", "../../../../../../etc/hostname"], "AttachStdout": True,
                                                                 "WorkingDir": f"/proc/self/fd/{number}"})
        text = engine.api("POST", f"/exec/{made.json['Id']}/start", {}).body
        assert os.uname().nodename.encode() not in text, number
    run.remove()


# covers S-42: the runtime on its way in can be looked at by nobody in the container.
def test_the_joining_process_shows_nothing(engine):
    spy = ("echo up; while :; do for p in /proc/[0-9]*; do ls -l $p/fd $p/cwd $p/exe $p/root $p/map_files; "
           "tr '\\0' '\\n' < $p/environ; done; done 2>/dev/null | grep -E 'crun|pouch|memfd|runtimed|shim|/host'")
    run = Run(engine, spy, host={"CapAdd": ["SYS_PTRACE"], "SecurityOpt": ["seccomp=unconfined"]})
    wait_for(run, "up")
    for _ in range(30):
        assert run.execute("echo", "in") == "in\n"
    seen = run.log()
    run.remove()
    assert seen == "up\n", seen


# covers S-44: the runtime gives what a container reads to its root; the host's own device, shown in each container, it must
# not be: that root could close it to everybody.
@pytest.mark.parametrize("host,user,owner", [({}, "", 0), ({}, "app", 1000), ({"UsernsMode": "host"}, "app", 1000)])
def test_the_hosts_null_is_the_hosts(engine, host, user, owner):
    run = Run(engine, "cat; exec sleep 1000", config={"User": user}, host=host)
    assert run.error is None, run.error
    with open(f"/proc/{run.inspect()['State']['Pid']}/uid_map", encoding="ascii") as f:
        base = int(f.read().split()[1])
    assert os.stat("/dev/null").st_uid != base + owner
    if not host:
        assert run.execute("sh", "-c", "chmod 600 /dev/null 2>/dev/null; echo $?") == "1\n"
    run.remove()


# covers S-46
@pytest.mark.parametrize("path", ["/proc/acpi", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/kcore", "/proc/scsi",
                                  "/proc/asound", "/proc/latency_stats", "/proc/sched_debug", "/sys/firmware",
                                  "/sys/devices/virtual/powercap", "/sys/devices/system/cpu/cpu0/thermal_throttle"])
def test_masked(engine, path):
    if not os.path.exists(path):
        pytest.skip(f"this host has no {path}")
    text = output(engine, f"if [ -d {path} ]; then ls -A {path}; else head -c 1 {path}; fi; grep -q ' {path} ' /proc/self/mountinfo && echo masked")
    assert text == "masked\n"


# covers S-47, S-48
@pytest.mark.parametrize("user,add", [("", []), ("app", []), ("", ["ALL"]), ("app", ["ALL"]), ("1000:2000", ["SYS_ADMIN"])])
def test_capability_sets(engine, user, add):
    run = Run(engine, "grep Cap /proc/self/status; sleep 1000", config={"User": user}, host={"CapAdd": add})
    wait_for(run, "CapAmb")
    for text in (run.log(), run.execute("grep", "Cap", "/proc/self/status"), run.execute("grep", "Cap", "/proc/self/status", User=user or "0")):
        sets = dict(re.findall(r"Cap(\w+):\s*(\w+)", text))
        assert int(sets["Inh"], 16) == 0 and int(sets["Amb"], 16) == 0, text
        assert int(sets["Bnd"], 16) != 0
        if user:
            assert int(sets["Eff"], 16) == 0 and int(sets["Prm"], 16) == 0, text
        else:
            assert sets["Eff"] == sets["Prm"] == sets["Bnd"]
    run.remove()


# covers S-49
def test_supplementary_groups(engine):
    for user, groups, says in (("", [], "0\n"), ("app", [], "1000 2000\n"), ("app", ["7", "daemon"], "1 7 1000 2000\n"),
                               ("4242", [], "0\n"), ("app:7", [], "7\n")):
        run = Run(engine, "grep Groups /proc/self/status; sleep 1000", config={"User": user}, host={"GroupAdd": groups})
        wait_for(run, "Groups")
        for text in (run.log(), run.execute("grep", "Groups", "/proc/self/status")):
            assert text.split(":")[1].split() == says.split(), (user, groups)
        run.remove()


# covers S-53
def test_sysctls_stay_inside(engine):
    before = pathlib.Path("/proc/sys/kernel/msgmax").read_text(), pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text()
    assert output(engine, "cat /proc/sys/kernel/msgmax", host={"Sysctls": {"kernel.msgmax": "4321"}}) == "4321\n"
    assert (pathlib.Path("/proc/sys/kernel/msgmax").read_text(), pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text()) == before
    text = output(engine, "echo 1 > /proc/sys/kernel/msgmax; echo x > /proc/sys/kernel/core_pattern; echo 1 > /proc/sys/vm/drop_caches", host={"CapAdd": ["ALL"]})
    assert text.count("Read-only file system") == 3, text


# covers S-54: the filter filters, for the container and for execs; with none the same calls reach the kernel.
def test_the_filter_filters(engine, calls):
    bind = [f"{calls}:/calls:ro"]
    for host, says in (({}, "bpf 1 io_pgetevents 1\n"), ({"CapAdd": ["SYS_PTRACE"]}, "bpf 1 io_pgetevents 1\n"),
                       ({"SecurityOpt": ["seccomp=unconfined"]}, "bpf 22 io_pgetevents 22\n")):
        run = Run(engine, "/calls; sleep 1000", host={"Binds": bind, **host})
        wait_for(run, "bpf")
        assert run.log() == says, host
        assert run.execute("/calls") == says, ("exec", host)
        run.remove()


# covers S-55
def test_cgroups_are_read_only(engine):
    text = output(engine, "cd /sys/fs/cgroup; for d in $(find . -type d); do mkdir $d/x 2>&1; for f in $d/*; do [ -w $f ] && [ ! -d $f ] && "
                  "(echo 1 > $f) 2>&1; done; done | grep -v 'Read-only file system'; echo done", host={"CapAdd": ["ALL"]})
    assert text == "done\n", text


# covers S-56
@pytest.mark.parametrize("size", [65535, 65536, 65537, 131000])
def test_nothing_is_cut(engine, size):
    value = "x" * (size - 10) + "0123456789"
    assert output(engine, "echo ${#V}; echo ${V##*x}", config={"Env": [f"V={value}"]}) == f"{size}\n0123456789\n"
    run = Run(engine, None, config={"Entrypoint": ["sh", "-c", "echo ${#0}; echo ${0##*x}"], "Cmd": [value], "Labels": {"l": value[-65536:]}})
    assert run.inspect()["Config"]["Labels"]["l"] == value[-65536:]
    assert run.finish() == f"{size}\n0123456789\n"
    run = Run(engine, "sleep 1000")
    assert run.execute("sh", "-c", "echo ${#V} ${#0}; echo ${V##*x} ${0##*x}", value, Env=[f"V={value}"]) == f"{size} {size}\n0123456789 0123456789\n"
    run.remove()


def test_too_long_an_argument_is_refused(engine):
    for config, name in (({"Env": ["V=" + "x" * (1 << 20)]}, "Env"), ({"Cmd": ["x" * 131072]}, "Cmd"),
                         ({"Labels": {"l": "x" * 65537}}, "Labels.l")):
        run = Run(engine, "true", config=config)
        assert run.created.status == 400 and name in run.error


# covers S-57: z and Z relabel nothing that a link leads to.
def test_relabel_follows_no_link(engine, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    os.setxattr(tmp_path / "target", "user.mark", b"1")
    before = sorted(os.listxattr(tmp_path / "target")), os.stat(tmp_path / "target").st_ctime_ns
    assert output(engine, "ls /m", host={"Binds": [f"{tmp_path}/link:/m:Z"]}) == ""
    assert (sorted(os.listxattr(tmp_path / "target")), os.stat(tmp_path / "target").st_ctime_ns) == before


# covers S-58
def test_files_are_private_under_any_umask():
    before = os.umask(0)
    try:
        with Engine() as engine:
            engine.busybox()
            run = Run(engine, "sleep 1000")
            open_to_others = []
            for top in (engine.root, engine.run):
                for directory, names, files in os.walk(top):
                    # what is inside a container or a layer is its own
                    names[:] = [n for n in names if n not in ("upper", "work", "layers", "merged")]
                    for name in files:
                        path = os.path.join(directory, name)
                        try:
                            info = os.lstat(path)
                        except FileNotFoundError:  # of the moment
                            continue
                        # The container reads these three as its own root; they lie behind a 0700 directory.
                        if name in ("hosts", "hostname", "resolv.conf") or not os.path.isfile(path):
                            continue
                        if info.st_mode & 0o077:
                            open_to_others.append((path, oct(info.st_mode)))
            run.remove()
            assert not open_to_others
    finally:
        os.umask(before)


# covers S-59
def test_environment_of_nobody_else(monkeypatch):
    monkeypatch.setenv("ENGINE_CANARY", "engine-canary-1")
    with Engine() as engine:
        engine.busybox()
        other = Run(engine, "sleep 1000", config={"Env": ["SIBLING=sibling-canary-2"]})
        run = Run(engine, "env; sleep 1000", config={"Hostname": "h", "Env": ["MINE=3"]})
        wait_for(run, "MINE")
        expected = {"PATH", "HOSTNAME", "HOME", "MINE", "SHLVL", "PWD"}
        for text in (run.log(), run.execute("env", Env=["MINE=4"])):
            assert "canary" not in text and {line.split("=")[0] for line in text.splitlines()} <= expected, text
        other.remove()
        run.remove()


# ---- resources ----

def engine_memory(engine):
    """Bytes that are the engine's processes' own, shims included: what they share changes with others on the machine."""
    total = 0
    for pid in leaks.processes(engine):
        try:
            words = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            if engine.cgroup + "/" not in pathlib.Path(f"/proc/{pid}/cgroup").read_text():
                total += int(re.search(r"Private_Dirty:\s+(\d+)", words).group(1)) * 1024
        except (OSError, AttributeError):
            continue
    return total


def descriptors(engine):
    counts = {}
    for name, pid in engine.pids().items():
        if name in ("apid", "runtimed"):
            counts[name] = len(os.listdir(f"/proc/{pid}/fd"))
    return counts


# covers S-60
def test_endless_output_of_an_exec(engine):
    run = Run(engine, "sleep 1000")
    run.execute("true")
    before = engine_memory(engine)
    size = 10240 if LONG else 192
    made = engine.api("POST", f"/containers/{run.id}/exec", {"Cmd": ["dd", "if=/dev/zero", "bs=1M", f"count={size}"], "AttachStdout": True})
    from tests.harness.engine import UnixConnection
    connection = UnixConnection(engine.socket, timeout=600)
    connection.request("POST", f"/v1.43/exec/{made.json['Id']}/start", b"{}", {"Content-Type": "application/json"})
    response = connection.getresponse()
    total, most = 0, 0
    while chunk := response.read(8 * MIB):
        total += len(chunk)
        most = max(most, engine_memory(engine))
    connection.close()
    run.remove()
    assert total >= size * MIB
    assert most - before < 8 * MIB, (before, most)


# covers S-61
def test_aborted_attaches_and_execs_leave_nothing(engine):
    """Of each as many. LONG=1: five minutes of it, or 50,000 of each; test_attach.py has 100,000 that never come to a process."""
    import socket
    run = Run(engine, "sleep 1000")
    run.execute("true")

    def abort(target, body):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(engine.socket))
        client.sendall(f"POST /v1.43{target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nUpgrade: tcp\r\n"
                       f"Connection: Upgrade\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        return client

    def round_of(numbers):
        for i in numbers:
            client = abort(f"/containers/{run.id}/attach?stream=1&stdout=1&stdin=1", "")
            if i % 2:
                client.recv(64)
            client.close()
            made = engine.api("POST", f"/containers/{run.id}/exec", {"Cmd": ["true"], "AttachStdout": True}).json["Id"]
            client = abort(f"/exec/{made}/start", "{}")
            if i % 3:
                client.recv(64)
            client.close()

    def settled(limit=None):
        """The last exec has been told as ended, and there are no more descriptors than that."""
        deadline = time.monotonic() + 60
        ids = engine.api("GET", f"/containers/{run.id}/json").json["ExecIDs"] or []
        while any(engine.api("GET", f"/exec/{i}/json").json["Running"] for i in ids):
            assert time.monotonic() < deadline, "execs whose clients have gone still run"
        while limit and any(n > limit[name] for name, n in descriptors(engine).items()):
            assert time.monotonic() < deadline, (limit, descriptors(engine))
        return descriptors(engine), engine_memory(engine)

    round_of(range(50))
    before, memory = settled()
    round_of(rounds(100, long=50000, seconds=300))
    _, memory_after = settled({name: n + 2 for name, n in before.items()})
    run.remove()
    assert memory_after - memory < 4 * MIB, (memory, memory_after)


# covers S-62
def test_shared_memory_is_charged_and_given_back(engine):
    run = Run(engine, "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>/dev/null; echo up; sleep 1000", host={"Memory": 64 * MIB})
    wait_for(run, "up")
    directory = (leaks.CGROUPS if V2 else leaks.CGROUPS / "memory") / engine.cgroup.strip("/") / run.id
    used = int((directory / ("memory.current" if V2 else "memory.usage_in_bytes")).read_text())
    assert used >= 20 * MIB
    run.execute("rm", "/dev/shm/x")
    assert int((directory / ("memory.current" if V2 else "memory.usage_in_bytes")).read_text()) < 8 * MIB
    run.remove()
    # What is more than the container's memory is its own end.
    run = Run(engine, "dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null && echo written",
              host={"Memory": 32 * MIB, "MemorySwap": 32 * MIB})
    assert "written" not in run.finish() and run.code == 137
    text = output(engine, "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>&1 | grep -c 'No space left'", host={"ShmSize": 8 * MIB})
    assert text == "1\n"


# covers S-63
def test_fork_bomb(engine):
    run = Run(engine, "echo up; b() { b | b & }; b; sleep 1000", host={"PidsLimit": 40})
    wait_for(run, "up")
    directory = (leaks.CGROUPS if V2 else leaks.CGROUPS / "pids") / engine.cgroup.strip("/") / run.id
    for _ in range(50):
        assert int((directory / "pids.current").read_text()) <= 40
        assert engine.api("GET", "/containers/json").status == 200
    assert engine.api("DELETE", f"/containers/{run.id}?force=1").status == 204
    assert not directory.exists()


# ---- what is asked for ----

# covers D-15
def test_safe_defaults(engine):
    run = Run(engine, "cat /proc/self/uid_map /proc/self/status; sleep 1000")
    wait_for(run, "nonvoluntary")
    text = run.log()
    assert re.search(r"NoNewPrivs:\s*1", text) and re.search(r"Seccomp:\s*2", text)
    assert int(re.search(r"CapBnd:\s*(\w+)", text).group(1), 16).bit_count() == 11
    directory = (leaks.CGROUPS if V2 else leaks.CGROUPS / "pids") / engine.cgroup.strip("/") / run.id
    assert (directory / "pids.max").read_text() == "4096\n"
    assert text.splitlines()[0].split()[1] != "0"
    run.remove()


# covers D-20
def test_init_reaps_and_forwards(engine):
    # A shell reaps as the first process what is left to it, and a first process without a handler gets no SIGTERM.
    run = Run(engine, "(sh -c 'echo up' &); exec sleep 1000", host={"Init": True})
    wait_for(run, "up")
    deadline = time.monotonic() + 60
    while "Z" in run.execute("sh", "-c", "for p in /proc/[0-9]*; do cut -d' ' -f3 $p/stat; done 2>/dev/null"):
        assert time.monotonic() < deadline, "a zombie stays"
    assert engine.api("POST", f"/containers/{run.id}/stop?t=60").status == 204
    assert run.inspect()["State"]["ExitCode"] == 128 + 15
    run.remove()
    # A program that is its container's first process gets SIGTERM as it is.
    run = Run(engine, "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(run, "up")
    assert engine.api("POST", f"/containers/{run.id}/stop?t=60").status == 204
    assert run.inspect()["State"]["ExitCode"] == 6
    run.remove()


# covers D-24
def test_a_stuck_container_holds_up_nobody(engine):
    import signal
    frozen, stuck, other = (Run(engine, "sleep 1000") for _ in range(3))
    engine.api("POST", f"/containers/{frozen.id}/pause")
    shim = next(int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_shim_of(pid, stuck.id))
    os.kill(shim, signal.SIGSTOP)
    try:
        assert {c["Id"] for c in engine.api("GET", "/containers/json").json} >= {frozen.id, stuck.id, other.id}
        for run in (frozen, stuck, other):
            assert engine.api("GET", f"/containers/{run.id}/json").status == 200
            assert engine.api("GET", f"/containers/{run.id}/top").status == 200
            assert engine.api("GET", f"/containers/{run.id}/stats?stream=0&one-shot=1").status == 200
        assert other.execute("echo", "fine") == "fine\n"
    finally:
        os.kill(shim, signal.SIGCONT)
    for run in (frozen, stuck, other):
        run.remove()


def is_shim_of(pid, container):
    try:
        return (os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "shim"
                and container in pathlib.Path(f"/proc/{pid}/cmdline").read_text())
    except OSError:
        return False
