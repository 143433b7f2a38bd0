"""The policy on a running engine: who may what, by which socket, and what a container may ask for."""
import json
import os
import pathlib
import signal
import tempfile
import time

import pytest

from tests.harness.caller import api_as
from tests.harness.engine import Engine
from tests.harness.rootfs import busybox_tar

CI, DEV, WATCH, STRANGER = 54001, 54002, 54003, 54004
TEAM = 54100

POLICY = {
    "roles": {
        "ci": {"permissions": ["container.*", "exec.*", "volume.*", "network.*", "image.list", "image.inspect"],
               "except": ["container.archive.*"],
               "containers": {"binds": ["/srv/ci"], "max-memory": 268435456, "publish": ["127.0.0.1"],
                              "images": ["docker.io/library/*"]}},
        "dev": {"permissions": ["container.*", "exec.*", "volume.*", "image.*"], "own": True},
    },
    "bindings": [
        {"role": "admin", "uids": [0]},
        {"role": "ci", "uids": [CI]},
        {"role": "dev", "uids": [DEV], "gids": [TEAM]},
        {"role": "viewer", "uids": [WATCH]},
        {"role": "viewer", "container-labels": {"org.example.role": "proxy"}},
    ],
}


@pytest.fixture(scope="module")
def ruled():
    directory = tempfile.TemporaryDirectory(prefix="pouch-test-sockets-")
    read_only = pathlib.Path(directory.name) / "viewer.sock"
    read_only.parent.chmod(0o755)
    config = {"listeners": [{"mode": "0666", "name": "main"},
                            {"mode": "0666", "name": "look", "role": "viewer", "path": str(read_only)}]}
    with directory, Engine(config=config, policy=POLICY) as engine:
        engine.busybox()
        engine.viewer_socket = read_only
        yield engine


def create(engine, uid, host=None, name=None, **config):
    body = {"Image": "busybox:latest", "Cmd": ["true"], **config,
            "HostConfig": {"NetworkMode": "none", "Memory": 33554432, **(host or {})}}
    return api_as(engine, uid, "POST", "/containers/create" + (f"?name={name}" if name else ""), body)


# covers D-5
def test_rights_by_caller(ruled):
    assert api_as(ruled, CI, "GET", "/volumes").status == 200
    assert api_as(ruled, STRANGER, "GET", "/volumes").status == 403
    assert api_as(ruled, STRANGER, "GET", "/volumes", gid=TEAM).status == 200
    assert api_as(ruled, STRANGER, "GET", "/volumes", groups=[1, TEAM]).status == 200
    assert api_as(ruled, STRANGER, "GET", "/volumes", groups=[1]).status == 403


# covers D-1: a socket with a role is that role and no more, to root too.
def test_socket_with_role(ruled):
    for uid in (0, STRANGER):
        assert api_as(ruled, uid, "GET", "/volumes", socket=ruled.viewer_socket).status == 200
        answer = api_as(ruled, uid, "POST", "/volumes/create", {"Name": "x"}, socket=ruled.viewer_socket)
        assert answer.status == 403 and "volume.create" in answer.message


# covers D-2, D-4
@pytest.mark.parametrize("method,path", [
    ("POST", "/containers/create"), ("POST", "/containers/x/start"), ("POST", "/containers/x/exec"),
    ("GET", "/containers/x/logs?stdout=1"), ("GET", "/containers/x/export"), ("GET", "/containers/x/archive?path=/"),
    ("POST", "/containers/x/attach"), ("DELETE", "/containers/x"), ("POST", "/containers/x/kill"),
    ("DELETE", "/images/x"), ("GET", "/images/x/get"), ("POST", "/volumes/create"), ("POST", "/volumes/prune"),
    ("POST", "/networks/create")])
def test_viewer_only_looks(ruled, method, path):
    answer = api_as(ruled, WATCH, method, path, {} if method == "POST" else None)
    assert answer.status == 403, answer
    assert "has no permission" in answer.message


def test_viewer_looks(ruled):
    for path in ("/volumes", "/containers/json?all=1", "/images/json", "/version"):
        assert api_as(ruled, WATCH, "GET", path).status == 200


