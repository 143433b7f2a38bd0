"""Networks with the docker CLI and the kernel's own word."""
import ctypes
import errno
import json
import os
import signal
import socket
import subprocess

import pytest

from tests.harness.engine import Engine


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


def test_a_network_without_ipv6(engine, host):
    """covers S-71: neither in the container, which may try, nor on the host's side of it."""
    engine.docker("network", "create", "four")
    bridge = "br-" + engine.api("GET", "/networks/four").json["Id"][:12]
    engine.docker("run", "-d", "--name", "four1", "--network", "four", "busybox", "sleep", "1000")
    space, words = engine.space("four1"), ("ip", "-o", "-6", "addr", "show")
    assert all(" lo " in line for line in space.run(*words).stdout.splitlines())
    assert host.run(*words, "dev", bridge).stdout == ""
    ports = [line.split()[1].split("@")[0] for line in host.run("ip", "-o", "link", "show", "master", bridge).stdout.splitlines()]
    assert len(ports) == 1 and host.run(*words, "dev", ports[0].rstrip(":")).stdout == ""
    engine.docker("rm", "-f", "four1")
    engine.docker("network", "rm", "four")


@pytest.fixture(scope="module")
def web(engine):
    name = "web"
    engine.docker("run", "-d", "--name", name, "-p", "127.0.0.1::8080", "busybox", "sh", "-c",
                  "mkdir -p /www && echo found > /www/index.html && exec httpd -f -p 8080 -h /www")
    engine.space(name).listens(8080)
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
    def fetch(seconds):
        return ["busybox", "sh", "-c", f"printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w {seconds} {address} 8080"]

    assert "found" in engine.docker("run", "--rm", *fetch(60)).stdout
    engine.docker("network", "create", "apart")
    assert engine.docker("run", "--rm", "--network", "apart", *fetch(2), check=False).stdout == ""
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
    assert "10.213.0.77/24 brd 10.213.0.255" in asked
    assert engine.api("DELETE", "/networks/made").status == 204
    assert engine.api("GET", "/networks/made").status == 404
    assert engine.api("DELETE", "/networks/bridge").status == 403


def test_bad_networks_are_named(engine):
    before = [n["Name"] for n in engine.api("GET", "/networks").json]
    for body, word in (({"Driver": "nothere"}, "nothere"), ({"Options": {"colour": "red"}}, "colour"),
                       ({"IPAM": {"Config": [{"Subnet": "10.214.0.0/16", "Gateway": "11.0.0.1"}]}}, "11.0.0.1"),
                       ({"EnableIPv4": False}, "EnableIPv4"),
                       ({"Driver": "macvlan", "Options": {"parent": "nothere0.10"}}, "nothere0.10"),
                       ({"Driver": "macvlan", "Options": {"parent": "lo", "macvlan_mode": "sideways"}}, "sideways"),
                       ({"Driver": "ipvlan", "Options": {"parent": "lo", "ipvlan_mode": "l9"}}, "l9"),
                       ({"ConfigFrom": {"Network": "bridge"}}, "bridge is a network"), ({"ConfigFrom": {"Network": "nothere"}}, "nothere"),
                       ({"Ingress": True}, "Ingress"), ({"Scope": "swarm"}, "Scope"),
                       ({"Name": "default"}, "default"), ({"Name": "host"}, "predefined host"),
                       *(({"IPAM": {"Config": [{"Subnet": subnet}]}, "EnableIPv6": ":" in subnet}, word) for subnet, word in
                         (("127.3.0.0/16", "loopback"), ("224.0.0.0/24", "multicast"), ("0.4.0.0/16", "no addresses of hosts"),
                          ("10.214.0.7/32", "no address for a container"), ("ff05::/64", "multicast"), ("::1/128", "::/127"),
                          ("fd00:214::7/128", "no address for a container"))),
                       ({"Options": {"com.docker.network.bridge.name": engine.bridge}}, "the bridge of network bridge"),
                       ({"IPAM": {"Driver": "dhcp"}}, "dhcp"), ({"IPAM": {"Options": {"a": "b"}}}, "IPAM: Options")):
        answer = engine.api("POST", "/networks/create", {"Name": "bad", **body}, version="1.47")
        assert answer.status in (400, 403, 404) and word in answer.message, answer
    assert [n["Name"] for n in engine.api("GET", "/networks").json] == before
    answer = engine.api("GET", '/networks?filters={"type":["bad"]}')
    assert answer.status == 400 and "want builtin or custom" in answer.message, answer


def test_firewall_comes_back(engine, host, web):
    """covers S-70: after a flush of all rules the engine's table returns."""
    address = engine.docker("port", web, "8080/tcp").stdout.strip()
    host.run("nft", "delete", "table", "inet", engine.nft_table)
    host.run("timeout", "60", "sh", "-c", f"until nft list table inet {engine.nft_table} 2>/dev/null; do :; done")
    assert "found" in host.get(address)


