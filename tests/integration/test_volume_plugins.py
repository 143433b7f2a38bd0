"""Volume plugins: Docker's /VolumeDriver.* protocol, with a plugin that does as it should, and one that does not."""
import contextlib
import http.server
import json
import os
import pathlib
import random
import shutil
import socketserver
import tempfile
import threading
import urllib.parse

import pytest

from tests.harness.caller import api_as
from tests.harness.engine import Engine

OWNER, DRIVER = 54401, 54402


class Plugin:
    """A plugin whose volumes are directories. `behave`: {method: how} for what it does wrong."""

    def __init__(self, directory, name):
        self.calls, self.behave = [], {}
        self.store = pathlib.Path(tempfile.mkdtemp(prefix="pouch-plugin-"))
        self.ended = threading.Event()  # also of what hangs
        plugin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                plugin.answer(self)

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def get_request(self):
                return super().get_request()[0], ("plugin", 0)

        self.server = Server(str(pathlib.Path(directory) / f"{name}.sock"), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        method = handler.path.strip("/").removeprefix("VolumeDriver.")
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.calls.append((method, body))
        how = self.behave.get(method)
        if how == "hang":
            self.ended.wait(60)
        elif how == "garbage":
            handler.wfile.write(b"\x00\xff garbage" * 50)
        elif how == "cut":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{\"Mountpoi")
        elif how == "huge":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n{\"Err\":\"" + b"x" * (4 << 20))
        elif how != "die":
            text = json.dumps(how if isinstance(how, dict) else self.do(method, body)).encode()
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    def do(self, method, body):
        path = self.store / body.get("Name", "")
        if method == "Create":
            path.mkdir()
        elif method == "Remove":
            shutil.rmtree(path)
        elif method == "List":
            return {"Volumes": [{"Name": each.name, "Mountpoint": str(each)} for each in sorted(self.store.iterdir())], "Err": ""}
        elif method == "Get" and not path.is_dir():
            return {"Err": "no such volume"}
        elif method == "Get":
            return {"Volume": {"Name": body["Name"], "Mountpoint": str(path), "Status": {"replicas": 3}}, "Err": ""}
        elif method == "Capabilities":
            return {"Capabilities": {"Scope": "global"}}
        return {"Mountpoint": str(path) if method in ("Mount", "Path") else "", "Err": ""}

    def methods(self):
        return [method for method, _ in self.calls]

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.store, ignore_errors=True)


@pytest.fixture(scope="module")
def directory():
    with tempfile.TemporaryDirectory(prefix="pouch-plugins-") as path:
        yield path


@pytest.fixture(scope="module")
def engine(directory):
    with Engine(config=waits("60s"), sets=[f"volumes.plugin-dir={directory}"]) as running:
        running.busybox()
        yield running


def waits(time):
    return {"volumes": {"plugin-timeout": time}}


@contextlib.contextmanager
def behaving(engine, plugin, **behave):
    """What it does wrong for a while; the engine does not wait long for one that hangs, and for one that works it does."""
    def reload(time):
        if "hang" in behave.values():
            engine.config_path.write_text(json.dumps(waits(time)))
            engine.ctl("reload")

    plugin.behave = behave
    reload("1500ms")
    yield
    plugin.behave = {}
    reload("60s")


@pytest.fixture
def plugin(directory):
    made = Plugin(directory, "good")
    try:
        yield made
    finally:
        made.close()
        os.unlink(f"{directory}/good.sock")


def run(engine, volume, *command, check=True):
    return engine.docker("run", "--rm", "--network", "none", "--userns", "host", "-v", f"{volume}:/data", "busybox", *command,
                         check=check)


def test_a_directory_that_comes_later(directory):
    """A plugin is installed after the engine was started, and it is the host's first."""
    new = pathlib.Path(directory) / "not" / "yet"
    with Engine(sets=[f"volumes.plugin-dir={new}"]) as running:
        assert new.stat().st_mode & 0o7777 == 0o755
        made = Plugin(str(new), "late")
        try:
            running.docker("volume", "create", "-d", "late", "vol")
            assert made.methods() == ["Create"]
            running.docker("volume", "rm", "vol")
        finally:
            made.close()


