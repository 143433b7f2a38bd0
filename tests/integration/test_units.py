"""The engine without pouchd: each process a unit of its own, activated by its socket, as dist/systemd/split generates it."""
import shutil
import subprocess

import pytest

from tests.harness.engine import BUILD, REPOSITORY
from tests.harness.units import SplitEngine


@pytest.fixture(scope="module")
def split():
    with SplitEngine() as engine:
        engine.busybox()
        yield engine


def test_a_container_runs(split):
    """All helpers take part, and workers: image-unpack has made the image, rootfs looks up the user."""
    done = split.docker("run", "--rm", "-u", "app", "-v", "data:/data", "busybox", "sh", "-c", "id -u; ls -d /data")
    assert done.stdout == "1000\n/data\n"


# covers D-16
@pytest.mark.parametrize("program", ["runtimed", "imaged", "volumed", "netd", "auditd", "apid"])
def test_one_is_restarted_and_a_container_runs_on(split, program):
    name = split.docker("run", "-d", "busybox", "sleep", "1000").stdout.strip()
    before = split.pid(program)
    split.kill(program)
    assert split.pid(program) != before
    assert split.docker("inspect", "-f", "{{.State.Running}}", name).stdout == "true\n"
    assert split.docker("exec", name, "echo", "still here").stdout == "still here\n"
    split.docker("rm", "-f", name)


def test_info_says_what_is_missing(split):
    info = split.api("GET", "/info").json
    assert any("pouchd does not answer" in warning for warning in info["Warnings"]), info["Warnings"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path):
    subprocess.run([REPOSITORY / "dist/systemd/split/generate", BUILD, tmp_path], check=True)
    for name in ("pouch.service", "pouch.socket"):
        text = (REPOSITORY / "dist/systemd" / name).read_text().replace("@prefix@/sbin", str(BUILD))
        (tmp_path / name).write_text(text)
    units = [str(p) for p in tmp_path.iterdir() if "@" not in p.name]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "pouch" in line]
    assert done.returncode == 0 and not ours, done.stderr
