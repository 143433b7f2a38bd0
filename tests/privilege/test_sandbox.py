"""What each process may do: read from /proc of a running engine, and tried by a program in the same sandbox."""
import contextlib
import json
import os
import pathlib
import re
import select
import signal
import subprocess

import pytest

from tests.harness.engine import Engine
from tests.harness.ports import free_port

DAEMONS = ["apid", "runtimed", "imaged", "volumed", "netd", "auditd"]
WORKERS = ["image-fetch", "image-unpack", "rootfs", "volume-mount", "dns", "log"]
OFFSETS = {"apid": 1, "imaged": 2, "volumed": 3, "netd": 4, "auditd": 5, "image-fetch": 6, "image-unpack": 7, "dns": 8,
           "log": 9}

CHOWN, DAC_OVERRIDE, FOWNER, FSETID = 0, 1, 3, 4
NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_ADMIN = 10, 12, 13, 21
CAPABILITIES = {
    "apid": [],
    "imaged": [],
    "volumed": [CHOWN, DAC_OVERRIDE, FOWNER, FSETID],
    "netd": [NET_ADMIN, NET_BIND_SERVICE, NET_RAW, SYS_ADMIN],
    "auditd": [],
}
# Paths that a process may have open, beside sockets, pipes, event loops, memfds, /dev/null and the engine's log.
FILES = {
    "apid": [],
    "imaged": ["{root}/imaged", "/"],
    "volumed": ["{root}/volumed", "/"],
    "netd": ["{root}/netd", "/"],
    "auditd": ["{root}/auditd"],
}
# Mount points of its own root, beside "/" and the sockets of the helpers that it calls.
MOUNTS = {
    "apid": [],
    "imaged": ["{root}/imaged"],
    "volumed": ["{root}/volumed", "/run/docker/plugins"],
    "netd": ["{root}/netd", "/etc", "/proc/sys/net", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
             "/usr/share/iproute2"],
    "auditd": ["{root}/auditd"],
}
PEERS = {
    "apid": {"pouchd", "runtimed", "imaged", "volumed", "netd", "auditd"},
    "imaged": {"runtimed", "auditd", "image-fetch", "image-unpack"},
    "volumed": {"runtimed", "auditd", "volume-mount", "rootfs"},
    "netd": {"runtimed", "auditd", "dns"},
    "auditd": set(),
}
HAS_NETWORK = {"netd", "image-fetch", "dns", "log", "volume-mount"}

# What works for a program in the sandbox, of all that it tries. Everything else is killed or fails.
WORKS = {
    "netd": {"connect_tcp", "send_udp", "raw_socket", "listen_tcp"},
    "image-fetch": {"connect_tcp", "send_udp"},
    "dns": {"connect_tcp", "send_udp"},
    "log": {"connect_tcp", "send_udp"},
    # It is root by number; its capabilities are those to get into a container's files, and it has an empty root.
    "rootfs": {"become_root", "join_root_group", "change_root"},
    # The power to mount on the host is what it is for: see docs/threat-model.md.
    "volume-mount": {"mount_tmpfs"},
}


def probe(engine, what, name):
    done = subprocess.run([str(engine.build / "tests/privilege/probe"), what, name, str(engine.root), str(engine.run),
                           str(base(engine))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def base(engine):
    """ids.base of this engine."""
    return status(engine.pids()["apid"])["Uid"][0] - OFFSETS["apid"]


def status(pid):
    out = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        key, value = line.split(":", 1)
        if key in ("Uid", "Gid", "Groups"):
            out[key] = [int(x) for x in value.split()]
        elif key.startswith("Cap"):
            out[key] = [bit for bit in range(64) if int(value, 16) >> bit & 1]
        else:
            out[key] = value.strip()
    return out


def kernel_at_least(major, minor):
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) >= (major, minor)


@pytest.fixture(scope="module")
def running():
    with Engine() as engine:
        yield engine


@pytest.fixture(params=[d for d in DAEMONS if d != "runtimed"])
def daemon(request, running):
    if request.param not in running.pids():
        pytest.skip(f"{request.param} is not part of this build")
    return request.param


# ---- S-80: what /proc says ----

def test_ids_and_capabilities(running, daemon):  # covers S-80
    s = status(running.pids()[daemon])
    uid = base(running) + OFFSETS[daemon]
    assert s["Uid"] == [uid] * 4 and s["Gid"] == [uid] * 4 and s["Groups"] == []
    want = sorted(CAPABILITIES[daemon])
    assert s["CapEff"] == want and s["CapPrm"] == want and s["CapBnd"] == want
    assert s["CapInh"] == [] and s["CapAmb"] == []
    assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"


def test_root_shows_only_its_own(running, daemon):  # covers S-80
    pid = running.pids()[daemon]
    sockets = {f"{running.run}/ipc/{peer}.sock" for peer in PEERS[daemon]}
    allowed = {path.format(root=running.root) for path in MOUNTS[daemon]}
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        point, options = line.split()[4:6]
        flags = options.split(",")
        assert {"nosuid", "nodev", "noexec"} <= set(flags), line
        if point == "/":
            assert "ro" in flags and " tmpfs " in line
        elif point in sockets:
            assert "ro" in flags
        else:
            assert any(point == a or point.startswith(a + "/") for a in allowed), line
            assert ("rw" in flags) == (point in (f"{running.root}/{daemon}", "/proc/sys/net")), line
    assert set(os.listdir(f"/proc/{pid}/root/")) <= {p.split("/")[1] for p in sockets | allowed}


def test_namespaces(running, daemon):  # covers S-80
    pid = running.pids()[daemon]

    def same(kind):
        return os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
    assert not same("mnt") and not same("ipc") and not same("uts")
    assert same("net") == (daemon in HAS_NETWORK)
    if not same("net"):
        lines = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in lines] == ["lo"]


