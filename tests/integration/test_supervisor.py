"""pouchd: sockets, children, restarts, reload, stop. No containers but where a test says so."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from tests.harness import leaks
from tests.harness.engine import BUILD, REPOSITORY, Engine, UnixConnection
from tests.harness.marks import memory_bound

HELPERS = ["auditd", "imaged", "volumed", "netd", "runtimed", "apid"]


@pytest.fixture(scope="module")
def running():
    with Engine() as engine:
        yield engine


def state(engine):
    return json.loads(engine.ctl("status", "--json").stdout)


def service(engine, name):
    return next(s for s in state(engine)["Services"] if s["Name"] == name)


def names(engine):
    return [s["Name"] for s in state(engine)["Services"]]


def restarted(engine, name, old_pid):
    def is_new():
        s = service(engine, name)
        return s["State"] == "ready" and s["Pid"] != old_pid and s
    return Engine.wait_for(is_new)


def test_every_service_is_ready_before_ready_is_said(running):
    services = {s["Name"]: s for s in state(running)["Services"]}
    assert sorted(services) == sorted(HELPERS)
    assert {s["State"] for s in services.values()} == {"ready"}
    assert state(running)["State"] == "ready"


def test_status_counts_memory_and_uptime(running):
    table = running.ctl("status").stdout
    assert all(name in table for name in HELPERS)
    for s in state(running)["Services"]:
        assert s["Pss"] > 0 and s["UptimeMs"] >= 0 and s["Pid"] > 0


@memory_bound
def test_an_idle_engine_is_small(host):
    """On a host of its own: netd knows all of the host's packet filter."""
    with Engine(machine=host) as engine:
        now = state(engine)
        assert now["Pss"] + sum(s["Pss"] for s in now["Services"]) <= 16 << 20, engine.ctl("status").stdout


def test_nobody_traverses_state_or_inner_sockets(running):
    # covers S-4
    for path in [running.root, running.run / "ipc", *[p for p in running.root.iterdir() if p.is_dir()]]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    nobody = pwd.getpwnam("nobody").pw_uid
    code = f"import os\nos.setgid({nobody}); os.setuid({nobody})\n" \
           f"import sys\n" \
           f"for p in {[str(running.root / 'imaged'), str(running.run / 'ipc' / 'runtimed.sock')]}:\n" \
           f"    try:\n        os.stat(p)\n    except PermissionError:\n        continue\n    sys.exit(p)\n"
    subprocess.run(["python3", "-c", code], check=True)


def test_state_belongs_to_its_owner(running):
    owners = {name: (running.root / name).stat().st_uid for name in HELPERS if (running.root / name).exists()}
    assert owners["runtimed"] == 0
    unprivileged = [owners[name] for name in ("imaged", "volumed", "netd", "auditd") if name in owners]
    assert 0 not in unprivileged and len(set(unprivileged)) == len(unprivileged)


def test_no_listener_but_the_configured_ones(running):
    # covers S-2 S-3: no abstract socket, no TCP listener, and UNIX ones only below the run directory
    pids = set(running.pids().values()) | {running.process.pid}
    sockets = set()
    for pid in pids:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if link.startswith("socket:["):
                sockets.add(link[8:-1])
    listening = []
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if words[6] in sockets and int(words[3], 16) & 0x10000:
            listening.append(words[7] if len(words) > 7 else "@unnamed")
    assert listening and all(path.startswith(str(running.run) + "/") for path in listening), listening
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            assert line.split()[9] not in sockets, line


