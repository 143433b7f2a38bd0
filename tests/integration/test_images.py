"""Images: import, load, save, names, removal; hostile archives stay inside their layer."""
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile
import time
import urllib.parse

import pytest

from tests.harness.rootfs import Tar, busybox_tar
from tests.harness.store import failure, import_raw, layer_dir, layers, load, save_archive, wait_unstaged


def test_names(engine):
    image = engine.busybox("names:1")
    engine.docker("tag", "names:1", "localhost:5000/some/where:v2")
    assert set(engine.api("GET", f"/images/{image}/json").json["RepoTags"]) == {"names:1", "localhost:5000/some/where:v2"}
    rows = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "names").stdout.split()
    assert "names:1" in rows
    assert engine.api("DELETE", f"/images/{image}").status == 409
    assert engine.docker("rmi", "names:1").stdout == "Untagged: names:1\n"
    assert f"Deleted: {image}" in engine.docker("rmi", "localhost:5000/some/where:v2").stdout
    assert engine.api("GET", f"/images/{image}/json").status == 404
    assert engine.api("GET", "/images/nosuch/json").message == "No such image: nosuch:latest"


@pytest.mark.parametrize("name", ["UPPER", "a//b", "-x", "a:b:c", "a@sha256:12", "a..b", "a___b"])
def test_bad_names(engine, name):  # covers S-10
    assert engine.api("GET", f"/images/{urllib.parse.quote(name, safe='')}/json").status in (400, 404)
    answer = engine.api("POST", "/images/create?" + urllib.parse.urlencode({"fromSrc": "-", "repo": name}),
                        Tar().file("x").bytes())
    assert answer.status == 400, answer


def test_no_name_looks_like_an_id(engine):
    image = engine.busybox("plain:1")
    words = "refusing to create an ambiguous tag using digest algorithm as name"
    for answer in (engine.api("POST", "/images/plain:1/tag?repo=sha256&tag=1"), import_raw(engine, Tar().file("x").bytes(), "sha256:1"),
                   load(engine, save_archive([busybox_tar()], ["sha256:1"]))):
        assert words in failure(answer), answer
    assert engine.docker("tag", "plain:1", f"sha256:{image[7:19]}", check=False).stderr == f"Error response from daemon: {words}\n"
    engine.docker("tag", "plain:1", "own/sha256:1")
    engine.docker("rmi", "own/sha256:1", "plain:1")


def test_changes(engine):
    answer = import_raw(engine, busybox_tar(), "changed:1", ['CMD ["sh", "-c"]', "ENV A=b C='d e'", "EXPOSE 80 53/udp",
                                                            "LABEL x=y", "WORKDIR /srv", "USER app", "VOLUME /data"])
    assert answer.status == 200, answer
    config = engine.api("GET", "/images/changed:1/json").json["Config"]
    assert config["Cmd"] == ["sh", "-c"] and config["Env"] == ["A=b", "C=d e"] and config["WorkingDir"] == "/srv"
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"} and config["Labels"] == {"x": "y"}
    assert import_raw(engine, Tar().file("x").bytes(), "changed:2", ["RUN rm -rf /"]).status == 400


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(data[:9999]) + gzip.compress(data[9999:]),
                                  lambda data: subprocess.run(["zstd", "-c"], input=data, check=True,
                                                              stdout=subprocess.PIPE).stdout],
                         ids=["plain", "gzip", "gzip-members", "zstd"])
def test_load(engine, pack):
    answer = engine.api("POST", "/images/load", pack(save_archive([busybox_tar()], ["loaded:1"])))
    assert answer.status == 200 and b"Loaded image: loaded:1" in answer.body, answer
    assert (layer_dir(engine, "loaded:1") / "bin" / "busybox").stat().st_uid == 0


def test_save_and_load_keep_digests(engine, tmp_path):
    image = engine.busybox("saved:1")
    engine.docker("save", "-o", tmp_path / "a.tar", "saved:1")
    subprocess.run(["skopeo", "copy", "-q", f"docker-archive:{tmp_path}/a.tar", f"oci-archive:{tmp_path}/b.tar:x/saved:2"],
                   check=True)
    engine.docker("rmi", "saved:1")
    engine.docker("load", "-i", tmp_path / "a.tar")
    assert engine.api("GET", "/images/saved:1/json").json["Id"] == image
    engine.docker("load", "-i", tmp_path / "b.tar")
    assert engine.api("GET", "/images/x/saved:2/json").json["RootFS"] == engine.api("GET", "/images/saved:1/json").json["RootFS"]