def test_life_of_a_volume(engine, plugin):
    engine.docker("volume", "create", "-d", "good", "--opt", "colour=red", "vol")
    assert plugin.calls == [("Create", {"Name": "vol", "Opts": {"colour": "red"}})]
    assert engine.api("GET", "/volumes/vol").json["Driver"] == "good"
    run(engine, "vol", "sh", "-c", "echo text > /data/file")
    assert (plugin.store / "vol" / "file").read_text() == "text\n"
    # Who mounts is who unmounts, one after the other: for a look at what is in it, and while the container runs.
    mounts = [(method, body) for method, body in plugin.calls if method in ("Mount", "Unmount")]
    for (first, mount), (second, unmount) in zip(mounts[::2], mounts[1::2], strict=True):
        assert (first, second) == ("Mount", "Unmount") and mount == unmount and mount["Name"] == "vol" and mount["ID"]
    assert engine.api("POST", "/volumes/create", {"Name": "vol", "Driver": "local"}).status == 409
    engine.docker("volume", "rm", "vol")
    assert plugin.methods()[0] == "Create" and plugin.methods()[-1] == "Remove" and not (plugin.store / "vol").exists()


def test_its_error_is_the_clients(engine, plugin):
    plugin.behave = {"Create": {"Err": "no room for it"}}
    answer = engine.api("POST", "/volumes/create", {"Name": "vol", "Driver": "good"})
    assert answer.status == 500 and "good" in answer.message and "no room for it" in answer.message
    assert engine.api("GET", "/volumes/vol").status == 404


@pytest.mark.parametrize("how", ["hang", "die", "garbage", "cut", "huge", {"Mountpoint": "../etc"}, {"Mountpoint": 7}, {}])
def test_misbehaviour_costs_the_one_request(engine, plugin, how):
    """No container starts on what it says; its other volumes and everybody else go on; afterwards all is as before."""
    name = f"vol{random.randrange(10 ** 9)}"
    engine.docker("volume", "create", "-d", "good", name)
    plugin.behave = {"Mount": how}
    results = []
    starter = threading.Thread(target=lambda: results.append(run(engine, name, "true", check=False)))
    starter.start()
    while "Mount" not in plugin.methods():
        plugin.ended.wait(0.01)
    assert engine.api("POST", "/volumes/create", {"Name": "mine"}).status == 201
    assert engine.api("GET", "/volumes/" + name).status == 200 and engine.api("DELETE", "/volumes/mine").status == 204
    if how == "hang":
        assert not results  # nobody waited for it
        plugin.ended.set()
    starter.join()
    assert results[0].returncode == 125 and "volume driver" in results[0].stderr, results[0].stderr
    plugin.behave = {}
    assert run(engine, name, "echo", "again").stdout == "again\n"
    engine.docker("volume", "rm", name)


def test_a_plugin_that_is_gone(engine, directory):
    """Its volumes are still there, and can be removed by force; a container on them does not start."""
    made = Plugin(directory, "leaving")
    engine.docker("volume", "create", "-d", "leaving", "left")
    made.close()
    failed = run(engine, "left", "true", check=False)
    assert failed.returncode == 125 and "leaving" in failed.stderr
    os.unlink(f"{directory}/leaving.sock")
    answer = engine.api("POST", "/volumes/create", {"Name": "other", "Driver": "leaving"})
    assert answer.status == 404 and "leaving" in answer.message
    assert "left" in engine.docker("volume", "ls", "-q").stdout.split()
    assert engine.api("DELETE", "/volumes/left").status == 500
    assert engine.api("DELETE", "/volumes/left?force=1").status == 204
    assert engine.api("GET", "/volumes/left").status == 404


