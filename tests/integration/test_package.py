"""The Debian package: it builds, is what Debian's own checker wants, installs on a machine whose process 1 is systemd, and the engine
runs there in both ways: as one service, and each process as one.
"""
import json
import os
import pathlib
import re
import subprocess

import pytest

from tests.harness import rootfs
from tests.harness.engine import BUILD, REPOSITORY, Engine
from tests.harness.long import LONG
from tests.harness.systemd import Systemd

HELPERS = ["auditd", "imaged", "volumed", "netd", "dns", "runtimed", "apid"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The directory with the packages. LONG=1 compiles them as well; else what make has built is packaged."""
    tree = tmp_path_factory.mktemp("package") / "pouch"
    tree.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    archive = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=REPOSITORY, input=files, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
    environment = {**os.environ, "DEB_BUILD_OPTIONS": "parallel=2"}
    if not LONG:
        environment |= {"BUILT": str(BUILD), "DPKG_DEB_COMPRESSOR_TYPE": "gzip"}  # xz takes long
    done = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return tree.parent


@pytest.fixture(scope="module")
def package(built):
    (path,) = built.glob("pouch_*.deb")
    return path


@pytest.fixture(scope="module")
def machine(package):
    files = {"given/pouch.deb": package.read_bytes(), "given/busybox.tar": rootfs.busybox_tar(),
             "usr/sbin/policy-rc.d": b""}  # services may start: this machine's own file says no
    with Systemd(install="dpkg -i /given/pouch.deb", files=files) as booted:
        yield booted


def journal(machine, *arguments):
    """What systemd's journal has, with all that was written before."""
    machine.run("journalctl", "--sync")
    return machine.run("journalctl", "-u", "pouch.service", *arguments).stdout


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


# ---- the package ----

def test_lintian_has_nothing_to_say(built):
    (changes,) = built.glob("*.changes")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_has_the_version_and_the_dependencies_of_the_source(package):
    assert field(package, "Version") == (REPOSITORY / "VERSION").read_text().strip()
    rows = [line.split("#")[0].split() for line in (REPOSITORY / "tools/packages").read_text().splitlines() if not line.startswith("#")]
    needed = {name.partition("=")[0] for name, kind in rows if kind == "build"} - {"build-essential"}
    control = (REPOSITORY / "debian/control").read_text()
    listed = re.search(r"^Build-Depends: (.*?)^\n", control, re.M | re.S).group(1).replace("\n", "").split(", ")
    assert {name.split()[0] for name in listed} - {"debhelper-compat"} == needed
    depends = {word.split()[0] for word in field(package, "Depends").split(", ")}
    assert {name.partition("=")[0] for name, kind in rows if kind == "run"} <= depends


# ---- installed ----

def test_settings_are_the_admins(machine):
    conffiles = machine.run("dpkg-query", "-f", "${Conffiles}", "-W", "pouch").stdout
    assert set(re.findall(r"/\S+", conffiles)) == {"/etc/pouch/pouch.json", "/etc/pouch/policy.json"}
    machine.run("pouchd", "ctl", "policy", "check", "/etc/pouch/policy.json")


def test_names_manuals_and_completion_are_there(machine):
    assert machine.run("getent", "passwd", "pouch-apid").stdout
    for page in ("pouchd", "pouchd-ctl", "pouch.json", "policy.json"):
        assert machine.run("man", "-w", page).stdout.strip()
    machine.run("bash", "-c", ". /usr/share/bash-completion/completions/pouchd && complete -p pouchd")


def test_units_are_enabled(machine):
    assert machine.run("systemctl", "is-enabled", "pouch.socket", "pouch.service").stdout == "enabled\nenabled\n"


# ---- one service ----

def import_image(machine):
    if machine.docker("image", "inspect", "busybox", check=False).returncode:
        machine.docker("import", "/given/busybox.tar", "busybox")


def running(machine):
    import_image(machine)
    return machine.docker("run", "-d", "busybox", "sleep", "1000").stdout.strip()


def works(machine, name):
    """A container from before runs on, and one more runs."""
    assert machine.docker("exec", name, "echo", "still here").stdout == "still here\n"
    assert machine.docker("run", "--rm", "-u", "app", "-v", "data:/data", "busybox", "id", "-u").stdout == "1000\n"


def test_the_first_client_starts_the_engine(machine):
    machine.run("systemctl", "stop", "pouch.service")
    assert machine.property("pouch.socket", "ActiveState") == "active"
    assert machine.docker("version", "-f", "{{(index .Server.Components 0).Name}}").stdout == "Engine\n"
    assert machine.property("pouch.service", "ActiveState") == "active"
    assert machine.run("stat", "-c", "%U %G %a", "/run/pouch/pouchd.sock").stdout == "root pouch 660\n"


# covers D-16
@pytest.mark.parametrize("how", ["restart", "stop", "kill"])
def test_containers_run_on_without_the_engine(machine, how):
    name = running(machine)
    pid = machine.property("pouch.service", "MainPID")
    if how == "kill":
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "pouch.service")
    else:
        machine.run("systemctl", how, "pouch.service")
    # In each case the socket is there: a client waits, or starts the engine.
    works(machine, name)
    assert machine.property("pouch.service", "MainPID") not in (pid, "0")
    machine.docker("rm", "-f", name)


