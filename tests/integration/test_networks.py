"""Networks with the docker CLI and the kernel's own word."""
import json

import pytest


@pytest.fixture(scope="module")
def engine_settings(host):
    return {"machine": host}


def test_default_network(engine):
    """covers S-71: an IPv4-only network has no IPv6 address, link-local included."""
    shown = engine.docker("run", "--rm", "busybox", "sh", "-c", "ip -o addr show dev eth0; ip route").stdout
    lines = shown.splitlines()
    assert len([line for line in lines if "inet " in line]) == 1
    assert not [line for line in lines if "inet6" in line], shown
    assert any(line.startswith("default via ") for line in lines)


@pytest.fixture(scope="module")
def web(engine):
    name = "web"
    engine.docker("run", "-d", "--name", name, "-p", "127.0.0.1::8080", "busybox", "sh", "-c",
                  "mkdir -p /www && echo found > /www/index.html && exec httpd -f -p 8080 -h /www")
    yield name
    engine.docker("rm", "-f", name)


def test_published_port_by_loopback(engine, host, web):
    address = engine.docker("port", web, "8080/tcp").stdout.strip()
    assert address.startswith("127.0.0.1:")
    assert "found" in host.get(address)


def test_port_conflict_names_the_holder(engine, web):
    port = engine.docker("port", web, "8080/tcp").stdout.strip().rpartition(":")[2]
    failed = engine.docker("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true", check=False)
    assert failed.returncode == 125 and "already allocated to container web" in failed.stderr, failed.stderr


def test_containers_of_different_networks_do_not_meet(engine, web):
    """Isolation between networks; on the same one they do."""
    address = json.loads(engine.docker("inspect", web).stdout)[0]["NetworkSettings"]["IPAddress"]
    # Not wget: that of Debian's static busybox ends with SIGSEGV where glibc finds no NSS libraries.
    fetch = ["busybox", "sh", "-c", f"printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 8080"]
    assert "found" in engine.docker("run", "--rm", *fetch).stdout
    engine.docker("network", "create", "apart")
    assert engine.docker("run", "--rm", "--network", "apart", *fetch, check=False).stdout == ""
    engine.docker("network", "rm", "apart")


def test_network_routes(engine):
    created = engine.api("POST", "/networks/create", {"Name": "made", "IPAM": {"Config": [{"Subnet": "10.213.0.0/24"}]}})
    assert created.status == 201, created
    shown = engine.api("GET", "/networks/made").json
    assert shown["IPAM"]["Config"] == [{"Subnet": "10.213.0.0/24", "Gateway": "10.213.0.1"}]
    assert engine.api("POST", "/networks/create", {"Name": "made"}).status == 409
    overlap = engine.api("POST", "/networks/create", {"Name": "over", "IPAM": {"Config": [{"Subnet": "10.213.0.0/16"}]}})
    assert overlap.status == 403 and "made" in overlap.message
    asked = engine.docker("run", "--rm", "--network", "made", "--ip", "10.213.0.77", "busybox", "ip", "-o", "-4", "addr",
                          "show", "eth0").stdout
    assert "10.213.0.77/24" in asked
    assert engine.api("DELETE", "/networks/made").status == 204
    assert engine.api("GET", "/networks/made").status == 404
    assert engine.api("DELETE", "/networks/bridge").status == 403


def test_bad_networks_are_named(engine):
    for body, word in (({"Driver": "nothere"}, "nothere"), ({"Options": {"colour": "red"}}, "colour"),
                       ({"IPAM": {"Config": [{"Subnet": "10.214.0.0/16", "Gateway": "11.0.0.1"}]}}, "11.0.0.1"),
                       ({"Driver": "macvlan"}, "parent"), ({"EnableIPv4": False}, "EnableIPv4"),
                       ({"Options": {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}}, "gateway_mode_ipv4"),
                       ({"Options": {"com.docker.network.bridge.inhibit_ipv4": "true"}}, "inhibit_ipv4"),
                       ({"ConfigOnly": True}, "ConfigOnly"), ({"ConfigFrom": {"Network": "bridge"}}, "ConfigFrom"),
                       ({"Ingress": True}, "Ingress"), ({"Scope": "swarm"}, "Scope"),
                       ({"IPAM": {"Driver": "dhcp"}}, "dhcp"), ({"IPAM": {"Options": {"a": "b"}}}, "IPAM: Options")):
        answer = engine.api("POST", "/networks/create", {"Name": "bad", **body}, version="1.47")
        assert answer.status in (400, 404) and word in answer.message, answer
    assert engine.api("GET", "/networks/bad").status == 404


def test_firewall_comes_back(engine, host, web):
    """covers S-70: after a flush of all rules the engine's table returns."""
    address = engine.docker("port", web, "8080/tcp").stdout.strip()
    host.run("nft", "delete", "table", "inet", engine.nft_table)
    host.run("timeout", "20", "sh", "-c", f"until nft list table inet {engine.nft_table} 2>/dev/null; do :; done")
    assert "found" in host.get(address)


def test_low_ports_without_capabilities(engine):
    """As with Docker, an application that is not root may listen on port 80 of its own network."""
    words = ("nc -l -p 80 </dev/null & until grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6; do kill -0 $! || exit 1; done; "
             "echo low")
    assert engine.docker("run", "--rm", "-u", "1000", "busybox", "sh", "-c", words).stdout == "low\n"
    shown = engine.docker("run", "--rm", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024", "busybox", "cat",
                          "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout
    assert shown == "1024\n"
