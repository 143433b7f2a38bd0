"""The tests of containers, on Debian's kernel with cgroup v2."""
import pytest

from tests.harness.engine import BUILD, REPOSITORY
from tests.harness.long import LONG
from tests.vm import vm

pytestmark = pytest.mark.skipif(not LONG, reason="takes minutes: LONG=1")

# What the kernel (its modules, too), the cgroups or a whole set of capabilities have to do with.
SUITES = ["test_exec.py", "test_fields_host.py", "test_fields_config.py", "test_fields_mounts.py", "test_operations.py",
          "test_restart.py", "test_runtime.py", "test_security_start.py", "test_quota.py", "test_parents.py"]


def passes(tests, before="true"):
    """Tests in a machine of their own, behind a shell command."""
    status, text = vm.run(f"cd {REPOSITORY} && {before} && POUCH_BUILD={BUILD} python3 -m pytest -q --color=no -p no:cacheprovider "
                          f"tests/integration/{tests} 2>&1", timeout=1800)
    assert status == 0, text[-20000:]
    assert " passed" in text, text


@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite):
    passes(suite)


def test_weights_of_block_devices():
    """Which only one scheduler has."""
    passes("test_fields_host.py -k block_io_weights", before="modprobe bfq && echo bfq > /sys/block/vda/queue/scheduler")
