"""Containers onto further networks and off them, with the docker CLI, and what the kernel says of it."""
import json
import os
import signal
import subprocess

import pytest


@pytest.fixture(scope="module")
def engine_settings(host):
    return {"machine": host}


def networks(engine, name):
    return engine.inspect(name)["NetworkSettings"]["Networks"]


def inside(engine, name, *command, check=True):
    return engine.docker("exec", name, *command, check=check).stdout


@pytest.fixture(scope="module")
def nets(engine):
    for name, subnet in (("red", "10.207.1.0/24"), ("blue", "10.207.2.0/24")):
        engine.docker("network", "create", "--subnet", subnet, name)
    yield
    for name in ("red", "blue"):
        engine.docker("network", "rm", name)


@pytest.fixture
def box(engine, nets):
    name = "box"
    engine.docker("run", "-d", "--name", name, "--hostname", "boxhost", "busybox", "sleep", "1000")
    yield name
    engine.docker("rm", "-f", name)


def test_connect_running(engine, box):
    engine.docker("network", "connect", "--ip", "10.207.1.50", "--alias", "ali", "red", box)
    shown = networks(engine, box)
    assert list(shown) == ["bridge", "red"]
    key = engine.inspect(box)["NetworkSettings"]["SandboxKey"]
    assert "10.207.1.50" in subprocess.run(["nsenter", f"--net={key}", "ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    assert shown["red"]["IPAddress"] == "10.207.1.50" and shown["red"]["Gateway"] == "10.207.1.1"
    assert shown["red"]["IPPrefixLen"] == 24 and "ali" in shown["red"]["Aliases"]
    assert "10.207.1.50/24" in inside(engine, box, "ip", "-o", "-4", "addr", "show", "eth1")
    assert shown["red"]["MacAddress"] in inside(engine, box, "ip", "link", "show", "eth1")
    assert "10.207.1.50\tboxhost" in inside(engine, box, "cat", "/etc/hosts")
    assert box in engine.docker("network", "inspect", "red").stdout
    # The first network still gives the default route.
    assert "dev eth0" in [x for x in inside(engine, box, "ip", "route").splitlines() if x.startswith("default")][0]

    engine.docker("network", "disconnect", "red", box)
    assert list(networks(engine, box)) == ["bridge"]
    assert "eth1" not in inside(engine, box, "ip", "link")
    assert "10.207.1.50" not in inside(engine, box, "cat", "/etc/hosts")
    assert box not in engine.docker("network", "inspect", "red").stdout
    # The address is free again.
    assert engine.docker("run", "--rm", "--network", "red", "--ip", "10.207.1.50", "busybox", "true").returncode == 0


def test_default_route_moves(engine, box):
    """Off the network that led outside: another one takes over, and with none left there is no route."""
    engine.docker("network", "connect", "blue", box)
    engine.docker("network", "disconnect", "bridge", box)
    assert inside(engine, box, "ip", "route").splitlines()[0].startswith("default via 10.207.2.1 dev eth1")
    engine.docker("network", "disconnect", "blue", box)
    assert "default" not in inside(engine, box, "ip", "route")
    assert networks(engine, box) == {}
    engine.docker("network", "connect", "red", box)
    assert "default via 10.207.1.1 dev eth0" in inside(engine, box, "ip", "route")


def test_gateway_priority(engine, box):
    for name, priority in (("red", 7), ("blue", 9)):
        answer = engine.api("POST", f"/networks/{name}/connect",
                            {"Container": box, "EndpointConfig": {"GwPriority": priority}})
        assert answer.status == 200, answer
    assert "default via 10.207.2.1" in inside(engine, box, "ip", "route")
    assert networks(engine, box)["blue"]["GwPriority"] == 9
    engine.docker("network", "disconnect", "blue", box)
    assert "default via 10.207.1.1" in inside(engine, box, "ip", "route")


def test_what_a_container_has_added_to_its_hosts_stays(engine, box):
    inside(engine, box, "sh", "-c", "echo 192.0.2.1 mine >> /etc/hosts; echo '# mine' >> /etc/resolv.conf")
    engine.docker("network", "connect", "red", box)
    hosts = inside(engine, box, "cat", "/etc/hosts")
    assert "192.0.2.1 mine" in hosts and "10.207.1." in hosts
    engine.docker("network", "disconnect", "red", box)
    hosts = inside(engine, box, "cat", "/etc/hosts")
    assert hosts.count("192.0.2.1 mine") == 1 and "10.207.1." not in hosts
    assert "# mine" in inside(engine, box, "cat", "/etc/resolv.conf")


def test_created_and_stopped_containers(engine, nets):
    """What was connected while it did not run is there when it starts, and stays over restarts of it and the engine."""
    engine.docker("create", "--name", "later", "--network", "red", "busybox", "sleep", "1000")
    engine.docker("network", "connect", "--ip", "10.207.2.77", "blue", "later")
    assert list(networks(engine, "later")) == ["red", "blue"]
    engine.docker("start", "later")
    assert networks(engine, "later")["blue"]["IPAddress"] == "10.207.2.77"
    engine.docker("network", "disconnect", "red", "later")
    engine.docker("restart", "-t", "0", "later")
    assert inside(engine, "later", "ip", "-o", "-4", "addr").count("eth") == 2  # the line names it twice
    assert list(networks(engine, "later")) == ["blue"]
    engine.docker("stop", "-t", "0", "later")
    engine.docker("network", "disconnect", "blue", "later")
    engine.docker("network", "connect", "red", "later")
    assert list(networks(engine, "later")) == ["red"]
    os.kill(engine.pids()["runtimed"], signal.SIGKILL)
    assert list(networks(engine, "later")) == ["red"]
    engine.docker("start", "later")
    assert "10.207.1." in inside(engine, "later", "ip", "-4", "addr")
    engine.docker("rm", "-f", "later")


def test_off_a_network_that_is_gone(engine, nets):
    """Who does not run does not hold a network; afterwards it can be taken off what is not there any more, and starts."""
    engine.docker("network", "create", "going")
    engine.docker("create", "--name", "left", "--network", "going", "busybox", "true")
    engine.docker("network", "connect", "red", "left")
    engine.docker("network", "rm", "going")
    failed = engine.docker("start", "left", check=False)
    assert failed.returncode == 1 and "network going not found" in failed.stderr, failed
    failed = engine.docker("network", "disconnect", "nothere", "left", check=False)
    assert failed.returncode == 1 and "network nothere not found" in failed.stderr, failed
    engine.docker("network", "disconnect", "going", "left")
    assert list(networks(engine, "left")) == ["red"]
    engine.docker("start", "-a", "left")
    engine.docker("rm", "-f", "left")


def test_aliases_need_a_name_server(engine, nets):
    engine.docker("create", "--name", "named", "--network", "red", "busybox", "true")
    failed = engine.docker("network", "connect", "--alias", "web", "bridge", "named", check=False)
    assert failed.returncode == 1 and "only supported for user-defined networks" in failed.stderr, failed
    answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "NetworkingConfig": {
        "EndpointsConfig": {"bridge": {"Aliases": ["web"]}}}})
    assert answer.status == 400 and "only supported for user-defined networks" in answer.message, answer
    engine.docker("rm", "named")


