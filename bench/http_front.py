#!/usr/bin/python3
"""The HTTP front beside dockerd: rates of /_ping and /version, latency under a slow client, memory of idle connections
and of a large upload. Usage: bench/http_front.py BUILD [GIB]; writes a table. dockerd is left out when it is not installed.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "build").resolve()
gib = float(sys.argv[2]) if len(sys.argv) > 2 else 5
os.environ["POUCH_BUILD"] = str(build)
from tests.harness.engine import Engine  # noqa: E402


def load(program, path, url, connections):
    out = subprocess.run([program, str(path), url, str(connections), "3"], check=True, capture_output=True, text=True)
    return [float(x) for x in out.stdout.split()]


def rates(program, name, path):
    for url in ("/_ping", "/version"):
        for connections in (1, 32):
            rate, median, p99 = load(program, path, url, connections)
            print(f"{name:8} {url:9} {connections:3} connections: {rate:8.0f}/s, median {median:5.0f} us, p99 {p99:5.0f} us",
                  flush=True)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(path))
    return s


def resident(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def trickle(path, stop):
    s = connect(path)
    for byte in b"GET /_ping HTTP/1.1\r\nHost: x\r\n":
        if stop.wait(1):
            return
        s.send(bytes([byte]))


def dockerd(directory):
    path = directory / "docker.sock"
    daemon = subprocess.Popen(
        ["dockerd", "-H", f"unix://{path}", "--data-root", directory / "data", "--exec-root", directory / "exec",
         "-p", directory / "pid", "--bridge=none", "--iptables=false", "--ip-forward=false"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            connect(path).close()
            return daemon, path
        except OSError:
            time.sleep(0.1)
    daemon.kill()
    raise SystemExit("dockerd did not start")


def upload(engine, pid):
    """A body that its owner reads away: load of something that is no image, from a client that does not stop."""
    peak = [resident(pid)]
    piece = bytes(1 << 20)
    sent = 0
    with connect(engine.socket) as s:
        s.settimeout(60)
        s.sendall(b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % int(gib * 2**30))
        began = time.monotonic()
        try:
            while sent < gib * 2**30:
                s.sendall(piece)
                sent += len(piece)
                if sent % (64 << 20) == 0:
                    peak.append(resident(pid))
        except OSError:
            pass
        took = time.monotonic() - began
    print(f"pouch    upload: {sent / 2**20:.0f} MiB in {took:.1f} s, apid at most {max(peak):.1f} MiB resident")


def main():
    with tempfile.TemporaryDirectory(prefix="pouch-bench-") as directory:
        program = os.path.join(directory, "http_load")
        subprocess.run(["gcc", "-O2", "-o", program, REPOSITORY / "bench/http_load.c"], check=True)
        with Engine() as engine:
            pid = engine.pids()["apid"]
            rates(program, "pouch", engine.socket)
            stop = threading.Event()
            slow = threading.Thread(target=trickle, args=(engine.socket, stop))
            slow.start()
            _, median, p99 = load(program, engine.socket, "/_ping", 32)
            print(f"pouch    /_ping     32 connections beside one of a byte a second: median {median:.0f} us, p99 {p99:.0f} us")
            stop.set()
            slow.join()
            before = resident(pid)
            idle = [connect(engine.socket) for _ in range(5000)]
            for s in idle:
                s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                s.recv(1000)
            print(f"pouch    5000 idle connections: {(resident(pid) - before) * 2**20 / 5000:.0f} bytes each")
            for s in idle:
                s.close()
            if "imaged" in engine.pids():
                upload(engine, pid)
        if shutil.which("dockerd"):
            daemon, path = dockerd(pathlib.Path(directory))
            try:
                rates(program, "dockerd", path)
            finally:
                daemon.terminate()
                daemon.wait()


main()
