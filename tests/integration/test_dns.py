"""Names of containers: what their name server at 127.0.0.11 says, asked from within their network namespaces."""
import contextlib
import os
import random
import shutil
import signal
import socket
import struct
import threading

import pytest

from tests.harness import dns
from tests.harness.dns import A, AAAA, ANY, MX, PTR, Asker, Upstream
from tests.harness.engine import Engine


@pytest.fixture(scope="module")
def upstream():
    with Upstream(dns.loopback_address()) as server:
        yield server


@pytest.fixture(scope="module")
def engine(upstream):
    """An engine whose containers have one name server outside, ours."""
    with Engine(sets=[f"dns.servers={upstream.address}"]) as running:
        running.busybox()
        yield running


def asker(engine, name):
    return Asker(engine.inspect(name)["State"]["Pid"])


def address(engine, name, network, key="IPAddress"):
    return engine.inspect(name)["NetworkSettings"]["Networks"][network][key]


def reverse(text):
    if ":" in text:
        return ".".join(reversed(socket.inet_pton(socket.AF_INET6, text).hex())) + ".ip6.arpa"
    return ".".join(reversed(text.split("."))) + ".in-addr.arpa"


@contextlib.contextmanager
def network(engine, name, *options):
    engine.docker("network", "create", *options, name)
    try:
        yield name
    finally:
        engine.docker("network", "rm", name)


@contextlib.contextmanager
def container(engine, name, *options, command=("sleep", "1000")):
    engine.docker("run", "-d", "--name", name, *options, "busybox", *command)
    try:
        yield name
    finally:
        engine.docker("rm", "-f", name)


@pytest.fixture(scope="module")
def net(engine):
    with network(engine, "net"), container(engine, "web", "--network", "net", "--network-alias", "www",
                                           "--hostname", "Webhost"), \
            container(engine, "box", "--network", "net"):
        yield "net"


@pytest.fixture
def box(engine, net):
    return asker(engine, "box")


# ---- names ----

def test_names_of_a_container(engine, box):
    web = engine.inspect("web")
    expected = [address(engine, "web", "net")]
    for name in ("web", "www", "WEB", web["Id"][:12], "webhost", "web.net", "www.NET"):
        for tcp in (False, True):
            answer = box.ask(name, tcp=tcp)
            assert answer.rcode == dns.OK and answer.addresses == expected, name
            assert answer.name == name and {ttl for _, _, ttl, _ in answer.records} == {600}
    assert web["NetworkSettings"]["Networks"]["net"]["DNSNames"] == ["web", "www", web["Id"][:12], "Webhost"]


def test_a_name_without_such_an_address_exists(engine, upstream, box):
    """What is known is known: no other type is asked of others, none is an error."""
    for kind in (AAAA, MX, 16, 65):
        for name in ("web", "web.net"):
            answer = box.ask(name, kind)
            assert answer.rcode == dns.OK and answer.records == []
    assert box.ask("web", ANY).addresses == [address(engine, "web", "net")]
    assert not {"web", "web.net"} & set(upstream.names())


def test_addresses_have_names(engine, box):
    answer = box.ask(reverse(address(engine, "web", "net")), PTR)
    assert answer.names == ["web.net"]
    assert box.ask(reverse(address(engine, "web", "net")), A).records == []


def test_the_programs_of_a_container(engine, net):
    shown = engine.docker("exec", "box", "nslookup", "web").stdout
    assert "127.0.0.11" in shown and f"Address: {address(engine, 'web', 'net')}" in shown


def test_an_alias_of_several(engine, net, box):
    with container(engine, "one", "--network", "net", "--network-alias", "many"), \
            container(engine, "two", "--network", "net", "--network-alias", "many"):
        both = {address(engine, "one", "net"), address(engine, "two", "net")}
        answers = [box.ask("many").addresses for _ in range(40)]
        assert all(set(a) == both and len(a) == 2 for a in answers)
        assert {a[0] for a in answers} == both  # in any order
    assert box.ask("many").addresses == ["198.51.100.7"]  # now a name like any other