def test_taking_a_tag_is_said(engine):  # covers S-20
    engine.busybox("mine:1")
    answer = engine.api("POST", "/images/load", save_archive([busybox_tar()], ["mine:1"], {"Cmd": ["x"]}))
    assert b"already exists, renaming the old one" in answer.body


def test_attributes(engine):
    tar = (Tar().directory("d").add("d/f", tarfile.REGTYPE, 0o4751, b"x" * 1000, uid=1000, gid=2000,
                                    pax={"SCHILY.xattr.user.note": "hello", "SCHILY.xattr.user.overlay.opaque": "y",
                                         "SCHILY.xattr.trusted.x": "y"}))
    tar.add("d/hard", tarfile.LNKTYPE, 0o644, link="d/f").add("o/hard", tarfile.LNKTYPE, 0o644, link="d/f")
    tar.add("early", tarfile.LNKTYPE, 0o644, link="late")
    tar.add("late", tarfile.REGTYPE, 0o600, b"late")
    tar.add("not/named/before/x", tarfile.REGTYPE, 0o644)
    tar.add("d/null", tarfile.CHRTYPE, 0o666, device=(1, 3))
    tar.add("d/fifo", tarfile.FIFOTYPE, 0o600)
    tar.add("d/.wh.gone", tarfile.REGTYPE, 0o644)
    tar.add("o/.wh..wh..opq", tarfile.REGTYPE, 0o644)
    assert import_raw(engine, tar.bytes(), "attributes:1").status == 200
    root = layer_dir(engine, "attributes:1")
    st = (root / "d/f").stat()
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime, st.st_nlink) == (0o4751, 1000, 2000, 1700000000, 3)
    assert os.listxattr(root / "d/f") == ["user.note"]
    assert (root / "not/named/before").stat().st_mode & 0o7777 == 0o755
    assert (root / "early").read_bytes() == b"late"
    assert (root / "d/null").stat().st_rdev == os.makedev(1, 3)
    assert (root / "d/gone").stat().st_rdev == 0
    assert os.getxattr(root / "o", "user.overlay.opaque") == b"y"


def hostile_archives(canary):
    """What tries to reach `canary`, a directory of the host with a file `file`."""
    up = "../" * 12 + str(canary).lstrip("/")
    link = tarfile.SYMTYPE
    hard = tarfile.LNKTYPE
    file = tarfile.REGTYPE
    yield "dotdot", Tar().add(up + "/new", file, 0o644, b"x")
    yield "symlink-then-file", Tar().add("a", link, 0o777, link=str(canary)).add("a/new", file, 0o644, b"x")
    yield "symlink-then-overwrite", Tar().add("a", link, 0o777, link=f"{canary}/file").add("a", file, 0o666, b"x")
    yield "relative-symlink", Tar().add("a", link, 0o777, link=up).add("a/file", file, 0o666, b"x")
    yield "hardlink-out", Tar().add("a", hard, 0o644, link=str(canary) + "/file").add("a", file, 0o666, b"x")
    yield "hardlink-dotdot", Tar().add("a", hard, 0o644, link=up + "/file")
    yield "hardlink-by-symlink", Tar().add("a", link, 0o777, link=str(canary)).add("b", hard, 0o644, link="a/file")
    yield "whiteout-by-symlink", Tar().add("a", link, 0o777, link=str(canary)).add("a/.wh.file", file, 0o644)
    yield "whiteout-dotdot", Tar().add("a/.wh...", file, 0o644)
    yield "opaque-by-symlink", Tar().add("a", link, 0o777, link=str(canary)).add("a/.wh..wh..opq", file, 0o644)
    yield "dir-by-symlink", Tar().add("a", link, 0o777, link=str(canary)).add("a/", tarfile.DIRTYPE, 0o777)
    yield "absolute", Tar().add(str(canary) + "/new", file, 0o644, b"x")


