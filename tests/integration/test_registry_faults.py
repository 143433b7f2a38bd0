"""Registries that stall, lie, break off, redirect and ask for credentials that are not theirs: each gets a clear error, in
bounded time and memory, and leaves nothing behind."""
import base64
import contextlib
import json
import os
import pathlib
import urllib.parse

import pytest

from tests.harness.engine import Engine
from tests.harness.fake_registry import INDEX, MANIFEST, FakeRegistry, Image, digest
from tests.harness.marks import memory_bound
from tests.harness.rootfs import Tar
from tests.harness.store import wait_unstaged

SETS = ("images.retries=2", "images.max-manifest=64k", "images.max-config=64k",
        "images.min-free=0", "log.level=debug")
SECRET = "c4nary-of-the-registry"


@pytest.fixture(scope="module")
def engine():
    with Engine(sets=SETS) as running:
        yield running


@pytest.fixture(scope="module")
def servers():
    with FakeRegistry() as registry, FakeRegistry() as elsewhere:
        yield registry, elsewhere


@pytest.fixture
def registry(servers):
    servers[0].reset()
    yield servers[0]
    servers[0].reset()


@pytest.fixture
def elsewhere(servers):
    servers[1].reset()
    return servers[1]


def layer(size=300000):
    """A tar that does not compress, different each time."""
    return Tar().file("data", os.urandom(size)).bytes()


def pull(engine, registry, name="box", tag="1", auth=None, **more):
    headers = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()} if auth else {}
    query = urllib.parse.urlencode({"fromImage": f"{registry.host}/{name}", "tag": tag, **more})
    return engine.api("POST", f"/images/create?{query}", headers=headers, timeout=60)


def said(answer):
    """The error that the client sees, "" for none."""
    if answer.status != 200:
        return answer.message
    return next((line["error"] for line in map(json.loads, answer.body.splitlines()) if "error" in line), "")


def refused(engine, registry, words, **more):
    """The pull fails with these words; imaged lives on as it was, and nothing lies about (S-22)."""
    pid, blobs = engine.pids()["imaged"], set(os.listdir(engine.root / "imaged" / "blobs"))
    answer = pull(engine, registry, **more)
    assert said(answer) and words in said(answer), (words, answer)
    wait_unstaged(engine)
    assert set(os.listdir(engine.root / "imaged" / "blobs")) == blobs
    assert engine.pids()["imaged"] == pid
    return answer


def works(engine, registry, **more):
    answer = pull(engine, registry, **more)
    assert answer.status == 200 and not said(answer), answer
    wait_unstaged(engine)
    return answer


# ---- transfers ----

def of(image, i=0):
    """Is this request for that layer?"""
    return lambda handler: handler.path.endswith(image.layers[i])


def test_a_layer_that_stalls(registry):
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: of(image)(h) and h.stall()
    with Engine(sets=[*SETS, "images.stall-timeout=1s"]) as engine:
        refused(engine, registry, "after 3 attempts: ")
    assert len([p for p in registry.asked() if p.endswith(image.layers[0])]) == 3


def test_a_layer_that_drips(registry):
    """A byte before each stall: broken off when too few have come, and tried no more often than what stalls."""
    image = registry.add("box", "1", [layer()])

    def drip(handler):
        if not of(image)(handler):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(image.blobs[0])))
        handler.end_headers()
        handler.close_connection = True
        try:
            for i in range(1000):
                handler.wfile.write(image.blobs[0][i:i + 1])
                if registry.over.wait(0.1):
                    break
        except OSError:
            pass
        return True

    registry.misbehave = drip
    with Engine(sets=[*SETS, "images.stall-timeout=1500ms", "images.retries=1"]) as other:
        refused(other, registry, "fewer than images.min-rate wants")
    assert len([p for p in registry.asked() if p.endswith(image.layers[0])]) == 2


