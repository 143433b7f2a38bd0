"""make install: what it puts where, and that the result runs."""
import json
import pathlib
import stat
import subprocess

import pytest

from tests.harness.engine import BUILD, REPOSITORY, Engine

PROGRAMS = subprocess.run(["make", "-s", "--no-print-directory", "print-programs", f"B={BUILD}"], cwd=REPOSITORY, stdout=subprocess.PIPE,
                          text=True, check=True).stdout.split()


def install(destdir, prefix="/usr", what="install"):
    subprocess.run([str(REPOSITORY / "dist/install.sh"), what, str(BUILD), str(destdir), prefix], check=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    directory = tmp_path_factory.mktemp("install")
    directory.chmod(0o755)
    install(directory)
    return directory


def test_programs_lie_together(tree):
    installed = {p.name for p in (tree / "usr/lib/pouch").iterdir()}
    assert installed == set(PROGRAMS)
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o755 for p in (tree / "usr/lib/pouch").iterdir())


def test_nothing_names_the_build_or_the_staging_directory(tree):
    for path in tree.rglob("*"):
        if path.is_file() and path.parent.name != "pouch":
            text = path.read_bytes()
            assert str(tree).encode() not in text and b"@prefix@" not in text and b"@programs@" not in text, path


def test_units_name_what_is_installed(tree):
    unit = (tree / "usr/lib/systemd/system/pouch.service").read_text()
    assert "ExecStart=/usr/sbin/pouchd\n" in unit
    assert (tree / "usr/sbin/pouchd").resolve() == (tree / "usr/lib/pouch/pouchd").resolve()


def test_split_units_are_one_for_each_process(tree, tmp_path):
    subprocess.run([str(tree / "usr/share/pouch/systemd-split"), "/usr/lib/pouch", str(tmp_path)], check=True)
    units = {p.name for p in tmp_path.iterdir()}
    for name in ("auditd", "imaged", "volumed", "netd", "dns", "runtimed", "apid"):
        assert {f"pouch-{name}.socket", f"pouch-{name}.service"} <= units
    for name in ("image-fetch", "image-unpack", "rootfs", "volume-mount", "log"):
        assert {f"pouch-{name}.socket", f"pouch-{name}@.service"} <= units


def test_settings_of_the_admin_stay(tmp_path):
    (tmp_path / "etc/pouch").mkdir(parents=True)
    (tmp_path / "etc/pouch/pouch.json").write_text('{"log": {"level": "warn"}}')
    install(tmp_path)
    assert json.loads((tmp_path / "etc/pouch/pouch.json").read_text()) == {"log": {"level": "warn"}}


def test_uninstall_leaves_the_settings_and_nothing_else(tmp_path):
    install(tmp_path)
    install(tmp_path, what="uninstall")
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()] == ["etc/pouch/pouch.json"]
    assert not any((tmp_path / "usr" / name).exists() for name in ("lib/pouch", "share/pouch", "share/doc/pouch"))


def test_what_is_installed_runs(tree):
    engine = Engine(build=tree / "usr/lib/pouch", config=(tree / "etc/pouch/pouch.json").read_text(), start=False)
    try:
        engine.start()
        assert engine.api("GET", "/_ping", version=None).body == b"OK"
        version = subprocess.run([str(tree / "usr/sbin/pouchd"), "--version"], stdout=subprocess.PIPE, text=True, check=True)
        assert version.stdout.startswith("pouchd " + pathlib.Path(REPOSITORY / "VERSION").read_text().strip())
    finally:
        engine.close()
