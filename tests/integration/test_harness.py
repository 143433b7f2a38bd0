"""The tests' own: whatever ends a suite, nothing of its engines stays."""
import subprocess
import sys

from tests.harness import leaks
from tests.harness.engine import REPOSITORY, Engine
from tests.harness.names import Names

KILLED = """
import signal
from tests.harness.engine import Engine
engine = Engine().__enter__()
engine.busybox()
engine.docker("run", "-d", "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
print(engine.dir, engine.build, flush=True)
signal.pause()
"""


def traces(names):
    return leaks.processes(names) or leaks.mounts(names) or leaks.cgroups(names) or leaks.links(names) or leaks.tables(names)


def test_the_engine_of_a_killed_test_is_cleaned_up():
    test = subprocess.Popen([sys.executable, "-c", KILLED], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    names = Names(*test.stdout.readline().split())
    assert leaks.processes(names) and leaks.cgroups(names) and leaks.links(names) and leaks.tables(names)
    test.kill()
    test.wait()
    test.stdout.close()
    Engine.wait_for(lambda: not traces(names) and not names.dir.exists(), timeout=120)