def test_several_networks_at_create(engine, nets):
    created = engine.api("POST", "/containers/create?name=several", {
        "Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "red"},
        "NetworkingConfig": {"EndpointsConfig": {"blue": {"IPAMConfig": {"IPv4Address": "10.207.2.9"}, "GwPriority": 1},
                                                 "red": {"MacAddress": "02:00:00:00:00:07"}}}}, version="1.44")
    assert created.status == 201, created
    engine.docker("start", "several")
    shown = networks(engine, "several")
    assert shown["blue"]["IPAddress"] == "10.207.2.9" and shown["red"]["MacAddress"] == "02:00:00:00:00:07"
    assert "default via 10.207.2.1" in inside(engine, "several", "ip", "route")
    engine.docker("rm", "-f", "several")


def test_refusals_say_why(engine, box):
    def fails(status, words, path, body):
        answer = engine.api("POST", path, body)
        assert answer.status == status and words in answer.message, answer

    engine.docker("network", "connect", "red", box)
    fails(403, "already exists in network red", "/networks/red/connect", {"Container": box})
    fails(404, "network nothere not found", "/networks/nothere/connect", {"Container": box})
    fails(404, "No such container: nobody", "/networks/blue/connect", {"Container": "nobody"})
    fails(404, "No such container: nobody", "/networks/blue/disconnect", {"Container": "nobody", "Force": True})
    fails(404, "is not connected to network blue", "/networks/blue/disconnect", {"Container": box})
    fails(400, "no configured subnet of network blue contains 10.207.1.9", "/networks/blue/connect",
          {"Container": box, "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.207.1.9"}}})
    fails(409, "Address already in use: 10.207.2.1", "/networks/blue/connect",
          {"Container": box, "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.207.2.1"}}})
    fails(403, "connected to host network", "/networks/host/connect", {"Container": box})
    fails(403, "private (none) mode", "/networks/none/connect", {"Container": box})
    engine.docker("run", "-d", "--name", "hosted", "--network", "host", "busybox", "sleep", "1000")
    fails(403, "network mode host", "/networks/red/connect", {"Container": "hosted"})
    fails(403, "disconnected from host network", "/networks/host/disconnect", {"Container": "hosted", "Force": True})
    engine.docker("rm", "-f", "hosted")
    assert list(networks(engine, box)) == ["bridge", "red"]  # what failed left nothing
    assert "eth2" not in inside(engine, box, "ip", "link")


