"""Events of images: Docker's actions, actors and attributes, live and afterwards."""
import json
import time

from tests.harness.registry import Registry
from tests.harness.rootfs import busybox_tar
from tests.harness.store import import_raw, wait_unstaged


def told(engine, since, **filters):
    """(action, id, attributes) of the events of images since then. The docker CLI's `--until 0s` is the last full second."""
    options = [word for key, value in filters.items() for word in ("--filter", f"{key}={value}")]
    lines = engine.docker("events", "--since", since, "--until", repr(time.time()), "--filter", "type=image", *options, "--format",
                          "{{json .}}").stdout
    events = [json.loads(line) for line in lines.splitlines()]
    return [(event["Action"], event["Actor"]["ID"], event["Actor"]["Attributes"]) for event in events]


def test_what_is_over_is_told_whole(engine):
    """More than is sent without the reader's leave, and `until` has come already: all is sent, and then the stream ends."""
    since = repr(time.time())
    assert import_raw(engine, busybox_tar(), "told:1", ["LABEL long=" + "x" * 4000]).status == 200
    for i in range(300):
        engine.api("POST", f"/images/told:1/tag?repo=told&tag=a{i}")
    expected = ["import", "tag"] + ["tag"] * 300
    for _ in range(3):
        assert [action for action, _, _ in told(engine, since)] == expected
    assert [attributes["name"] for _, _, attributes in told(engine, since, image="told:a7")] == ["told:a7"]
    engine.docker("rmi", "-f", engine.api("GET", "/images/told:1/json").json["Id"])
    wait_unstaged(engine)


def test_every_action(engine, tmp_path):
    since = repr(time.time())
    assert import_raw(engine, busybox_tar(), "acts:1", ["LABEL kind=box"]).status == 200
    image = engine.api("GET", "/images/acts:1/json").json["Id"]
    own = {"kind": "box", "name": image}
    archive = tmp_path / "archive.tar"
    with Registry() as registry:
        engine.docker("save", "-o", archive, "acts:1")
        engine.docker("tag", "acts:1", f"{registry.host}/some/acts:2")
        engine.docker("push", f"{registry.host}/some/acts:2")
        engine.docker("rmi", f"{registry.host}/some/acts:2")
        engine.docker("pull", f"{registry.host}/some/acts:2")
        remote = {"kind": "box", "name": f"{registry.host}/some/acts"}
        engine.docker("rmi", "acts:1", f"{registry.host}/some/acts:2")
        expected = [("import", image, own), ("tag", image, {**own, "name": "acts:1"}), ("save", image, own),
                    ("tag", image, {**own, "name": f"{registry.host}/some/acts:2"}),
                    ("push", f"{registry.host}/some/acts:2", remote),
                    *[("untag", image, own)] * 2,
                    ("pull", f"{registry.host}/some/acts:2", remote),
                    *[("untag", image, own)] * 3, ("delete", image, {"name": image})]
        assert [event for event in told(engine, since) if event[1] in (image, f"{registry.host}/some/acts:2")] == expected
    since = repr(time.time())
    engine.docker("load", "-i", archive)
    engine.docker("create", "--name", "acts", "--network", "none", "acts:1", "true")
    made = engine.docker("commit", "acts", "acts:made").stdout.strip()
    engine.docker("rm", "acts")
    engine.docker("rmi", "acts:1")
    engine.docker("image", "prune", "-af", "--filter", "label=kind=box")
    events = told(engine, since)
    assert events[0] == ("load", image, own)
    assert ("tag", made, {"kind": "box", "name": "acts:made"}) in events
    assert ("untag", made, {"kind": "box", "name": made}) in events and ("delete", made, {"name": made}) in events
    action, actor, attributes = events[-1]
    assert (action, actor) == ("prune", "") and int(attributes["reclaimed"]) > 0
    wait_unstaged(engine)
