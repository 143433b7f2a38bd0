"""What a role may do with volumes: drivers, options, devices, others' volumes; by each way that leads to one. covers D-6 D-7"""
import json

import pytest

from tests.harness.caller import api_as
from tests.harness.engine import Engine
from tests.integration.test_audit import records

PLAIN, TMPFS, OTHER, DRIVERLESS = 54301, 54302, 54303, 54304
PERMISSIONS = ["container.*", "volume.*", "image.*", "exec.*"]

POLICY = {
    "roles": {
        "plain": {"own": True, "permissions": PERMISSIONS, "containers": {}},
        "tmpfs": {"permissions": PERMISSIONS, "containers": {"volume-options": ["type=tmpfs", "type=none", "device=tmpfs",
                                                                               "device=/srv/allowed/*", "o=size=*", "o=bind"]}},
        "driverless": {"permissions": PERMISSIONS, "containers": {"volume-drivers": ["good*"]}},
    },
    "bindings": [{"role": "admin", "uids": [0]}, {"role": "plain", "uids": [PLAIN, OTHER]}, {"role": "tmpfs", "uids": [TMPFS]},
                 {"role": "driverless", "uids": [DRIVERLESS]}],
}


@pytest.fixture(scope="module")
def ruled():
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=POLICY) as engine:
        engine.busybox()
        yield engine


def by_create(engine, uid, name, driver, options):
    return api_as(engine, uid, "POST", "/volumes/create", {"Name": name, "Driver": driver, "DriverOpts": options})


def by_mount(engine, uid, name, driver, options):
    mount = {"Type": "volume", "Source": name, "Target": "/m", "VolumeOptions": {"DriverConfig": {"Name": driver, "Options": options}}}
    return api_as(engine, uid, "POST", "/containers/create",
                  {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Mounts": [mount]}})


WAYS = {"create": by_create, "mount": by_mount}


def tmpfs(o="size=1m"):
    return {"type": "tmpfs", "device": "tmpfs", "o": o}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("uid,driver,options,value,rule", [
    (PLAIN, "local", tmpfs(), "=", "volume-options"),
    (PLAIN, "local", {"type": "none", "device": "/etc", "o": "bind"}, "=", "volume-options"),
    (PLAIN, "remote", {}, "remote", "volume-drivers"),
    (TMPFS, "local", {"type": "ext4", "device": "tmpfs"}, "type=ext4", "volume-options"),
    (TMPFS, "local", {"type": "none", "device": "/etc", "o": "bind"}, "device=/etc", "volume-options"),
    (TMPFS, "local", {"type": "none", "device": "/srv/allowed/../../etc", "o": "bind"}, "/srv/allowed/../../etc", "volume-options"),
    (TMPFS, "local", tmpfs("size=1m,exec"), "o=exec", "volume-options"),
    (DRIVERLESS, "local", {}, "local", "volume-drivers"),
    (DRIVERLESS, "", {"x": "y"}, "x=y", "volume-options"),
])
def test_denied(ruled, way, uid, driver, options, value, rule):
    """403 with field, value and rule; on record; and there is no volume."""
    answer = WAYS[way](ruled, uid, "denied", driver, options)
    assert answer.status == 403 and value in answer.message and rule in answer.message, answer
    field = {"volume-options": "DriverOpts", "volume-drivers": "Driver"}[rule] if way == "create" else "HostConfig.Mounts"
    assert field in answer.message, answer
    denial = [record for record in records(ruled) if record["stage"] == "denied"][-1]
    assert denial["client"]["principal"] == f"uid:{uid}" and denial["client"]["pid"] and rule in json.dumps(denial), denial
    assert api_as(ruled, 0, "GET", "/volumes/denied").status == 404


@pytest.mark.parametrize("way", WAYS)
def test_allowed(ruled, way):
    assert WAYS[way](ruled, TMPFS, f"mem-{way}", "local", tmpfs()).status == 201
    shown = api_as(ruled, TMPFS, "GET", f"/volumes/mem-{way}").json
    assert shown["Options"] == tmpfs()
    assert WAYS[way](ruled, PLAIN, f"own-{way}", "local", {}).status == 201


def with_volume(engine, uid, name, **host):
    return api_as(engine, uid, "POST", "/containers/create",
                  {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Binds": [f"{name}:/m"], **host}})


def test_volumes_of_others(ruled):
    """A role that reaches only its own: another's volume cannot be seen, used, removed, or found out about by its name alone."""
    assert api_as(ruled, PLAIN, "POST", "/volumes/create", {"Name": "private"}).status == 201
    assert api_as(ruled, 0, "POST", "/volumes/create", {"Name": "root-owned"}).status == 201
    for name in ("private", "root-owned"):
        assert api_as(ruled, OTHER, "GET", f"/volumes/{name}").status == 404
        assert api_as(ruled, OTHER, "DELETE", f"/volumes/{name}").status == 404
        answer = with_volume(ruled, OTHER, name)
        assert answer.status == 409 and "must be unique" in answer.message, answer
        mount = {"Type": "volume", "Source": name, "Target": "/m"}
        assert with_volume(ruled, OTHER, "fine", Mounts=[{**mount, "Target": "/n"}]).status == 409
    assert name not in [v["Name"] for v in api_as(ruled, OTHER, "GET", "/volumes").json["Volumes"]]
    assert with_volume(ruled, PLAIN, "private").status == 201
    # Who may see everything may use everything.
    assert with_volume(ruled, 0, "private").status == 201
    assert with_volume(ruled, TMPFS, "private").status == 201


def test_a_volume_made_for_a_container_is_its_owners(ruled):
    assert with_volume(ruled, PLAIN, "made-along").status == 201
    assert api_as(ruled, PLAIN, "GET", "/volumes/made-along").status == 200
    assert api_as(ruled, OTHER, "GET", "/volumes/made-along").status == 404
    assert with_volume(ruled, OTHER, "made-along").status == 409