def on_none(engine):
    """Names of who is on the network none, by inspect of it."""
    shown = engine.api("GET", "/networks/none").json["Containers"]
    for container, endpoint in shown.items():
        assert endpoint["EndpointID"] and not endpoint["MacAddress"] + endpoint["IPv4Address"] + endpoint["IPv6Address"], endpoint
        assert engine.inspect(container)["NetworkSettings"]["Networks"]["none"]["EndpointID"] == endpoint["EndpointID"]
    return [endpoint["Name"] for endpoint in shown.values()]


def test_none_is_a_network(engine, nets):
    """It has containers, who may leave it for another network and come back, also while they do not run."""
    none = engine.api("GET", "/networks/none").json["Id"]

    def connects(status, network, words=""):
        answer = engine.api("POST", f"/networks/{network}/connect", {"Container": "alone"})
        assert answer.status == status and words in answer.body.decode(), answer

    engine.docker("run", "-d", "--name", "alone", "--network", "none", "busybox", "sleep", "1000")
    assert on_none(engine) == ["alone"] and networks(engine, "alone")["none"]["NetworkID"] == none
    connects(403, "red", "private (none) mode")
    connects(403, "none", "already exists in network none")
    engine.docker("network", "disconnect", "none", "alone")
    assert on_none(engine) == [] and networks(engine, "alone") == {}
    connects(200, "red")
    connects(403, "none", "private (none) mode")
    assert "10.207.1." in inside(engine, "alone", "ip", "-4", "addr", "show", "eth0")
    assert "default via 10.207.1.1" in inside(engine, "alone", "ip", "route")
    engine.docker("restart", "-t", "0", "alone")
    assert list(networks(engine, "alone")) == ["red"]
    engine.docker("network", "disconnect", "red", "alone")
    connects(200, "none")
    assert on_none(engine) == ["alone"]
    engine.docker("stop", "-t", "0", "alone")
    engine.wait_for(lambda: on_none(engine) == [])
    assert list(networks(engine, "alone")) == ["none"]
    engine.docker("network", "disconnect", "none", "alone")
    connects(200, "none")
    engine.docker("start", "alone")
    assert on_none(engine) == ["alone"] and "eth" not in inside(engine, "alone", "ip", "link")
    engine.docker("rm", "-f", "alone")


