"""Images into a registry, and what else a registry is asked: logins, descriptions, searches, archives behind a URL."""
import base64
import http.server
import json
import threading
import urllib.parse

import pytest

from tests.harness.engine import Engine
from tests.harness.registry import Registry
from tests.harness.rootfs import busybox_tar

PASSWORD = "someone:pa55word"
ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def registry():
    with Registry() as running:
        yield running


@pytest.fixture(scope="module")
def locked():
    """A registry that wants a password."""
    with Registry(PASSWORD) as running:
        yield running


def auth_header(**fields):
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()}


def pull(engine, name, headers=None):
    query = urllib.parse.urlencode({"fromImage": name, "tag": "1"})
    return engine.api("POST", f"/images/create?{query}", headers=headers)


def test_push_of_what_was_made_here(engine, registry):
    name = f"{registry.host}/made/here:1"
    engine.docker("tag", "busybox", name)
    said = engine.docker("push", name).stdout
    assert f"The push refers to repository [{registry.host}/made/here]" in said and "Pushed" in said
    text, headers = registry.get("/v2/made/here/manifests/1", ACCEPT)
    digest = headers["Docker-Content-Digest"]
    assert f"1: digest: {digest} size: {len(text)}" in said
    manifest = json.loads(text)
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.docker.image.rootfs.diff.tar.gzip"]
    assert manifest["config"]["digest"] == engine.api("GET", "/images/busybox/json").json["Id"]
    assert engine.api("GET", f"/images/{name}/json").json["RepoDigests"] == [f"{registry.host}/made/here@{digest}"]
    before = len(registry.requests())
    again = engine.docker("push", name).stdout
    assert "Layer already exists" in again and f"1: digest: {digest}" in again
    assert {method for method, _, _ in registry.requests()[before:]} <= {"HEAD", "PUT", "GET"}
    with Engine() as other:
        assert f"Digest: {digest}" in other.docker("pull", name).stdout
        assert other.docker("run", "--rm", "--network", "none", name, "echo", "hi").stdout == "hi\n"


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_round_trip_keeps_digests(engine, registry, form):
    registry.push(engine, "busybox:latest", f"first/{form}:1", form)
    text, headers = registry.get(f"/v2/first/{form}/manifests/1", ACCEPT)
    with Engine() as other:
        other.docker("pull", f"{registry.host}/first/{form}:1")
        other.docker("tag", f"{registry.host}/first/{form}:1", f"{registry.host}/second/{form}:2")
        said = other.docker("push", f"{registry.host}/second/{form}:2").stdout
    assert f"Mounted from first/{form}" in said, said
    again, headers_again = registry.get(f"/v2/second/{form}/manifests/2", ACCEPT)
    assert again == text and headers_again["Docker-Content-Digest"] == headers["Docker-Content-Digest"]
    assert headers_again["Content-Type"] == headers["Content-Type"]
    copied = registry.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/second/{form}:2").stdout
    assert copied.encode() == text


def test_push_all_tags(engine, registry):
    for tag in ("a", "b"):
        engine.docker("tag", "busybox", f"{registry.host}/all/tags:{tag}")
    engine.docker("push", "-a", f"{registry.host}/all/tags")
    assert sorted(json.loads(registry.get("/v2/all/tags/tags/list")[0])["tags"]) == ["a", "b"]


def test_push_objects(engine, registry):
    engine.docker("tag", "busybox", f"{registry.host}/objects:1")
    answer = engine.api("POST", f"/images/{registry.host}/objects/push?tag=1")
    said = [json.loads(line) for line in answer.body.splitlines() if line.strip()]
    aux = next(line["aux"] for line in said if "aux" in line)
    text, headers = registry.get("/v2/objects/manifests/1", ACCEPT)
    assert aux == {"Tag": "1", "Digest": headers["Docker-Content-Digest"], "Size": len(text)}


def test_push_refusals(engine, registry):
    answer = engine.api("POST", f"/images/{registry.host}/nosuch/push?tag=1")
    assert answer.status == 404 and answer.message == f"An image does not exist locally with the tag: {registry.host}/nosuch"
    engine.docker("tag", "busybox", "127.0.0.1:1/nobody:1")
    answer = engine.api("POST", "/images/127.0.0.1:1/nobody/push?tag=1")
    assert answer.status == 200 and b'"errorDetail"' in answer.body and b"127.0.0.1:1" in answer.body


