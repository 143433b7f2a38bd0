"""TLS with client certificates, plain TCP, and who the certificate makes of its bearer. covers D-1, S-3"""
import http.client
import socket
import ssl
import subprocess

import pytest

from tests.harness.engine import Engine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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
    connection = http.client.HTTPSConnection("127.0.0.1", engine.tls, context=context, timeout=10)
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


def test_plain_tcp_has_its_listener_s_role(engine):
    connection = http.client.HTTPConnection("127.0.0.1", engine.tcp, timeout=10)
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
    engine = Engine(config=config, start=False, sets=["supervisor.start-timeout=2s"])
    try:
        with pytest.raises(AssertionError, match="ops.key"):
            engine.start()
    finally:
        engine.close(check=False)
