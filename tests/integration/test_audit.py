"""The audit chain: what leaves a record, what never stands in one, what happens when it cannot be written."""
import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.harness.caller import api_as
from tests.harness.engine import Engine

OTHER = 54321


def records(engine, *arguments):
    done = engine.ctl("audit", "query", *arguments)
    return [json.loads(line) for line in done.stdout.splitlines()]


def records_when(engine, count, *arguments):
    """As soon as there are so many: the last record of an operation is written beside its answer."""
    return engine.wait_for(lambda: len(found := records(engine, *arguments)) >= count and found)


def verify(engine, *arguments, check=True):
    return engine.ctl("--root", engine.root, "audit", "verify", *arguments, check=check)


def limit_files(pid, size):
    """Let the process write no file beyond `size` (None: any), as its own user: root may lack the power here."""
    owner = os.stat(f"/proc/{pid}").st_uid or int(next(
        line.split()[1] for line in open(f"/proc/{pid}/status", encoding="ascii") if line.startswith("Uid:")))
    program = ("import resource, sys; pid, size = map(int, sys.argv[1:]); "
               "hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]; "
               "resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))")
    subprocess.run([sys.executable, "-I", "-c", program, str(pid), str(-1 if size is None else size)],
                   user=owner, group=owner, extra_groups=[], check=True, cwd="/")


@pytest.fixture(scope="module")
def audited():
    with Engine(config={"listeners": [{"mode": "0666"}]}) as engine:
        yield engine


def post(engine, name):
    return engine.api("POST", "/volumes/create", {"Name": name})


def create(engine, name):
    """The answer, when the records of it are written."""
    answer = post(engine, name)
    if answer.status == 201:
        records_when(engine, 1, "--object", name, "--stage", "done")
    return answer


# covers D-3, D-10
def test_change_is_on_record_before_and_after(audited):
    assert create(audited, "first").status == 201
    decided, done = [r for r in records(audited) if r.get("operation") == "volume_create"][-2:]
    assert (decided["stage"], done["stage"]) == ("decided", "done")
    assert decided["request"] == done["request"] and decided["digest"] == done["digest"]
    assert done["seq"] > decided["seq"]
    assert done["status"] == 201 and "status" not in decided
    assert done["objects"]["volume"] == ["first"]
    assert done["daemon"] == "volumed" and done["daemon_pid"] == audited.pids()["volumed"]
    client = done["client"]
    assert client["principal"] == "uid:0" and client["uid"] == 0 and client["pid"] == os.getpid()
    assert client["listener"] == str(audited.socket)
    assert records(audited, "--object", "first")[-1] == done


def test_same_request_same_digest(audited):
    for n, labels in enumerate(({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "2"})):
        audited.api("POST", "/volumes/create", {"Name": "digest", "Labels": labels})
        done = [r["digest"] for r in records_when(audited, n + 1, "--object", "digest", "--stage", "done")]
    assert done[0] == done[1] != done[2]


# covers D-10
def test_reads_leave_no_record(audited):
    before = len(records(audited))
    assert audited.api("GET", "/volumes").status == 200
    assert len(records(audited)) == before


def test_denial_is_on_record(audited):
    answer = api_as(audited, OTHER, "POST", "/volumes/create", {"Name": "x"})
    assert answer.status == 403
    assert answer.message == f"permission denied: uid:{OTHER} has no permission volume.create"
    last = records_when(audited, 1, "--who", f"uid:{OTHER}")[-1]
    assert last["stage"] == "denied" and last["status"] == 403 and last["reason"] == answer.message
    assert last["permission"] == "volume.create"


# covers S-5: what is secret in a request stands in no log at any level, and in no record.
def test_no_canary():
    canary = "canary-4fb1c2"
    with Engine(config={"log": {"level": "debug"}}) as engine:
        engine.busybox()
        engine.api("POST", "/volumes/create", {"Name": "s", "Labels": {"token": canary}, "DriverOpts": {"device": canary}})
        engine.api("POST", "/containers/create", {"Image": "none", "Env": [f"PASSWORD={canary}"], "Cmd": [canary]})
        engine.api("POST", "/containers/create", {"Image": "busybox", "Env": [f"{canary}"] * 3, "Cmd": canary, "Nonsense": 1})
        engine.api("POST", "/images/create?fromImage=127.0.0.1:1/none", headers={"X-Registry-Auth": canary})
        engine.api("POST", "/auth", {"username": "u", "password": canary, "serveraddress": "127.0.0.1:1"})
        engine.docker("run", "-d", "--name", "box", "--network", "none", "-e", f"PASSWORD={canary}", "--label", f"token={canary}",
                      "--health-cmd", f"true {canary}", "--log-opt", f"env={canary}", "busybox",
                      "sh", "-c", f"echo {canary}; sleep 1000 # {canary}")
        engine.docker("exec", "-e", f"PASSWORD={canary}", "box", "sh", "-c", f"echo $PASSWORD; exit 3 # {canary}", check=False)
        engine.docker("exec", "box", canary, check=False)
        assert canary in engine.docker("exec", "-i", "box", "cat", input=canary).stdout
        assert canary in engine.docker("logs", "box").stdout
        engine.docker("commit", "-c", f"ENV PASSWORD={canary}", "-m", canary, "box", "kept")
        engine.docker("rm", "-f", "box")
        assert "level=debug" in engine.log() and records(engine, "--operation", "exec_create")
        found = [line for line in engine.log().splitlines() if canary in line]
        for path in (engine.root / "auditd").iterdir():
            found += [line for line in path.read_text().splitlines() if canary in line]
        assert found == []


