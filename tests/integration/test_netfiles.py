"""/etc/hosts, resolv.conf and hostname, also without a network of the container's own; what follows when others change."""
import ipaddress

import pytest


@pytest.fixture(scope="module")
def engine_settings(host):
    return {"machine": host}


@pytest.fixture
def web(engine):
    engine.docker("run", "-d", "--name", "web", "--hostname", "webhost", "--dns", "192.0.2.53", "busybox", "sleep", "1000")
    yield "web"
    engine.docker("rm", "-f", "web")


def address_in(engine, network, n):
    subnet = engine.api("GET", f"/networks/{network}").json["IPAM"]["Config"][0]["Subnet"]
    return str(ipaddress.ip_network(subnet)[n])


def read(engine, name, file):
    return engine.docker("exec", name, "cat", file).stdout


def test_a_joined_network_has_the_same_files(engine, web):
    """As with Docker: the very files, so that both see what changes in them."""
    engine.docker("run", "-d", "--name", "side", "--network", "container:web", "busybox", "sleep", "1000")
    files = ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
    assert [read(engine, "side", f) for f in files] == [read(engine, web, f) for f in files]
    assert "192.0.2.53" in read(engine, "side", "/etc/resolv.conf") and "webhost" in read(engine, "side", "/etc/hosts")
    engine.docker("network", "create", "more")
    engine.docker("network", "connect", "more", web)
    assert read(engine, "side", "/etc/hosts") == read(engine, web, "/etc/hosts")
    assert read(engine, "side", "/etc/hosts").count("webhost") == 2
    engine.docker("network", "disconnect", "more", web)
    engine.docker("network", "rm", "more")
    # Both started anew: again the same.
    engine.docker("restart", "-t", "0", web)
    engine.docker("restart", "-t", "0", "side")
    engine.docker("exec", web, "sh", "-c", "echo 192.0.2.9 added >> /etc/hosts")
    assert "192.0.2.9 added" in read(engine, "side", "/etc/hosts")
    engine.docker("rm", "-f", "side")
    assert "webhost" in read(engine, web, "/etc/hosts")


def test_links_follow_a_restarted_peer(engine, web):
    """The address of --link in the hosts file is the one that the other container has now."""
    address = lambda: engine.inspect(web)["NetworkSettings"]["IPAddress"]
    first = address()
    engine.docker("run", "-d", "--name", "user", "--link", "web:shop", "busybox", "sleep", "1000")
    lines = lambda: [x.split() for x in read(engine, "user", "/etc/hosts").splitlines() if "shop" in x]
    assert [line[0] for line in lines()] == [first] and "web" in lines()[0]
    engine.docker("stop", "-t", "0", web)
    engine.docker("run", "-d", "--name", "taker", "busybox", "sleep", "1000")  # has the free address, or the next one
    engine.docker("run", "-d", "--name", "taker2", "busybox", "sleep", "1000")
    engine.docker("start", web)
    assert address() != first
    engine.wait_for(lambda: [line[0] for line in lines()] == [address()])
    engine.docker("rm", "-f", "user", "taker", "taker2")


def test_links_follow_a_renamed_peer(engine, web):
    """A link is to a container, not to a name; inspect shows it as Docker does, and takes that form when it is given back."""
    engine.docker("run", "-d", "--name", "user", "--link", "web:shop", "busybox", "sleep", "1000")
    assert engine.inspect("user")["HostConfig"]["Links"] == ["/web:/user/shop"]
    engine.docker("rename", "web", "web2")
    assert engine.inspect("user")["HostConfig"]["Links"] == ["/web2:/user/shop"]
    engine.docker("restart", "-t", "0", "user")
    assert "shop web2" in read(engine, "user", "/etc/hosts")
    engine.docker("run", "-d", "--name", "again", "--link", "/web2:/user/shop", "--link", "web2", "busybox", "sleep", "1000")
    assert engine.inspect("again")["HostConfig"]["Links"] == ["/web2:/again/shop", "/web2:/again/web2"]
    names = [line.split("\t")[1] for line in read(engine, "again", "/etc/hosts").splitlines() if "web2" in line]
    assert [name.split()[0] for name in names] == ["shop", "web2"]
    engine.docker("rename", "web2", "web")
    engine.docker("rm", "-f", "user", "again")


def test_a_link_to_who_comes_later(engine, web):
    """On a network with a name server the alias is there when the other is; on the default one there is nobody to link to."""
    engine.docker("network", "create", "waiting")
    engine.docker("run", "-d", "--name", "early", "--network", "waiting", "--link", "late:shop", "busybox", "sleep", "1000")
    look = lambda: engine.docker("exec", "early", "nslookup", "-type=a", "shop", "127.0.0.11", check=False)
    assert look().returncode != 0
    engine.docker("run", "-d", "--name", "late", "--network", "waiting", "--ip", address_in(engine, "waiting", 9), "busybox", "sleep", "1000")
    assert address_in(engine, "waiting", 9) in look().stdout
    engine.docker("restart", "-t", "0", "early")
    assert address_in(engine, "waiting", 9) in look().stdout
    failed = engine.docker("create", "--link", "nobody:shop", "busybox", "true", check=False)
    assert failed.returncode != 0 and "No such container: nobody" in failed.stderr, failed
    engine.docker("rm", "-f", "early", "late")
    engine.docker("network", "rm", "waiting")


