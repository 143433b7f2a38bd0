"""Log drivers that send lines to a collector: each against a receiver that knows its protocol."""
import gzip
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib

import msgpack
import pytest

from tests.harness.engine import Engine

TIMEOUT = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory that log workers may look into, with a certificate."""
    directory = tmp_path_factory.mktemp("collectors")
    for parent in [directory, *directory.parents[:2]]:
        parent.chmod(0o755)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", directory / "key.pem", "-out",
                    directory / "cert.pem"], check=True, stderr=subprocess.DEVNULL)
    (directory / "cert.pem").chmod(0o644)
    return directory


@pytest.fixture(scope="module")
def engine(place):
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind(str(place / "journal"))
    (place / "journal").chmod(0o666)
    journal.settimeout(TIMEOUT)
    config = {"log-driver": {"sockets": [str(place)], "files": [str(place)], "journal": str(place / "journal")}}
    with Engine(config=config) as engine:
        engine.busybox()
        engine.journal = journal
        yield engine
    journal.close()


class Lines:
    """What a stream collector receives, over connections one after another."""

    def __init__(self, family=socket.AF_INET, address=("127.0.0.1", 0), context=None):
        self.listener = socket.socket(family)
        self.listener.bind(address)
        if family == socket.AF_UNIX:
            os.chmod(address, 0o666)
        self.listener.listen()
        self.listener.settimeout(TIMEOUT)
        self.context = context
        self.connection = None
        self.buffer = b""

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def accept(self):
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(TIMEOUT)
        if self.context:
            self.connection = self.context.wrap_socket(self.connection, server_side=True)
        return self.connection

    def until(self, end):
        """Bytes up to and without `end`."""
        if not self.connection:
            self.accept()
        while end not in self.buffer:
            data = self.connection.recv(65536)
            assert data, f"closed behind {self.buffer!r}"
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def exactly(self, n):
        while len(self.buffer) < n:
            self.buffer += self.connection.recv(65536)
        found, self.buffer = self.buffer[:n], self.buffer[n:]
        return found

    def close(self):
        if self.connection:
            self.connection.close()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def datagrams(address=("127.0.0.1", 0), family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(address)
    s.settimeout(TIMEOUT)
    return s


def options(driver, **more):
    words = ["--log-driver", driver]
    for name, value in more.items():
        words += ["--log-opt", f"{name.replace('_', '-')}={value}"]
    return words


def run(engine, *words, script="echo hello; echo bad >&2", check=True, name=None):
    more = ["--name", name] if name else []
    return engine.docker("run", "-d", "--network", "none", *more, "-l", "tier=web", "-e", "COLOUR=blue", *words, "busybox",
                         "sh", "-c", script, check=check)


def removed(engine, *names):
    for name in names:
        engine.docker("rm", "-f", name)


# ---- syslog ----

def test_syslog_udp(engine):
    with datagrams() as collector:
        port = collector.getsockname()[1]
        container = run(engine, *options("syslog", syslog_address=f"udp://127.0.0.1:{port}", tag="{{.Name}}/{{.ID}}",
                                         syslog_facility="local3", syslog_format="rfc5424micro"),
                        name="udp").stdout.strip()
        got = sorted(collector.recv(65536).decode() for _ in range(2))
    tag = f"udp/{container[:12]}"
    for text, priority, line in zip(got, (19 * 8 + 3, 19 * 8 + 6), ("bad", "hello")):
        assert re.fullmatch(rf"<{priority}>1 \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}[+-]\d\d:\d\d {socket.gethostname()} {tag} "
                            rf"\d+ {tag} - {line}", text), text
    # What a collector gets, `docker logs` has, too.
    assert engine.docker("logs", "udp").stdout == "hello\n"
    removed(engine, "udp")


def test_syslog_tcp_and_its_formats(engine):
    for name, form in ((None, r"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d %(tag)s\[\d+\]: "),
                       ("rfc3164", r"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d %(host)s %(tag)s\[\d+\]: "),
                       ("rfc5424", r"<30>1 [\d-]{10}T[\d:]{8}[+-]\d\d:\d\d %(host)s %(tag)s \d+ %(tag)s - ")):
        with Lines() as collector:
            more = {"syslog_format": name} if name else {}
            container = run(engine, *options("syslog", syslog_address=f"tcp://localhost:{collector.port}", **more),
                            script="echo one; echo two").stdout.strip()
            words = {"tag": container[:12], "host": socket.gethostname()}
            assert re.fullmatch(form % words + "one", collector.until(b"\n").decode())
            assert re.fullmatch(form % words + "two", collector.until(b"\n").decode())
            assert collector.connection.recv(10) == b""  # the worker ends with its container
        removed(engine, container)


def test_syslog_tls(engine, place):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "cert.pem", place / "key.pem")
    with Lines(context=context) as collector:
        address = f"tcp+tls://localhost:{collector.port}"
        answer = []
        thread = threading.Thread(target=lambda: answer.append(
            run(engine, *options("syslog", syslog_address=address, syslog_tls_ca_cert=place / "cert.pem"), name="tls")))
        thread.start()
        length = int(collector.until(b" "))
        assert collector.exactly(length).endswith(b": hello")
        thread.join()
    removed(engine, "tls")
    # Without the certificate that it is signed by, the collector is not believed, and the container does not start.
    with Lines(context=context) as collector:
        answer = []
        thread = threading.Thread(target=lambda: answer.append(
            run(engine, *options("syslog", syslog_address=f"tcp+tls://localhost:{collector.port}"), name="tls",
                check=False)))
        thread.start()
        with pytest.raises(ssl.SSLError):
            collector.accept()
        thread.join()
    assert answer[0].returncode == 125 and "failed to initialize logging driver: TLS" in answer[0].stderr
    removed(engine, "tls")


@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_syslog_unix(engine, place, kind):
    path = str(place / kind)
    if kind == "unix":
        with Lines(socket.AF_UNIX, path) as collector:
            run(engine, *options("syslog", syslog_address=f"unix://{path}"), name=kind)
            assert collector.until(b"\n").endswith(b"hello")
    else:
        with datagrams(path, socket.AF_UNIX) as collector:
            os.chmod(path, 0o666)
            run(engine, *options("syslog", syslog_address=f"unixgram://{path}"), name=kind)
            assert collector.recv(65536).endswith(b"hello")
    removed(engine, kind)


# ---- journald ----

def journal_fields(data):
    """The native protocol's fields of one datagram."""
    fields = {}
    while data:
        name, _, rest = data.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
            data = rest
        else:
            length, = struct.unpack_from("<Q", rest)
            value = rest[8:8 + length]
            assert rest[8 + length:9 + length] == b"\n"
            data = rest[9 + length:]
        fields[name.decode()] = value.decode()
    return fields


