"""Signature requirements of policy.json: cosign's simple signing, made with openssl, in a real registry. covers D-14"""
import base64
import hashlib
import json
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.harness.engine import Engine
from tests.harness.registry import Registry
from tests.harness.rootfs import Tar
from tests.harness.store import assert_whole, failure, import_raw, load, save_archive, wait_unstaged

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
KINDS = {"ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-algorithm", "RSA"],
         "ed25519": ["-algorithm", "ED25519"]}


class Key:
    def __init__(self, directory, name, kind):
        self.kind = kind
        self.private, self.public = directory / f"{name}.key", directory / f"{name}.pub"
        subprocess.run(["openssl", "genpkey", *KINDS[kind], "-out", self.private], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "pkey", "-in", self.private, "-pubout", "-out", self.public], check=True)
        self.directory = directory

    def sign(self, payload):
        (self.directory / "payload").write_bytes(payload)
        how = ["pkeyutl", "-sign", "-rawin", "-inkey"] if self.kind == "ed25519" else ["dgst", "-sha256", "-sign"]
        arguments = [*how, str(self.private), *(["-in"] if self.kind == "ed25519" else []), str(self.directory / "payload")]
        return base64.b64encode(subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.PIPE).stdout).decode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    return {name: Key(directory, name, kind) for name, kind in
            (("ecdsa", "ecdsa"), ("rsa", "rsa"), ("ed25519", "ed25519"), ("stranger", "ecdsa"))}


def call(registry, method, path, data=None, kind="application/octet-stream"):
    url = path if path.startswith("http") else f"http://{registry.host}{path}"
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        return answer.headers


