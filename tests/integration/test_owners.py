"""Of what others own nothing is found out or reached: by the names that links give, and in what is on record of a try. covers D-6"""
import pytest

from tests.harness.caller import api_as
from tests.harness.engine import Engine
from tests.integration.test_audit import records

MINE, OTHER, JOINER, WATCH = 54501, 54502, 54503, 54504
PERMISSIONS = ["container.*", "exec.*", "network.*"]

POLICY = {
    "roles": {
        "own": {"own": True, "permissions": PERMISSIONS, "containers": {}},
        "joiner": {"own": True, "permissions": PERMISSIONS, "containers": {"join": "any"}},
        "watch": {"permissions": ["container.list"]},
    },
    "bindings": [{"role": "admin", "uids": [0]}, {"role": "own", "uids": [MINE, OTHER]}, {"role": "joiner", "uids": [JOINER]},
                 {"role": "watch", "uids": [WATCH]}],
}


@pytest.fixture(scope="module")
def ruled():
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=POLICY) as engine:
        engine.busybox()
        yield engine


@pytest.fixture
def create(ruled):
    """Makes a container of this caller by this name, which is gone after the test."""
    made = []

    def one(uid, name, links=(), network="bridge", later=False, env=()):
        endpoints = {network: {"Links": list(links)}} if later else {}
        answer = api_as(ruled, uid, "POST", f"/containers/create?name={name}", {
            "Image": "busybox", "Cmd": ["sleep", "1000"], "Env": list(env), "HostConfig": {"NetworkMode": network, "Links": list(links)},
            "NetworkingConfig": {"EndpointsConfig": endpoints}})
        assert answer.status == 201, answer
        made.append(name)
        return answer.json["Id"]
    yield one
    for name in made:
        assert api_as(ruled, 0, "DELETE", f"/containers/{name}?force=1").status == 204


def names_of(engine, uid, identity):
    """What a list calls it; None when it is not there."""
    return {c["Id"]: c["Names"] for c in api_as(engine, uid, "GET", "/containers/json?all=1").json}.get(identity)


def test_names_by_links_within_one_owner(ruled, create):
    store = create(MINE, "store")
    create(MINE, "web", ["store:db"])
    for uid in (MINE, 0):
        shown = api_as(ruled, uid, "GET", "/containers/web/db/json")
        assert shown.status == 200 and shown.json["Id"] == store, shown
        assert names_of(ruled, uid, store) == ["/store", "/web/db"]
    for method, path in (("GET", "json"), ("GET", "logs?stdout=1"), ("POST", "start"), ("POST", "rename?name=taken")):
        assert api_as(ruled, OTHER, method, f"/containers/web/db/{path}").status == 404, path
    assert names_of(ruled, OTHER, store) is None


@pytest.mark.parametrize("target,linker", [(MINE, JOINER), (0, JOINER), (MINE, 0)])
def test_no_name_by_a_link_across_owners(ruled, create, target, linker):
    """Who may join others' containers links to one: that gives it no second name, to nobody, and no way to it for who links."""
    store = create(target, "store")
    create(linker, "web", ["store:db"])
    for uid in {MINE, OTHER, JOINER, 0}:
        for method, path in (("GET", "json"), ("POST", "start"), ("POST", "stop"), ("GET", "archive?path=/etc")):
            assert api_as(ruled, uid, method, f"/containers/web/db/{path}").status == 404, (uid, path)
    assert names_of(ruled, 0, store) == ["/store"]
    assert names_of(ruled, JOINER, store) is None
    assert names_of(ruled, target, store) == ["/store"]


def test_a_link_to_what_comes_later_is_to_ones_own(ruled, create):
    """Nobody of that name, or whose id begins so, was there to ask the policy about: what another makes later is not meant."""
    prefixes = "0123456789abcdef"
    create(MINE, "web", ["later:x", "soon:y", *(f"{c}:id{c}" for c in prefixes)], "bridge", later=True)
    create(OTHER, "later", env=["CANARY=1"])
    mine = create(MINE, "soon")
    shown = api_as(ruled, MINE, "GET", "/containers/web/json").json["HostConfig"]["Links"]
    assert shown[:2] == ["/later:/web/x", "/soon:/web/y"] and len(shown) == 2 + len(prefixes), shown
    assert {text.split(":")[0] for text in shown[2:]} <= {"/web", "/soon", *(f"/{c}" for c in prefixes)}, shown
    for name in ("later", "soon", "web"):
        assert api_as(ruled, 0, "POST", f"/containers/{name}/start").status == 204, name
    hosts = ruled.docker("exec", "web", "cat", "/etc/hosts").stdout
    assert "soon" in hosts and "later" not in hosts and "CANARY" not in ruled.docker("exec", "web", "env").stdout
    assert api_as(ruled, MINE, "GET", "/containers/web/x/json").status == 404
    assert api_as(ruled, MINE, "GET", "/containers/web/y/json").json["Id"] == mine


def last_denial(engine, uid):
    return [r for r in records(engine) if r["stage"] == "denied" and r["client"]["principal"] == f"uid:{uid}"][-1]


def test_what_is_on_record_of_a_denied_inspect(ruled, create):
    """What was asked for, and no more: who may not look learns nothing, and the log says by which word he tried."""
    create(MINE, "store")
    answer = api_as(ruled, WATCH, "GET", "/containers/store/json")
    assert answer.status == 403 and "container.inspect" in answer.message, answer
    record = last_denial(ruled, WATCH)
    assert record["operation"] == "container_inspect" and record["objects"] == {"asked": ["store"]}, record