def test_no_number_of_crashes_is_too_much(machine):
    """systemd's own limit is five starts in ten seconds, and then the socket fails as well."""
    def runs_anew():
        """An answer alone may be that of an apid whose pouchd is dead already."""
        machine.docker("version")
        return machine.property("pouch.service", "MainPID") not in ("0", killed)

    killed = "0"
    for _ in range(7):
        Engine.wait_for(runs_anew)
        killed = machine.property("pouch.service", "MainPID")
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "pouch.service")
    Engine.wait_for(runs_anew)
    assert machine.property("pouch.socket", "ActiveState") == "active"


def test_reload(machine):
    machine.docker("version")
    machine.run("cp", "/etc/pouch/pouch.json", "/given/good.json")
    try:
        machine.run("sed", "-i", 's/"level": "info"/"level": "debug"/', "/etc/pouch/pouch.json")
        machine.run("systemctl", "reload", "pouch.service")
        machine.run("sed", "-i", 's/"level"/"levle"/', "/etc/pouch/pouch.json")
        assert machine.run("systemctl", "reload", "pouch.service", check=False).returncode != 0
        assert "levle" in journal(machine)
        assert machine.property("pouch.service", "ActiveState") == "active"
    finally:
        machine.run("cp", "/given/good.json", "/etc/pouch/pouch.json")


def test_the_journal_gets_logs_and_audit(machine):
    """systemd's own, not a played one."""
    machine.run("cp", "/etc/pouch/pouch.json", "/given/good.json")
    try:
        machine.run("sed", "-i", 's/"sink": "stderr"/"sink": "journald"/; s/"fsync": "1s"/"copy": "journald", "fsync": "1s"/', "/etc/pouch/pouch.json")
        machine.run("systemctl", "restart", "pouch.service")
        name = running(machine)
        machine.docker("rm", "-f", name)
        records = [json.loads(line) for line in journal(machine, "-o", "json").splitlines()]
        assert any("the engine is ready" in r["MESSAGE"] and r["_TRANSPORT"] == "journal" for r in records), records[-5:]
        assert any("container.remove" in r["MESSAGE"] and name in r["MESSAGE"] for r in records), records[-5:]
    finally:
        machine.run("cp", "/given/good.json", "/etc/pouch/pouch.json")
        machine.run("systemctl", "restart", "pouch.service")


# ---- each process a service ----

@pytest.fixture(scope="module")
def split(machine):
    """The container was started by the engine of one service."""
    name = running(machine)
    machine.run("/usr/share/pouch/systemd-split", "/usr/lib/pouch", "/etc/systemd/system")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "stop", "pouch.socket", "pouch.service")
    machine.run("systemctl", "start", "pouch-split.target")
    return name


def test_processes_are_services(machine, split):
    works(machine, split)
    assert machine.property("pouch.service", "ActiveState") == "inactive"
    for name in HELPERS:
        unit = f"pouch-{name}.service"
        exe = machine.run("readlink", f"/proc/{machine.property(unit, 'MainPID')}/exe").stdout.strip()
        assert pathlib.Path(exe).name == name


# covers D-16
@pytest.mark.parametrize("name", HELPERS)
def test_systemd_starts_one_again(machine, split, name):
    unit = f"pouch-{name}.service"
    pid = machine.property(unit, "MainPID")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
    works(machine, split)
    assert machine.property(unit, "MainPID") != pid


def test_one_service_again(machine, split):
    """The target's stop returns at once; the engine as one service begins when the last of the others has ended."""
    for name in ("apid", "runtimed"):
        machine.run("mkdir", "-p", f"/run/systemd/system/pouch-{name}.service.d")
        machine.run("sh", "-c", f"printf '[Service]\nExecStop=sleep 2\n' > /run/systemd/system/pouch-{name}.service.d/slow.conf")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "stop", "pouch-split.target")
    machine.run("systemctl", "start", "pouch.socket")
    for name in HELPERS:
        assert machine.property(f"pouch-{name}.service", "ActiveState") == "inactive"
    works(machine, split)
    assert machine.property("pouch.service", "ActiveState") == "active"
    machine.docker("rm", "-f", split)


# ---- removed ----

def test_removed_and_purged(machine):
    machine.run("systemctl", "start", "pouch.socket")
    machine.docker("rm", "-f", running(machine))
    machine.run("dpkg", "-r", "pouch")
    assert machine.run("systemctl", "is-active", "pouch.service", "pouch.socket", check=False).stdout == "inactive\ninactive\n"
    assert machine.run("sh", "-c", "ls /etc/pouch; ls /usr/lib/pouch", check=False).stdout == "policy.json\npouch.json\n"
    machine.run("dpkg", "-P", "pouch")
    assert machine.run("sh", "-c", "ls /etc/pouch", check=False).returncode != 0
    assert "runtimed" in machine.run("ls", "/var/lib/pouch").stdout
