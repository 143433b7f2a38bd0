"""Archives of images: what is saved is what was loaded, digest by digest, with docker, skopeo and the API."""
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import urllib.parse

import pytest

from tests.harness.rootfs import Tar, busybox_tar
from tests.harness.store import assert_whole, digest, failure, image_config, load, save_archive, wait_unstaged

MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"


class Layout:
    """An OCI layout in the making."""

    def __init__(self):
        self.blobs, self.top = {}, []

    def blob(self, data, media, **more):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.blobs[digest(data)] = data
        return {"mediaType": media, "digest": digest(data), "size": len(data), **more}

    def image(self, tars, architecture="amd64", pack=gzip.compress, **more):
        config = self.blob(image_config(tars, **{"architecture": architecture}), "application/vnd.oci.image.config.v1+json")
        layers = [self.blob(pack(tar), "application/vnd.oci.image.layer.v1.tar+gzip") for tar in tars]
        return self.blob({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}, MANIFEST,
                         platform={"os": "linux", "architecture": architecture}, **more)

    def index(self, manifests, **more):
        return self.blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX, **more)

    def bytes(self, top, legacy=None):
        archive = Tar()
        for name, data in self.blobs.items():
            archive.file("blobs/sha256/" + name.removeprefix("sha256:"), data)
        archive.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        archive.file("index.json", json.dumps({"schemaVersion": 2, "manifests": top}).encode())
        if legacy:
            archive.file("manifest.json", json.dumps(legacy).encode())
        return archive.bytes()


def named(name):
    return {"annotations": {"io.containerd.image.name": name}}


def saved(engine, *names, query=""):
    """Members of what is saved."""
    answer = engine.api("GET", "/images/get?" + "&".join("names=" + urllib.parse.quote(n) for n in names) + query)
    assert answer.status == 200, answer
    archive = tarfile.open(fileobj=io.BytesIO(answer.body))
    return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


def manifests(members):
    return [d["digest"] for d in json.loads(members["index.json"])["manifests"]]