def test_journald(engine):
    container = run(engine, *options("journald", labels="tier", env="COLOUR", tag="web {{.Name}}"), name="journal",
                    script="echo hello; printf %20000d 7").stdout.strip()
    first = journal_fields(engine.journal.recv(1 << 20))
    assert first["MESSAGE"] == "hello" and first["PRIORITY"] == "6"
    assert first["CONTAINER_ID_FULL"] == container and first["CONTAINER_ID"] == container[:12]
    assert first["CONTAINER_NAME"] == "journal" and first["CONTAINER_TAG"] == "web journal"
    assert first["SYSLOG_IDENTIFIER"] == "web journal" and first["IMAGE_NAME"] == "busybox"
    assert first["TIER"] == "web" and first["COLOUR"] == "blue"
    # A long line comes in pieces that can be put together.
    pieces = [journal_fields(engine.journal.recv(1 << 20)) for _ in range(2)]
    assert [p["CONTAINER_PARTIAL_ORDINAL"] for p in pieces] == ["1", "2"]
    assert pieces[0]["CONTAINER_PARTIAL_MESSAGE"] == "true" and len({p["CONTAINER_PARTIAL_ID"] for p in pieces}) == 1
    assert int("".join(p["MESSAGE"] for p in pieces)) == 7
    removed(engine, "journal")


# ---- gelf ----

def gelf_message(collector):
    """One message, put together from its chunks."""
    chunks = {}
    while True:
        data = collector.recv(65536)
        if data[:2] != b"\x1e\x0f":
            return data
        assert len(data) <= 1420
        chunks[data[10]] = data[12:]
        if len(chunks) == data[11]:
            return b"".join(chunks[i] for i in sorted(chunks))


@pytest.mark.parametrize("kind", ["gzip", "zlib", "none"])
def test_gelf_udp(engine, kind):
    unpack = {"gzip": gzip.decompress, "zlib": zlib.decompress, "none": bytes}[kind]
    with datagrams() as collector:
        address = f"udp://127.0.0.1:{collector.getsockname()[1]}"
        container = run(engine, *options("gelf", gelf_address=address, gelf_compression_type=kind, labels_regex="^ti"),
                        script="echo short; head -c 9000 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo").stdout.strip()
        first = json.loads(unpack(gelf_message(collector)))
        assert first["version"] == "1.1" and first["short_message"] == "short" and first["level"] == 6
        assert first["host"] == socket.gethostname() and first["_container_id"] == container
        assert first["_image_name"] == "busybox" and first["_tier"] == "web" and first["_command"].startswith("sh -c ")
        assert abs(first["timestamp"] - time.time()) < 60
        long = [json.loads(unpack(gelf_message(collector)))["short_message"] for _ in range(2)]
        assert len("".join(long)) == 18000
    removed(engine, container)