def test_what_the_plugin_knows(engine, plugin):
    """Place, status and scope of the volume come from it; garbage from it costs these, not what the engine knows."""
    engine.docker("volume", "create", "-d", "good", "known")
    shown = engine.api("GET", "/volumes/known").json
    assert shown["Status"] == {"replicas": 3} and shown["Scope"] == "global" and shown["Mountpoint"] == str(plugin.store / "known")
    for method, how in [("Get", "garbage"), ("Get", "die"), ("Get", "huge"), ("Get", {"Err": "not now"}), ("Get", {"Volume": [1]}),
                        ("Get", {"Volume": {"Status": "text", "Mountpoint": 7}}), ("Capabilities", "die"),
                        ("Capabilities", {"Capabilities": {"Scope": 7}})]:
        plugin.behave = {method: how}
        answer = engine.api("GET", "/volumes/known")
        assert answer.status == 200 and answer.json["Name"] == "known" and answer.json["Driver"] == "good", (method, how, answer)
        assert answer.json["Scope"] == "local" or method == "Get"
        assert method == "Capabilities" or "Status" not in answer.json, answer
    plugin.behave = {}
    engine.docker("volume", "rm", "known")


def test_a_plugin_that_never_answers(engine, plugin):
    """It costs a start as long as the configuration says, and what it knows of a volume."""
    engine.docker("volume", "create", "-d", "good", "slow")
    with behaving(engine, plugin, Mount="hang", Get="hang"):
        failed = run(engine, "slow", "true", check=False)
        assert failed.returncode == 125 and "volume driver" in failed.stderr and "1500 ms" in failed.stderr, failed.stderr
        answer = engine.api("GET", "/volumes/slow")
        assert answer.status == 200 and answer.json["Driver"] == "good" and "Status" not in answer.json, answer
    engine.docker("volume", "rm", "slow")


def test_where_plugins_are_found(engine, directory):
    """NAME/NAME.sock as NAME.sock; a description of a plugin elsewhere is refused by its name."""
    os.mkdir(f"{directory}/nested")
    made = Plugin(f"{directory}/nested", "nested")
    try:
        engine.docker("volume", "create", "-d", "nested", "inner")
        assert made.methods() == ["Create"]
        engine.docker("volume", "rm", "inner")
    finally:
        made.close()
        shutil.rmtree(f"{directory}/nested")
    for kind, content in (("spec", "tcp://127.0.0.1:1"), ("json", '{"Addr": "https://127.0.0.1:1"}')):
        path = pathlib.Path(directory) / f"remote.{kind}"
        path.write_text(content)
        answer = engine.api("POST", "/volumes/create", {"Name": "far", "Driver": "remote"})
        assert answer.status == 400 and f"remote.{kind}" in answer.message, answer
        path.unlink()


@pytest.mark.parametrize("method", ["Create", "Remove"])
@pytest.mark.parametrize("how", ["hang", "die", "garbage", {"Err": "not now"}])
def test_making_and_removing(engine, plugin, method, how):
    """The request fails and says whose fault it is; nothing else has changed, and it can be made again."""
    if method == "Remove":
        engine.docker("volume", "create", "-d", "good", "vol")
    with behaving(engine, plugin, **{method: how}):
        answer = (engine.api("POST", "/volumes/create", {"Name": "vol", "Driver": "good"}) if method == "Create" else
                  engine.api("DELETE", "/volumes/vol"))
        assert answer.status == 500 and "volume driver good" in answer.message, answer
    assert engine.api("GET", "/volumes/vol").status == (404 if method == "Create" else 200)
    engine.docker("volume", "create", "-d", "good", "vol")
    engine.docker("volume", "rm", "vol")


@pytest.mark.parametrize("how", ["hang", "die", "garbage", {"Err": "not now"}])
def test_unmounting(engine, plugin, how):
    """A container ends and goes all the same; its volume is free."""
    engine.docker("volume", "create", "-d", "good", "vol")
    engine.docker("run", "-d", "--name", "user", "--network", "none", "--userns", "host", "-v", "vol:/data", "busybox", "sleep", "1000")
    with behaving(engine, plugin, Unmount=how):
        engine.docker("rm", "-f", "user")
    assert run(engine, "vol", "echo", "again").stdout == "again\n"
    engine.docker("volume", "rm", "vol")