def test_descriptors(running, daemon):  # covers S-80
    pid = running.pids()[daemon]
    allowed = [path.format(root=running.root) for path in FILES[daemon]]
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if int(fd) < 3 or re.match(r"(socket|pipe|anon_inode):|/memfd:", target):
            continue
        flags = int(re.search(r"flags:\s*(\d+)", pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text())[1], 8)
        if target.endswith("/pouchd.pid"):  # the engine's lock, held by all of it
            assert flags & os.O_ACCMODE == os.O_RDONLY
            continue
        assert flags & os.O_CLOEXEC, target
        if daemon == "netd" and target == os.readlink("/proc/self/ns/net"):  # its way back from a container's
            continue
        assert any(target == a or (a != "/" and target.startswith(a + "/")) for a in allowed), target


def test_limits(running, daemon):  # covers S-80
    limits = pathlib.Path(f"/proc/{running.pids()[daemon]}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    if daemon in ("apid", "auditd"):
        assert re.search(r"Max processes +0 +0 ", limits)


def test_who_keeps_root_is_declared(running):  # covers S-80
    services = json.loads(running.ctl("status", "--json").stdout)["Services"]
    for service in services:
        pid = running.pids().get(service["Name"])
        if pid and 0 in status(pid)["Uid"]:
            assert service["Name"] == "runtimed"


def test_the_report_is_what_proc_says(running, daemon):  # covers S-80
    services = json.loads(running.ctl("status", "--json").stdout)["Services"]
    report = next(service for service in services if service["Name"] == daemon)["Sandbox"]
    if not report:
        pytest.skip(f"{daemon} does not answer service_status")
    s = status(running.pids()[daemon])
    assert report["Uid"] == s["Uid"][0] and len(report["Capabilities"]) == len(s["CapEff"])
    assert report["OwnRoot"] and report["Seccomp"] and report["NoNewPrivileges"]
    assert report["EmptyNetwork"] == (daemon not in HAS_NETWORK)
    if kernel_at_least(6, 12):
        assert report["Missing"] == [] and report["MemoryDenyWriteExecute"] and report["Landlock"] >= 6


@contextlib.contextmanager
def running_container(engine):
    """Pids of a container's shim and of an exec's."""
    engine.busybox()
    made = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {
        "NetworkMode": "none"}})
    assert made.status == 201, made
    container = made.json["Id"]
    assert engine.api("POST", f"/containers/{container}/start").status == 204
    execution = engine.api("POST", f"/containers/{container}/exec", {"Cmd": ["sleep", "1000"]}).json["Id"]
    assert engine.api("POST", f"/exec/{execution}/start", {"Detach": True}).status == 200
    try:
        yield shims(engine, container)
    finally:
        engine.api("DELETE", f"/containers/{container}?force=1")


def shims(engine, container):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"pouch-shim\0" + container.encode()):
                found.append(int(entry.name))
    return found