def test_gelf_tcp(engine):
    with Lines() as collector:
        container = run(engine, *options("gelf", gelf_address=f"tcp://127.0.0.1:{collector.port}"),
                        script="printf 'a\\377b\\n'").stdout.strip()
        assert json.loads(collector.until(b"\0"))["short_message"] == "a\ufffdb"
    removed(engine, container)


# ---- fluentd ----

class Fluentd(Lines):
    """The forward protocol's receiving side."""

    def messages(self):
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        if not self.connection:
            self.accept()
        while True:
            for message in unpacker:
                yield message
            data = self.connection.recv(65536)
            if not data:
                return
            unpacker.feed(data)


def test_fluentd(engine):
    with Fluentd() as collector:
        container = run(engine, *options("fluentd", fluentd_address=f"127.0.0.1:{collector.port}", tag="app.{{.Name}}",
                                         env_regex="^COL", fluentd_sub_second_precision="true"), name="fluent",
                        script="echo 1; echo 2; echo 3").stdout.strip()
        entries = []
        for tag, batch, _ in collector.messages():
            assert tag == "app.fluent"
            entries += batch
        assert [record["log"] for _, record in entries] == ["1", "2", "3"]
        when, record = entries[0]
        assert when.code == 0 and abs(struct.unpack(">II", when.data)[0] - time.time()) < 60
        assert record == {"container_id": container, "container_name": "/fluent", "source": "stdout", "log": "1",
                          "COLOUR": "blue"}
    removed(engine, "fluent")


def test_fluentd_acknowledged_lines_are_not_lost(engine):
    """The collector dies before it acknowledges: what it had taken comes again."""
    with Fluentd() as collector:
        address = f"tcp://127.0.0.1:{collector.port}"
        container = run(engine, *options("fluentd", fluentd_address=address, fluentd_request_ack="true"),
                        script="echo once").stdout.strip()
        _, first, option = next(collector.messages())
        assert option["chunk"]
        collector.connection.close()
        collector.connection = None
        _, again, option = next(collector.messages())
        assert again == first and first[0][1]["log"] == "once"
        collector.connection.sendall(msgpack.packb({"ack": option["chunk"]}))
        assert collector.connection.recv(10) == b""  # nothing more is owed
    removed(engine, container)


def test_fluentd_unix_and_async(engine, place):
    path = str(place / "fluent")
    words = options("fluentd", fluentd_address=f"unix://{path}", fluentd_retry_wait="100ms")
    refused = run(engine, *words, name="late", check=False)
    assert refused.returncode == 125 and f"failed to initialize logging driver: connect to {path}" in refused.stderr
    removed(engine, "late")
    with Fluentd(socket.AF_UNIX, path) as collector:
        run(engine, *words, name="late")
        _, batch, _ = next(collector.messages())
        assert batch[0][1]["log"] == "hello"
    removed(engine, "late")


# ---- splunk ----

class Splunk:
    """An HTTP Event Collector over TLS."""

    def __init__(self, place, fail=0):
        self.requests = []
        self.events = []
        self.arrived = threading.Condition()
        self.fail = fail
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status):
                body = b'{"text":"Success","code":0}' if status == 200 else b'{"text":"Server is busy","code":9}'
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_OPTIONS(self):
                outer.requests.append(("OPTIONS", self.path, dict(self.headers)))
                self.answer(200)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(("POST", self.path, dict(self.headers)))
                if outer.fail:
                    outer.fail -= 1
                    self.answer(503)
                    return
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                outer.take(body.decode())
                self.answer(200)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place / "cert.pem", place / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"https://localhost:{self.server.server_port}"

    def take(self, text):
        decoder = json.JSONDecoder()
        at = 0
        with self.arrived:
            while at < len(text):
                event, at = decoder.raw_decode(text, at)
                self.events.append(event)
            self.arrived.notify_all()

    def wait(self, n):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.events) >= n, TIMEOUT), self.requests
            return self.events

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_splunk(engine, place):
    with Splunk(place, fail=2) as collector:
        container = run(engine, *options("splunk", splunk_url=collector.url, splunk_token="s3cret", splunk_source="src",
                                         splunk_sourcetype="type", splunk_index="main", splunk_gzip="true",
                                         splunk_format="json", splunk_capath=place / "cert.pem", labels="tier"),
                        script="echo '{\"a\": 1}'; echo plain >&2").stdout.strip()
        events = sorted(collector.wait(2), key=lambda e: e["event"]["source"])
        assert events[0]["event"] == {"line": "plain", "source": "stderr", "tag": container[:12], "attrs": {"tier": "web"}}
        assert events[1]["event"]["line"] == {"a": 1}
        assert all((e["host"], e["source"], e["sourcetype"], e["index"]) == (socket.gethostname(), "src", "type", "main")
                   for e in events)
        method, path, headers = collector.requests[0]
        assert (method, path) == ("OPTIONS", "/services/collector/event/1.0")
        assert all(headers["Authorization"] == "Splunk s3cret" for _, _, headers in collector.requests)
    removed(engine, container)
    assert "s3cret" not in engine.log()


