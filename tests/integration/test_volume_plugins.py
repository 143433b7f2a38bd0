"""Volume plugins: Docker's /VolumeDriver.* protocol, with a plugin that does as it should, and one that does not."""
import http.server
import json
import os
import pathlib
import random
import shutil
import socketserver
import tempfile
import threading

import pytest

from tests.harness.engine import Engine

TIMEOUT_MS = 1500


class Plugin:
    """A plugin whose volumes are directories. `behave`: {method: how} for what it does wrong."""

    def __init__(self, directory, name):
        self.calls, self.behave = [], {}
        self.store = pathlib.Path(tempfile.mkdtemp(prefix="pouch-plugin-"))
        self.ended = threading.Event()
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
        elif method == "Get":
            return {"Volume": {"Name": body["Name"], "Mountpoint": str(path), "Status": {"replicas": 3}}, "Err": ""}
        elif method == "Capabilities":
            return {"Capabilities": {"Scope": "global"}}
        return {"Mountpoint": str(path) if method == "Mount" else "", "Err": ""}

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
    with Engine(sets=[f"volumes.plugin-dir={directory}", f"volumes.plugin-timeout={TIMEOUT_MS}ms"]) as running:
        running.busybox()
        yield running


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
                        ("Capabilities", {"Capabilities": {"Scope": 7}}), ("Get", "hang")]:
        plugin.behave = {method: how}
        answer = engine.api("GET", "/volumes/known")
        assert answer.status == 200 and answer.json["Name"] == "known" and answer.json["Driver"] == "good", (method, how, answer)
        assert answer.json["Scope"] == "local" or method == "Get"
        assert method == "Capabilities" or "Status" not in answer.json, answer
    plugin.behave = {}
    engine.docker("volume", "rm", "known")


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
