"""An exec that the shim does itself: in everything that the kernel tells of it as its container's own process, also where
its container ends meanwhile, and told of in Docker's words where it cannot run."""
import ctypes
import fcntl
import os
import pathlib
import subprocess
import time

import pytest

from tests.harness import leaks
from tests.harness.engine import Engine
from tests.harness.fields import Run, filter_probe

SYS_ADD_KEY, SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING = 248, 250, 1
NAMESPACES = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
# Of /proc/PID/status: what is not the process's own doing.
STATUS = ["Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
          "Speculation_Store_Bypass", "SpeculationIndirectBranch", "Cpus_allowed", "Mems_allowed", "SigBlk", "SigIgn", "SigCgt"]
HOSTS = {
    "default": {},
    "bridge": {"NetworkMode": "bridge"},
    "host-network": {"NetworkMode": "host"},
    "host-ids": {"UsernsMode": "host"},
    "host-pids": {"PidMode": "host"},
    "host-ipc-uts": {"UsernsMode": "host", "IpcMode": "host", "UTSMode": "host"},
    "privileged": {"Privileged": True},
    "own-cgroups": {"CgroupnsMode": "private"},
    "unconfined": {"SecurityOpt": ["seccomp=unconfined"]},
    "new-privileges": {"SecurityOpt": ["no-new-privileges=false"], "CapAdd": ["ALL"]},
    "capabilities": {"CapAdd": ["NET_ADMIN"], "CapDrop": ["CHOWN", "SETPCAP"]},
    "limits": {"Ulimits": [{"Name": "nofile", "Soft": 30, "Hard": 40}, {"Name": "core", "Soft": 0, "Hard": 0},
                           {"Name": "nproc", "Soft": 500, "Hard": 500}], "OomScoreAdj": 321, "Memory": 64 << 20, "CpusetCpus": "0"},
    "groups": {"GroupAdd": ["7", "daemon"]},
}


def start_exec(engine, container, *command, **more):
    """Detached; its id."""
    made = engine.api("POST", f"/containers/{container}/exec", {"Cmd": list(command), **more})
    assert made.status == 201, made
    answer = engine.api("POST", f"/exec/{made.json['Id']}/start", {"Detach": True})
    assert answer.status == 200, answer
    return made.json["Id"]


def what_the_kernel_says(pid):
    proc = pathlib.Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    said = {name: status[name].split() for name in STATUS if name in status}
    said.update({f"ns/{name}": os.readlink(proc / "ns" / name) for name in NAMESPACES})
    said.update({name: (proc / name).read_text() for name in ("cgroup", "uid_map", "gid_map", "limits", "oom_score_adj", "loginuid")})
    said["root"], said["cwd"] = os.stat(proc / "root").st_ino, os.stat(proc / "cwd").st_ino
    said["fds"] = sorted(os.listdir(proc / "fd"))
    return said


# covers S-42, S-47
@pytest.mark.parametrize("user", ["", "app"])
@pytest.mark.parametrize("name", HOSTS)
def test_an_exec_is_as_its_container(engine, name, user):
    run = Run(engine, None, config={"Cmd": ["sleep", "1000"], "User": user, "WorkingDir": "/tmp"}, host=HOSTS[name])
    assert run.error is None, run.error
    made = start_exec(engine, run.id, "sleep", "1000")
    pids = run.inspect()["State"]["Pid"], engine.api("GET", f"/exec/{made}/json").json["Pid"]
    for pid in pids:  # a start may be answered a moment before the runtime has become the program
        engine.wait_for(lambda p=pid: pathlib.Path(f"/proc/{p}/cmdline").read_bytes() == b"sleep\x001000\0")
    container, other = map(what_the_kernel_says, pids)
    run.remove()
    assert other == container


# covers S-42: a program that does nothing but look for the next process, with all capabilities that its container can have.
def test_who_enters_shows_nothing(engine, tmp_path):
    spy = tmp_path / "spy"
    subprocess.run(["gcc", "-O1", "-static", "-o", spy, pathlib.Path(__file__).with_name("spy.c")], check=True)
    run = Run(engine, "exec /spy /bin/busybox", host={"CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined"], "Binds": [f"{spy}:/spy:ro"]})
    assert run.error is None, run.error
    deadline = time.monotonic() + 60
    while not run.log():
        assert time.monotonic() < deadline
    for _ in range(40):
        assert run.execute("true") == ""
    seen = run.log()
    run.remove()
    assert seen == "up\n"