def test_splunk_raw(engine, place):
    with Splunk(place) as collector:
        container = run(engine, *options("splunk", splunk_url=collector.url, splunk_token="t", splunk_format="raw",
                                         splunk_insecureskipverify="true", splunk_index_acknowledgment="true", tag="T",
                                         labels="tier"), script="echo; echo line").stdout.strip()
        assert [e["event"] for e in collector.wait(1)] == ["T tier=web line"]
        assert re.fullmatch(r"[0-9a-f-]{36}", collector.requests[-1][2]["X-Splunk-Request-Channel"])
    removed(engine, container)


# ---- collectors that are away ----

def test_a_collector_that_must_be_there_at_the_start(engine):
    with socket.socket() as deaf:  # has its port, and does not listen
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        for words in (options("syslog", syslog_address=f"tcp://127.0.0.1:{port}"),
                      options("gelf", gelf_address=f"tcp://127.0.0.1:{port}"),
                      options("fluentd", fluentd_address=f"127.0.0.1:{port}"),
                      options("splunk", splunk_url=f"http://127.0.0.1:{port}", splunk_token="t")):
            refused = run(engine, *words, name="refused", check=False)
            assert refused.returncode == 125
            assert "failed to initialize logging driver" in refused.stderr and "Connection refused" in refused.stderr
            removed(engine, "refused")


def test_blocking_waits_for_the_collector_and_loses_nothing(engine, place):
    lines = 200000  # more than the queue, the sockets and the pipe hold
    with Lines(socket.AF_UNIX, str(place / "blocking")) as collector:
        container = run(engine, *options("syslog", syslog_address=f"unix://{place}/blocking"),
                        script=f"echo first; seq {lines}; echo done > /tmp/done; sleep 1000").stdout.strip()
        assert collector.until(b"\n").endswith(b"first")
        finished = ["exec", container, "test", "-e", "/tmp/done"]
        # It cannot have finished: nobody has read, and there is no room for all of it.
        assert engine.docker(*finished, check=False).returncode == 1
        for i in range(1, lines + 1):
            assert collector.until(b"\n").rpartition(b" ")[2] == b"%d" % i
        deadline = time.monotonic() + TIMEOUT
        while engine.docker(*finished, check=False).returncode:
            assert time.monotonic() < deadline
    removed(engine, container)


def test_non_blocking_drops_and_counts(engine, place):
    with Lines(socket.AF_UNIX, str(place / "dropping")) as collector:
        words = options("syslog", syslog_address=f"unix://{place}/dropping", mode="non-blocking", max_buffer_size="64k")
        container = run(engine, *words, script="seq 300000").stdout.strip()
        # It ends although nobody reads.
        assert engine.api("POST", f"/containers/{container}/wait").json["StatusCode"] == 0
        got = 0
        collector.accept()
        while data := collector.connection.recv(1 << 20):
            got += data.count(b"\n")
    assert 0 < got < 300000
    dropped = wait_for_log(engine, rf"{container[:12]}: (\d+) lines were dropped\"")
    assert int(dropped[1]) + got == 300000
    # So does the file, where the disk is slower than the program; each counts its own.
    kept = len(engine.docker("logs", container).stdout.splitlines())
    lost = kept < 300000 and int(wait_for_log(engine, rf"{container[:12]}: (\d+) lines were dropped: ")[1])
    assert kept + lost == 300000
    removed(engine, container)


def wait_for_log(engine, pattern):
    deadline = time.monotonic() + TIMEOUT
    while not (found := re.search(pattern, engine.log())):
        assert time.monotonic() < deadline, engine.log()[-3000:]
        time.sleep(0.02)
    return found


