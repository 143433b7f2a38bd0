#!/usr/bin/env python3
"""A container's output: written to its log file, read back by `logs`, attached to; beside dockerd and podman, in MiB of
output a second. Usage: bench/output.py BUILD [ROUNDS [MIB]]
"""
import contextlib
import io
import os
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
if len(sys.argv) > 1:
    os.environ["POUCH_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve())

from bench import engines, peers  # noqa: E402
from tests.harness import rootfs  # noqa: E402
from tests.harness.engine import Engine  # noqa: E402

LINE = b"x" * 79 + b"\n"
LOGGED = {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1g"}}}
SILENT = {"LogConfig": {"Type": "none"}}
# Ours is to be this many times as fast as dockerd.
TARGETS = {"to the log file": 8, "logs": 20, "attach": 3}


def image(mib):
    """busybox with a file of lines."""
    buffer = io.BytesIO(rootfs.busybox_tar())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        info = tarfile.TarInfo("lines")
        info.size = mib * 2**20 // len(LINE) * len(LINE)
        tar.addfile(info, io.BytesIO(LINE * (info.size // len(LINE))))
    return buffer.getvalue()


class Output:
    """One engine's containers that print the file of lines."""

    def __init__(self, api):
        self.api = api
        self.container = None

    def write(self):
        """From start to exit, everything in the log file."""
        self.api.start(self.container)
        assert self.api.wait(self.container) == 0

    def read(self):
        with self.api.stream("GET", f"/containers/{self.container}/logs?stdout=1&stderr=1") as s:
            return engines.read_away(s)

    def attach(self):
        with self.api.stream("POST", f"/containers/{self.container}/attach?stream=1&stdout=1") as s:
            self.api.start(self.container)
            return engines.read_away(s)

    def round(self, mib):
        """{measure: milliseconds}"""
        self.container = self.api.create(["cat", "/lines"], host=LOGGED)
        times = {"to the log file": peers.once(self.write)}
        times["logs"] = peers.once(lambda: self.check(self.read(), mib))
        self.api.remove(self.container)
        self.container = self.api.create(["cat", "/lines"], host=SILENT)
        times["attach"] = peers.once(lambda: self.check(self.attach(), mib))
        self.api.remove(self.container)
        return times

    @staticmethod
    def check(got, mib):
        assert got >= mib * 2**20 // len(LINE) * len(LINE), f"{got} bytes instead of {mib} MiB"


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    mib = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    with contextlib.ExitStack() as stack:
        apis = {"pouch": engines.Api(stack.enter_context(Engine()))}
        apis.update(engines.started(stack))
        tar = image(mib)
        for api in apis.values():
            api.engine.import_tar(tar, "busybox:latest")
        outputs = {name: Output(api) for name, api in apis.items()}
        samples = {measure: {name: [] for name in apis} for measure in TARGETS}
        for number in range(rounds + 1):
            for name, output in outputs.items():
                for measure, taken in output.round(mib).items():
                    if number:
                        samples[measure][name].append(taken)
    for measure, target in TARGETS.items():
        times = peers.Times(samples[measure])
        print(f"{measure}: {mib} MiB in lines of {len(LINE)} bytes (target: {target} × dockerd)")
        for name in apis:
            faster = f"   {times.ratio('dockerd', name):6.1f} × dockerd" if "dockerd" in apis else ""
            print(f"  {name:10} {mib / times.median(name) * 1000:9.1f} MiB/s{faster}   (n={rounds})")


if __name__ == "__main__":
    main()
