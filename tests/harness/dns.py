"""DNS for tests: questions from within a container's network namespace, and a name server that remembers what it was asked.

    asker = Asker(pid)                       # of a container's process
    answer = asker.ask("web")                # by UDP to 127.0.0.11
    assert answer.addresses == ["10.0.0.2"]
"""
import contextlib
import ctypes
import os
import random
import select
import socket
import struct
import threading

SERVER = ("127.0.0.11", 53)
A, PTR, MX, AAAA, OPT, ANY = 1, 12, 15, 28, 41, 255
OK, FORMAT, FAILURE, NO_NAME, NOT_IMPLEMENTED, REFUSED = range(6)
CLONE_NEWNET = 0x40000000


def in_namespace(pid, function):
    """Call function() in the network namespace of a process; sockets that it makes stay there."""
    result = []

    def run():
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            result.append(function())
        except BaseException as problem:  # told to the caller below
            result.append(problem)
        finally:
            os.close(fd)

    thread = threading.Thread(target=run)  # a namespace of the thread's own, which ends with it
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def question(name, kind=A, ident=None, edns=None, flags=0x0100):
    """edns: the size of an answer by UDP that is taken."""
    ident = random.randrange(65536) if ident is None else ident
    more = b"\0" + struct.pack(">HHIH", OPT, edns, 0, 0) if edns else b""
    return struct.pack(">6H", ident, flags, 1, 0, 0, 1 if edns else 0) + encode_name(name) + struct.pack(">HH", kind, 1) + more


def read_name(message, at):
    labels, end = [], None
    while message[at]:
        if message[at] >= 0xC0:
            end = end or at + 2
            at = struct.unpack(">H", message[at:at + 2])[0] & 0x3FFF
            continue
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), end or at + 1


class Message:
    """A question or an answer, taken apart."""

    def __init__(self, raw):
        self.raw = raw
        self.id, self.flags, questions, answers, authority, additional = struct.unpack(">6H", raw[:12])
        self.rcode = self.flags & 15
        self.truncated = bool(self.flags & 0x0200)
        self.records, self.edns, at = [], None, 12
        self.name = self.kind = None
        if questions:
            self.name, at = read_name(raw, 12)
            self.kind = struct.unpack(">H", raw[at:at + 2])[0]
            at += 4
        for _ in range(answers + authority + additional):
            name, at = read_name(raw, at)
            kind, klass, ttl, size = struct.unpack(">HHIH", raw[at:at + 10])
            data = raw[at + 10:at + 10 + size]
            if kind == OPT:
                self.edns = klass
            else:
                self.records.append((name, kind, ttl, read_name(raw, at + 10)[0] if kind == PTR else data))
            at += 10 + size
        assert at == len(raw), "bytes behind the last record"

    @property
    def addresses(self):
        return [socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data)
                for _, kind, _, data in self.records if kind in (A, AAAA)]

    @property
    def names(self):
        return [data for _, kind, _, data in self.records if kind == PTR]


def receive(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += more
    return data


def receive_message(stream):
    return receive(stream, struct.unpack(">H", receive(stream, 2))[0])


class Asker:
    """Asks the name server of a container, in its namespace."""

    def __init__(self, pid, timeout=60, tries=1):
        self.pid, self.timeout, self.tries = pid, timeout, tries

    def udp(self):
        sock = in_namespace(self.pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.settimeout(self.timeout)
        sock.connect(SERVER)
        return sock

    def tcp(self):
        sock = in_namespace(self.pid, socket.socket)
        sock.settimeout(self.timeout)
        sock.connect(SERVER)
        return sock

    def ask(self, name, kind=A, tcp=False, edns=None):
        return self.send(question(name, kind, edns=edns), tcp)

    def send(self, asked, tcp=False):
        with self.tcp() if tcp else self.udp() as sock:
            for left in reversed(range(self.tries)):
                sock.sendall(struct.pack(">H", len(asked)) + asked if tcp else asked)
                try:
                    answer = Message(receive_message(sock) if tcp else sock.recv(65535))
                    break
                except TimeoutError:
                    if not left:
                        raise
        assert answer.id == struct.unpack(">H", asked[:2])[0] and answer.flags & 0x8000
        return answer


def answer_to(asked, records=(), rcode=OK, flags=0):
    """records: (kind, data) for the name asked."""
    end = read_name(asked, 12)[1] + 4
    head = struct.pack(">6H", struct.unpack(">H", asked[:2])[0], 0x8180 | rcode | flags, 1, len(records), 0, 0)
    return head + asked[12:end] + b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data for kind, data in records)


class Upstream:
    """A name server on an address, by UDP and TCP: `answer(asked, tcp)` gives the bytes of an answer, a
    list of such to send one after the other, or None for silence."""

    def __init__(self, address, answer=None):
        self.address = address
        self.answer = answer or (lambda asked, tcp: answer_to(asked, [(A, socket.inet_aton("198.51.100.7"))]))
        self.asked = []  # (Message, tcp)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (self.udp, self.tcp):
            sock.bind((address, 53))
        self.tcp.listen()
        self.ended, self.end = os.pipe()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        os.write(self.end, b"x")
        self.thread.join()
        for fd in (self.ended, self.end):
            os.close(fd)
        self.udp.close()
        self.tcp.close()

    def _reply(self, asked, tcp):
        try:
            self.asked.append((Message(asked), tcp))
        except (AssertionError, IndexError, struct.error):
            return []  # noise of a test
        answer = self.answer(asked, tcp)
        return answer if isinstance(answer, list) else [answer] if answer else []

    def _serve(self):
        while True:
            ready = select.select([self.udp, self.tcp, self.ended], [], [])[0]
            if self.ended in ready:
                return
            if self.udp in ready:
                asked, client = self.udp.recvfrom(65535)
                for answer in self._reply(asked, False):
                    self.udp.sendto(answer, client)
            if self.tcp in ready:
                # A connection may end before its question: who asked has given up.
                with self.tcp.accept()[0] as stream, contextlib.suppress(EOFError, ConnectionError):
                    for answer in self._reply(receive_message(stream), True):
                        stream.sendall(struct.pack(">H", len(answer)) + answer)

    def names(self):
        return [message.name for message, _ in self.asked]


def loopback_address():
    """An address of the host's loopback that nobody else is likely to use."""
    return f"127.{random.randrange(2, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