def log_workers(engine):
    """Pids of this engine's log workers."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "exe") == str(engine.build / "log") and \
                    str(engine.run).encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def replaced(engine, others):
    """Kills the one worker beside the others, whose last lines nobody has then, and waits for the next one."""
    worker, = log_workers(engine) - others
    os.kill(worker, 9)
    deadline = time.monotonic() + TIMEOUT
    while not log_workers(engine) - others - {worker}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_that_dies_is_replaced(engine):
    with Lines() as collector:
        container = engine.api("POST", "/containers/create", {
            "Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "HostConfig": {"NetworkMode": "none", "LogConfig": {
                "Type": "syslog", "Config": {"syslog-address": f"tcp://127.0.0.1:{collector.port}"}}}}).json["Id"]
        client = engine.client()
        stdin = client.api.attach_socket(container, {"stdin": 1, "stream": 1})._sock
        before = log_workers(engine)
        assert engine.api("POST", f"/containers/{container}/start").status == 204
        stdin.sendall(b"one\n")
        assert collector.until(b"\n").endswith(b"one")
        replaced(engine, before)
        stdin.sendall(b"two\n")
        collector.accept()  # the next one's
        assert collector.until(b"\n").endswith(b"two")
        # Neither runtimed nor the whole engine is needed for lines to arrive.
        os.kill(engine.pids()["runtimed"], 9)
        stdin.sendall(b"three\n")
        assert collector.until(b"\n").endswith(b"three")
        engine.stop()
        stdin.sendall(b"four\n")
        assert collector.until(b"\n").endswith(b"four")
        engine.start()
        # A worker that dies now is replaced by the new engine.
        replaced(engine, before)
        stdin.sendall(b"five\n")
        collector.accept()
        assert collector.until(b"\n").endswith(b"five")
        stdin.close()
    removed(engine, container)


# ---- what is refused ----

@pytest.mark.parametrize("driver, config, message", [
    ("awslogs", {}, "LogConfig: the log driver awslogs is not part of this engine"),
    ("gcplogs", {}, "LogConfig: the log driver gcplogs is not part of this engine"),
    ("etwlogs", {}, "LogConfig: the log driver etwlogs is not part of this engine"),
    ("nosuch", {}, "logger: no log driver named 'nosuch' is registered"),
    ("syslog", {"gelf-address": "udp://x:1"}, "unknown log opt 'gelf-address' for syslog log driver"),
    ("syslog", {"syslog-address": "ftp://x"}, "syslog-address: 'ftp' is none of udp|tcp|tcp+tls|unix|unixgram"),
    ("syslog", {"syslog-address": "unix:///etc/x"},
     "syslog-address: /etc/x is not among the sockets of the setting log-driver.sockets"),
    ("syslog", {"syslog-facility": "none"}, "invalid value 'none' for log opt 'syslog-facility'"),
    ("syslog", {"tag": "{{.Nope}}"}, "invalid value '{{.Nope}}' for log opt 'tag'"),
    ("gelf", {}, "gelf: gelf-address is a required parameter"),
    ("gelf", {"gelf-address": "tcp://x:1", "gelf-compression-type": "none"}, "compression is only supported on UDP"),
    ("fluentd", {"fluentd-retry-wait": "soon"}, "invalid value 'soon' for log opt 'fluentd-retry-wait'"),
    ("splunk", {"splunk-url": "https://x"}, "splunk: splunk-token is expected"),
    ("splunk", {"splunk-token": "a\r\nb", "splunk-url": "https://x"}, "invalid value '(hidden)' for log opt 'splunk-token'"),
    ("journald", {"max-buffer-size": "1m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
    ("json-file", {"max-size": "big"}, "invalid value 'big' for log opt 'max-size'"),
    ("json-file", {"labels-regex": "("}, "invalid value '(' for log opt 'labels-regex'"),
    ("none", {"max-size": "1m"}, "unknown log opt 'max-size' for none log driver"),
])
def test_refused_by_name(engine, driver, config, message):
    answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {
        "LogConfig": {"Type": driver, "Config": config}}})
    assert answer.status == 400 and message in answer.message, answer


def test_cache(engine):
    with datagrams() as collector:
        address = f"udp://127.0.0.1:{collector.getsockname()[1]}"
        run(engine, *options("syslog", syslog_address=address, cache_disabled="true"), name="uncached")
        assert collector.recv(65536)
        answer = engine.api("GET", "/containers/uncached/logs?stdout=1")
        assert answer.status == 501 and answer.message == "configured logging driver does not support reading"
    removed(engine, "uncached")