def skopeo(*arguments):
    done = subprocess.run(["skopeo", "--insecure-policy", *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def tar():
    return Tar().file("a", "x" * 5000).file("b").bytes()


def test_the_manifest_is_kept(fresh, tar):
    layout = Layout()
    image = layout.image([tar, Tar().file("c").bytes()])
    assert not failure(load(fresh, layout.bytes([{**image, **named("docker.io/library/kept:1")}])))
    members = saved(fresh, "kept:1")
    assert manifests(members) == [image["digest"]]
    for name, data in layout.blobs.items():
        assert members["blobs/sha256/" + name.removeprefix("sha256:")] == data
    # What docker save writes, both forms in one, keeps it as well.
    whole = fresh.api("GET", "/images/kept:1/get").body
    fresh.docker("rmi", "kept:1")
    wait_unstaged(fresh)
    assert not failure(load(fresh, whole))
    assert saved(fresh, "kept:1") == members
    assert_whole(fresh)


def test_every_saved_blob_is_what_it_says(fresh):
    fresh.busybox("saved:1")
    members = saved(fresh, "saved:1")
    for name, data in members.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    legacy = json.loads(members["manifest.json"])
    assert legacy[0]["RepoTags"] == ["saved:1"] and set(legacy[0]["Layers"]) | {legacy[0]["Config"]} <= set(members)


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_skopeo_round_trip(fresh, tmp_path, transport):
    """Out by skopeo from the daemon, in by docker load; and into the daemon by skopeo: config and layers are the same."""
    image = fresh.busybox("trip:1")
    before = fresh.api("GET", "/images/trip:1/json").json["RootFS"]
    daemon = f"unix://{fresh.socket}"
    skopeo("copy", "-q", "--src-daemon-host", daemon, "docker-daemon:trip:1", f"{transport}:{tmp_path}/a.tar:trip:1")
    fresh.docker("rmi", "trip:1")
    said = fresh.docker("load", "-i", tmp_path / "a.tar").stdout
    name = "trip:1" if "trip:1" in said else said.split()[-1]
    again = fresh.api("GET", f"/images/{urllib.parse.quote(name)}/json").json
    assert again["RootFS"] == before and (transport == "oci-archive" or again["Id"] == image)
    skopeo("copy", "-q", "--dest-daemon-host", daemon, f"{transport}:{tmp_path}/a.tar", "docker-daemon:back:1")
    assert fresh.api("GET", "/images/back:1/json").json["Id"] == again["Id"]
    assert fresh.docker("run", "--rm", "--network", "none", "back:1", "echo", "hi").stdout == "hi\n"
    inspected = json.loads(skopeo("inspect", "--raw", "--daemon-host", daemon, "docker-daemon:back:1"))
    assert [layer["digest"] for layer in inspected["layers"]] == again["RootFS"]["Layers"]


def test_docker_save_into_skopeo(fresh, tmp_path):
    """docker save | skopeo: the manifest's digest is the archive's, and a second save is byte for byte the first."""
    fresh.busybox("piped:1")
    first, second = fresh.api("GET", "/images/piped:1/get").body, fresh.api("GET", "/images/piped:1/get").body
    assert first == second
    (tmp_path / "a.tar").write_bytes(first)
    raw = skopeo("inspect", "--raw", f"oci-archive:{tmp_path}/a.tar")
    assert digest(raw.encode()) == manifests(saved(fresh, "piped:1"))[0]


def test_platforms(fresh, tar):
    layout = Layout()
    other = Tar().file("other").bytes()
    index = layout.index([layout.image([tar]), layout.image([other], "arm64"),
                          layout.blob({"schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(b"{}", "application/vnd.in-toto+json"),
                                       "layers": []}, MANIFEST, platform={"os": "unknown", "architecture": "unknown"})])
    archive = layout.bytes([{**index, **named("docker.io/library/many:1")}])
    assert not failure(load(fresh, archive))
    assert fresh.api("GET", "/images/many:1/json").json["Architecture"] == "amd64"
    for platform in ("linux/arm64", json.dumps({"os": "linux", "architecture": "arm64"})):
        assert not failure(load(fresh, archive, "?platform=" + urllib.parse.quote(platform)))
        assert fresh.api("GET", "/images/many:1/json").json["Architecture"] == "arm64"
        assert fresh.api("GET", "/images/get?names=many:1&platform=" + urllib.parse.quote(platform)).status == 200
    answer = fresh.api("GET", "/images/get?names=many:1&platform=linux/amd64")
    assert answer.status == 404 and "does not provide the specified platform (linux/amd64)" in answer.message
    assert "s390x" in failure(load(fresh, archive, "?platform=linux/s390x"))
    flat = save_archive([tar], ["flat:1"])
    assert "no image for the platform linux/arm64" in failure(load(fresh, flat, "?platform=linux/arm64"))
    assert not failure(load(fresh, flat, "?platform=linux/amd64"))
    for bad in ("linux/", "a/b/c/d", "{", '{"os":7}'):
        assert load(fresh, flat, "?platform=" + urllib.parse.quote(bad)).status == 400, bad
    wait_unstaged(fresh)
    assert_whole(fresh)


def test_layouts_that_lie(fresh, tar):  # covers S-11 S-22
    """Blobs that are not what their names say, manifests of two kinds, indexes without an end."""
    def changed(change):
        layout = Layout()
        image = layout.image([tar])
        return layout.bytes(change(layout, image) or [{**image, **named("lie:1")}])

    def swap(what):
        def change(layout, image):
            manifest = json.loads(layout.blobs[image["digest"]])
            name = {"manifest": image, "config": manifest["config"], "layer": manifest["layers"][0]}[what]["digest"]
            layout.blobs[name] = layout.blobs[name].replace(b"linux", b"linuy") if what == "config" else gzip.compress(tar + bytes(512)) \
                if what == "layer" else layout.blobs[name] + b" "
        return change

    def both(layout, image):
        manifest = json.loads(layout.blobs[image["digest"]])
        return [{**layout.blob({**manifest, "manifests": []}, MANIFEST), **named("lie:1")}]

    def endless(layout, image):
        for _ in range(6):
            image = layout.index([{**image, "platform": {"os": "linux", "architecture": "amd64"}}])
        return [image]

    def path(layout, image):
        return [{**image, "digest": "sha256:../../../../etc/passwd"}]

    def missing(layout, image):
        return [{**image, "digest": "sha256:" + "0" * 64}]

    for change in (swap("manifest"), swap("config"), swap("layer"), both, endless, path, missing):
        answer = load(fresh, changed(change))
        assert failure(answer) and answer.status in (200, 400, 413, 500, 502), answer
        assert answer.status != 500, answer
    assert fresh.api("GET", "/images/json?all=1").json == []
    wait_unstaged(fresh)
    legacy = [{"Config": "config.json", "RepoTags": ["own:1"], "Layers": ["l0/layer.tar"], "Manifest": "config.json"}]
    assert not failure(load(fresh, save_archive([tar], ["own:1"], members={"manifest.json": json.dumps(legacy).encode()})))
    assert_whole(fresh)


def test_an_archive_chooses_nothing_but_images(fresh, tar):  # covers S-19 S-20
    """Labels, annotations and unknown members of a config reach no HostConfig: no device, driver, hook, command."""
    labels = {"HostConfig.Privileged": "true", "run.oci.hooks.stdin": "x", "org.systemd.property.X": "1", "com.docker.log-driver": "syslog"}
    archive = save_archive([busybox_tar()], ["chooser:1"], {"Labels": labels, "HostConfig": {"Privileged": True}, "Cmd": ["true"]},
                           HostConfig={"Privileged": True, "LogConfig": {"Type": "syslog"}}, annotations={"run.oci.hooks": "x"})
    assert not failure(load(fresh, archive))
    container = fresh.api("POST", "/containers/create", {"Image": "chooser:1", "HostConfig": {"NetworkMode": "none"}}).json["Id"]
    host = fresh.api("GET", f"/containers/{container}/json").json["HostConfig"]
    assert host["Privileged"] is False and host["LogConfig"]["Type"] == "json-file" and not host["Devices"]
    assert fresh.docker("start", "-a", container).returncode == 0