def test_a_layer_that_breaks_off_goes_on_where_it_was(engine, registry):
    image = registry.add("box", "1", [layer()])
    times = []
    registry.misbehave = lambda h: of(image)(h) and not times.append(1) and len(times) <= 2 and h.half()
    works(engine, registry)
    ranges = [h.get("Range") for _, path, h in registry.seen if path.endswith(image.layers[0])]
    size = len(image.blobs[0])
    assert ranges == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]


def test_a_server_without_range(engine, registry):
    image = registry.add("box", "1", [layer()])
    times = []

    def misbehave(handler):
        if not of(image)(handler):
            return False
        times.append(1)
        return handler.half() if len(times) == 1 else handler.answer(200, image.blobs[0])

    registry.misbehave = misbehave
    works(engine, registry)


def test_a_layer_that_always_breaks_off(engine, registry):
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: of(image)(h) and h.half()
    refused(engine, registry, "after 3 attempts: ")


@pytest.mark.parametrize("change, words", [
    (lambda blob: blob + b"more", "the registry announces"),
    (lambda blob: blob[:-4], "the registry announces"),
    (lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]), "damaged"),
], ids=["longer", "shorter", "damaged"])
def test_wrong_bytes(engine, registry, change, words):  # covers S-22
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: of(image)(h) and h.answer(200, change(image.blobs[0]))
    refused(engine, registry, words)


def test_other_bytes_of_the_same_length(engine, registry):  # covers S-22
    image = registry.add("box", "1", [layer()], pack=bytes, media="application/vnd.oci.image.layer.v1.tar")
    registry.misbehave = lambda h: of(image)(h) and h.answer(200, image.blobs[0][:5000] + b"?" + image.blobs[0][5001:])
    refused(engine, registry, "wrong content: the bytes are")


def test_bytes_that_are_no_layer(engine, registry):
    image = registry.add("box", "1", [b"this is no tar" * 1000])
    assert said(pull(engine, registry))
    wait_unstaged(engine)
    del image


def test_endless_layer(engine, registry):  # covers S-14
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: of(image)(h) and h.endless(first=image.blobs[0])
    refused(engine, registry, "the registry sends more than")


def test_one_bad_layer_among_good_ones(engine, registry):
    image = registry.add("box", "1", [layer(), layer(), layer()])
    registry.misbehave = lambda h: of(image, 1)(h) and h.answer(200, b"?" * len(image.blobs[1]))
    refused(engine, registry, "")
    registry.misbehave = None
    works(engine, registry)


def test_redirect_loop(engine, registry):
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: of(image)(h) and h.redirect(h.path)
    refused(engine, registry, "redirects")
    registry.misbehave = lambda h: "manifests" in h.path and h.redirect(h.path)
    refused(engine, registry, "redirects")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/", "//", "gopher://x"])
def test_redirects_to_nowhere(engine, registry, location):
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: of(image)(h) and h.redirect(location)
    assert said(pull(engine, registry))
    wait_unstaged(engine)


def test_busy_registry(engine, registry):
    registry.add("box", "1", [layer()])
    times = []
    registry.misbehave = lambda h: not times.append(1) and len(times) == 1 and h.error(429, "TOOMANYREQUESTS", Retry_After="1")
    works(engine, registry)
    engine.docker("rmi", f"{registry.host}/box:1")
    registry.misbehave = lambda h: h.error(429, "TOOMANYREQUESTS", Retry_After="3600")
    assert refused(engine, registry, "come back in 3600 s").status == 429
    registry.misbehave = lambda h: h.error(503, "UNAVAILABLE")
    refused(engine, registry, "after 3 attempts: unavailable: unavailable")