def test_a_shim_is_held(running):  # covers S-80
    with running_container(running) as pids:
        assert len(pids) == 2
        for pid in pids:
            s = status(pid)
            assert s["Uid"] == s["Gid"] and len(set(s["Uid"])) == 1 and s["Uid"][0] >= base(running)
            assert s["Groups"] == [] and not any(s[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
            assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
            assert os.readlink(f"/proc/{pid}/root") == os.readlink(f"/proc/{pid}/cwd") == f"/proc/{pid}/fdinfo"
            assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text())
            for fd in os.listdir(f"/proc/{pid}/fd"):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                assert re.search(r"^(socket|pipe|anon_inode):|/log$|-json\.log$|/exit$", target), target


# ---- S-81, S-83: what a taken-over process can do ----

@pytest.mark.parametrize("name", [d for d in DAEMONS if d != "runtimed"] + WORKERS + ["shim"])
def test_taken_over(running, name):  # covers S-81 S-83
    if name in DAEMONS and name not in running.pids():
        pytest.skip(f"{name} is not part of this build")
    result = probe(running, "tries", name)
    assert len(result) > 60
    assert {t for t, r in result.items() if r == "works"} == WORKS.get(name, set())
    assert "?" not in result.values()
    # Nothing of the tries is a mistake of theirs: what is not on a list is killed.
    for attempt in ("run_memory", "trace", "read_memory", "signal_victim", "make_code", "call_bpf"):
        assert result.get(attempt, "killed") == "killed"


@pytest.mark.parametrize("which", ["exec", "container"])
@pytest.mark.parametrize("away", [False, True], ids=["", "while runtimed is away"])
def test_a_killed_shim_leaves_nothing_unwatched(running, which, away):  # covers S-83
    with running_container(running) as pids:
        container, = running.api("GET", "/containers/json").json
        place, execution = f"/containers/{container['Id']}", running.api("GET", f"/containers/{container['Id']}/json").json["ExecIDs"][0]
        inside = {"container": running.api("GET", f"{place}/json").json["State"]["Pid"],
                  "exec": running.api("GET", f"/exec/{execution}/json").json["Pid"]}
        watched = {kind: next(p for p in pids if p == parent(pid)) for kind, pid in inside.items()}
        ended = [os.pidfd_open(pid) for kind, pid in inside.items() if which in (kind, "container")]
        runtimed = running.pids()["runtimed"]
        if away:
            os.kill(runtimed, signal.SIGSTOP)  # it sees nothing any more
        os.kill(watched[which], signal.SIGKILL)
        if away:
            os.kill(runtimed, signal.SIGKILL)
        for handle in ended:  # readable when it has ended
            assert select.select([handle], [], [], 60)[0], f"nobody watches the {which}'s process"
            os.close(handle)
        if which == "exec":
            seen = running.wait_for(lambda: not (e := running.api("GET", f"/exec/{execution}/json").json)["Running"] and e)
            assert seen["ExitCode"] == 137 and running.api("GET", f"{place}/json").json["State"]["Running"]
            return
        state = running.wait_for(lambda: not (s := running.api("GET", f"{place}/json").json["State"])["Running"] and s)
        assert state["ExitCode"] == 137 and "shim was killed" in state["Error"], state
        assert running.api("POST", f"{place}/start").status == 204


def parent(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("PPid:")))


# ---- S-82: apid acts for nobody who is not connected ----

def test_apid_acts_for_nobody(running):  # covers S-82
    answers = probe(running, "act", "apid")
    present = set(running.pids())
    assert answers
    for operation, answer in answers.items():
        if answer["owner"] not in present or answer["owner"] == "apid":
            continue
        for how in ("nobody", "itself", "listener", "certificate", "both"):
            assert answer[how] in (403, 400, 501), f"{operation} as {how}: {answer}"
            if answer[how] == 501:
                continue
            assert answer[how] == 403, f"{operation} as {how}: {answer}"


def test_a_certificate_reaches_its_ceiling_only():  # covers S-82
    policy = {"roles": {"ops": {"permissions": ["*"]}, "lists": {"permissions": ["volume.list", "network.list"]}},
              "bindings": [{"role": "ops", "certificates": ["CN=root"]}, {"role": "admin", "uids": [0]}],
              "apid_attested_ceiling": "lists"}
    listeners = [{}, {"type": "tcp", "address": "127.0.0.1", "port": free_port(), "plain-text": True}]
    with Engine(policy=policy, config={"listeners": listeners}) as engine:
        answers = probe(engine, "act", "apid")
        present = set(engine.pids())
        for operation, answer in answers.items():
            if answer["owner"] not in present or answer["permission"] in ("volume.list", "network.list"):
                continue
            assert answer["certificate"] in (403, 501), f"{operation}: {answer}"
        if "volumed" in present:
            assert answers["volume_list"]["certificate"] in (200, 400)  # the probe's filter means nothing


# ---- S-84: noise ----

@pytest.mark.parametrize("name", ["apid", "imaged", "volumed", "netd"])
def test_helpers_live_through_noise(running, name):  # covers S-84
    def daemons():  # workers come and go
        return {d: pid for d, pid in running.pids().items() if d in DAEMONS}

    before = daemons()
    if name not in before:
        pytest.skip(f"{name} is not part of this build")
    sent = probe(running, "noise", name)
    for peer in PEERS[name] & set(before):
        assert sent[peer] > 5, peer
    assert daemons() == before
    assert running.api("GET", "/_ping", version=None).status == 200
