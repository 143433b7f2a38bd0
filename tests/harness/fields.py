"""What the tests of single fields share: a container made by the API, run to its end, and what it wrote."""
import struct
import subprocess
import uuid


class Run:
    """A container that ran to its end."""

    def __init__(self, engine, command, config=None, host=None, networking=None, version="1.47", stop=None):
        self.engine = engine
        self.name = "f" + uuid.uuid4().hex[:12]
        body = {"Image": "busybox:latest", **({"Cmd": ["sh", "-c", command]} if command is not None else {}),
                **(config or {}), "HostConfig": {"NetworkMode": "none", **(host or {})}}
        if networking:
            body["NetworkingConfig"] = networking
        self.created = engine.api("POST", f"/containers/create?name={self.name}", body, version=version)
        if self.created.status != 201:
            self.error = self.created.message
            return
        self.warnings = self.created.json["Warnings"]
        self.id = self.created.json["Id"]
        self.started = engine.api("POST", f"/containers/{self.id}/start")
        self.error = None if self.started.status == 204 else self.started.message

    def finish(self):
        """Waits, reads the output, removes it. Returns the output."""
        assert self.created.status == 201, self.created
        try:
            assert self.started.status == 204, self.started
            self.code = self.engine.api("POST", f"/containers/{self.id}/wait").json["StatusCode"]
            self.output = self.log()
        finally:
            self.remove()
        return self.output

    def log(self):
        raw = self.engine.api("GET", f"/containers/{self.id}/logs?stdout=1&stderr=1").body
        if self.inspect()["Config"]["Tty"]:
            return raw.decode(errors="replace").replace("\r\n", "\n")
        text = b""
        while raw:
            size, = struct.unpack(">I", raw[4:8])
            text, raw = text + raw[8:8 + size], raw[8 + size:]
        return text.decode(errors="replace")

    def inspect(self):
        return self.engine.api("GET", f"/containers/{self.id}/json").json

    def execute(self, *command, **more):
        """An exec's output."""
        made = self.engine.api("POST", f"/containers/{self.id}/exec",
                               {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **more}, version="1.47")
        assert made.status == 201, made
        raw = self.engine.api("POST", f"/exec/{made.json['Id']}/start", {"Tty": more.get("Tty", False)}).body
        if more.get("Tty"):
            return raw.decode(errors="replace").replace("\r\n", "\n")
        text = b""
        while raw:
            size, = struct.unpack(">I", raw[4:8])
            text, raw = text + raw[8:8 + size], raw[8 + size:]
        return text.decode(errors="replace")

    def remove(self):
        if self.created.status == 201:
            self.engine.api("DELETE", f"/containers/{self.id}?force=1&v=1")


def output(engine, command, **fields):
    return Run(engine, command, **fields).finish()


CALLS = r"""
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	long b = syscall(SYS_bpf, 999, (void *)0, 0) < 0 ? errno : 0;
	long p = syscall(SYS_io_pgetevents, 0, 1, 1, 0, 0, 0) < 0 ? errno : 0;
	printf("bpf %ld io_pgetevents %ld\n", b, p);
}
"""


def filter_probe(directory):
    """A static program that makes calls which the default filter answers itself."""
    (directory / "calls.c").write_text(CALLS)
    subprocess.run(["gcc", "-static", "-o", str(directory / "calls"), str(directory / "calls.c")], check=True)
    return directory / "calls"
