"""The bounds of images.* in pouch.json: each is kept to the byte, refused in words, and leaves nothing behind."""
import gzip
import json
import os
import random
import threading

import pytest

from tests.harness.engine import Engine, UnixConnection
from tests.harness.fake_registry import FakeRegistry
from tests.harness.rootfs import Tar
from tests.harness.store import (assert_whole, blobs, digest, failure, image_config, import_raw, layers, load,
                                 save_archive, wait_unstaged)

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture(scope="module")
def small():
    """An engine that takes next to nothing."""
    with Engine(sets=["images.max-manifest=4k", "images.max-config=8k", "images.max-layer=256k",
                      "images.max-layer-expanded=1m", "images.max-image=400k", "images.max-image-expanded=2m",
                      "images.max-entries=100", "images.max-path=200", "images.max-layers=5",
                      "images.min-free=0"]) as engine:
        yield engine


@pytest.fixture(autouse=True)
def nothing_left(request):
    """What is refused leaves no file and no record."""
    engine = request.getfixturevalue("small") if "small" in request.fixturenames else None
    if engine:
        wait_unstaged(engine)
        before = layers(engine), blobs(engine)
    yield
    if engine:
        wait_unstaged(engine)
        assert (layers(engine), blobs(engine)) == before or request.node.name.startswith("test_within")


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def refused(answer, words, status=None):
    why = failure(answer)
    assert why and words in why, answer
    if answer.status != 200:
        assert answer.status == status, answer


def test_layer(small):  # covers D-25 S-14
    refused(import_raw(small, Tar().file("a", noise(300 * KIB)).bytes()), "more than the 262144 bytes", 413)
    packed = gzip.compress(Tar().file("a", noise(300 * KIB)).bytes())
    refused(load(small, save_archive([Tar().file("a", noise(300 * KIB)).bytes()], ["x:1"], pack=gzip.compress)),
            "more than the 262144 bytes", 413)
    assert len(packed) > 256 * KIB


def test_within_layer(small):
    assert not failure(import_raw(small, Tar().file("a", noise(200 * KIB)).bytes(), "x:1"))


def test_layer_expanded(small):
    bomb = gzip.compress(Tar().file("a", bytes(2 * MIB)).bytes())
    assert len(bomb) < 16 * KIB
    refused(import_raw(small, bomb), "expands to more than the 1048576 bytes", 413)


def test_image(small):
    tars = [Tar().file(str(i), noise(150 * KIB, i)).bytes() for i in range(3)]
    refused(load(small, save_archive(tars, ["x:1"])), "bytes", 413)


def test_image_expanded(small):
    tars = [Tar().file(str(i), noise(10, i) + bytes(900 * KIB)).bytes() for i in range(3)]
    refused(load(small, save_archive(tars, ["x:1"], pack=gzip.compress)), "bytes", 413)


def test_entries(small):
    tar = Tar()
    for i in range(101):
        tar.file(f"f{i}")
    refused(import_raw(small, tar.bytes()), "more than the 100 files", 413)


def test_path(small):
    refused(import_raw(small, Tar().file("d/" * 100 + "x").bytes()), "a name of more than 200 bytes", 413)
    refused(import_raw(small, Tar().symlink("x", "y" * 201).bytes()), "a name of more than 200 bytes", 413)


def test_layers(small, engine):
    tars = [Tar().file(str(i)).bytes() for i in range(6)]
    refused(load(small, save_archive(tars, ["x:1"])), "6 layers where the configuration allows 5", 413)
    many = [Tar().file(str(i)).bytes() for i in range(128)]
    refused(load(engine, save_archive(many, ["many:128"])), "128 layers where the configuration allows 127", 413)
    assert not failure(load(engine, save_archive(many[:127], ["many:127"])))
    assert engine.api("GET", "/images/many:127/json").json["RootFS"]["Layers"][126] == digest(many[126])


def test_config(small):
    refused(load(small, save_archive([Tar().file("a").bytes()], ["x:1"], {"Labels": {"a": "x" * 9000}})),
            "config.json of the archive is larger than the configuration allows", 400)


def test_manifest(small):
    refused(load(small, save_archive([Tar().file("a").bytes()], ["x:" + "1" * 100] * 50)),
            "manifest.json of the archive is larger than the configuration allows", 400)


def test_documents_are_not_believed(engine):  # covers S-11 S-14
    """Depth, number and kind of what stands in the archive's documents."""
    layer = Tar().file("a").bytes()

    def archive(manifest, config=None):
        return (Tar().file("l", layer).file("c", config or image_config([layer]))
                .file("manifest.json", manifest if isinstance(manifest, bytes) else json.dumps(manifest)).bytes())
    good = {"Config": "c", "RepoTags": ["doc:1"], "Layers": ["l"]}
    bad = [[{**good, "Layers": "l"}], [{**good, "Layers": [1]}], [{**good, "Layers": ["l", "l"]}], [{**good, "Layers": ["nope"]}],
           [{**good, "Config": None}], [{**good, "Config": "nope"}], [{**good, "RepoTags": "doc:1"}], [{**good, "RepoTags": [{}]}],
           [{**good, "RepoTags": ["UPPER"]}], [{**good, "RepoTags": ["a@" + digest(b"")]}], [], {}, 7, None, good,
           b"[" * 10000, b"[" * 100 + b"]" * 100, b'[{"Config":"c","Config":"d"}]', b'[{"Config":"\xff"}]', b"", b"[1" + b",1" * 70000 + b"]"]
    for manifest in bad:
        answer = load(engine, archive(manifest))
        assert failure(answer) and answer.status in (200, 400, 413), (manifest, answer)
    for key, value in (("rootfs", None), ("rootfs", {"diff_ids": ["../../x"]}), ("rootfs", {"diff_ids": {}}), ("os", 7), ("config", []),
                       ("history", {}), ("history", [7]), ("config", {"Env": "x"}), ("config", {"Labels": {"a": 1}})):
        config = json.loads(image_config([layer]))
        config[key] = value
        assert failure(load(engine, archive([good], json.dumps(config).encode()))), (key, value)
    assert not failure(load(engine, archive([good])))
    wait_unstaged(engine)
    assert_whole(engine)