def test_names_by_links(engine, web):
    """As with Docker: whom others have linked is listed with their names for it, and found by them."""
    def names():
        listed = {c["Names"][0].split("/")[1]: c["Names"] for c in engine.api("GET", "/containers/json?all=1").json}
        return next(all for all in listed.values() if "/web" in all or "/web2" in all)

    assert names() == ["/web"]
    engine.docker("create", "--name", "user", "--link", "web:shop", "--link", "web:cache", "busybox", "true")
    engine.docker("network", "create", "own")
    engine.docker("create", "--name", "own", "--network", "own", "--link", "web:shop", "busybox", "true")
    assert names() == ["/user/cache", "/user/shop", "/web"]
    assert "user/cache,user/shop,web" in engine.docker("ps", "--no-trunc", "--format", "{{.Names}}").stdout.splitlines()
    for name in ("user/shop", "/user/cache"):
        assert engine.inspect(name)["Name"] == "/web"
    for name in ("user/nosuch", "own/shop", "nosuch/shop"):
        assert "No such" in engine.docker("inspect", name, check=False).stderr, name
    engine.docker("rename", "user", "other")
    engine.docker("rename", "web", "web2")
    assert names() == ["/other/cache", "/other/shop", "/web2"]
    assert engine.inspect("other/shop")["Name"] == "/web2"
    engine.docker("rename", "web2", "web")
    engine.docker("rm", "--link", "other/shop")
    assert names() == ["/other/cache", "/web"]
    engine.docker("rm", "other", "own")
    assert names() == ["/web"]
    engine.docker("network", "rm", "own")


def test_a_link_to_a_name_that_is_its_own_link(engine):
    """On a user-defined network it may come later; who looks for it does not go round."""
    engine.docker("network", "create", "round")
    before = engine.pids()["runtimed"]
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "bridge", "Links": ["turns/x:x"]},
            "NetworkingConfig": {"EndpointsConfig": {"bridge": {}, "round": {"Links": ["turns/x:x"]}}}}
    assert engine.api("POST", "/containers/create?name=turns", body, version="1.47").status == 201
    assert any("/turns" in c["Names"] for c in engine.api("GET", "/containers/json?all=1").json)
    assert engine.api("GET", "/containers/turns/x/json").status == 404
    assert engine.pids()["runtimed"] == before
    engine.docker("rm", "turns")
    engine.docker("network", "rm", "round")


def test_a_link_is_removed(engine, web):
    engine.docker("network", "create", "unlinked")
    engine.docker("network", "connect", "unlinked", web)
    for name, network in (("user", "bridge"), ("other", "unlinked")):
        engine.docker("run", "-d", "--name", name, "--network", network, "--link", "web:shop", "--link", "web:kept", "busybox", "sleep", "1000")
    engine.docker("create", "--name", "idle", "--link", "web:shop", "busybox", "true")
    for name in ("user", "other", "idle"):
        assert engine.docker("rm", "--link", f"{name}/shop").stdout == f"{name}/shop\n"
        assert not [x for x in engine.inspect(name)["HostConfig"]["Links"] or [] if "shop" in x]
        failed = engine.docker("rm", "--link", f"{name}/shop", check=False)
        assert failed.returncode == 1 and "No such" in failed.stderr, failed
    text = read(engine, "user", "/etc/hosts")
    assert "kept" in text and "shop" not in text
    assert engine.docker("exec", "other", "nslookup", "kept", "127.0.0.11", check=False).returncode == 0
    assert engine.docker("exec", "other", "nslookup", "shop", "127.0.0.11", check=False).returncode != 0
    engine.docker("restart", "-t", "0", "user")
    text = read(engine, "user", "/etc/hosts")
    assert "kept" in text and "shop" not in text
    assert engine.inspect(web)["State"]["Running"]
    assert engine.api("DELETE", "/containers/user/kept?force=1").status == 404, "no link was asked for"
    assert "No such container" in engine.api("DELETE", "/containers/user/kept").message
    engine.docker("rm", "-f", "user", "other", "idle")
    engine.docker("network", "disconnect", "unlinked", web)
    engine.docker("network", "rm", "unlinked")


@pytest.mark.parametrize("mode", ("host", "none"))
def test_files_without_a_network(engine, mode):
    options = ["--network", mode, "--add-host", "shop:192.0.2.7", "--add-host", "up:host-gateway", "--dns", "192.0.2.53",
               "--dns-search", "example.org", "--dns-option", "ndots:3"]
    shown = engine.docker("run", "--rm", *options, "busybox", "cat", "/etc/hosts", "/etc/resolv.conf").stdout
    gateway = engine.api("GET", "/networks/bridge").json["IPAM"]["Config"][0]["Gateway"]
    for line in ("192.0.2.7\tshop", f"{gateway}\tup", "nameserver 192.0.2.53", "search example.org", "options ndots:3"):
        assert line in shown.splitlines(), shown


def test_the_hosts_own_file_in_its_network(engine):
    shown = engine.docker("run", "--rm", "--network", "host", "busybox", "cat", "/etc/hosts").stdout
    with open("/etc/hosts", encoding="utf-8") as file:
        assert shown == file.read()


@pytest.mark.parametrize("mode", ("host", "none", "container:web"))
@pytest.mark.parametrize("option", (("--mac-address", "02:42:00:00:00:09"), ("--ip", "10.1.2.3")))
def test_what_needs_a_network_of_its_own(engine, web, mode, option):
    failed = engine.docker("run", "--rm", "--network", mode, *option, "busybox", "true", check=False)
    assert failed.returncode == 125 and ("mac-address" in failed.stderr or "IP address" in failed.stderr), failed


@pytest.mark.parametrize("option", (("--dns", "192.0.2.1"), ("--dns-search", "a.example"), ("--dns-option", "ndots:1"),
                                    ("--add-host", "a:192.0.2.1"), ("--hostname", "x"), ("-p", "80"), ("--link", "web")))
def test_what_a_joined_network_decides(engine, web, option):
    failed = engine.docker("run", "--rm", "--network", "container:web", *option, "busybox", "true", check=False)
    assert failed.returncode == 125 and "conflicting options" in failed.stderr, failed