def test_more_addresses_than_a_datagram_holds(engine, net, box):
    """A question with EDNS says how much it takes; without, 512 bytes; what is cut off comes by TCP."""
    alias = ".".join("x" * 60 for _ in range(4))
    with contextlib.ExitStack() as stack:
        for i in range(20):
            stack.enter_context(container(engine, f"many{i}", "--network", "net", "--network-alias", alias))
        cut = box.ask(alias)
        assert cut.truncated and len(cut.raw) <= 512 and 0 < len(cut.addresses) < 20
        for whole in (box.ask(alias, tcp=True), box.ask(alias, edns=1232)):
            assert not whole.truncated and len(set(whole.addresses)) == 20
        assert whole.edns == 4096
    assert box.ask("web").edns is None


def test_names_change(engine, net, box):
    with container(engine, "before", "--network", "net"):
        at = address(engine, "before", "net")
        assert box.ask("before").addresses == [at]
        engine.docker("rename", "before", "after")
        assert box.ask("after").addresses == [at] and box.ask("before").addresses != [at]
        assert box.ask(reverse(at), PTR).names == ["after.net"]
        engine.docker("rename", "after", "before")
    assert box.ask("before").addresses != [at]


def test_networks_keep_their_names(engine, net, box):
    with network(engine, "other"), container(engine, "secret", "--network", "other"):
        there = address(engine, "secret", "other")
        assert box.ask("secret").addresses == ["198.51.100.7"] and box.ask("secret.other").addresses != [there]
        assert box.ask(reverse(there), PTR).names == []
        engine.docker("network", "connect", "--alias", "guest", "other", "box")
        assert box.ask("secret").addresses == [there] and box.ask("secret.other").addresses == [there]
        assert asker(engine, "secret").ask("guest").addresses == [address(engine, "box", "other")]
        engine.docker("network", "disconnect", "other", "box")
        assert box.ask("secret").addresses != [there]
        assert asker(engine, "secret").ask("guest").addresses == ["198.51.100.7"]


def test_links(engine, net, box):
    with container(engine, "linked", "--network", "net", "--link", "web:database"):
        assert asker(engine, "linked").ask("database").addresses == [address(engine, "web", "net")]
        assert box.ask("database").addresses == ["198.51.100.7"]  # a name of linked's alone


def test_a_container_joins_a_network_with_names(engine, net):
    with container(engine, "late"):
        before = engine.docker("exec", "late", "cat", "/etc/resolv.conf").stdout
        assert "127.0.0.11" not in before
        engine.docker("network", "connect", "net", "late")
        assert "nameserver 127.0.0.11\n" in engine.docker("exec", "late", "cat", "/etc/resolv.conf").stdout
        assert asker(engine, "late").ask("web").addresses == [address(engine, "web", "net")]
        engine.docker("network", "disconnect", "net", "late")
        assert engine.docker("exec", "late", "cat", "/etc/resolv.conf").stdout == before
        with pytest.raises(ConnectionRefusedError):
            asker(engine, "late").ask("web")


def test_ipv6(engine):
    with network(engine, "six", "--ipv6", "--subnet", "fd00:6::/64"), container(engine, "v6", "--network", "six"):
        six = address(engine, "v6", "six", "GlobalIPv6Address")
        ask = asker(engine, "v6").ask
        assert ask("v6", AAAA).addresses == [six] and ask("v6").addresses == [address(engine, "v6", "six")]
        assert set(ask("v6", ANY).addresses) == {six, address(engine, "v6", "six")}
        assert ask(reverse(six), PTR).names == ["v6.six"]


# ---- resolv.conf ----

def resolv_conf(engine, *options):
    return engine.docker("run", "--rm", *options, "busybox", "cat", "/etc/resolv.conf").stdout.splitlines()[1:]


