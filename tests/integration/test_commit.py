"""What a container has changed: diff, sizes, commit."""
import io
import json
import os
import signal
import socket
import tarfile
import time

from tests.harness.engine import Engine
from tests.harness.rootfs import Tar

NET = ("--network", "none")
CHANGES = "echo x > /root/new; rm /bin/vi; rm -r /home/app; mkdir /home/app; echo hi >> /etc/passwd; mkdir -p /opt/a/b"


def put(engine, name, path, tar):
    return engine.api("PUT", f"/containers/{name}/archive?path={path}", tar)


def diff(engine, name):
    return engine.docker("diff", name).stdout.splitlines()


def run_shell(engine, name, script):
    """A container that has run `script` and ended."""
    engine.docker("run", "--name", name, *NET, "busybox", "sh", "-c", script)


def test_diff(engine):
    engine.docker("create", "--name", "plain", *NET, "-v", "/data", "busybox", "true")
    assert diff(engine, "plain") == []
    engine.docker("start", "-a", "plain")
    assert [line for line in diff(engine, "plain") if line != "A /data"] == [], "the engine's own mounts are no changes"
    engine.docker("rm", "-v", "plain")
    run_shell(engine, "changed", CHANGES)
    assert diff(engine, "changed") == [
        "C /bin", "D /bin/vi", "C /etc", "C /etc/passwd", "C /home", "C /home/app", "D /home/app/owned", "A /opt",
        "A /opt/a", "A /opt/a/b", "C /root", "A /root/new"]
    # What was only opened for writing is copied up by the kernel, and not changed.
    run_shell(engine, "touched", "true 3>> /etc/group; chmod 700 /tmp; chmod 1777 /tmp")
    assert diff(engine, "touched") == []
    put(engine, "touched", "/tmp", Tar().file("late").bytes())
    assert diff(engine, "touched") == ["C /tmp", "A /tmp/late"]
    engine.docker("rm", "changed", "touched")


def test_diff_of_a_running_container_with_many_changes(engine):
    engine.docker("run", "-d", "--name", "many", *NET, "busybox", "sleep", "1000")
    tar = Tar()
    for i in range(1000):
        tar.file(f"many/{i:05}")
    assert put(engine, "many", "/", tar.bytes()).status == 200
    lines = diff(engine, "many")
    assert len(lines) == 1001 and lines[1] == "A /many/00000" and lines[-1] == "A /many/00999"
    engine.docker("rm", "-f", "many")


def test_commit_runs_and_says_what_it_is(engine):
    run_shell(engine, "made", CHANGES)
    events = engine.start_request("GET", "/events?since=1&filters=" + '{"event":["commit"],"container":["made"]}')
    done = engine.docker("commit", "-m", "a message", "-a", "somebody", "--change", 'CMD ["cat","/root/new"]',
                         "--change", "ENV COLOUR=blue", "--change", "LABEL a=b", "made", "made:one")
    event = json.loads(events.getresponse().readline())
    events.close()
    assert (event["Action"], event["Actor"]["Attributes"]["imageID"]) == ("commit", done.stdout.strip())
    assert engine.docker("run", "--rm", *NET, "made:one").stdout == "x\n"
    shown = engine.docker("run", "--rm", *NET, "made:one", "sh", "-c",
                          "ls /bin/vi /home/app; tail -n 1 /etc/passwd; ls /opt/a; echo $COLOUR; ls /etc")
    assert shown.stdout == "/home/app:\nhi\nb\nblue\ngroup\nhostname\nhosts\npasswd\nresolv.conf\n"
    image = engine.api("GET", "/images/made:one/json").json
    assert (image["Author"], image["Comment"], image["Id"]) == ("somebody", "a message", done.stdout.strip())
    assert image["Config"]["Labels"] == {"a": "b"} and image["Parent"], image
    assert "Hostname" not in image["Config"] or not image["Config"]["Hostname"]
    assert len(image["RootFS"]["Layers"]) == 2
    history = engine.api("GET", "/images/made:one/history").json
    assert history[0]["Comment"] == "a message" and len(history) == 2
    # The container's own settings go into the image, a second commit builds on the first.
    engine.docker("run", "--name", "again", *NET, "-w", "/opt", "-e", "MORE=1", "made:one", "touch", "/opt/second")
    engine.docker("commit", "again", "made:two")
    shown = engine.docker("run", "--rm", *NET, "made:two", "sh", "-c", "pwd; echo $COLOUR$MORE; ls /opt; cat /root/new")
    assert shown.stdout == "/opt\nblue1\na\nsecond\nx\n"
    engine.docker("rm", "made", "again")
    engine.docker("rmi", "made:two", "made:one")


