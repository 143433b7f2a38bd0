"""Images from a registry: the docker CLI and docker-py against a real one on loopback."""
import json
import os
import threading
import urllib.parse

import pytest

from tests.harness.engine import Engine
from tests.harness.registry import Registry

ACCEPT = ("application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
          "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json")


@pytest.fixture(scope="module")
def registry(engine):
    """Holds some/box:1 (Docker's schema 2) and some/box:2 (OCI) of the image busybox."""
    with Registry() as running:
        running.push(engine, "busybox:latest", "some/box:1")
        running.push(engine, "busybox:latest", "some/box:2", "oci")
        yield running


@pytest.fixture
def empty(registry):
    """An engine without images."""
    with Engine() as running:
        yield running


def create(engine, name, tag="", headers=None, **more):
    query = urllib.parse.urlencode({"fromImage": name, "tag": tag, **more})
    return engine.api("POST", f"/images/create?{query}", headers=headers)


def lines(answer):
    return [json.loads(line) for line in answer.body.splitlines() if line.strip()]


def staged(engine):
    """What lies about in the store and is no image."""
    store = engine.root / "imaged"
    return os.listdir(store / "staging") + [name for name in os.listdir(store / "layers") if len(name) != 64]


@pytest.mark.parametrize("tag", ["1", "2"])
def test_docker_pull(empty, registry, tag):
    name = f"{registry.host}/some/box:{tag}"
    said = empty.docker("pull", name).stdout
    digest = registry.get(f"/v2/some/box/manifests/{tag}", ACCEPT)[1]["Docker-Content-Digest"]
    assert f"{tag}: Pulling from some/box" in said and "Pull complete" in said
    assert f"Digest: {digest}" in said and f"Status: Downloaded newer image for {name}" in said
    image = empty.api("GET", f"/images/{name}/json").json
    assert image["RepoTags"] == [name] and image["RepoDigests"] == [f"{registry.host}/some/box@{digest}"]
    assert empty.docker("run", "--rm", "--network", "none", name, "echo", "hi").stdout == "hi\n"


def test_progress_objects(empty, registry):
    answer = create(empty, f"{registry.host}/some/box", "1")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    said = lines(answer)
    layer = next(line["id"] for line in said if line["status"] == "Pulling fs layer")
    states = [line["status"] for line in said if line.get("id") == layer]
    assert len(layer) == 12 and states[0] == "Pulling fs layer" and states[-1] == "Pull complete"
    assert "Verifying Checksum" in states and "Download complete" in states
    bars = [line for line in said if line["status"] == "Downloading"]
    assert all(line["progressDetail"]["current"] <= line["progressDetail"]["total"] and line["progress"] for line in bars)


def test_second_pull_is_one_head(empty, registry):
    name = f"{registry.host}/some/box:1"
    empty.docker("pull", name)
    before = len(registry.requests())
    assert f"Status: Image is up to date for {name}" in empty.docker("pull", name).stdout
    assert registry.requests()[before:] == [("HEAD", "/v2/some/box/manifests/1", 200)]


def test_by_digest(empty, registry):
    digest = registry.get("/v2/some/box/manifests/1", ACCEPT)[1]["Docker-Content-Digest"]
    name = f"{registry.host}/some/box@{digest}"
    assert f"Digest: {digest}" in empty.docker("pull", name).stdout
    image = empty.api("GET", f"/images/{name}/json").json
    assert image["RepoTags"] == [] and image["RepoDigests"] == [name]
    before = len(registry.requests())
    assert "Image is up to date" in empty.docker("pull", name).stdout
    assert len(registry.requests()) == before, "what is named by its content and is here was asked for"


def test_all_tags(empty, registry):
    said = empty.docker("pull", "-a", f"{registry.host}/some/box").stdout
    assert "1: Pulling from some/box" in said and "2: Pulling from some/box" in said
    tags = {tag for image in empty.api("GET", "/images/json").json for tag in image["RepoTags"]}
    assert tags == {f"{registry.host}/some/box:1", f"{registry.host}/some/box:2"}


def test_docker_py(empty, registry):
    image = empty.client().images.pull(f"{registry.host}/some/box", tag="1")
    assert image.tags == [f"{registry.host}/some/box:1"]


def test_not_found(empty, registry):
    answer = create(empty, f"{registry.host}/some/box", "nosuch")
    assert answer.status == 404
    assert answer.message == f"manifest for {registry.host}/some/box:nosuch not found: manifest unknown: manifest unknown"
    answer = create(empty, "127.0.0.1:1/some/box", "1")
    assert answer.status == 500 and "127.0.0.1:1: " in answer.message and "onnect" in answer.message
    assert create(empty, f"{registry.host}/UPPER", "1").status == 400
    assert create(empty, f"{registry.host}/some/box", "-x").status == 400
    assert create(empty, "", "1").message == "fromImage or fromSrc is needed"


def test_two_clients_share_the_work(empty, registry):
    name = f"{registry.host}/some/box"
    before = len(registry.requests())
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(create(empty, name, "1"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("Downloaded newer image" in a.body.decode() or "up to date" in a.body.decode() for a in answers), answers
    fetched = [path for method, path, _ in registry.requests()[before:] if method == "GET" and "/blobs/" in path]
    assert len(fetched) == len(set(fetched)), fetched