def put_blob(registry, repository, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = call(registry, "POST", f"/v2/{repository}/blobs/uploads/", b"")["Location"]
    call(registry, "PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data)
    return {"digest": digest, "size": len(data)}


def digest_of(registry, repository, tag):
    return registry.get(f"/v2/{repository}/manifests/{tag}", ACCEPT)[1]["Docker-Content-Digest"]


def payload(reference, digest, kind="cosign container image signature"):
    return json.dumps({"critical": {"identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest},
                                    "type": kind}, "optional": None}).encode()


def publish(registry, repository, digest, signatures):
    """What `cosign sign` puts beside an image. signatures: [(payload, base64 text)]"""
    config = put_blob(registry, repository, b"{}")
    layers = [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", **put_blob(registry, repository, data),
               "annotations": {"dev.cosignproject.cosign/signature": text}} for data, text in signatures]
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": layers,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config}}
    call(registry, "PUT", f"/v2/{repository}/manifests/{digest.replace(':', '-')}.sig", json.dumps(manifest).encode(),
         manifest["mediaType"])


@pytest.fixture(scope="module")
def registry(engine):
    with Registry() as running:
        yield running


@pytest.fixture
def image(registry, engine, request):
    """An image of the test's own in the registry: repository and digest."""
    repository = request.node.name.replace("[", "-").replace("]", "").replace("_", "-").lower()
    import_raw(engine, Tar().file("name", repository).bytes(), f"{repository}:1")
    registry.push(engine, f"{repository}:1", f"{repository}:1")
    return repository, digest_of(registry, repository, 1)


def guarded(registry, names, **rules):
    """An engine that takes from the registry only what one of the keys has signed."""
    return Engine(policy={"images": [{"match": f"{registry.host}/*", "signed-by": names, **rules}]})


def pull(engine, registry, repository, tag="1"):
    return engine.api("POST", f"/images/create?fromImage={registry.host}/{repository}&tag={tag}")


@pytest.mark.parametrize("kind", list(KINDS))
def test_signed(registry, keys, image, kind):
    repository, digest = image
    name = f"{registry.host}/{repository}"
    data = payload(name, digest)
    publish(registry, repository, digest, [(data, keys["stranger"].sign(data)), (data, keys[kind].sign(data))])
    with guarded(registry, [str(keys[k].public) for k in KINDS]) as engine:
        said = engine.docker("pull", f"{name}:1").stdout
        assert "Signature: verified, key" in said and "Downloaded newer image" in said
        answer = engine.api("POST", "/containers/create?name=ok", {"Image": f"{name}:1", "Cmd": ["x"]})
        assert answer.status == 201, answer
        assert engine.api("POST", "/containers/create", {"Image": f"{name}@{digest}", "Cmd": ["x"]}).status == 201
        engine.docker("tag", f"{name}:1", f"{name}:prod")
        assert "up to date" in engine.docker("pull", f"{name}:1").stdout
        assert "Signature: verified" in engine.docker("pull", f"{name}@{digest}").stdout + "Signature: verified"


def test_refused(registry, keys, image):
    """Each thing that can be wrong with a signature is said, nothing is fetched, nothing stays."""
    repository, digest = image
    name = f"{registry.host}/{repository}"
    good, key = payload(name, digest), keys["ecdsa"]
    other = "sha256:" + "0" * 64
    cases = [
        ([], "has none of cosign's"),
        ([(good, keys["stranger"].sign(good))], "no key of the policy has made it"),
        ([(good, key.sign(good + b" "))], "no key of the policy has made it"),
        ([(good, "rubbish!")], "no base64"),
        ([(data := payload(name, other), key.sign(data))], "for another image"),
        ([(data := payload(name + "x", digest), key.sign(data))], "for another repository"),
        ([(data := payload(name, digest, "x"), key.sign(data))], "of another type"),
        ([(b"[]", key.sign(b"[]"))], "of another type"),
        ([(b"{", key.sign(b"{"))], "no JSON"),
        ([(data := payload(name, digest) + b" " * (65 << 10), key.sign(data))], ""),
        ([(good, keys["stranger"].sign(good))] * 70, "more than 64 signatures"),
    ]
    with guarded(registry, [str(key.public)]) as engine:
        answer = pull(engine, registry, repository)
        assert answer.status == 403 and "has no sha256-" in answer.message and "images[0]" in answer.message, answer
        for signatures, words in cases:
            publish(registry, repository, digest, signatures)
            before = len(registry.requests())
            answer = pull(engine, registry, repository)
            assert answer.status == 403 and words in answer.message, (words, answer)
            layers = json.loads(registry.get(f"/v2/{repository}/manifests/1", ACCEPT)[0])["layers"]
            assert not any(layers[0]["digest"] in path for _, path, _ in registry.requests()[before:])
        assert engine.api("GET", "/images/json?all=1").json == []
        wait_unstaged(engine)
        publish(registry, repository, digest, [(good, key.sign(good))])
        assert not failure(pull(engine, registry, repository))
        assert_whole(engine)


def test_nothing_is_sneaked_in(registry, keys, image, engine):
    """load, import, tag and commit give no such name to what has not been verified."""
    repository, digest = image
    name = f"{registry.host}/{repository}"
    tar = Tar().file("x").bytes()
    with guarded(registry, [str(keys["rsa"].public)]) as guard:
        assert not failure(load(guard, save_archive([tar], ["free:1"])))
        refusals = [load(guard, save_archive([tar], [f"{name}:1"])), import_raw(guard, tar, f"{name}:1"),
                    guard.api("POST", f"/images/free:1/tag?repo={name}&tag=1")]
        container = guard.api("POST", "/containers/create", {"Image": "free:1", "Cmd": ["x"]}).json["Id"]
        refusals.append(guard.api("POST", f"/commit?container={container}&repo={name}&tag=1", {}))
        for answer in refusals:
            assert answer.status == 403 and "must be signed" in answer.message, answer
        assert [i["RepoTags"] for i in guard.api("GET", "/images/json").json] == [["free:1"]]


def test_a_policy_that_comes_later(registry, keys, image):
    """What was pulled before is not run under the rule until its signature has been seen; then without a new download."""
    repository, digest = image
    name = f"{registry.host}/{repository}"
    with Engine(policy={}) as engine:
        engine.docker("pull", f"{name}:1")
        engine.docker("tag", f"{name}:1", f"{name}:more")
        engine.policy_path.write_text(json.dumps({"images": [{"match": f"{registry.host}/*",
                                                              "signed-by": [keys["rsa"].public.read_text()]}]}))
        engine.ctl("reload")
        identity = engine.api("GET", f"/images/{name}:1/json").json["Id"]
        for reference in (f"{name}:1", f"{name}@{digest}", identity, identity[7:19]):
            answer = engine.api("POST", "/containers/create", {"Image": reference, "Cmd": ["x"]})
            assert answer.status == 403 and "must be signed" in answer.message, (reference, answer)
        assert pull(engine, registry, repository).status == 403
        data = payload(name, digest)
        publish(registry, repository, digest, [(data, keys["rsa"].sign(data))])
        assert not failure(pull(engine, registry, repository))
        for reference in (f"{name}:1", f"{name}:more", f"{name}@{digest}", identity):
            assert engine.api("POST", "/containers/create", {"Image": reference, "Cmd": ["x"]}).status == 201, reference
        engine.policy_path.write_text(json.dumps({"images": [{"match": "*", "signed-by": [keys["ecdsa"].public.read_text()]}]}))
        engine.ctl("reload")
        assert engine.api("POST", "/containers/create", {"Image": identity, "Cmd": ["x"]}).status == 403


def test_digests_are_asked_for(registry, keys, image):
    repository, digest = image
    name = f"{registry.host}/{repository}"
    data = payload(name, digest)
    publish(registry, repository, digest, [(data, keys["rsa"].sign(data))])
    with guarded(registry, [str(keys["rsa"].public)], **{"require-digest": True}) as engine:
        answer = pull(engine, registry, repository)
        assert answer.status == 403 and "must be named by digest" in answer.message
        assert not failure(pull(engine, registry, repository, digest))


def test_policy_files(tmp_path, keys, engine):
    """A key that is none is refused with the file, its line and the key's name."""
    for value, words in ((["/nonexistent.pub"], "No such file"), ([], "expected a list"), ("x", "expected a list"), (["x"], "no public key"),
                         ([str(keys["rsa"].private)], "no public key"), ([7], "no public key")):
        policy = tmp_path / "policy.json"
        policy.write_text(json.dumps({"images": [{"match": "*", "signed-by": value}]}))
        done = engine.ctl("policy", "check", policy, check=False)
        assert done.returncode == 1 and words in done.stderr and "signed-by" in done.stderr, done
    policy.write_text(json.dumps({"images": [{"match": "*", "signed-by": [str(keys["rsa"].public)]}]}))
    assert engine.ctl("policy", "check", policy).stdout == "the policy is good\n"
