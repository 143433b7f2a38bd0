"""The engine's log and copies of its audit records at a collector: syslog's and journald's datagrams, as they come."""
import json
import queue
import re
import socket
import threading

import pytest

from tests.harness.engine import Engine


class Collector:
    """A datagram socket that somebody else's process writes to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.seen = queue.Queue()
        # A few datagrams fill the kernel's queue.
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        while datagram := self.socket.recv(1 << 16):
            self.seen.put(datagram.decode())

    def until(self, wanted):
        """Every datagram up to the first for which wanted() is true."""
        seen = []
        while not seen or not wanted(seen[-1]):
            seen.append(self.seen.get(timeout=60))
        return seen

    def close(self):
        if self.reader.is_alive():
            self.socket.shutdown(socket.SHUT_RD)
        self.reader.join()
        self.socket.close()


@pytest.fixture(params=["syslog", "journald"])
def collected(request, tmp_path):
    collector = Collector(tmp_path / "collector")
    sets = ["log.level=debug", f"log.sink={request.param}", f"audit.copy={request.param}",
            f"log.{request.param}-socket={tmp_path / 'collector'}"]
    try:
        with Engine(sets=sets) as engine:
            yield request.param, collector, engine
    finally:
        collector.close()


def fields_of(datagram):
    """journald's native form, of fields of one line each."""
    return dict(line.split("=", 1) for line in datagram.rstrip("\n").split("\n"))


def test_log_and_audit_records_reach_the_collector(collected):
    kind, collector, engine = collected
    assert engine.api("POST", "/volumes/create", {"Name": "seen"}).status == 201
    ends = {"syslog": lambda d: d.startswith("<85>pouch-audit: ") and '"stage":"done"' in d,
            "journald": lambda d: "SYSLOG_IDENTIFIER=pouch-audit\n" in d and '"stage":"done"' in d}
    seen = collector.until(ends[kind])
    if kind == "syslog":
        log = [re.fullmatch(r'<(\d+)>pouch-([a-z]+)\[(\d+)\]: level=(\w+) (req=\d+ )?msg="(.*)"\n', d) for d in seen
               if not d.startswith("<85>")]
        assert all(log), seen
        daemons = {line[2] for line in log}
        assert all(int(line[1]) & 7 == {"error": 3, "warn": 4, "info": 6, "debug": 7}[line[4]] and int(line[1]) >> 3 == 3 for line in log)
        records = [json.loads(d.removeprefix("<85>pouch-audit: ")) for d in seen if d.startswith("<85>")]
    else:
        parsed = [fields_of(d) for d in seen]
        daemons = {f["POUCH_DAEMON"] for f in parsed if "POUCH_DAEMON" in f}
        assert all(f["SYSLOG_IDENTIFIER"] == "pouch-" + f["POUCH_DAEMON"] for f in parsed if "POUCH_DAEMON" in f)
        records = [json.loads(f["MESSAGE"]) for f in parsed if f["SYSLOG_IDENTIFIER"] == "pouch-audit"]
    assert daemons >= {"pouchd", "apid", "runtimed"}, daemons
    # The copies are the chain's own lines, in its order.
    chain = [json.loads(line) for file in sorted((engine.root / "auditd").iterdir()) for line in file.read_text().splitlines()]
    assert [r["seq"] for r in records] == [r["seq"] for r in chain][:len(records)]
    assert records[-1] in chain and records[-1]["objects"]["volume"] == ["seen"]


def test_the_engine_outlives_its_collector(collected):
    """The collector ends: lines go to stderr, changes go on, the chain holds."""
    _, collector, engine = collected
    collector.close()
    assert engine.api("POST", "/volumes/create", {"Name": "alone"}).status == 201
    pid = engine.pids()["volumed"]
    engine.ctl("restart", "volumed")
    assert engine.pids()["volumed"] != pid
    assert engine.api("GET", "/volumes/alone").status == 200
    engine.ctl("--root", engine.root, "audit", "verify")
    assert "level=info daemon=pouchd" in engine.log()
    assert 'level=warn daemon=volumed msg="the log goes to stderr: connect to ' in engine.log()
