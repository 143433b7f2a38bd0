#!/usr/bin/env python3
"""A container's life (create, start, wait, remove of `true`) over the API beside bare `crun run`, and the memory of an idle
engine. Usage: bench/life.py BUILD [ROUNDS]
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tests.harness.engine import Engine  # noqa: E402


def times(rounds, once):
    """Milliseconds of each round, after one that warms up."""
    once()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        once()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def life(engine, network):
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": network}}
    container = engine.api("POST", "/containers/create", body).json["Id"]
    assert engine.api("POST", f"/containers/{container}/start").status == 204
    assert engine.api("POST", f"/containers/{container}/wait").json["StatusCode"] == 0
    assert engine.api("DELETE", f"/containers/{container}").status == 204


def bare_crun(rounds):
    with tempfile.TemporaryDirectory() as directory:
        bundle = pathlib.Path(directory)
        (bundle / "rootfs/bin").mkdir(parents=True)
        (bundle / "rootfs/bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
        (bundle / "rootfs/bin/busybox").chmod(0o755)
        os.symlink("busybox", bundle / "rootfs/bin/true")
        subprocess.run(["crun", "spec"], cwd=bundle, check=True)
        spec = json.loads((bundle / "config.json").read_text())
        spec["process"].update(args=["/bin/true"], terminal=False)
        (bundle / "config.json").write_text(json.dumps(spec))
        # crun 1.8 refuses a hybrid host while the unified hierarchy is there.
        command = f"umount /sys/fs/cgroup/unified 2>/dev/null; cd {bundle}; exec crun run bench-{os.getpid()}"
        return times(rounds, lambda: subprocess.run(["unshare", "-m", "sh", "-c", command], check=True))


def pss(engine):
    total = 0
    for pid in [engine.process.pid, *engine.pids().values()]:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with Engine(build=sys.argv[1] if len(sys.argv) > 1 else "build") as engine:
        idle = pss(engine)
        engine.busybox()
        crun = statistics.median(bare_crun(rounds))
        print(f"bare crun run                    {crun:7.1f} ms   (with unshare and sh)")
        for network in ("none", "bridge"):
            ours = statistics.median(times(rounds, lambda n=network: life(engine, n)))
            print(f"pouch, network {network:17} {ours:7.1f} ms   {ours / crun:.2f} × bare crun")
        print(f"memory of the idle engine        {idle:7.1f} MiB PSS")


if __name__ == "__main__":
    main()
