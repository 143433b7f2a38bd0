"""/etc/hosts, resolv.conf and hostname, also without a network of the container's own; what follows when others change."""
import pytest


@pytest.fixture(scope="module")
def engine_settings(host):
    return {"machine": host}


@pytest.fixture
def web(engine):
    engine.docker("run", "-d", "--name", "web", "--hostname", "webhost", "--dns", "192.0.2.53", "busybox", "sleep", "1000")
    yield "web"
    engine.docker("rm", "-f", "web")


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