def test_the_place_is_known_to_path(engine, plugin):
    engine.docker("volume", "create", "-d", "good", "vol")
    get = {"Volume": {"Name": "vol"}, "Err": ""}
    with behaving(engine, plugin, Get=get):
        assert engine.api("GET", "/volumes/vol").json["Mountpoint"] == str(plugin.store / "vol")
    for how in ("die", "garbage", {"Mountpoint": 7}, "hang"):
        with behaving(engine, plugin, Get=get, Path=how):
            answer = engine.api("GET", "/volumes/vol")
            assert answer.status == 200 and answer.json["Mountpoint"] == "", (how, answer)
            assert how == "hang" or answer.json["Scope"] == "global", (how, answer)
    engine.docker("volume", "rm", "vol")


# ---- volumes that only the plugin knows ----

@pytest.fixture
def outside(plugin):
    """The plugin has a volume that the engine was never told of."""
    place = plugin.store / "outside"
    place.mkdir()
    (place / "file").write_text("made elsewhere\n")
    yield place


def names(engine, query=""):
    return [volume["Name"] for volume in engine.api("GET", "/volumes" + query).json["Volumes"]]


def filtered(**filters):
    return "?filters=" + urllib.parse.quote(json.dumps(filters))


def test_listed_and_inspected(engine, plugin, outside):
    engine.docker("volume", "create", "-d", "good", "recorded")
    listed = {volume["Name"]: volume for volume in engine.api("GET", "/volumes").json["Volumes"]}
    for name in ("outside", "recorded"):
        assert listed[name]["Driver"] == "good" and listed[name]["Scope"] == "global", listed
        assert listed[name]["Mountpoint"] == str(plugin.store / name)
    assert engine.docker("volume", "ls", "-q", "-f", "driver=good").stdout.split() == ["outside", "recorded"]
    assert names(engine, filtered(name=["outs"])) == ["outside"] and names(engine, filtered(label=["x"])) == []
    assert "outside" in names(engine, filtered(dangling=["true"])) and "outside" not in names(engine, filtered(dangling=["false"]))
    shown = engine.api("GET", "/volumes/outside").json
    assert shown["Driver"] == "good" and shown["Status"] == {"replicas": 3} and shown["Mountpoint"] == str(outside)
    assert shown["Scope"] == "global" and engine.api("GET", "/volumes/nobodys").status == 404
    engine.docker("volume", "rm", "recorded")


def test_mounted_by_name(engine, plugin, outside):
    """A name without a driver means the plugin's volume; whoever names another driver, or options, means another."""
    assert run(engine, "outside", "cat", "/data/file").stdout == "made elsewhere\n"
    assert "Create" not in plugin.methods() and names(engine).count("outside") == 1
    assert engine.api("POST", "/volumes/create", {"Name": "outside"}).json["Driver"] == "good"
    answer = engine.api("POST", "/volumes/create", {"Name": "outside", "Driver": "local"})
    assert answer.status == 409 and "good" in answer.message
    (plugin.store / "second").mkdir()
    answer = engine.api("POST", "/volumes/create", {"Name": "second", "DriverOpts": {"size": "1m"}})
    assert answer.status == 409 and "good" in answer.message
    assert engine.api("POST", "/volumes/create", {"Name": "nobodys"}).json["Driver"] == "local"
    for name in ("outside", "second", "nobodys"):
        engine.docker("volume", "rm", name)
    assert not outside.exists() and names(engine) == []


def test_removed_by_name(engine, plugin, outside):
    engine.docker("volume", "rm", "outside")
    assert not outside.exists() and plugin.methods()[-1] == "Remove" and "Create" not in plugin.methods()
    assert engine.api("DELETE", "/volumes/outside").status == 404 and engine.api("DELETE", "/volumes/outside?force=1").status == 204


