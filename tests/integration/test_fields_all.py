"""Every field of every document about containers that the engine knows stands in a test that gives it to a real engine."""
import ast
import pathlib
import re

import pytest

from tests.harness.engine import REPOSITORY
from tests.harness.fields import Run, output

TESTS = sorted(pathlib.Path(__file__).parent.glob("test_*.py"))
OBJECTS = ("ContainerCreate", "ContainerConfig", "HealthConfig", "HostConfig", "Resources", "Mount", "BindOptions", "VolumeOptions",
           "DriverConfig", "TmpfsOptions", "LogConfig", "RestartPolicy", "PortBinding", "WeightDevice", "ThrottleDevice",
           "DeviceMapping", "DeviceRequest", "Ulimit", "NetworkingConfig", "EndpointSettings", "EndpointIPAMConfig",
           "ContainerUpdate", "ContainerCommit", "ExecCreate", "ExecStart", "NetworkConnect", "NetworkDisconnect")


def fields():
    """(object, field, what it holds) of docs/schema.md, which is made from the tables that the engine checks documents by."""
    text = (REPOSITORY / "docs/schema.md").read_text()
    for name in OBJECTS:
        section = re.search(rf"^### {name}\n(.*?)(?=^###|\Z)", text, re.M | re.S).group(1)
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
        assert rows[0][:2] == ["field", "what it holds"], name
        yield from ((name, row[0].removesuffix(", required"), row[1]) for row in rows[2:])


FIELDS = list(fields())
REFUSED = [(name, field) for name, field, holds in FIELDS if holds == "refused unless empty"]
DROPPED = {(name, field) for name, field, holds in FIELDS if holds == "taken and dropped"}
GIVEN = [(name, field) for name, field, holds in FIELDS if (name, field) not in DROPPED and holds != "refused unless empty"]


@pytest.fixture(scope="module")
def named():
    """All texts in the tests' code, and names of keyword arguments; what is in comments and in longer texts does not count."""
    found = set()
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.keyword):
                found.add(node.arg)
    return found


@pytest.mark.parametrize("name,field", GIVEN)
def test_a_test_gives_it(named, name, field):
    """A row of the tables without a test: write one that shows what the field does, or why it is refused."""
    assert field in named


def body_with(name, field, value):
    """A container to create with this field in this object."""
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    if name == "Mount":
        body["HostConfig"]["Mounts"] = [{"Type": "tmpfs", "Target": "/m", field: value}]
    elif name in ("HostConfig", "Resources"):
        body["HostConfig"][field] = value
    else:
        body[field] = value
    return body


@pytest.mark.parametrize("name,field", REFUSED)
def test_refused_unless_empty(engine, name, field):
    """What belongs to another system, or to something that this engine is not, is refused by its name; empty it is nothing."""
    answer = engine.api("POST", "/containers/create", body_with(name, field, {"x": 1}), version="1.47")
    assert answer.status == 400 and field in answer.message, answer
    for empty in (None, "", 0, False, [], {}):
        made = engine.api("POST", "/containers/create", body_with(name, field, empty), version="1.47")
        assert made.status == 201, (empty, made)
        engine.api("DELETE", f"/containers/{made.json['Id']}")


def test_taken_and_dropped(engine):
    """What inspect shows of an endpoint's state comes back from clients that make a container anew; it asks for nothing."""
    first = Run(engine, "sleep 1000", host={"NetworkMode": "bridge"})
    shown = first.inspect()["NetworkSettings"]["Networks"]["bridge"]
    first.remove()
    dropped = {field for name, field in DROPPED if name == "EndpointSettings"}
    assert dropped < set(shown) | {"DNSNames"}, "all of them are shown"
    given = {field: shown.get(field) for field in dropped} | {"Gateway": "192.0.2.1", "IPAddress": "192.0.2.7", "GlobalIPv6PrefixLen": 64}
    run = Run(engine, "ip -4 addr show eth0; ip route", host={"NetworkMode": "bridge"},
              networking={"EndpointsConfig": {"bridge": given}}, version="1.47")
    assert run.error is None and "192.0.2" not in run.finish()
    # The others repeat what the request's parameters and headers say; clients send both.
    assert sorted(x for x in DROPPED if x[0] != "EndpointSettings") == [
        *(("ContainerCommit", field) for field in ("author", "changes", "comment", "container", "pause", "repo", "tag")),
        ("ContainerCreate", "name"), ("ContainerCreate", "platform"), ("ExecCreate", "Container"), ("ExecStart", "hijack"), ("ExecStart", "stdin")]


def test_unknown_fields_are_refused(engine):
    """A misspelt limit must not be no limit. Names may be written in any case, as Docker's clients may."""
    for body, path in (({"Memroy": 1}, "HostConfig.Memroy"), ({"RestartPolicy": {"Nmae": "no"}}, "HostConfig.RestartPolicy.Nmae"),
                       ({"Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0, "Hart": 0}]}, "HostConfig.Ulimits[0].Hart")):
        answer = engine.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": body})
        assert answer.status == 400 and f"unknown field {path}" in answer.message, answer
    answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Comand": ["x"]})
    assert answer.status == 400 and "unknown field Comand" in answer.message
    assert output(engine, "ulimit -n", host={"ulimits": [{"name": "nofile", "SOFT": 99, "hard": 99}]}) == "99\n"


# ---- those that no other test gives ----

def test_onbuild_is_kept(engine):
    run = Run(engine, "true", config={"OnBuild": ["RUN make"]})
    assert run.inspect()["Config"]["OnBuild"] == ["RUN make"]
    image = engine.api("POST", f"/commit?container={run.id}&repo=built").json["Id"]
    run.remove()
    assert engine.api("GET", f"/images/{image}/json").json["Config"]["OnBuild"] == ["RUN make"]
    child = Run(engine, "true", config={"Image": "built"})
    assert child.inspect()["Config"]["OnBuild"] == ["RUN make"]
    child.remove()
    engine.docker("rmi", "built")


def test_weights_of_devices(engine):
    for weight in ([{"Path": "/dev/null", "Weight": 5}], [{"Path": "/dev/null", "Weight": 300}], [{"Path": "relative", "Weight": 300}]):
        answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["x"], "HostConfig": {"BlkioWeightDevice": weight}})
        assert answer.status == 400 and "BlkioWeightDevice" in answer.message, answer


@pytest.mark.parametrize("word", ["default", "consistent", "cached", "delegated"])
def test_consistency(engine, tmp_path, word):
    """On Linux a bind always is consistent: each of Docker's words is true."""
    (tmp_path / "f").write_text("x\n")
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/m", "Consistency": word}
    assert output(engine, "cat /m/f", host={"Mounts": [mount]}) == "x\n"


def test_nocopy(engine):
    def mount(**options):
        return {"Mounts": [{"Type": "volume", "Target": "/home", "VolumeOptions": options}]}

    assert output(engine, "ls /home", host=mount(NoCopy=True)) == ""
    assert output(engine, "ls /home", host=mount(NoCopy=False)) == "app\n"
    assert output(engine, "ls /home", host={"Binds": ["nocopied:/home:nocopy"]}) == ""
    engine.docker("volume", "rm", "nocopied")


def test_device_requests_need_cdi(engine):
    for request in ({"Driver": "nvidia", "Count": -1}, {"DeviceIDs": ["0"], "Capabilities": [["gpu"]]}, {"Driver": "cdi", "Options": {"a": "b"}}):
        run = Run(engine, "true", host={"DeviceRequests": [request]})
        assert run.created.status == 400 and "could not select device driver" in run.error, run.created
