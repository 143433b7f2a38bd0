#!/usr/bin/env python3
"""The HTTP front beside dockerd: rates of /_ping and /version, latency beside a slow client, start and memory of the idle
engine, memory of idle connections and of a large upload. Usage: bench/http_front.py BUILD [GIB]; dockerd is left out when it
is not installed.
"""
import contextlib
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

import peers
from tests.harness.engine import Engine

ROUNDS = 5
IDLE = 10000


class Load:
    """The client: a small C program, so that it is the servers that are measured."""

    def __init__(self, directory):
        self.program = os.path.join(directory, "http_load")
        source = pathlib.Path(__file__).with_name("http_load.c")
        subprocess.run(["gcc", "-O2", "-o", self.program, source], check=True)

    def run(self, server, url, connections, seconds=1):
        """(requests a second, median and 99th percentile of the latency in µs)"""
        out = subprocess.run([self.program, str(server.socket), url, str(connections), str(seconds)], check=True,
                             capture_output=True, text=True)
        return [float(x) for x in out.stdout.split()]


def pids_of(server):
    return [server.process.pid, *server.pids().values()] if isinstance(server, Engine) else server.pids()


def rates(load, servers):
    """In turn, so that the machine's moods meet both alike; medians of the rounds."""
    for url in ("/_ping", "/version"):
        for connections in (1, 32):
            results = {name: [] for name in servers}
            for _ in range(ROUNDS):
                for name, server in servers.items():
                    results[name].append(load.run(server, url, connections))
            columns = {name: [statistics.median(c) for c in zip(*rows)] for name, rows in results.items()}
            for name, (rate, median, p99) in columns.items():
                print(f"  {name:8} {url:9} {connections:3} connections: {rate:8.0f}/s  "
                      f"{columns['pouch'][0] / rate:7.2f} ×  median {median:6.0f} us, p99 {p99:6.0f} us", flush=True)


def connect(server):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(server.socket))
    return s


def resident(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def beside_a_slow_client(load, servers):
    stop = threading.Event()

    def trickle(server):
        with connect(server) as s:
            for byte in b"GET /_ping HTTP/1.1\r\nHost: x\r\n" * 100:
                s.send(bytes([byte]))
                if stop.wait(1):
                    return

    for name, server in servers.items():
        stop.clear()
        slow = threading.Thread(target=trickle, args=(server,))
        slow.start()
        results = [load.run(server, "/_ping", 32) for _ in range(ROUNDS)]
        stop.set()
        slow.join()
        _, median, p99 = (statistics.median(c) for c in zip(*results))
        print(f"  {name:8} 32 connections beside one of a byte a second: median {median:.0f} us, p99 {p99:.0f} us", flush=True)


def idle_connections(engine):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE, hard - 500)
    pid = engine.pids()["apid"]
    before = resident(pid)
    idle = [connect(engine) for _ in range(count)]
    for s in idle:
        s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(1000)
    taken = peers.once(lambda: engine.api("GET", "/version"))
    print(f"  pouch    {count} idle connections: {(resident(pid) - before) * 2**20 / count:.0f} bytes of apid each; "
          f"another's /version meanwhile {taken:.1f} ms")
    for s in idle:
        s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def upload(engine, gib):
    """POST /images/create?fromSrc=-: a tar with one large file, which its owner unpacks."""
    size = int(gib * 2**30)
    pid = engine.pids()["apid"]
    head = tarfile.TarInfo("large")
    head.size = size
    frame = head.tobuf(tarfile.GNU_FORMAT)
    total = len(frame) + size + 10240
    piece = memoryview(bytes(1 << 20))
    peak = resident(pid)
    with connect(engine) as s:
        s.sendall(b"POST /images/create?fromSrc=-&repo=large HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % total)
        began = time.monotonic()
        s.sendall(frame)
        left = total - len(frame)
        while left:
            s.sendall(piece[:min(left, len(piece))])
            left -= min(left, len(piece))
            if left % (16 << 20) < len(piece):
                peak = max(peak, resident(pid))
        answer = s.recv(1 << 16)
        took = time.monotonic() - began
    print(f"  pouch    upload of {gib:g} GiB: {answer[9:15].decode()} after {took:.1f} s ({total / 2**20 / took:.0f} MiB/s), apid at "
          f"most {max(peak, resident(pid)):.1f} MiB resident")


def start_and_idle(build):
    taken = []
    for _ in range(2 * ROUNDS):
        with Engine(build=build, start=False) as engine:
            taken.append(peers.once(engine.start))
            memory = peers.pss(pids_of(engine))
    print(f"  pouch    start to ready: median {statistics.median(taken):.0f} ms ({min(taken):.0f} … {max(taken):.0f}); "
          f"idle {memory:.1f} MiB PSS", flush=True)
    if not peers.Dockerd.missing():
        began = time.perf_counter()
        with peers.Dockerd() as docker:
            print(f"  dockerd  start to ready: {(time.perf_counter() - began) * 1000:.0f} ms; idle {docker.pss():.1f} MiB PSS")


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else None
    gib = float(sys.argv[2]) if len(sys.argv) > 2 else 5
    start_and_idle(build)
    with tempfile.TemporaryDirectory(prefix="pouch-bench-") as directory, Engine(build=build) as engine:
        load = Load(directory)
        with contextlib.ExitStack() as stack:
            servers = {"pouch": engine}
            if not peers.Dockerd.missing():
                servers["dockerd"] = stack.enter_context(peers.Dockerd())
            peers.favour([os.getpid(), *(pid for server in servers.values() for pid in pids_of(server))])
            rates(load, servers)
            beside_a_slow_client(load, servers)
        upload(engine, gib)
        idle_connections(engine)


if __name__ == "__main__":
    main()