# covers S-40: what enters a container is no file of the host.
def test_it_is_run_from_a_sealed_copy(engine):
    """And by the shim, not the runtime, which leaves a pid file of another mode: so the other tests are about the shim."""
    run = Run(engine, None, config={"Cmd": ["sleep", "1000"]})
    made = start_exec(engine, run.id, "sleep", "1000")
    at = engine.run / "runtimed" / "c" / run.id / f"x-{made[:16]}" / "pid"
    assert at.stat().st_mode & 0o777 == 0o600
    with open(f"/proc/{engine.api('GET', f'/exec/{made}/json').json['Pid']}/stat", encoding="ascii") as f:
        shim = f.read().rsplit(")", 1)[1].split()[1]
    with open(f"/proc/{shim}/exe", "rb") as f:
        assert os.readlink(f"/proc/{shim}/exe").startswith("/memfd:")
        assert fcntl.fcntl(f, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    run.remove()


# covers S-59: neither environment nor keys of the session in which the engine was started.
def test_no_key_of_the_engines_session(tmp_path):
    program = tmp_path / "keys"
    subprocess.run(["gcc", "-O1", "-static", "-o", program, pathlib.Path(__file__).with_name("keys.c")], check=True)
    libc, of_session = ctypes.CDLL(None, use_errno=True), -3
    assert libc.syscall(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None) > 0
    assert libc.syscall(SYS_ADD_KEY, b"user", b"pouch-test", b"secret", ctypes.c_size_t(6), of_session) > 0
    assert subprocess.run([program, "pouch-test"], stdout=subprocess.PIPE, text=True, check=True).stdout == "found\n"
    with Engine() as engine:
        engine.busybox()
        run = Run(engine, "/keys pouch-test; exec sleep 1000", host={
            "UsernsMode": "host", "CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined"], "Binds": [f"{program}:/keys:ro"]})
        assert run.execute("/keys", "pouch-test") == "none\n"
        assert run.log() == "none\n"
        run.remove()


# covers S-54
def test_the_filter_is_the_containers(engine, tmp_path):
    calls = filter_probe(tmp_path)
    for host in ({}, {"SecurityOpt": ["no-new-privileges=false"]}, {"UsernsMode": "host", "SecurityOpt": ["no-new-privileges=false"]}):
        run = Run(engine, "/calls; sleep 1000", host={**host, "Binds": [f"{calls}:/calls:ro"]})
        assert run.error is None, run.error
        deadline = time.monotonic() + 60
        while not run.log().endswith("\n"):
            assert time.monotonic() < deadline
        assert run.execute("/calls") == run.execute("/calls", User="app") == run.log()
        run.remove()


@pytest.mark.parametrize("user,home", [("", "/root"), ("app", "/home/app"), ("1000:7", "/home/app"), ("4242", "/")])
def test_home(engine, user, home):
    run = Run(engine, "sleep 1000")
    assert run.execute("sh", "-c", "echo $HOME", User=user) == home + "\n"
    assert run.execute("sh", "-c", "echo $HOME", User=user, Env=["HOME=/mine"]) == "/mine\n"
    run.remove()


@pytest.mark.parametrize("host", [{}, {"UsernsMode": "host"}])
def test_its_streams_are_its_users(engine, host):
    """Also the terminal, as with Docker: who an exec is may open /dev/stdout and /dev/tty anew."""
    run = Run(engine, "sleep 1000", host=host)
    script = "echo one > /dev/stdout; echo two > /proc/self/fd/2; id -u"
    assert sorted(run.execute("sh", "-c", script, User="app").split()) == ["1000", "one", "two"]
    assert run.execute("sh", "-c", script + "; echo four > /dev/tty; tty; stat -c %u /dev/pts/0", User="app", Tty=True) == \
        "one\ntwo\n1000\nfour\n/dev/pts/0\n1000\n"
    run.remove()