def test_commit_keeps_what_files_are(engine):
    identity = engine.docker("create", "--name", "kinds", *NET, "busybox", "true").stdout.strip()
    capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    tar = (Tar().file("one", b"1", 0o4755, uid=5, gid=6).hardlink("two", "one").symlink("link", "one")
           .add("fifo", tarfile.FIFOTYPE, 0o600).file("attr", pax={"SCHILY.xattr.user.colour": "blue"})
           .file("capable", b"c", 0o755, pax={"SCHILY.xattr.security.capability": capability}))
    assert put(engine, "kinds", "/tmp", tar.bytes()).status == 200
    upper, = engine.root.glob(f"runtimed/*/{identity}/upper")
    directory = os.open(upper / "tmp", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{directory}/socket")
    os.close(directory)
    engine.docker("commit", "kinds", "kinds:one")
    saved = engine.docker("save", "kinds:one", text=False).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        layer = tarfile.open(fileobj=archive.extractfile(manifest["Layers"][-1]))
        found = {m.name.removeprefix("./").rstrip("/"): m for m in layer}
    assert (found["tmp/one"].mode, found["tmp/one"].uid, found["tmp/one"].gid) == (0o4755, 5, 6)
    assert found["tmp/one"].islnk() != found["tmp/two"].islnk() and found["tmp/link"].linkname == "one"
    assert found["tmp/fifo"].isfifo() and "tmp/socket" not in found
    assert found["tmp/attr"].pax_headers["SCHILY.xattr.user.colour"] == "blue"
    assert found["tmp/capable"].pax_headers["SCHILY.xattr.security.capability"] == capability
    assert not [n for n in found if n.startswith(("dev", "proc", "sys", "etc"))], found.keys()
    got = engine.docker("run", "--rm", *NET, "kinds:one", "stat", "-c", "%a %u %h", "/tmp/one")
    assert got.stdout == "4755 5 2\n"
    engine.docker("rm", "-f", "kinds")
    engine.docker("rmi", "kinds:one")


def state(engine, name):
    return engine.api("GET", f"/containers/{name}/json").json["State"]["Status"]


def test_commit_pauses(engine):
    engine.docker("run", "-d", "--name", "counts", *NET, "busybox", "sh", "-c",
                  "while :; do echo $((i+=1)) > /tmp/a; cat /tmp/a > /tmp/b; done")
    engine.wait_for(lambda: engine.api("HEAD", "/containers/counts/archive?path=/tmp/b").status == 200)
    engine.docker("commit", "counts", "counts:one")
    assert engine.docker("exec", "counts", "echo", "runs").stdout == "runs\n"
    told = engine.api("GET", f"/events?since=1&until={int(time.time()) + 1}&filters=" + '{"container":["counts"]}')
    names = [json.loads(line)["Action"] for line in told.body.splitlines()]
    assert [n for n in names if n in ("pause", "unpause", "commit")] == ["pause", "unpause", "commit"]
    # One that its user has paused stays so.
    engine.docker("pause", "counts")
    engine.docker("commit", "counts", "counts:two")
    assert state(engine, "counts") == "paused"
    engine.docker("unpause", "counts")
    engine.docker("rm", "-f", "counts")
    engine.docker("rmi", "counts:one", "counts:two")


def test_errors(engine):
    engine.docker("create", "--name", "wrong", *NET, "busybox", "true")
    assert engine.api("POST", "/commit").status == 400
    assert engine.api("POST", "/commit?container=nosuch").status == 404
    assert engine.api("POST", "/commit?container=wrong&repo=lower%2FCase").status == 400
    assert engine.api("POST", "/commit?container=wrong&changes=FROBNICATE%20x").status == 400
    assert engine.api("GET", "/images/json").json[0]["RepoTags"] == ["busybox:latest"]
    engine.docker("rm", "wrong")


def test_sizes(engine):
    engine.docker("run", "-d", "--name", "sized", *NET, "busybox", "sh", "-c",
                  "head -c 100000 /dev/zero > /tmp/a; ln /tmp/a /tmp/b; rm /bin/vi; exec sleep 1000")
    image = engine.api("GET", "/images/busybox/json").json["Size"]

    def sizes():
        shown = engine.api("GET", "/containers/sized/json?size=1").json
        listed = [c for c in engine.api("GET", "/containers/json?all=1&size=1").json if c["Names"] == ["/sized"]][0]
        used = [c for c in engine.api("GET", "/system/df").json["Containers"] if c["Names"] == ["/sized"]][0]
        assert (shown["SizeRw"], shown["SizeRootFs"]) == (listed["SizeRw"], listed["SizeRootFs"]) == \
               (used["SizeRw"], used["SizeRootFs"])
        return shown["SizeRw"], shown["SizeRootFs"]

    engine.wait_for(lambda: "D /bin/vi" in diff(engine, "sized"))
    assert sizes() == (100000, 100000 + image), "a file with two names counts once, whiteouts not at all"
    assert "SizeRw" not in engine.api("GET", "/containers/sized/json").json
    engine.docker("kill", "sized")
    assert sizes()[0] == 100000
    put(engine, "sized", "/tmp", Tar().file("c", b"x" * 500).bytes())
    assert sizes()[0] == 100500, "what was measured before is not true any more"
    assert "100kB" in engine.docker("ps", "-as", "--filter", "name=sized").stdout.replace("101kB", "100kB")
    assert "SIZE" in engine.docker("system", "df", "-v").stdout
    usage = engine.api("GET", "/system/df/containers").json["Containers"]
    assert usage[0]["SizeRw"] == 100500
    engine.docker("rm", "sized")


def stored(engine):
    """Bytes in imaged's store."""
    found = 0
    for path in (engine.root / "imaged").rglob("*"):
        try:
            found += path.lstat().st_size
        except FileNotFoundError:
            pass  # it is a live store
    return found


def busy_commit(engine):
    """A commit that takes for ever, in the middle: its connection."""
    engine.docker("run", "-d", "--name", "endless", *NET, "busybox", "sh", "-c",
                  "truncate -s 500G /tmp/made; mv /tmp/made /tmp/huge; exec sleep 1000")
    engine.wait_for(lambda: engine.api("HEAD", "/containers/endless/archive?path=/tmp/huge").status == 200)
    engine.wait_for(lambda: "rootfs" not in engine.pids())
    commit = engine.start_request("POST", "/commit?container=endless&repo=never&pause=1")
    engine.wait_for(lambda: stored(engine) > 8 << 20)
    return commit


def nothing_is_left(engine):
    """Neither an image, nor what was staged for one, nor a worker; and the container goes on."""
    engine.wait_for(lambda: not {"rootfs", "image-unpack"} & set(engine.pids()))
    assert engine.docker("exec", "endless", "echo", "runs").stdout == "runs\n"
    assert [i["RepoTags"] for i in engine.api("GET", "/images/json?all=1").json] == [["busybox:latest"]]
    engine.wait_for(lambda: stored(engine) < 8 << 20)
    engine.docker("rm", "-f", "endless")


def test_a_killed_worker(engine):
    commit = busy_commit(engine)
    os.kill(engine.pids()["rootfs"], signal.SIGKILL)
    answer = commit.getresponse()
    assert answer.status >= 500, answer.read()
    commit.close()
    nothing_is_left(engine)


def test_a_client_that_goes(engine):
    busy_commit(engine).close()
    nothing_is_left(engine)


def test_a_killed_runtimed():
    with Engine() as engine:
        engine.busybox()
        commit = busy_commit(engine)
        os.kill(engine.pids()["runtimed"], signal.SIGKILL)
        assert commit.getresponse().status == 503
        commit.close()
        nothing_is_left(engine)


def test_history_names_what_an_image_was_made_from(engine):
    """As far as it was made here: a commit's parent, and that one's."""
    names = ["busybox", "made:first", "made:second"]
    for before, after in zip(names, names[1:]):
        engine.docker("create", "--name", "again", *NET, before, "true")
        engine.docker("commit", "-m", after, "again", after)
        engine.docker("rm", "again")
    shown = engine.api("GET", "/images/made:second/history").json
    ids = [engine.api("GET", f"/images/{name}/json").json["Id"] for name in reversed(names)]
    assert [step["Id"] for step in shown[:3]] == ids
    assert [step["Tags"] for step in shown[:3]] == [["made:second"], ["made:first"], ["busybox:latest"]]
    assert {step["Id"] for step in shown[3:]} <= {"<missing>"}
    engine.docker("rmi", "made:second", "made:first")
