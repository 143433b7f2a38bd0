"""Ports for programs that bind them themselves."""
import pathlib
import random
import socket

RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
taken = []  # until the end of the process


def is_nobodys(port):
    """Takes the port's name among the tests that run side by side, if it is free."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0pouch-test-port-{port}")
    except OSError:
        name.close()
        return False
    taken.append(name)
    return True


def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that nobody has, below those that the kernel chooses from: who asks for any does not get it. No other
    test is given it before this process ends."""
    first = int(RANGE.read_text().split()[0])
    while True:
        port = random.randrange(10000, first) if first > 20000 else random.randrange(1024, first)
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if is_nobodys(port):
            return port