def test_low_ports_without_capabilities(engine):
    """As with Docker, an application that is not root may listen on port 80 of its own network."""
    words = ("nc -l -p 80 </dev/null & until grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6; do kill -0 $! || exit 1; done; "
             "echo low")
    assert engine.docker("run", "--rm", "-u", "1000", "busybox", "sh", "-c", words).stdout == "low\n"
    shown = engine.docker("run", "--rm", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024", "busybox", "cat",
                          "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout
    assert shown == "1024\n"


def create(engine, name, **body):
    return engine.api("POST", "/networks/create", {"Name": name, **body}, version="1.47")


def test_configurations(engine, host):
    """Networks that others are made from: what they have is had, changed nowhere else, and kept while it is used."""
    engine.docker("network", "create", "--config-only", "--subnet", "10.215.0.0/24", "--ip-range", "10.215.0.128/25", "--label", "a=b",
                  "-o", "com.docker.network.driver.mtu=1400", "-o", "com.docker.network.bridge.name=madefrom", "conf")
    shown = engine.api("GET", "/networks/conf").json
    assert shown["ConfigOnly"] is True and shown["Driver"] == "null" and shown["Scope"] == "local", shown
    assert shown["IPAM"]["Config"] == [{"Subnet": "10.215.0.0/24", "IPRange": "10.215.0.128/25"}]
    assert "madefrom" not in host.run("ip", "link").stdout
    engine.docker("network", "create", "-d", "bridge", "--config-from", "conf", "real")
    real = engine.api("GET", "/networks/real").json
    assert real["ConfigFrom"] == {"Network": "conf"} and real["ConfigOnly"] is False and real["Labels"] == {"a": "b"}
    asked = engine.docker("run", "--rm", "--network", "real", "busybox", "sh", "-c", "ip -o -4 addr show dev eth0; ip link").stdout
    assert "10.215.0.129/24" in asked and "mtu 1400" in asked and "madefrom" in host.run("ip", "link").stdout
    for body, status, words in (({"ConfigFrom": {"Network": "conf"}, "Labels": {"x": "y"}}, 403, "user specified"),
                                ({"ConfigFrom": {"Network": "conf"}, "Options": {"x": "y"}}, 403, "user specified"),
                                ({"ConfigFrom": {"Network": "conf"}, "EnableIPv6": True}, 403, "user specified"),
                                ({"ConfigFrom": {"Network": "conf"}, "IPAM": {"Config": [{"Subnet": "10.216.0.0/24"}]}}, 403, "user"),
                                ({"ConfigFrom": {"Network": "conf"}, "ConfigOnly": True}, 403, "cannot depend"),
                                ({"ConfigFrom": {"Network": "real"}}, 404, "is a network"),
                                ({"ConfigFrom": {"Network": "nothere"}}, 404, "nothere"), ({"ConfigOnly": True, "Internal": True}, 403, "operator"),
                                ({"ConfigFrom": {"Network": "conf"}}, 403, "overlap")):
        answer = create(engine, "bad", **body)
        assert answer.status == status and words in answer.message, answer
    failed = engine.docker("run", "--rm", "--network", "conf", "busybox", "true", check=False)
    assert failed.returncode == 125 and "configuration network" in failed.stderr
    answer = engine.api("DELETE", "/networks/conf")
    assert answer.status == 403 and "in use by network real" in answer.message
    engine.docker("network", "prune", "-f")
    assert engine.api("GET", "/networks/real").status == 404 and engine.api("GET", "/networks/conf").status == 200
    engine.docker("network", "rm", "conf")


def test_configurations_outlive_the_engine(engine):
    engine.docker("network", "create", "--config-only", "--subnet", "10.217.0.0/24", "-o", "parent=dev0.10", "vlan")
    engine.docker("network", "create", "--config-only", "--label", "x=y", "empty")
    engine.docker("network", "create", "--config-from", "empty", "from")
    before = engine.api("GET", "/networks").json
    engine.stop()
    engine.start()
    assert engine.api("GET", "/networks").json == before
    engine.docker("network", "rm", "from", "empty", "vlan")


def test_options_of_an_endpoint(engine):
    """The device's name, and its sysctls; what is neither is named."""
    option = "driver-opt=com.docker.network.endpoint."
    engine.docker("network", "create", "ends")
    sysctls = "sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.forwarding=0,net.ipv4.neigh.IFNAME.gc_stale_time=77"
    shown = engine.docker("run", "--rm", "--network", f'name=ends,{option}ifname=front,"{option}{sysctls}"', "busybox", "sh", "-c",
                          "cd /proc/sys/net/ipv4; cat conf/front/log_martians conf/front/forwarding neigh/front/gc_stale_time; "
                          "ip route").stdout
    assert shown.startswith("1\n0\n77\n") and "default via" in shown and "dev front" in shown
    engine.docker("run", "-d", "--name", "two", "--network", f"name=ends,{option}ifname=front", "busybox", "sleep", "1000")
    engine.docker("network", "connect", "bridge", "two")
    assert engine.docker("exec", "two", "ls", "/sys/class/net").stdout.split() == ["eth0", "front", "lo"]
    engine.docker("network", "create", "more")
    failed = engine.docker("network", "connect", "--driver-opt", "com.docker.network.endpoint.ifname=front", "more", "two", check=False)
    assert failed.returncode == 1 and "has a device front" in failed.stderr
    assert engine.docker("exec", "two", "ls", "/sys/class/net").stdout.split() == ["eth0", "front", "lo"]
    engine.docker("rm", "-f", "two")
    for opts, word in (({"colour": "red"}, "colour"), ({"com.docker.network.endpoint.ifname": "a/b"}, "a/b"),
                       ({"com.docker.network.endpoint.ifname": "lo"}, "lo"), ({"com.docker.network.endpoint.sysctls": "x"}, "x"),
                       ({"com.docker.network.endpoint.sysctls": "net.ipv4.conf.eth0.forwarding=1"}, "IFNAME"),
                       ({"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.../../ip_forward=1"}, "unrecognised"),
                       ({"com.docker.network.endpoint.sysctls": "net.core.IFNAME.x=1"}, "unrecognised")):
        body = {"Image": "busybox", "Cmd": ["true"], "NetworkingConfig": {"EndpointsConfig": {"ends": {"DriverOpts": opts}}},
                "HostConfig": {"NetworkMode": "ends"}}
        answer = engine.api("POST", "/containers/create", body)
        assert answer.status == 400 and word in answer.message, answer
    failed = engine.docker("run", "--rm", "--network", f"name=ends,{option}sysctls=net.ipv4.conf.IFNAME.nothere=1", "busybox", "true",
                           check=False)
    assert failed.returncode == 125 and "net.ipv4.conf.eth0.nothere" in failed.stderr, failed.stderr
    engine.docker("network", "rm", "ends", "more")


def test_link_local_addresses(engine):
    """Besides those of the network; an IPv4-only network gives no IPv6 one."""
    engine.docker("network", "create", "--ipv6", "local")
    shown = engine.docker("run", "--rm", "--network", "name=local,link-local-ip=169.254.7.7,link-local-ip=fe80::7", "busybox", "ip", "-o",
                          "addr", "show", "dev", "eth0").stdout
    assert "inet 169.254.7.7/16" in shown and "inet6 fe80::7/64" in shown and shown.count("inet ") == 2, shown
    engine.docker("network", "rm", "local")


def test_who_has_the_hosts_network(engine):
    """`network inspect host` lists them, also after netd was killed; those that have ended are off."""
    engine.docker("run", "-d", "--name", "onhost", "--network", "host", "busybox", "sleep", "1000")
    identity = engine.inspect("onhost")["Id"]
    (held,) = engine.api("GET", "/networks/host").json["Containers"].items()
    assert held[0] == identity and held[1]["Name"] == "onhost" and held[1]["IPv4Address"] == "" and held[1]["MacAddress"] == "", held
    settings = engine.inspect("onhost")["NetworkSettings"]
    assert settings["Networks"]["host"]["EndpointID"] == held[1]["EndpointID"] and settings["Ports"] == {}
    os.kill(engine.pids()["netd"], signal.SIGKILL)
    assert dict([held]) == engine.api("GET", "/networks/host").json["Containers"]
    engine.docker("stop", "-t", "0", "onhost")
    engine.wait_for(lambda: engine.api("GET", "/networks/host").json["Containers"] == {})
    engine.docker("rm", "onhost")


def test_exposing_in_anothers_network(engine, web):
    """Refused when it is asked for; what the image exposes is not asked for."""
    failed = engine.docker("run", "--rm", "--network", f"container:{web}", "--expose", "99", "busybox", "true", check=False)
    assert failed.returncode == 125 and "conflicting options: port exposing" in failed.stderr
    engine.docker("commit", "-c", "EXPOSE 99", web, "exposes")
    engine.docker("run", "--rm", "--network", f"container:{web}", "exposes", "true")
    engine.docker("rmi", "exposes")


class Compare(ctypes.Structure):
    """libseccomp's struct scmp_arg_cmp."""
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def without_nfnetlink():
    """For this process and its children socket(AF_NETLINK, …, NETLINK_NETFILTER) is what it is on a kernel without the module."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(0x7fff0000)))
    equal = 4
    rules = (Compare * 2)(Compare(0, equal, socket.AF_NETLINK, 0), Compare(2, equal, 12, 0))
    assert library.seccomp_rule_add_array(context, ctypes.c_uint32(0x00050000 | errno.EPROTONOSUPPORT),
                                          library.seccomp_syscall_resolve_name(b"socket"), 2, rules) == 0
    assert library.seccomp_load(context) == 0


def test_a_kernel_without_nfnetlink():
    """The log says so, instead of libnftables ending netd with words of its own."""
    engine = Engine(start=False)
    with engine, open(engine.log_path, "wb") as log:
        process = subprocess.Popen(engine.arguments(), stdout=subprocess.DEVNULL, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                                   preexec_fn=without_nfnetlink)
        try:
            engine.wait_for(lambda: "has no nfnetlink" in engine.log(), timeout=60)
        finally:
            process.terminate()
            process.wait(60)
    assert "Unable to initialize Netlink socket" not in engine.log()
