"""docker-py: what scripts do with it."""
import io
import tarfile
import threading

import docker
import pytest


@pytest.fixture
def client(engine):
    client = engine.client()
    yield client
    client.close()
    engine.remove_containers()


def test_run_returns_output(client):
    assert client.containers.run("busybox", ["echo", "hi"], remove=True, network_mode="none") == b"hi\n"
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True, network_mode="none")
    assert caught.value.exit_status == 3 and caught.value.stderr == b"bad\n"
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nothing")
    assert client.ping() and client.version()["ApiVersion"] == "1.47" and client.info()["OSType"] == "linux"


def test_a_container_of_its_life(client):
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="py", network_mode="none",
                                      labels={"k": "v"}, environment={"A": "b"}, mem_limit="64m",
                                      healthcheck={"test": ["CMD", "true"], "interval": 10**9})
    assert container.status == "created"
    container.reload()
    assert container.status == "running" and container.labels == {"k": "v"}
    assert [c.name for c in client.containers.list(filters={"label": "k=v"})] == ["py"]
    assert container.exec_run(["sh", "-c", "echo $A; exit 4"]) == (4, b"b\n")
    out = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output
    assert out == (b"o\n", b"e\n")
    assert container.top()["Titles"] and container.stats(stream=False)["pids_stats"]["current"] >= 1
    container.pause()
    container.unpause()
    container.update(mem_limit="32m", memswap_limit="32m")
    container.rename("pie")
    container.kill(signal="KILL")
    assert container.wait()["StatusCode"] == 137
    container.restart(timeout=0)
    container.stop(timeout=0)
    container.remove()
    assert client.containers.list(all=True) == []


def test_streams(client):
    container = client.containers.create("busybox", ["sh", "-c", "for i in 1 2 3; do echo $i; done"], network_mode="none")
    stream = container.attach(stream=True, logs=True)
    container.start()
    assert b"".join(stream) == b"1\n2\n3\n"
    assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]
    assert container.logs(tail=1) == b"3\n"


def test_socket_of_an_exec(client):
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, network_mode="none")
    made = client.api.exec_create(container.id, ["cat"], stdin=True, tty=True)
    socket = client.api.exec_start(made["Id"], tty=True, socket=True)
    socket._sock.sendall(b"typed\n")
    got = b""
    while b"typed\r\ntyped\r\n" not in got:
        more = socket._sock.recv(100)
        assert more, got
        got += more
    client.api.exec_resize(made["Id"], height=10, width=20)
    socket.close()


def test_archives(client):
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, network_mode="none")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("put")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    assert container.put_archive("/tmp", data.getvalue())
    stream, stat = container.get_archive("/tmp/put")
    assert stat["name"] == "put" and stat["size"] == 5
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert tar.extractfile("put").read() == b"hello"
    assert {"Path": "/tmp/put", "Kind": 1} in container.diff()


def test_images(client):
    image = client.images.get("busybox")
    assert image.tag("py/copy", "2")
    assert "py/copy:2" in client.images.get("py/copy:2").tags
    saved = b"".join(client.images.get("py/copy:2").save(named="py/copy:2"))
    client.images.remove("py/copy:2")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("py/copy:2")
    assert client.images.load(saved)[0].id == image.id
    client.images.remove("py/copy:2")
    assert image.history() and client.images.list("busybox")


def test_volumes_and_networks(client):
    volume = client.volumes.create("pyvol", labels={"a": "b"})
    network = client.networks.create("pynet", driver="bridge")
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, network="pynet",
                                      volumes={"pyvol": {"bind": "/data", "mode": "rw"}})
    network.reload()
    assert [c.id for c in network.containers] == [container.id]
    second = client.networks.create("pynet2")
    second.connect(container, aliases=["other"])
    container.reload()
    assert set(container.attrs["NetworkSettings"]["Networks"]) == {"pynet", "pynet2"}
    second.disconnect(container)
    with pytest.raises(docker.errors.APIError) as caught:
        volume.remove()
    assert caught.value.status_code == 409
    container.remove(force=True)
    for left in (volume, network, second):
        left.remove()


def test_events(client):
    events = client.events(decode=True, filters={"type": "container", "event": ["create", "destroy"]})
    seen = []

    def read():
        for event in events:
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                break

    reader = threading.Thread(target=read)
    reader.start()
    client.containers.create("busybox", ["true"], network_mode="none").remove()
    reader.join(60)
    events.close()
    assert seen == ["create", "destroy"]
