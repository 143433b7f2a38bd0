"""Every field of ContainerConfig: what it does in a container, or why it is refused."""
import re

import pytest

from tests.harness.fields import Run, output
from tests.harness.rootfs import Tar, busybox_tar

# field, config, command (None: the config's own), what it says: the whole output, or a pattern
HONOURED = [
    ("Hostname", {"Hostname": "box"}, "hostname; cat /etc/hostname", "box\nbox\n"),
    ("Hostname default", {}, "hostname", re.compile("[0-9a-f]{12}\n")),
    ("Hostname longest", {"Hostname": "h" * 64}, "hostname", "h" * 64 + "\n"),
    ("Domainname", {"Domainname": "dom.example"}, "cat /proc/sys/kernel/domainname", "dom.example\n"),
    ("User name", {"User": "app"}, "id; pwd", "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n/\n"),
    ("User number", {"User": "1000"}, "id -u; id -G", "1000\n1000 2000\n"),
    ("User number unknown", {"User": "4242"}, "id -u; id -G", "4242\n0\n"),
    ("User number:number", {"User": "4242:4343"}, "id -u; id -G", "4242\n4343\n"),
    ("User name:name", {"User": "app:extra"}, "id -u; id -g", "1000\n2000\n"),
    ("User name:number", {"User": "app:7"}, "id -u; id -G", "1000\n7\n"),
    ("User :group", {"User": ":2000"}, "id -u; id -g", "0\n2000\n"),
    ("User HOME", {"User": "app"}, "echo $HOME", "/home/app\n"),
    ("User HOME root", {}, "echo $HOME", "/root\n"),
    ("User HOME given", {"User": "app", "Env": ["HOME=/x"]}, "echo $HOME", "/x\n"),
    ("Tty", {"Tty": True}, "test -t 0 && test -t 1 && test -t 2 && echo $TERM", "xterm\n"),
    ("Env", {"Env": ["A=1", "B=x=y z", "C="]}, 'echo "$A|$B|$C|${D-unset}"', "1|x=y z||unset\n"),
    ("Env PATH", {}, "echo $PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"),
    ("Env HOSTNAME", {"Hostname": "box"}, "echo $HOSTNAME", "box\n"),
    ("Cmd list", {"Cmd": ["echo", "a b", "$c"]}, None, "a b $c\n"),
    ("Cmd text", {"Cmd": "arch"}, None, "x86_64\n"),
    ("Entrypoint", {"Entrypoint": ["echo", "e"], "Cmd": ["c"]}, None, "e c\n"),
    ("Entrypoint alone", {"Entrypoint": ["echo", "e"]}, None, "e\n"),
    ("Entrypoint empty", {"Entrypoint": [], "Cmd": ["echo", "c"]}, None, "c\n"),
    ("WorkingDir", {"WorkingDir": "/home/app"}, "pwd", "/home/app\n"),
    ("WorkingDir new", {"WorkingDir": "/new/dir"}, "pwd; stat -c %u:%a /new/dir", "/new/dir\n0:755\n"),
    ("Volumes", {"Volumes": {"/data": {}}}, "grep -c ' /data ' /proc/self/mountinfo", "1\n"),
    ("NetworkDisabled", {"NetworkDisabled": True}, "ls /sys/class/net", "lo\n"),
    ("ArgsEscaped", {"ArgsEscaped": True}, "echo kept", "kept\n"),
]


@pytest.mark.parametrize("field,config,command,says", HONOURED, ids=[row[0] for row in HONOURED])
def test_honoured(engine, field, config, command, says):
    text = output(engine, command, config=config)
    assert says.search(text) if isinstance(says, re.Pattern) else text == says, text


# field, config, words of the refusal at create or start
REFUSED = [
    ("User unknown", {"User": "nobody-here"}, "unable to find user nobody-here"),
    ("User group unknown", {"User": "app:no-group"}, "unable to find group no-group"),
    ("User outside the range", {"User": "65536"}, "65536"),
    ("Hostname", {"Hostname": "a b"}, "Hostname"),
    ("Hostname too long", {"Hostname": "h" * 65}, "Hostname"),
    ("Env without a name", {"Env": ["=x"]}, "environment"),
    ("Cmd missing", {"Cmd": []}, "No command"),
    ("WorkingDir", {"WorkingDir": "relative"}, "working directory"),
    ("StopSignal", {"StopSignal": "SIGNOPE"}, "SIGNOPE"),
    ("ExposedPorts", {"ExposedPorts": {"80/icmp": {}}}, "ExposedPorts"),
    ("MacAddress", {"MacAddress": "02:42"}, "MacAddress"),
    ("Volumes relative", {"Volumes": {"data": {}}}, "data"),
    ("Volumes root", {"Volumes": {"/": {}}}, "'/'"),
    ("Healthcheck", {"Healthcheck": {"Test": ["SHELL", "x"]}}, "SHELL"),
    ("Healthcheck Interval", {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}}, "Interval"),
    ("PortSpecs", {"PortSpecs": ["80"]}, "PortSpecs"),
    ("unknown", {"Colour": "red"}, "Colour"),
    ("Labels", {"Labels": {"io.pouch.owner": "me"}}, "io.pouch"),
]