def memory(engine):
    """Peak of imaged's memory, KiB."""
    text = pathlib.Path(f"/proc/{engine.pids()['imaged']}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def test_endless_manifest_config_and_head(engine, registry):  # covers S-14
    image = registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: "manifests" in h.path and h.endless()
    refused(engine, registry, "larger than the configuration allows")
    registry.misbehave = lambda h: h.path.endswith(digest(image.config)) and h.endless()
    refused(engine, registry, "larger than the configuration allows")
    registry.misbehave = lambda h: "manifests" in h.path and h.endless_head()
    refused(engine, registry, "larger than the configuration allows")
    assert memory(engine) < 64 << 10


# ---- what manifests say ----

def changed(**fields):
    def change(image):
        image.manifest.update(fields)
        return None
    return change


def test_manifest_and_index_in_one(engine, registry):  # covers S-11
    image = Image([layer()])
    image.manifest["manifests"] = [{"mediaType": MANIFEST, "digest": digest(b"x"), "size": 1,
                                    "platform": {"os": "linux", "architecture": "amd64"}}]
    for media in (MANIFEST, INDEX):
        image.manifest["mediaType"] = media
        registry.put("box", "1", image, media=media)
        refused(engine, registry, "both layers and manifests")


@pytest.mark.parametrize("own, header, words", [
    (INDEX, INDEX, "not what its mediaType says"),
    (MANIFEST, INDEX, "not what its Content-Type says"),
    (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json", "not its Content-Type"),
    (None, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
    ("text/html", "text/html", "not what its mediaType says"),
])
def test_wrong_media_types(engine, registry, own, header, words):  # covers S-11
    image = Image([layer()])
    if own:
        image.manifest["mediaType"] = own
    else:
        del image.manifest["mediaType"]
    registry.put("box", "1", image, media=header)
    refused(engine, registry, words)


def test_no_images(engine, registry):
    image = Image([layer()])
    image.manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    registry.put("box", "1", image)
    refused(engine, registry, "no image that can be run")
    registry.put("box", "1", Image([layer()], media="application/vnd.example.wasm"))
    refused(engine, registry, "which is no layer of files")


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b'{"schemaVersion":2}', b'{"schemaVersion":2,"layers":{}}',
    b'{"schemaVersion":2,"layers":[],"layers":[]}', b'{"schemaVersion":2,"layers":[],"config":[]}',
    b'{"schemaVersion":2,"manifests":{}}', b'{"schemaVersion":1,"layers":[]}', b'{"schemaVersion":2,"manifests":[7]}',
    b"[" * 20000, b'{"a":' * 20000, b'{"schemaVersion":2,"layers":[' + b"{}," * 9000 + b"{}]}", b"\xff\xfe", b'{"a":"\x00"}',
    b'{"schemaVersion":2,"layers":[],"config":{"mediaType":"x\\u0007","digest":"sha256:' + b"0" * 64 + b'","size":1}}',
    b'{"schemaVersion":2,"layers":[],"config":{"digest":"sha256:' + b"0" * 64 + b'","size":1e400}}',
], ids=range(18))
def test_malformed_manifests(engine, registry, text):  # covers S-12
    registry.put("box", "1", Image([]), text)
    assert refused(engine, registry, "").status in (404, 500)


@pytest.mark.parametrize("name", ["sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "sha512:" + "0" * 128, "sha256:" + "0" * 63,
                                  "../blobs", "", "sha256:" + "0" * 64 + "/x", "md5:" + "0" * 32])
def test_digests_that_are_none(engine, registry, name):  # covers S-10
    for where in ("config", "layer", "index"):
        image = Image([layer()])
        media, text = MANIFEST, None
        if where == "config":
            image.manifest["config"]["digest"] = name
        elif where == "layer":
            image.manifest["layers"][0]["digest"] = name
        else:
            media = INDEX
            text = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": name, "size": 1,
                               "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
        registry.put("box", "1", image, text, media)
        refused(engine, registry, "without a digest of sha256")


def test_a_manifest_that_is_another(engine, registry):
    image = registry.add("box", "1", [layer()])
    text = json.dumps(image.manifest).encode()
    registry.manifests["box", digest(text)] = (text + b" ", MANIFEST)
    refused(engine, registry, "wrong content: the manifest is", tag=digest(text))
    registry.misbehave = lambda h: "manifests" in h.path and h.answer(200, text, Content_Type=MANIFEST,
                                                                     Docker_Content_Digest=digest(b"other"))
    refused(engine, registry, "as the registry says")


def test_a_config_that_is_another(engine, registry):
    image = registry.add("box", "1", [layer()])
    registry.blobs[digest(image.config)] = image.config.replace(b"2020", b"2021")
    refused(engine, registry, "wrong content: the config is")
    image = registry.add("box", "1", [layer(), layer()])
    del image.manifest["layers"][1]
    registry.put("box", "1", image)
    refused(engine, registry, "the image's config names 2 layers, its manifest 1")
    image = registry.add("box", "1", [layer()], config={"rootfs": {"type": "layers", "diff_ids": [digest(b"x")]}})
    refused(engine, registry, "wrong content: the layer's tar is")


def test_limits(registry):  # covers D-25
    """Each of the configuration's bounds on what a manifest may name."""
    image = registry.add("box", "1", [layer(), layer()])
    size = len(image.blobs[0])
    for limits, words in ((["images.max-layers=1"], "images.max-layers"), ([f"images.max-layer={size - 1}"], "images.max-layer"),
                          ([f"images.max-image={size + 1}"], "images.max-image"), (["images.max-config=4096"], None)):
        if words is None:
            image = registry.add("box", "1", [layer()], config={"config": {"Labels": {"x": "y" * 5000}}})
            words = "images.max-config"
        with Engine(sets=[*SETS, *limits]) as engine:
            refused(engine, registry, words)


# ---- indexes ----

def index_of(entries):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": media, "digest": name, "size": 1, "platform": platform} for media, name, platform in entries]}).encode()


def test_platforms(engine, registry):
    platforms = {"amd64": {"architecture": "amd64"}, "arm64": {"architecture": "arm64", "variant": "v8"},
                 "v6": {"architecture": "arm", "variant": "v6"}, "v7": {"architecture": "arm", "variant": "v7"}}
    images = {name: Image([layer(1000)], config=fields) for name, fields in platforms.items()}
    names = {name: registry.put("many", name, image) for name, image in images.items()}
    entries = [(MANIFEST, digest(b"attestation"), {"os": "unknown", "architecture": "unknown"})]
    entries += [(MANIFEST, names[name], {"os": "linux", **platforms[name]}) for name in images]
    whole = registry.put("many", "1", Image([]), index_of(entries), INDEX)

    def pulled(**more):
        assert f"Digest: {whole}".encode() in works(engine, registry, name="many", **more).body
        return engine.api("GET", f"/images/{registry.host}/many:1/json").json["Id"]

    assert pulled() == digest(images["amd64"].config)
    for wanted, name in (("linux/arm64", "arm64"), ("linux/arm64/v8", "arm64"), ("linux/arm/v6", "v6"), ("linux/arm", "v7"),
                         ("linux/aarch64", "arm64"), ('{"os":"linux","architecture":"arm","variant":"v7"}', "v7"), ("amd64", "amd64")):
        assert pulled(platform=wanted) == digest(images[name].config), wanted
    assert "no matching manifest for linux/s390x" in said(pull(engine, registry, name="many", platform="linux/s390x"))
    assert pull(engine, registry, name="many", platform="a/b/c/d").status == 400
    answer = pull(engine, registry, name="many", tag="v6", platform="linux/amd64")
    assert answer.status == 404 and "does not match the specified platform: wanted linux/amd64, actual: linux/arm/v6" in answer.message


def test_index_of_itself(engine, registry):
    image = registry.add("deep", "x", [layer(1000)])
    inner = registry.put("deep", "x", image)
    platform = {"os": "linux", "architecture": "amd64"}
    for depth in range(5):
        inner = registry.put("deep", str(depth), Image([]), index_of([(MANIFEST if depth == 0 else INDEX, inner, platform)]), INDEX)
    works(engine, registry, name="deep", tag="1")
    refused(engine, registry, "an index of an index", name="deep", tag="4")


# ---- credentials ----

AUTH = {"username": "user", "password": SECRET}


def given_to(server):
    """Authorization headers that a server has seen, decoded."""
    found = [h.get("Authorization", "") for _, _, h in server.seen]
    return [base64.b64decode(x[6:]).decode() if x.startswith("Basic ") else x for x in found if x]


def test_token(engine, registry):
    registry.add("box", "1", [layer(1000)])
    registry.realm, registry.password = registry.url + "/token", f"user:{SECRET}"
    answer = refused(engine, registry, "pull access denied")
    assert answer.status == 404
    works(engine, registry, auth=AUTH)
    token = next(path for path in registry.asked() if path.startswith("/token") and "scope" in path)
    assert urllib.parse.parse_qs(urllib.parse.urlparse(token).query) == {"service": ["tests"], "scope": ["repository:box:pull"]}
    # The password is for the token service, the token for the registry.
    assert {a for a in given_to(registry) if a.startswith("user:")} == {f"user:{SECRET}"}
    for _, path, headers in registry.seen:
        assert path.startswith("/token") or not headers.get("Authorization", "").startswith("Basic")


def test_identity_and_registry_tokens(engine, registry):
    registry.add("box", "1", [layer(1000)])
    registry.realm, registry.identity = registry.url + "/token", SECRET
    works(engine, registry, auth={"identitytoken": SECRET})
    assert any("grant_type=refresh_token" in form for form in registry.forms)
    engine.docker("rmi", f"{registry.host}/box:1")
    registry.tokens = {"made-before": 100}
    works(engine, registry, auth={"registrytoken": "made-before"})


def test_a_login_gets_an_identity_token(engine, registry, tmp_path):
    """From a token service that hands them out: the command line then keeps that, and no password."""
    registry.add("box", "1", [layer(1000)])
    registry.realm, registry.password, registry.identity = registry.url + "/token", "user:pa55word", SECRET
    place = {"DOCKER_CONFIG": str(tmp_path)}
    engine.docker("login", "-u", "user", "--password-stdin", registry.host, input="pa55word", env=place)
    kept = json.loads((tmp_path / "config.json").read_text())["auths"][registry.host]
    assert kept["identitytoken"] == SECRET and base64.b64decode(kept["auth"]) in (b"user:", b"user:\0")
    asked = urllib.parse.parse_qs(urllib.parse.urlparse(next(p for p in registry.asked() if p.startswith("/token"))).query)
    assert asked["offline_token"] == ["true"] and asked["account"] == ["user"] and asked["client_id"] == ["pouch"]
    engine.docker("pull", f"{registry.host}/box:1", env=place)
    assert any(f"refresh_token={SECRET}" in form and "grant_type=refresh_token" in form for form in registry.forms)
    engine.docker("rmi", f"{registry.host}/box:1")
    # Whoever pulls keeps nothing, and is not offered anything.
    registry.seen.clear()
    works(engine, registry, auth=AUTH | {"username": "user", "password": "pa55word"})
    assert not any("offline_token" in path for path in registry.asked())


@pytest.mark.parametrize("status", [404, 405])
def test_a_token_service_that_knows_oauth_alone(engine, registry, tmp_path, status):
    """What it does not answer to a GET it grants to a form with the password, in a body and nowhere else."""
    password = f"{SECRET} +&=%ü"
    registry.add("box", "1", [layer(1000)])
    registry.realm, registry.password, registry.oauth_only = registry.url + "/token", f"us&r:{password}", status
    works(engine, registry, auth={"username": "us&r", "password": password})
    form = urllib.parse.parse_qs(registry.forms[0])
    assert form == {"grant_type": ["password"], "client_id": ["pouch"], "username": ["us&r"], "password": [password],
                    "service": ["tests"], "scope": ["repository:box:pull"]}
    assert not any(SECRET in path for path in registry.asked())
    assert not any(given.startswith("us&r:") for given in given_to(registry)[1:]), "the password went in a header again"
    engine.docker("rmi", f"{registry.host}/box:1")
    refused(engine, registry, "unauthorized", auth={"username": "us&r", "password": "wrong"})
    # Whoever has none is not asked for one.
    registry.forms.clear()
    refused(engine, registry, "")
    assert registry.forms == []
    # A login by form gets an identity token as well.
    registry.identity = "an-identity"
    place = {"DOCKER_CONFIG": str(tmp_path)}
    engine.docker("login", "-u", "us&r", "--password-stdin", registry.host, input=password, env=place)
    assert json.loads((tmp_path / "config.json").read_text())["auths"][registry.host]["identitytoken"] == "an-identity"
    assert any("access_type=offline" in form for form in registry.forms)


def test_a_token_that_expires_midway(engine, registry):
    registry.add("box", "1", [layer(1000) for _ in range(6)])
    registry.realm, registry.token_uses = registry.url + "/token", 2
    works(engine, registry)
    assert len(registry.tokens) >= 3


def test_credentials_follow_no_redirect(engine, registry, elsewhere):  # covers S-13
    image = registry.add("box", "1", [layer()])
    elsewhere.files["/there"] = image.blobs[0]
    registry.password = f"user:{SECRET}"
    registry.misbehave = lambda h: of(image)(h) and h.headers.get("Authorization") and h.redirect(elsewhere.url + "/there")
    works(engine, registry, auth=AUTH)
    assert elsewhere.asked() == ["/there"] and given_to(elsewhere) == []


def test_foreign_layers_get_no_credentials(engine, registry, elsewhere):  # covers S-13
    image = registry.add("box", "1", [layer()], media="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    image.manifest["layers"][0]["urls"] = [elsewhere.url + "/foreign"]
    registry.put("box", "1", image)
    elsewhere.files["/foreign"] = image.blobs[0]
    registry.password = f"user:{SECRET}"
    works(engine, registry, auth=AUTH)
    assert elsewhere.asked() == ["/foreign"] and given_to(elsewhere) == []


def test_a_foreign_layer_comes_from_the_first_url_that_has_it(engine, registry, elsewhere):
    image = registry.add("box", "1", [layer()], media="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    image.manifest["layers"][0]["urls"] = ["http://127.0.0.1:1/nobody", elsewhere.url + "/nothing", elsewhere.url + "/wrong",
                                           elsewhere.url + "/half", elsewhere.url + "/foreign", elsewhere.url + "/never"]
    registry.put("box", "1", image)
    elsewhere.files.update({"/foreign": image.blobs[0], "/wrong": b"of another size"})

    def misbehave(handler):
        if handler.path != "/half":
            return False
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(image.blobs[0]) + image.blobs[0][:5000])
        handler.close_connection = True
        return True

    elsewhere.misbehave = misbehave
    works(engine, registry)
    tried = [path for path in elsewhere.asked()]
    assert list(dict.fromkeys(tried)) == ["/nothing", "/wrong", "/half", "/foreign"]
    assert next(h["Range"] for _, path, h in elsewhere.seen if path == "/foreign") == "bytes=5000-"
    engine.docker("rmi", f"{registry.host}/box:1")
    del elsewhere.files["/foreign"]
    refused(engine, registry, "blob unknown")


def test_unrelated_token_services(engine, registry, elsewhere):  # covers S-13
    registry.add("box", "1", [layer()])
    for realm, words in ((elsewhere.url.replace("127.0.0.1", "127.0.0.2") + "/token", "not reached by TLS"),
                         ("https://auth.example.com/token", "of another domain, auth.example.com"),
                         ("https://user:pw@auth.example.com/token", "user name or password"),
                         ("ftp://127.0.0.1/token", "neither http nor https"), ("", "token service")):
        registry.realm = realm
        if realm:
            refused(engine, registry, words, auth=AUTH)
        else:
            registry.misbehave = lambda h: h.error(401, "UNAUTHORIZED", WWW_Authenticate='Bearer realm=""')
            refused(engine, registry, "", auth=AUTH)
    assert elsewhere.seen == []


def test_token_service_that_redirects(engine, registry, elsewhere):  # covers S-13
    registry.add("box", "1", [layer()])
    registry.realm = registry.url + "/token"
    registry.misbehave = lambda h: h.path.startswith("/token") and h.redirect(elsewhere.url + "/token", 302)
    refused(engine, registry, "the token service redirects", auth=AUTH)
    assert elsewhere.seen == []


@pytest.mark.parametrize("challenge", ["", "Bearer", 'Bearer realm="', "Negotiate", "Digest realm=x", 'Basic realm="x', "Bearer " + "a=b," * 5000])
def test_challenges_that_are_none(engine, registry, challenge):
    registry.add("box", "1", [layer()])
    registry.misbehave = lambda h: h.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
    refused(engine, registry, "", auth=AUTH)


def test_mirrors(registry, elsewhere):
    """Mirrors come first, and without credentials; what they do not have, or do not answer, is asked of the registry."""
    image = registry.add("box", "1", [layer(), layer()])
    elsewhere.add("box", "1", [])
    elsewhere.manifests = dict(registry.manifests)
    elsewhere.blobs = {name: data for name, data in registry.blobs.items() if name != image.layers[1]}
    registry.password = f"user:{SECRET}"
    config = {"images": {"registries": {registry.host: {"insecure": True, "mirrors": ["http://127.0.0.1:1", elsewhere.url]}}}}
    with Engine(config=config, sets=SETS) as engine:
        works(engine, registry, auth=AUTH)
        assert {path.rpartition("/")[2] for path in registry.asked()} == {image.layers[1]}
        assert given_to(elsewhere) == [] and any(image.layers[0] in path for path in elsewhere.asked())


@memory_bound
def test_nobody_but_the_worker_has_the_credentials(registry):
    """A canary in every place that is written or can be read: logs, audit records, errors, other processes. covers D-13 S-5"""
    image = registry.add("box", "1", [layer()])
    registry.realm, registry.password = registry.url + "/token", f"user:{SECRET}"
    registry.misbehave = lambda h: of(image)(h) and h.stall()
    import threading
    with Engine(sets=[*SETS, "images.stall-timeout=20s"]) as engine:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(pull(engine, registry, auth=AUTH)))
        thread.start()
        engine.wait_for(lambda: any(path.endswith(image.layers[0]) for path in registry.asked()))
        holders = {name for name, pid in engine.pids().items() if holds_secret(memory_of(pid))}
        registry.misbehave = None
        registry.over.set()
        registry.over.clear()
        thread.join()
        assert holders == {"image-fetch"}
        # What came and went with a request of each kind, a token that was handed out among it, is in no buffer any more.
        registry.identity = SECRET
        engine.docker("login", "-u", "user", "--password-stdin", registry.host, input=SECRET)
        header = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(AUTH).encode()).decode()}
        assert engine.api("GET", f"/distribution/{registry.host}/box:1/json", headers=header).status == 200
        engine.api("GET", f"/images/search?term={registry.host}/box", headers=header)
        engine.api("POST", f"/images/{registry.host}/box/push?tag=1", headers=header)
        kept = {name for name, pid in engine.pids().items() if name != "image-fetch" and holds_secret(memory_of(pid))}
        assert kept == set()
        wrong = engine.docker("login", "-u", "user", "--password-stdin", registry.host, input=SECRET + "x", check=False)
        assert wrong.returncode and SECRET not in wrong.stderr
        everything = engine.log().encode() + b"".join(answer.body for answer in answers)
        for directory, _, files in os.walk(engine.root):
            everything += b"".join(pathlib.Path(directory, name).read_bytes() for name in files
                                   if "layers" not in directory and "blobs" not in directory)
        coded = base64.b64encode(f"user:{SECRET}".encode()).rstrip(b"=")[:-2]
        assert SECRET.encode() not in everything and coded not in everything


def holds_secret(memory):
    """As it is, or as any part of a document in base64."""
    coded = {base64.b64encode(b"\0" * i + SECRET.encode())[4 if i else 0:-4] for i in range(3)}
    return SECRET.encode() in memory or any(text in memory for text in coded)


def memory_of(pid):
    """All that a process could write to: heap, stacks, data."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
            open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:  # a worker may end meanwhile
        for line in maps:
            words = line.split()
            begin, end = (int(x, 16) for x in words[0].split("-"))
            if not words[1].startswith("rw"):
                continue
            try:
                mem.seek(begin)
                found.append(mem.read(end - begin))
            except (OSError, ValueError, OverflowError):
                continue
    return b"".join(found)
