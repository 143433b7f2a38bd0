"""tools/demo: what `make demo` shows, once everything is built."""
import pathlib
import re
import subprocess

from tests.harness.engine import BUILD, REPOSITORY


def demo(build):
    return subprocess.run([str(REPOSITORY / "tools/demo"), str(build)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_shows_a_containers_output_and_leaves_nothing():
    shown = demo(BUILD)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "== ready: " in shown.stdout
    assert "   Hello from Pouch\n   uid=0(root) gid=0" in shown.stdout
    first = re.search(r"namespace of its own: 0 (\d+) 65536\n", shown.stdout)[1]
    assert int(first) >= 65536
    assert shown.stdout.endswith("== stopping the engine\n")
    directory = re.search(r"engine below (\S+)", shown.stdout)[1]
    assert not pathlib.Path(directory).exists()
    assert directory not in pathlib.Path("/proc/self/mountinfo").read_text()


def test_it_fails_when_the_engine_does(tmp_path):
    (tmp_path / "pouchd").write_text("#!/bin/sh\necho cannot >&2\nexit 1\n")
    (tmp_path / "pouchd").chmod(0o755)
    shown = demo(tmp_path)
    assert shown.returncode == 1
    assert "cannot" in shown.stderr
    assert "Hello" not in shown.stdout
