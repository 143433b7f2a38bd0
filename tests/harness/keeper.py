"""Cleans up the engines of a test that was killed. An engine and its containers outlive the process that started them, as they
should; so each process with engines has a keeper, which notices its end by the end of a pipe.

    keeper.engine_begins(engine)
    keeper.engine_ends(engine)       # it has cleaned up itself
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from . import leaks
from .names import Names

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_keepers = {}  # pid → its keeper: a fork of a test has one of its own


def _tell(*words):
    keeper = _keepers.get(os.getpid())
    if not keeper:
        keeper = _keepers[os.getpid()] = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.keeper"], cwd=REPOSITORY, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, text=True, start_new_session=True)
    keeper.stdin.write(json.dumps([str(word) for word in words]) + "\n")
    keeper.stdin.flush()


def engine_begins(engine):
    _tell("begins", engine.dir, engine.build)


def engine_ends(engine):
    _tell("ends", engine.dir, engine.build)


def main():
    engines = set()
    for line in sys.stdin:
        event, *names = json.loads(line)
        (engines.add if event == "begins" else engines.discard)(tuple(names))
    for directory, build in engines:  # a machine of theirs has ended with the test
        leaks.clean(Names(directory, build))
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