def test_a_second_engine_on_the_root_is_refused(running):
    other = subprocess.run([str(running.build / "pouchd"), "--root", str(running.root), "--run", str(running.dir / "r2")],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert other.returncode == 1
    assert f"another engine uses {running.root} (pouchd, pid {running.process.pid})" in other.stderr


def test_a_second_engine_on_the_run_directory_is_refused(running):
    other = subprocess.run([str(running.build / "pouchd"), "--root", str(running.dir / "r3"), "--run", str(running.run)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert other.returncode == 1
    assert f"another engine uses {running.run} (pouchd, pid {running.process.pid})" in other.stderr


@pytest.mark.parametrize("name", HELPERS)
def test_a_killed_service_is_started_again(running, name):
    # covers D-16
    before = service(running, name)
    os.kill(before["Pid"], signal.SIGKILL)
    after = restarted(running, name, before["Pid"])
    assert after["Restarts"] == before["Restarts"] + 1
    assert after["LastExit"] == {"Signal": signal.SIGKILL}


def test_a_connection_waits_while_apid_is_down(running):
    # covers D-17: the listening socket is pouchd's
    pid = service(running, "apid")["Pid"]
    inode = os.stat(running.socket).st_ino
    os.kill(pid, signal.SIGKILL)
    assert running.api("GET", "/_ping", version=None).status == 200
    assert os.stat(running.socket).st_ino == inode


@pytest.mark.parametrize("name", HELPERS)
def test_restart_on_request(running, name):
    before = service(running, name)
    running.ctl("restart", name)
    after = service(running, name)
    assert after["State"] == "ready" and after["Pid"] != before["Pid"]
    assert after["LastExit"] == {"Status": 0}


def test_restart_of_nothing(running):
    done = running.ctl("restart", "nosuch", check=False)
    assert (done.returncode, done.stderr) == (1, "pouchd ctl: there is no service nosuch\n")


def test_ctl_without_an_engine(running, tmp_path):
    done = subprocess.run([str(running.build / "pouchd"), "ctl", "--run", str(tmp_path), "status"],
                          stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"pouchd ctl: no engine runs with --run {tmp_path}\n")


def test_ctl_says_what_is_wrong_with_its_words(running):
    def ctl(*words):
        done = subprocess.run([str(running.build / "pouchd"), "ctl", *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, _, said = ctl("bogus")
    assert code == 2 and said.startswith("pouchd ctl: there is no command bogus\nusage: ")
    assert ctl("reload", "more") == (2, "", "usage: pouchd ctl reload\n")
    for command in ("status", "restart", "reload", "info", "audit", "policy", "image"):
        code, said, wrong = ctl(command, "--help")
        assert code == 0 and said.startswith(f"pouchd ctl {command} ") and not wrong


@pytest.mark.parametrize("words,says", [
    (["audit", "query", "--since", "yesterday"], 'invalid time "yesterday"'),
    (["audit", "query", "--until", "2026-13"], 'invalid time "2026-13"'),
    (["audit", "query", "--stage", "don"], "there is no stage don"),
    (["audit", "query", "--operation", "volume.creat"], "there is no operation or permission volume.creat"),
    (["policy", "explain", "--permission", "volume.creat"], "there is no permission volume.creat"),
    (["policy", "explain", "--listener", "nosuch", "--permission", "volume.create"], "no listener of the name nosuch"),
    (["policy", "explain"], "the standard input has no document"),
])
def test_ctl_does_not_answer_what_was_not_asked(running, words, says):
    """A slip of the pen is an error, not an empty list or a denial."""
    done = running.ctl(*words, input="", check=False)
    assert done.returncode == 1 and says in done.stderr, done


@pytest.mark.parametrize("since", ["2020", "2020-01", "2020-01-01T00:00", "2020-01-01T00:00:00+02:00", "1h", "1577836800", "1577836800.5"])
def test_times_of_an_audit_query(running, since):
    first = json.loads(running.ctl("audit", "query", "--stage", "started").stdout.splitlines()[0])
    assert json.loads(running.ctl("audit", "query", "--since", since).stdout.splitlines()[0]) == first
    assert running.ctl("audit", "query", "--until", since).stdout == ""


def test_the_completion_knows_every_command_of_ctl(running):
    """It asks pouchd itself; what stands behind a command is written down in it."""
    script = (REPOSITORY / "dist/completions/pouchd").read_text()
    complete = 'COMP_WORDS=(pouchd ctl "$@"); COMP_CWORD=$(($# + 1)); _pouchd; printf "%s\\n" "${COMPREPLY[@]}"'

    def words(*typed):
        done = subprocess.run(["bash", "-c", f"{script}\n{complete}", "bash", *typed], capture_output=True, text=True, check=True,
                              env={**os.environ, "PATH": f"{running.build}:{os.environ['PATH']}"})
        return set(done.stdout.split())

    assert {"status", "restart", "reload", "info", "audit", "policy", "image"} <= words("")
    assert words("restart", "im") == {"imaged"}
    assert {"check", "explain"} <= words("policy", "") and {"verify", "query"} <= words("audit", "")


def test_bytes_that_are_no_message_cost_only_the_connection(running):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(running.run / "ipc" / "pouchd.sock"))
        s.send(b"x" * 100)
        s.settimeout(60)
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
    assert state(running)["State"] == "ready"


def test_a_worker_is_not_for_everybody(running):
    # root is no sender of the fetch worker's messages: only imaged is
    if not (running.build / "image-fetch").exists():
        pytest.skip("image-fetch is not built")
    started = next(w for w in state(running)["Workers"] if w["Name"] == "image-fetch")["Started"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(running.run / "ipc" / "image-fetch.sock"))
        s.settimeout(60)
        assert s.recv(100) == b""
    assert next(w for w in state(running)["Workers"] if w["Name"] == "image-fetch")["Started"] == started


# ---- reload ----

@pytest.fixture
def configured():
    with Engine(config={"log": {"level": "info"}}) as engine:
        yield engine


def test_reload_refuses_a_bad_file_and_keeps_the_old(configured):
    configured.config_path.write_text('{\n "log": {\n  "level": "loud"}}')
    done = configured.ctl("reload", check=False)
    assert done.returncode == 1
    assert done.stderr == (f'pouchd ctl: {configured.config_path}:3: log.level: one of "error", "warn", "info", "debug" '
                           "is expected\n")
    os.kill(configured.process.pid, signal.SIGHUP)
    Engine.wait_for(lambda: "reload refused, the old configuration stays" in configured.log())
    restarted(configured, "auditd", kill(configured, "auditd"))  # a new process gets the old, good text
    assert state(configured)["State"] == "ready"


def kill(engine, name):
    pid = service(engine, name)["Pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def test_reload_refuses_what_is_fixed_at_the_start(configured):
    configured.config_path.write_text('{"ids": {"base": 2147450000}}')
    done = configured.ctl("reload", check=False)
    assert done.returncode == 1
    assert "ids.base takes effect when the engine starts, and cannot be changed by a reload" in done.stderr


def test_reload_reaches_every_process_that_runs_on(configured):
    before = {s["Name"]: s["Pid"] for s in state(configured)["Services"]}
    configured.config_path.write_text('{"log": {"level": "debug"}}')
    configured.ctl("reload")
    assert {s["Name"]: s["Pid"] for s in state(configured)["Services"]} == before


def reload_listeners(engine, config):
    """apid is another one afterwards; a connection that the last one has taken would break."""
    before = service(engine, "apid")["Pid"]
    engine.config_path.write_text(json.dumps(config))
    engine.ctl("reload")
    restarted(engine, "apid", before)


def test_reload_adds_and_removes_a_listener(configured):
    second = configured.run / "second.sock"
    inode = os.stat(configured.socket).st_ino
    reload_listeners(configured, {"listeners": [{}, {"path": str(second), "mode": "0600"}]})
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    assert os.stat(configured.socket).st_ino == inode
    first, configured.socket = configured.socket, second
    assert configured.api("GET", "/_ping", version=None).status == 200
    configured.socket = first
    assert configured.api("GET", "/_ping", version=None).status == 200
    reload_listeners(configured, {})
    assert not second.exists()
    assert configured.api("GET", "/_ping", version=None).status == 200


def test_sighup_reloads(configured):
    configured.config_path.write_text("{}")
    os.kill(configured.process.pid, signal.SIGHUP)
    Engine.wait_for(lambda: "configuration and policy are reloaded" in configured.log())


def test_a_bad_file_is_refused_at_the_start():
    engine = Engine(config='{\n"limits": {"requestss": 5}}', start=False)
    try:
        with pytest.raises(AssertionError):
            engine.start()
        assert f"{engine.config_path}:2: limits.requestss: there is no such setting" in engine.log()
    finally:
        engine.close()


def test_a_missing_program_is_named(tmp_path):
    for program in ("pouchd", "auditd", "imaged", "volumed", "netd", "apid"):
        shutil.copy(BUILD / program, tmp_path)
    done = subprocess.run([str(tmp_path / "pouchd"), "--root", str(tmp_path / "root"), "--run", str(tmp_path / "run")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"runtimed is missing in {tmp_path}, where pouchd is" in done.stderr


# ---- sockets from systemd ----

def test_a_passed_socket_is_the_first_listener():
    engine = Engine(start=False)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path = engine.dir / "activated.sock"
        listening.bind(str(path))
        listening.listen(64)
        early = UnixConnection(path)
        early.connect()  # before there is an engine
        early.request("GET", "/_ping")
        command = " ".join(f"'{a}'" for a in engine.arguments())
        process = subprocess.Popen(
            ["bash", "-c", f"exec 3<&{listening.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http-0 exec {command}"],
            pass_fds=[listening.fileno()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            assert process.stdout.readline() == b"ready\n"
            assert early.getresponse().read() == b"OK"
            apid = [v["Pid"] for v in state(engine)["Services"] if v["Name"] == "apid"]
            engine.ctl("reload")
            early.request("GET", "/_ping")
            assert early.getresponse().read() == b"OK"
            assert [v["Pid"] for v in state(engine)["Services"] if v["Name"] == "apid"] == apid
            assert not engine.socket.exists()
        finally:
            process.terminate()
            assert process.wait(60) == 0
            process.stdout.close()
        assert path.exists()  # it is systemd's
    finally:
        listening.close()
        engine.close()


# ---- the end ----

def test_stop_ends_every_process_and_removes_the_sockets():
    engine = Engine()
    try:
        pids = list(engine.pids().values()) if engine.process else []
        engine.start()
        pids = list(engine.pids().values())
        assert len(pids) >= len(names(engine))
        assert engine.stop() == 0
        assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
        assert not engine.socket.exists() and not (engine.run / "ipc").exists()
    finally:
        engine.close()


def test_children_end_with_a_killed_supervisor_and_the_next_one_starts():
    engine = Engine()
    try:
        engine.start()
        pids = list(engine.pids().values())
        engine.stop(signal.SIGKILL)
        engine.start()  # waits for the lock of the root, which the old children hold until they have ended
        assert not any(alive(pid) for pid in pids)
        assert engine.api("GET", "/_ping", version=None).status == 200
    finally:
        engine.close()


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_frozen_service_is_killed_when_the_engine_stops():
    engine = Engine(sets=["supervisor.stop-timeout=300ms"])
    try:
        engine.start()
        os.kill(engine.pids()["volumed"], signal.SIGSTOP)
        assert engine.stop() == 0
        assert "volumed is not ending in time; it is killed" in engine.log()
    finally:
        engine.close()


def test_two_engines_side_by_side():
    with Engine() as one, Engine() as two:
        assert one.api("GET", "/_ping", version=None).status == 200
        assert two.api("GET", "/_ping", version=None).status == 200
        uids = [{(e.root / name).stat().st_uid for name in ("imaged", "auditd")} for e in (one, two)]
        assert not uids[0] & uids[1]


def test_a_worker_that_does_not_end_is_killed():
    with Engine(sets=["supervisor.stop-timeout=300ms"]) as engine, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engine.socket))
        client.sendall(b"POST /v1.43/images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
        worker = engine.wait_for(lambda: engine.pids().get("image-unpack"))
        os.kill(worker, signal.SIGSTOP)
        assert engine.stop() == 0
        assert not pathlib.Path(f"/proc/{worker}").exists()
        assert f"image-unpack (pid {worker}) is not ending in time" in engine.log()
        engine.start()


def kernel_objects(engine):
    """Their names: the state of a device changes when the kernel comes to it."""
    devices = [line.split(":")[1].strip().partition("@")[0] for line in leaks.links(engine)]
    return devices + leaks.tables(engine) + leaks.cgroups(engine)


def test_an_engine_that_stops_without_containers_leaves_nothing_in_the_kernel():
    with Engine() as engine:
        engine.busybox()
        engine.api("POST", "/networks/create", {"Name": "more"})
        engine.docker("run", "--rm", "--network", "more", "busybox", "true")
        for _ in range(2):
            assert len(leaks.tables(engine)) == 2 and leaks.veths(engine) == [] and len(leaks.links(engine)) == 2
            engine.stop()
            assert kernel_objects(engine) == []
            engine.start()
        # A container that runs keeps all of it, and a network that only stands beside it, too.
        engine.docker("run", "-d", "busybox", "sleep", "1000")
        before = kernel_objects(engine)
        engine.stop()
        after = kernel_objects(engine)
        assert [x for x in before if x not in after and "_keep" not in x] == []
        engine.start()
        assert engine.docker("run", "--rm", "--network", "more", "busybox", "echo", "hi").stdout == "hi\n"


def test_containers_outlive_the_engine():
    # covers D-16 D-17: stopped cleanly, and started again, pouchd finds what has run on
    with Engine() as engine:
        engine.busybox()
        engine.docker("run", "-d", "--name", "on", "--network", "none", "busybox", "sleep", "600")
        before = json.loads(engine.docker("inspect", "on").stdout)[0]["State"]
        engine.stop()
        assert pathlib.Path(f"/proc/{before['Pid']}").exists()
        engine.start()
        after = json.loads(engine.docker("inspect", "on").stdout)[0]["State"]
        assert (after["Running"], after["Pid"], after["StartedAt"]) == (True, before["Pid"], before["StartedAt"])