def test_hostile_archives_stay_inside(engine, tmp_path):  # covers S-15 S-16 S-18
    canary = tmp_path / "canary"
    canary.mkdir(mode=0o755)
    (canary / "file").write_text("untouched")
    before = [(p.stat().st_mode, p.stat().st_uid, p.stat().st_mtime_ns, p.stat().st_nlink) for p in (canary, canary / "file")]
    for name, tar in hostile_archives(canary):
        answer = import_raw(engine, tar.bytes(), "hostile:1")
        assert answer.status in (200, 400), (name, answer)
        assert os.listdir(canary) == ["file"] and (canary / "file").read_text() == "untouched", name
        after = [(p.stat().st_mode, p.stat().st_uid, p.stat().st_mtime_ns, p.stat().st_nlink) for p in (canary, canary / "file")]
        assert after == before, name
    wait_unstaged(engine)


def test_damaged_archives_leave_nothing(engine):  # covers S-14 S-22
    good = busybox_tar()
    wait_unstaged(engine)
    known = layers(engine)
    for data in (b"junk" * 1000, good[:700000], gzip.compress(good)[:-9], b"\xfd7zXZ\0" + b"x" * 99, b"BZh91AY" + b"x" * 99):
        assert import_raw(engine, data, "damaged:1").status == 400
    digest = hashlib.sha256(good).hexdigest().encode()
    wrong = save_archive([good + bytes(512)], ["wrong:1"]).replace(hashlib.sha256(good + bytes(512)).hexdigest().encode(), digest[::-1])
    assert b"error" in (answer := engine.api("POST", "/images/load", wrong)).body or answer.status == 400
    wait_unstaged(engine)
    assert layers(engine) == known
    assert engine.api("GET", "/images/wrong:1/json").status == 404


def test_state_is_closed(engine):  # covers S-4
    engine.busybox("closed:1")
    top = engine.root / "imaged"
    assert top.stat().st_mode & 0o777 == 0o700
    for name in ("blobs", "layers", "staging"):
        assert (pathlib.Path(top) / name).stat().st_mode & 0o777 == 0o700


def listed(engine, query="", **filters):
    """Rows of GET /images/json."""
    return engine.api("GET", f"/images/json?{query}&filters=" + urllib.parse.quote(json.dumps(filters)), version="1.47").json


def test_manifests(engine):
    image = engine.busybox("shown:1")
    engine.docker("create", "--name", "shows", "shown:1", "true")
    row, = listed(engine, "manifests=1", reference=["shown"])
    manifest, = row["Manifests"]
    with tarfile.open(fileobj=io.BytesIO(engine.docker("save", "shown:1", text=False).stdout)) as archive:
        saved, = json.load(archive.extractfile("index.json"))["manifests"]
        blobs = [m.size for m in archive if m.name.startswith("blobs/sha256/") and saved["digest"][7:] not in m.name]
    assert manifest["Descriptor"] == {k: saved[k] for k in ("mediaType", "digest", "size")} and manifest["ID"] == saved["digest"]
    assert manifest["Available"] is True and manifest["Kind"] == "image"
    assert manifest["Size"] == {"Content": sum(blobs), "Total": sum(blobs) + row["Size"]}
    data = manifest["ImageData"]
    assert data["Size"] == {"Unpacked": row["Size"]} and data["Platform"]["os"] == "linux" and data["Platform"]["architecture"]
    assert data["Containers"] == [engine.api("GET", "/containers/shows/json").json["Id"]]
    engine.docker("rm", "shows")
    blob = engine.root / "imaged" / "blobs" / image.removeprefix("sha256:")
    blob.rename(blob.with_suffix(".away"))
    damaged, = (i for i in engine.api("GET", "/images/json?manifests=1", version="1.47").json if i["Id"] == image)
    blob.with_suffix(".away").rename(blob)
    assert damaged["Manifests"][0]["Available"] is False
    assert "Manifests" not in engine.api("GET", "/images/json", version="1.47").json[0]
    for path, version, words in (("/images/json?manifests=1", "1.46", "1.47"), ("/images/shown:1/json?manifests=1", "1.47", "1.48")):
        answer = engine.api("GET", path, version=version)
        assert answer.status == 400 and "manifests" in answer.message and words in answer.message, answer