def test_resolv_conf(engine, net, upstream):
    assert resolv_conf(engine) == [f"nameserver {upstream.address}"]
    assert resolv_conf(engine, "--network", "net") == ["nameserver 127.0.0.11", "options ndots:0"]
    assert resolv_conf(engine, "--network", "net", "--dns", "192.0.2.1", "--dns-search", "a.example", "--dns-search",
                       "b.example", "--dns-option", "timeout:3", "--dns-option", "ndots:2") == [
        "nameserver 127.0.0.11", "search a.example b.example", "options timeout:3 ndots:2"]
    # One that the container runs itself is asked by the container itself.
    assert resolv_conf(engine, "--network", "net", "--dns", "127.0.0.1")[0] == "nameserver 127.0.0.1"


def test_a_server_of_the_containers_own(engine, net):
    """Port 53 is the container's: what it runs there takes nothing from 127.0.0.11, nor the other way round."""
    with container(engine, "named", "--network", "net"):
        pid = engine.inspect("named")["State"]["Pid"]

        def listen():
            udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
            for sock in (udp, tcp):
                sock.bind(("0.0.0.0", 53))
            tcp.listen()
            return udp, tcp

        udp, tcp = dns.in_namespace(pid, listen)
        with udp, tcp:
            udp.settimeout(60)
            for use_tcp in (False, True):
                assert Asker(pid).ask("web", tcp=use_tcp).addresses == [address(engine, "web", "net")]
            with dns.in_namespace(pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
                client.sendto(b"hello", ("127.0.0.1", 53))
                assert udp.recv(100) == b"hello"


# ---- questions for others ----

def test_forwarded(engine, upstream, box):
    for tcp in (False, True):
        name = f"www.{random.randrange(10 ** 9)}.example"
        answer = box.ask(name, tcp=tcp)
        assert answer.name == name and answer.addresses == ["198.51.100.7"]
        assert upstream.asked[-1][0].name == name and upstream.asked[-1][1] == tcp


def test_forwarded_whole(engine, net):
    """Any type and EDNS go through; a short answer says so, a long one comes by TCP."""
    long = b"".join(bytes([250]) + bytes([65 + i % 26]) * 250 for i in range(80))

    def answer(asked, tcp):
        if tcp:
            return dns.answer_to(asked, [(16, long)])
        return dns.answer_to(asked, [], flags=0x0200)

    with Upstream(dns.loopback_address(), answer) as server, \
            Engine(sets=[f"dns.servers={server.address}"]) as running:
        running.busybox()
        with network(running, "nn"), container(running, "cc", "--network", "nn"):
            ask = asker(running, "cc").ask
            short = ask("long.example", 16, edns=1400)
            assert short.truncated and short.records == []
            assert server.asked[-1][0].edns == 1400 and server.asked[-1][0].kind == 16
            assert ask("long.example", 16, tcp=True).records == [("long.example", 16, 60, long)]


def test_false_answers_are_not_taken(engine, net):
    """Another id, another question: what answers is not the server; the right answer behind them counts."""
    def answer(asked, tcp):
        ident = struct.unpack(">H", asked[:2])[0]
        evil = [(A, bytes([6, 6, 6, 6]))]
        return [struct.pack(">H", ident ^ 1) + dns.answer_to(asked, evil)[2:],
                dns.answer_to(dns.question("evil.example", ident=ident), evil), asked, asked[:5],
                dns.answer_to(asked, [(A, bytes([1, 2, 3, 4]))])]

    with Upstream(dns.loopback_address(), answer) as server, Engine(sets=[f"dns.servers={server.address}"]) as running:
        running.busybox()
        with network(running, "nn"), container(running, "cc", "--network", "nn"):
            assert asker(running, "cc").ask("true.example").addresses == ["1.2.3.4"]


def test_servers_that_fail(engine):
    """A refusal or a failure leads to the next server, at once; silence does after a while; what nobody knows fails."""
    silent, failing, good = (dns.loopback_address() for _ in range(3))
    with Upstream(silent, lambda asked, tcp: None) as mute, \
            Upstream(failing, lambda asked, tcp: dns.answer_to(asked, rcode=dns.FAILURE)) as poor, \
            Upstream(good, lambda asked, tcp: dns.answer_to(asked, rcode=dns.NO_NAME)) as last:
        for servers, rcode, asked in ((f"{failing},{good}", dns.NO_NAME, (poor, last)),
                                      (f"{dns.loopback_address()},{good}", dns.NO_NAME, (last,)),
                                      (f"{silent},{good}", dns.NO_NAME, (mute, last)),
                                      (f"{failing}", dns.FAILURE, (poor,)),
                                      (f"{dns.loopback_address()}", dns.FAILURE, ())):
            with Engine(config={"dns": {"servers": servers.split(",")}}) as running:
                running.busybox()
                with network(running, "nn"), container(running, "cc", "--network", "nn"):
                    for tcp in (False, True):
                        name = f"n{random.randrange(10 ** 9)}.example"
                        assert asker(running, "cc").ask(name, tcp=tcp).rcode == rcode, servers
                        assert all(name in server.names() for server in asked)


def test_servers_of_the_container(engine, net, upstream):
    """--dns: asked in the place of the host's; here at an address of the bridge."""
    gateway = engine.api("GET", "/networks/net").json["IPAM"]["Config"][0]["Gateway"]
    with Upstream(gateway, lambda asked, tcp: dns.answer_to(asked, [(A, b"\5\5\5\5")])), \
            container(engine, "own", "--network", "net", "--dns", gateway):
        assert asker(engine, "own").ask("any.example").addresses == ["5.5.5.5"]
        assert asker(engine, "own").ask("web").addresses == [address(engine, "web", "net")]


def test_internal_networks_ask_nobody(engine, upstream):  # covers S-73
    with network(engine, "inside", "--internal"), container(engine, "in", "--network", "inside"), \
            container(engine, "in2", "--network", "inside", "--dns", upstream.address.replace("127", "192", 1)):
        for name in ("in", "in2"):
            ask = asker(engine, name).ask
            assert ask("in").addresses == [address(engine, "in", "inside")]
            for asked in ("leak.example", "leak"):
                for tcp in (False, True):
                    assert ask(asked, tcp=tcp).rcode == dns.NO_NAME
        # With a network that leads outside, it may.
        with network(engine, "out"):
            engine.docker("network", "connect", "out", "in")
            assert asker(engine, "in").ask("allowed.example").addresses == ["198.51.100.7"]
            engine.docker("network", "disconnect", "out", "in")
            assert asker(engine, "in").ask("leak.example").rcode == dns.NO_NAME
    assert not {"leak.example", "leak"} & set(upstream.names())


def test_ndots(engine, net, upstream):
    """Who says ndots comes back with a search domain: the bare name is nobody else's business."""
    with container(engine, "dotted", "--network", "net", "--dns-option", "ndots:2", "--dns-search", "corp.example"):
        ask = asker(engine, "dotted").ask
        assert ask("web").addresses == [address(engine, "web", "net")]
        assert ask("printer").rcode == dns.NO_NAME and "printer" not in upstream.names()
        assert ask("printer.corp.example").rcode == dns.OK


class OwnFiles(Engine):
    """An engine that sees an /etc of its own, which starts as a copy of a few files."""

    def arguments(self):
        self.etc = self.dir / "etc"
        if not self.etc.exists():
            self.etc.mkdir(mode=0o755)
            for name in ("passwd", "group", "hosts", "nsswitch.conf"):
                shutil.copy(f"/etc/{name}", self.etc)
            self.resolv_conf("# none\n")
        return ["unshare", "-m", "sh", "-c", f'mount --bind {self.etc} /etc && exec "$@"', "sh", *super().arguments()]

    def resolv_conf(self, text):
        """As the programs that manage it do: a new file in the old one's place."""
        (self.etc / "new").write_text(text)
        (self.etc / "new").rename(self.etc / "resolv.conf")


def test_the_host_gets_other_servers(upstream):
    """A machine that changes its network: containers that run ask the new servers, those on the host's loopback too."""
    with OwnFiles() as running:
        running.busybox()
        with network(running, "nn"), container(running, "cc", "--network", "nn"):
            ask = asker(running, "cc").ask
            assert ask("moving.example").rcode == dns.FAILURE
            running.resolv_conf(f"search somewhere\nnameserver {upstream.address}\n")
            until(lambda: ask("moving.example").addresses == ["198.51.100.7"])
            running.resolv_conf("# none again\n")
            until(lambda: ask("moving.example").rcode == dns.FAILURE)


# ---- what it must withstand ----

def test_it_is_there_for_the_container_alone(engine, box):
    """Its sockets are in containers' namespaces, and nowhere else."""
    dns_pid = engine.pids()["dns"]
    inodes = set()
    for fd in os.listdir(f"/proc/{dns_pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # the connection of an earlier question, closed meanwhile
            inodes.add(os.readlink(f"/proc/{dns_pid}/fd/{fd}"))
    for table in ("udp", "udp6", "tcp", "tcp6"):
        with open(f"/proc/{dns_pid}/net/{table}", encoding="ascii") as lines:  # the host's
            assert not [line for line in list(lines)[1:] if f"socket:[{line.split()[9]}]" in inodes]
    with open(f"/proc/{box.pid}/net/udp", encoding="ascii") as lines:
        assert [line.split()[1].split(":")[0] for line in list(lines)[1:]] == ["0B00007F"]


def test_noise(engine, box):
    """Every byte string is answered as it deserves, and the worker lives."""
    worker = engine.pids()["dns"]
    good = dns.question("web", ident=1, edns=1232)
    noise = [good[:cut] for cut in range(len(good))]
    noise += [good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1:] for i in range(len(good)) for bit in range(8)]
    noise += [random.randbytes(random.randrange(600)) for _ in range(500)]
    for i in range(0, len(noise), 50):  # not more than the socket holds
        with box.udp() as sock:
            for message in noise[i:i + 50]:
                sock.send(message)
        assert box.ask("web").addresses == [address(engine, "web", "net")]
    assert box.send(dns.question("web", flags=0x2800)).rcode == dns.NOT_IMPLEMENTED
    assert box.send(struct.pack(">6H", 9, 0x0100, 2, 0, 0, 0) + good[12:]).rcode == dns.FORMAT
    version = bytearray(dns.question("web", edns=1232))
    version[-5] = 1
    assert Asker(box.pid).send(bytes(version)).records == []
    with box.tcp() as stream:
        stream.sendall(b"\xff\xff" + bytes([0, 9]) + random.randbytes(65533))
        stream.sendall(struct.pack(">H", len(good)) + good)
        answers = [dns.Message(dns.receive_message(stream))]
        if answers[0].id != 1:  # the noise had the form of a question
            answers.append(dns.Message(dns.receive_message(stream)))
        assert answers[-1].addresses == [address(engine, "web", "net")]
    assert engine.pids()["dns"] == worker


def test_many_questions_on_one_connection(engine, box):
    """In one write, with names known and not: each has its answer; the end of the questions is not that of the answers."""
    asked = {i: dns.question("web" if i % 2 else f"q{i}.example", ident=i) for i in range(100)}
    with box.tcp() as stream:
        stream.sendall(b"".join(struct.pack(">H", len(q)) + q for q in asked.values()))
        stream.shutdown(socket.SHUT_WR)
        answers = [dns.Message(dns.receive_message(stream)) for _ in asked]
        assert stream.recv(1) == b""
    assert {a.id for a in answers} == set(asked) and all(a.rcode == dns.OK and a.addresses for a in answers)


def test_connections_are_bounded(engine, box):
    """A container that opens many connections waits for its own, and disturbs nobody."""
    held = [box.tcp() for _ in range(40)]
    assert asker(engine, "web").ask("box", tcp=True).addresses == [address(engine, "box", "net")]
    for stream in held:
        stream.close()
    assert box.ask("web", tcp=True).addresses == [address(engine, "web", "net")]


class Questions:
    """Asks all the time; every question must be answered."""

    def __init__(self, ask):
        self.ask, self.n, self.wrong, self.ended = ask, 0, [], threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.ended.is_set():
            try:
                if not self.ask():
                    self.wrong.append("no address")
            except OSError as problem:
                self.wrong.append(repr(problem))
            self.n += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def until(condition, seconds=60):
    """Wait for an event that nobody tells."""
    done = threading.Event()
    for _ in range(seconds * 100):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it did not come")


def kill(engine, name):
    """Returns when the next process of that name serves."""
    old = engine.pids()[name]
    os.kill(old, signal.SIGKILL)
    until(lambda: engine.pids().get(name, old) != old)


@pytest.mark.parametrize("victims", [("netd",), ("dns",), ("netd", "dns")])
def test_killed_under_questions(engine, box, victims):  # covers D-17
    """netd away: names are answered all the same. The worker away: questions wait. Both: it comes back by itself."""
    expected = [address(engine, "web", "net")]
    worker = engine.pids()["dns"]
    # The question that the worker had in hand when it was killed is gone; every resolver asks again.
    alive = victims == ("netd",)
    near_asker = Asker(box.pid) if alive else Asker(box.pid, timeout=5, tries=12)
    far_asker = Asker(box.pid) if alive else Asker(box.pid, timeout=2)
    with Questions(lambda: near_asker.ask("web").addresses == expected) as known, \
            Questions(lambda: far_asker.ask("far.example").addresses == ["198.51.100.7"]) as far:
        for _ in range(3):
            before = known.n, far.n
            for victim in victims:
                kill(engine, victim)
            if len(victims) == 1:
                until(lambda: known.n > before[0] + 20 and far.n > before[1] + 5)
    if len(victims) == 1:
        assert known.wrong == []
    if alive:
        assert far.wrong == [] and engine.pids()["dns"] == worker

    def answered():
        with contextlib.suppress(OSError):
            return box.ask("web").addresses == expected
        return False

    until(answered)
    # And what comes afterwards is known.
    with container(engine, "fresh", "--network", "net"):
        assert box.ask("fresh").addresses == [address(engine, "fresh", "net")]
        assert asker(engine, "fresh").ask("web", tcp=True).addresses == expected


def test_a_question_waits_for_the_next_worker(engine, box):  # covers D-17
    """What the worker has not read yet when it is killed is answered, without being asked again."""
    worker = engine.pids()["dns"]
    asked = dns.question("web", dns.A)
    with box.udp() as near:
        os.kill(worker, signal.SIGSTOP)
        near.sendall(asked)
        os.kill(worker, signal.SIGKILL)
        assert dns.Message(near.recv(65535)).addresses == [address(engine, "web", "net")]


def test_nothing_is_left_of_an_ended_container(engine, net):
    """Its sockets would keep its namespace, and that its addresses."""
    with container(engine, "short", "--network", "net"):
        namespace = os.readlink(f"/proc/{engine.inspect('short')['State']['Pid']}/ns/net")
        worker, netd = engine.pids()["dns"], engine.pids()["netd"]
        fds = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (worker, netd)]
    assert namespace.startswith("net:[")
    until(lambda: [len(os.listdir(f"/proc/{pid}/fd")) + 2 for pid in (worker, netd)] <= fds)