def test_query(audited):
    create(audited, "q1")
    create(audited, "q2")
    assert {r["operation"] for r in records(audited, "--operation", "volume_create")} == {"volume_create"}
    assert {r["stage"] for r in records(audited, "--stage", "decided")} == {"decided"}
    last = records(audited, "--object", "q2", "--stage", "done")[-1]
    since = records(audited, "--since", last["time"])
    assert since[0]["seq"] == last["seq"]
    assert all(r["time"] < last["time"] for r in records(audited, "--until", last["time"]))
    assert records(audited, "--since", "2999") == []
    assert audited.ctl("audit", "query", "--nonsense", check=False).returncode == 2


# covers D-10, D-17
def test_auditd_killed_between_changes(audited):
    for i in range(5):
        os.kill(audited.pids()["auditd"], signal.SIGKILL)
        assert create(audited, f"killed{i}").status == 201
    verify(audited)
    assert len(records(audited, "--stage", "started")) >= 6


# covers D-10, D-21
def test_no_room_for_records(audited):
    pid = audited.pids()["auditd"]
    size = sum(f.stat().st_size for f in (audited.root / "auditd").iterdir())
    limit_files(pid, size + 10)
    try:
        answer = create(audited, "no-room")
        assert answer.status == 503
        assert "the audit log cannot be written" in answer.message
        assert audited.api("GET", "/volumes").status == 200
        assert audited.api("GET", "/volumes/no-room").status == 404
    finally:
        limit_files(pid, None)
    assert create(audited, "no-room").status == 201
    verify(audited)
    assert records(audited, "--stage", "recovered")


def test_verify_finds_a_cut_end(audited):
    create(audited, "cut")
    end = verify(audited).stdout.split()[0]
    newest = sorted((audited.root / "auditd").iterdir())[-1]
    whole = newest.read_bytes()
    newest.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    try:
        done = verify(audited, check=False)
        assert done.returncode == 1 and "cut off or rewritten" in done.stderr
    finally:
        newest.write_bytes(whole)
    assert verify(audited, end).returncode == 0
    sequence, digest = end.split(":")
    assert verify(audited, f"{int(sequence) + 100}:{digest}", check=False).returncode == 1
    assert verify(audited, f"{int(sequence) - 1}:{digest}", check=False).returncode == 1


def test_verify_finds_what_is_missing_or_moved(audited):
    for i in range(5):
        create(audited, f"chain-{i}")
    newest = sorted((audited.root / "auditd").iterdir())[-1]
    whole = newest.read_bytes()
    lines = whole.splitlines(keepends=True)
    middle = len(lines) // 2
    hurt = {"missing": lines[:middle] + lines[middle + 1:],
            "moved": lines[:middle] + [lines[middle + 1], lines[middle]] + lines[middle + 2:],
            "twice": lines[:middle] + [lines[middle]] + lines[middle:],
            "no record": lines[:middle] + [b"{}\n"] + lines[middle + 1:],
            "changed": lines[:middle] + [lines[middle].replace(b'"seq":', b'"seq":1', 1)] + lines[middle + 1:]}
    try:
        for what, changed in hurt.items():
            newest.write_bytes(b"".join(changed))
            done = verify(audited, check=False)
            assert changed != lines, what
            assert done.returncode == 1, (what, done)
            assert any(f"{newest.name}:{n}: " in done.stderr for n in (middle + 1, middle + 2)), (what, done)
    finally:
        newest.write_bytes(whole)
    verify(audited)


# covers D-10, D-21: a disk that is really full, the audit log's own
def test_full_disk():
    engine = Engine()
    store = engine.root / "auditd"
    engine.start()
    engine.stop()
    owner = store.stat().st_uid
    options = f"size=256k,mode=0700,uid={owner},gid={store.stat().st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "pouch-test", store], check=True)
    try:
        with engine:
            assert create(engine, "before").status == 201
            filler = store / "filler"
            with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
                while True:
                    out.write(bytes(4096))
            refused = [post(engine, f"{'full' * 50}{i}").status for i in range(30)]
            assert refused[-1] == 503
            assert engine.api("GET", "/volumes").status == 200 and engine.api("GET", "/_ping").status == 200
            assert engine.api("GET", f"/volumes/{'full' * 50}29").status == 404
            filler.unlink()
            assert create(engine, "after").status == 201
            verify(engine)
            engine.stop()
            subprocess.run(["umount", store], check=True)
    finally:
        subprocess.run(["umount", "-q", store], check=False, stderr=subprocess.DEVNULL)


def test_rotation():
    with Engine(sets=["audit.rotate-size=64k", "audit.rotate-count=2"]) as engine:
        for i in range(100):
            assert engine.api("DELETE", f"/volumes/{'v' * 200}{i}").status == 404
        verify(engine)
        engine.stop()
        files = sorted((engine.root / "auditd").iterdir())
        assert len(files) == 2 and files[0].name != "audit-0000000000000001.jsonl"
        done = verify(engine)
        assert "no auditd runs" in done.stdout
        lines = files[0].read_bytes().splitlines(keepends=True)
        lines[5] = lines[5].replace(b"volume.remove", b"volume.create")
        files[0].write_bytes(b"".join(lines))
        done = verify(engine, check=False)
        assert done.returncode == 1 and f"{files[0].name}:7: the record before this one was changed" in done.stderr
        engine.start()