def test_image_files_are_copied_into_it(engine, plugin):
    """Into an empty one alone."""
    engine.docker("volume", "create", "-d", "good", "fresh")
    once = ["run", "--rm", "--network", "none", "--userns", "host", "-v", "fresh:/etc", "busybox"]
    engine.docker(*once, "sh", "-c", "test -f /etc/passwd && rm /etc/passwd")
    copied = {path.name for path in (plugin.store / "fresh").iterdir()}
    assert "group" in copied and "passwd" not in copied, copied
    engine.docker(*once, "sh", "-c", "test ! -e /etc/passwd")
    engine.docker("volume", "rm", "fresh")


# ---- volumes that the plugin does not know any more ----

@pytest.fixture
def lost(engine, plugin):
    """Made by the engine, removed elsewhere."""
    engine.docker("volume", "create", "-d", "good", "--label", "kept", "lost")
    (plugin.store / "lost").rmdir()
    yield "lost"
    plugin.behave = {}
    engine.docker("volume", "rm", "-f", "lost")


def test_lost_is_not_there(engine, plugin, lost):
    assert lost not in names(engine)
    engine.docker("volume", "create", "beside")
    assert [volume["Name"] for volume in engine.api("GET", "/system/df").json["Volumes"]] == ["beside"]
    engine.docker("volume", "rm", "beside")
    answer = engine.api("GET", "/volumes/lost")
    assert answer.status == 404 and "no such volume" in answer.message, answer
    (plugin.store / "lost").mkdir()  # made elsewhere: the engine has forgotten its own
    assert engine.api("GET", "/volumes/lost").json["Labels"] is None


@pytest.mark.parametrize("driver", ["good", "local", None])
def test_lost_is_made_anew(engine, plugin, lost, driver):
    answer = engine.api("POST", "/volumes/create", {"Name": lost, **({"Driver": driver} if driver else {})})
    assert answer.status == 201 and answer.json["Driver"] == (driver or "local"), answer
    assert not answer.json["Labels"] and (plugin.store / "lost").exists() == (driver == "good")
    assert names(engine).count("lost") == 1


def test_lost_is_removed(engine, plugin, lost):
    plugin.behave = {"Remove": {"Err": "unknown volume"}}
    answer = engine.api("DELETE", "/volumes/lost")
    assert answer.status == 404 and "no such volume" in answer.message, answer
    assert "Remove" in plugin.methods()
    (plugin.store / "lost").mkdir()
    assert engine.api("GET", "/volumes/lost").json["Labels"] is None


def test_lost_but_held(engine, plugin, lost):
    """The record stays until its container goes, and nobody makes another volume beneath it."""
    (plugin.store / "lost").mkdir()
    engine.docker("create", "--name", "holder", "--network", "none", "-v", "lost:/data", "busybox", "true")
    (plugin.store / "lost").rmdir()
    try:
        assert lost not in names(engine) and engine.api("GET", "/volumes/lost").status == 404
        answer = engine.api("POST", "/volumes/create", {"Name": "lost", "Driver": "good"})
        assert answer.status == 409 and "lost the volume" in answer.message and not (plugin.store / "lost").exists(), answer
    finally:
        engine.docker("rm", "holder")
    assert engine.api("POST", "/volumes/create", {"Name": "lost", "Driver": "good"}).status == 201


@pytest.mark.parametrize("behave", [{"List": "die", "Get": "die"}, {"List": {"Err": "not now"}}, {"List": {"Volumes": 7}}, {"List": "garbage"}],
                         ids=["dead", "failing", "no-list", "garbage"])
def test_who_does_not_answer_has_lost_nothing(engine, plugin, lost, behave):
    plugin.behave = behave
    answer = engine.api("GET", "/volumes").json
    assert "lost" in [volume["Name"] for volume in answer["Volumes"]] and "good" in answer["Warnings"][0], answer
    assert engine.api("GET", "/volumes/lost").json["Labels"] == {"kept": ""}
    assert engine.api("POST", "/volumes/create", {"Name": "lost", "Driver": "local"}).status == 409
    plugin.behave = {**behave, "Remove": {"Err": "unknown volume"}}
    assert engine.api("DELETE", "/volumes/lost").status == 500
    plugin.behave = {}
    assert "lost" not in names(engine) and engine.api("GET", "/volumes/lost").status == 404


