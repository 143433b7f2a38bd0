"""A container's files through the rootfs worker: archives into running and stopped containers, export."""
import io
import tarfile

NET = ("--network", "none")


def put(engine, name, path, tar):
    return engine.api("PUT", f"/containers/{name}/archive?path={path}", tar, {"Content-Type": "application/x-tar"})


def tar_of(name, data, **fields):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_put_and_export(engine):
    engine.docker("run", "-d", "--name", "files", *NET, "busybox", "sleep", "1000")
    assert put(engine, "files", "/tmp", tar_of("sub/a", b"hello", uid=1000)).status == 200
    assert engine.docker("exec", "files", "sh", "-c", "cat /tmp/sub/a; stat -c %u /tmp/sub/a").stdout == "hello1000\n"
    engine.docker("kill", "files")
    assert put(engine, "files", "/tmp", tar_of("b", b"later")).status == 200
    answer = engine.docker("export", "files", text=False)
    with tarfile.open(fileobj=io.BytesIO(answer.stdout)) as tar:
        names = {member.name: member for member in tar}
    assert names["./tmp/sub/a"].uid == 1000 and "./tmp/b" in names
    engine.docker("rm", "files")


def test_put_refuses_what_leads_out(engine):
    engine.docker("run", "-d", "--name", "out", *NET, "busybox", "sleep", "1000")
    # covers S-32
    assert put(engine, "out", "/tmp", tar_of("../../x", b"")).status == 400
    assert put(engine, "out", "/nosuch", tar_of("x", b"")).status == 404
    assert put(engine, "out", "/tmp", tar_of("x", b"", uid=70000)).status == 400
    assert put(engine, "out", "/tmp", b"\x1f\x8b" + b"x" * 2000).status == 400
    engine.docker("rm", "-f", "out")


def test_stat(engine):
    engine.docker("create", "--name", "stated", *NET, "busybox", "true")
    answer = engine.api("HEAD", "/containers/stated/archive?path=/bin/sh")
    assert answer.status == 200 and answer.headers["X-Docker-Container-Path-Stat"]
    assert engine.api("HEAD", "/containers/stated/archive?path=/none").status == 404
    engine.docker("rm", "stated")