# covers D-6
def test_own_objects_only(ruled):
    assert api_as(ruled, DEV, "POST", "/volumes/create", {"Name": "devs"}).status == 201
    assert api_as(ruled, CI, "POST", "/volumes/create", {"Name": "cis"}).status == 201
    assert [v["Name"] for v in api_as(ruled, DEV, "GET", "/volumes").json["Volumes"]] == ["devs"]
    mine, theirs = api_as(ruled, DEV, "GET", "/volumes/devs"), api_as(ruled, DEV, "GET", "/volumes/cis")
    assert (mine.status, theirs.status) == (200, 404)
    assert theirs.message == api_as(ruled, DEV, "GET", "/volumes/nope").message.replace("nope", "cis")
    assert api_as(ruled, DEV, "DELETE", "/volumes/cis").status == 404
    made = create(ruled, CI, name="of-ci")
    assert made.status == 201, made
    for method, path in (("GET", "json"), ("POST", "start"), ("GET", "logs?stdout=1"), ("POST", "kill")):
        assert api_as(ruled, DEV, method, f"/containers/of-ci/{path}").status == 404
    assert api_as(ruled, DEV, "GET", "/containers/json?all=1").json == []
    assert api_as(ruled, CI, "DELETE", "/containers/of-ci").status == 204


# covers D-7
@pytest.mark.parametrize("host,field", [
    ({"Privileged": True}, "HostConfig.Privileged"), ({"CapAdd": ["SYS_ADMIN"]}, "HostConfig.CapAdd"),
    ({"NetworkMode": "host"}, "HostConfig.NetworkMode"), ({"PidMode": "host"}, "HostConfig.PidMode"),
    ({"UsernsMode": "host"}, "HostConfig.UsernsMode"), ({"Binds": ["/etc:/x"]}, "HostConfig.Binds"),
    ({"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"}]}, "HostConfig."),
    ({"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]},
     "HostConfig.Devices"),
    ({"SecurityOpt": ["seccomp=unconfined"]}, "HostConfig.SecurityOpt"),
    ({"MaskedPaths": []}, "HostConfig.MaskedPaths"), ({"Memory": 0}, "HostConfig.Memory"),
    ({"Memory": 1 << 40}, "HostConfig.Memory"),
    ({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, "HostConfig.PortBindings")])
def test_admission(ruled, host, field):
    answer = create(ruled, CI, host)
    assert answer.status == 403, answer
    assert field in answer.message and "of role ci" in answer.message


# covers D-8: a link that leads out of what is allowed is where it leads to.
def test_bind_by_real_path(ruled, tmp_path):
    base = pathlib.Path("/srv/ci")
    made = not base.exists()
    base.mkdir(parents=True, exist_ok=True)
    try:
        link = base / f"link-{os.getpid()}"
        link.symlink_to("/etc")
        try:
            answer = create(ruled, CI, {"Binds": [f"{link}:/x"]})
            assert answer.status == 403 and "/etc" in answer.message
        finally:
            link.unlink()
        answer = create(ruled, CI, {"Binds": [f"{base}:/x"]}, name="bound")
        assert answer.status == 201, answer
        api_as(ruled, CI, "DELETE", "/containers/bound")
    finally:
        if made:
            base.rmdir()


# covers D-12
def test_environment_needs_its_permission(ruled):
    answer = create(ruled, 0, name="secretive", Env=["PASSWORD=canary-77", "EMPTY="])
    assert answer.status == 201, answer
    try:
        assert "PASSWORD=canary-77" in api_as(ruled, 0, "GET", "/containers/secretive/json").json["Config"]["Env"]
        seen = api_as(ruled, WATCH, "GET", "/containers/secretive/json")
        assert seen.status == 200 and "canary-77" not in seen.body
        assert "PASSWORD=***" in seen.json["Config"]["Env"]
    finally:
        api_as(ruled, 0, "DELETE", "/containers/secretive")


# A process in a container's id range is that container, to every process of the engine, and has what its label gives.
def test_caller_in_a_container(ruled):
    ids = []
    for name, labels in (("proxy", {"org.example.role": "proxy"}), ("plain", {})):
        answer = create(ruled, 0, name=name, Labels=labels, Cmd=["sleep", "60"])
        assert answer.status == 201, answer
        assert api_as(ruled, 0, "POST", f"/containers/{name}/start").status == 204
        pid = api_as(ruled, 0, "GET", f"/containers/{name}/json").json["State"]["Pid"]
        ids.append(int(open(f"/proc/{pid}/uid_map", encoding="ascii").read().split()[1]))
    try:
        for path in ("/containers/json", "/volumes", "/images/json"):
            assert api_as(ruled, ids[0], "GET", path).status == 200, path
            assert api_as(ruled, ids[1], "GET", path).status == 403, path
        assert api_as(ruled, ids[0], "POST", "/volumes/create", {"Name": "x"}).status == 403
    finally:
        for name in ("proxy", "plain"):
            api_as(ruled, 0, "DELETE", f"/containers/{name}?force=1")