@pytest.mark.parametrize("fields", [
    {"username": "someone", "password": "pa55word"},
    {"auth": base64.b64encode(PASSWORD.encode()).decode()},
    {"username": "someone", "password": "pa55word", "serveraddress": "https://elsewhere.example/v1/", "email": "x@y"},
], ids=["password", "auth", "all"])
@pytest.mark.parametrize("code", [base64.b64encode, base64.urlsafe_b64encode,
                                  lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")],
                         ids=["base64", "base64url", "unpadded"])
def test_every_form_of_credentials(engine, locked, fields, code):
    engine.docker("tag", "busybox", f"{locked.host}/forms:1")
    header = {"X-Registry-Auth": code(json.dumps(fields).encode()).decode()}
    answer = engine.api("POST", f"/images/{locked.host}/forms/push?tag=1", headers=header)
    assert b'"aux"' in answer.body, answer
    assert pull(engine, f"{locked.host}/forms", header).status == 200


def test_login_push_pull(engine, locked):
    name = f"{locked.host}/private:1"
    engine.docker("tag", "busybox", name)
    refused = engine.docker("push", name, check=False)
    assert refused.returncode and "unauthorized: authentication required" in refused.stdout + refused.stderr
    wrong = engine.docker("login", "-u", "someone", "--password-stdin", locked.host, input="wrong", check=False)
    assert wrong.returncode and "unauthorized" in wrong.stderr
    good = engine.docker("login", "-u", "someone", "--password-stdin", locked.host, input="pa55word")
    assert "Login Succeeded" in good.stdout
    assert "digest: sha256:" in engine.docker("push", name).stdout
    engine.docker("rmi", name)
    assert "Downloaded newer image" in engine.docker("pull", name).stdout
    engine.docker("logout", locked.host)
    answer = pull(engine, f"{locked.host}/private")
    assert answer.status == 404 and "pull access denied" in answer.message


@pytest.mark.parametrize("header", ["!!!!", "abcde", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"x":').decode(),
                                    base64.b64encode(b'{"auth":"bm9jb2xvbg=="}').decode()])
def test_malformed_credentials(engine, locked, header):
    answer = pull(engine, f"{locked.host}/forms", {"X-Registry-Auth": header})
    assert answer.status == 400 and "X-Registry-Auth" in answer.message, answer


def test_no_credentials_in_other_words(engine, registry):
    registry.push(engine, "busybox:latest", "words:1")
    for text in (b"{}", b"null", b""):
        header = {"X-Registry-Auth": base64.b64encode(text).decode()} if text else {"X-Registry-Auth": ""}
        assert pull(engine, f"{registry.host}/words", header).status == 200


def test_distribution(engine, registry):
    registry.push(engine, "busybox:latest", "described:1")
    text, headers = registry.get("/v2/described/manifests/1", ACCEPT)
    answer = engine.api("GET", f"/distribution/{registry.host}/described:1/json")
    assert answer.json["Descriptor"] == {"mediaType": headers["Content-Type"], "size": len(text),
                                         "digest": headers["Docker-Content-Digest"]}
    assert answer.json["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    assert engine.api("GET", f"/distribution/{registry.host}/nosuch:1/json").status == 404


def test_search_of_a_catalog(engine, registry):
    registry.push(engine, "busybox:latest", "look/for-me:1")
    rows = engine.docker("search", f"{registry.host}/for-me", "--format", "{{.Name}}").stdout.split()
    assert rows == [f"{registry.host}/look/for-me"]
    assert engine.api("GET", f"/images/search?term=for-me&registry={registry.host}").json[0]["star_count"] == 0
    query = urllib.parse.urlencode({"term": f"{registry.host}/for-me", "filters": json.dumps({"stars": ["1"]})})
    assert engine.api("GET", f"/images/search?{query}").json == []
    assert engine.api("GET", "/images/search?term=").status == 400
    query = urllib.parse.urlencode({"term": "x", "filters": json.dumps({"stars": ["many"]})})
    assert engine.api("GET", f"/images/search?{query}").status == 400


@pytest.fixture(scope="module")
def archives():
    """An HTTP server with a root file system at /root.tar, and something else at /text."""
    content = {"/root.tar": busybox_tar(), "/text": b"this is no archive" * 100}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = content.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_import_from_a_url(engine, archives):
    image = engine.docker("import", f"{archives}/root.tar", "imported:url").stdout.strip()
    assert engine.api("GET", "/images/imported:url/json").json["Id"] == image
    assert engine.docker("run", "--rm", "--network", "none", "imported:url", "echo", "hi").stdout == "hi\n"
    for source, words in ((f"{archives}/nosuch", "404"), (f"{archives}/text", ""), ("ftp://x/y", "http"), ("http://u:p@x/", "user")):
        answer = engine.api("POST", "/images/create?" + urllib.parse.urlencode({"fromSrc": source, "repo": "no", "tag": "1"}))
        assert (answer.status >= 400 or b'"error"' in answer.body) and words.encode() in answer.body, answer
    assert engine.api("GET", "/images/no:1/json").status == 404


def test_policy_of_registries(engine, registry):
    """Which registries and repositories may be pulled, and how they are named. covers D-14"""
    for name in ("open", "closed", "pinned"):
        registry.push(engine, "busybox:latest", f"policy/{name}:1")
    digest = registry.get("/v2/policy/pinned/manifests/1", ACCEPT)[1]["Docker-Content-Digest"]
    policy = {"images": [{"match": f"{registry.host}/policy/open:*"},
                         {"match": f"{registry.host}/policy/pinned*", "require-digest": True}, {"match": "*", "deny": True}],
              "bindings": [{"role": "admin", "uids": [0]}]}
    with Engine(policy=policy) as other:
        assert pull(other, f"{registry.host}/policy/open").status == 200
        for name in ("closed", "pinned"):
            answer = pull(other, f"{registry.host}/policy/{name}")
            assert answer.status == 403 and "rule images[" in answer.message, answer
        assert pull(other, f"{registry.host}/policy/pinned@{digest}").status == 200
        assert other.api("GET", f"/distribution/{registry.host}/policy/closed:1/json").status == 403
