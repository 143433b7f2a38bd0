"""Machines of a test: network namespaces that are wired to each other, with an engine in one of them.

    with Machine() as host, Machine() as peer:
        link = host.wire(peer)                      # host.addresses[0] and peer.addresses[0], IPv4 and IPv6
        with Engine(machine=host) as engine: ...    # this machine's interfaces, routes and rules are the engine's host
            peer.tcp(link.here4, 8080)

A machine ends with the test's process, whatever happens.
"""
import ctypes
import itertools
import json
import selectors
import socket
import subprocess
import threading

counter = itertools.count(1)

TALK = r"""
import json, socket, sys
kind, host, port, source, source_port, payload, seconds = json.load(sys.stdin)
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(seconds)
try:
    if source or source_port:
        s.bind((source, source_port))
    s.connect((host, port))
    if kind == "udp" or payload:
        s.send(payload.encode())
    answer = more = s.recv(65536).decode()
    while kind == "tcp" and more:
        more = s.recv(65536).decode()
        answer += more
except OSError as problem:
    answer = f"error: {problem}"
sys.stdout.write(answer)
"""


class Wire:
    """Two ends with an address of each family."""

    def __init__(self, number):
        high, low = divmod(number % 16384, 256)
        self.here4, self.there4 = f"198.{18 + high // 64}.{high % 64 * 4 + low // 64}.{low % 64 * 4 + 1}", ""
        self.there4 = self.here4.rpartition(".")[0] + "." + str(int(self.here4.rpartition(".")[2]) + 1)
        self.here6, self.there6 = f"fd00:7e57:{number:x}::1", f"fd00:7e57:{number:x}::2"
        self.name = f"wire{number}"


class Namespace:
    """The network namespace of a process."""

    def __init__(self, pid):
        self.pid = pid

    @property
    def prefix(self):
        """Words before a command that is to run there."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def run(self, *command, check=True, input=None, timeout=60):
        done = subprocess.run([*self.prefix, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, input=input, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def sysctl(self, name, value=None):
        """/proc/sys/net/NAME as it is there."""
        words = f"cat /proc/sys/net/{name}" if value is None else f"echo {value} > /proc/sys/net/{name}"
        return self.run("sh", "-c", words).stdout.strip()

    def talk(self, kind, host, port, source="", source_port=0, payload="", seconds=60):
        """What the far end says to one request from here, or "error: …". With TCP it speaks first without payload."""
        done = self.run("/usr/bin/python3", "-I", "-c", TALK,
                        input=json.dumps([kind, host, port, source, source_port, payload, seconds]), timeout=seconds + 30)
        return done.stdout

    def listens(self, port):
        """Returns when somebody there listens on the port: a server that has just been started."""
        self.run("sh", "-c", f"until grep -q ':{port:04X} .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done")

    def get(self, address):
        """What a web server at "ADDRESS:PORT" answers from its index.html."""
        where, _, port = address.rpartition(":")
        return self.talk("tcp", where, int(port), payload="GET /index.html HTTP/1.0\r\n\r\n")

    def socket(self, kind, host, port):
        """A bound socket of the test's process that is there; "tcp" listens."""
        result = []

        def work():
            try:
                with open(f"/proc/{self.pid}/ns/net", "rb") as namespace:
                    setns(namespace.fileno())
                s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                                  socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
                result.append(s)
                if s.family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind((host, port))
                if kind == "tcp":
                    s.listen()
            except OSError as problem:
                for s in result:
                    s.close()
                result[:] = [problem]

        # A namespace is a thread's.
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(result[0], OSError):
            raise result[0]
        return result[0]


class Machine(Namespace):
    def __init__(self):
        super().__init__(None)
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c",
                                         "ip link set lo up && echo up && exec sleep infinity"], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"up\n"
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wire(self, other):
        """A cable to another machine, addresses on both ends, and the other's default route over it."""
        wire = Wire(next(counter))
        self.run("ip", "link", "add", wire.name, "type", "veth", "peer", "name", wire.name, "netns", other.pid)
        for machine, four, six in ((self, wire.here4, wire.here6), (other, wire.there4, wire.there6)):
            machine.run("ip", "addr", "add", four + "/30", "dev", wire.name)
            machine.run("ip", "addr", "add", six + "/64", "dev", wire.name, "nodad")
            machine.run("ip", "link", "set", wire.name, "up")
        other.run("ip", "route", "add", "default", "via", wire.here4)
        other.run("ip", "-6", "route", "add", "default", "via", wire.here6)
        return wire


def setns(fd):
    """os.setns() is Python 3.12's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


class Servers:
    """Answers "NAME KIND PEER" to everyone, on sockets in one or more namespaces, from a thread of the test."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.wake, wakes = socket.socketpair()
        self.selector.register(wakes, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.wake.send(b"x")
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        self.wake.close()

    def add(self, name, namespace, kind, port, hosts=("0.0.0.0", "::")):
        for host in hosts:
            s = namespace.socket(kind, host, port)
            self.selector.register(s, selectors.EVENT_READ, (name, kind))

    def _work(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                name, kind = key.data
                if kind == "tcp":
                    connection, peer = key.fileobj.accept()
                    connection.sendall(f"{name} tcp {peer[0]}\n".encode())
                    connection.close()
                else:
                    _, peer = key.fileobj.recvfrom(65536)
                    key.fileobj.sendto(f"{name} udp {peer[0]}\n".encode(), peer)