@pytest.mark.parametrize("field,config,words", REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(engine, field, config, words):
    run = Run(engine, "true", config=config)
    run.remove()
    status = (run.created if run.created.status != 201 else run.started).status
    assert run.error and words in run.error and status in (400, 403), (status, run.error)


@pytest.fixture(scope="module")
def image(engine):
    """An image whose config has something of everything."""
    changes = ["ENTRYPOINT [\"echo\",\"image\"]", "CMD [\"cmd\"]", "ENV A=image B=image", "USER app", "WORKDIR /home",
               "LABEL l=image k=image", "VOLUME /vol", "EXPOSE 81", "STOPSIGNAL SIGQUIT"]
    engine.import_tar(busybox_tar(), "full:1", changes)
    return "full:1"


INHERITED = [
    ({}, "image cmd\n"),
    ({"Cmd": ["mine"]}, "image mine\n"),
    ({"Cmd": []}, "image cmd\n"),
    ({"Entrypoint": ["echo", "mine"]}, "mine\n"),
    ({"Entrypoint": [], "Cmd": ["echo", "x"]}, "x\n"),
    ({"Entrypoint": [""], "Cmd": ["echo", "x"]}, "x\n"),
    ({"Entrypoint": "", "Cmd": ["echo", "x"]}, "x\n"),
    ({"Entrypoint": ["sh", "-c"], "Cmd": ["echo $A $B $C; id -u; pwd"], "Env": ["A=mine", "C=c"]}, "mine image c\n1000\n/home\n"),
    ({"Entrypoint": ["sh", "-c"], "Cmd": ["echo ${A-gone}"], "Env": ["A"]}, "gone\n"),
    ({"Entrypoint": ["sh", "-c"], "Cmd": ["id -u; pwd"], "User": "0", "WorkingDir": "/tmp"}, "0\n/tmp\n"),
]


@pytest.mark.parametrize("config,says", INHERITED, ids=range(len(INHERITED)))
def test_with_the_images_config(engine, image, config, says):
    assert output(engine, None, config={"Image": image, **config}) == says


def test_what_the_image_gives_is_shown(engine, image):
    run = Run(engine, None, config={"Image": image, "Labels": {"l": "mine"}, "ExposedPorts": {"82/udp": {}}})
    config = run.inspect()["Config"]
    run.remove()
    assert config["Labels"] == {"l": "mine", "k": "image"} and set(config["ExposedPorts"]) == {"81/tcp", "82/udp"}
    assert config["StopSignal"] == "SIGQUIT" and set(config["Volumes"]) == {"/vol"}


def test_stop_signal_and_timeout(engine):
    trap = "trap 'echo usr1; exit 3' USR1; trap '' TERM; echo up; while :; do sleep 0.1; done"
    run = Run(engine, trap, config={"StopSignal": "SIGUSR1", "StopTimeout": 60})
    while "up" not in run.log():
        pass
    assert engine.api("POST", f"/containers/{run.id}/stop").status == 204
    state = run.inspect()["State"]
    assert state["ExitCode"] == 3 and run.log() == "up\nusr1\n"
    run.remove()
    run = Run(engine, "trap '' TERM; echo up; while :; do sleep 0.1; done", config={"StopTimeout": 0})
    while "up" not in run.log():
        pass
    assert engine.api("POST", f"/containers/{run.id}/stop").status == 204
    assert run.inspect()["State"]["ExitCode"] == 137
    run.remove()


def test_stdin_once_and_open_stdin(engine):
    done = engine.docker("run", "--rm", "-i", "--network", "none", "busybox", "cat", input="one\ntwo\n")
    assert done.stdout == "one\ntwo\n"


def test_mac_address_old_and_endpoint(engine):
    for version, where in (("1.43", {"config": {"MacAddress": "02:42:ac:99:00:01"}}),
                           ("1.47", {"networking": {"EndpointsConfig": {"bridge": {"MacAddress": "02:42:ac:99:00:01"}}}})):
        text = output(engine, "cat /sys/class/net/eth0/address", host={"NetworkMode": "bridge"}, version=version, **where)
        assert text == "02:42:ac:99:00:01\n"


# ---- Healthcheck ----

def events(engine, since, container):
    import json
    answer = engine.api("GET", f'/events?since={since}&until={since + 3600}&filters={{"container":["{container}"]}}')
    return [json.loads(line)["Action"] for line in answer.body.splitlines()]


def wait_health(engine, run, wanted):
    """Follows the container's events until its health is so."""
    import http.client
    import json
    from tests.harness.engine import UnixConnection
    connection = UnixConnection(engine.socket, timeout=120)
    connection.request("GET", f'/v1.43/events?since=0&filters={{"container":["{run.id}"],"event":["health_status"]}}')
    response = connection.getresponse()
    assert isinstance(response, http.client.HTTPResponse)
    buffer = b""
    while True:
        buffer += response.read1(65536)
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            if json.loads(line)["Action"] == f"health_status: {wanted}":
                connection.close()
                return run.inspect()["State"]["Health"]


MS = 1000000


def test_health_becomes_healthy_and_unhealthy(engine):
    check = {"Test": ["CMD-SHELL", "echo looked; test -e /tmp/well"], "Interval": 50 * MS, "Timeout": 20000 * MS, "Retries": 3}
    run = Run(engine, "touch /tmp/well; sleep 1000", config={"Healthcheck": check})
    assert run.inspect()["State"]["Health"]["Status"] in ("starting", "healthy")
    health = wait_health(engine, run, "healthy")
    assert health["Status"] == "healthy" and health["FailingStreak"] == 0
    assert health["Log"][0]["ExitCode"] == 0 and health["Log"][0]["Output"] == "looked\n"
    assert run.inspect()["Config"]["Healthcheck"] == check
    run.execute("rm", "/tmp/well")
    health = wait_health(engine, run, "unhealthy")
    assert health["FailingStreak"] >= 3 and 3 <= len(health["Log"]) <= 5
    assert [entry["ExitCode"] for entry in health["Log"]][-3:] == [1, 1, 1]
    assert engine.docker("ps", "--filter", f"id={run.id}", "--format", "{{.Status}}").stdout.strip().endswith("(unhealthy)")
    run.remove()


def test_health_timeout_start_period_and_shell(engine):
    check = {"Test": ["CMD", "sleep", "999"], "Interval": 50 * MS, "Timeout": 100 * MS, "Retries": 3}
    run = Run(engine, "sleep 1000", config={"Healthcheck": check})
    health = wait_health(engine, run, "unhealthy")
    assert health["Log"][-1]["ExitCode"] == -1 and "exceeded timeout" in health["Log"][-1]["Output"]
    # Three probes are killed, and end; the next one may be running.
    engine.wait_for(lambda: run.execute("ps").count("sleep 999") <= 1)
    run.remove()
    # In the start period failures do not count; a success ends it.
    check = {"Test": ["CMD-SHELL", "test $0 = /bin/odd"], "Interval": 3600 * 1000 * MS, "Retries": 1,
             "StartPeriod": 3600 * 1000 * MS, "StartInterval": 20 * MS}
    run = Run(engine, "sleep 1000", config={"Healthcheck": check, "Shell": ["/bin/busybox", "sh", "-c"]})
    while len(run.inspect()["State"]["Health"]["Log"]) < 5:
        pass
    health = run.inspect()["State"]["Health"]
    assert health["Status"] == "starting" and health["FailingStreak"] == 0
    run.remove()


def test_health_none_and_inherited_interval(engine):
    run = Run(engine, "sleep 1000", config={"Healthcheck": {"Test": ["NONE"]}})
    assert "Health" not in run.inspect()["State"]
    run.remove()


LINKED = [
    ("absolute", {"link": "/late/dir"}, "/link", "/late/dir 0:755"),
    ("relative, and something below", {"home/link": "late"}, "/home/link/a/b", "/home/late/a/b 0:755"),
    ("by another link", {"link": "other", "other": "/late"}, "/link", "/late 0:755"),
    ("not out of the root", {"link": "../../../late"}, "/link", "/late 0:755"),
    ("into a volume", {"link": "/data/late"}, "/link", "/data/late 0:755"),
    ("into a tmpfs", {"link": "/run/late"}, "/link", "/run/late 0:755"),
    ("what is there", {"link": "/home/app"}, "/link", "/home/app 1000:755"),
]


@pytest.mark.parametrize("links,workdir,says", [row[1:] for row in LINKED], ids=[row[0] for row in LINKED])
def test_a_working_directory_that_links_lead_to(engine, links, workdir, says):
    """It is made where they lead, as one that is not there is."""
    made = engine.docker("create", "--network", "none", "-w", workdir, "-v", "/data", "--tmpfs", "/run", "busybox",
                         "sh", "-c", "echo $(pwd -P) $(stat -c %u:%a .)").stdout.strip()
    tar = Tar()
    for name, target in links.items():
        tar.symlink(name, target)
    engine.api("PUT", f"/containers/{made}/archive?path=/", tar.bytes(), {"Content-Type": "application/x-tar"})
    assert engine.docker("start", "-a", made).stdout == says + "\n"
    engine.docker("rm", "-v", made)


def test_a_working_directory_that_links_lead_nowhere_to(engine):
    made = engine.docker("create", "--network", "none", "-w", "/link", "busybox", "pwd").stdout.strip()
    tar = Tar().symlink("link", "other").symlink("other", "link").bytes()
    engine.api("PUT", f"/containers/{made}/archive?path=/", tar, {"Content-Type": "application/x-tar"})
    answer = engine.api("POST", f"/containers/{made}/start")
    assert answer.status == 400 and "working directory /link" in answer.message and "symbolic links" in answer.message, answer
    engine.docker("rm", made)
