"""Volumes with the docker CLI and the API. covers S-43 in part: a mount never leads removal out of the volume."""
import os
import select
import time


def wait_until_unmounted(path):
    """The kernel reports changes of the mount table as POLLPRI."""
    deadline = time.monotonic() + 60
    with open("/proc/self/mountinfo", encoding="ascii") as table:
        poll = select.poll()
        poll.register(table, select.POLLPRI | select.POLLERR)
        while any(line.split()[4] == path for line in table):
            assert time.monotonic() < deadline, "still mounted after its last user"
            poll.poll(1000)
            table.seek(0)


def test_volume_keeps_files_between_containers(engine):
    engine.docker("run", "--rm", "--network", "none", "-v", "kept:/data", "busybox", "sh", "-c", "echo text > /data/file")
    shown = engine.docker("run", "--rm", "--network", "none", "-v", "kept:/data:ro", "busybox", "cat", "/data/file")
    assert shown.stdout == "text\n"
    engine.docker("volume", "rm", "kept")


def test_ids_on_disk_are_the_containers(engine):
    """covers D-11: root of the container is root in its volume, whatever its range on the host is."""
    engine.docker("run", "--rm", "--network", "none", "-v", "ids:/data", "busybox", "sh", "-c",
                  "touch /data/root; touch /data/app; chown 1000:1000 /data/app")
    path = engine.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "ids").stdout.strip()
    assert os.stat(f"{path}/root").st_uid == 0
    assert os.stat(f"{path}/app").st_uid == 1000
    engine.docker("volume", "rm", "ids")


def test_same_name_same_volume_other_driver_conflict(engine):
    first = engine.api("POST", "/volumes/create", {"Name": "again", "Labels": {"a": "b"}})
    assert first.status == 201, first
    assert engine.api("POST", "/volumes/create", {"Name": "again"}).json["CreatedAt"] == first.json["CreatedAt"]
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    assert engine.api("POST", "/volumes/create", {"Name": "again", "DriverOpts": options}).status == 409
    assert engine.api("POST", "/volumes/create", {"Name": "no", "Driver": "nothere"}).status == 404
    assert engine.api("DELETE", "/volumes/again").status == 204
    assert engine.api("DELETE", "/volumes/again").status == 404


def test_list_filters(engine):
    engine.docker("volume", "create", "--label", "colour=red", "filter-one")
    engine.docker("volume", "create", "filter-two")
    names = engine.docker("volume", "ls", "-q", "--filter", "label=colour=red").stdout.split()
    assert names == ["filter-one"]
    names = engine.docker("volume", "ls", "-q", "--filter", "name=filter").stdout.split()
    assert names == ["filter-one", "filter-two"]
    engine.docker("volume", "rm", "filter-one", "filter-two")


def test_bad_options_are_named(engine):
    for options, word in (({"type": "tmpfs"}, "device"), ({"device": "x"}, "type"), ({"colour": "red"}, "colour"),
                          ({"size": "1g"}, "size")):
        answer = engine.api("POST", "/volumes/create", {"Name": "bad", "DriverOpts": options})
        assert answer.status == 400 and word in answer.message, answer
    assert engine.api("GET", "/volumes/bad").status == 404


def test_names_have_two_characters(engine):
    """With the driver local, whoever names it; a name of 255 is one."""
    for answer in (engine.api("POST", "/volumes/create", {"Name": "x"}),
                   engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Binds": ["x:/data"]}})):
        assert answer.status == 400 and "volume name is too short" in answer.message, answer
    assert engine.api("GET", "/volumes/x").status == 404
    for name in ("xy", "x" * 255):
        assert engine.api("POST", "/volumes/create", {"Name": name}).status == 201
        engine.docker("volume", "rm", name)


def test_in_use_is_a_conflict_naming_the_container(engine):
    container = engine.docker("create", "-v", "used:/data", "--network", "none", "busybox", "true").stdout.strip()
    answer = engine.api("DELETE", "/volumes/used")
    assert answer.status == 409 and container in answer.message
    engine.docker("rm", container)
    engine.docker("volume", "rm", "used")


def test_tmpfs_volume_is_mounted_while_used(engine):
    engine.docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=2m,uid=1000", "mem")
    path = engine.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "mem").stdout.strip()
    shown = engine.docker("run", "--rm", "--network", "none", "-v", "mem:/data", "busybox", "sh", "-c",
                          "stat -c %u /data; df -k /data | tail -1")
    lines = shown.stdout.splitlines()
    assert lines[0] == "1000" and " 2048 " in lines[1], shown.stdout
    wait_until_unmounted(path)
    engine.docker("volume", "rm", "mem")
