"""The syslog driver against Debian's own collector, over everything that it listens on."""
import pathlib
import shutil
import socket
import subprocess

import pytest

from tests.harness.engine import Engine
from tests.harness.ports import free_port

CONFIG = """
global(workDirectory="{place}" defaultNetstreamDriverCAFile="{place}/cert.pem" defaultNetstreamDriverCertFile="{place}/cert.pem"
       defaultNetstreamDriverKeyFile="{place}/key.pem" maxMessageSize="256k")
template(name="fields" type="string" string="%inputname%|%syslogfacility-text%|%syslogseverity-text%|%programname%|%procid%|%protocol-version%|%msg%\\n")
ruleset(name="all") {{ action(type="omfile" file="{place}/got" template="fields") }}
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all" name="udp")
module(load="imptcp")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="all" name="tcp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="all" name="tls")
module(load="imuxsock" sysSock.use="off")
input(type="imuxsock" socket="{place}/unixgram" ruleset="all" usePIDFromSystem="off" useSpecialParser="off" parseHostname="on")
"""


class Collector:
    """rsyslogd with a directory; the lines that it has written."""

    def __init__(self, place):
        self.place = place
        self.ports = {"udp": free_port(socket.SOCK_DGRAM), "tcp": free_port(), "tls": free_port()}
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", place / "key.pem", "-out", place / "cert.pem"],
                       check=True, stderr=subprocess.DEVNULL)
        (place / "cert.pem").chmod(0o644)
        (place / "conf").write_text(CONFIG.format(place=place, **self.ports))
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/rsyslogd", "-n", "-f", self.place / "conf", "-i", self.place / "pid"])
        Engine.wait_for(lambda: (self.place / "unixgram").exists() and all(self.listens(*item) for item in self.ports.items()))

    def listens(self, kind, port):
        assert self.process.poll() is None, "rsyslogd has ended"
        table = pathlib.Path("/proc/net", "udp" if kind == "udp" else "tcp").read_text()
        return f"0100007F:{port:04X}" in table

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def lines(self, program):
        """What has come from this program: {how it came, facility, severity, process id, version, message}."""
        path = self.place / "got"
        text = path.read_text(errors="replace") if path.exists() else ""
        # It writes blocks: the last line may not be whole yet.
        rows = [line.split("|", 6) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [(row[0], row[1], row[2], row[4], row[5], row[6].strip()) for row in rows if row[3] == program]

    def until(self, program, count):
        return Engine.wait_for(lambda: len(rows := self.lines(program)) >= count and rows)


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    place = tmp_path_factory.mktemp("rsyslog")
    for parent in [place, *place.parents[:2]]:
        parent.chmod(0o755)
    collector = Collector(place)
    collector.start()
    yield collector
    collector.stop()
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def engine(collector):
    place = str(collector.place)
    with Engine(config={"log-driver": {"sockets": [place], "files": [place]}}) as engine:
        engine.busybox()
        yield engine


def run(engine, collector, kind, *more, script="echo hello; echo bad >&2", tag=None):
    address = {"udp": "udp://127.0.0.1:{udp}", "tcp": "tcp://127.0.0.1:{tcp}", "tls": "tcp+tls://localhost:{tls}",
               "unixgram": f"unixgram://{collector.place}/unixgram"}[kind].format(**collector.ports)
    words = ["--log-driver", "syslog", "--log-opt", f"syslog-address={address}", "--log-opt", f"tag={tag or kind}"]
    if kind == "tls":
        words += ["--log-opt", f"syslog-tls-ca-cert={collector.place}/cert.pem"]
    return engine.docker("run", "--rm", "--network", "none", *words, *more, "busybox", "sh", "-c", script, text=False)


FORMATS = ["", "rfc3164", "rfc5424", "rfc5424micro"]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form or "default")
@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "unixgram"])
def test_each_format_is_understood(engine, collector, kind, form):
    """Facility, severity, program, process and text are what the driver means, for a parser that is not ours."""
    tag = f"{kind}-{form or 'default'}"
    more = ["--log-opt", f"syslog-format={form}"] if form else []
    run(engine, collector, kind, "--log-opt", "syslog-facility=local3", *more, tag=tag)
    rows = collector.until(tag, 2)
    assert len(rows) == 2
    version = "1" if form.startswith("rfc5424") else "0"
    name = "imuxsock" if kind == "unixgram" else kind
    for row, severity, text in zip(sorted(rows, key=lambda row: row[2]), ("err", "info"), ("bad", "hello")):
        assert (row[0], row[1], row[2], row[4]) == (name, "local3", severity, version) and row[5] == text, row
        assert row[3].isdigit()


def test_a_collector_that_is_restarted(engine, collector):
    """What is written while the collector is away comes when it is back, in order, each line once."""
    script = "for i in $(seq 200); do echo line $i; done; while [ ! -e /flag/go ]; do sleep 0.05; done; " \
             "for i in $(seq 201 400); do echo line $i; done; while [ ! -e /flag/on ]; do sleep 0.05; done; echo end"
    flag = collector.place / "flag"
    flag.mkdir()
    address = f"tcp://127.0.0.1:{collector.ports['tcp']}"
    box = engine.docker("run", "-d", "--network", "none", "-v", f"{flag}:/flag", "--log-driver", "syslog", "--log-opt",
                        f"syslog-address={address}", "--log-opt", "tag=again", "busybox", "sh", "-c", script).stdout.strip()
    collector.until("again", 200)
    collector.stop()
    (flag / "go").touch()
    collector.start()
    (flag / "on").touch()
    rows = [row[5] for row in collector.until("again", 401)]
    assert rows == [f"line {i}" for i in range(1, 401)] + ["end"]
    engine.docker("rm", "-f", box)


def test_long_lines_and_odd_bytes(engine, collector):
    """A line beyond 16 KiB comes in pieces, as docker's do; what is no text breaks no frame."""
    run(engine, collector, "tcp", script="printf '%20000d\\n' 7; echo after", tag="long")
    rows = [row[5] for row in collector.until("long", 3)]
    assert "".join(rows[:-1]).replace(" ", "") == "7" and rows[-1] == "after" and len(rows) == 3
    run(engine, collector, "tcp", script="printf 'a\\tb\\033[1mc\\200\\n'; echo after", tag="odd")
    assert collector.until("odd", 2)[1][5] == "after"
