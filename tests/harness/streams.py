"""Hijacked connections: what attach and exec make of a request."""
import json
import select
import socket
import ssl

TIMEOUT = 60


def connect(engine):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(TIMEOUT)
    s.connect(str(engine.socket))
    return s


class Stream:
    """A hijacked connection."""

    def __init__(self, engine, path, body=None, upgrade=True, connection=None):
        text = json.dumps(body).encode() if body is not None else b""
        self.socket = connection or connect(engine)
        self.buffer = b""
        words = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
        self.socket.sendall(f"POST /v1.41{path} HTTP/1.1\r\nHost: x\r\n{words}Content-Type: application/json\r\n"
                            f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        self.head = self.until(b"\r\n\r\n")
        self.status = int(self.head.split()[1])

    def until(self, end):
        """Bytes up to and with `end`."""
        while end not in self.buffer:
            data = self.socket.recv(65536)
            assert data, f"closed behind {self.buffer!r}"
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(end)
        return found + end

    def exactly(self, n):
        while len(self.buffer) < n:
            data = self.socket.recv(1 << 20)
            assert data, f"closed behind {self.buffer!r}"
            self.buffer += data
        found, self.buffer = self.buffer[:n], self.buffer[n:]
        return found

    def rest(self):
        while data := self.socket.recv(1 << 20):
            self.buffer += data
        found, self.buffer = self.buffer, b""
        return found

    def send(self, data):
        self.socket.sendall(data)

    def send_and_read(self, data, wanted):
        """Both ways at once, until `wanted` bytes have come. In one thread: Python's TLS sockets are not for two."""
        again = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self.socket.setblocking(False)
        while len(self.buffer) < wanted:
            ready = select.select([self.socket], [self.socket] if data else [], [], TIMEOUT)
            assert any(ready), f"nothing moves behind {len(self.buffer)} bytes"
            try:
                data = data[self.socket.send(data[:65536]):] if data else data
            except again:
                pass
            try:
                while part := self.socket.recv(65536):
                    self.buffer += part
                raise AssertionError(f"closed behind {len(self.buffer)} bytes")
            except again:
                pass
        self.socket.settimeout(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()
