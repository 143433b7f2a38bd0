"""What the kernel of this machine has: some tests need it, and their counterparts need that it is not there."""
import functools
import pathlib
import shutil
import socket
import subprocess

import pytest


@functools.cache
def has_link(kind, *options):
    """Can there be network devices of this kind? The kernel knows the kind before it looks at the rest."""
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "probe0", "type", kind, *options], capture_output=True,
                           text=True, check=False)
    return "Unknown device type" not in tried.stderr


@functools.cache
def has_protocol(number):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, number).close()
    except OSError:
        return False
    return True


@functools.cache
def has_file_system(name):
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", name], check=False)
    return name in pathlib.Path("/proc/filesystems").read_text(encoding="ascii").split()


def needs_file_system(name):
    return pytest.mark.skipif(not has_file_system(name), reason=f"this kernel has no file system {name}")


def needs_link(kind, *options):
    return pytest.mark.skipif(not has_link(kind, *options), reason=f"this kernel has no devices of the kind {kind}")


def lacks_link(kind, *options):
    return pytest.mark.skipif(has_link(kind, *options), reason=f"this kernel has devices of the kind {kind}")


VLAN = ("vlan", "id", "1")
needs_vlan, lacks_vlan = needs_link(*VLAN), lacks_link(*VLAN)
needs_dummy, lacks_dummy = needs_link("dummy"), lacks_link("dummy")
needs_ipvlan, lacks_ipvlan = needs_link("ipvlan"), lacks_link("ipvlan")