@pytest.mark.parametrize("method", ["List", "Get", "Capabilities"])
@pytest.mark.parametrize("how", ["die", "garbage", "huge", {"Err": "not now"}, {"Volumes": 7, "Volume": 7},
                                 {"Volumes": [7, {}, {"Name": "../etc"}, {"Name": 7}], "Volume": {"Name": "other"}}])
def test_misbehaviour_costs_the_plugins_volumes_alone(engine, plugin, outside, method, how):
    engine.docker("volume", "create", "mine")
    plugin.behave = {method: how}
    answer = engine.api("GET", "/volumes")
    assert answer.status == 200 and "mine" in names(engine)
    if method == "List":
        assert "outside" not in names(engine)
        assert isinstance(how, dict) and isinstance(how.get("Volumes"), list) or "good" in answer.json["Warnings"][0], answer
    assert engine.api("GET", "/volumes/outside").status == (404 if method == "Get" else 200)
    assert engine.api("POST", "/volumes/create", {"Name": "new"}).json["Driver"] == "local"
    for name in ("mine", "new"):
        assert engine.api("DELETE", f"/volumes/{name}").status == 204


def test_who_hangs_is_waited_for_once(engine, directory):
    """Then it is left alone for a while, and others' volumes wait for it no more; started again, it is asked again."""
    made = Plugin(directory, "hangs")
    (made.store / "inside").mkdir()
    try:
        with behaving(engine, made, List="hang", Get="hang"):
            answer = engine.api("GET", "/volumes").json
            assert "no answer" in answer["Warnings"][0] and made.methods() == ["List"], answer
            answer = engine.api("GET", "/volumes").json
            assert "not asked" in answer["Warnings"][0] and made.methods() == ["List"], answer
            assert engine.api("POST", "/volumes/create", {"Name": "new"}).status == 201 and made.methods() == ["List"]
            engine.docker("volume", "rm", "new")
    finally:
        made.close()
        os.unlink(f"{directory}/hangs.sock")
    again = Plugin(directory, "hangs")
    try:
        (again.store / "inside").mkdir()
        assert names(engine) == ["inside"] and engine.api("GET", "/volumes").json["Warnings"] == []
    finally:
        again.close()
        os.unlink(f"{directory}/hangs.sock")


def test_not_for_who_sees_his_own_alone(directory, plugin, outside):
    """Nobody here has made it. Who may use no drivers but some may not come to others by a name. covers D-6 D-7"""
    policy = {"roles": {"owner": {"own": True, "permissions": ["container.*", "volume.*", "image.*"], "containers": {}},
                        "driver": {"permissions": ["container.*", "volume.*", "image.*"], "containers": {"volume-drivers": ["local"]}}},
              "bindings": [{"role": "admin", "uids": [0]}, {"role": "owner", "uids": [OWNER]}, {"role": "driver", "uids": [DRIVER]}]}
    config = {"listeners": [{"mode": "0666"}]}
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Binds": ["outside:/data"]}}
    with Engine(config=config, policy=policy, sets=[f"volumes.plugin-dir={directory}"]) as ruled:
        ruled.busybox()
        assert api_as(ruled, OWNER, "GET", "/volumes").json["Volumes"] == []
        assert api_as(ruled, OWNER, "GET", "/volumes/outside").status == 404
        assert api_as(ruled, OWNER, "DELETE", "/volumes/outside").status == 404
        for answer in (api_as(ruled, OWNER, "POST", "/volumes/create", {"Name": "outside"}),
                       api_as(ruled, OWNER, "POST", "/containers/create", body)):
            assert answer.status == 409, answer
        for answer in (api_as(ruled, DRIVER, "POST", "/volumes/create", {"Name": "outside"}),
                       api_as(ruled, DRIVER, "POST", "/containers/create", body)):
            assert answer.status == 403 and "volume-drivers" in answer.message, answer
        assert [each["Id"] for each in ruled.api("GET", "/containers/json?all=1").json] == [] and outside.exists()
