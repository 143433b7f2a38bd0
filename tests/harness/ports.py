"""Ports for programs that bind them themselves."""
import pathlib
import random
import socket

RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
given = set()


def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that nobody has, below those that the kernel chooses from: who asks for any does not get it."""
    first = int(RANGE.read_text().split()[0])
    while True:
        port = random.randrange(10000, first) if first > 20000 else random.randrange(1024, first)
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given:
            given.add(port)
            return port