@pytest.mark.parametrize("version", ["1.24", "1.43", "1.47"])
def test_every_dialect_has_its_fields(engine, version):
    image = engine.busybox("spoken:1")
    row, = (i for i in engine.api("GET", "/images/json", version=version).json if i["Id"] == image)
    for shown in (row, engine.api("GET", "/images/spoken:1/json", version=version).json):
        assert shown["VirtualSize"] == shown["Size"] > 0
        assert (shown["ID"], shown["Name"], shown["Tag"]) == (image, "spoken:1", "1") and shown["CreatedAt"].endswith("Z")


def test_survives_a_kill(engine):
    image = engine.busybox("kept:1")
    os.kill(engine.pids()["imaged"], 9)
    assert engine.api("GET", "/images/kept:1/json").json["Id"] == image


def committed(engine, base, name):
    """An image made from a container of `base`; its id."""
    engine.docker("create", "--name", "maker", "--network", "none", base, "true")
    image = engine.docker("commit", "maker", name).stdout.strip()
    engine.docker("rm", "maker")
    return image


def remove(engine, name, query="", status=200):
    answer = engine.api("DELETE", f"/images/{name}?{query}")
    assert answer.status == status, answer
    return answer.message if status >= 400 else [tuple(row.items())[0] for row in answer.json]


def family(engine):
    """base:1, an image without a name made from it, and top:1 made from that."""
    base = engine.busybox("base:1")
    middle = committed(engine, "base:1", "middle:1")
    top = committed(engine, "middle:1", "top:1")
    assert remove(engine, "middle:1") == [("Untagged", "middle:1")], "a child needs it"
    return base, middle, top


def test_parents_go_with_their_last_child(fresh):
    base, middle, top = family(fresh)
    for query in ("", "force=1"):
        assert remove(fresh, middle, query, 409) == (
            f"conflict: unable to delete {middle[7:19]} (cannot be forced) - image has dependent child images")
    fresh.docker("tag", "top:1", "other:1")
    gone = remove(fresh, top, "force=1")
    assert gone[:3] == [("Untagged", "other:1"), ("Untagged", "top:1"), ("Deleted", top)] and ("Deleted", middle) in gone
    assert ("Deleted", base) not in gone, "it has a name"
    layers_gone = [value for key, value in gone if key == "Deleted" and value not in (top, middle)]
    assert layers_gone and fresh.api("GET", "/images/base:1/json").json["RootFS"]["Layers"][0] not in layers_gone
    wait_unstaged(fresh)


def test_the_list_hides_what_others_were_made_from(fresh):
    base, middle, top = family(fresh)

    def shown(query="", **filters):
        return {row["Id"] for row in listed(fresh, query, **filters)}
    assert shown() == {row["Id"] for row in fresh.api("GET", "/images/json").json} == {base, top}
    assert shown("all=1") == {row["Id"] for row in fresh.api("GET", "/images/json?all=1").json} == {base, middle, top}
    assert shown("all=1", dangling=["true"]) == shown(dangling=["true"]) == set()
    remove(fresh, "top:1", "noprune=1")
    assert shown() == {base, middle} and shown(dangling=["true"]) == {middle}, "nothing is made from it any more"
    wait_unstaged(fresh)


def test_filters_of_time_are_exact(fresh):
    ids = {}
    for name, created in (("a", "2024-05-01T00:00:00.1Z"), ("b", "2024-05-01T00:00:00.100000001Z"), ("c", "2024-05-01T00:00:00.100000002Z"),
                          ("same", "2024-05-01T01:00:00.1+01:00"), ("epoch", "1970-01-01T00:00:00Z"), ("never", "0001-01-01T00:00:00Z")):
        answer = load(fresh, save_archive([busybox_tar()], [f"{name}:1"], {"Cmd": [name]}, created=created))
        assert answer.status == 200 and b"error" not in answer.body, answer
        ids[fresh.api("GET", f"/images/{name}:1/json").json["Id"]] = name

    def shown(**filters):
        return sorted(ids[row["Id"]] for row in listed(fresh, **filters))
    assert shown(before=["b:1"], since=["epoch:1"]) == ["a", "same"] and shown(since=["b:1"]) == ["c"]
    assert shown(before=["epoch:1"]) == ["never"] and shown(before=["never:1"]) == [] and len(shown(since=["never:1"])) == 5
    assert shown(since=["a:1"], before=["c:1"]) == ["b"]
    assert shown(until=["2024-05-01T00:00:00.100000001Z"], since=["epoch:1"]) == ["a", "same"]
    assert shown(until=["2024-05-01T00:00:00Z"]) == ["epoch", "never"] and len(shown(until=["2024-05-01T00:00:01Z"])) == 6