def test_none_is_not_beside_others(engine, nets):
    for body in ({"HostConfig": {"NetworkMode": "none"}, "NetworkingConfig": {"EndpointsConfig": {"red": {}}}},
                 {"HostConfig": {"NetworkMode": "red"}, "NetworkingConfig": {"EndpointsConfig": {"none": {}}}}):
        answer = engine.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], **body}, version="1.44")
        assert answer.status == 400 and "network none beside others" in answer.message, answer


@pytest.mark.parametrize("killed", ("netd", "runtimed"))
def test_on_none_over_a_kill(engine, nets, killed):
    """covers D-17: who is on the network none stays there, and can leave it."""
    engine.docker("run", "-d", "--name", "alone", "--network", "none", "busybox", "sleep", "1000")
    before = networks(engine, "alone")
    os.kill(engine.pids()[killed], signal.SIGKILL)
    assert on_none(engine) == ["alone"] and networks(engine, "alone") == before
    engine.docker("network", "disconnect", "none", "alone")
    engine.docker("network", "connect", "red", "alone")
    assert "10.207.1." in inside(engine, "alone", "ip", "-4", "addr", "show", "eth0")
    engine.docker("rm", "-f", "alone")


UNABLE = [
    ({"DriverOpts": {"com.docker.network.endpoint.ifname": "up/0"}}, "com.docker.network.endpoint.ifname"),
    ({"IPAMConfig": {"LinkLocalIPs": ["10.207.2.41"]}}, "10.207.2.41"),
    ({"IPAMConfig": {"LinkLocalIPs": ["fe80::7"], "IPv4Address": "10.207.2.40"}}, "fe80::7"),
    ({"IPAMConfig": {"LinkLocalIPs": [f"169.254.7.{i}" for i in range(20)]}}, "LinkLocalIPs"),
    ({"IPAMConfig": {"LinkLocalIPs": ["here"]}}, "LinkLocalIPs"),
    ({"IPAMConfig": {"IPv6Address": "fd00:207::7"}}, "fd00:207::7"),
    ({"MacAddress": "01:00:00:00:00:01"}, "MacAddress"),
    ({"MacAddress": "00:00:00:00:00:00"}, "MacAddress"),
    ({"Colour": "blue"}, "Colour"),
]


@pytest.mark.parametrize("settings, words", UNABLE, ids=range(len(UNABLE)))
def test_what_an_endpoint_cannot_have(engine, box, settings, words):
    """At create and at connect: nothing is taken and dropped. What only answers carry may come back as it was."""
    answer = engine.api("POST", "/networks/blue/connect", {"Container": box, "EndpointConfig": settings})
    assert answer.status == 400 and words in answer.message, answer
    answer = engine.api("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "blue"},
        "NetworkingConfig": {"EndpointsConfig": {"blue": settings}}}, version="1.44")
    assert answer.status == 400 and words in answer.message, answer
    assert list(networks(engine, box)) == ["bridge"]


def test_an_inspected_endpoint_may_come_back(engine, box):
    """As tools have it that make a container anew: empty options, and what the engine itself chose."""
    shown = networks(engine, box)["bridge"]
    shown.update(MacAddress="", DriverOpts={}, IPAMConfig={"LinkLocalIPs": []})
    assert shown["IPAddress"] and shown["EndpointID"]
    answer = engine.api("POST", "/networks/blue/connect", {"Container": box, "EndpointConfig": shown})
    assert answer.status == 200, answer
    assert networks(engine, box)["blue"]["IPAddress"] != shown["IPAddress"]


