"""Fixtures of the clients' tests: every docker CLI that is installed is tried, a terminal for it, and Node's packages."""
import os
import pathlib
import shutil
import subprocess

import pexpect
import pytest

from tests.harness.engine import BUILD, REPOSITORY

NODE_MODULES = BUILD / "clients" / "node_modules"


def docker_clients():
    """All docker programs in PATH: distributions' and others' differ in what they ask for."""
    found = {}
    for directory in os.environ["PATH"].split(":") + ["/usr/bin"]:
        path = pathlib.Path(directory, "docker")
        if path.is_file() and os.access(path, os.X_OK):
            found.setdefault(path.resolve(), path)
    return [str(path) for path in found.values()]


def version_of(path):
    words = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return "docker-" + words[2].rstrip(",")


class Cli:
    """One docker CLI against one engine."""

    def __init__(self, engine, program):
        self.engine = engine
        self.program = program
        self.env = {"PATH": os.environ["PATH"], "HOME": str(engine.dir), "DOCKER_CONFIG": str(engine.dir / "docker"),
                    "DOCKER_HOST": f"unix://{engine.socket}", "TERM": "dumb"}

    def __call__(self, *arguments, code=0, **more):
        """Run to its end; the exit status must be `code` (None: any). Returns CompletedProcess with text."""
        if "input" not in more:
            more["stdin"] = subprocess.DEVNULL
        done = subprocess.run([self.program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=300, env=self.env, check=False, **more)
        assert code is None or done.returncode == code, f"{arguments}: {done}\n{self.engine.log()[-1000:]}"
        return done

    def out(self, *arguments, **more):
        return self(*arguments, **more).stdout.strip()

    def start(self, *arguments):
        """In the background, with pipes."""
        return subprocess.Popen([self.program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.env)

    def terminal(self, *arguments):
        """On a terminal of its own."""
        child = pexpect.spawn(self.program, [str(a) for a in arguments], env=self.env, timeout=60, dimensions=(33, 111),
                              encoding="utf-8", echo=False)
        child.delaybeforesend = None
        return child


@pytest.fixture(params=docker_clients(), ids=version_of)
def cli(engine, request):
    """A docker CLI; what the test leaves is removed."""
    yield Cli(engine, request.param)
    engine.remove_containers()


@pytest.fixture(scope="session")
def node_modules():
    """Node's packages of tests/clients/package.json, installed once a build directory."""
    source = REPOSITORY / "tests" / "clients"
    stamp = NODE_MODULES / ".installed"
    lock = (source / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        NODE_MODULES.parent.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, NODE_MODULES.parent)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NODE_MODULES.parent, check=True)
        stamp.write_text(lock)
    return NODE_MODULES


@pytest.fixture
def node(engine, node_modules):
    """Run a file of node:test against the engine; fails with its output."""
    def run(name):
        env = {"PATH": os.environ["PATH"], "HOME": str(engine.dir), "NODE_PATH": str(node_modules),
               "DOCKER_HOST": f"unix://{engine.socket}", "TESTCONTAINERS_RYUK_DISABLED": "true"}
        copy = NODE_MODULES.parent / name      # modules are looked for beside the file
        shutil.copy(REPOSITORY / "tests" / "clients" / name, copy)
        done = subprocess.run(["node", "--test", str(copy)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300, env=env, check=False)
        assert done.returncode == 0, done.stdout + engine.log()[-4000:]
        return done.stdout

    yield run
    engine.remove_containers()