def test_prune_until(fresh):
    """Times to the nanosecond, and durations as Go writes them; what was made at that very moment goes."""
    def pruned(*until, labels=()):
        filters = urllib.parse.quote(json.dumps({"dangling": ["false"], "until": list(until), "label": list(labels)}))
        answer = fresh.api("POST", f"/images/prune?filters={filters}")
        return answer.message if answer.status != 200 else [row["Deleted"] for row in answer.json["ImagesDeleted"] if "Deleted" in row]
    now = time.time()
    recently = datetime.datetime.fromtimestamp(now - 3000, datetime.timezone.utc).isoformat()
    ids = {}
    for name, created in (("old", "2024-05-01T00:00:00.100000001Z"), ("older", "2024-05-01T00:00:00.1Z"), ("recent", recently)):
        archive = save_archive([busybox_tar()], [f"{name}:1"], {"Cmd": [name]}, created=created)
        assert fresh.api("POST", "/images/load", archive).status == 200
        ids[name] = fresh.api("GET", f"/images/{name}:1/json").json["Id"]
    assert pruned("2024-05-01T00:00:00.099999999Z") == []
    assert pruned("2024-05-01T00:00:00.1Z")[0] == ids["older"]
    assert pruned("1714521600.1") == [] and pruned("2024-05-01T02:00:00.100000001+02:00")[0] == ids["old"]
    for long in ("2h", "1h30m", "1.5h", "65m", "3900s", "3900000ms", "1h5m0.9s200ms"):
        assert pruned(long) == [], long
    assert "invalid time" in pruned("1 hour") and "more than one until" in pruned("1h", "2h")
    assert pruned("49m59.5s")[0] == ids["recent"]
    wait_unstaged(fresh)


def test_noprune_keeps_parents(fresh):
    base, middle, top = family(fresh)
    assert ("Deleted", middle) not in remove(fresh, "top:1", "noprune=1")
    assert fresh.api("GET", f"/images/{middle}/json").json["Parent"] == base
    # Nobody is made from it any more: it goes by its id, and the base stays, for it has a name.
    assert ("Deleted", middle) in remove(fresh, middle)
    assert fresh.api("GET", "/images/base:1/json").status == 200
    wait_unstaged(fresh)


def test_prune_keeps_what_others_are_made_from(fresh):
    base, middle, top = family(fresh)
    assert not fresh.api("POST", "/images/prune").json["ImagesDeleted"]
    remove(fresh, "top:1", "noprune=1")
    gone = fresh.api("POST", "/images/prune").json["ImagesDeleted"]
    assert {"Deleted": middle} in gone and {"Deleted": base} not in gone
    top = committed(fresh, "base:1", "top:2")
    gone = fresh.api("POST", "/images/prune?filters=" + urllib.parse.quote('{"dangling":["false"]}')).json["ImagesDeleted"]
    assert {"Deleted": top} in gone and {"Deleted": base} in gone
    wait_unstaged(fresh)


def test_force_takes_only_names_from_an_image_in_use(fresh):
    image = fresh.busybox("used:1")
    fresh.docker("tag", "used:1", "used:2")
    container = fresh.docker("create", "--network", "none", "used:1", "true").stdout.strip()
    short = image[7:19], container[:12]
    assert remove(fresh, "used:2") == [("Untagged", "used:2")]
    assert remove(fresh, "used:1", "", 409) == (
        f'conflict: unable to remove repository reference "used:1" (must force) - container {short[1]} is using its referenced '
        f"image {short[0]}")
    assert remove(fresh, image, "", 409) == (
        f"conflict: unable to delete {short[0]} (must be forced) - image is being used by stopped container {short[1]}")
    fresh.docker("tag", "used:1", "used:2")
    assert remove(fresh, image, "", 409) == (
        f"conflict: unable to delete {short[0]} (must be forced) - image is referenced in multiple repositories")
    assert remove(fresh, image, "force=1") == [("Untagged", "used:1"), ("Untagged", "used:2")]
    assert remove(fresh, image, "force=1", 409) == (
        f"conflict: unable to delete {short[0]} (cannot be forced) - image is being used by stopped container {short[1]}")
    assert fresh.docker("start", container, check=False).returncode == 0
    fresh.docker("rm", "-f", container)
    assert ("Deleted", image) in remove(fresh, image)
    wait_unstaged(fresh)