@pytest.mark.parametrize("command,more,code,says", [
    (["nosuch"], {}, 127, 'exec: "nosuch": executable file not found in $PATH'),
    (["/nosuch"], {}, 127, 'exec: "/nosuch": stat /nosuch: no such file or directory'),
    (["/etc/passwd/x"], {}, 127, 'exec: "/etc/passwd/x": stat /etc/passwd/x: no such file or directory'),
    (["/etc"], {}, 126, 'exec: "/etc": permission denied'),
    (["passwd"], {"Env": ["PATH=/etc"]}, 127, 'exec: "passwd": executable file not found in $PATH'),
    ([""], {}, 127, 'exec: "": executable file not found in $PATH'),
    (["/text"], {}, 126, 'exec: "/text": exec format error: permission denied'),
    (["/script"], {}, 127, 'exec: "/script": stat: no such file or directory'),
    (["true"], {"WorkingDir": "/nosuch"}, 126, "chdir `/nosuch`: No such file or directory"),
    (["true"], {"User": "nosuch"}, 126, "unable to find user nosuch: no such user"),
    (["true"], {"WorkingDir": "/locked", "User": "app"}, 0, ""),
])
def test_what_cannot_run(engine, command, more, code, says):
    run = Run(engine, "echo x > /text; printf '#!/nosuch\\n' > /script; chmod 755 /text /script; mkdir -m 700 /locked; exec sleep 1000")
    deadline = time.monotonic() + 60
    while run.execute("ls", "-d", "/locked") != "/locked\n":
        assert time.monotonic() < deadline
    made = engine.api("POST", f"/containers/{run.id}/exec", {"Cmd": command, "AttachStderr": True, **more}).json["Id"]
    text = engine.api("POST", f"/exec/{made}/start", {}).body.decode(errors="replace")
    assert (says.split(": no such user")[0] in text, engine.api("GET", f"/exec/{made}/json").json["ExitCode"]) == (True, code), text
    run.remove()


def test_at_the_limit_of_processes(engine):
    """Whoever looks into a container that a fork bomb has filled needs a process there."""
    run = Run(engine, "sleep 1000 & sleep 1000 & sleep 1000 & wait", host={"PidsLimit": 4})
    deadline = time.monotonic() + 60
    while len(engine.api("GET", f"/containers/{run.id}/top").json["Processes"]) < 4:
        assert time.monotonic() < deadline
    assert run.execute("echo", "in") == "in\n"
    run.remove()


# covers S-40: with the host's ids a container could write to the file that its exec is run from, were it a file.
def test_the_shim_is_not_overwritten(engine):
    shim = engine.build / "shim"
    before = shim.read_bytes()
    attack = "echo up; while :; do for p in /proc/[0-9]*; do { echo pwned > $p/exe; } 2>/dev/null; done; done"
    run = Run(engine, attack, host={"UsernsMode": "host", "CapAdd": ["SYS_PTRACE", "DAC_READ_SEARCH"]})
    for _ in range(20):
        run.execute("/proc/self/exe", "true")
    assert run.execute("echo", "well") == "well\n"
    run.remove()
    assert shim.read_bytes() == before


@pytest.mark.parametrize("host", [{}, {"PidMode": "host"}])
def test_none_outlives_its_container(engine, host):
    """The container is removed while execs enter it; with the host's pids no namespace takes them along."""
    mark = f"{os.getpid()}{len(host)}.5"
    for wait in range(8):
        run = Run(engine, None, config={"Cmd": ["sleep", "1000"]}, host=host)
        made = [engine.api("POST", f"/containers/{run.id}/exec", {"Cmd": ["sleep", f"1000{mark}"]}).json["Id"] for _ in range(4)]
        waiting = [engine.start_request("POST", f"/exec/{name}/start", body={"Detach": True}) for name in made]
        for connection in waiting[:wait // 2]:
            connection.getresponse().read()
        run.remove()
        for connection in waiting[wait // 2:]:
            assert connection.getresponse().status in (200, 404, 409, 500)
        assert not [top for top in (leaks.CGROUPS, *leaks.CGROUPS.iterdir()) if (top / engine.dir.name / run.id).exists()]
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and f"1000{mark}".encode() in command_line(pid)]


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_one_that_enters_a_paused_container(engine):
    """It stands still with the others, and goes on with them."""
    run = Run(engine, "sleep 1000")
    made = engine.api("POST", f"/containers/{run.id}/exec", {"Cmd": ["echo", "in"], "AttachStdout": True}).json["Id"]
    assert engine.api("POST", f"/containers/{run.id}/pause").status == 204
    assert engine.api("POST", f"/exec/{made}/start", {}).status == 409
    assert engine.api("POST", f"/containers/{run.id}/unpause").status == 204
    assert engine.api("POST", f"/exec/{made}/start", {}).body.endswith(b"in\n")
    run.remove()