def test_events(engine, box):
    def now():
        return engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()

    def since(start):
        return engine.docker("events", "--since", start, "--until", now(), "--filter", "type=network", "--format",
                             "{{.Action}} {{json .Actor.Attributes}}").stdout.splitlines()

    start = now()
    engine.docker("network", "connect", "red", box)
    engine.docker("network", "disconnect", "red", box)
    engine.docker("network", "create", "--label", "goes", "green")
    engine.docker("network", "prune", "-f", "--filter", "label=goes")
    engine.wait_for(lambda: any(line.startswith("prune") for line in since(start)))
    container = engine.inspect(box)["Id"]
    events = [(action, json.loads(attributes)) for action, attributes in (line.split(" ", 1) for line in since(start))]
    red, green = {"name": "red", "type": "bridge", "container": container}, {"name": "green", "type": "bridge"}
    assert events == [("connect", red), ("disconnect", red), ("create", green), ("destroy", green), ("prune", {"reclaimed": "0"})]


@pytest.mark.parametrize("mode, driver", (("none", "null"), ("host", "host")))
def test_events_of_a_start_and_end(engine, mode, driver):
    """Who is on one of them comes and goes as on any other network."""
    container = engine.docker("create", "--network", mode, "busybox", "true").stdout.strip()
    words = ["--filter", "type=network", "--filter", f"network={mode}"]
    start = engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    engine.docker("start", "-a", container)

    def events():
        until = engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
        shown = engine.docker("events", "--since", start, "--until", until, *words, "--format",
                              "{{.Action}} {{.Actor.Attributes.type}} {{.Actor.Attributes.container}}").stdout
        return [line for line in shown.splitlines() if container in line]

    engine.wait_for(lambda: len(events()) == 2)
    assert events() == [f"connect {driver} {container}", f"disconnect {driver} {container}"]
    engine.docker("rm", container)


def test_a_killed_runtimed_knows_addresses(engine, box):
    """covers D-17: inspect has the real values when runtimed comes back, and a published port is shown."""
    engine.docker("network", "connect", "red", box)
    before = networks(engine, box)
    os.kill(engine.pids()["runtimed"], signal.SIGKILL)
    assert networks(engine, box) == before


def test_ports_follow_the_gateway(engine, host, nets):
    """Published on the network that leads outside; when that one goes, they lead over the next, on the same ports."""
    engine.docker("run", "-d", "--name", "web", "--network", "red", "-p", "127.0.0.1::80", "busybox", "sh", "-c",
                  "mkdir /www; echo moved > /www/index.html; exec httpd -f -p 80 -h /www")
    port = engine.docker("port", "web", "80/tcp").stdout.strip()
    engine.space("web").listens(80)
    assert "moved" in host.get(port)
    engine.docker("network", "connect", "blue", "web")
    engine.docker("network", "disconnect", "red", "web")
    assert engine.docker("port", "web", "80/tcp").stdout.strip() == port
    assert "moved" in host.get(port)
    engine.docker("network", "disconnect", "blue", "web")
    assert engine.docker("port", "web").stdout == ""
    engine.docker("network", "connect", "red", "web")
    port = engine.docker("port", "web", "80/tcp").stdout.strip()
    assert "moved" in host.get(port)
    engine.docker("rm", "-f", "web")


def test_its_devices_go_though_others_are_in_its_namespace(engine, nets):
    """A container that is joined is restarted with the address that it had, as Compose does it with a service's network."""
    engine.docker("run", "-d", "--name", "joined", "--network", "red", "--ip", "10.207.1.60", "busybox", "sleep", "1000")
    engine.docker("run", "-d", "--name", "joins", "--network", "container:joined", "busybox", "sleep", "1000")
    assert "10.207.1.60" in inside(engine, "joins", "ip", "-4", "addr")
    engine.docker("restart", "-t", "0", "joined")
    assert "10.207.1.60" in inside(engine, "joined", "ip", "-4", "addr")
    assert "eth" not in inside(engine, "joins", "ip", "link"), "the address would be there twice"
    engine.docker("restart", "-t", "0", "joins")
    assert "10.207.1.60" in inside(engine, "joins", "ip", "-4", "addr")
    engine.docker("rm", "-f", "joined")
    assert "10.207.1.60" in engine.docker("run", "--rm", "--network", "red", "--ip", "10.207.1.60", "busybox", "ip", "-4", "addr").stdout
    engine.docker("rm", "-f", "joins")
