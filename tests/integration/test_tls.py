"""TLS with client certificates, plain TCP, and who the certificate makes of its bearer. covers D-1, S-3"""
import http.client
import os
import re
import socket
import ssl
import subprocess

import pytest
import websocket

from tests.harness import rootfs
from tests.harness.engine import Engine
from tests.harness.ports import free_port
from tests.harness.streams import Stream


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def authority(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(directory, ca, name, use, names="DNS:localhost,IP:127.0.0.1"):
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (directory / "ext").write_text(f"subjectAltName={names}\nextendedKeyUsage={use}\n")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
            "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    authority(directory, "ca")
    authority(directory, "stranger")
    certificate(directory, "ca", "server", "serverAuth")
    certificate(directory, "ca", "ops", "clientAuth", "DNS:ops.example")
    certificate(directory, "ca", "nobody", "clientAuth", "DNS:nobody.example")
    certificate(directory, "stranger", "intruder", "clientAuth", "DNS:ops.example")
    return directory


POLICY = {"bindings": [{"role": "admin", "uids": [0]}, {"role": "operator", "certificates": ["CN=ops"]}]}


@pytest.fixture(scope="module")
def engine(keys):
    tls, tcp = free_port(), free_port()
    config = {"listeners": [
        {},
        {"type": "tls", "address": "127.0.0.1", "port": tls, "tls-cert": str(keys / "server.pem"),
         "tls-key": str(keys / "server.key"), "tls-ca": str(keys / "ca.pem")},
        {"type": "tcp", "address": "127.0.0.1", "port": tcp, "plain-text": True, "role": "viewer"}]}
    with Engine(config=config, policy=POLICY) as running:
        running.tls, running.tcp = tls, tcp
        yield running


def ask(engine, keys, who, path="/version", minimum=None, maximum=None):
    context = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    if who:
        context.load_cert_chain(keys / f"{who}.pem", keys / f"{who}.key")
    if maximum:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = maximum
    connection = http.client.HTTPSConnection("127.0.0.1", engine.tls, context=context, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        connection.close()


def test_a_known_certificate_is_served(engine, keys):
    assert ask(engine, keys, "ops").status == 200


def test_a_certificate_without_a_role_is_denied(engine, keys):
    answer = ask(engine, keys, "nobody")
    assert answer.status == 403 and b"system.version" in answer.body


@pytest.mark.parametrize("who", [None, "intruder", "server"])
def test_others_do_not_get_a_word(engine, keys, who):
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask(engine, keys, who)


def test_old_tls_is_refused(engine, keys):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(engine, keys, "ops", maximum=ssl.TLSVersion.TLSv1_1)


def test_the_docker_cli(engine, keys):
    done = subprocess.run(
        ["docker", "-H", f"tcp://127.0.0.1:{engine.tls}", "--tlsverify", "--tlscacert", keys / "ca.pem", "--tlscert",
         keys / "ops.pem", "--tlskey", keys / "ops.key", "version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Pouch" in done.stdout


# ---- streams: apid holds the keys and carries them ----

def secure(engine, keys, who="ops"):
    """A connection with a certificate, on which nothing has been said yet."""
    context = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    context.load_cert_chain(keys / f"{who}.pem", keys / f"{who}.key")
    return context.wrap_socket(socket.create_connection(("127.0.0.1", engine.tls), timeout=60), server_hostname="localhost")


@pytest.fixture
def cat(engine, keys):
    """A container of the certificate's own that gives back what it reads; its id."""
    docker(engine, keys, "import", "-", "busybox:latest", input=rootfs.busybox_tar())
    yield docker(engine, keys, "run", "-d", "-i", "--network", "none", "busybox", "cat").strip().decode()
    engine.remove_containers()


def docker(engine, keys, *arguments, input=None, code=0):
    done = subprocess.run(
        ["docker", "-H", f"tcp://127.0.0.1:{engine.tls}", "--tlsverify", "--tlscacert", keys / "ca.pem", "--tlscert",
         keys / "ops.pem", "--tlskey", keys / "ops.key", *arguments], input=input, capture_output=True, timeout=60, check=False)
    assert done.returncode == code, done
    return done.stdout


def frame(s):
    """The next frame's stream and text."""
    head = s.exactly(8)
    return head[0], s.exactly(int.from_bytes(head[4:], "big"))


def test_attach(engine, keys, cat):
    with Stream(engine, f"/containers/{cat}/attach?stdin=1&stdout=1&stream=1", connection=secure(engine, keys)) as s:
        assert s.status == 101
        s.send(b"over tls\n")
        assert frame(s) == (1, b"over tls\n")
        # More than any buffer on the way holds, in both directions at once.
        sent = b"".join(b"%015d\n" % i for i in range(1 << 16))
        s.send_and_read(sent, len(sent))
        got = b""
        while len(got) < len(sent):
            stream, text = frame(s)
            assert stream == 1
            got += text
        assert got == sent


def test_exec(engine, keys, cat):
    body = {"Cmd": ["sh", "-c", "cat; echo err >&2; exit 7"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    name = engine.api("POST", f"/containers/{cat}/exec", body).json["Id"]
    with Stream(engine, f"/exec/{name}/start", {"Detach": False}, connection=secure(engine, keys)) as s:
        s.send(b"in\n")
        s.until(b"in\n")
    done = docker(engine, keys, "exec", "-i", cat, "sh", "-c", "cat; exit 9", input=b"x" * 3000000, code=9)
    assert done == b"x" * 3000000


def test_run_to_the_end(engine, keys, cat):
    """What is piped in ends, and the container's end closes the stream, with its exit code."""
    text = b"".join(b"%d\n" % i for i in range(100000))
    assert docker(engine, keys, "run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; exit 5", input=text, code=5) == text


def test_websocket(engine, keys, cat):
    client = websocket.create_connection(f"wss://localhost/v1.41/containers/{cat}/attach/ws?stream=1&stdin=1&stdout=1",
                                         socket=secure(engine, keys))
    client.send(b"by websocket\n", websocket.ABNF.OPCODE_BINARY)
    got = b""
    while b"by websocket\n" not in got:
        data = client.recv()
        got += data if isinstance(data, bytes) else data.encode()
    client.ping()
    client.close()
    assert docker(engine, keys, "inspect", "-f", "{{.State.Running}}", cat) == b"true\n"


def test_a_stream_without_the_right_to_it(engine, keys, cat):
    for path in (f"/containers/{cat}/attach?stream=1&stdout=1", f"/containers/{cat}/attach/ws?stream=1"):
        with Stream(engine, path, connection=secure(engine, keys, "nobody")) as s:
            assert s.status in (403, 405), s.head


def test_a_client_that_leaves(engine, keys, cat):
    """covers S-61 in part: streams that are broken off leave nothing in apid."""
    pid = engine.pids()["apid"]

    def open_files():
        return len(os.listdir(f"/proc/{pid}/fd"))

    before = open_files()
    for _ in range(20):
        s = Stream(engine, f"/containers/{cat}/attach?stdin=1&stdout=1&stream=1", connection=secure(engine, keys))
        assert s.status == 101
        s.socket.close()
    engine.wait_for(lambda: open_files() <= before)


def test_plain_tcp_has_its_listener_s_role(engine):
    connection = http.client.HTTPConnection("127.0.0.1", engine.tcp, timeout=60)
    connection.request("GET", "/version")
    answer = connection.getresponse()
    assert answer.status == 200 and b"ApiVersion" in answer.read()
    connection.request("POST", "/containers/x/start")
    answer = connection.getresponse()
    assert answer.status == 403, answer.read()
    connection.close()


def test_a_wrong_key_is_an_error_at_the_start(keys):
    config = {"listeners": [{}, {"type": "tls", "address": "127.0.0.1", "port": free_port(), "tls-cert": str(keys / "server.pem"),
                                 "tls-key": str(keys / "ops.key"), "tls-ca": str(keys / "ca.pem")}]}
    engine = Engine(config=config, start=False)
    try:
        with pytest.raises(AssertionError, match="ops.key"):
            engine.start()
    finally:
        engine.close(check=False)


def test_wrong_certificates_are_refused_by_a_reload(keys, tmp_path):
    """The engine goes on with those that it has: neither the listener nor the others are lost for a file that is half written."""
    for name in ("server.pem", "server.key", "ca.pem"):
        (tmp_path / name).write_bytes((keys / name).read_bytes())
    certificate = tmp_path / "server.pem"
    whole = certificate.read_text()
    port = free_port()
    config = {"listeners": [{}, {"type": "tls", "address": "127.0.0.1", "port": port, "tls-cert": str(certificate),
                                 "tls-key": str(tmp_path / "server.key"), "tls-ca": str(tmp_path / "ca.pem")}]}
    with Engine(config=config, policy=POLICY) as engine:
        engine.tls, before = port, engine.pids()["apid"]
        for wrong, why in ((whole[:200], "no certificate chain: "), (None, "no certificate chain: No such file or directory"),
                           ((keys / "ops.pem").read_text(), "not the key of the certificate: key values mismatch|no private key: key values mismatch")):
            certificate.unlink(missing_ok=True)
            if wrong is not None:
                certificate.write_text(wrong)
            done = engine.ctl("reload", check=False)
            assert done.returncode == 1 and re.search(rf"listeners\[1\]: {tmp_path}/server\.(pem|key): ({why})", done.stderr), done
            assert engine.pids()["apid"] == before and engine.api("GET", "/_ping").status == 200
            assert ask(engine, keys, "ops").status == 200
        certificate.write_text(whole)
        engine.ctl("reload")
        engine.wait_for(lambda: engine.pids().get("apid", before) != before)
        assert ask(engine, keys, "ops").status == 200