def test_a_running_container_holds_its_image(fresh):
    """Docker's words, over the API and by the command line; force does not change them for an id, and takes only a name."""
    image = fresh.busybox("runs:1")
    container = fresh.docker("run", "-d", "--network", "none", "runs:1", "sleep", "1000").stdout.strip()
    hard = f"conflict: unable to delete {image[7:19]} (cannot be forced) - image is being used by running container {container[:12]}"
    soft = (f'conflict: unable to remove repository reference "runs:1" (must force) - container {container[:12]} is using its '
            f"referenced image {image[7:19]}")
    fresh.docker("tag", "runs:1", "runs:2")
    assert remove(fresh, image, "", 409) == hard
    assert remove(fresh, image, "force=1", 409) == hard
    assert remove(fresh, "runs:2") == [("Untagged", "runs:2")]
    for arguments, words in ((["runs:1"], soft), ([image], hard), (["-f", image], hard)):
        done = fresh.docker("rmi", *arguments, check=False)
        assert done.returncode == 1 and done.stderr == f"Error response from daemon: {words}\n"
    assert fresh.docker("rmi", "-f", "runs:1").stdout == "Untagged: runs:1\n"
    fresh.docker("pause", container)
    assert remove(fresh, image, "force=1", 409) == hard
    fresh.docker("rm", "-f", container)
    assert ("Deleted", image) in remove(fresh, image)
    wait_unstaged(fresh)


def test_ancestors_of_containers(fresh):
    """An image, and what was made from it: here by commit, elsewhere as its layers say. A name means what has it now."""
    base = fresh.busybox("base:1")
    committed(fresh, "base:1", "middle:1")
    top = committed(fresh, "middle:1", "top:1")
    archive = fresh.docker("save", "top:1", text=False).stdout
    made = {}
    for name in ("base:1", "middle:1", "top:1"):
        made[name] = fresh.docker("create", "--network", "none", "--name", name[:-2], name, "true").stdout.strip()

    def found(*ancestors):
        filters = [word for ancestor in ancestors for word in ("--filter", f"ancestor={ancestor}")]
        return set(fresh.docker("ps", "-a", "--format", "{{.Names}}", *filters).stdout.split())

    assert found("base:1") == found(base) == found(base[7:19]) == {"base", "middle", "top"}
    assert found("middle:1") == {"middle", "top"} and found(top) == {"top"}
    assert found("nosuch") == set() and found("nosuch", "top:1") == {"top"}
    assert import_raw(fresh, Tar().file("other").bytes(), "base:1").status == 200
    assert found("base:1") == set() and found(base) == {"base", "middle", "top"}

    fresh.docker("rm", *made.values())
    fresh.docker("rmi", "top:1", "middle:1", "base:1")
    fresh.docker("load", input=archive, text=False)
    assert not fresh.api("GET", "/images/top:1/json").json["Parent"]
    fresh.busybox("layer:1")
    fresh.docker("create", "--network", "none", "--name", "again", "top:1", "true")
    assert found("layer:1") == {"again"}
    fresh.docker("rm", "again")


def test_prune(fresh):
    old = fresh.busybox("pruned:1")
    new = fresh.busybox("pruned:1")
    answer = fresh.api("POST", "/images/prune").json
    assert {"Deleted": old} in answer["ImagesDeleted"] and {"Deleted": new} not in answer["ImagesDeleted"]
    unused = urllib.parse.quote(json.dumps({"dangling": ["false"]}))
    answer = fresh.api("POST", f"/images/prune?filters={unused}").json
    assert {"Deleted": new} in answer["ImagesDeleted"] and answer["SpaceReclaimed"] > 1 << 20
    assert fresh.api("GET", "/images/json?all=1").json == []
    wait_unstaged(fresh)
    assert not layers(fresh)
    assert fresh.api("POST", "/build/prune").json["SpaceReclaimed"] == 0