# A label that gives a role may be set by who has that power only.
def test_role_label_is_a_power(ruled):
    answer = create(ruled, CI, Labels={"org.example.role": "proxy"})
    assert answer.status == 403 and "role-labels" in answer.message
    answer = create(ruled, 0, Labels={"io.pouch.owner": "uid:1"})
    assert answer.status == 403


# An image's labels are whoever's who made the image: they are shown, and give nothing.
def test_a_label_of_an_image_gives_no_role(ruled):
    ruled.import_tar(busybox_tar(), "labelled:1", ["LABEL org.example.role=proxy", 'CMD ["sleep", "60"]'])
    try:
        for name, labels, status in (("by-image", {}, 403), ("asked-too", {"org.example.role": "proxy"}, 200)):
            answer = create(ruled, 0, name=name, Image="labelled:1", Labels=labels, Cmd=None)
            assert answer.status == 201, answer
            assert api_as(ruled, 0, "POST", f"/containers/{name}/start").status == 204
            shown = api_as(ruled, 0, "GET", f"/containers/{name}/json").json
            assert shown["Config"]["Labels"] == {"org.example.role": "proxy"}
            uid = int(open(f"/proc/{shown['State']['Pid']}/uid_map", encoding="ascii").read().split()[1])
            for path in ("/containers/json", "/volumes", "/images/json"):
                assert api_as(ruled, uid, "GET", path).status == status, (name, path)
        # The same when runtimed comes back.
        os.kill(ruled.pids()["runtimed"], signal.SIGKILL)
        ruled.wait_for(lambda: api_as(ruled, 0, "GET", "/containers/json").status == 200)
        for name, status in (("by-image", 403), ("asked-too", 200)):
            pid = api_as(ruled, 0, "GET", f"/containers/{name}/json").json["State"]["Pid"]
            uid = int(open(f"/proc/{pid}/uid_map", encoding="ascii").read().split()[1])
            assert api_as(ruled, uid, "GET", "/containers/json").status == status, name
    finally:
        for name in ("by-image", "asked-too"):
            api_as(ruled, 0, "DELETE", f"/containers/{name}?force=1")


def test_explain(ruled):
    def explain(document, *arguments):
        return ruled.ctl("--config", ruled.config_path, "policy", "explain", "--policy", ruled.policy_path, *arguments,
                         input=json.dumps(document), check=False)
    done = explain({"Image": "busybox", "HostConfig": {"Privileged": True, "Memory": 1}}, "--as", f"uid:{CI}")
    assert done.returncode == 3 and "HostConfig.Privileged: true is not allowed by the rule privileged of role ci" in done.stdout
    done = explain({"Image": "busybox", "HostConfig": {"Memory": 1}}, "--as", f"uid:{CI}")
    assert done.returncode == 0 and "decision: allowed" in done.stdout
    assert explain({}, "--as", str(WATCH), "--permission", "container.exec").returncode == 3
    assert explain({}, "--as", str(WATCH), "--permission", "container.list").returncode == 0


def test_reload():
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=POLICY) as engine:
        assert api_as(engine, WATCH, "GET", "/volumes").status == 200
        engine.policy_path.write_text('{"bindings": [{"role": "no-such-role"}]}')
        engine.process.send_signal(signal.SIGHUP)
        done = engine.ctl("reload", check=False)
        assert done.returncode == 1 and "bindings[0].role" in done.stderr
        assert api_as(engine, WATCH, "GET", "/volumes").status == 200
        engine.policy_path.write_text('{"bindings": [{"role": "admin", "uids": [0]}]}')
        engine.ctl("reload")
        deadline = time.monotonic() + 60
        while api_as(engine, WATCH, "GET", "/volumes").status != 403:
            assert time.monotonic() < deadline
        assert api_as(engine, 0, "GET", "/volumes").status == 200