def test_ratio():
    with Engine(sets=["images.max-ratio=20", "images.min-free=0"]) as engine:
        zeros = gzip.compress(Tar().file("a", bytes(40 * MIB)).bytes(), 1)
        refused(import_raw(engine, zeros), "expands to more than 20 times its size", 413)
        refused(load(engine, gzip.compress(save_archive([Tar().file("a", bytes(40 * MIB)).bytes()], ["x:1"]), 1)),
                "expands to more than 20 times its size", 413)
        wait_unstaged(engine)


def free_bytes(engine):
    st = os.statvfs(engine.root)
    return st.f_bavail * st.f_frsize


def test_layers_at_the_same_time():
    """images.parallel is what is transferred side by side, no more and no less."""
    layers = [Tar().file(f"f{i}", noise(2000, i)).bytes() for i in range(7)]
    running, most, lock, enough = set(), [0], threading.Lock(), threading.Event()
    with FakeRegistry() as registry, Engine(sets=["images.parallel=3", "images.min-free=0"]) as engine:
        image = registry.add("box", "1", layers)

        def count(handler):
            name = handler.path.rpartition("/")[2]
            if name not in image.layers:
                return False
            with lock:
                running.add(name)
                most[0] = max(most[0], len(running))
                if len(running) == 3:
                    enough.set()
            enough.wait(60)
            with lock:
                running.discard(name)
            return False
        registry.misbehave = count
        assert not failure(engine.api("POST", f"/images/create?fromImage={registry.host}/box&tag=1"))
    assert most[0] == 3 and enough.is_set()


def test_default_registry():
    """images.default-registry has the names without one, shown without it again."""
    with FakeRegistry() as registry, Engine(sets=[f"images.default-registry={registry.host}", "images.min-free=0"]) as engine:
        registry.add("some/box", "1", [Tar().file("x").bytes()])
        assert not failure(engine.api("POST", "/images/create?fromImage=some/box&tag=1"))
        assert engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout == "some/box:1\n"
        registry.add("library/solo", "1", [Tar().file("x").bytes()])
        registry.add("solo", "1", [Tar().file("y").bytes()])
        assert not failure(engine.api("POST", "/images/create?fromImage=solo&tag=1"))
        assert "/v2/solo/manifests/1" in registry.asked()
        assert engine.api("POST", "/images/some/box:1/tag?repo=docker.io/library/elsewhere&tag=1").status == 201
        assert engine.api("GET", "/images/some/box:1/json").json["RepoTags"] == ["some/box:1", "docker.io/library/elsewhere:1"]


def test_no_proxy():
    """images.proxy for all but images.no-proxy."""
    with FakeRegistry() as registry, FakeRegistry() as proxy:
        registry.add("box", "1", [Tar().file("x").bytes()])
        pull = f"/images/create?fromImage={registry.host}/box&tag=1"
        with Engine(sets=[f"images.proxy={proxy.url}", "images.min-free=0", "images.retries=0"]) as engine:
            assert failure(engine.api("POST", pull)) and not registry.seen and proxy.seen
        proxy.seen.clear()
        with Engine(sets=[f"images.proxy={proxy.url}", "images.no-proxy=127.0.0.1", "images.min-free=0"]) as engine:
            assert not failure(engine.api("POST", pull)) and not proxy.seen


def test_low_water_mark():  # covers D-21
    with Engine(sets=[f"images.min-free={1 << 50}"]) as engine:
        for answer in (import_raw(engine, Tar().file("a").bytes()), load(engine, save_archive([Tar().bytes()], ["x:1"]))):
            refused(answer, "images.min-free", 507)
        wait_unstaged(engine)


def test_time_without_progress():
    """A client that sends nothing more is given up, and so is all that it has sent."""
    with Engine(sets=["images.stall-timeout=2s", "images.retries=0"]) as engine:
        for path in ("/images/create?fromSrc=-", "/images/load"):
            connection = UnixConnection(engine.socket)
            connection.putrequest("POST", "/v1.43" + path)
            connection.putheader("Transfer-Encoding", "chunked")
            connection.putheader("Content-Type", "application/x-tar")
            connection.endheaders()
            piece = Tar().file("a", noise(MIB)).bytes()[:MIB // 2]
            connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
            answer = connection.getresponse()
            body = answer.read()
            assert b"no byte has come" in body, (path, answer.status, body)
            connection.close()
        wait_unstaged(engine)
        assert not failure(import_raw(engine, Tar().file("a").bytes(), "after:1"))
