"""A container under the second OCI runtime does what one under the first does."""
import pytest

from tests.harness.engine import Engine
from tests.harness.fields import Run, filter_probe, output

CONFIG = {"runtime": {"runtimes": {"crun": {"path": "/usr/bin/crun", "bpf-annotation": True}, "runc": {"path": "/usr/sbin/runc"},
                                   "absent": {"path": "/usr/sbin/no-such-runtime"}}}}


@pytest.fixture(scope="module")
def engine():
    with Engine(config=CONFIG) as running:
        running.busybox()
        yield running


@pytest.fixture(params=["", "host"], ids=["own user namespace", "host's"])
def runc(request, engine):
    """docker run's options."""
    return ["--runtime", "runc", *(["--userns", "host"] if request.param else [])]


def ids(engine, container):
    return engine.docker("exec", container, "awk", "{print $1, $3}", "/proc/self/uid_map").stdout.strip()


def test_run(engine, runc):
    done = engine.docker("run", "--rm", "-i", *runc, "busybox", "sh", "-c", "cat; hostname -i >&2; exit 7", input="typed\n", check=False)
    assert (done.returncode, done.stdout) == (7, "typed\n") and done.stderr.count(".") == 3, done
    done = engine.docker("run", "--rm", *runc, "busybox", "nosuch", check=False)
    assert done.returncode == 127 and "nosuch" in done.stderr
    done = engine.docker("run", "--rm", *runc, "busybox", "/etc", check=False)
    assert done.returncode == 126, done


def test_life(engine, runc):
    box = engine.docker("run", "-d", *runc, "-m", "64m", "busybox", "sh", "-c", "echo up; exec sleep 1000").stdout.strip()
    assert ids(engine, box) == ("0 4294967295" if "host" in runc else "0 65536")
    done = engine.docker("exec", "-i", "-w", "/tmp", "-e", "A=b", "-u", "app", box, "sh", "-c", "cat; pwd; echo $A; id -u; exit 3",
                         input="in\n", check=False)
    assert (done.returncode, done.stdout) == (3, "in\n/tmp\nb\n1000\n"), done
    done = engine.docker("exec", box, "nosuch", check=False)
    assert done.returncode in (126, 127) and "nosuch" in done.stderr
    assert engine.docker("exec", "--privileged", box, "grep", "NoNewPrivs", "/proc/self/status").stdout == "NoNewPrivs:\t0\n"
    engine.docker("pause", box)
    assert engine.docker("inspect", "-f", "{{.State.Status}}", box).stdout == "paused\n"
    engine.docker("unpause", box)
    engine.docker("update", "--memory", "80m", "--memory-swap", "-1", box)
    assert "80MiB" in engine.docker("stats", "--no-stream", box).stdout
    assert "sleep 1000" in engine.docker("top", box).stdout
    # The engine's restart does not lose it.
    assert engine.stop() == 0
    engine.start()
    assert ids(engine, box).startswith("0 ")
    assert engine.docker("logs", box).stdout == "up\n"
    engine.docker("restart", "-t", "0", box)
    engine.docker("kill", "-s", "KILL", box)
    assert engine.docker("wait", box).stdout == "137\n"
    engine.docker("rm", box)


def test_the_filter_filters(engine, tmp_path):
    """covers S-54: this runtime gets the filter as a document, not compiled; it is in force all the same."""
    bind = [f"{filter_probe(tmp_path)}:/calls:ro"]
    for more, says in (({}, "bpf 1 io_pgetevents 1\n"), ({"SecurityOpt": ["seccomp=unconfined"]}, "bpf 22 io_pgetevents 22\n")):
        assert output(engine, "/calls", host={"Runtime": "runc", "Binds": bind, **more}) == says


@pytest.mark.parametrize("host", [{"NetworkMode": "container:{}"}, {"PidMode": "container:{}"}, {"IpcMode": "container:{}"}],
                         ids=lambda h: next(iter(h)))
def test_joined_namespaces(engine, host):
    first = Run(engine, "sleep 1000", host={"IpcMode": "shareable", "Runtime": "runc"})
    kind = {"NetworkMode": "net", "PidMode": "pid", "IpcMode": "ipc"}[next(iter(host))]
    mine = first.execute("readlink", f"/proc/self/ns/{kind}")
    assert mine.startswith(kind)
    joined = {key: value.format(first.name) for key, value in host.items()}
    for runtime in ("runc", "crun"):
        assert output(engine, f"readlink /proc/self/ns/{kind}", host={**joined, "Runtime": runtime}) == mine
    first.remove()


def test_a_missing_runtime(engine):
    """Its absence is a failed start, not an exit of the container; the rest of the engine goes on."""
    done = engine.docker("run", "--runtime", "absent", "busybox", "true", check=False)
    assert done.returncode == 125 and "cannot be executed: there is no such program" in done.stderr, done
    assert engine.docker("run", "--rm", "--runtime", "nosuch", "busybox", check=False).returncode == 125
    assert engine.docker("run", "--rm", "busybox", "echo", "on").stdout == "on\n"


def test_info_lists_them(engine):
    info = engine.api("GET", "/info").json
    assert set(info["Runtimes"]) == {"crun", "runc", "absent"} and info["DefaultRuntime"] == "crun"


def test_runc_as_default():
    with Engine(config={"runtime": {**CONFIG["runtime"], "default": "runc"}}) as engine:
        engine.busybox()
        name = engine.docker("run", "-d", "busybox", "sleep", "1000").stdout.strip()
        assert engine.docker("exec", name, "echo", "in").stdout == "in\n"
        # The file is runc's; crun's is called status.
        assert [path.parent.name for path in engine.run.rglob("state.json")] == [name]
