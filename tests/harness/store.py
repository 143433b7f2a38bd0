"""What the tests of the image store share: archives as docker save writes them, and looks into the store."""
import hashlib
import json
import os
import urllib.parse

from .rootfs import Tar


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layers(engine):
    return {path.name for path in (engine.root / "imaged" / "layers").iterdir()}


def blobs(engine):
    return {path.name for path in (engine.root / "imaged" / "blobs").iterdir()}


def staged(engine):
    return [name for name in layers(engine) if len(name) != 64] + os.listdir(engine.root / "imaged" / "staging")


def wait_unstaged(engine):
    """Removal of what is not kept is the work of another process."""
    engine.wait_for(lambda: not staged(engine))


def import_raw(engine, tar, name="test:import", changes=(), **more):
    """POST /images/create?fromSrc=-; tar: bytes or something to read from."""
    repository, _, tag = name.rpartition(":")
    query = [("fromSrc", "-"), ("repo", repository), ("tag", tag)] + [("changes", c) for c in changes]
    return engine.api("POST", "/images/create?" + urllib.parse.urlencode(query), tar,
                      {"Content-Type": "application/x-tar"}, raw=True, **more)


def load(engine, archive, query="", **more):
    return engine.api("POST", "/images/load" + query, archive, {"Content-Type": "application/x-tar"}, raw=True, **more)


def failure(answer):
    """What an answer says went wrong: its own status, or a line of the stream. None: nothing."""
    if answer.status >= 400:
        return answer.message
    for line in answer.body.splitlines():
        if line.strip() and "error" in json.loads(line):
            return json.loads(line)["error"]
    return None


def image_config(tars, config=None, **more):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": config or {}, "created": "2020-01-01T00:00:00Z",
                       "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]}} | more).encode()


def save_archive(tars, tags, config=None, pack=bytes, members=None, **more):
    """An archive as docker save writes it. pack: what the layers are compressed with; members: further files."""
    names = [f"l{i}/layer.tar" for i in range(len(tars))]
    archive = Tar()
    for name, tar in zip(names, tars):
        archive.file(name, pack(tar))
    archive.file("config.json", image_config(tars, config, **more))
    archive.file("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": tags, "Layers": names}]).encode())
    for name, data in (members or {}).items():
        archive.file(name, data)
    return archive.bytes()


def layer_dir(engine, name, which=-1):
    image = engine.api("GET", f"/images/{urllib.parse.quote(name)}/json").json
    return engine.root / "imaged" / "layers" / image["RootFS"]["Layers"][which].removeprefix("sha256:")


def check(engine, *options, timeout=120):
    """pouchd ctl image check: its report, and its exit status."""
    done = engine.ctl("image", "check", "--json", *options, check=False, timeout=timeout)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout), done.returncode


def assert_whole(engine, timeout=120):
    report, status = check(engine, timeout=timeout)
    assert status == 0 and report["Damaged"] == [], report
